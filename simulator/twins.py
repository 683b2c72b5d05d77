"""Two codecs of one protocol, held against each other: the host's in Python, the device's in C.

Random messages go both ways, whole and damaged. The C side is a filter over pipes; fields cross as
plain records, whose layout stands at the head of ``filter.c``.
"""

from __future__ import annotations

import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cobs import cobs

from firmware_bridge.stream import (
    Hello,
    Inputs,
    Message,
    Samples,
    Start,
    Status,
    Stop,
    StreamDecoder,
    Time,
    Zero,
    encode,
)
from firmware_bridge.stream_bodies import KINDS
from firmware_bridge.update_bodies import UPDATE_KINDS

__all__ = ["Compared", "Filter", "compare", "random_messages", "record"]

_BATCH = 5_000
_DAMAGED = 0.1
_MISSHAPEN = 0.1
_RUN = 0.3
_UPDATING = frozenset(row[0] for row in UPDATE_KINDS.values())
"""Types that the host alone knows: the device's update speaks beside the codec in C."""
_TEXTS = ("", "WIM-0042", "称重传感器", "é", "\U0001f69b" * 3, "x" * 255, "\0a\0")


@dataclass(frozen=True, slots=True)
class Compared:
    """Frames that both encoded, pieces of a line that both judged, and where they differed."""

    encoded: int
    judged: int
    """Good, damaged and misshapen frames."""
    differing_batches: int


@dataclass(frozen=True, slots=True)
class Filter:
    """The compiled filter."""

    program: Path

    def encode(self, records: bytes) -> bytes:
        """Frames of these records."""
        return self._run("encode", records)[0]

    def decode(self, line: bytes) -> tuple[bytes, dict[str, int]]:
        """Records of the messages on the line, and the counters."""
        records, said = self._run("decode", line)
        pairs = (pair.split("=") for pair in said.split())
        return records, {name: int(value) for name, value in pairs}

    def _run(self, what: str, data: bytes) -> tuple[bytes, str]:
        done = subprocess.run([self.program, what], input=data, capture_output=True, check=True)
        return done.stdout, done.stderr.decode()


def compare(codec: Filter, frames: int, seed: int) -> Compared:
    """Send ``frames`` random messages through both codecs, each way."""
    chance = np.random.default_rng(seed)
    judged = differing = 0
    for first in range(0, frames, _BATCH):
        messages = list(random_messages(chance, min(_BATCH, frames - first)))
        wire = [encode(message) for message in messages]
        line = b"".join(_spoilt(frame, chance) for frame in wire)
        decoder = StreamDecoder()
        heard = [record(one) for message in decoder.feed(line) for one in _single(message)]
        same = (
            codec.encode(b"".join(map(record, messages))) == b"".join(wire),
            codec.decode(line) == (b"".join(heard), decoder.counters),
        )
        judged += sum(decoder.counters.values())
        differing += same.count(False)
    return Compared(frames, judged, differing)


def _single(message: Message) -> Sequence[Message]:
    return message.apart() if isinstance(message, Samples) else [message]


# ------------------------------------------------------------------------------ plain records


def record(message: Message) -> bytes:
    """A message as the filter's plain record."""
    kind = KINDS[type(message)][0]
    head = struct.pack("<BHIQ", kind, message.device_id, message.sequence, message.sample)
    return head + _FIELDS[type(message)](message)


def _hello_fields(hello: Hello) -> bytes:
    texts = [text.encode() for text in (hello.serial, hello.model, hello.firmware)]
    numbers = (hello.boot_id, hello.rate_hz, hello.newton_per_count, hello.channels)
    return struct.pack("<IddB", *numbers) + b"".join(bytes((len(t),)) + t for t in texts)


def _samples_fields(samples: Samples) -> bytes:
    n, channels = samples.counts.shape
    return struct.pack("<BH", channels, n) + samples.counts.astype("<i4").tobytes()


def _inputs_fields(inputs: Inputs) -> bytes:
    edges = (struct.pack("<QBB", *edge) for edge in inputs.edges)
    return struct.pack("<H", len(inputs.edges)) + b"".join(edges)


def _status_fields(status: Status) -> bytes:
    return struct.pack(
        "<ffIQI",
        status.temperature_c,
        status.supply_v,
        status.saturated_mask,
        status.lost_samples,
        status.inputs_mask,
    )


_FIELDS: dict[type[Message], Callable[[Any], bytes]] = {
    Hello: _hello_fields,
    Samples: _samples_fields,
    Inputs: _inputs_fields,
    Status: _status_fields,
    Start: lambda message: b"",
    Stop: lambda message: b"",
    Zero: lambda message: struct.pack("<I", message.channel_mask),
    Time: lambda message: struct.pack("<Q", message.utc_ns),
}


# ---------------------------------------------------------------------------- random messages


def random_messages(chance: np.random.Generator, n: int) -> Iterator[Message]:
    """Messages of every kind, fields over their whole range; some blocks go on without a gap."""
    makers = tuple(_RANDOM)
    before: Message | None = None
    for maker, goes_on in zip(chance.integers(0, len(makers), n), chance.random(n), strict=True):
        if isinstance(before, Samples) and goes_on < _RUN:
            before = _next_block(before, chance)
        else:
            head = _whole(chance, 16), _whole(chance, 32), _whole(chance, 64)
            before = makers[maker](chance, head)
        yield before


_Head = tuple[int, int, int]


def _whole(chance: np.random.Generator, bits: int) -> int:
    """Any number of that many bits, small ones as likely as large ones."""
    width = int(chance.integers(0, bits + 1))
    return int.from_bytes(chance.bytes(8), "little") & ((1 << width) - 1)


def _double(chance: np.random.Generator) -> float:
    return float(chance.standard_normal() * 10.0 ** chance.integers(-300, 300)) or 1.0


def _single_float(chance: np.random.Generator) -> float:
    return float(np.float32(chance.standard_normal() * 10.0 ** chance.integers(-40, 38)))


def _hello(chance: np.random.Generator, head: _Head) -> Hello:
    serial, model, firmware = (_TEXTS[i] for i in chance.integers(0, len(_TEXTS), 3))
    channels = int(chance.integers(1, 33))
    rate_hz, scale = abs(_double(chance)), _double(chance)
    boot_id = _whole(chance, 32)
    return Hello(*head, serial, model, firmware, channels, rate_hz, scale, boot_id)


def _counts(chance: np.random.Generator, n: int, channels: int) -> np.ndarray:
    reach = 1 << int(chance.integers(0, 24))
    return chance.integers(-reach, reach, (n, channels), np.int32)


def _samples(chance: np.random.Generator, head: _Head) -> Samples:
    n, channels = int(2 ** chance.uniform(0, 6)), int(chance.integers(1, 9))
    return Samples(*head, _counts(chance, n, channels))


def _next_block(block: Samples, chance: np.random.Generator) -> Samples:
    n, channels = block.counts.shape
    sequence, sample = (block.sequence + 1) % (1 << 32), (block.sample + n) % (1 << 64)
    return Samples(block.device_id, sequence, sample, _counts(chance, n, channels))


def _inputs(chance: np.random.Generator, head: _Head) -> Inputs:
    n = int(chance.integers(1, 30))
    samples = sorted(_whole(chance, 64) for _ in range(n))
    numbers, levels = chance.integers(0, 32, n).tolist(), (chance.random(n) < 0.5).tolist()
    return Inputs(*head, tuple(zip(samples, numbers, levels, strict=True)))


def _status(chance: np.random.Generator, head: _Head) -> Status:
    masks = _whole(chance, 32), _whole(chance, 64), _whole(chance, 32)
    return Status(*head, _single_float(chance), _single_float(chance), *masks)


_RANDOM: tuple[Callable[[np.random.Generator, _Head], Message], ...] = (
    _hello,
    _samples,
    _inputs,
    _status,
    lambda chance, head: Start(*head),
    lambda chance, head: Stop(*head),
    lambda chance, head: Zero(*head, _whole(chance, 32)),
    lambda chance, head: Time(*head, _whole(chance, 64)),
)


# ------------------------------------------------------------------------------------- damage


def _spoilt(frame: bytes, chance: np.random.Generator) -> bytes:
    """The frame as it was, hit by the line, or with a body that its CRC vouches for wrongly."""
    lot = chance.random()
    if lot < _DAMAGED:
        return _hit(frame, chance)
    return _misshapen(frame, chance) if lot < _DAMAGED + _MISSHAPEN else frame


def _hit(frame: bytes, chance: np.random.Generator) -> bytes:
    bent, at = bytearray(frame), int(chance.integers(0, len(frame)))
    bent[at] ^= int(chance.integers(1, 256))
    cut = len(frame) if chance.random() < 0.5 else int(chance.integers(0, len(frame)))
    return bytes(bent[:cut])


def _misshapen(frame: bytes, chance: np.random.Generator) -> bytes:
    body = bytearray(cobs.decode(frame.strip(b"\0"))[:-4])
    if chance.random() < 0.5:
        body[int(chance.integers(0, len(body)))] = int(chance.integers(0, 256))
    if chance.random() < 0.5:
        body = body[: int(chance.integers(0, len(body) + 1))] + chance.bytes(
            int(chance.integers(0, 4))
        )
    if body[1:2] and body[1] in _UPDATING:
        return frame
    frame = bytes(body) + struct.pack("<I", zlib.crc32(body))
    return b"".join((b"\0", cobs.encode(frame), b"\0"))
