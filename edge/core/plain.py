"""Vehicles about which nothing is in doubt, many of a block at once.

One interval of the separator, alone in its time, and the same wheels on every row in turn: what
the lane's tracker would decide touch by touch is known beforehand. Whatever is less plain than that
is left to the tracker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge.core.axles import is_even, trust
from edge.core.claim import BUMPER_M
from edge.core.conditioning import TYPICAL_CONTACT_M
from edge.core.course import CAUTION, MAX_SPACING_M, Course
from edge.core.quality import STOP_SHARE
from edge.core.separator import Beam
from edge.records import Bools, Floats, Indices, InputEdge, LaneLayout

__all__ = ["LEAVE_M", "MOST_AXLES", "Plain", "PlainFinder"]

LEAVE_M = 1.0
"""So far behind the last row a vehicle has left it."""

MOST_AXLES = 48
"""More axles than one vehicle has: the longest modular trailers have some forty."""

_LONGEST_S = 60.0
"""One that takes longer may be about to outlast the tracker's patience."""

_BEFORE_ALL = np.iinfo(np.int64).min


class Plain(NamedTuple):
    """A vehicle whose touches are the lines from ``begin`` to ``end`` and which two edges bound.

    It is what the tracker answers if nothing was under way at ``since_sample``.
    """

    begin: int
    end: int
    edge: int
    since_sample: int
    first_sample: int
    end_sample: int
    closed_sample: int


class _Stretches(NamedTuple):
    """Intervals of the separator, (n,) each, and the lines that may be the touches of theirs.

    ``edge`` is the first of the two edges at ``on_sample`` and ``off_sample``, before which come so
    many lines as ``on_line`` and ``off_line`` tell.
    """

    begin: Indices
    end: Indices
    edge: Indices
    on_line: Indices
    off_line: Indices
    on_sample: Indices
    off_sample: Indices
    since_sample: Indices
    closed_sample: Indices

    def only(self, chosen: Bools) -> _Stretches:
        """Some of them."""
        return _Stretches(*(values[chosen] for values in self))


class _Wheels(NamedTuple):
    """Enter and leave samples (n_rows, n_axles); ``of`` (n_axles,) tells the stretch of each."""

    enter: Indices
    leave: Indices
    of: Indices
    first: Indices


class PlainFinder:
    """Finds the plain vehicles of a lane that has a separator.

    Parameters
    ----------
    lane : LaneLayout
    beam : Beam
    rate_hz : float
    """

    def __init__(self, lane: LaneLayout, beam: Beam, rate_hz: float) -> None:
        rows = lane.rows
        self._rate_hz = rate_hz
        self._position_m = np.array([row.position_m for row in rows])
        self._way_m = self._position_m - rows[0].position_m
        self._width_m = np.array([row.width_m for row in rows])
        plate = np.array([row.kind == "plate" for row in rows])
        self._telling = np.flatnonzero(plate == plate.any())
        self._trust = trust(rows)
        self._least_mps = STOP_SHARE * lane.speed_min_mps
        self._debounce = beam.debounce_samples
        self._ahead_m = beam.position_m - rows[0].position_m
        self._leave_m = max(0.0, self._position_m[-1] - beam.position_m + LEAVE_M)

    def find(
        self, course: Course, edges: Sequence[InputEdge], ahead: Indices, until_sample: int
    ) -> list[Plain]:
        """Plain vehicles that close before ``until_sample``, in order.

        Parameters
        ----------
        course : Course
        edges : sequence of InputEdge
            In order of time.
        ahead : int64 array (n_edges,)
            How many lines of the course come before each.
        until_sample : int
        """
        if len(edges) < 2 or len(self._way_m) < 2:
            return []
        found = self._stretches(course, edges, ahead, until_sample)
        found = found.only(self._in_time(course, found))
        count = self._counted(course, found)
        even = (count == count[:, :1]).all(axis=1) & (count[:, 0] <= MOST_AXLES)
        found, n_axles = found.only(even), count[even, 0]
        if not len(n_axles):
            return []
        wheels = self._wheels(course, found, n_axles)
        chosen = self._in_turn(wheels, found)
        last = wheels.first + n_axles - 1
        bounds = wheels.enter[0, wheels.first], wheels.leave[-1, last], found.closed_sample
        told = (found.begin, found.end, found.edge, found.since_sample, *bounds)
        return list(map(Plain, *(values[chosen].tolist() for values in told)))

    def _stretches(
        self, course: Course, edges: Sequence[InputEdge], ahead: Indices, until_sample: int
    ) -> _Stretches:
        """Each from its first wheel on the first row to the next one's, if it is alone so long."""
        sample, row, _, leave = course.touches.T
        active = np.array([edge.active for edge in edges])
        at = np.array([edge.sample for edge in edges])
        edge = np.flatnonzero(active[:-1] & ~active[1:])
        fronts = np.append(np.flatnonzero((row == 0) & (leave < 0)), len(sample))
        begin = fronts[np.searchsorted(fronts, np.append(0, ahead)[edge])]
        end = fronts[np.searchsorted(fronts, ahead[edge + 1])]
        edge, begin, end = (values[begin < end] for values in (edge, begin, end))
        off = at[edge + 1]
        since = np.minimum(sample[begin], at[edge])
        closed = np.maximum(off + self._debounce, sample[end - 1])
        sample, times = (np.concatenate([[_BEFORE_ALL], x, [until_sample]]) for x in (sample, at))
        alone = np.maximum(sample[begin], times[edge]) < since
        alone &= closed < np.minimum(sample[end + 1], times[edge + 3])
        lines = ahead[edge], ahead[edge + 1]
        return _Stretches(begin, end, edge, *lines, at[edge], off, since, closed).only(alone)

    def _in_time(self, course: Course, found: _Stretches) -> Bools:
        """Whether no deadline falls before the last wheel has left the last row."""
        sample, row = course.touches[:, 0], course.touches[:, 1]
        begin, end = found.begin, found.end
        speed_mps, _, clear = course.known.T
        brief = found.closed_sample - found.since_sample < _LONGEST_S * self._rate_hz
        noticed = (found.on_line <= begin) | (clear[found.on_line] >= found.on_sample)
        ordered = (end == found.off_line) | (row[end - 1] == len(self._way_m) - 1)
        late, front = (np.append(0, np.cumsum(x)) for x in (course.late, row == 0))
        ordered &= (late[end] == late[begin + 1]) & (front[end] == front[found.off_line])
        way = self._leave_m / (CAUTION * speed_mps) * self._rate_hz
        # A sample more for the rounding of the deadline.
        spare = np.append(sample + 1.0, 0.0) - way
        bounds = np.stack([begin, end], axis=1).ravel()
        needed = np.maximum.reduceat(spare, bounds)[::2] if len(bounds) else spare[:0]
        return np.asarray(brief & noticed & ordered & (needed <= found.off_sample + self._debounce))

    def _counted(self, course: Course, found: _Stretches) -> Indices:
        """How many wheels came to each row, and left it: (n, 2 * n_rows)."""
        _, row, _, leave = course.touches.T
        kinds = np.arange(2 * len(self._way_m))
        each = np.zeros((len(row) + 1, len(kinds)), np.int64)
        np.cumsum((2 * row + (leave < 0))[:, None] == kinds, axis=0, out=each[1:])
        return np.asarray(each[found.end] - each[found.begin])

    def _wheels(self, course: Course, found: _Stretches, n_axles: Indices) -> _Wheels:
        """The k-th touch of every row is axle k."""
        _, row, _, leave = course.touches.T
        first = np.cumsum(n_axles) - n_axles
        of = np.repeat(np.arange(len(n_axles)), n_axles)
        number = np.arange(len(of)) - first[of]
        lines = np.empty((len(self._way_m), len(of)), np.int64)
        for k, own in enumerate(lines):
            left = np.flatnonzero((row == k) & (leave >= 0))
            own[:] = left[np.searchsorted(left, found.begin)[of] + number]
        return _Wheels(course.touches[lines, 2], course.touches[lines, 3], of, first)

    def _in_turn(self, wheels: _Wheels, found: _Stretches) -> Bools:
        """Whether the axles are those of one vehicle that rolled evenly before the beam."""
        centre_s = (wheels.enter + wheels.leave) / 2 / self._rate_hz
        slowness = np.diff(centre_s, axis=0) / np.diff(self._position_m)[:, None]
        least = np.minimum.reduceat(slowness.min(axis=0), wheels.first)
        most = np.maximum.reduceat(slowness.max(axis=0), wheels.first)
        even = is_even(least, most, self._rough_mps(wheels), self._trust)
        # What does not roll forward is not even either.
        took_s = np.maximum(centre_s[-1] - centre_s[0], 0.5 / self._rate_hz)
        speed_mps = self._way_m[-1] / took_s
        at_0_s = (centre_s - self._way_m[:, None] / speed_mps).sum(axis=0) / len(self._way_m)
        step_m = np.zeros(len(at_0_s))
        step_m[1:] = np.diff(at_0_s) * ((speed_mps[1:] + speed_mps[:-1]) / 2)
        step_m[wheels.first] = 0.0
        sound = (step_m >= 0) & (step_m <= MAX_SPACING_M) & (speed_mps >= self._least_mps)
        sound &= self._before_beam(wheels, found, at_0_s, speed_mps)
        return np.asarray(even & np.logical_and.reduceat(sound, wheels.first))

    def _rough_mps(self, wheels: _Wheels) -> Floats:
        """Median of each vehicle's speeds from touches' lengths."""
        n_rows, n_axles = len(self._telling), np.diff(wheels.first, append=len(wheels.of))
        reach = (self._width_m[self._telling] + TYPICAL_CONTACT_M) * self._rate_hz
        speeds = reach[:, None] / (wheels.leave - wheels.enter)[self._telling]
        ranked = speeds.ravel()[np.lexsort((speeds.ravel(), np.tile(wheels.of, n_rows)))]
        return np.asarray(ranked[n_rows * wheels.first + n_rows * n_axles // 2])

    def _before_beam(
        self, wheels: _Wheels, found: _Stretches, at_0_s: Floats, speed_mps: Floats
    ) -> Bools:
        """Whether each axle passed the beam while it was active, as ``claim`` looks at it."""
        on, off = found.on_sample[wheels.of], found.off_sample[wheels.of]
        if abs(self._ahead_m) > BUMPER_M:
            crossing = (at_0_s + self._ahead_m / speed_mps) * self._rate_hz
            away = np.maximum(np.maximum(on - crossing, crossing - off), 0.0)
            return np.asarray(away / self._rate_hz * speed_mps <= BUMPER_M)
        enter, leave = wheels.enter[0], wheels.leave[0]
        reach_m = self._width_m[0] + TYPICAL_CONTACT_M
        way_s = self._ahead_m * ((leave - enter) / self._rate_hz) / reach_m
        crossing = (enter + leave) / 2 + way_s * self._rate_hz
        return np.asarray((on - self._debounce <= crossing) & (crossing <= off + self._debounce))
