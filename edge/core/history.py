"""The latest samples of a stream, kept as the blocks they came in; little is copied."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from edge.records import Int32s

__all__ = ["History"]


class History:
    """Consecutive samples from ``first_sample`` to ``end_sample``, forgotten from the front.

    Parameters
    ----------
    first_sample : int
        Index of the sample that will be appended first.
    channels : int
        Width of every block.
    """

    def __init__(self, first_sample: int, channels: int) -> None:
        self.first_sample = first_sample
        self.end_sample = first_sample
        self._channels = channels
        self._blocks: deque[tuple[int, Int32s]] = deque()

    def append(self, counts: Int32s) -> None:
        """Add the samples that follow; int32 (n, channels), not to be changed afterwards."""
        if len(counts):
            self._blocks.append((self.end_sample, counts))
            self.end_sample += len(counts)

    def forget(self, before_sample: int) -> None:
        """Let go of blocks that lie wholly before a sample."""
        while self._blocks and self._blocks[0][0] + len(self._blocks[0][1]) <= before_sample:
            first, counts = self._blocks.popleft()
            self.first_sample = first + len(counts)

    def read(self, first_sample: int, end_sample: int) -> Int32s:
        """A copy of the samples ``first_sample <= s < end_sample``, int32 (n, channels).

        A range that reaches beyond what is kept is cut to it.
        """
        first, end = max(first_sample, self.first_sample), min(end_sample, self.end_sample)
        return self.cut([(first, max(first, end))])[0]

    def cut(self, ranges: Sequence[tuple[int, int]]) -> list[Int32s]:
        """Copies of ranges from a sample to another (exclusive), end to end in one array.

        Where they reach beyond what is kept, the nearest sample stands. Copies, for views would
        keep the whole of their blocks alive; a range alone owns its array.
        """
        ends = [0, *accumulate(end - first for first, end in ranges)]
        laid = np.empty((ends[-1], self._channels), np.int32)
        cuts = [laid[a:b] for a, b in pairwise(ends)] if len(ranges) > 1 else [laid]
        for (first, end), cut in zip(ranges, cuts, strict=True):
            self._copy(first, end, cut)
        return cuts

    def _copy(self, first_sample: int, end_sample: int, cut: Int32s) -> None:
        for first, counts in reversed(self._blocks):
            if first < end_sample:
                a, b = max(first_sample, first), min(end_sample, first + len(counts))
                cut[a - first_sample : b - first_sample] = counts[a - first : b - first]
            if first <= first_sample:
                break
        if first_sample < self.first_sample:
            lead = self.first_sample - first_sample
            cut[:lead] = cut[lead]
        if end_sample > self.end_sample:
            kept = self.end_sample - first_sample
            cut[kept:] = cut[kept - 1]
