"""Relations that hold for any signal, on simulated lorries: what changes, and what must not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from edge.core.pipeline import Pipeline
from edge.records import Gains, InputEdge, Int32s, LaneLayout, Passage, SampleBlock, read_only
from simulator.layouts import LAYOUTS
from simulator.scenario import Scenario, TrafficSection
from simulator.world import World

SECONDS = 22.0
NEWTON_PER_COUNT = 0.02


@cache
def signals(layout: str) -> tuple[Int32s, tuple[InputEdge, ...], LaneLayout, float]:
    """Counts and edges of a few lorries over one lane."""
    station = LAYOUTS[layout]()
    speed_kmh = (50.0, 70.0) if layout.startswith("strips") else (10.0, 14.0)
    traffic = TrafficSection(flow_per_h=900.0, speed_kmh=speed_kmh)
    digitiser = World(station, Scenario(lane=(traffic,)), 8).digitiser("D1")
    n = round(SECONDS * digitiser.rate_hz)
    edges = tuple(InputEdge("D1", *edge) for edge in digitiser.edges(0, n))
    (lane,) = station.lanes_of("D1")
    return digitiser.block(0, n), edges, lane, digitiser.rate_hz


def gains_of(channels: int, newton_per_count: float = NEWTON_PER_COUNT) -> Gains:
    each = read_only(np.full(channels, newton_per_count))
    return Gains(each, read_only(np.full(channels, 0.003)), 0.001, certificate_id="C-1")


def weighed(
    counts: Int32s,
    edges: tuple[InputEdge, ...],
    lane: LaneLayout,
    rate_hz: float,
    gains: Gains,
    first_sample: int = 0,
) -> list[Passage]:
    pipeline = Pipeline("D1", rate_hz, counts.shape[1], (lane,), gains)
    block = SampleBlock("D1", first_sample, counts, rate_hz)
    return pipeline.step(block, edges) + pipeline.flush()


def loads(passages: list[Passage]) -> np.ndarray:
    return np.concatenate([p.axles.load_kg for p in passages])


@pytest.fixture(params=["strips_4", "plates_2"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def plain(layout: str) -> list[Passage]:
    counts, edges, lane, rate_hz = signals(layout)
    passages = weighed(counts, edges, lane, rate_hz, gains_of(counts.shape[1]))
    assert len(passages) >= 2
    return passages


def test_twice_the_gain_is_twice_what_every_row_says(layout: str) -> None:
    counts, edges, lane, rate_hz = signals(layout)
    # Thresholds hang on the lightest wheel in kilograms.
    strong = replace(lane, axle_min_kg=2 * lane.axle_min_kg, axle_max_kg=2 * lane.axle_max_kg)
    heavy = weighed(counts, edges, strong, rate_hz, gains_of(counts.shape[1], 2 * NEWTON_PER_COUNT))
    for once, twice in zip(plain(layout), heavy, strict=True):
        rows = 2 * once.axles.row_load_kg
        np.testing.assert_allclose(twice.axles.row_load_kg, rows, rtol=1e-9)
        # Heavy axles swing slower, and less for their load: rows are weighed a little otherwise.
        assert twice.gross_kg == pytest.approx(2 * once.gross_kg, rel=1e-2)


def test_twice_the_counts_at_half_the_gain_change_nothing(layout: str) -> None:
    counts, edges, lane, rate_hz = signals(layout)
    halved = gains_of(counts.shape[1], NEWTON_PER_COUNT / 2)
    fine = weighed(read_only(counts * 2), edges, lane, rate_hz, halved)
    np.testing.assert_allclose(loads(fine), loads(plain(layout)), rtol=1e-9)


def test_a_sensor_that_counts_downward_changes_nothing(layout: str) -> None:
    counts, edges, lane, rate_hz = signals(layout)
    gains = gains_of(counts.shape[1], -NEWTON_PER_COUNT)
    upside_down = weighed(read_only(-counts), edges, lane, rate_hz, gains)
    np.testing.assert_allclose(loads(upside_down), loads(plain(layout)), rtol=1e-9)


@pytest.mark.parametrize("shift", [1, 1_000_003])
def test_a_later_counter_gives_later_samples_and_the_same_bits(layout: str, shift: int) -> None:
    counts, edges, lane, rate_hz = signals(layout)
    moved = tuple(replace(edge, sample=edge.sample + shift) for edge in edges)
    later = weighed(counts, moved, lane, rate_hz, gains_of(counts.shape[1]), shift)
    for early, late in zip(plain(layout), later, strict=True):
        assert late.axles.load_kg.tobytes() == early.axles.load_kg.tobytes()
        assert late.axles.u_load_kg.tobytes() == early.axles.u_load_kg.tobytes()
        assert late.last_wheel_sample == pytest.approx(early.last_wheel_sample + shift, abs=1e-6)
        assert late.closed_sample == early.closed_sample + shift


def test_wires_in_another_order_change_nothing(layout: str) -> None:
    counts, edges, lane, rate_hz = signals(layout)
    order = np.random.default_rng(2).permutation(counts.shape[1])
    place = np.argsort(order).tolist()
    rows = tuple(replace(r, left=place[r.left], right=place[r.right]) for r in lane.rows)
    swapped = weighed(
        read_only(np.ascontiguousarray(counts[:, order])),
        edges,
        replace(lane, rows=rows),
        rate_hz,
        gains_of(counts.shape[1]),
    )
    for one, other in zip(plain(layout), swapped, strict=True):
        np.testing.assert_allclose(other.axles.load_kg, one.axles.load_kg, rtol=1e-9)
        assert other.flags == one.flags


def test_a_mirrored_lane_changes_the_sides_alone(layout: str) -> None:
    counts, edges, lane, rate_hz = signals(layout)
    rows = tuple(replace(r, left=r.right, right=r.left) for r in lane.rows)
    gains = gains_of(counts.shape[1])
    mirrored = weighed(counts, edges, replace(lane, rows=rows), rate_hz, gains)
    for one, other in zip(plain(layout), mirrored, strict=True):
        np.testing.assert_allclose(other.axles.load_kg, one.axles.load_kg, rtol=1e-9)
        np.testing.assert_allclose(other.axles.left_kg, one.axles.right_kg, rtol=1e-9)
        assert other.flags == one.flags
