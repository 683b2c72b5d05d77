"""The road of a station: surfaces, sensors in them, traffic over them, who reaches what.

Lanes with a known place across the road are neighbours: a vehicle of one may press on sensors of
the other, also where another digitiser reads them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from edge.records import LaneLayout
from simulator.dynamics import TyreForces, tyre_forces
from simulator.kinds import Span
from simulator.road import LaneRoad
from simulator.scenario import Scenario
from simulator.seeds import stream
from simulator.sensor import LaneSensors, Pulse
from simulator.traffic import LaneTraffic, Passing

_REACH_M = 6.0
"""Wheels of a vehicle reach sensors of lanes whose middle is no farther from that of its own."""
_IN_SEPARATOR_M = 2.6
"""A body 2.5 m wide whose middle is nearer to that of a lane stands in the lane's separator."""
_KEPT_VEHICLES = 64


class Site:
    """All lanes of a world; deterministic, whoever asks first."""

    def __init__(
        self,
        layouts: Sequence[LaneLayout],
        traffic: Mapping[str, LaneTraffic],
        scenario: Scenario,
        seed: int,
    ) -> None:
        self.traffic = traffic
        self.sensors = {
            lane.lane: LaneSensors.install(lane, scenario.sensor, seed) for lane in layouts
        }
        self._roads: dict[str, LaneRoad] = {}
        self._road, self._seed = scenario.road, seed
        self._middle_m = dict(zip(self.sensors, scenario.lane_lateral_m, strict=False))
        self._forces: OrderedDict[int, TyreForces] = OrderedDict()

    def aside_m(self, own: str, other: str) -> float | None:
        """Middle of a vehicle's ``own`` lane against that of another; None if out of reach."""
        if own == other:
            return 0.0
        if own not in self._middle_m or other not in self._middle_m:
            return None
        aside_m = self._middle_m[own] - self._middle_m[other]
        return aside_m if abs(aside_m) <= _REACH_M else None

    def over(self, lane: str, from_s: float, to_s: float) -> list[tuple[Passing, float]]:
        """Vehicles whose wheels may press on a lane's sensors in a span, with their ``aside_m``."""
        return [
            (passing, aside_m)
            for own, traffic in self.traffic.items()
            if (aside_m := self.aside_m(own, lane)) is not None
            for passing in traffic.between(from_s, to_s)
            if passing.pressed_s[0] <= to_s and passing.pressed_s[1] >= from_s
        ]

    def interruptions_s(
        self, lane: str, position_m: float, from_s: float, to_s: float
    ) -> list[Span]:
        """Spans in which bodies stand in a lane's separator, of all that do so in a span."""
        return [
            span_s
            for own, traffic in self.traffic.items()
            if (aside_m := self.aside_m(own, lane)) is not None
            for passing in traffic.between(from_s, to_s)
            if abs(passing.lateral_m(np.array(position_m)) + aside_m) < _IN_SEPARATOR_M
            for span_s in passing.over_s(position_m, position_m)
        ]

    def forces(self, passing: Passing) -> TyreForces:
        """True forces of a vehicle's wheels while it crosses the sensors."""
        number = passing.vehicle.number
        if number not in self._forces:
            chance = stream(self._seed, "track", number)
            surface = self._road_of(passing.lane).under(passing.vehicle.lateral_m, chance)
            self._forces[number] = tyre_forces(
                passing.vehicle, surface, passing.motion, *passing.pressed_s
            )
            if len(self._forces) > _KEPT_VEHICLES:
                self._forces.popitem(last=False)
        return self._forces[number]

    def _road_of(self, lane: str) -> LaneRoad:
        """The surface of a lane, laid when the first vehicle comes."""
        if lane not in self._roads:
            sensors = self.sensors[lane]
            self._roads[lane] = LaneRoad(sensors.layout, self._road, sensors.skew_m, self._seed)
        return self._roads[lane]

    def pulses(self, passing: Passing, lane: str, aside_m: float, rate_hz: float) -> list[Pulse]:
        """What a vehicle presses on the sensors of a lane, which may be another than its own."""
        forces = self.forces(passing)
        return self.sensors[lane].pulses(passing, forces, rate_hz, aside_m)
