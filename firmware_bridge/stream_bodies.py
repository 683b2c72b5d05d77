"""Bodies of the digitiser's frames: what each message says, as bytes, judged both ways.

``KINDS`` has one row a message: its type on the wire, how its body is written, how it is read. A
reader gets the whole frame, so that no slice is copied; the body stands between the header and
the CRC. ``docs/wire.md`` gives every byte.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from firmware_bridge import int24
from firmware_bridge.messages import (
    MAX_CHANNELS,
    MAX_INPUTS,
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
from firmware_bridge.update_bodies import UPDATE_KINDS

__all__ = [
    "CRC",
    "FIRST_COUNT",
    "HEADER",
    "KINDS",
    "LEAST_FRAME_BYTES",
    "MAX_FRAME_BYTES",
    "READERS",
    "SAMPLES",
    "VERSION",
    "samples_bytes",
    "samples_fit",
]

VERSION = 1
"""Version of the protocol; a frame of another version is counted as ``unknown``."""

MAX_FRAME_BYTES = 32_768
"""Header, body and CRC together; 32 channels at 10 kHz in blocks of 20 ms need 19 kB."""

HEADER = struct.Struct("<BBHIQ")
"""Version, type, device id, sequence, sample."""

CRC = struct.Struct("<I")

LEAST_FRAME_BYTES = HEADER.size + CRC.size

SAMPLES = 0x02
"""Type of the message that brings the counts."""

_SHAPE = struct.Struct("<BBH")
_HELLO = struct.Struct("<IddB")
_STATUS = struct.Struct("<ffIIQ")
_EDGE = struct.Struct("<QBB")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")

FIRST_COUNT = HEADER.size + _SHAPE.size


def _body(frame: bytes) -> bytes:
    return frame[HEADER.size : -CRC.size]


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise ValueError(what)


def _write_samples(message: Samples) -> bytes:
    counts = message.counts
    _require(counts.ndim == 2 and counts.size > 0, "counts must be (n, channels), not empty")
    _require(message.frames == 1, "joined blocks are no frame")
    n, channels = counts.shape
    _require(channels <= MAX_CHANNELS, "too many channels")
    _require(counts.min() >= -(1 << 23) and counts.max() < 1 << 23, "a count beyond 24 bits")
    return _SHAPE.pack(channels, 0, n) + int24.pack(counts)


def _read_samples(device_id: int, sequence: int, sample: int, frame: bytes) -> Samples:
    channels, reserved, n = _SHAPE.unpack_from(frame, HEADER.size)
    _require(samples_fit(channels, reserved, n, len(frame)), "shape and length differ")
    counts = int24.unpack(frame, FIRST_COUNT, n * channels).reshape(n, channels)
    counts.setflags(write=False)
    return Samples(device_id, sequence, sample, counts)


def samples_bytes(channels: int, n: int) -> int:
    """Length of a frame with a block of that shape."""
    return FIRST_COUNT + int24.BYTES * channels * n + CRC.size


def samples_fit(channels: int, reserved: int, n: int, frame_bytes: int) -> bool:
    """Whether a block of that shape is one, and has that length."""
    fits = 0 < channels <= MAX_CHANNELS and n > 0 and not reserved
    return fits and frame_bytes == samples_bytes(channels, n)


def _write_hello(message: Hello) -> bytes:
    _check_hello(message.channels, message.rate_hz, message.newton_per_count)
    fixed = _HELLO.pack(
        message.boot_id, message.rate_hz, message.newton_per_count, message.channels
    )
    return fixed + b"".join(
        _short_text(text) for text in (message.serial, message.model, message.firmware)
    )


def _read_hello(device_id: int, sequence: int, sample: int, frame: bytes) -> Hello:
    return Hello(device_id, sequence, sample, *_names(_body(frame)))


@lru_cache(maxsize=16)
def _names(body: bytes) -> tuple[str, str, str, int, float, float, int]:
    """What a device says of itself: every second the same."""
    boot_id, rate_hz, newton_per_count, channels = _HELLO.unpack_from(body)
    serial, model, firmware = _short_texts(body[_HELLO.size :])
    _check_hello(channels, rate_hz, newton_per_count)
    return serial, model, firmware, channels, rate_hz, newton_per_count, boot_id


def _check_hello(channels: int, rate_hz: float, newton_per_count: float) -> None:
    _require(0 < channels <= MAX_CHANNELS, "channels")
    _require(math.isfinite(rate_hz) and rate_hz > 0, "rate_hz")
    _require(math.isfinite(newton_per_count) and newton_per_count != 0, "newton_per_count")


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


def _plain(kind: type[Start] | type[Stop]) -> Reader:
    def read(device_id: int, sequence: int, sample: int, frame: bytes) -> Message:
        _require(len(frame) == LEAST_FRAME_BYTES, "a body where none belongs")
        return kind(device_id, sequence, sample)

    return read


def _read_zero(device_id: int, sequence: int, sample: int, frame: bytes) -> Zero:
    return Zero(device_id, sequence, sample, *_U32.unpack(_body(frame)))


def _read_time(device_id: int, sequence: int, sample: int, frame: bytes) -> Time:
    return Time(device_id, sequence, sample, *_U64.unpack(_body(frame)))


Reader: TypeAlias = Callable[[int, int, int, bytes], Message]
"""Device id, sequence, sample and the whole frame to a message; ValueError or struct.error."""

KINDS: dict[type[Message], tuple[int, Callable[[Any], bytes], Reader]] = {
    Hello: (0x01, _write_hello, _read_hello),
    Samples: (SAMPLES, _write_samples, _read_samples),
    Inputs: (0x03, _write_inputs, _read_inputs),
    Status: (0x04, _write_status, _read_status),
    Start: (0x81, lambda message: b"", _plain(Start)),
    Stop: (0x82, lambda message: b"", _plain(Stop)),
    Zero: (0x83, lambda message: _U32.pack(message.channel_mask), _read_zero),
    Time: (0x84, lambda message: _U64.pack(message.utc_ns), _read_time),
    **UPDATE_KINDS,
}

READERS: dict[int, Reader] = {code: read for code, _, read in KINDS.values()}
