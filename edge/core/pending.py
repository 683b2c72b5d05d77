"""Wheels on a lane that no vehicle has claimed yet, and until when to wait for more."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np

from edge.core.claim import BUMPER_M
from edge.core.course import CAUTION, as_touch
from edge.core.plain import LEAVE_M
from edge.core.pulses import Touch
from edge.core.separator import Beam, Interval
from edge.records import LaneLayout

__all__ = ["Pending"]

_CRAWL_MPS = 2.0
_CRAWL_WAIT_S = 60.0
_STANDING_WAIT_S = 120.0
_LONGEST_WAIT_S = 300.0
"""A queue without an end, or a separator that is gone: no wheel waits longer for its vehicle, for
its samples are held that long."""


class Pending:
    """The vehicle in the making.

    Parameters
    ----------
    lane : LaneLayout
    rate_hz : float
    beam : Beam, optional
        The lane's separator.

    Attributes
    ----------
    touches : list of Touch
        In order of their ends.
    on : dict of int to int
        Rows on which a wheel is, and when it came.
    count : list of int
        Touches of each row.
    speed_mps : float
        The present speed.
    """

    def __init__(self, lane: LaneLayout, rate_hz: float, beam: Beam | None) -> None:
        self._rate_hz = rate_hz
        self._position_m = [row.position_m for row in lane.rows]
        self._beam = beam
        self.touches: list[Touch] = []
        self.on: dict[int, int] = {}
        self.count = [0] * len(lane.rows)
        self.speed_mps = lane.speed_min_mps
        self._slowest_mps = np.inf
        self._clear_sample = 0.0

    def __bool__(self) -> bool:
        """Whether any wheel was or is there."""
        return bool(self.touches or self.on)

    @property
    def waiting_from(self) -> int | None:
        """First sample that is still needed, if there is one."""
        enters = [t.enter_sample for t in self.touches] + list(self.on.values())
        return min(enters, default=None)

    def heed(self, known: Sequence[float]) -> None:
        """Take over a line of :class:`~edge.core.course.Course`."""
        self.speed_mps, self._slowest_mps, self._clear_sample = known

    def take(self, line: Sequence[int]) -> None:
        """A wheel came to a row, or left it."""
        _, row, enter_sample, leave_sample = line
        if leave_sample < 0:
            self.on[row] = enter_sample
        else:
            self.on.pop(row, None)
            self.touches.append(as_touch(line))
            self.count[row] += 1

    def keep(self, kept: Sequence[Touch]) -> None:
        """All other touches have found their vehicle."""
        self.touches = sorted(kept, key=itemgetter(3))
        self.count = [0] * len(self.count)
        for touch in kept:
            self.count[touch.row] += 1

    def _samples(self, way_m: float) -> float:
        """Samples that a way takes at the present speed, on the safe side."""
        return way_m / (CAUTION * self.speed_mps) * self._rate_hz

    def nothing_due_until(self, now: int) -> float:
        """No touch to come can bring a deadline before this; an edge may."""
        since = self.touches[0].leave_sample if self.touches else now
        return min(self._no_end_until(now), since + _LONGEST_WAIT_S * self._rate_hz - 1)

    def _no_end_until(self, now: int) -> float:
        beam = self._beam
        if beam is not None and beam.trusted and beam.intervals:
            end_sample = beam.intervals[0].end_sample
            if end_sample is not None:
                return end_sample + beam.debounce_samples
            return (self._last() if self.touches else now) + _STANDING_WAIT_S * self._rate_hz - 1
        return self._clear_sample - 1

    def deadline(self) -> int | None:
        end, latest = self._end(), self.latest()
        return latest if end is None or (latest is not None and latest < end) else end

    def latest(self) -> int | None:
        """When the wheel that waits longest has waited too long."""
        if not self.touches:
            return None
        return round(self.touches[0].leave_sample + _LONGEST_WAIT_S * self._rate_hz)

    def _end(self) -> int | None:
        """When the vehicle in the making ends, as far as its wheels and the beam tell."""
        beam = self._beam
        if beam is not None and beam.trusted and beam.intervals:
            first = beam.intervals[0]
            if first.end_sample is not None:
                return self._deadline_of(beam, first, first.end_sample)
            if self.touches and not self.on:
                return self._last() + round(_STANDING_WAIT_S * self._rate_hz)
            return None
        if self.on or not self.touches:
            return None
        due = self._clear_sample
        if beam is not None and beam.trusted:
            due += self._samples(max(0.0, beam.position_m - self._position_m[-1]) + BUMPER_M)
        return round(due + self._crawl_wait())

    def _deadline_of(self, beam: Beam, interval: Interval, end_sample: int) -> int | None:
        """When the vehicle of an interval that ended has left the last row."""
        settled = end_sample + beam.debounce_samples
        if not self.touches and not self.on:
            return settled
        for row, enter in self.on.items():
            ahead_m = beam.position_m - self._position_m[row]
            if enter + ahead_m / self.speed_mps * self._rate_hz < end_sample:
                return None
        left = self.count[0] == self.count[-1] > 0
        if left and not self.on:
            return max(settled, self._last())
        way_m = max(0.0, self._position_m[-1] - beam.position_m + LEAVE_M)
        return round(settled + self._samples(way_m) + self._crawl_wait())

    def _crawl_wait(self) -> float:
        """Extra patience with one that creeps and has not been on every row."""
        everywhere = self.count[0] == self.count[-1]
        if self._slowest_mps > _CRAWL_MPS or everywhere:
            return 0.0
        return _CRAWL_WAIT_S * self._rate_hz

    def _last(self) -> int:
        return max(t.leave_sample for t in self.touches)
