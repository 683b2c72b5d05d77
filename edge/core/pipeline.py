"""The core's stream: sample blocks and input edges in, weighed vehicles out.

A pipeline follows its digitiser block by block and keeps what has closed; its owner weighs that,
of all digitisers in one batch, and hands the answers back to be joined and put in order. Chunks are
counted from the stream's first sample and every decision falls at a sample fixed by the data, so
the same samples give the same passages however they were cut into blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from edge.core.clip import ROOM_AFTER_S
from edge.core.conditioning import Baseline, floor_counts
from edge.core.extremes import CHUNK, extremes, looks
from edge.core.joining import Joiner
from edge.core.modes import PRIOR, Dynamics
from edge.core.pulses import TouchFinder
from edge.core.scales import Scale
from edge.core.tape import Tape
from edge.core.vehicles import LaneTracker, Window
from edge.core.weigh import Cut, weigh_all
from edge.records import (
    Gains,
    Indices,
    InputEdge,
    Int32s,
    LaneLayout,
    Passage,
    SampleBlock,
)

__all__ = ["Pipeline"]

_LONGEST_GAP_S = 2.0
"""A longer loss ends everything that was under way; a shorter one is bridged and flagged."""

_LONG_BLOCK = 1 << 13
"""Samples that are sooner searched in two pieces than copied."""


class Pipeline:
    """Weighs what crosses the lanes of one digitiser.

    Parameters
    ----------
    device : str
        Name of the digitiser; blocks of it alone may be fed.
    rate_hz : float
        Nominal sample rate.
    channels : int
    lanes : tuple of LaneLayout
        Lanes on this digitiser.
    gains : Gains
        For all its channels.
    dynamics : mapping of str to Dynamics, optional
        What is known of the lanes by their names; the prior for all others.

    Raises
    ------
    ValueError
        Gains and channels differ in number, or a lane names a channel that there is not.
    """

    def __init__(
        self,
        device: str,
        rate_hz: float,
        channels: int,
        lanes: tuple[LaneLayout, ...],
        gains: Gains,
        dynamics: Mapping[str, Dynamics] | None = None,
    ) -> None:
        if len(gains.newton_per_count) != channels:
            raise ValueError(f"{len(gains.newton_per_count)} gains for {channels} channels")
        rows = [row for lane in lanes for row in lane.rows]
        if any(not 0 <= c < channels for row in rows for c in (row.left, row.right)):
            raise ValueError(f"a row of {device} names a channel beyond its {channels}")
        self.device, self.rate_hz, self.channels = device, rate_hz, channels
        self.lanes, self.gains = lanes, gains
        known = dynamics or {}
        self._scales = [
            Scale(
                lane,
                gains,
                tuple(other for other in lanes if other.lane in lane.beside),
                known.get(lane.lane, PRIOR),
            )
            for lane in lanes
        ]
        self._polarity = np.where(gains.newton_per_count < 0, -1.0, 1.0)
        self._falling = np.flatnonzero(self._polarity < 0)
        self._floor = floor_counts(lanes, gains)
        self._looked = looks(rate_hz)
        of_row = [(i, k) for i, lane in enumerate(lanes) for k in range(len(lane.rows))]
        self._lane_of_row, self._row_in_lane = np.array(of_row, np.int64).reshape(-1, 2).T.copy()
        self._partner = np.arange(channels, dtype=np.int64)
        for row in rows:
            self._partner[[row.left, row.right]] = row.right, row.left
        self._after = round(ROOM_AFTER_S * rate_hz)
        self._stray = 0
        self._finished: list[Passage] = []
        self._begin(0)

    @property
    def stray(self) -> int:
        """Touches so far that were no vehicle."""
        return self._stray + sum(tracker.stray for tracker in self._trackers)

    def _begin(self, first_sample: int) -> None:
        """A new stream: nothing of the old one compares."""
        self._started = False
        self._tape = Tape(self.device, self.rate_hz, first_sample, self.channels)
        self._rest = np.empty((0, self.channels), np.int32)
        self._done = first_sample
        self._baseline = Baseline(self.rate_hz, self._floor, self._partner)
        rows = [row for lane in self.lanes for row in lane.rows]
        self._finder = TouchFinder(rows, self._polarity)
        self._trackers = [LaneTracker(lane, self.rate_hz, first_sample) for lane in self.lanes]
        self._edges: list[InputEdge] = []
        self._windows: list[tuple[Window, int]] = []
        self._closed: list[Cut] = []
        dynamics = {scale.lane.lane: scale.dynamics for scale in self._scales}
        self._joiner = Joiner(self.lanes, self.gains, dynamics)

    def resume(self, begun_sample: int, first_sample: int) -> None:
        """Enter a stream that began at ``begun_sample``; the next block begins at ``first_sample``.

        What it answers is that of a pipeline which saw the whole stream once everything that was
        under way has passed and the baseline has settled. ``first_sample`` lies whole multiples of
        :func:`~edge.core.conditioning.renewal_samples` behind the stream's begin.
        """
        self._begin(first_sample)
        self._started = True
        self._trackers = [LaneTracker(lane, self.rate_hz, begun_sample) for lane in self.lanes]

    def step(self, block: SampleBlock, edges: Sequence[InputEdge] = ()) -> list[Passage]:
        """Take the next samples, weigh at once; parameters and errors are those of `follow`.

        Returns
        -------
        list of Passage
            In order of their closing.
        """
        self.follow(block, edges)
        return self.passages(weigh_all(self.closed))

    def follow(self, block: SampleBlock, edges: Sequence[InputEdge] = ()) -> None:
        """Take the next samples; vehicles that are complete with them wait in ``closed``.

        Parameters
        ----------
        block : SampleBlock
            counts int32 (n, channels). A jump of the counter is a gap, whatever ``lost_before``.
        edges : sequence of InputEdge
            Edges up to the block's end; those of later samples are kept until then.

        Raises
        ------
        ValueError
            The block's width is not the pipeline's.
        """
        if block.counts.ndim != 2 or block.counts.shape[1] != self.channels:
            raise ValueError(f"block of shape {block.counts.shape} for {self.channels} channels")
        lost = block.first_sample - self._tape.end_sample
        if self._started and (block.restarted or lost < 0 or lost > _LONGEST_GAP_S * self.rate_hz):
            self._finished = self.flush()
        if not self._started:
            self._begin(block.first_sample)
            self._started = True
        elif lost:
            self._search_all(self._tape.bridge(lost))
        self._edges += edges
        self._tape.append(block.counts)
        self._search_all(block.counts)

    @property
    def closed(self) -> Sequence[Cut]:
        """What is complete and not weighed yet, in order of closing."""
        return self._closed

    def passages(self, weighed: Sequence[Passage | None]) -> list[Passage]:
        """Take what :func:`weigh_all` said of ``closed``; give the vehicles that wait for nothing.

        Returns
        -------
        list of Passage
            In order of their closing.
        """
        # Touches that the stream's threshold saw and the clip's own did not are no vehicle.
        found = [passage for passage in weighed if passage is not None]
        self._stray += len(weighed) - len(found)
        self._closed = []
        finished, self._finished = self._finished, []
        return finished + self._joiner.step(found, self._done)

    def flush(self) -> list[Passage]:
        """The data end: vehicles on the array close as incomplete. The next block begins anew."""
        end = self._tape.end_sample
        late = [(window, i) for i, t in enumerate(self._trackers) for window in t.close(end)]
        self._cut(sorted(self._windows + late), end)
        self._done = end
        passages = self.passages(weigh_all(self._closed)) + self._joiner.flush()
        stray = self.stray
        self._begin(end)
        self._stray = stray
        return passages

    def _search_all(self, counts: Int32s) -> None:
        for piece in self._pieces(counts):
            self._search(piece)
        self._forget()

    def _pieces(self, counts: Int32s) -> Iterator[Int32s]:
        """Whole chunks of what was left over and what came; of a long block most without a copy."""
        parts = [counts]
        if len(self._rest):
            head = len(counts) if len(counts) < _LONG_BLOCK else CHUNK - len(self._rest)
            parts = [np.concatenate([self._rest, counts[:head]])]
            if head < len(counts):
                parts.append(counts[head:])
        for part in parts:
            whole = len(part) // CHUNK * CHUNK
            self._rest = part[whole:]
            if whole:
                yield part[:whole]

    def _search(self, counts: Int32s) -> None:
        """Find touches in whole chunks, let the lanes decide, cut what is complete."""
        highest, lowest = extremes(counts, self._looked)
        if len(self._falling):
            flipped = -lowest[:, self._falling], -highest[:, self._falling]
            highest[:, self._falling], lowest[:, self._falling] = flipped
        level, release, line = self._baseline.step(highest, lowest)
        pressed = highest > np.floor(level + release).astype(np.int32).take(line, axis=0)
        begin = self._done
        self._done += len(counts)
        self._follow(self._finder.step(begin, counts, pressed, level, release, line))
        ready = [w for w in self._windows if self._ready(w[0]) <= self._done]
        if ready:
            self._windows = [w for w in self._windows if self._ready(w[0]) > self._done]
            ready.sort(key=lambda w: (self._ready(w[0]), w))
            self._cut(ready, self._done)

    def _by_lane(self, touches: Indices) -> list[Indices]:
        """Touches of all rows, each lane's with rows counted from its first."""
        if len(self.lanes) == 1 or not len(touches):
            return [touches] * len(self.lanes)
        row = touches[:, 1]
        lane = self._lane_of_row[row]
        row[:] = self._row_in_lane[row]
        return [touches[lane == i] for i in range(len(self.lanes))]

    def _follow(self, found: Indices) -> None:
        """Hand touches and edges to their lanes."""
        touches = self._by_lane(found)
        now = [e for e in self._edges if e.sample < self._done]
        self._edges = [e for e in self._edges if e.sample >= self._done]
        self._tape.note(now)
        for i, (lane, tracker) in enumerate(zip(self.lanes, self._trackers, strict=True)):
            inputs = [e for e in now if lane.separator and e.input == lane.separator.input]
            closed = tracker.advance(touches[i], inputs, self._done)
            self._windows += [(window, i) for window in closed]

    def _ready(self, window: Window) -> int:
        """The sample from which a window can be cut."""
        return max(window.closed_sample, window.end_sample + self._after)

    def _cut(self, windows: Sequence[tuple[Window, int]], end_sample: int) -> None:
        """Cut vehicles out, each with the scale of its lane."""
        if not windows:
            return
        clips = self._tape.clips([window for window, _ in windows])
        for clip, (window, number) in zip(clips, windows, strict=True):
            closed_sample = min(self._ready(window), end_sample)
            self._closed.append(Cut(clip, self._scales[number], window.flags, closed_sample))

    def _forget(self) -> None:
        """Let go of what no vehicle can need any more."""
        needs = chain(
            (self._done,),
            (t.waiting_from for t in self._trackers),
            (w.first_sample for w, _ in self._windows),
            (self._finder.waiting_from,),
        )
        self._tape.forget(min(n for n in needs if n is not None))
