"""Vehicles that weigh exactly what the law allows: how many of them are called over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from itertools import islice

import numpy as np

from edge.core.weigh import GROUP_SPACING_M
from edge.records import LaneLayout, Passage, VerdictKind, whole_kg, whole_kg_up
from edge.rules.judge import judge_measurement
from edge.rules.pack import RulePack, candidate_limits
from simulator.bench.drive import drive
from simulator.fleet import SimVehicle
from simulator.layouts import mixed
from simulator.scenario import RoadSection, Scenario, TrafficSection
from simulator.traffic import Plan, traffic_plans
from simulator.world import DEFAULT_START_UTC_NS, World

__all__ = ["called_over"]

_PACK = "cn-national"
_KMH = {"strip": (40.0, 90.0), "plate": (5.0, 20.0)}


def called_over(vehicles: int, seed: int) -> tuple[int, int]:
    """Vehicles called over, and vehicles judged, of those that weigh their limit to the kilogram.

    Where several limits may hold, it is the highest: only beyond it a station may say over.
    """
    pack = _pack()
    station = mixed()
    lanes = station.model.lane
    scenario = Scenario(
        lane=tuple(TrafficSection(speed_kmh=_KMH[lane.row[0].kind], gap_m=15.0) for lane in lanes),
        road=RoadSection(fresh_for_each=True),
    )

    def plans(number: int, lane: LaneLayout) -> Iterator[Plan]:
        section = scenario.traffic_of(number)
        drawn = traffic_plans(section, number, lane, scenario.lead_in_s, seed)
        for plan in islice(drawn, vehicles // len(lanes)):
            yield replace(plan, vehicle=_at_limit(plan.vehicle, pack))

    world = World(station, scenario, seed, plans=plans)
    kinds = [_verdict(p, pack) for d in station.model.digitiser for p in drive(world, d.id)]
    return sum(kind is VerdictKind.OVER for kind in kinds), len(kinds)


def _pack() -> RulePack:
    shipped = resources.files("edge.rules") / "packs" / f"{_PACK}.toml"
    return RulePack.parse(shipped.read_bytes(), _PACK)


def _at_limit(vehicle: SimVehicle, pack: RulePack) -> SimVehicle:
    """The same vehicle, laden to the highest limit that may hold for its axles."""
    breaks = np.flatnonzero(np.array(vehicle.spacing_m) > GROUP_SPACING_M) + 1
    groups = np.diff([0, *breaks, len(vehicle.axle_kg)])
    rules = pack.at(DEFAULT_START_UTC_NS)
    assert rules is not None
    limit_kg = candidate_limits(rules, "+".join(str(n) for n in groups))[-1].limit_kg
    scale = limit_kg / vehicle.gross_kg
    return replace(vehicle, axle_kg=tuple(scale * kg for kg in vehicle.axle_kg))


def _verdict(passage: Passage, pack: RulePack) -> VerdictKind:
    return judge_measurement(
        whole_kg(passage.gross_kg),
        whole_kg_up(passage.u_gross_kg),
        passage.configuration,
        passage.flags,
        DEFAULT_START_UTC_NS,
        pack,
    ).kind
