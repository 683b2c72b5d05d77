"""The live bench: real sockets, another process, figures that belong together."""

from __future__ import annotations

from multiprocessing import resource_tracker

import pytest

from simulator.bench.live import run, traced
from simulator.bench.sender import LANES, RATE_HZ, station


@pytest.fixture(autouse=True, scope="module")
def _tracker() -> None:
    """Python's own helper of spawned processes stays until the end: it is no leak of a test."""
    resource_tracker.ensure_running()


def test_the_site_has_four_lanes_of_eight_channels_each() -> None:
    model = station().model
    assert len(model.lane) == LANES == 4
    assert all(2 * len(lane.row) == 8 for lane in model.lane)
    assert sum(len(d.channels) for d in model.digitiser) == 32
    assert RATE_HZ == 4_000.0


def test_a_short_run_weighs_over_sockets_and_loses_nothing() -> None:
    # A machine that stands still for a second loses samples; it does not do so every time.
    for _ in range(3):
        told: list[float] = []
        figures = run(8.0, progress=told.append)
        if figures["live.lost_samples"] == 0 and figures["live.vehicles"] >= 4:
            break
    assert figures["live.vehicles"] >= 4
    assert figures["live.lost_samples"] == 0
    assert 0 < figures["live.core_share_pct"] < 200
    assert 0 < figures["live.step_ms_p50"] <= figures["live.step_ms_p99"]
    assert figures["live.step_ms_p99"] <= figures["live.step_ms_max"]
    assert figures["live.rss_start_mb"] > 30
    growth = figures["live.rss_end_mb"] - figures["live.rss_start_mb"]
    assert figures["live.rss_growth_mb"] == pytest.approx(growth, abs=2e-3)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_allocations_can_be_followed() -> None:
    figures, lines = traced(5.0, block_s=0.02)
    assert set(figures) == {"live.traced_growth_kb"}
    assert any("kB" in line for line in lines)
