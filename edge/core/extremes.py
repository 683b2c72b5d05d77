"""Highest and lowest counts of chunks of fixed length: two passes near the speed of memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from edge.records import Int32s

__all__ = ["CHUNK", "extremes", "side_by_side"]

CHUNK = 64
"""Samples in a chunk."""

_SLAB_SAMPLES = 1 << 14
"""Samples that are looked at together: they stay in the cache."""


def side_by_side(arrays: Iterable[Int32s], chunk: int) -> Iterator[tuple[slice, Int32s]]:
    """Slabs of chunks: their first samples beside each other, then all second ones, and so on.

    Reductions over a chunk then run along long rows, at several times the speed of short ones.

    Parameters
    ----------
    arrays : iterable of int32 arrays (n_chunks * chunk, n_channels)
        Each sample's channels adjacent in memory.
    chunk : int

    Yields
    ------
    chunks : slice
        Numbered through all arrays.
    laid : int32 array (chunk, n_chunks of the slab * n_channels)
        Valid until the next one is asked for.
    """
    step = max(1, _SLAB_SAMPLES // chunk)
    done, room = 0, np.empty(0, np.int32)
    for counts in arrays:
        n_chunks, n_channels = len(counts) // chunk, counts.shape[1]
        sample = np.dtype((np.void, counts.itemsize * n_channels))
        samples = counts.view(sample).reshape(n_chunks, chunk)
        for first in range(0, n_chunks, step):
            part = samples[first : first + step]
            size = part.size * n_channels
            room = np.empty(size, np.int32) if len(room) < size else room
            room[:size].view(sample).reshape(chunk, -1)[...] = part.T
            yield slice(done, done + len(part)), room[:size].reshape(chunk, -1)
            done += len(part)


def extremes(counts: Int32s, chunk: int = CHUNK) -> tuple[Int32s, Int32s]:
    """Highest and lowest count of each chunk.

    Parameters
    ----------
    counts : int32 array (n_chunks * chunk, n_channels), C order
    chunk : int
        Samples in a chunk.

    Returns
    -------
    highest, lowest : int32 arrays (n_chunks, n_channels)
    """
    n_chunks, n_channels = len(counts) // chunk, counts.shape[1]
    highest = np.empty((n_chunks, n_channels), np.int32)
    lowest = np.empty_like(highest)
    for chunks, laid in side_by_side([counts[: n_chunks * chunk]], chunk):
        np.maximum.reduce(laid, axis=0, out=highest[chunks].reshape(-1))
        np.minimum.reduce(laid, axis=0, out=lowest[chunks].reshape(-1))
    return highest, lowest
