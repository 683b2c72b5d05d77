"""Which plate belongs to which vehicle: a pure assignment that would rather say "ambiguous"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.records import JoinKind, PlateJoin, PlateRead

__all__ = ["Expected", "join"]


@dataclass(frozen=True, slots=True)
class Expected:
    """A vehicle, of two lanes where it drove over their line, and when it should have been seen.

    ``u_time_ns`` is the standard uncertainty of that moment (speed, position of the camera).
    """

    lanes: tuple[str, ...]
    time_ns: int
    u_time_ns: int


def join(
    expected: Sequence[Expected], reads: Sequence[PlateRead], tolerance_ns: int
) -> list[PlateJoin]:
    """Join plates to vehicles, one answer for each expected vehicle, in their order.

    A read fits a vehicle of its lane if it lies within ``tolerance_ns`` plus twice the vehicle's
    own uncertainty. A read that fits two vehicles is joined to neither: a wrong plate is a case
    against the wrong person. A vehicle that several different texts fit is ambiguous; the same
    text read twice is one read, the surer one.

    Parameters
    ----------
    expected : sequence of Expected
        All vehicles near the reads, also those that were joined before.
    reads : sequence of PlateRead
    tolerance_ns : int

    Returns
    -------
    list of PlateJoin
        ``read`` with the plate; ``missing`` where none fits or all were unread; ``ambiguous``
        with every candidate kept.
    """
    fits = [[read for read in reads if _fits(vehicle, read, tolerance_ns)] for vehicle in expected]
    return [_decide(vehicle, fits[i], _contested(i, fits)) for i, vehicle in enumerate(expected)]


def _fits(vehicle: Expected, read: PlateRead, tolerance_ns: int) -> bool:
    reach_ns = tolerance_ns + 2 * vehicle.u_time_ns
    return read.lane in vehicle.lanes and abs(read.time_ns - vehicle.time_ns) <= reach_ns


def _contested(i: int, fits: Sequence[Sequence[PlateRead]]) -> set[int]:
    """Identities of the reads of vehicle ``i`` that fit another vehicle as well."""
    elsewhere = {id(read) for k, others in enumerate(fits) if k != i for read in others}
    return {id(read) for read in fits[i]} & elsewhere


def _decide(vehicle: Expected, fitting: Sequence[PlateRead], contested: set[int]) -> PlateJoin:
    near = sorted(fitting, key=lambda read: (abs(read.time_ns - vehicle.time_ns), read.time_ns))
    candidates = tuple(near)
    offsets_ns = tuple(read.time_ns - vehicle.time_ns for read in near)
    legible = [read for read in near if read.text]

    def answer(kind: JoinKind, reason: str, chosen: PlateRead | None = None) -> PlateJoin:
        return PlateJoin(kind, chosen, candidates, offsets_ns, reason)

    if not near:
        return answer(JoinKind.MISSING, "no-read")
    if any(id(read) in contested for read in near):
        return answer(JoinKind.AMBIGUOUS, "fits-two-vehicles")
    if not legible:
        return answer(JoinKind.MISSING, "unread")
    if len({read.text for read in legible}) > 1:
        return answer(JoinKind.AMBIGUOUS, "different-texts")
    return answer(JoinKind.READ, "", max(legible, key=_trust))


def _trust(read: PlateRead) -> tuple[int, float]:
    """Doubts weigh before what the camera says of itself."""
    return -len(read.doubts), -1.0 if read.confidence is None else read.confidence
