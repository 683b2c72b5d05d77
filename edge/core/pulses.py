"""Where wheels are on a row: runs over a threshold with hysteresis, in a stream and in a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edge.core.conditioning import CHUNK
from edge.records import Bools, Floats, Indices, Int32s, Row

__all__ = ["HYSTERESIS", "Touch", "TouchFinder", "runs"]

HYSTERESIS = 1.6
"""A run counts once it passes this many times the threshold that ends it."""


class Touch(NamedTuple):
    """A wheel on a row. ``leave_sample`` is -1 for the moment at which it was first certain."""

    sample: int
    """When this was known: the sample that passed the upper threshold, or the one that ended it."""
    row: int
    enter_sample: int
    leave_sample: int


def runs(low: Bools, high: Bools) -> tuple[Indices, Indices, Indices]:
    """Runs of ``low`` that hold at least one ``high``.

    Parameters
    ----------
    low, high : bool arrays (n,)
        Samples over the lower and the upper threshold; ``high`` implies ``low``.

    Returns
    -------
    start, sure, end : int64 arrays (n_runs,)
        First index, first index over the upper threshold, and one past the last index.
    """
    edges = _edges(low)
    start, end = edges[0::2], edges[1::2]
    highs = np.flatnonzero(high)
    if not len(highs):
        return highs, highs, highs
    first = np.searchsorted(highs, start)
    sure = highs[np.minimum(first, len(highs) - 1)]
    kept = (first < len(highs)) & (sure < end)
    return start[kept], sure[kept], end[kept]


def _edges(low: Bools) -> Indices:
    """Indices at which runs of ``low`` begin and end, in turn."""
    padded = np.zeros(len(low) + 2, np.bool_)
    padded[1:-1] = low
    return np.flatnonzero(padded[1:] != padded[:-1])


@dataclass(slots=True)
class _Open:
    """A run that had not ended with the samples seen so far."""

    enter_sample: int
    sure: bool


class TouchFinder:
    """Finds touches of rows in a stream, chunk after chunk.

    A wheel is on a row while its left or its right channel is. Only chunks whose extremes pass
    the threshold are looked at, row by row.

    Parameters
    ----------
    rows : sequence of Row
        Rows of all lanes of a digitiser; ``Touch.row`` counts in it.
    polarity : float array (n_channels,)
        Sign of each channel's gain.
    """

    def __init__(self, rows: Sequence[Row], polarity: Floats) -> None:
        self._rows = rows
        self._falling = polarity < 0
        self._open: dict[int, _Open] = {}

    @property
    def waiting_from(self) -> int | None:
        """First sample of the oldest run that has not ended, if there is one."""
        return min((run.enter_sample for run in self._open.values()), default=None)

    def step(
        self, first_sample: int, counts: Int32s, pressed: Bools, level: Floats, release: Floats
    ) -> list[Touch]:
        """Touches that became certain or ended in these chunks, in order of time.

        Parameters
        ----------
        first_sample : int
            Index of the first row of ``counts``.
        counts : int32 array (n_chunks * CHUNK, n_channels)
        pressed : bool array (n_chunks, n_channels)
            Chunks in which a channel passes its threshold.
        level, release : float arrays (n_chunks, n_channels)
        """
        chunks = counts.reshape(-1, CHUNK, counts.shape[1])
        touches: list[Touch] = []
        for number, row in enumerate(self._rows):
            where = np.flatnonzero(pressed[:, row.left] | pressed[:, row.right])
            if len(where) or number in self._open:
                touches += self._row(number, row, first_sample, chunks, where, level, release)
        touches.sort()
        return touches

    def _row(
        self,
        number: int,
        row: Row,
        first_sample: int,
        chunks: Int32s,
        where: Indices,
        level: Floats,
        release: Floats,
    ) -> list[Touch]:
        low = np.zeros((len(where), CHUNK), np.bool_)
        high = np.zeros_like(low)
        for channel in (row.left, row.right):
            samples = chunks[where, :, channel]
            base, step = level[where, channel], release[where, channel]
            low |= self._over(channel, samples, base, step)
            high |= self._over(channel, samples, base, step * HYSTERESIS)
        touches = []
        if (where[0] if len(where) else len(chunks)) > 0:
            touches += self._close(number, first_sample)
        for part in np.split(np.arange(len(where)), np.flatnonzero(np.diff(where) > 1) + 1):
            if len(part):
                sample = first_sample + int(where[part[0]]) * CHUNK
                touches += self._stretch(number, sample, low[part].ravel(), high[part].ravel())
                if where[part[-1]] + 1 < len(chunks):
                    touches += self._close(number, sample + len(part) * CHUNK)
        return touches

    def _over(self, channel: int, samples: Int32s, base: Floats, step: Floats) -> Bools:
        if self._falling[channel]:
            return np.asarray(samples < np.ceil(-base - step)[:, None], np.bool_)
        return np.asarray(samples > np.floor(base + step)[:, None], np.bool_)

    def _close(self, number: int, sample: int) -> list[Touch]:
        ended = self._open.pop(number, None)
        if ended is None or not ended.sure:
            return []
        return [Touch(sample, number, ended.enter_sample, sample)]

    def _stretch(self, number: int, sample: int, low: Bools, high: Bools) -> list[Touch]:
        """Touches in adjacent chunks that begin at ``sample``; a run at their end stays open."""
        touches = []
        if number in self._open and not low[0]:
            touches += self._close(number, sample)
        edges = _edges(low)
        for start, end in edges.reshape(-1, 2).tolist():
            run = self._open.setdefault(number, _Open(sample + start, False))
            sure = np.flatnonzero(high[start:end])
            if len(sure) and not run.sure:
                run.sure = True
                touches.append(Touch(sample + start + int(sure[0]), number, run.enter_sample, -1))
            if end < len(low):
                touches += self._close(number, sample + end)
        return touches
