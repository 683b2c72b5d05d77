"""Hard traffic through the core: what was right, what was flagged, and what was quietly wrong.

A weight is wrong if the number of axles is, if one vehicle became several, or if the gross misses
the truth by more than three standard uncertainties and 5 %. It is quiet if no flag bars a legal
result. Quiet and wrong is the one thing that a station must not be.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edge.records import LEGAL_BARRIERS, Passage
from simulator.bench.drive import TAIL_S, drive, flag_names
from simulator.conditions import CONDITIONS
from simulator.expectation import reasons
from simulator.layouts import mixed
from simulator.traffic import Passing
from simulator.world import World

__all__ = ["VEHICLES_A_WORLD", "Case", "Outcome", "assigned", "outcomes", "table"]

VEHICLES_A_WORLD = 125
_WRONG_SIGMA = 3.0
_WRONG_REL = 0.05
_LEAST_OVERLAP = 1e-3
_OF_NEXT_LANE = 0.02


@dataclass(frozen=True, slots=True)
class Outcome:
    """One vehicle of a condition, or a weight without a vehicle (``number`` 0).

    ``kind`` is ``right``, ``flagged``, ``wrong`` (and unflagged) or ``missed``; ``bold`` tells that
    a weight without a flag was right although nothing supports it (a wheel beside the sensors).
    """

    condition: str
    seed: int
    number: int
    lane: str
    kind: str
    bold: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Case:
    """Figures of one condition."""

    condition: str
    vehicles: int
    right: int
    flagged: int
    wrong: int
    missed: int
    bold: int

    @property
    def wrong_pct(self) -> float:
        """Wrong and unflagged, per cent of the vehicles."""
        return 100.0 * self.wrong / self.vehicles


def outcomes(condition: str, seed: int, vehicles: int) -> list[Outcome]:
    """Let vehicles pass the mixed site of four lanes under a condition."""
    world = CONDITIONS[condition].world(mixed(), seed, vehicles)
    passings = world.left_between(0.0, np.inf)
    found, ghosts = assigned(world, passings)
    told = [_told(condition, seed, world, p, found[p.vehicle.number]) for p in passings]
    told += [
        Outcome(condition, seed, 0, g.lane, "wrong", False, f"no vehicle: {_text(g)}")
        for g in ghosts
        if not g.flags & LEGAL_BARRIERS
    ]
    return told


def table(told: Iterable[Outcome]) -> list[Case]:
    """One line a condition, in the order in which they are named."""
    by_condition: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in told:
        by_condition[outcome.condition].append(outcome)
    return [_case(name, by_condition[name]) for name in CONDITIONS if name in by_condition]


def _case(condition: str, told: Sequence[Outcome]) -> Case:
    kinds = Counter(outcome.kind for outcome in told)
    vehicles = sum(outcome.number > 0 for outcome in told)
    bold = sum(outcome.bold for outcome in told)
    return Case(
        condition,
        vehicles,
        kinds["right"],
        kinds["flagged"],
        kinds["wrong"],
        kinds["missed"],
        bold,
    )


def assigned(
    world: World, passings: Sequence[Passing], tail_s: float = TAIL_S
) -> tuple[dict[int, list[Passage]], list[Passage]]:
    """Passages by the vehicle whose time on the sensors they share most of, and the rest."""
    found: dict[int, list[Passage]] = {p.vehicle.number: [] for p in passings}
    spans_s = np.array([p.pressed_s for p in passings])
    ghosts = []
    for device in (d.id for d in world.station.model.digitiser):
        rate_hz = world.digitiser(device).true_rate_hz
        for passage in drive(world, device, tail_s):
            span_s = passage.first_wheel_sample / rate_hz, passage.last_wheel_sample / rate_hz
            near = np.array(
                [max(_nearness(world, p, lane) for lane in passage.lanes) for p in passings]
            )
            share = _shared(spans_s, *span_s) * near
            best = int(share.argmax())
            if share[best] > _LEAST_OVERLAP:
                found[passings[best].vehicle.number].append(passage)
            else:
                ghosts.append(passage)
    return found, ghosts


def _nearness(world: World, passing: Passing, lane: str) -> float:
    """One of the own lane before one of the next, which may have strayed."""
    if passing.lane == lane:
        return 1.0
    return 0.0 if world.site.aside_m(passing.lane, lane) is None else _OF_NEXT_LANE


def _shared(spans_s: np.ndarray, from_s: float, to_s: float) -> np.ndarray:
    """Intersection over union of spans with one."""
    both = np.minimum(spans_s[:, 1], to_s) - np.maximum(spans_s[:, 0], from_s)
    either = np.maximum(spans_s[:, 1], to_s) - np.minimum(spans_s[:, 0], from_s)
    return np.asarray(np.maximum(both, 0.0) / either)


def _told(
    condition: str, seed: int, world: World, passing: Passing, passages: Sequence[Passage]
) -> Outcome:
    quiet = [p for p in passages if not p.flags & LEGAL_BARRIERS]
    wrong = len(quiet) > 1 or any(_is_wrong(passing, p) for p in quiet)
    if not passages:
        kind = "missed"
    elif wrong:
        kind = "wrong"
    else:
        kind = "right" if len(passages) == len(quiet) == 1 else "flagged"
    unsupported = reasons(world, passing) if kind == "right" else ()
    detail = f"true {_truth(passing)}; " + " | ".join(_text(p) for p in passages)
    number, lane = passing.vehicle.number, passing.lane
    return Outcome(condition, seed, number, lane, kind, bool(unsupported), detail)


def _is_wrong(passing: Passing, passage: Passage) -> bool:
    if len(passage.axles) != len(passing.vehicle.axle_kg):
        return True
    true_kg = passing.vehicle.gross_kg
    off_kg = abs(passage.gross_kg - true_kg)
    return bool(off_kg > _WRONG_SIGMA * passage.u_gross_kg and off_kg > _WRONG_REL * true_kg)


def _truth(passing: Passing) -> str:
    vehicle = passing.vehicle
    return (
        f"{vehicle.code} {len(vehicle.axle_kg)} axles {vehicle.gross_kg:.0f} kg "
        f"{passing.speed_mps * 3.6:.1f} km/h at {passing.first_wheel_s:.2f} s"
    )


def _text(passage: Passage) -> str:
    return (
        f"lane {passage.lane}: {len(passage.axles)} axles {passage.gross_kg:.0f} "
        f"± {passage.u_gross_kg:.0f} kg {flag_names(passage.flags)}"
    )
