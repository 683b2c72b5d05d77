"""The latest of a digitiser's stream: samples, edges and gaps, from which vehicles are cut."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter

import numpy as np

from edge.core.clip import ROOM_AFTER_S, ROOM_BEFORE_S
from edge.core.history import History
from edge.core.vehicles import MEMORY_S, Window
from edge.records import InputEdge, Int32s, RawClip, read_only

__all__ = ["Tape"]


class Tape:
    """A stream as far back as a vehicle may need it.

    Parameters
    ----------
    device : str
    rate_hz : float
    first_sample : int
        Index of the sample that will be appended first.
    channels : int
    """

    def __init__(self, device: str, rate_hz: float, first_sample: int, channels: int) -> None:
        self._device, self._rate_hz = device, rate_hz
        self._before = round(ROOM_BEFORE_S * rate_hz)
        self._after = round(ROOM_AFTER_S * rate_hz)
        self._memory = round(MEMORY_S * rate_hz)
        self._history = History(first_sample, channels)
        self._edges: list[InputEdge] = []
        self._gaps: list[tuple[int, int]] = []

    @property
    def end_sample(self) -> int:
        """One past the last sample."""
        return self._history.end_sample

    def append(self, counts: Int32s) -> None:
        """Add the samples that follow; int32 (n, channels), not to be changed afterwards."""
        self._history.append(counts)

    def bridge(self, lost: int) -> Int32s:
        """Put the last sample again for each lost one, and note the gap."""
        end = self.end_sample
        self._gaps.append((end, lost))
        filled = np.repeat(self._history.read(end - 1, end), lost, axis=0)
        self.append(filled)
        return filled

    def note(self, edges: Sequence[InputEdge]) -> None:
        """Add edges of samples that were appended."""
        if edges:
            self._edges = sorted([*self._edges, *edges], key=attrgetter("sample"))

    def forget(self, before_sample: int) -> None:
        """Let go of what no vehicle needs that begins at a sample or later."""
        keep = before_sample - self._before - self._memory
        self._history.forget(keep)
        if self._edges and self._edges[0].sample < keep:
            self._edges = [e for e in self._edges if e.sample >= keep]
        self._gaps = [g for g in self._gaps if g[0] + g[1] >= keep]

    def clips(self, windows: Sequence[Window]) -> Iterator[RawClip]:
        """Samples of windows with room around each."""
        ranges = [(w.first_sample - self._before, w.end_sample + self._after) for w in windows]
        edge_at = [edge.sample for edge in self._edges]
        for (first, end), counts in zip(ranges, self._history.cut(ranges), strict=True):
            a, b = bisect_left(edge_at, first), bisect_left(edge_at, end)
            edges, gaps = tuple(self._edges[a:b]), tuple(self._gaps_of(first, end))
            yield RawClip(self._device, first, self._rate_hz, read_only(counts), edges, gaps)

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
