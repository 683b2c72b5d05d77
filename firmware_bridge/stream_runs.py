"""Blocks of samples that came in a row, opened in one go.

At a line's pace a read brings one block; from a socket, a file or after a stall it brings many, and
COBS, CRC and counts of all of them cost little more than those of one.

Where a frame ends, COBS itself puts a zero between it and the next, so that codes in a row are one
code. The CRC register after a good frame does not depend on what the frame held; so one CRC over
all of them has one right value, and a fault in any of them shows as it would in its own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from cobs import cobs

from firmware_bridge import int24
from firmware_bridge.messages import Samples
from firmware_bridge.stream_bodies import (
    CRC,
    FIRST_COUNT,
    MAX_FRAME_BYTES,
    SAMPLES,
    VERSION,
    samples_bytes,
    samples_fit,
)

__all__ = ["WORTH", "opened_together"]

WORTH = 4
"""Fewer frames than that are opened faster one by one."""

_HEAD = struct.Struct("<HHIQBBH")
"""Version and type, device id, sequence, sample, channels, reserved, n."""

_KIND = SAMPLES << 8 | VERSION
_NEXT_FRAME = 1 << 32
_LONG, _SHAPE = np.dtype("<u8"), np.dtype("<u4")


def opened_together(codes: Sequence[bytes]) -> list[Samples] | None:
    """The blocks in frames of one shape; those without a gap between them joined.

    Parameters
    ----------
    codes : sequence of bytes
        What stood between zero bytes, in order; not empty.

    Returns
    -------
    list of Samples or None
        None: some are damaged, of other shapes or no blocks; open them one by one.
    """
    try:
        raw = cobs.decode(b"".join(codes))
    except cobs.DecodeError:
        return None
    rows, size = len(codes), _size(raw)
    if len(raw) != rows * (size + 1) - 1 or zlib.crc32(raw) != _right_crc(rows, size):
        return None
    runs = pairwise([0, *_breaks(raw, rows, size + 1), rows])
    blocks = [_joined(raw, first, end, size) for first, end in runs]
    return None if None in blocks else [block for block in blocks if block is not None]


def _size(raw: bytes) -> int:
    """Length of the first frame, if it is a block; else none that fits."""
    if len(raw) < _HEAD.size:
        return 0
    *_, channels, _, n = _HEAD.unpack_from(raw)
    size = samples_bytes(channels, n)
    return size if size <= MAX_FRAME_BYTES else 0


@lru_cache(maxsize=512)
def _right_crc(rows: int, size: int) -> int:
    body = bytes(size - CRC.size)
    return zlib.crc32(b"\0".join([body + CRC.pack(zlib.crc32(body))] * rows))


def _breaks(raw: bytes, rows: int, apart: int) -> list[int]:
    """Where a frame does not go on as the first would: in number, sample, shape or device."""
    number = np.ndarray(rows, _LONG, raw, 0, (apart,))  # version, type, device id; sequence above
    sample = np.ndarray(rows, _LONG, raw, 8, (apart,))
    shape = np.ndarray(rows, _SHAPE, raw, 16, (apart,))
    breaks = number[1:] - number[:-1] != _NEXT_FRAME
    breaks |= sample[1:] - sample[:-1] != shape[0] >> 16
    breaks |= shape[1:] != shape[0]
    found: list[int] = (np.flatnonzero(breaks) + 1).tolist()
    return found


def _joined(raw: bytes, first: int, end: int, size: int) -> Samples | None:
    at = first * (size + 1)
    kind, device_id, sequence, sample, channels, reserved, n = _HEAD.unpack_from(raw, at)
    if kind != _KIND or not samples_fit(channels, reserved, n, size):
        return None
    rows = end - first
    counts = int24.unpack(raw, at + FIRST_COUNT, n * channels, rows=rows, apart=size + 1)
    counts = counts.reshape(rows * n, channels)
    counts.setflags(write=False)
    return Samples(device_id, sequence, sample, counts, rows)
