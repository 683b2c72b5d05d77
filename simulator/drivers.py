"""What single drivers do on the sensors, by the name of the condition they make.

A driver takes an ordinary plan of a vehicle and changes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge.records import LaneLayout
from simulator.kinds import Span
from simulator.motion import Shift, Stop
from simulator.traffic import APPROACH_M, Plan

LANE_M = 3.5
"""Lanes of a condition lie side by side, this far apart."""
_BRAKE_MPS2 = 5.0
"""What the service brakes of lorries must reach (GB 12676, UN R13)."""
_ENGINE_MPS2 = 1.2


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Where the next lane is, or would be: 1 to the right, -1 to the left."""

    side: int


Driver = Callable[[Plan, LaneLayout, Neighbour, np.random.Generator], Plan]


def as_ever(
    plan: Plan, lane: LaneLayout, neighbour: Neighbour, chance: np.random.Generator
) -> Plan:
    """As the scenario's traffic has it."""
    return plan


def straddles(
    plan: Plan, lane: LaneLayout, neighbour: Neighbour, chance: np.random.Generator
) -> Plan:
    """Over the line between two lanes."""
    lateral_m = neighbour.side * (LANE_M / 2 + chance.normal(0, 0.15))
    return replace(plan, vehicle=plan.vehicle.beside(float(lateral_m)))


def rides_beside(
    plan: Plan, lane: LaneLayout, neighbour: Neighbour, chance: np.random.Generator
) -> Plan:
    """Away from the next lane, so that the wheels of one side lose their sensors."""
    lateral_m = -neighbour.side * chance.uniform(0.65, 1.5)
    return replace(plan, vehicle=plan.vehicle.beside(float(lateral_m)))


def changes_lane(
    plan: Plan, lane: LaneLayout, neighbour: Neighbour, chance: np.random.Generator
) -> Plan:
    """Over to the next lane in about 2.5 s, the middle of it on the array."""
    middle_m = chance.uniform(lane.rows[0].position_m, lane.rows[-1].position_m)
    half_m = 2.5 * plan.speed_mps / 2 + 4.0
    by_m = neighbour.side * LANE_M
    return replace(plan, shift=Shift(middle_m - half_m, middle_m + half_m, by_m))


def stops_and_goes(
    plan: Plan, lane: LaneLayout, neighbour: Neighbour, chance: np.random.Generator
) -> Plan:
    """One to three halts with some part on the array."""
    low_m = lane.rows[0].position_m - 0.5
    high_m = lane.rows[-1].position_m + plan.vehicle.wheelbase_m
    at_m = np.sort(chance.uniform(low_m, high_m, int(chance.integers(1, 4))))
    apart = np.concatenate([[True], np.diff(at_m) > 0.4])
    stops = tuple(Stop(float(m), float(chance.uniform(0.8, 4.0))) for m in at_m[apart])
    return replace(plan, stops=stops, change_rel=0.0)


def backs_off(
    plan: Plan, lane: LaneLayout, neighbour: Neighbour, chance: np.random.Generator
) -> Plan:
    """After some of its axles have passed some of the rows."""
    low_m = lane.rows[0].position_m + 0.3
    at_m = chance.uniform(low_m, lane.rows[-1].position_m + plan.vehicle.wheelbase_m)
    stop = Stop(float(at_m), float(chance.uniform(0.8, 3.0)))
    return replace(plan, stops=(stop,), change_rel=0.0, backs_off=True)


def changes_speed(low: float, high: float) -> Driver:
    """A driver whose speed changes evenly by a part between two bounds, from first to last.

    Brakes and engines set a limit to it: who is fast cannot change by as much on the same way.
    """

    def driver(
        plan: Plan, lane: LaneLayout, neighbour: Neighbour, chance: np.random.Generator
    ) -> Plan:
        way_m = 2 * APPROACH_M + lane.rows[-1].position_m + plan.vehicle.length_m
        least, most = _change_within(plan.speed_mps, way_m)
        return replace(plan, change_rel=float(np.clip(chance.uniform(low, high), least, most)))

    return driver


def _change_within(speed_mps: float, way_m: float) -> Span:
    """Bounds of an even change, part of the mean speed, with ``a = v^2 c / ((1 + c / 2) way)``."""
    square = speed_mps**2
    most = _ENGINE_MPS2 * way_m / max(square - _ENGINE_MPS2 * way_m / 2, 1e-9)
    return -_BRAKE_MPS2 * way_m / (square + _BRAKE_MPS2 * way_m / 2), most
