"""The latest samples of a stream, kept as the blocks they came in; little is copied."""

from __future__ import annotations

from collections import deque

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

        A range that reaches beyond what is kept is cut to it. No view: it would keep the whole of
        its block alive.
        """
        parts = []
        for first, counts in reversed(self._blocks):
            if first < end_sample:
                parts.append(counts[max(first_sample - first, 0) : end_sample - first])
            if first <= first_sample:
                break
        if not parts:
            return np.empty((0, self._channels), np.int32)
        return np.concatenate(parts[::-1])
