"""Wheels of the vehicles before and behind on the outer rows, and touches that a row missed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.tangle import untangle

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
