"""How fast the digitiser's stream is decoded, beside its two C routines over the same bytes.

The yardstick undoes COBS and takes the CRC of each frame, no more: what nobody in Python can do
without. Chunks are what one read of a line brings at most; memory is used as in the station.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable

import numpy as np
from cobs import cobs

from edge.memory import settle_memory
from edge.records import Floats
from firmware_bridge.session import DigitiserSession
from firmware_bridge.stream import Hello, Inputs, Message, Samples, Status, StreamDecoder, encode
from firmware_bridge.transports import CHUNK_BYTES

__all__ = ["run"]

_SHAPES = {
    "8x40": (8, 40, 20_000.0),
    "8x40.dead_load": (8, 40, 3_000_000.0),
    "8x80": (8, 80, 20_000.0),
    "4x40": (4, 40, 20_000.0),
    "24x80": (24, 80, 20_000.0),
}
"""Channels, conversions in a block (10 and 20 ms at 4 kHz), and the mean of the counts: under
65,536 every third byte is zero; with the dead load of a platform on the cells hardly any is."""
_RATE_HZ = 4_000.0
_SECONDS = 8
_PASSES, _QUICK_PASSES = 75, 5
_SEED = 7


def run(*, quick: bool) -> dict[str, float]:
    """Speed of the decoder, and of decoder and session, as parts of the yardstick's; the worst."""
    settle_memory()
    passes = _QUICK_PASSES if quick else _PASSES
    figures: dict[str, float] = {}
    for shape, (channels, n, mean_counts) in _SHAPES.items():
        line = _line(channels, n, mean_counts)
        yardstick_s, decoder_s, session_s = _taken_s(line, passes)
        for what, taken_s in (("decode", decoder_s), ("session", session_s)):
            figures[f"bridge.stream.{what}_ratio.{shape}"] = float(np.median(yardstick_s / taken_s))
        mb_per_s = len(line) / float(np.median(session_s)) / 1e6
        figures[f"bridge.stream.session_mb_per_s.{shape}"] = mb_per_s
    for what in ("decode", "session"):
        every = [v for k, v in figures.items() if f".{what}_ratio." in k]
        figures[f"bridge.{what}_ratio"] = min(every)
    return {name: round(value, 3) for name, value in figures.items()}


def _line(channels: int, n: int, mean_counts: float) -> bytes:
    """Some seconds of a quiet platform: blocks; HELLO, STATUS and two edges a second."""
    chance = np.random.default_rng(_SEED)
    second = round(_RATE_HZ)
    messages: list[Message] = []
    for first in range(0, _SECONDS * second, n):
        head = 1, len(messages), first
        if first % second == 0:
            serial = ("WIM-0042", "LC8", "1.4.2")
            messages.append(Hello(*head, *serial, channels, _RATE_HZ, 0.0125, 7))
            messages.append(Status(1, len(messages), first, 31.5, 24.0, 0, 0, 0))
            edges = (first, 0, True), (first + 1, 0, False)
            messages.append(Inputs(1, len(messages), first, edges))
        counts = chance.normal(mean_counts, 300, (n, channels)).astype(np.int32)
        messages.append(Samples(1, len(messages), first, counts))
    return b"".join(map(encode, messages))


def _taken_s(line: bytes, passes: int) -> Floats:
    """Processor time of the yardstick, the decoder, and the session in each pass: (3, passes).

    They take turns, a few milliseconds apart: a processor's speed changes from moment to moment, so
    that the least times of each may be of different speeds.
    """
    pieces = [piece for piece in line.split(b"\0") if piece]
    chunks = [line[at : at + CHUNK_BYTES] for at in range(0, len(line), CHUNK_BYTES)]

    def yardstick() -> None:
        for piece in pieces:
            zlib.crc32(cobs.decode(piece))

    def decoder() -> None:
        feed = StreamDecoder().feed
        for chunk in chunks:
            feed(chunk)

    def session() -> None:
        receive = DigitiserSession(1).receive
        for number, chunk in enumerate(chunks):
            receive(chunk, number)

    works = (yardstick, decoder, session)
    return np.array([[_once_s(work) for work in works] for _ in range(passes)]).T


def _once_s(work: Callable[[], None]) -> float:
    began_s = time.process_time()
    work()
    return time.process_time() - began_s
