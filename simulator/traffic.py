"""Vehicles in a lane, one after the other: who comes when, how fast, and where it is when."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from edge.records import Floats, LaneLayout
from simulator.fleet import SimVehicle, make_vehicle, reference_vehicle
from simulator.kinds import Span
from simulator.motion import Motion, Shift, Stop, drive
from simulator.scenario import TrafficSection
from simulator.seeds import stream

APPROACH_M = 30.0
"""Vehicles come into being this far before the first device and vanish as far behind the last."""
_REFERENCE_GAP_S = 4.0
_AFTER_BACKING_S = 3.0
_NUMBERS_A_LANE = 1_000_000
_OFF_LANE_M = 1.3
"""So far beside the middle the wheels of one side miss their sensors."""
REFERENCE_CODES = ("12", "157")
"""Test lorries of a calibration: a two-axle rigid and a semitrailer (OIML R 134-1)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A vehicle that wants to enter a lane, not before ``wanted_s``."""

    vehicle: SimVehicle
    speed_mps: float
    change_rel: float
    wanted_s: float
    stops: tuple[Stop, ...] = ()
    shift: Shift | None = None
    backs_off: bool = False
    """After its last stop it leaves the way it came."""


@dataclass(frozen=True, slots=True, eq=False)
class Passing:
    """A vehicle on its way through a lane; positions are the lane's, times the world's."""

    vehicle: SimVehicle
    lane: str
    motion: Motion
    shift: Shift | None
    backs_off: bool
    pressed_s: Span
    """Holds every pulse of it, on its own lane and on those beside it."""
    first_wheel_s: float
    """First wheel meets the first row."""
    last_wheel_s: float
    """Last wheel leaves the last row; of a vehicle that backs off, the first row again."""
    speed_mps: float
    """Way over time between the two."""
    acceleration_mps2: float
    """Mean of it between the two."""

    def nose_s(self, position_m: float) -> float:
        """When the nose reaches a position; infinite where it never does."""
        return float(self.motion.time_at_s(position_m - self.vehicle.front_overhang_m))

    def tail_s(self, position_m: float) -> float:
        """When the tail leaves a position; infinite where it never does."""
        return float(self.motion.time_at_s(position_m + _tail_behind_m(self.vehicle)))

    def over_s(self, from_m: float, to_m: float) -> list[Span]:
        """Spans of time in which any part of the vehicle is between two positions."""
        nose_m = from_m - self.vehicle.front_overhang_m
        return self.motion.within(nose_m, to_m + _tail_behind_m(self.vehicle))

    def lateral_m(self, position_m: Floats) -> Floats:
        """Its middle against the middle of its lane, where its wheels are at ``position_m``."""
        moved_m = self.shift.lateral_m(position_m) if self.shift else np.zeros_like(position_m)
        return np.asarray(self.vehicle.lateral_m + moved_m)


@dataclass(frozen=True, slots=True)
class Zone:
    """Where a lane's vehicles matter: between its first and last device they keep their gaps;
    ``rows_m`` holds all rows that their wheels may press, also those of the lanes beside."""

    devices_m: Span
    rows_m: Span


class LaneTraffic:
    """The vehicles of one lane, one after the other, made when they are asked for."""

    def __init__(self, lane: LaneLayout, zone: Zone, gap_m: float, plans: Iterator[Plan]) -> None:
        self._lane, self._zone, self._gap_m, self._plans = lane, zone, gap_m, plans
        self._made_until_s = 0.0
        self._enter_s: list[float] = []
        self._leave_s: list[float] = []
        self.passings: list[Passing] = []

    def between(self, from_s: float, to_s: float) -> list[Passing]:
        """Vehicles of which any part is among the devices at some time in the span."""
        while self._made_until_s <= to_s and (plan := next(self._plans, None)) is not None:
            self._add(plan)
        return self.passings[bisect_left(self._leave_s, from_s) : bisect_right(self._enter_s, to_s)]

    def _add(self, plan: Plan) -> None:
        passing = place(plan, self._lane, self._zone, self._last(), self._gap_m)
        spans_s = passing.over_s(*self._zone.devices_m)
        self.passings.append(passing)
        self._enter_s.append(spans_s[0][0])
        self._leave_s.append(spans_s[-1][1])
        self._made_until_s = self._enter_s[-1]

    def _last(self) -> Passing | None:
        return self.passings[-1] if self.passings else None


def place(plan: Plan, lane: LaneLayout, zone: Zone, ahead: Passing | None, gap_m: float) -> Passing:
    """Let a vehicle drive through the zone as early as it wants and the one ahead allows."""
    zone_m = zone.devices_m
    from_m = zone_m[0] - APPROACH_M - plan.vehicle.front_overhang_m
    motion = drive(
        plan.speed_mps,
        plan.change_rel,
        from_m,
        zone_m[1] + APPROACH_M + _tail_behind_m(plan.vehicle),
        plan.stops,
        from_m if plan.backs_off else None,
    )
    motion = motion.later(_wait_s(plan, motion, zone_m, ahead, gap_m))
    first, last = lane.rows[0], lane.rows[-1]
    spans_s = motion.within(
        first.position_m - first.width_m / 2,
        last.position_m + last.width_m / 2 + plan.vehicle.wheelbase_m,
    )
    first_s, last_s = spans_s[0][0], spans_s[-1][1]
    pressed_s = motion.within(zone.rows_m[0], zone.rows_m[1] + plan.vehicle.wheelbase_m)
    return Passing(
        plan.vehicle,
        lane.lane,
        motion,
        plan.shift,
        plan.backs_off,
        (pressed_s[0][0], pressed_s[-1][1]),
        first_s,
        last_s,
        motion.way_m(first_s, last_s) / (last_s - first_s),
        float(motion.speed_mps(last_s) - motion.speed_mps(first_s)) / (last_s - first_s),
    )


def _wait_s(plan: Plan, motion: Motion, zone_m: Span, ahead: Passing | None, gap_m: float) -> float:
    """How much later a motion must begin, to be wanted and to keep its gap all along the zone."""
    nose_m = np.linspace(*zone_m, 9) - plan.vehicle.front_overhang_m
    nose_s = motion.time_at_s(nose_m)
    nose_s = nose_s[np.isfinite(nose_s)]
    wait_s = plan.wanted_s - nose_s[0]
    if ahead is not None and ahead.backs_off:
        wait_s = max(wait_s, ahead.over_s(*zone_m)[-1][1] + _AFTER_BACKING_S - nose_s[0])
    elif ahead is not None:
        tail_m = np.linspace(*zone_m, 9) + _tail_behind_m(ahead.vehicle)
        free_s = ahead.motion.time_at_s(tail_m + gap_m)[: len(nose_s)]
        wait_s = max(wait_s, np.max(free_s - nose_s))
    return float(wait_s)


def _tail_behind_m(vehicle: SimVehicle) -> float:
    return vehicle.wheelbase_m + vehicle.rear_overhang_m


def traffic_plans(
    section: TrafficSection, lane_number: int, lane: LaneLayout, lead_in_s: float, seed: int
) -> Iterator[Plan]:
    """Endless traffic of a lane: Erlang headways about the flow, everything drawn in order."""
    chance = stream(seed, "traffic", lane_number)
    wanted_s = lead_in_s
    for number in count(lane_number * _NUMBERS_A_LANE + 1):
        vehicle = make_vehicle(number, section.mix, section.load, section.lateral_sd_m, chance)
        if chance.random() < section.off_lane_rate:
            vehicle = vehicle.beside(float(chance.choice([-_OFF_LANE_M, _OFF_LANE_M])))
        if len(vehicle.axle_kg) > 3 and chance.random() < section.lift_rate:
            vehicle = vehicle.lifted(len(vehicle.axle_kg) - 2)
        stops = (halt(vehicle, lane, chance),) if chance.random() < section.stop_rate else ()
        speed_mps = chance.uniform(*section.speed_kmh) / 3.6
        change_rel = 0.0 if stops else float(chance.normal(0, section.speed_change_sd))
        yield Plan(vehicle, speed_mps, change_rel, wanted_s, stops)
        wanted_s += float(chance.gamma(3.0, 3_600 / section.flow_per_h / 3.0))


def halt(vehicle: SimVehicle, lane: LaneLayout, chance: np.random.Generator) -> Stop:
    """A stop with some part of the vehicle on the array."""
    middle_m = (lane.rows[0].position_m + lane.rows[-1].position_m) / 2
    halt_m = middle_m + chance.uniform(-0.5, vehicle.wheelbase_m)
    return Stop(halt_m, chance.uniform(1.0, 4.0))


def reference_plans(
    lane_number: int, lane: LaneLayout, passes: int, speeds_kmh: Sequence[float], seed: int
) -> Iterator[Plan]:
    """Calibration runs: each test lorry ``passes`` times, through all speeds in turn."""
    chance = stream(seed, "reference", lane_number)
    wanted_s = _REFERENCE_GAP_S
    for kind, code in enumerate(REFERENCE_CODES):
        for run in range(passes):
            number = lane_number * _NUMBERS_A_LANE + kind * 1_000 + run
            vehicle = reference_vehicle(number, code, float(chance.normal(0, 0.08)), chance)
            speed_kmh = speeds_kmh[run % len(speeds_kmh)]
            yield Plan(vehicle, speed_kmh / 3.6, 0.0, wanted_s)
            wanted_s += _REFERENCE_GAP_S
