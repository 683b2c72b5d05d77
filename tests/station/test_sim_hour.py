"""Traffic in bulk: any number of processes makes the same samples."""

from __future__ import annotations

from dataclasses import replace
from multiprocessing import resource_tracker

import pytest

from simulator.hour import make_traffic


@pytest.fixture(scope="module", autouse=True)
def _tracker() -> None:
    """Python's own helper of spawned processes stays until the end: it is no leak of a test."""
    resource_tracker.ensure_running()


def test_processes_and_slices_make_the_same_samples() -> None:
    alone, together = make_traffic(6.0, seed=3), make_traffic(6.0, seed=3, jobs=3)
    assert replace(together, wall_s=alone.wall_s) == alone
    assert alone.samples == 6 * 4_000 * 32
    assert alone.vehicles > 2
    assert make_traffic(6.0, seed=4).crc != alone.crc
