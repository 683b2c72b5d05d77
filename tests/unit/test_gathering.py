"""Outages and lost samples: everything is told, nothing can flood the log."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import Text
from edge.gathering import LONGEST_NS, MENTION_NS, QUIET_NS, SETTLED_NS, Gaps, Outages
from edge.health import Level
from edge.records import SampleBlock

S = 1_000_000_000
TEXT = Text("线断", "line lost")


def run(*changes: tuple[float, Level], until_s: float) -> list[tuple[float, str, str, int, float]]:
    """Events of one part whose level changes at given seconds: when, what, level, how often,
    for how long; time goes on in tenths of a second."""
    outages, said = Outages(), []
    at = {round(s * 10): level for s, level in changes}
    for tick in range(round(until_s * 10) + 1):
        now_ns = tick * S // 10
        events = [*outages.hear("camera.C1", at[tick], TEXT, now_ns)] if tick in at else []
        events += outages.due(now_ns)
        said += [(now_ns / S, e.event, e.level.value, e.outages, e.bad_ns / S) for e in events]
    return said


def test_a_fault_is_said_at_once_and_its_end_when_it_has_lasted() -> None:
    assert run((5, Level.DOWN), (8, Level.OK), until_s=30) == [
        (5.0, "fault", "down", 1, 0.0),
        (18.0, "recovered", "ok", 1, 3.0),
    ]


def test_one_that_comes_and_goes_is_gathered() -> None:
    changes = []
    for k in range(100):
        changes += [(1 + 4 * k, Level.DOWN), (2 + 4 * k, Level.OK)]
    said = run(*changes, until_s=430)
    assert said == [(1.0, "fault", "down", 1, 0.0), (408.0, "recovered", "ok", 100, 100.0)]


def test_one_that_never_rests_is_mentioned_once_an_hour() -> None:
    changes = []
    for k in range(2_000):
        changes += [(1 + 4 * k, Level.DOWN), (2 + 4 * k, Level.OK)]
    said = run(*changes, until_s=7_900)
    assert [event for _, event, *_ in said] == ["fault", "flapping", "flapping"]
    assert said[1][0] - said[0][0] == pytest.approx(MENTION_NS / S, abs=4)


def test_worse_is_said_at_once_and_better_when_it_lasts() -> None:
    said = run(
        (1, Level.WARNING), (2, Level.DOWN), (30, Level.WARNING), (90, Level.OK), until_s=120
    )
    assert [(event, level) for _, event, level, *_ in said] == [
        ("fault", "warning"), ("fault", "down"), ("recovered", "warning"), ("recovered", "ok"),
    ]  # fmt: skip
    assert said[-1][3:] == (1, 89.0)


def test_a_start_in_order_says_nothing() -> None:
    assert run((1, Level.WAITING), (2, Level.OK), until_s=60) == []


def test_waiting_is_neither_fault_nor_recovery() -> None:
    said = run((1, Level.DOWN), (2, Level.WAITING), (40, Level.OK), until_s=60)
    assert [(event, bad) for _, event, _, _, bad in said] == [("fault", 0.0), ("recovered", 39.0)]


def block(first: int, lost: int, *, restarted: bool = False, device: str = "D1") -> SampleBlock:
    return SampleBlock(device, first, np.zeros((10, 1), np.int32), 1e3, lost, restarted)


def test_holes_close_together_are_one_statement() -> None:
    gaps = Gaps()
    for k, first in enumerate((1_000, 1_030, 1_090)):
        assert list(gaps.take(block(first, 20), k * S)) == []
    assert list(gaps.due(2 * S + QUIET_NS - 1)) == []
    (found,) = gaps.due(2 * S + QUIET_NS)
    assert (found.first_sample, found.end_sample, found.lost, found.gaps) == (980, 1_090, 60, 3)
    assert found.mono_ns == 0
    assert list(gaps.due(100 * S)) == []


def test_a_line_that_always_loses_is_told_once_a_minute() -> None:
    gaps, told = Gaps(), 0
    for k in range(600):
        assert list(gaps.take(block(1_000 + 30 * k, 20), k * S // 2)) == []
        told += len(list(gaps.due(k * S // 2)))
    assert told == 300 * S // LONGEST_NS - 1
    (last,) = gaps.due(0, all_of_them=True)
    assert last.lost > 0


def test_a_device_that_counts_anew_begins_a_gap_of_its_own() -> None:
    gaps = Gaps()
    assert list(gaps.take(block(1_000, 20), 0)) == []
    (before,) = gaps.take(block(0, 0, restarted=True), S)
    assert (before.lost, before.restarted) == (20, False)
    (after,) = gaps.due(S, all_of_them=True)
    assert (after.first_sample, after.lost, after.restarted) == (0, 0, True)


def test_devices_do_not_mix() -> None:
    gaps = Gaps()
    list(gaps.take(block(1_000, 20), 0))
    list(gaps.take(block(500, 5, device="D2"), 0))
    found = {gap.device: gap.lost for gap in gaps.due(10 * S)}
    assert found == {"D1": 20, "D2": 5}


def test_settling_is_longer_than_the_wait_between_two_tries() -> None:
    # A line that is tried again every 5 s must not count as recovered between two tries.
    assert SETTLED_NS > 5 * S
