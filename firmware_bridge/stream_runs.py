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
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from cobs import cobs
from numpy.typing import NDArray

from firmware_bridge import int24
from firmware_bridge.messages import Counts, Samples
from firmware_bridge.stream_bodies import (
    CRC,
    FIRST_COUNT,
    MAX_FRAME_BYTES,
    SAMPLES,
    VERSION,
    samples_bytes,
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
_FULL = 255  # code of a group without a zero, and its length
_NO_BLOCK = bytes(kind != SAMPLES for kind in range(256))
_WORD = np.dtype("<u4")
_HEADS = np.dtype((np.void, _HEAD.size))
_HEAD_WORDS = _HEAD.size // _WORD.itemsize


class Sorted(NamedTuple):
    """Pieces between zero bytes: those that look like blocks in a row, and all else.

    Each of ``others`` stands with the number of blocks before it.
    """

    blocks: int
    codes: bytes
    others: list[tuple[int, bytes]]


def sorted_out(before: bytes, data: bytes, rest: bytes) -> Sorted | None:
    """Blocks, and what stands between them.

    Parameters
    ----------
    before : bytes
        Begin of the first frame, if it came earlier.
    data : bytes
        Holds a zero byte.
    rest : bytes
        What of it stands behind the last frame.

    Returns
    -------
    Sorted or None
        None: some frames are not as `encode` makes them, or there are so few that it is no use.
    """
    leading = not before and data[:1] == b"\0"
    places, full = _places_of_type(data, leading, len(before))
    if len(places) < WORTH:
        return None
    bare = data.replace(b"\0", b"")
    # All zeros that end a frame were found; by number, each but the last has one beside it.
    if len(data) - len(bare) != 2 * len(places) - 1 + leading + (rest[:1] == b"\0"):
        return None
    first_type = (before[:_BEGIN] + data[leading : leading + _BEGIN])[_TYPE_AT]
    types = bytearray((first_type, *itemgetter(*places[1:])(data)))
    strange = types.translate(_NO_BLOCK)
    for ending in full:
        strange[ending] = True
    if before and strange[0]:
        return None
    view = memoryview(bare)[: len(bare) - len(rest.lstrip(b"\0"))]
    codes: list[bytes | memoryview] = [before]
    others: list[tuple[int, bytes]] = []
    at, number = 0, -1
    while (number := strange.find(True, number + 1)) >= 0:
        begin = places[number] - _TYPE_AT
        piece = data[begin : data.index(b"\0", begin)]
        others.append((number - len(others), piece))
        begin -= 2 * number + leading  # as many zeros stand before it
        codes.append(view[at:begin])
        at = begin + len(piece)
    codes.append(view[at:])
    return Sorted(len(places) - len(others), b"".join(codes), others)


def _places_of_type(data: bytes, leading: bool, before: int) -> tuple[list[int], list[int]]:
    """Where the type of each frame stands; none if one is too short to have it.

    And the numbers of those that may end with a full group of COBS, which no zero follows: of
    blocks with hardly a zero byte one in some hundreds, and it would spoil all opened with it.
    """
    places: list[int] = []
    full: list[int] = []
    if len(data) < _FULL:
        return places, full
    find, at = data.find, leading + _TYPE_AT - before
    end = find(b"\0", leading)
    while end >= 0:
        if end < at:
            return [], []
        if data[end - 255] == 255:  # _FULL, as a constant: this is the path of every frame
            full.append(len(places))
        places.append(at)
        at = end + 4
        end = find(b"\0", end + 2)
    return places, full


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
    size, n = _shape(raw)
    if len(raw) != blocks * (size + 1) - 1 or zlib.crc32(raw) != _right_crc(blocks, size):
        return None
    each = (size - FIRST_COUNT - CRC.size) // int24.BYTES
    counts = int24.unpack(raw, FIRST_COUNT, each, rows=blocks, apart=size + 1)
    counts.setflags(write=False)
    runs = pairwise([0, *_breaks(raw, blocks, size + 1, n), blocks])
    found = [_joined(raw, first, size, n, counts[first:end]) for first, end in runs]
    return None if None in found else [block for block in found if block is not None]


def _shape(raw: bytes) -> tuple[int, int]:
    """Length of the first frame, if it is a block, and conversions in it; else none that fit."""
    if len(raw) < _HEAD.size:
        return 0, 0
    *_, channels, _, n = _HEAD.unpack_from(raw)
    size = samples_bytes(channels, n)
    return (size, n) if size <= MAX_FRAME_BYTES else (0, 0)


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
    steps -= _right_steps(rows - 1, n)
    strange: list[int] = steps.nonzero()[0].tolist()
    return sorted({1 + at // _HEAD_WORDS for at in strange})


@lru_cache(maxsize=64)
def _right_steps(rows: int, n: int) -> NDArray[np.uint32]:
    """Of version, type and device id; sequence; both halves of sample; shape."""
    return np.tile(np.array((0, 1, n, 0, 0), _WORD), rows)


def _joined(raw: bytes, first: int, size: int, n: int, counts: Counts) -> Samples | None:
    at = first * (size + 1)
    kind, device_id, sequence, sample, channels, reserved, own_n = _HEAD.unpack_from(raw, at)
    if kind != _KIND or not samples_fit(channels, reserved, own_n, size):
        return None
    if own_n != n and len(counts) > 1:  # steps as of the first shape are gaps in this one
        return None
    return Samples(device_id, sequence, sample, counts.reshape(-1, channels), len(counts))
