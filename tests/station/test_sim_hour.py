"""Traffic in bulk: any number of processes makes the same samples."""

from __future__ import annotations

from dataclasses import replace

from simulator.hour import make_traffic


def test_processes_and_slices_make_the_same_samples() -> None:
    alone, together = make_traffic(12.0, seed=3), make_traffic(12.0, seed=3, jobs=3)
    assert replace(together, wall_s=alone.wall_s) == alone
    assert alone.samples == 12 * 4_000 * 32
    assert alone.vehicles > 5
    assert make_traffic(12.0, seed=4).crc != alone.crc
