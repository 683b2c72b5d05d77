"""Free flow is counted by worlds, whatever process drives them."""

from __future__ import annotations

from simulator.bench.free_flow import Counted, count_world


def test_every_axle_of_free_flow_is_counted_once() -> None:
    counted = count_world(12, 9)
    assert counted == Counted(vehicles=12, right=12, flagged=counted.flagged)
    assert counted.right_pct == 100.0


def test_counts_add_and_a_ghost_takes_one_away() -> None:
    one = Counted(vehicles=4, right=3, wrong=1)
    both = one + Counted(vehicles=6, right=5, missed=1, ghosts=1)
    assert both == Counted(vehicles=10, right=8, wrong=1, missed=1, ghosts=1)
    assert both.right_pct == 70.0
