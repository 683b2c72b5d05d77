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
from typing import NamedTuple

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
_BEGIN = _TYPE_AT + 1  # from the zero before a frame to its type
_FULL = 255  # code of a group without a zero, and its length
_NO_BLOCK = bytes(kind != SAMPLES for kind in range(256))
_WORD = np.dtype("<u4")
_HEAD_WORDS = _HEAD.size // _WORD.itemsize


class Sorted(NamedTuple):
    """Pieces between zero bytes: those that look like blocks in a row, and all else.

    Each of ``others`` stands with the number of blocks before it.
    """

    blocks: int
    codes: bytes
    others: list[tuple[int, bytes]]


def sorted_out(line: bytes) -> Sorted | None:
    """Blocks, and what stands between them.

    Parameters
    ----------
    line : bytes
        Begins and ends with a zero byte.

    Returns
    -------
    Sorted or None
        None: some frames are not as `encode` makes them, or there are so few that it is no use.
    """
    places, full = _places_of_type(line)
    if len(places) < WORTH:
        return None
    codes: list[bytes] = []
    others: list[tuple[int, bytes]] = []
    strange = bytearray(map(line.__getitem__, places)).translate(_NO_BLOCK)
    for ending in full:
        strange[ending] = True
    at, number = 0, -1
    while (number := strange.find(True, number + 1)) >= 0:
        begin = places[number] - _TYPE_AT
        end = line.index(b"\0", begin)
        codes.append(line[at:begin])
        others.append((number - len(others), line[begin:end]))
        at = end
    codes.append(line[at:])
    with_zeros = b"".join(codes)
    bare = with_zeros.replace(b"\0", b"")
    if len(with_zeros) - len(bare) != 2 * len(places):
        return None
    return Sorted(len(places) - len(others), bare, others)


def _places_of_type(line: bytes) -> tuple[list[int], list[int]]:
    """Where the type of each frame stands, if two zero bytes stand between frames.

    And the numbers of those that may end with a full group of COBS, which no zero follows: of
    blocks with hardly a zero byte one in some hundreds, and it would spoil all opened with it.
    """
    find, at = line.find, 1 + _TYPE_AT
    places: list[int] = []
    full: list[int] = []
    while (end := find(b"\0", at)) >= 0:
        if line[at - _BEGIN]:  # a zero is missing here, and a stray one elsewhere could hide that
            return [], []
        if end > _FULL and line[end - _FULL] == _FULL:
            full.append(len(places))
        places.append(at)
        at = end + 2 + _TYPE_AT
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
    size = _size(raw)
    if len(raw) != blocks * (size + 1) - 1 or zlib.crc32(raw) != _right_crc(blocks, size):
        return None
    runs = pairwise([0, *_breaks(raw, blocks, size + 1), blocks])
    found = [_joined(raw, first, end, size) for first, end in runs]
    return None if None in found else [block for block in found if block is not None]


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
    """Where a frame does not go on as the first would: in number, sample, shape or device.

    (Or where the lower half of the sample overflows; a run may end anywhere.)
    """
    heads = np.ndarray((rows, _HEAD_WORDS), _WORD, raw, 0, (apart, _WORD.itemsize)).copy()
    steps = heads[1:] - heads[:-1]
    steps -= _right_steps(int(heads[0, -1]) >> 16)
    strange: list[int] = steps.ravel().nonzero()[0].tolist()
    return sorted({1 + at // _HEAD_WORDS for at in strange})


@lru_cache(maxsize=64)
def _right_steps(n: int) -> NDArray[np.uint32]:
    """Of version, type and device id; sequence; both halves of sample; shape."""
    return np.array((0, 1, n, 0, 0), _WORD)


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
