"""What touches of a lane tell beforehand, all at once: the present speed and when it is clear.

Neither depends on which touches are one vehicle, so a tracker may look them up touch by touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from edge.core.conditioning import TYPICAL_CONTACT_M
from edge.core.pulses import Touch
from edge.records import Floats, Indices, Row

__all__ = ["CAUTION", "MAX_SPACING_M", "Course", "Pace", "as_touch"]

as_touch = partial(tuple.__new__, Touch)
"""A touch from its line, as fast as it can be."""

MAX_SPACING_M = 12.0
"""Largest distance between two axles of one vehicle (low-bed combinations)."""

CAUTION = 0.7
"""The speed from a touch's length may be too high by this: tyres are not alike."""

_SPEEDS = 5
"""So many of the latest touches tell the present speed, by their median."""


class Course(NamedTuple):
    """Lines of touches in order, and what is known before each of them and after the last.

    ``speed_mps`` is the present speed, ``slowest_mps`` the least of the latest touches; at
    ``clear_sample`` every axle of a vehicle that was on the array has passed. ``late`` tells of
    each touch whether it is a wheel that came only after that.
    """

    lines: list[tuple[int, ...]]
    sample: list[int]
    speed_mps: list[float]
    slowest_mps: list[float]
    clear_sample: list[float]
    late: list[bool]


class Pace:
    """Follows the speed on a lane from the lengths of touches.

    Parameters
    ----------
    rows : sequence of Row
    rate_hz : float
    speed_mps : float
        To begin with.
    """

    def __init__(self, rows: Sequence[Row], rate_hz: float, speed_mps: float) -> None:
        position_m = np.array([row.position_m for row in rows])
        self._rate_hz = rate_hz
        self._reach = (np.array([row.width_m for row in rows]) + TYPICAL_CONTACT_M) * rate_hz
        self._way_m = np.maximum(
            MAX_SPACING_M - (position_m - position_m[0]), position_m[-1] - position_m + 1.0
        )
        # Infinities that keep the middle of five that of the true ones, while these are fewer.
        self._speeds = np.array([-np.inf, np.inf, -np.inf, np.inf])
        self._last = np.array([[speed_mps, np.inf, 0.0]])

    def follow(self, touches: Indices) -> Course:
        """Take the touches that come next, int64 (n, 4) lines of :class:`Touch`."""
        sample, row, enter, leave = touches.T
        gone = leave >= 0
        known = np.concatenate([self._last, self._known(row[gone], enter[gone], leave[gone])])
        np.maximum.accumulate(known[:, 2], out=known[:, 2])
        self._last = known[-1:]
        speed_mps, slowest_mps, clear = known[np.append(0, np.cumsum(gone))].T
        late = (~gone & (sample > clear[:-1])).tolist()
        columns = touches.T.tolist()
        told = (columns[0], speed_mps.tolist(), slowest_mps.tolist(), clear.tolist())
        return Course(list(zip(*columns, strict=True)), *told, late)

    def _known(self, row: Indices, enter: Indices, leave: Indices) -> Floats:
        """Median and least of the latest speeds, and the clear sample: (n, 3)."""
        if not len(row):
            return np.empty((0, 3))
        speeds = self._reach[row] / np.maximum(leave - enter, 1)
        self._speeds = speeds = np.concatenate([self._speeds[1 - _SPEEDS :], speeds])
        latest = np.sort(np.lib.stride_tricks.sliding_window_view(speeds, _SPEEDS), axis=1)
        middle = latest[:, _SPEEDS // 2]
        least = np.where(latest > 0, latest, np.inf).min(axis=1)
        clear = leave + self._way_m[row] / (CAUTION * middle) * self._rate_hz
        return np.stack([middle, least, clear], axis=1)
