"""Named conditions of traffic: each is a world with a seed and the truth beside it.

A condition takes ordinary traffic and lets each driver do what it is named after. Together they
are what a station meets in a year; ``simulator.expectation`` says what it may make of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Any

from edge.config import StationConfig
from edge.records import ADC_FULL_SCALE, LaneLayout
from simulator.drivers import (
    LANE_M,
    Driver,
    Neighbour,
    as_ever,
    backs_off,
    changes_lane,
    changes_speed,
    rides_beside,
    stops_and_goes,
    straddles,
)
from simulator.kinds import Span
from simulator.layouts import without_separators
from simulator.scenario import Scenario
from simulator.seeds import stream
from simulator.traffic import Plan, traffic_plans
from simulator.world import World

_FREE_KMH = {"strip": (40.0, 90.0), "plate": (6.0, 25.0)}
_ALONE_M = 60.0
"""Way in which a vehicle that needs two lanes has them for itself."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One named condition. ``traffic`` and ``scenario`` are keys of the scenario's sections."""

    name: str
    zh: str
    en: str
    traffic: Mapping[str, Any] = field(default_factory=dict)
    scenario: Mapping[str, Any] = field(default_factory=dict)
    speed_kmh: Span | None = None
    driver: Driver = as_ever
    alone: bool = False
    """One vehicle at a time over all lanes, because each may need two."""
    fault: Mapping[str, Any] | None = None
    """A fault of every digitiser."""
    separators: bool = True
    full_scale_n: Mapping[str, float] | None = None
    """Force at which converters end, by the kind of the rows."""

    def describe(self, lang: str) -> str:
        """What happens, for people."""
        return self.en if lang == "en" else self.zh

    def world(self, station: StationConfig, seed: int, vehicles: int) -> World:
        """A world in which ``vehicles`` vehicles pass, shared evenly by the station's lanes.

        The station of the world may differ from the one given: it has no separators where the
        condition is to have none.
        """
        station = station if self.separators else without_separators(station)
        scenario = self._scenario(station, seed)
        lanes = len(station.model.lane)

        def plans(number: int, lane: LaneLayout) -> Iterator[Plan]:
            own = (vehicles + lanes - 1 - number) // lanes
            return islice(self._plans(scenario, number, lane, lanes, seed), own)

        return World(station, scenario, seed, plans=plans)

    def _scenario(self, station: StationConfig, seed: int) -> Scenario:
        kinds = [lane.row[0].kind for lane in station.model.lane]
        tree = {
            "name": self.name,
            "seed": seed,
            "lane_lateral_m": [LANE_M * number for number in range(len(kinds))],
            "lane": [
                {"speed_kmh": self.speed_kmh or _FREE_KMH[kind], **self.traffic} for kind in kinds
            ],
            "fault": [{**self.fault, "device": d.id} for d in station.model.digitiser]
            if self.fault
            else [],
            **_HARD,
            **self.scenario,
        }
        if self.full_scale_n:
            full_n = max(self.full_scale_n[kind] for kind in kinds)
            electronics = dict(_HARD["electronics"], newton_per_count=full_n / ADC_FULL_SCALE)
            tree["electronics"] = electronics
        return Scenario.model_validate(tree)

    def _plans(
        self, scenario: Scenario, number: int, lane: LaneLayout, lanes: int, seed: int
    ) -> Iterator[Plan]:
        chance = stream(seed, "drivers", self.name, number)
        section = scenario.traffic_of(number)
        neighbour = Neighbour(1 if number + 1 < lanes else -1)
        drawn = traffic_plans(section, number, lane, scenario.lead_in_s, seed)
        turn_s = _ALONE_M / (section.speed_kmh[0] / 3.6)
        for turn, plan in zip(count(), drawn, strict=False):
            if self.alone:
                wanted_s = scenario.lead_in_s + (turn * lanes + number) * turn_s
                plan = replace(plan, wanted_s=wanted_s)
            yield self.driver(plan, lane, neighbour, chance)


_HARD: dict[str, dict[str, Any]] = {
    "road": {"road_class": "A", "receptor_step_mm": 0.2},
    "sensor": {"skew_sd_m": 0.005},
    "electronics": {
        "pink_n": 8.0,
        "measured": "force-1",
        "measured_n": 15.0,
        "cross_talk_rel": 0.0005,
    },
}
"""What no real site is without."""


_LONG = {"1555": 1, "1557": 1, "1577": 1, "15557": 1, "15577": 1, "115577": 1}
_LIFTING = {"115": 1, "127": 2, "155": 1, "157": 3}
_SMALL = {"car": 45, "van": 12, "motorcycle": 13, "12": 12, "155": 5, "157": 13}
_LAWFUL = {"part": 1, "legal": 2}

CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        Condition("free_flow", "自由流，混合载重", "free flow, mixed loads"),
        Condition(
            "dense_4m_gaps",
            "密集车流，车距 4 米",
            "dense flow, 4 m between vehicles",
            {"flow_per_h": 4_000, "gap_m": 4.0},
            speed_kmh=(20.0, 30.0),
        ),
        Condition(
            "tailgate_1_5m",
            "紧跟前车，车距 1.5 米",
            "tail-gating, 1.5 m between vehicles",
            {"flow_per_h": 4_000, "gap_m": 1.5, "speed_change_sd": 0.02},
            speed_kmh=(12.0, 20.0),
        ),
        Condition(
            "stop_and_go",
            "在传感器上走走停停",
            "stop and go on the sensors",
            speed_kmh=(6.0, 18.0),
            driver=stops_and_goes,
        ),
        Condition(
            "reverse_off",
            "开上传感器后倒车离开",
            "onto the sensors and off again backward",
            {"flow_per_h": 120},
            speed_kmh=(5.0, 12.0),
            driver=backs_off,
        ),
        Condition("straddle", "骑压两个车道", "astride two lanes", driver=straddles, alone=True),
        Condition(
            "wheel_beside",
            "一侧车轮压在传感器之外",
            "the wheels of one side beside the sensors",
            scenario={"lane_lateral_m": []},
            driver=rides_beside,
        ),
        Condition(
            "lane_change",
            "在传感器阵列上变道",
            "changing lane on the array",
            driver=changes_lane,
            alone=True,
        ),
        Condition(
            "motorcycles_and_cars",
            "货车之间有小客车和摩托车",
            "cars and motorcycles between lorries",
            {"mix": _SMALL},
        ),
        Condition(
            "many_axles_7_to_12",
            "七至十二轴列车",
            "trains of 7 to 12 axles",
            {"mix": _LONG, "load": {"empty": 1, "part": 1, "legal": 1}, "flow_per_h": 150},
        ),
        Condition(
            "empty_trailer_behind_laden_tractor",
            "重车拖空挂车",
            "an empty trailer behind a laden lorry",
            {"mix": {"1222": 1}, "load": {"front": 1}},
        ),
        Condition(
            "lifted_axles",
            "提升轴已提起",
            "with an axle drawn up",
            {"mix": _LIFTING, "load": {"empty": 1, "part": 1}, "lift_rate": 1.0},
        ),
        Condition(
            "braking",
            "在传感器上制动",
            "braking on the array",
            {"load": _LAWFUL},
            driver=changes_speed(-0.9, -0.2),
        ),
        Condition(
            "accelerating",
            "在传感器上加速",
            "gaining speed on the array",
            {"load": _LAWFUL},
            speed_kmh=(15.0, 40.0),
            driver=changes_speed(0.2, 1.5),
        ),
        Condition("crawl_3_kmh", "以 3 km/h 蠕行", "crawling at 3 km/h", speed_kmh=(2.8, 4.0)),
        Condition("fast_120_kmh", "车速约 120 km/h", "about 120 km/h", speed_kmh=(105.0, 123.0)),
        Condition(
            "separator_dead",
            "车辆分离器无信号",
            "the separators stay quiet",
            fault={"kind": "separator_silent"},
        ),
        Condition(
            "separator_stuck",
            "车辆分离器一直为有车",
            "the separators stay active",
            fault={"kind": "separator_stuck"},
        ),
        Condition("no_separator", "没有车辆分离器", "without separators", separators=False),
        Condition(
            "noisy_channel",
            "一个通道噪声很大",
            "one channel is noisy",
            fault={"kind": "noisy", "channel": 1, "size": 40_000},
        ),
        Condition(
            "dead_channel",
            "一个通道无信号",
            "one channel is dead",
            fault={"kind": "dead", "channel": 1},
        ),
        Condition(
            "saturating",
            "超出转换器量程",
            "beyond the converters' range",
            full_scale_n={"strip": 18e3, "plate": 45e3},
        ),
    )
}
