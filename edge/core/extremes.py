"""Highest and lowest counts of chunks of fixed length: two passes near the speed of memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge.records import Int32s

__all__ = ["CHUNK", "extremes", "side_by_side"]

CHUNK = 64
"""Samples in a chunk."""

_SLAB_SAMPLES = 1 << 13
"""Samples that are looked at together: they stay in the cache."""


def side_by_side(counts: Int32s, chunk: int) -> Iterator[tuple[slice, Int32s]]:
    """Slabs of chunks: their first samples beside each other, then all second ones, and so on.

    Reductions over a chunk then run along long rows, at several times the speed of short ones.

    Parameters
    ----------
    counts : int32 array (n_chunks * chunk, n_channels)
        Each sample's channels adjacent in memory.
    chunk : int

    Yields
    ------
    chunks : slice
    laid : int32 array (chunk, n_chunks of the slab * n_channels)
        Valid until the next one is asked for.
    """
    n_chunks, n_channels = len(counts) // chunk, counts.shape[1]
    sample = np.dtype((np.void, counts.itemsize * n_channels))
    samples = counts.view(sample).reshape(n_chunks, chunk)
    step = max(1, _SLAB_SAMPLES // chunk)
    laid = np.empty((chunk, 0), sample)
    for first in range(0, n_chunks, step):
        chunks = slice(first, min(first + step, n_chunks))
        if laid.shape[1] != chunks.stop - first:
            laid = np.empty((chunk, chunks.stop - first), sample)
        laid[...] = samples[chunks].T
        yield chunks, laid.view(np.int32).reshape(chunk, -1)


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
    for chunks, laid in side_by_side(counts[: n_chunks * chunk], chunk):
        laid.max(axis=0, out=highest[chunks].reshape(-1))
        laid.min(axis=0, out=lowest[chunks].reshape(-1))
    return highest, lowest
