"""Highest and lowest counts of chunks of fixed length, near the speed of memory."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edge.records import Indices, Int32s, read_only

__all__ = ["CHUNK", "SLAB_SAMPLES", "end_to_end", "extremes", "looks", "side_by_side"]

CHUNK = 64
"""Samples in a chunk."""

_LOOKS_PER_S = 1_000
"""The shortest touch, of a motorcycle at 150 km/h on a narrow strip, lasts three times as long."""

_LONGEST_STRIDE = 4
"""So that enough samples of a chunk are left to tell its noise."""

_MIDDLE = 33
"""From here on, strides of one to three come out at a chunk's last sample."""

SLAB_SAMPLES = 1 << 14
"""Samples that are looked at together: they stay in the cache."""


def side_by_side(lines: Int32s, at: Indices) -> Int32s:
    """Chunks beside each other: first the first line of each, then the second of each, and so on.

    Reductions over a chunk then run along long rows, at several times the speed of short ones.

    Parameters
    ----------
    lines : int32 array (n_lines, width), C order
    at : int64 array (length, n_chunks)
        Which lines are those of each chunk.

    Returns
    -------
    int32 array (length, n_chunks * width)
    """
    # A line is moved as one.
    whole = lines.view(f"V{lines.itemsize * lines.shape[1]}").reshape(-1)
    return whole.take(at).view(np.int32)


@lru_cache(16)
def end_to_end(n_chunks: int, length: int) -> Indices:
    """Which lines are those of each chunk, where one begins as the one before it ends."""
    return read_only(np.arange(n_chunks * length).reshape(-1, length).T.copy())


def looks(rate_hz: float) -> Indices:
    """Which samples of a chunk are looked at: one a millisecond at least, int64 (n_looks,).

    The first and the last are among them: what goes on from one chunk into the next is seen in
    both. The strides of the two halves have no divisor in common: a tone that looks like a
    constant with one swings with the other.
    """
    stride = min(max(int(rate_hz / _LOOKS_PER_S), 1), _LONGEST_STRIDE)
    return np.array([*range(0, _MIDDLE, stride), *range(_MIDDLE, CHUNK, max(stride - 1, 1))])


def extremes(counts: Int32s, looked: Indices) -> tuple[Int32s, Int32s]:
    """Highest and lowest count of each chunk, among the samples that are looked at.

    Parameters
    ----------
    counts : int32 array (n_chunks * CHUNK, n_channels), C order
    looked : int64 array (n_looks,)
        Which of a chunk, from :func:`looks`.

    Returns
    -------
    highest, lowest : int32 arrays (n_chunks, n_channels)
    """
    n_looks, n_channels = len(looked), counts.shape[1]
    chunks = counts.reshape(-1, CHUNK, n_channels)
    highest = np.empty((len(chunks), n_channels), np.int32)
    lowest = np.empty_like(highest)
    at_once = min(SLAB_SAMPLES // n_looks, len(chunks))
    at = end_to_end(at_once, n_looks)
    for first in range(0, len(chunks), at_once):
        # Fetched in the order of memory; what is laid side by side is in the cache by then.
        seen = chunks[first : first + at_once].take(looked, axis=1)
        laid = side_by_side(seen.reshape(-1, n_channels), at[:, : len(seen)])
        part = slice(first, first + len(seen))
        np.maximum.reduce(laid, axis=0, out=highest[part].reshape(-1))
        np.minimum.reduce(laid, axis=0, out=lowest[part].reshape(-1))
    return highest, lowest
