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


def side_by_side(
    arrays: Iterable[Int32s], chunk: int, n_chunks: int, n_channels: int
) -> Iterator[tuple[slice, Int32s]]:
    """Slabs of chunks: their first samples beside each other, then all second ones, and so on.

    Reductions over a chunk then run along long rows, at several times the speed of short ones;
    short arrays share a slab.

    Parameters
    ----------
    arrays : iterable of int32 arrays (n * chunk, n_channels)
        Each sample's channels adjacent in memory.
    chunk : int
    n_chunks : int
        Of all arrays.
    n_channels : int

    Yields
    ------
    chunks : slice
        Numbered through all arrays.
    laid : int32 array (chunk, n_chunks of the slab * n_channels)
        Valid until the next one is asked for.
    """
    sample = np.dtype((np.void, np.dtype(np.int32).itemsize * n_channels))
    room = np.empty((chunk, min(max(1, _SLAB_SAMPLES // chunk), n_chunks)), sample)
    begin = end = 0
    for counts in arrays:
        samples = counts.view(sample).reshape(-1, chunk).T
        while samples.shape[1]:
            free = min(begin + room.shape[1] - end, samples.shape[1])
            room[:, end - begin : end - begin + free] = samples[:, :free]
            samples, end = samples[:, free:], end + free
            if end in (begin + room.shape[1], n_chunks):
                yield slice(begin, end), room[:, : end - begin].view(np.int32)
                begin = end


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
    whole = counts[: n_chunks * chunk]
    highest = np.empty((n_chunks, n_channels), np.int32)
    lowest = np.empty_like(highest)
    for chunks, laid in side_by_side([whole], chunk, n_chunks, n_channels):
        np.maximum.reduce(laid, axis=0, out=highest[chunks].reshape(-1))
        np.minimum.reduce(laid, axis=0, out=lowest[chunks].reshape(-1))
    return highest, lowest
