"""Highest and lowest counts of chunks of fixed length, near the speed of memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from edge.records import Indices, Int32s

__all__ = ["CHUNK", "extremes", "looks", "side_by_side"]

CHUNK = 64
"""Samples in a chunk."""

_LOOKS_PER_S = 1_000
"""The shortest touch, of a motorcycle at 150 km/h on a narrow strip, lasts three times as long."""

_LONGEST_STRIDE = 4
"""So that enough samples of a chunk are left to tell its noise."""

_MIDDLE = 33
"""From here on, strides of one to three come out at a chunk's last sample."""

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
    step = _SLAB_SAMPLES // n_looks
    # Fetched in the order of memory; what is laid side by side is in the cache by then.
    seen = (
        chunks[first : first + step].take(looked, axis=1).reshape(-1, n_channels)
        for first in range(0, len(chunks), step)
    )
    highest = np.empty((len(chunks), n_channels), np.int32)
    lowest = np.empty_like(highest)
    for part, laid in side_by_side(seen, n_looks, len(chunks), n_channels):
        np.maximum.reduce(laid, axis=0, out=highest[part].reshape(-1))
        np.minimum.reduce(laid, axis=0, out=lowest[part].reshape(-1))
    return highest, lowest
