"""Who it was: a passage with its time and its plate."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge.records.devices import ClockReading, PlateRead
from edge.records.flags import Flag
from edge.records.passages import Passage, PassageKey
from edge.records.values import whole_kg, whole_kg_up

__all__ = ["HostStamp", "JoinKind", "PlateDoubt", "PlateJoin", "Vehicle"]


class JoinKind(enum.StrEnum):
    """How a plate and a passage came together."""

    READ = "read"
    MISSING = "missing"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class HostStamp:
    """Where a time comes from: the boot, the monotonic clock, and what set the wall clock.

    ``mono_ns`` is the monotonic time of the very moment whose UTC is stated; with the offset that
    a later statement gives for the boot, a UTC that was wrong is set right.
    """

    boot_id: str
    mono_ns: int
    synchronised: bool
    source: str = ""
    """Who disciplines the wall clock: ``chrony 10.0.0.1``, ``kernel``; empty where nobody does."""
    bound_us: int | None = None
    """Bound of the wall clock's error; None where nobody vouches for it."""

    def to_body(self) -> dict[str, Any]:
        """The fields of a statement."""
        return {
            "boot_id": self.boot_id,
            "mono_us": self.mono_ns // 1000,
            "clock_host": {
                "synchronised": self.synchronised,
                "source": self.source,
                "bound_us": self.bound_us,
            },
        }


@dataclass(frozen=True, slots=True)
class PlateJoin:
    """The plate of a passage with all candidates, and why one was chosen or none.

    ``offsets_ns`` are, candidate by candidate, plate time minus the time at which the vehicle
    should have been before the camera.
    """

    kind: JoinKind
    chosen: PlateRead | None
    candidates: tuple[PlateRead, ...] = ()
    offsets_ns: tuple[int, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PlateDoubt:
    """A plate that was joined to a passage turned out to fit the next vehicle as well."""

    time_ns: int
    passage: PassageKey
    join: PlateJoin
    host: HostStamp | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Vehicle:
    """A passage with its time and its plate: what is judged, sealed and shown."""

    station: str
    time_ns: int
    """UTC of the last wheel's release."""
    clock: ClockReading
    passage: Passage
    join: PlateJoin
    flags: Flag
    """Flags of the passage and of its time."""
    host: HostStamp | None = None
    """Where ``time_ns`` comes from; None where it was replayed."""

    @property
    def gross_kg(self) -> int:
        """Gross vehicle weight in whole kilograms."""
        return whole_kg(self.passage.gross_kg)

    @property
    def u_gross_kg(self) -> int:
        """Its standard uncertainty in whole kilograms, rounded up."""
        return whole_kg_up(self.passage.u_gross_kg)

    @property
    def plate(self) -> str:
        """The chosen plate, or an empty string."""
        return self.join.chosen.text if self.join.chosen else ""
