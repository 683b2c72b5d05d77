"""The core's stream: sample blocks and input edges in, weighed vehicles out.

Chunks are counted from the stream's first sample and every decision falls at a sample fixed by
the data, so the same samples give the same passages however they were cut into blocks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter

import numpy as np

from edge.core.clip import ROOM_AFTER_S, ROOM_BEFORE_S
from edge.core.conditioning import Baseline, floor_counts
from edge.core.extremes import CHUNK, extremes
from edge.core.history import History
from edge.core.joining import Joiner
from edge.core.modes import PRIOR, Dynamics
from edge.core.pulses import Touch, TouchFinder
from edge.core.vehicles import LaneTracker, Window
from edge.core.weigh import Cut, weigh_all
from edge.records import (
    Gains,
    InputEdge,
    Int32s,
    LaneLayout,
    Passage,
    RawClip,
    SampleBlock,
    read_only,
)

__all__ = ["Pipeline"]

_LONGEST_GAP_S = 2.0
"""A longer loss ends everything that was under way; a shorter one is bridged and flagged."""

_MEMORY_S = 0.5

_BATCH_COUNTS = 1 << 23
"""Counts of the clips that are weighed together."""


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
        self._dynamics = {lane.lane: (dynamics or {}).get(lane.lane, PRIOR) for lane in lanes}
        self._polarity = np.where(gains.newton_per_count < 0, -1.0, 1.0)
        self._falling = np.flatnonzero(self._polarity < 0)
        self._floor = floor_counts(lanes, gains)
        self._partner = np.arange(channels, dtype=np.int64)
        for row in rows:
            self._partner[[row.left, row.right]] = row.right, row.left
        self._before = round(ROOM_BEFORE_S * rate_hz)
        self._after = round(ROOM_AFTER_S * rate_hz)
        self._stray = 0
        self._begin(0)

    @property
    def stray(self) -> int:
        """Touches so far that were no vehicle."""
        return self._stray + sum(tracker.stray for tracker in self._trackers)

    def _begin(self, first_sample: int) -> None:
        """A new stream: nothing of the old one compares."""
        self._started = False
        self._history = History(first_sample, self.channels)
        self._rest = np.empty((0, self.channels), np.int32)
        self._done = first_sample
        self._baseline = Baseline(self.rate_hz, self._floor, self._partner)
        self._finders = [TouchFinder(lane.rows, self._polarity) for lane in self.lanes]
        self._trackers = [LaneTracker(lane, self.rate_hz, first_sample) for lane in self.lanes]
        self._edges: list[InputEdge] = []
        self._recent: list[InputEdge] = []
        self._gaps: list[tuple[int, int]] = []
        self._windows: list[tuple[Window, int]] = []
        self._joiner = Joiner(self.lanes, self.gains, self._dynamics)

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
        """Take the next samples; give the vehicles that are complete with them.

        Parameters
        ----------
        block : SampleBlock
            counts int32 (n, channels). A jump of the counter is a gap, whatever ``lost_before``.
        edges : sequence of InputEdge
            Edges up to the block's end; those of later samples are kept until then.

        Returns
        -------
        list of Passage
            In order of their closing.

        Raises
        ------
        ValueError
            The block's width is not the pipeline's.
        """
        if block.counts.ndim != 2 or block.counts.shape[1] != self.channels:
            raise ValueError(f"block of shape {block.counts.shape} for {self.channels} channels")
        passages: list[Passage] = []
        lost = block.first_sample - self._history.end_sample
        if self._started and (block.restarted or lost < 0 or lost > _LONGEST_GAP_S * self.rate_hz):
            passages += self.flush()
        if not self._started:
            self._begin(block.first_sample)
            self._started = True
        elif lost:
            self._gaps.append((self._history.end_sample, lost))
            passages += self._take(self._filled(lost))
        self._edges += edges
        return passages + self._take(block.counts)

    def flush(self) -> list[Passage]:
        """The data end: vehicles on the array close as incomplete. The next block begins anew."""
        end = self._history.end_sample
        late = [(window, i) for i, t in enumerate(self._trackers) for window in t.close(end)]
        passages = self._joiner.step(self._cut(sorted(self._windows + late), end), end)
        passages += self._joiner.flush()
        stray = self.stray
        self._begin(end)
        self._stray = stray
        return passages

    def _filled(self, lost: int) -> Int32s:
        """The last sample again for each lost one."""
        end = self._history.end_sample
        return np.repeat(self._history.read(end - 1, end), lost, axis=0)

    def _take(self, counts: Int32s) -> list[Passage]:
        self._history.append(counts)
        passages: list[Passage] = []
        for piece in self._pieces(counts):
            passages += self._search(piece)
        self._forget()
        return passages

    def _pieces(self, counts: Int32s) -> Iterator[Int32s]:
        """Whole chunks of what was left over and what came; most of it without a copy."""
        if len(self._rest):
            missing = CHUNK - len(self._rest)
            head = np.concatenate([self._rest, counts[:missing]])
            counts = counts[missing:]
            if len(head) < CHUNK:
                self._rest = head
                return
            yield head
        whole = len(counts) // CHUNK * CHUNK
        self._rest = counts[whole:]
        if whole:
            yield counts[:whole]

    def _search(self, counts: Int32s) -> list[Passage]:
        """Find touches in whole chunks, let the lanes decide, cut and weigh what is complete."""
        highest, lowest = extremes(counts)
        if len(self._falling):
            flipped = -lowest[:, self._falling], -highest[:, self._falling]
            highest[:, self._falling], lowest[:, self._falling] = flipped
        level, release = self._baseline.step(highest, lowest)
        pressed = highest > level + release
        begin = self._done
        self._done += len(counts)
        touches = [f.step(begin, counts, pressed, level, release) for f in self._finders]
        self._follow(touches)
        ready = [w for w in self._windows if self._ready(w[0]) <= self._done]
        self._windows = [w for w in self._windows if self._ready(w[0]) > self._done]
        ready.sort(key=lambda w: (self._ready(w[0]), w))
        return self._joiner.step(self._cut(ready, self._done), self._done)

    def _follow(self, touches: Sequence[Sequence[Touch]]) -> None:
        """Hand touches and edges to their lanes."""
        now = [e for e in self._edges if e.sample < self._done]
        self._edges = [e for e in self._edges if e.sample >= self._done]
        self._recent = sorted(self._recent + now, key=attrgetter("sample"))
        for i, (lane, tracker) in enumerate(zip(self.lanes, self._trackers, strict=True)):
            inputs = [e for e in now if lane.separator and e.input == lane.separator.input]
            closed = tracker.advance(touches[i], inputs, self._done)
            self._windows += [(window, i) for window in closed]

    def _ready(self, window: Window) -> int:
        """The sample from which a window can be cut."""
        return max(window.closed_sample, window.end_sample + self._after)

    def _cut(self, windows: Sequence[tuple[Window, int]], end_sample: int) -> list[Passage]:
        """Cut and weigh, all windows of a lane together."""
        found: list[Passage | None] = [None] * len(windows)
        for i, lane in enumerate(self.lanes):
            own = [k for k, (_, number) in enumerate(windows) if number == i]
            others = tuple(other for other in self.lanes if other.lane in lane.beside)
            for part in self._batches(own, [window for window, _ in windows]):
                taken = [windows[k][0] for k in part]
                closed = [min(self._ready(w), end_sample) for w in taken]
                flags = [w.flags for w in taken]
                cuts = list(map(Cut, self._clips(taken), flags, closed))
                weighed = weigh_all(
                    cuts, lane, self.gains, others=others, dynamics=self._dynamics[lane.lane]
                )
                for k, passage in zip(part, weighed, strict=True):
                    found[k] = passage
        # Touches that the stream's threshold saw and the clip's own did not are no vehicle.
        self._stray += found.count(None)
        return [passage for passage in found if passage is not None]

    def _batches(self, numbers: Sequence[int], windows: Sequence[Window]) -> Iterator[list[int]]:
        """Windows by as many as memory holds with ease, one at least."""
        batch: list[int] = []
        size = 0
        for k in numbers:
            length = windows[k].end_sample - windows[k].first_sample
            if batch and (size + length) * self.channels > _BATCH_COUNTS:
                yield batch
                batch, size = [], 0
            batch.append(k)
            size += length
        if batch:
            yield batch

    def _clips(self, windows: Sequence[Window]) -> Iterator[RawClip]:
        """Samples of windows with room around each."""
        ranges = [(w.first_sample - self._before, w.end_sample + self._after) for w in windows]
        for (first, end), counts in zip(ranges, self._history.cut(ranges), strict=True):
            a, b = (bisect_left(self._recent, s, key=attrgetter("sample")) for s in (first, end))
            edges, gaps = tuple(self._recent[a:b]), tuple(self._gaps_of(first, end))
            yield RawClip(self.device, first, self.rate_hz, read_only(counts), edges, gaps)

    def _gaps_of(self, first: int, end: int) -> list[tuple[int, int]]:
        """What was lost of a clip; what the stream lacks at its ends counts as lost."""
        gaps = [g for g in self._gaps if g[0] < end and g[0] + g[1] > first]
        lead = self._history.first_sample - first
        trail = end - self._history.end_sample
        if lead > 0:
            gaps.insert(0, (first, lead))
        if trail > 0:
            gaps.append((end - trail, trail))
        return gaps

    def _forget(self) -> None:
        """Let go of what no vehicle can need any more."""
        needs = chain(
            (self._done,),
            (t.waiting_from for t in self._trackers),
            (w.first_sample for w, _ in self._windows),
            (f.waiting_from for f in self._finders),
        )
        oldest = min(n for n in needs if n is not None)
        keep = oldest - self._before - round(_MEMORY_S * self.rate_hz)
        self._history.forget(keep)
        if self._recent and self._recent[0].sample < keep:
            self._recent = [e for e in self._recent if e.sample >= keep]
        self._gaps = [g for g in self._gaps if g[0] + g[1] >= keep]
