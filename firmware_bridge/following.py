"""Live values of a speaker that is known, out of what its line goes on to carry. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from firmware_bridge.anpr import PlateDecoder
from firmware_bridge.cameras.tcp_text import TcpTextDecoder
from firmware_bridge.indicators.catalogue import format_named
from firmware_bridge.messages import Message, Samples
from firmware_bridge.recognising import Live, Speaker, device_live, plate_live, weight_live
from firmware_bridge.stream import StreamDecoder

__all__ = ["follower", "question_of"]

Follower = Callable[[bytes], list[Live]]
"""Takes bytes as they come; gives the newest values that they hold, none where they hold none."""


def follower(speaker: Speaker) -> Follower | None:
    """Who follows a speaker of bytes; None for one that must be read register by register."""
    if speaker.kind == "modbus":
        return None
    return {"scale": _scale, "camera": _camera, "digitiser": _digitiser}[speaker.kind](speaker)


def question_of(speaker: Speaker) -> bytes:
    """What a speaker is asked for its next value, as eight bits; empty if it sends by itself."""
    if speaker.kind != "scale":
        return b""
    row = format_named(speaker.what)
    return row.request(speaker.settings, speaker.data_bits, speaker.parity)


def _scale(speaker: Speaker) -> Follower:
    row = format_named(speaker.what)
    decoder = row.make(speaker.settings, speaker.data_bits, speaker.parity)
    return lambda data: [weight_live(r, speaker.protection) for r in decoder.feed(data)[-1:]]


def _camera(speaker: Speaker) -> Follower:
    decoder = PlateDecoder() if speaker.what == "steelyard" else TcpTextDecoder()
    return lambda data: [
        live for read in decoder.feed(data)[-1:] for live in plate_live(read.plate, read.lane)
    ]


def _digitiser(speaker: Speaker) -> Follower:
    decoder = StreamDecoder()
    known: dict[str, Live] = {}

    def feed(data: bytes) -> list[Live]:
        own = [m for m in decoder.feed(data) if m.device_id == speaker.unit]
        known.update((live.name, live) for live in (*device_live(own), *_counts(own)))
        return list(known.values()) if own else []

    return feed


def _counts(messages: Sequence[Message]) -> Iterator[Live]:
    """Mean of each channel over the newest block; the doctor itself starts no digitiser."""
    blocks = [m for m in messages if isinstance(m, Samples)]
    for block in blocks[-1:]:
        means = block.counts.mean(axis=0)
        yield from (Live(f"c{n}", round(float(c)), "counts", "") for n, c in enumerate(means, 1))
