"""Which axles are one vehicle: by the separator where the lane has one, else by distance.

A lane's tracker takes touches and input edges in order of time and answers windows of samples, one
a vehicle. Each decision falls at a sample that the data alone fix, never at the end of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from operator import attrgetter, itemgetter
from typing import NamedTuple

import numpy as np

from edge.core.claim import BUMPER_M, claim
from edge.core.course import CAUTION, MAX_SPACING_M, Course, Pace, as_touch
from edge.core.lineup import Axle, line_up, step_m
from edge.core.parting import backwards, by_distance, by_speed, doubts
from edge.core.plain import LEAVE_M, MOST_AXLES, PlainFinder
from edge.core.pulses import Touch
from edge.core.quality import STOP_SHARE
from edge.core.separator import Beam, Interval
from edge.records import Flag, Indices, InputEdge, LaneLayout

__all__ = ["LaneTracker", "Window"]

_CRAWL_MPS = 2.0
_CRAWL_WAIT_S = 60.0
_STANDING_WAIT_S = 120.0
_LONGEST_WAIT_S = 300.0
"""A queue without an end, or a separator that is gone: no wheel waits longer for its vehicle, for
its samples are held that long."""
_BRAKE_MPS2 = 4.0


class Window(NamedTuple):
    """First contact, last release (exclusive) and the sample at which the vehicle was closed."""

    first_sample: int
    end_sample: int
    closed_sample: int
    flags: Flag


class _Walk(NamedTuple):
    """What comes in one call; ``ahead`` tells how many touches come before each edge."""

    course: Course
    edges: Sequence[InputEdge]
    ahead: Sequence[int]


class LaneTracker:
    """Touches and edges of one lane in, vehicles out.

    Parameters
    ----------
    lane : LaneLayout
    rate_hz : float
    begin_sample : int
        Where the stream begins: a vehicle may have been on the array before.

    Attributes
    ----------
    stray : int
        Touches that were no vehicle: a step, a blow, a person crossing.
    """

    def __init__(self, lane: LaneLayout, rate_hz: float, begin_sample: int) -> None:
        self._lane = lane
        self._begin_sample = begin_sample
        self._rate_hz = rate_hz
        self._position_m = [row.position_m for row in lane.rows]
        self._pace = Pace(lane.rows, rate_hz, lane.speed_min_mps)
        self._touches: list[Touch] = []
        self._count = [0] * len(lane.rows)
        self._on: dict[int, int] = {}
        self._speed_mps = lane.speed_min_mps
        self._slowest_mps = np.inf
        self._quiet_until = -np.inf
        self._clear_sample = 0.0
        self._pauses = 0
        self._beam = Beam(lane.separator, rate_hz) if lane.separator else None
        self._plain = PlainFinder(lane, self._beam, rate_hz) if self._beam else None
        self.stray = 0

    @property
    def waiting_from(self) -> int | None:
        """First sample that a vehicle in the making needs, if there is one."""
        enters = [t.enter_sample for t in self._touches] + list(self._on.values())
        return min(enters, default=None)

    def advance(
        self, touches: Indices, edges: Sequence[InputEdge], until_sample: int
    ) -> list[Window]:
        """Vehicles that closed before ``until_sample``; all touches and edges lie before it.

        ``touches`` are int64 lines (n, 4) of :class:`~edge.core.pulses.Touch`, in order of time.
        """
        course, edges = self._pace.follow(touches), sorted(edges, key=attrgetter("sample"))
        # Of one sample the edge comes first.
        ahead = np.searchsorted(touches[:, 0], [edge.sample for edge in edges])
        walk = _Walk(course, edges, ahead.tolist())
        windows, line, edge = list[Window](), 0, 0
        for one in self._plain.find(course, edges, ahead, until_sample) if self._plain else ():
            if (line, edge) != (one.begin, one.edge) or not self._at_rest:
                windows += self._follow(walk, (line, edge), (one.begin, one.edge), one.since_sample)
                line, edge = one.begin, one.edge
            if self._at_rest:
                windows.append(Window(*one[-3:], Flag.NONE))
                self._pass_by()
                line, edge = one.end, one.edge + 2
        end = len(touches), len(edges)
        return windows + self._follow(walk, (line, edge), end, until_sample)

    def close(self, at_sample: int) -> list[Window]:
        """The data end here: everything pending closes as incomplete."""
        for row, enter in self._on.items():
            self._touches.append(Touch(at_sample, row, enter, at_sample))
        self._on.clear()
        return self._by_distance(at_sample, Flag.INCOMPLETE)

    # ------------------------------------------------------------------------------------------
    # events

    @property
    def _at_rest(self) -> bool:
        """Whether nothing is under way, neither on the rows nor before the beam."""
        beam = self._beam
        unseen = beam is None or (beam.trusted and not beam.intervals)
        return unseen and not self._touches and not self._on

    def _pass_by(self) -> None:
        """A vehicle came and went, and leaves nothing behind."""
        if self._beam is not None:
            self._beam.passed()
        self._quiet_until = -np.inf

    def _edge(self, edge: InputEdge) -> None:
        if self._beam is not None:
            self._beam.change(edge)
            self._renew_trust()
            self._quiet_until = -np.inf

    def _follow(
        self, walk: _Walk, begin: tuple[int, int], end: tuple[int, int], until_sample: int
    ) -> list[Window]:
        """Touch by touch and edge by edge, from so many lines and edges to so many."""
        windows: list[Window] = []
        line = begin[0]
        for number in range(begin[1], end[1]):
            edge, ahead = walk.edges[number], walk.ahead[number]
            windows += self._roll(walk.course, line, ahead)
            windows += self._due(edge.sample)
            self._edge(edge)
            line = ahead
        windows += self._roll(walk.course, line, end[0])
        return windows + self._due(until_sample)

    def _roll(self, course: Course, begin: int, end: int) -> list[Window]:
        """Touches between two edges: all work that is done for each of them."""
        windows: list[Window] = []
        on, known = self._on, course.known[begin : end + 1].tolist()
        lines, late = course.touches[begin:end].tolist(), course.late[begin:end].tolist()
        for line, late_one, now in zip(lines, late, known, strict=False):
            sample, row, enter_sample, leave_sample = line
            if sample > self._quiet_until or late_one:
                self._heed(now)
                windows += self._due(sample)
                if late_one and self._touches and not on:
                    windows += self._pause(sample)
            if leave_sample < 0:
                on[row] = enter_sample
            else:
                on.pop(row, None)
                self._touches.append(as_touch(line))
                self._count[row] += 1
                if self._count[row] > MOST_AXLES:
                    windows += self._cut_off(sample)
        self._heed(known[-1])
        return windows

    def _heed(self, known: Sequence[float]) -> None:
        """Take over what was known when so many touches had passed."""
        self._speed_mps, self._slowest_mps, self._clear_sample = known

    def _pause(self, sample: int) -> list[Window]:
        """A wheel comes after a gap too long for one vehicle, yet the beam never was free.

        It stopped and went on, or the beam is stuck: one pause that brakes allow is believed.
        """
        beam = self._beam
        if beam is None or not beam.trusted or not beam.stays_active:
            return []
        self._pauses += 1
        impossible = self._speed_mps**2 / (2 * _BRAKE_MPS2) > MAX_SPACING_M
        if not impossible and self._pauses < 2:
            return []
        beam.distrust()
        self._quiet_until = -np.inf
        doubt = Flag.NONE if impossible else Flag.AMBIGUOUS
        return self._by_distance(sample, Flag.SEPARATOR_FAULT | doubt)

    # ------------------------------------------------------------------------------------------
    # deadlines

    def _samples(self, way_m: float) -> float:
        """Samples that a way takes at the present speed, on the safe side."""
        return way_m / (CAUTION * self._speed_mps) * self._rate_hz

    def _due(self, before_sample: int) -> list[Window]:
        """Close what falls due before a sample."""
        windows: list[Window] = []
        while (due := self._deadline()) is not None and due < before_sample:
            windows += self._settle(due)
        self._quiet_until = self._nothing_due_until(before_sample)
        return windows

    def _nothing_due_until(self, now: int) -> float:
        """No touch to come can bring a deadline before this; an edge may."""
        since = self._touches[0].leave_sample if self._touches else now
        return min(self._no_end_until(now), since + _LONGEST_WAIT_S * self._rate_hz - 1)

    def _no_end_until(self, now: int) -> float:
        beam = self._beam
        if beam is not None and beam.trusted and beam.intervals:
            end_sample = beam.intervals[0].end_sample
            if end_sample is not None:
                return end_sample + beam.debounce_samples
            return (self._last() if self._touches else now) + _STANDING_WAIT_S * self._rate_hz - 1
        return self._clear_sample - 1

    def _deadline(self) -> int | None:
        end, latest = self._end(), self._latest()
        return latest if end is None or (latest is not None and latest < end) else end

    def _latest(self) -> int | None:
        """When the wheel that waits longest has waited too long."""
        if not self._touches:
            return None
        return round(self._touches[0].leave_sample + _LONGEST_WAIT_S * self._rate_hz)

    def _end(self) -> int | None:
        """When the vehicle in the making ends, as far as its wheels and the beam tell."""
        beam = self._beam
        if beam is not None and beam.trusted and beam.intervals:
            first = beam.intervals[0]
            if first.end_sample is not None:
                return self._deadline_of(beam, first, first.end_sample)
            if self._touches and not self._on:
                return self._last() + round(_STANDING_WAIT_S * self._rate_hz)
            return None
        if self._on or not self._touches:
            return None
        due = self._clear_sample
        if beam is not None and beam.trusted:
            due += self._samples(max(0.0, beam.position_m - self._position_m[-1]) + BUMPER_M)
        return round(due + self._crawl_wait())

    def _deadline_of(self, beam: Beam, interval: Interval, end_sample: int) -> int | None:
        """When the vehicle of an interval that ended has left the last row."""
        settled = end_sample + beam.debounce_samples
        if not self._touches and not self._on:
            return settled
        for row, enter in self._on.items():
            ahead_m = beam.position_m - self._position_m[row]
            if enter + ahead_m / self._speed_mps * self._rate_hz < end_sample:
                return None
        left = self._count[0] == self._count[-1] > 0
        if left and not self._on:
            return max(settled, self._last())
        way_m = max(0.0, self._position_m[-1] - beam.position_m + LEAVE_M)
        return round(settled + self._samples(way_m) + self._crawl_wait())

    def _crawl_wait(self) -> float:
        """Extra patience with one that creeps and has not been on every row."""
        everywhere = self._count[0] == self._count[-1]
        if self._slowest_mps > _CRAWL_MPS or everywhere:
            return 0.0
        return _CRAWL_WAIT_S * self._rate_hz

    def _last(self) -> int:
        return max(t.leave_sample for t in self._touches)

    # ------------------------------------------------------------------------------------------
    # settling

    def _settle(self, now: int) -> list[Window]:
        beam = self._beam
        if now == self._latest():
            return self._cut_off(now)
        if beam is None:
            return self._by_distance(now, Flag.NONE)
        if not beam.trusted or not beam.intervals:
            return self._by_distance(now, Flag.SEPARATOR_FAULT)
        if beam.intervals[0].end_sample is None:
            beam.distrust()
            return self._by_distance(now, Flag.SEPARATOR_FAULT | Flag.INCOMPLETE)
        return self._by_beam(beam, now)

    def _cut_off(self, now: int) -> list[Window]:
        """Close what has no end, perhaps within a vehicle: neither part of it is one."""
        self._begin_sample = now
        if self._beam is None:
            return self._by_distance(now, Flag.AMBIGUOUS)
        self._beam.distrust()
        return self._by_distance(now, Flag.AMBIGUOUS | Flag.SEPARATOR_FAULT)

    def _by_beam(self, beam: Beam, now: int) -> list[Window]:
        """The vehicle of the oldest interval, and what passed before it unseen by the beam."""
        mine, missed = claim(beam, self._touches, self._lane.rows, self._rate_hz)
        claimed = {id(touch) for axle in chain(mine, missed) for touch in axle.touches}
        beam.intervals.pop(0)
        windows = self._split(mine, now, self._believed(mine))
        if missed:
            windows += self._split(missed, now, Flag.SEPARATOR_FAULT)
        self._keep([touch for touch in self._touches if id(touch) not in claimed])
        return sorted(windows)

    def _believed(self, mine: Sequence[Axle]) -> Flag:
        """What to think of one interval of the beam over axles that are far apart in time."""
        slowest_mps = min((abs(axle.speed_mps) for axle in mine), default=np.inf)
        if self._pauses or slowest_mps < STOP_SHARE * self._lane.speed_min_mps:
            return Flag.STOPPED
        torn = any(step_m(*pair) > MAX_SPACING_M for pair in pairwise(mine))
        return Flag.SEPARATOR_FAULT if torn else Flag.NONE

    def _by_distance(self, now: int, flags: Flag) -> list[Window]:
        """Every pending axle, parted where no vehicle is that long between two axles."""
        windows = self._split(line_up(self._touches, self._lane.rows, self._rate_hz), now, flags)
        self._keep([])
        return windows

    def _split(self, axles: Sequence[Axle], now: int, flags: Flag) -> list[Window]:
        by_beam = self._beam is not None and Flag.SEPARATOR_FAULT not in flags
        windows = []
        parts = by_distance(axles, np.inf if Flag.STOPPED in flags else MAX_SPACING_M)
        for part in parts if by_beam else chain.from_iterable(map(by_speed, parts)):
            if all(len(axle.touches) < 2 for axle in part):
                self.stray += sum(len(axle.touches) for axle in part)
                continue
            first = min(axle.first_sample for axle in part)
            end = max(axle.end_sample for axle in part)
            doubt = backwards(part)
            if not by_beam:
                since_s = (first - self._begin_sample) / self._rate_hz
                awake = self._beam is not None and not self._beam.out_of_order
                doubt |= doubts(part, since_s, awake)
            windows.append(Window(round(first), round(end), now, flags | doubt))
        if self._beam is not None and not by_beam:
            self._beam.missed(len(windows))
        return windows

    def _keep(self, kept: Sequence[Touch]) -> None:
        self._touches = sorted(kept, key=itemgetter(3))
        self._count = [0] * len(self._lane.rows)
        for touch in kept:
            self._count[touch.row] += 1
        if not kept:
            self._pauses = 0
            self._renew_trust()

    def _renew_trust(self) -> None:
        if self._beam is not None and not self._touches and not self._on:
            self._beam.renew_trust()
