"""Formats of plate cameras as targets of the fuzzer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from firmware_bridge.anpr import COLOURS, MAX_PLATE
from firmware_bridge.cameras.decoder import CameraDecoder, is_jpeg
from firmware_bridge.cameras.dialect import load_dialect
from firmware_bridge.cameras.event import CameraEvent
from firmware_bridge.cameras.tcp_text import MAX_FRAME_BYTES, TcpTextDecoder
from simulator.network_cameras import (
    BOUNDARY,
    SPEAKERS,
    Shown,
    dahua_lines,
    hikvision_xml,
    tcp_text,
)
from tests.fuzz.cutting import pieces


def plain_text(data: bytes) -> None:
    """How a line is cut changes nothing, and little is held."""
    whole, cut = TcpTextDecoder(), TcpTextDecoder()
    events = whole.feed(data[1:])
    assert [e for piece in pieces(data) for e in cut.feed(piece)] == events
    assert whole.counters == cut.counters
    assert whole._frames.held_bytes <= MAX_FRAME_BYTES


def stream(dialect: str, data: bytes) -> None:
    """How a stream is cut changes nothing, and readings are what readings can be.

    Its messages are long, so the pieces are of 17 bytes and more.
    """
    whole, cut = (CameraDecoder(load_dialect(dialect), 0, BOUNDARY) for _ in range(2))
    events = whole.feed(data[1:])
    coarse = bytes(byte | 16 for byte in data[:1]) + data[1:]
    assert [e for piece in pieces(coarse) for e in cut.feed(piece)] == events
    assert whole.counters == cut.counters
    _sane([*events, *whole.flush()])


def message(dialect: str, data: bytes) -> None:
    """A document gives readings that can be, or none."""
    table = load_dialect(dialect)
    _sane(CameraDecoder(table).message(table.media_types[0], data[1:]))


def _sane(events: list[CameraEvent]) -> None:
    for event in events:
        assert len(event.plate) <= MAX_PLATE
        assert event.plate.isprintable()
        assert event.colour in COLOURS
        assert event.confidence is None or 0 <= event.confidence <= 1
        assert 0 <= (event.camera_time_ns or 0) < 1 << 62
        assert all(is_jpeg(picture.data) for picture in event.pictures)


_JPEG = bytes.fromhex("ffd8ffe0000fffd9")
_SEEN = Shown("冀B12345", pictures=(_JPEG, _JPEG))
_STREAMS = ("hikvision", "dahua")
_DOCUMENTS = {
    "hikvision": hikvision_xml(_SEEN),
    "dahua": dahua_lines(_SEEN),
    "milesight": SPEAKERS["milesight"](_SEEN)[1],
    "vzenith": SPEAKERS["vzenith"](_SEEN)[1],
}

TARGETS: dict[str, Callable[[bytes], None]] = {
    "tcp-text": plain_text,
    **{f"{name}-stream": partial(stream, name) for name in _STREAMS},
    **{f"{name}-message": partial(message, name) for name in _DOCUMENTS},
}

SEEDS: dict[str, bytes] = {
    "tcp-text": tcp_text(_SEEN),
    **{f"{name}-stream": SPEAKERS[name](_SEEN)[1] * 2 for name in _STREAMS},
    **{f"{name}-message": document for name, document in _DOCUMENTS.items()},
}
