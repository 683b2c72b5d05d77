"""Frames of a load-cell digitiser: bytes in, messages out, and back.

A frame is a 16-byte header, a body and a CRC-32 over both, all little-endian, COBS-encoded between
two zero bytes. ``docs/wire.md`` gives every byte, so that a stranger can build the other end.

The decoder reaches no port and no clock and never raises: what does not prove itself by its CRC
and by its length is counted and dropped, and the next zero byte begins anew.

Sources
-------
S. Cheshire, M. Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Trans. Networking 7 (2), 1999.
CRC-32 as in ISO/IEC 8802-3 (reflected 0x04C11DB7); check value of "123456789" is 0xCBF43926.
"""

from __future__ import annotations

import struct
import zlib
from itertools import accumulate

from cobs import cobs

from firmware_bridge.messages import (
    MAX_CHANNELS,
    MAX_INPUTS,
    Counts,
    Edge,
    Hello,
    Inputs,
    Message,
    Samples,
    Start,
    Status,
    Stop,
    Time,
    Zero,
)
from firmware_bridge.stream_bodies import (
    CRC,
    HEADER,
    KINDS,
    LEAST_FRAME_BYTES,
    MAX_FRAME_BYTES,
    READERS,
    VERSION,
)
from firmware_bridge.stream_runs import Sorted, opened_together, sorted_out

__all__ = [
    "MAX_CHANNELS",
    "MAX_FRAME_BYTES",
    "MAX_INPUTS",
    "VERSION",
    "Counts",
    "Edge",
    "Hello",
    "Inputs",
    "Message",
    "Samples",
    "Start",
    "Status",
    "Stop",
    "StreamDecoder",
    "Time",
    "Zero",
    "encode",
]

_MAX_WIRE_BYTES = MAX_FRAME_BYTES + MAX_FRAME_BYTES // 254 + 1
# CRC-32 of any bytes followed by their own little-endian CRC-32: one call checks a whole frame.
_CRC_RESIDUE = 0x2144DF1C


def encode(message: Message) -> bytes:
    """One message as a frame on the wire, with a zero byte at both ends.

    The leading zero keeps noise before a frame, or a lost end of the frame before it, from
    taking this frame along.

    Parameters
    ----------
    message : Message
        Counts of `Samples` are integers (n, channels) of 24 bits, n and channels at least 1.

    Returns
    -------
    bytes
        ``00``, the COBS code of header, body and CRC-32, ``00``.

    Raises
    ------
    ValueError
        A field does not fit its place on the wire.
    """
    code, write, _ = KINDS[type(message)]
    try:
        head = HEADER.pack(VERSION, code, message.device_id, message.sequence, message.sample)
        body = head + write(message)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{type(message).__name__}: {error}") from error
    frame = body + CRC.pack(zlib.crc32(body))
    if len(frame) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(frame)} bytes; at most {MAX_FRAME_BYTES} fit")
    return b"".join((b"\0", cobs.encode(frame), b"\0"))


class StreamDecoder:
    """Bytes of one line to messages, whatever the pieces they come in.

    Attributes
    ----------
    counters : dict of str to int
        ``frames`` decoded; ``damaged`` (COBS, CRC or too short); ``oversize``; ``unknown`` (another
        version or type); ``malformed`` (the CRC is right and the body is not as agreed).
    """

    def __init__(self) -> None:
        self.counters = dict.fromkeys(("frames", "damaged", "oversize", "unknown", "malformed"), 0)
        self._pending = b""

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes in, in pieces of any length. Never raises.

        Parameters
        ----------
        data : bytes
            What the line brought since the last call; may be empty.

        Returns
        -------
        list of Message
            The messages that these bytes complete, in order. Blocks of samples that follow one
            another without a gap may come joined: `Samples.frames` tells.
        """
        end = data.rfind(b"\0")
        if end < 0:
            # One byte beyond the largest frame is kept: enough to know that it was too long.
            self._pending = (self._pending + data)[: _MAX_WIRE_BYTES + 1]
            return []
        end -= data[end - 1 : end] == b"\0"  # one zero ends a frame, one begins the next
        before, rest = self._pending, data[end + 1 :]
        self._pending = rest.lstrip(b"\0")[: _MAX_WIRE_BYTES + 1]
        messages: list[Message] = []
        if not self._open_together(sorted_out(before, data), messages):
            self._open_each(before + data[: end + 1], messages)
        return messages

    def _open_together(self, found: Sorted | None, messages: list[Message]) -> bool:
        """Open all blocks of samples at once, and what stands between them in its place."""
        joined = opened_together(found.blocks, found.codes) if found else None
        if found is None or joined is None:
            return False
        ends = {0, *accumulate(run.frames for run in joined)}
        if not ends.issuperset(before for before, _ in found.others):
            return False  # A frame inside a run: no device numbers its frames so.
        self.counters["frames"] += found.blocks
        told = 0
        for before, piece in found.others:
            while told < before:
                told += joined[0].frames
                messages.append(joined.pop(0))
            self._open(piece, messages)
        messages += joined
        return True

    def _open_each(self, line: bytes, messages: list[Message]) -> None:
        for piece in line.split(b"\0"):
            self._open(piece, messages)

    def _open(self, piece: bytes, messages: list[Message]) -> None:
        if not piece:  # nothing between two zero bytes is no frame
            return
        outcome = _opened(piece)
        if isinstance(outcome, str):
            self.counters[outcome] += 1
        else:
            self.counters["frames"] += 1
            messages.append(outcome)


def _opened(piece: bytes) -> Message | str:
    """The message between two zero bytes, or the counter that tells why there is none."""
    if len(piece) > _MAX_WIRE_BYTES:
        return "oversize"
    try:
        frame = cobs.decode(piece)
    except cobs.DecodeError:
        return "damaged"
    if len(frame) < LEAST_FRAME_BYTES or zlib.crc32(frame) != _CRC_RESIDUE:
        return "damaged"
    if len(frame) > MAX_FRAME_BYTES:
        return "oversize"
    version, code, device_id, sequence, sample = HEADER.unpack_from(frame)
    read = READERS.get(code)
    if version != VERSION or read is None:
        return "unknown"
    try:
        return read(device_id, sequence, sample, frame)
    except (ValueError, struct.error):
        return "malformed"
