"""Modbus RTU frames in what a line carries: who else speaks on a bus. Sans-I/O.

Modbus over serial line V1.02, 2.5.1 and 6.2.2 (CRC-16); lengths of V1.1b3, section 6::

    unit | function | ...                                     | CRC low | CRC high
    01..06, 08      a question of 8 bytes
    01..04          an answer of 5 + its count of bytes
    05, 06, 08      an answer that repeats the question
    0F, 10          a question of 9 + its count of bytes, an answer of 8
    80 + function   a refusal of 5
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_MOST_BYTES = 4_096
_LEAST_SHARE = 0.6
_READS, _REPEATED, _WRITES = range(1, 5), (5, 6, 8), (15, 16)


class RtuFrame(NamedTuple):
    """A frame with a right CRC; ``asks`` if it has the form of a master's."""

    unit: int
    asks: bool
    raw: bytes


def crc16(data: bytes) -> int:
    """CRC-16 of Modbus over serial line (V1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def rtu_frames(data: bytes) -> Iterator[RtuFrame]:
    """Every whole frame, in the order of the line; at most the first 4 KiB are looked at."""
    at, data = 0, data[:_MOST_BYTES]
    while at < len(data):
        frame = next(_frames_at(data, at), None)
        if frame:
            yield frame
        at += len(frame.raw) if frame else 1


def units_of_others(heard: bytes) -> tuple[int, ...]:
    """The units of a bus that somebody else asks, or that answer him; empty if nobody does.

    For a listener who has asked nothing: frames have to explain most of what is heard.
    """
    frames = [*rtu_frames(heard)]
    explained = sum(len(frame.raw) for frame in frames)
    if explained < _LEAST_SHARE * min(len(heard), _MOST_BYTES):
        return ()
    return tuple(sorted({frame.unit for frame in frames}))


def units_asked_besides(heard: bytes, asked: bytes) -> tuple[int, ...]:
    """The units that somebody else asks, for one who asked himself, and may hear his echo.

    Answers say nothing: they may be late ones to an earlier question of his own.
    """
    own = {frame.raw for frame in rtu_frames(asked)}
    return tuple(sorted({f.unit for f in rtu_frames(heard) if f.asks and f.raw not in own}))


def _frames_at(data: bytes, at: int) -> Iterator[RtuFrame]:
    unit = data[at]
    for size, asks in _sizes(data[at : at + 7]) if unit <= 247 else ():
        raw = data[at : at + size]
        if len(raw) == size and crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little"):
            yield RtuFrame(unit, asks, raw)


def _sizes(head: bytes) -> Iterator[tuple[int, bool]]:
    """How long a frame that begins so may be, and whether it asks then."""
    function = head[1] if len(head) > 1 else 0
    if function & 0x80 and function & 0x7F in (*_READS, *_REPEATED, *_WRITES):
        yield 5, False
    if function in _READS or function in _REPEATED:
        yield 8, True
    if function in _READS and len(head) > 2 and head[2]:
        yield 5 + head[2], False
    if function in _WRITES:
        yield 8, False
        if len(head) > 6:
            yield 9 + head[6], True
