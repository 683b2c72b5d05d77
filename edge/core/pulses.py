"""Where wheels are on a row: runs over a threshold with hysteresis, in a stream and in a clip."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edge.core.extremes import CHUNK
from edge.records import Bools, Floats, Indices, Int32s, Row, read_only

__all__ = ["HYSTERESIS", "Runs", "Touch", "TouchFinder", "over", "runs"]

HYSTERESIS = 1.6
"""A run counts once it passes this many times the threshold that ends it."""

_BOTH = np.array([1.0, HYSTERESIS])[:, None, None]


class Touch(NamedTuple):
    """A wheel on a row. ``leave_sample`` is -1 for the moment at which it was first certain."""

    sample: int
    """When this was known: the sample that passed the upper threshold, or the one that ended it."""
    row: int
    enter_sample: int
    leave_sample: int


class Runs(NamedTuple):
    """Runs over the lower threshold, (n_runs,) each: indices into the pieces laid end to end.

    ``sure`` is the first index over the upper threshold, -1 where the run holds none; ``end`` is
    one past the last index.
    """

    start: Indices
    sure: Indices
    end: Indices


def over(sides: Int32s, base: Floats, release: Floats) -> tuple[Bools, Bools]:
    """Where either side passes the lower, and the upper threshold: (n_pieces, length) each.

    Parameters
    ----------
    sides : int32 array (n_pieces, 2, length)
        Counts of pieces, left and right.
    base, release : float arrays (n_pieces, 2)
        In counts, left and right.
    """
    # Whole counts compare fast: a count passes a bound where it passes the whole part of it.
    bound = np.floor(base + _BOTH * release).astype(np.int32)
    passed = sides[:, 0] > bound[:, :, :1]
    passed |= sides[:, 1] > bound[:, :, 1:]
    return passed[0], passed[1]


def runs(low: Bools, high: Bools, joined: Bools) -> Runs:
    """Find runs of ``low`` in pieces of a signal.

    Parameters
    ----------
    low, high : bool arrays (n_pieces, length)
        Samples over the lower and the upper threshold; ``high`` implies ``low``.
    joined : bool array (n_pieces,)
        Whether a piece continues the one before it: only then does a run go on across them.
    """
    if not low.size:
        nothing = np.empty(0, np.int64)
        return Runs(nothing, nothing, nothing)
    flat, length = low.ravel(), low.shape[1]
    rises, falls = np.empty((2, low.size), np.bool_)
    np.greater(flat[1:], flat[:-1], out=rises[1:])
    np.greater(flat[:-1], flat[1:], out=falls[:-1])
    first, last = low[1:, 0], low[:-1, -1]
    np.greater(first, last & joined[1:], out=rises[length::length])
    np.greater(last, first & joined[1:], out=falls[length - 1 : -1 : length])
    rises[0], falls[-1] = flat[0], flat[-1]
    start, end = rises.nonzero()[0], falls.nonzero()[0] + 1
    # Highs that follow no high, or begin a run: the first of each run is among these few.
    tops = high.ravel()
    np.greater(tops[1:], tops[:-1], out=rises[1:])
    rises[start] = tops[start]
    highs = np.concatenate([rises.nonzero()[0], [low.size]])
    sure = highs[highs.searchsorted(start)]
    sure[sure >= end] = -1
    return Runs(start, sure, end)


_NONE: Indices = read_only(np.empty((0, len(Touch._fields)), np.int64))


@dataclass(slots=True)
class _Open:
    """A run that had not ended with the samples seen so far."""

    enter_sample: int
    sure: bool


class TouchFinder:
    """Finds touches of a lane's rows in a stream, chunk after chunk.

    A wheel is on a row while its left or its right channel is. Only chunks in which a look passes
    the threshold are searched, sample by sample, all of a row together.

    Parameters
    ----------
    rows : sequence of Row
    polarity : float array (n_channels,)
        Sign of each channel's gain.
    """

    def __init__(self, rows: Sequence[Row], polarity: Floats) -> None:
        self._sides = np.array([(row.left, row.right) for row in rows], np.int64)
        self._left, self._right = self._sides.T.copy()
        self._falling = polarity[self._sides] < 0
        self._any_falling = bool(self._falling.any())
        self._open: dict[int, _Open] = {}

    @property
    def waiting_from(self) -> int | None:
        """First sample of the oldest run that has not ended, if there is one."""
        return min((run.enter_sample for run in self._open.values()), default=None)

    def step(
        self,
        first_sample: int,
        counts: Int32s,
        pressed: Bools,
        level: Floats,
        release: Floats,
        line: Indices,
    ) -> Indices:
        """Touches that became certain or ended in these chunks, in order of time.

        Parameters
        ----------
        first_sample : int
            Index of the first row of ``counts``.
        counts : int32 array (n_chunks * CHUNK, n_channels)
        pressed : bool array (n_chunks, n_channels)
            Chunks in which a channel passes its threshold at a look, see
            :func:`~edge.core.extremes.looks`.
        level, release : float arrays (n_lines, n_channels)
        line : int64 array (n_chunks,)
            Which line of them holds for each chunk.

        Returns
        -------
        int64 array (n_touches, 4)
            Lines of :class:`Touch`.
        """
        row, where = (pressed.T[self._left] | pressed.T[self._right]).nonzero()
        if not len(row) and not self._open:
            return _NONE
        held = line[where][:, None], self._sides[row]
        low, high = over(self._counts(row, where, counts), level[held], release[held])
        joined = np.zeros(len(row), np.bool_)
        joined[1:] = (where[1:] - where[:-1] == 1) & (row[1:] == row[:-1])
        events = self._events(first_sample, len(counts), row, where, runs(low, high, joined))
        return events[np.lexsort(events.T[::-1])]

    def _counts(self, row: Indices, where: Indices, counts: Int32s) -> Int32s:
        """Chunks of rows, wheels upwards: left and right, (n, 2, CHUNK)."""
        # Both sides at once: they lie in the same lines of the cache.
        chunks = counts.reshape(-1, CHUNK, counts.shape[1]).transpose(0, 2, 1)
        sides: Int32s = chunks[where[:, None], self._sides[row]]
        if self._any_falling:
            sides[self._falling[row]] *= -1
        return sides

    def _events(
        self, first_sample: int, n_samples: int, piece_row: Indices, where: Indices, found: Runs
    ) -> Indices:
        """Runs as rows of ``Touch``; one at the very end stays open."""
        start, sure, end = found
        # From an index into the pieces laid end to end to a sample of the stream.
        shift = first_sample + CHUNK * (where - np.arange(len(where)))
        piece = start // CHUNK
        row, enter = piece_row[piece], start + shift[piece]
        certain = sure >= 0
        fresh = certain.copy()
        events = self._go_on(first_sample, row, enter, certain, fresh)
        lines = np.empty((2, len(row), len(Touch._fields)), np.int64)
        begun, gone = lines
        begun[:, 0], begun[:, 3] = sure + shift[sure // CHUNK], -1
        leave = end + shift[(end - 1) // CHUNK]
        gone[:, 0] = gone[:, 3] = leave
        lines[:, :, 1], lines[:, :, 2] = row, enter
        lasts = leave == first_sample + n_samples
        for i in lasts.nonzero()[0].tolist():
            self._open[int(row[i])] = _Open(int(enter[i]), bool(certain[i]))
        told = [begun[fresh], gone[certain & ~lasts]]
        return np.concatenate([*told, events] if events else told)

    def _go_on(
        self, first_sample: int, row: Indices, enter: Indices, certain: Bools, fresh: Bools
    ) -> list[Touch]:
        """Let the runs that were open go on, or end where the samples before ended."""
        events, rows = [], row.tolist()
        for number, run in self._open.items():
            i = bisect_left(rows, number)
            if i < len(rows) and rows[i] == number and enter[i] == first_sample:
                enter[i] = run.enter_sample
                fresh[i] &= not run.sure
                certain[i] |= run.sure
            elif run.sure:
                events.append(Touch(first_sample, number, run.enter_sample, first_sample))
        self._open.clear()
        return events
