"""Wheels of the vehicles before and behind on the outer rows, and touches that a row missed."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.core.axles import find_axles
from edge.core.tangle import untangle
from edge.records import Row

POSITION_M = np.array([0.0, 2.8, 5.6, 8.4])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(1.0, 9.0), min_size=1, max_size=40),
    st.floats(3.0, 30.0),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 2**32 - 1),
)
@example([1.0], 10.0, False, 1, 1, 0)  # as many touches on every row, one axle on half of them
def test_axles_are_found_among_wheels_of_others(
    spacing_m: list[float], mps: float, reverse: bool, before: int, behind: int, seed: int
) -> None:
    behind_m = np.cumsum([0.0, *spacing_m])
    n_axles = len(behind_m)
    draw = np.random.default_rng(seed)
    at_s = (POSITION_M + behind_m[:, None]) / mps + draw.uniform(-1e-4, 1e-4, (n_axles, 4))
    seen = draw.random(at_s.shape) < 0.97
    # Those before had left the first rows when the clip began, those behind not met the last yet.
    seen[: min(before, n_axles), :2] = False
    seen[n_axles - min(behind, n_axles) :, 2:] = False
    seen[seen.sum(axis=1) < 2] = False
    seen, at_s = seen[seen.any(axis=1)], at_s[seen.any(axis=1)]
    if not len(seen):
        return
    wanted = np.where(seen, seen.cumsum(axis=0) - 1, -1)
    if reverse:
        # The rows lie alike from both ends, and the last one is met first.
        at_s, seen, wanted = at_s[:, ::-1], seen[:, ::-1], wanted[:, ::-1]
    rows = [times[own] for times, own in zip(at_s.T, seen.T, strict=True)]
    touch, backward, doubtful = untangle(rows, POSITION_M, 1.1 * mps, 2.5)
    if not doubtful:
        assert backward is reverse
        assert touch.tolist() == wanted.tolist()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(1.2, 9.0), min_size=1, max_size=12),
    st.lists(st.floats(1.2, 9.0), max_size=4),
    st.lists(st.floats(1.2, 9.0), max_size=4),
    st.floats(5.5, 20.0),
    st.floats(5.5, 20.0),
    st.floats(2.0, 30.0),
    st.floats(0.75, 1.3),
)
def test_wheels_of_those_before_and_behind_are_told_by_when_they_came(
    own_m: list[float],
    ahead_m: list[float],
    behind_m: list[float],
    gap_m: float,
    next_gap_m: float,
    mps: float,
    tyre: float,
) -> None:
    rows = [Row(x, 0.06, "strip", 2 * r, 2 * r + 1) for r, x in enumerate(POSITION_M.tolist())]
    own = np.cumsum([0.0, *own_m])
    others = [-gap_m - np.cumsum([0.0, *ahead_m])[::-1], own[-1] + next_gap_m]
    before, behind = others[0], others[1] + np.cumsum([0.0, *behind_m])
    all_m = np.concatenate([before, own, behind])
    at_s = (POSITION_M + all_m[:, None]) / mps
    touch_s = 0.31 * tyre / mps
    enter_s, leave_s = at_s - touch_s / 2, at_s + touch_s / 2
    window_s = enter_s[len(before), 0], leave_s[len(before) + len(own) - 1, -1:]
    # Those beyond the window by more than its slack are not in the clip.
    seen = (enter_s > window_s[0] - 0.03) & (leave_s < window_s[1] + 0.03)
    row = np.repeat(np.arange(4), seen.sum(axis=0))
    times_s = np.concatenate([times[held] for times, held in zip(at_s.T, seen.T, strict=True)])
    axle = np.concatenate([np.flatnonzero(held) for held in seen.T]) - len(before)
    one = np.zeros(len(row), np.int64)
    found = find_axles(one, row, times_s, np.full(len(row), touch_s), 1, rows, window_s)
    assert not found.reversed[0]
    assert axle[found.touch].tolist() == [[k] * 4 for k in range(len(own))]
