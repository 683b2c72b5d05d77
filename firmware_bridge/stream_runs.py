"""Blocks of samples that follow one another without a gap, opened in one go.

At a line's pace a read brings one block; from a file, a socket or after a stall it brings many, and
one array for all of them costs little more than one for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from firmware_bridge import int24
from firmware_bridge.messages import Samples
from firmware_bridge.stream_bodies import FIRST_COUNT, SAMPLES, VERSION, samples_fit

__all__ = ["WORTH", "runs"]

WORTH = 3
"""Fewer frames than that are opened faster one by one."""

# Version, type and device id in one word, shape of the block in another: they need to be equal.
_KIND = SAMPLES << 8 | VERSION
_HEAD = np.dtype([("kind", "<u4"), ("sequence", "<u4"), ("sample", "<u8"), ("shape", "<u4")])

_Heads: TypeAlias = NDArray[np.void]


def runs(frames: Sequence[bytes]) -> Iterator[Samples | Sequence[bytes]]:
    """Parts of a row of frames, in order.

    Parameters
    ----------
    frames : sequence of bytes
        Whole frames whose CRC is right, each of the same length.

    Yields
    ------
    Samples or sequence of bytes
        Blocks joined into one; or the frames that are no blocks or not as agreed, as they are.
    """
    size, raw = len(frames[0]), b"".join(frames)
    if size < FIRST_COUNT:
        yield frames
        return
    heads: _Heads = np.ndarray(len(frames), _HEAD, raw, 0, (size,))
    ends = (np.flatnonzero(~_follows(heads)) + 1).tolist()
    for first, end in pairwise([0, *ends, len(frames)]):
        kind, sequence, sample, shape = heads[first].item()
        channels, reserved, n = shape & 0xFF, shape >> 8 & 0xFF, shape >> 16
        if kind & 0xFFFF != _KIND or not samples_fit(channels, reserved, n, size):
            yield frames[first:end]
            continue
        at, n_frames = first * size + FIRST_COUNT, end - first
        counts = int24.unpack(raw, at, n * channels, rows=n_frames, apart=size)
        counts = counts.reshape(-1, channels)
        counts.setflags(write=False)
        yield Samples(kind >> 16, sequence, sample, counts, n_frames)


def _follows(heads: _Heads) -> NDArray[np.bool_]:
    """Whether each frame but the first goes on where the one before it ended."""
    kind, sequence, sample, shape = (heads[name] for name in _HEAD.names or ())
    follows: NDArray[np.bool_] = kind[1:] == kind[:-1]
    follows &= shape[1:] == shape[:-1]
    follows &= sequence[1:] - sequence[:-1] == 1
    follows &= sample[1:] - sample[:-1] == shape[:-1] >> 16
    return follows
