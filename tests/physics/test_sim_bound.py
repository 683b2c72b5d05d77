"""Pulses of simulated traffic against the covariance that transfer functions and PSD foretell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge.records import STANDARD_GRAVITY_MPS2, LaneLayout
from simulator.bench.bound import strip_readings
from simulator.fleet import reference_vehicle
from simulator.layouts import strips
from simulator.scenario import Scenario
from simulator.seeds import stream
from simulator.traffic import Plan
from simulator.world import World

SPEED_MPS = 18.0
RUNS = 120
ROADS = {"road": {"road_class": "A", "fresh_for_each": True, "receptor_step_mm": 0.0}}
QUIET = {"electronics": {"noise_n": 0.0, "lateral_rel": 0.0, "oscillator_sd_ppm": 0.0}}


def plans(number: int, lane: LaneLayout) -> Iterator[Plan]:
    for run in range(RUNS):
        vehicle = reference_vehicle(run + 1, "12", 0.0, stream(1, "same"))
        yield Plan(vehicle, SPEED_MPS, 0.0, 2.0 + 4.0 * run)


def test_loads_of_rows_and_axles_scatter_together_as_foretold() -> None:
    station, scenario = strips(4), Scenario.model_validate(ROADS | QUIET)
    world = World(station, scenario, 5, plans=plans)
    passings = world.left_between(0.0, 1e6)
    loads_kg = [
        [pulse.force_n.sum() for pulse in world.digitiser("D1").pulses_of(passing, "1", 0.0)]
        for passing in passings
    ]
    worth = SPEED_MPS / 0.07 / scenario.electronics.rate_hz / STANDARD_GRAVITY_MPS2
    rows_kg = worth * np.array(loads_kg).reshape(RUNS, 8, 2).sum(axis=2)
    vehicle, lane = passings[0].vehicle, station.lanes_of("D1")[0]
    expected = strip_readings(vehicle, SPEED_MPS, lane, scenario).covariance_kg2
    spread = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs(np.cov(rows_kg.T) - expected).max() < 0.35 * spread.min()
    assert abs(np.mean(np.diag(np.cov(rows_kg.T)) / np.diag(expected)) - 1) < 0.15
    assert np.abs(rows_kg.mean(axis=0) / np.repeat(vehicle.axle_kg, 4) - 1).max() < 0.02
