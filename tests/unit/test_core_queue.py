"""A queue without an end: what waits is bounded, and nothing that it breaks apart is a vehicle."""

from __future__ import annotations

import numpy as np
import pytest

from edge.core.pulses import Touch
from edge.core.vehicles import LaneTracker, Window
from edge.records import Flag, InputEdge
from tests.unit.core_signals import RATE_HZ, strip_lane

APART_M, CONTACT_M = 3.5, 0.25
AXLES, MOST_AXLES = 110, 50
LONGEST_WAIT_S = 300
STUCK = [InputEdge("D1", 10, 0, True)]


def queue(speed_mps: float) -> list[Touch]:
    """Axle behind axle, none so far from the next that two vehicles must part there."""
    touches = []
    for axle in range(AXLES):
        for number, row in enumerate(strip_lane().rows):
            enter_s = (axle * APART_M + row.position_m) / speed_mps
            leave_s = enter_s + (row.width_m + CONTACT_M) / speed_mps
            enter, leave = round(enter_s * RATE_HZ), round(leave_s * RATE_HZ)
            touches += [Touch(enter + 5, number, enter, -1), Touch(leave, number, enter, leave)]
    return sorted(touches)


def followed(
    speed_mps: float, separator: bool, edges: list[InputEdge], step_s: float
) -> tuple[list[Window], float]:
    """Windows of the queue, and for how many seconds the oldest wheel waited at most."""
    tracker = LaneTracker(strip_lane(separator), RATE_HZ, 0)
    touches, windows, longest, begin = queue(speed_mps), [], 0.0, 0
    while begin < AXLES * APART_M / speed_mps * RATE_HZ:
        until = begin + round(step_s * RATE_HZ)
        now = np.array([t for t in touches if begin <= t.sample < until], np.int64).reshape(-1, 4)
        windows += tracker.advance(now, [e for e in edges if begin <= e.sample < until], until)
        waiting = tracker.waiting_from
        longest = max(longest, until - (until if waiting is None else waiting))
        begin = until
    return windows, longest / RATE_HZ


@pytest.mark.parametrize(
    ("speed_mps", "separator", "edges"),
    [(0.3, False, []), (2.5, False, []), (2.5, True, []), (2.5, True, STUCK)],
    ids=["slow", "none", "dead", "stuck"],
)
def test_a_queue_without_an_end_is_cut_and_doubted(
    speed_mps: float, separator: bool, edges: list[InputEdge]
) -> None:
    windows, longest_s = followed(speed_mps, separator, edges, 10.0)
    assert longest_s < LONGEST_WAIT_S + 20
    longest_m = max(w.end_sample - w.first_sample for w in windows) / RATE_HZ * speed_mps
    assert longest_m < MOST_AXLES * APART_M
    assert all(window.flags & (Flag.AMBIGUOUS | Flag.INCOMPLETE) for window in windows)
    assert windows == followed(speed_mps, separator, edges, 7.3)[0]
