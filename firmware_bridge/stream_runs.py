"""Blocks of samples that came in a row, opened in one go.

At a line's pace a read brings one block; from a socket, a file or after a stall it brings many, and
COBS, CRC and counts of all of them cost little more than those of one.

Frames stand between two zero bytes each, which tells them apart in a few searches; where a line has
a zero more or less, they are opened one by one. Where a frame ends, COBS itself puts a zero between
it and the next, so that codes in a row are one code. The CRC register after a good frame does not
depend on what the frame held; so one CRC over all of them has one right value, and a fault in any
of them shows as it would in its own.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from cobs import cobs
from numpy.typing import NDArray

from firmware_bridge import int24
from firmware_bridge.messages import Samples
from firmware_bridge.stream_bodies import (
    CRC,
    FIRST_COUNT,
    MAX_FRAME_BYTES,
    SAMPLES,
    VERSION,
    samples_fit,
)

__all__ = ["Sorted", "opened_together", "sorted_out"]

WORTH = 4
"""Fewer frames than that are opened faster one by one."""

_HEAD = struct.Struct("<HHIQBBH")
"""Version and type, device id, sequence, sample, channels, reserved, n."""

_KIND = SAMPLES << 8 | VERSION
_TYPE_AT = 2  # in the code of a frame: the first code, version, type, none of which is zero
_BEGIN = _TYPE_AT + 1  # as much of a frame as holds its type
_BLOCK = bytes((SAMPLES,))
_WORD = np.dtype("<u4")
_HEADS = np.dtype((np.void, _HEAD.size))
_HEAD_WORDS = _HEAD.size // _WORD.itemsize


_Place: TypeAlias = tuple[int, int, int]
"""Number of a frame in what was read, its begin and end."""


class Sorted(NamedTuple):
    """Pieces between zero bytes: those that look like blocks in a row, and all else.

    Each of ``others`` stands with the number of blocks before it.
    """

    blocks: int
    codes: bytes
    others: list[tuple[int, bytes]]


def sorted_out(before: bytes, data: bytes) -> Sorted | None:
    """Blocks, and what stands between them, up to the last zero byte.

    Parameters
    ----------
    before : bytes
        Begin of the first frame, if it came earlier.
    data : bytes
        What has come now.

    Returns
    -------
    Sorted or None
        None: some frames are not as `encode` makes them, the one cut in two is no block, or there
        are so few that it is no use; open them one by one.
    """
    begin = int(not before and data[:1] == b"\0")
    frames, last, apart = _walked(data, begin)
    if (before[:_BEGIN] + data[begin : begin + _BEGIN])[_TYPE_AT:_BEGIN] != _BLOCK:
        if before:
            return None
        apart.insert(0, (0, begin, data.find(b"\0", begin)))
    blocks = frames - len(apart)
    if blocks < WORTH:
        return None
    line, others = _parted(before, data, begin, last, apart)
    codes = line.replace(b"\0", b"")
    # All zeros that end a frame were found; by number, each but the last has one beside it.
    if len(line) - len(codes) != 2 * frames - 2:
        return None
    return Sorted(blocks, codes, others)


def _walked(data: bytes, begin: int) -> tuple[int, int, list[_Place]]:
    """How many frames, where the last ends, and those after the first to be opened apart.

    That is what is no block, and what may end with a full group of COBS, which no zero follows:
    of blocks with hardly a zero byte one in a thousand, and it would spoil all the others.
    """
    find, frames = data.find, 1
    apart: list[_Place] = []
    end = find(b"\0", begin)
    try:
        while (after := find(b"\0", end + 2)) >= 0:
            # SAMPLES and _FULL, as constants: this is the path of every frame.
            if data[end + 4] != 2 or data[after - 255] == 255:
                apart.append((frames, end + 2, after))
            frames += 1
            end = after
    except IndexError:  # too short to have a type
        return 0, 0, []
    return frames, end, apart


def _parted(
    before: bytes, data: bytes, begin: int, last: int, apart: list[_Place]
) -> tuple[bytes, list[tuple[int, bytes]]]:
    """All blocks with the zeros between them, and the others out of their midst."""
    view, at = memoryview(data), begin
    parts = [memoryview(before)]
    others: list[tuple[int, bytes]] = []
    for number, start, end in apart:
        parts.append(view[at:start])
        others.append((number - len(others), data[start:end]))
        at = end
    parts.append(view[at:last])
    return b"".join(parts), others


def opened_together(blocks: int, codes: bytes) -> list[Samples] | None:
    """Blocks in frames of one shape; those without a gap between them joined.

    Parameters
    ----------
    blocks : int
        How many; at least one.
    codes : bytes
        What stood between zero bytes, in a row.

    Returns
    -------
    list of Samples or None
        None: some are damaged, of other shapes or no blocks; open them one by one.
    """
    try:
        raw = cobs.decode(codes)
    except cobs.DecodeError:
        return None
    size = (len(raw) + 1) // blocks - 1
    if len(raw) != blocks * (size + 1) - 1 or not FIRST_COUNT < size <= MAX_FRAME_BYTES:
        return None
    *_, channels, reserved, n = _HEAD.unpack_from(raw)
    if not samples_fit(channels, reserved, n, size) or zlib.crc32(raw) != _right_crc(blocks, size):
        return None
    counts = int24.unpack(raw, FIRST_COUNT, n * channels, rows=blocks, apart=size + 1)
    counts = counts.reshape(-1, channels)
    counts.setflags(write=False)
    joined = []
    for first, end in pairwise([0, *_breaks(raw, blocks, size + 1, n), blocks]):
        kind, device_id, sequence, sample, *shape = _HEAD.unpack_from(raw, first * (size + 1))
        if kind != _KIND or shape != [channels, reserved, n]:
            return None
        joined.append(
            Samples(device_id, sequence, sample, counts[first * n : end * n], end - first)
        )
    return joined


@lru_cache(maxsize=512)
def _right_crc(rows: int, size: int) -> int:
    body = bytes(size - CRC.size)
    return zlib.crc32(b"\0".join([body + CRC.pack(zlib.crc32(body))] * rows))


def _breaks(raw: bytes, rows: int, apart: int, n: int) -> list[int]:
    """Where a frame does not go on as the first would: in number, sample, shape or device.

    (Or where the lower half of the sample overflows; a run may end anywhere.)
    """
    heads = np.ndarray(rows, _HEADS, raw, 0, apart).copy().view(_WORD)
    steps = heads[_HEAD_WORDS:] - heads[:-_HEAD_WORDS]
    strange: list[int] = (steps != _right_steps(rows - 1, n)).nonzero()[0].tolist()
    return sorted({1 + at // _HEAD_WORDS for at in strange})


@lru_cache(maxsize=64)
def _right_steps(rows: int, n: int) -> NDArray[np.uint32]:
    """Of version, type and device id; sequence; both halves of sample; shape."""
    return np.tile(np.array((0, 1, n, 0, 0), _WORD), rows)
