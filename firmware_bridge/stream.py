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

import math
import struct
import zlib
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
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

VERSION = 1
"""Version of the protocol; a frame of another version is counted as ``unknown``."""

MAX_FRAME_BYTES = 32_768
"""Header, body and CRC together; 32 channels at 10 kHz in blocks of 20 ms need 19 kB."""

_HEADER = struct.Struct("<BBHIQ")
_SHAPE = struct.Struct("<BBH")
_HELLO = struct.Struct("<IddB")
_STATUS = struct.Struct("<ffIIQ")
_EDGE = struct.Struct("<QBB")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")

_WORD = np.dtype("<i4")
_ONE_BYTE = np.array(8, np.int32)

_MAX_WIRE_BYTES = MAX_FRAME_BYTES + MAX_FRAME_BYTES // 254 + 1
_LEAST_FRAME_BYTES = _HEADER.size + _U32.size
_FIRST_COUNT = _HEADER.size + _SHAPE.size
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
    code, write, _ = _KINDS[type(message)]
    try:
        head = _HEADER.pack(VERSION, code, message.device_id, message.sequence, message.sample)
        body = head + write(message)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{type(message).__name__}: {error}") from error
    frame = body + _U32.pack(zlib.crc32(body))
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
            The messages that these bytes complete, in order.
        """
        pieces = (self._pending + data).split(b"\0")
        # One byte beyond the largest frame is kept: enough to know that it was too long.
        self._pending = pieces.pop()[: _MAX_WIRE_BYTES + 1]
        messages: list[Message] = []
        for piece in pieces:
            if piece:
                self._frame(piece, messages)
        return messages

    def _frame(self, piece: bytes, messages: list[Message]) -> None:
        outcome = _open(piece)
        if isinstance(outcome, str):
            self.counters[outcome] += 1
        else:
            self.counters["frames"] += 1
            messages.append(outcome)


def _open(piece: bytes) -> Message | str:
    """The message between two zero bytes, or the counter that tells why there is none."""
    if len(piece) > _MAX_WIRE_BYTES:
        return "oversize"
    try:
        frame = cobs.decode(piece)
    except cobs.DecodeError:
        return "damaged"
    if len(frame) < _LEAST_FRAME_BYTES or zlib.crc32(frame) != _CRC_RESIDUE:
        return "damaged"
    version, code, device_id, sequence, sample = _HEADER.unpack_from(frame)
    read = _READERS.get(code)
    if version != VERSION or read is None:
        return "unknown"
    try:
        return read(device_id, sequence, sample, frame)
    except (ValueError, struct.error):
        return "malformed"


# ----------------------------------------------------------------------------------------------
# Bodies. A reader gets the whole frame, so that no slice is copied; the body stands between
# the header and the CRC.


def _body(frame: bytes) -> bytes:
    return frame[_HEADER.size : -_U32.size]


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise ValueError(what)


def _write_samples(message: Samples) -> bytes:
    counts = message.counts
    _require(counts.ndim == 2 and counts.size > 0, "counts must be (n, channels), not empty")
    n, channels = counts.shape
    _require(channels <= MAX_CHANNELS, "too many channels")
    _require(counts.min() >= -(1 << 23) and counts.max() < 1 << 23, "a count beyond 24 bits")
    octets = np.ascontiguousarray(counts, "<i4").reshape(-1).view(np.uint8).reshape(-1, 4)
    return _SHAPE.pack(channels, 0, n) + octets[:, :3].tobytes()


def _read_samples(device_id: int, sequence: int, sample: int, frame: bytes) -> Samples:
    channels, reserved, n = _SHAPE.unpack_from(frame, _HEADER.size)
    size = 3 * channels * n
    fits = 0 < channels <= MAX_CHANNELS and n and not reserved
    if not fits or len(frame) != _FIRST_COUNT + size + _U32.size:
        raise ValueError("shape and length of the samples differ")
    # A 32-bit word that begins one byte before each 24-bit count holds it in its upper part;
    # the arithmetic shift drops the stranger's byte and keeps the sign.
    words: Counts = np.ndarray((n, channels), _WORD, frame, _FIRST_COUNT - 1, (3 * channels, 3))
    counts = words.copy()
    counts >>= _ONE_BYTE
    counts.setflags(write=False)
    return Samples(device_id, sequence, sample, counts)


def _write_hello(message: Hello) -> bytes:
    _check_hello(message)
    fixed = _HELLO.pack(
        message.boot_id, message.rate_hz, message.newton_per_count, message.channels
    )
    return fixed + b"".join(
        _short_text(text) for text in (message.serial, message.model, message.firmware)
    )


def _read_hello(device_id: int, sequence: int, sample: int, frame: bytes) -> Hello:
    boot_id, rate_hz, newton_per_count, channels = _HELLO.unpack_from(frame, _HEADER.size)
    serial, model, firmware = _short_texts(frame[_HEADER.size + _HELLO.size : -_U32.size])
    hello = Hello(
        device_id,
        sequence,
        sample,
        serial,
        model,
        firmware,
        channels,
        rate_hz,
        newton_per_count,
        boot_id,
    )
    _check_hello(hello)
    return hello


def _check_hello(hello: Hello) -> None:
    _require(0 < hello.channels <= MAX_CHANNELS, "channels")
    _require(math.isfinite(hello.rate_hz) and hello.rate_hz > 0, "rate_hz")
    _require(
        math.isfinite(hello.newton_per_count) and hello.newton_per_count != 0, "newton_per_count"
    )


def _short_text(text: str) -> bytes:
    raw = text.encode()
    _require(len(raw) < 256, f"{text[:20]!r}... is longer than 255 bytes")
    return bytes((len(raw),)) + raw


def _short_texts(raw: bytes) -> list[str]:
    texts = []
    while raw:
        end = 1 + raw[0]
        _require(end <= len(raw), "a text runs past the end")
        texts.append(raw[1:end].decode())
        raw = raw[end:]
    return texts


def _write_inputs(message: Inputs) -> bytes:
    _check_edges(message.edges)
    return b"".join(_EDGE.pack(*edge) for edge in message.edges)


def _read_inputs(device_id: int, sequence: int, sample: int, frame: bytes) -> Inputs:
    rows = tuple(_EDGE.iter_unpack(_body(frame)))
    _require(all(active <= 1 for _, _, active in rows), "active is 0 or 1")
    edges = tuple((at, number, bool(active)) for at, number, active in rows)
    _check_edges(edges)
    return Inputs(device_id, sequence, sample, edges)


def _check_edges(edges: tuple[Edge, ...]) -> None:
    at = [edge[0] for edge in edges]
    _require(bool(at) and at == sorted(at), "edges must be there, in order of time")
    _require(all(edge[1] < MAX_INPUTS for edge in edges), "number of an input")


def _write_status(message: Status) -> bytes:
    _check_status(message)
    return _STATUS.pack(
        message.temperature_c,
        message.supply_v,
        message.saturated_mask,
        message.inputs_mask,
        message.lost_samples,
    )


def _read_status(device_id: int, sequence: int, sample: int, frame: bytes) -> Status:
    temperature_c, supply_v, saturated, inputs, lost = _STATUS.unpack(_body(frame))
    status = Status(device_id, sequence, sample, temperature_c, supply_v, saturated, lost, inputs)
    _check_status(status)
    return status


def _check_status(status: Status) -> None:
    _require(math.isfinite(status.temperature_c) and math.isfinite(status.supply_v), "not finite")


def _plain(kind: type[Start] | type[Stop]) -> _Reader:
    def read(device_id: int, sequence: int, sample: int, frame: bytes) -> Message:
        _require(len(frame) == _LEAST_FRAME_BYTES, "a body where none belongs")
        return kind(device_id, sequence, sample)

    return read


def _read_zero(device_id: int, sequence: int, sample: int, frame: bytes) -> Zero:
    return Zero(device_id, sequence, sample, *_U32.unpack(_body(frame)))


def _read_time(device_id: int, sequence: int, sample: int, frame: bytes) -> Time:
    return Time(device_id, sequence, sample, *_U64.unpack(_body(frame)))


_Reader: TypeAlias = Callable[[int, int, int, bytes], Message]

_KINDS: dict[type[Message], tuple[int, Callable[[Any], bytes], _Reader]] = {
    Hello: (0x01, _write_hello, _read_hello),
    Samples: (0x02, _write_samples, _read_samples),
    Inputs: (0x03, _write_inputs, _read_inputs),
    Status: (0x04, _write_status, _read_status),
    Start: (0x81, lambda message: b"", _plain(Start)),
    Stop: (0x82, lambda message: b"", _plain(Stop)),
    Zero: (0x83, lambda message: _U32.pack(message.channel_mask), _read_zero),
    Time: (0x84, lambda message: _U64.pack(message.utc_ns), _read_time),
}
_READERS: dict[int, _Reader] = {code: read for code, _, read in _KINDS.values()}
