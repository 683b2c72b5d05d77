"""Which axles are one vehicle: by the separator where the lane has one, else by distance.

A lane's tracker takes touches and input edges in order of time and answers windows of samples, one
a vehicle. Each decision falls at a sample that the data alone fix, never at the end of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from edge.core.claim import claim
from edge.core.course import MAX_SPACING_M, Course, Pace
from edge.core.lineup import Axle, line_up, step_m
from edge.core.parting import backwards, by_distance, by_speed, doubts
from edge.core.pending import Pending
from edge.core.plain import MOST_AXLES, PlainFinder
from edge.core.pulses import Touch
from edge.core.quality import STOP_SHARE
from edge.core.separator import Beam
from edge.records import Flag, Indices, InputEdge, LaneLayout

__all__ = ["MEMORY_S", "LaneTracker", "Window"]

MEMORY_S = 10.0
"""A vehicle is looked for from so long before its first touch, and samples are kept so long."""

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
        self._pace = Pace(lane.rows, rate_hz, lane.speed_min_mps)
        self._quiet_until = -np.inf
        self._seen_sample = begin_sample
        self._pauses = 0
        self._beam = Beam(lane.separator, rate_hz) if lane.separator else None
        self._pending = Pending(lane, rate_hz, self._beam)
        self._plain = PlainFinder(lane, self._beam, rate_hz) if self._beam else None
        self.stray = 0

    @property
    def waiting_from(self) -> int | None:
        """First sample that a vehicle in the making needs, if there is one."""
        return self._pending.waiting_from

    def advance(
        self, touches: Indices, edges: Sequence[InputEdge], until_sample: int
    ) -> list[Window]:
        """Vehicles that closed before ``until_sample``; all touches and edges lie before it.

        ``touches`` are int64 lines (n, 4) of :class:`~edge.core.pulses.Touch`, in order of time.
        """
        course, edges = self._pace.follow(touches), sorted(edges, key=attrgetter("sample"))
        # Of one sample the edge comes first.
        at = np.array([edge.sample for edge in edges], np.int64)
        ahead = touches[:, 0].searchsorted(at)
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
        for row, enter in self._pending.on.items():
            self._pending.touches.append(Touch(at_sample, row, enter, at_sample))
        self._pending.on.clear()
        return self._by_distance(at_sample, Flag.INCOMPLETE)

    # ------------------------------------------------------------------------------------------
    # events

    @property
    def _at_rest(self) -> bool:
        """Whether nothing is under way, neither on the rows nor before the beam."""
        beam = self._beam
        unseen = beam is None or (beam.trusted and not beam.intervals)
        return unseen and not self._pending

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
            self._seen_sample = edge.sample
            line = ahead
        windows += self._roll(walk.course, line, end[0])
        return windows + self._due(until_sample)

    def _roll(self, course: Course, begin: int, end: int) -> list[Window]:
        """Touches between two edges: all work that is done for each of them."""
        windows: list[Window] = []
        pending, known = self._pending, course.known[begin : end + 1].tolist()
        lines, late = course.touches[begin:end].tolist(), course.late[begin:end].tolist()
        for line, late_one, now in zip(lines, late, known[:-1], strict=True):
            sample, row = line[:2]
            if sample > self._quiet_until or late_one:
                pending.heed(now)
                windows += self._due(sample)
                if late_one and pending.touches and not pending.on:
                    windows += self._pause(sample)
            pending.take(line)
            self._seen_sample = sample
            if pending.count[row] > MOST_AXLES:
                windows += self._cut_off(sample)
        pending.heed(known[-1])
        return windows

    def _pause(self, sample: int) -> list[Window]:
        """A wheel comes after a gap too long for one vehicle, yet the beam never was free.

        It stopped and went on, or the beam is stuck: one pause that brakes allow is believed.
        """
        beam = self._beam
        if beam is None or not beam.trusted or not beam.stays_active:
            return []
        self._pauses += 1
        impossible = self._pending.speed_mps**2 / (2 * _BRAKE_MPS2) > MAX_SPACING_M
        if not impossible and self._pauses < 2:
            return []
        beam.distrust()
        self._quiet_until = -np.inf
        doubt = Flag.NONE if impossible else Flag.AMBIGUOUS
        return self._by_distance(sample, Flag.SEPARATOR_FAULT | doubt)

    def _due(self, before_sample: int) -> list[Window]:
        """Close what falls due before a sample.

        What came last may have shown that it fell due before that: then it closes only now.
        """
        windows: list[Window] = []
        while (due := self._pending.deadline()) is not None and due < before_sample:
            closed = max(due, self._seen_sample)
            windows += [w._replace(closed_sample=closed) for w in self._settle(due)]
        self._quiet_until = self._pending.nothing_due_until(before_sample)
        return windows

    # ------------------------------------------------------------------------------------------
    # settling

    def _settle(self, now: int) -> list[Window]:
        beam = self._beam
        if now == self._pending.latest():
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
        mine, missed = claim(beam, self._pending.touches, self._lane.rows, self._rate_hz)
        claimed = {id(touch) for axle in chain(mine, missed) for touch in axle.touches}
        beam.intervals.pop(0)
        windows = self._split(mine, now, self._believed(mine))
        if missed:
            windows += self._split(missed, now, Flag.SEPARATOR_FAULT)
        self._keep([touch for touch in self._pending.touches if id(touch) not in claimed])
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
        axles = line_up(self._pending.touches, self._lane.rows, self._rate_hz)
        windows = self._split(axles, now, flags)
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
            first = max(min(axle.first_sample for axle in part), self._kept_from(part))
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

    def _kept_from(self, part: Sequence[Axle]) -> int:
        """Where the samples of a vehicle begin, though it crept towards its first touch for long.

        Whoever asks block by block has let go of those before.
        """
        enters = (touch.enter_sample for axle in part for touch in axle.touches)
        return min(enters) - round(MEMORY_S * self._rate_hz)

    def _keep(self, kept: Sequence[Touch]) -> None:
        self._pending.keep(kept)
        if not kept:
            self._pauses = 0
            self._renew_trust()

    def _renew_trust(self) -> None:
        if self._beam is not None and not self._pending:
            self._beam.renew_trust()
