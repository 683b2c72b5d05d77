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
from edge.records import Bools, Floats, Indices, Row

__all__ = ["CAUTION", "MAX_SPACING_M", "Course", "Pace", "as_touch"]

as_touch = partial(tuple.__new__, Touch)
"""A touch from its line, as fast as it can be."""

MAX_SPACING_M = 12.0
"""Largest distance between two axles of one vehicle (low-bed combinations)."""

CAUTION = 0.7
"""The speed from a touch's length may be too high by this: tyres are not alike."""

_SPEEDS = 5
"""So many of the latest touches tell the present speed, by their median."""

_FEW = 12
"""So many touches are sooner followed one by one, in plain numbers, than in arrays."""


_NEVER: Bools = np.zeros(0, np.bool_)


class Course(NamedTuple):
    """Touches in order, and what is known before each of them and after the last.

    ``touches`` are int64 lines (n, 4) of :class:`~edge.core.pulses.Touch`. ``known`` (n + 1, 3) are
    the present speed in m/s, the least of the latest touches', and the sample at which every axle
    of a vehicle that was on the array has passed. ``late`` (n,) tells of each touch whether it is a
    wheel that came only after that.
    """

    touches: Indices
    known: Floats
    late: Bools


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
        if not len(touches):
            return Course(touches, self._last, _NEVER)
        return self._one_by_one(touches) if len(touches) < _FEW else self._at_once(touches)

    def _one_by_one(self, touches: Indices) -> Course:
        """What :meth:`_at_once` gives, bit for bit."""
        speeds, known, late = self._speeds.tolist(), self._last.tolist(), list[bool]()
        for sample, row, enter, leave in touches.tolist():
            now = known[-1]
            late.append(leave < 0 and sample > now[2])
            if leave >= 0:
                speeds.append(self._reach.item(row) / max(leave - enter, 1))
                latest = sorted(speeds[-_SPEEDS:])
                middle, least = latest[_SPEEDS // 2], min(x for x in latest if x > 0)
                clear = leave + self._way_m.item(row) / (CAUTION * middle) * self._rate_hz
                now = [middle, least, max(now[2], clear)]
            known.append(now)
        told = np.array(known)
        self._speeds, self._last = np.array(speeds[1 - _SPEEDS :]), told[-1:]
        return Course(touches, told, np.array(late))

    def _at_once(self, touches: Indices) -> Course:
        sample, row, enter, leave = touches.T
        gone = leave >= 0
        known = np.concatenate([self._last, self._known(row[gone], enter[gone], leave[gone])])
        np.maximum.accumulate(known[:, 2], out=known[:, 2])
        self._last = known[-1:]
        before = np.zeros(len(gone) + 1, np.int64)
        gone.cumsum(out=before[1:])
        known = known[before]
        return Course(touches, known, ~gone & (sample > known[:-1, 2]))

    def _known(self, row: Indices, enter: Indices, leave: Indices) -> Floats:
        """Median and least of the latest speeds, and the clear sample: (n, 3)."""
        n = len(row)
        told = np.empty((n, 3))
        if not n:
            return told
        speeds = self._reach[row] / np.maximum(leave - enter, 1)
        self._speeds = speeds = np.concatenate([self._speeds[1 - _SPEEDS :], speeds])
        latest = np.array([speeds[i : i + n] for i in range(_SPEEDS)])
        latest.sort(axis=0)
        told[:, 0] = middle = latest[_SPEEDS // 2]
        told[:, 1] = np.where(latest > 0, latest, np.inf).min(axis=0)
        told[:, 2] = leave + self._way_m[row] / (CAUTION * middle) * self._rate_hz
        return told
