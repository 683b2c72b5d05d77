"""What the fuzzer throws bytes at: each codec with what must hold for any bytes at all.

A target takes bytes and raises AssertionError where a codec breaks its word; any other exception is
a finding as well. The first byte says how the rest is cut.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from cobs import cobs

from firmware_bridge.anpr import MAX_FRAME_BYTES, PlateDecoder, PlateFrame, encode_plate
from firmware_bridge.indicators.catalogue import FORMATS
from firmware_bridge.stream import Hello, Message, Samples, StreamDecoder, encode
from simulator.indicators import SPEAKERS, VARIANTS, Settings, Shown, with_parity
from tests.fuzz import cameras, modbus
from tests.fuzz.cutting import pieces

Target = Callable[[bytes], None]

MAX_INDICATOR_BYTES = 64


def indicator(name: str, settings: Settings, data: bytes) -> None:
    """A reading is a finite weight or out of range; cuts change nothing; little is held."""
    row = FORMATS[name]
    whole, cut = (row.make(settings, row.data_bits, row.parity) for _ in range(2))
    readings = whole.feed(data[1:])
    assert [r for piece in pieces(data) for r in cut.feed(piece)] == readings
    assert whole.counters == cut.counters
    assert whole.held_bytes <= MAX_INDICATOR_BYTES >= cut.held_bytes
    for reading in readings:
        assert (reading.weight_kg is None) == (reading.out_of_range is not None)
        assert math.isfinite(reading.weight_kg or 0.0)


def plates(data: bytes) -> None:
    """Every frame of the serial camera is whole; how bytes are cut changes nothing."""
    whole, cut = PlateDecoder(), PlateDecoder()
    frames = whole.feed(data[1:])
    assert [f for piece in pieces(data) for f in cut.feed(piece)] == frames
    assert whole.counters == cut.counters
    assert whole._frames.held_bytes <= MAX_FRAME_BYTES


def stream(data: bytes) -> None:
    """The digitiser's stream: how bytes are cut changes nothing."""
    whole, cut = StreamDecoder(), StreamDecoder()
    messages = whole.feed(data[1:])
    found = [m for piece in pieces(data) for m in cut.feed(piece)]
    assert [*map(encode, _singly(found))] == [*map(encode, _singly(messages))]
    assert whole.counters == cut.counters


def _singly(messages: list[Message]) -> Iterator[Message]:
    for message in messages:
        yield from message.apart() if isinstance(message, Samples) else (message,)


def stream_body(data: bytes) -> None:
    """Any header and body under a right CRC: what is taken can be sent again and reads the same."""
    frame = b"\0" + cobs.encode(data + zlib.crc32(data).to_bytes(4, "little")) + b"\0"
    for message in StreamDecoder().feed(frame):
        again = encode(message)
        assert [encode(m) for m in StreamDecoder().feed(again)] == [again]


def frames_of(name: str, settings: Settings) -> bytes:
    """A load moving, at rest, over and under the range."""
    loads = (Shown(-20.5, moving=True), Shown(49_180, tare_kg=500), Shown(0))
    ends = (Shown(70_000, over=True), Shown(-900, under=True))
    parity = FORMATS[name].parity
    frames = (SPEAKERS[name](shown, settings) for shown in (*loads, *ends))
    return with_parity(b"".join(frames), parity)


def _shape(name: str, settings: Settings) -> str:
    shape = ",".join(f"{k}={v}" for k, v in settings.items())
    return f"{name}[{shape}]" if shape else name


_PLATE = PlateFrame(7, "1", "冀B12345", "yellow", 0.931, "toward", 1_790_000_000_000, "a.jpg")

_HELLO = Hello(1, 0, 0, "SN1", "M4", "1.0", 4, 1000.0, 0.5, 7)
_BLOCKS = [Samples(1, i, 3 * i, np.full((3, 4), i << 10, np.int32)) for i in range(1, 8)]

TARGETS: dict[str, Target] = {
    "plates": plates,
    "stream": stream,
    "stream-body": stream_body,
    **cameras.TARGETS,
    **modbus.TARGETS,
    **{_shape(name, given): partial(indicator, name, given) for name, given in VARIANTS},
}

SEEDS: dict[str, bytes] = {
    "plates": encode_plate(_PLATE),
    "stream": encode(_HELLO) + b"".join(map(encode, _BLOCKS)),
    "stream-body": cobs.decode(encode(_HELLO).strip(b"\0"))[:-4],
    **cameras.SEEDS,
    **modbus.SEEDS,
    **{_shape(name, given): frames_of(name, given) for name, given in VARIANTS},
}
"""Good frames of each target, from which the fuzzer starts."""
