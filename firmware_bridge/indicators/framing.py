"""Finds frames in bytes that were cut anywhere; what does not read as a frame is noise.

A format is one regular expression of fixed greatest length and one function that reads a match.
A match that its reader refuses costs one byte, so a good frame inside of it is still found. At
most one frame's length is held between calls, and nothing here raises.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Literal, TypeAlias

from firmware_bridge.indicators.reading import IndicatorReading

Bits: TypeAlias = Literal["8n", "7e", "7o"]
"""What a byte on the line is: eight bits, or seven and one of even or odd parity.

Seven bits with parity are, bit for bit, eight bits without: such a line is opened as 8N1 and its
parity judged here, because a serial driver hands on bytes of wrong parity unless told otherwise.
"""

Refusal: TypeAlias = Literal["damaged", "malformed", "foreign", "declined"]
"""Why a frame is no reading: checksum wrong; checksum right or absent, but a field is not as
agreed; another device's; the device could not do what it was asked."""

_SUSPECT = ("damaged", "malformed")
"""Refusals of what may be no frame at all: a good one may begin inside of it."""

Outcome: TypeAlias = IndicatorReading | Refusal
Reader: TypeAlias = Callable[[re.Match[bytes]], Outcome]

_NEVER = 0xFF
"""Stands for a byte of wrong parity; no pattern of seven-bit text lets it pass."""


def _parity_table(odd: bool) -> bytes:
    return bytes(byte & 0x7F if byte.bit_count() % 2 == odd else _NEVER for byte in range(256))


TABLES: dict[Bits, bytes | None] = {
    "8n": None,
    "7e": _parity_table(odd=False),
    "7o": _parity_table(odd=True),
}


def with_parity(data: bytes, bits: Bits) -> bytes:
    """Seven-bit characters as the host sends them on a line of ``bits``."""
    if bits == "8n":
        return data
    odd = bits == "7o"
    return bytes(byte | (byte.bit_count() % 2 != odd) << 7 for byte in data)


SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))
"""Takes the eighth bit off, whatever it is."""


class IndicatorDecoder:
    """Readings out of a stream of bytes.

    Parameters
    ----------
    pattern : re.Pattern
        A whole frame; it must not match a part of one that is still growing.
    read : callable
        What a match says.
    longest : int
        Bytes of the longest frame.
    table : bytes or None
        Translation of every byte on arrival (`TABLES`, `SEVEN_BITS`).

    Attributes
    ----------
    counters : Counter[str]
        ``frames`` read, ``noise_bytes`` outside of frames (line ends are none), and the refusals.
    """

    def __init__(
        self, pattern: re.Pattern[bytes], read: Reader, longest: int, table: bytes | None = None
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._pattern = pattern
        self._read = read
        self._longest = longest
        self._table = table
        self._held = b""
        self._seen = 0
        """Bytes of ``_held`` that are done with and only stay for patterns that look behind."""

    @property
    def held_bytes(self) -> int:
        """How much is kept between calls."""
        return len(self._held)

    def feed(self, data: bytes) -> list[IndicatorReading]:
        """The readings that ``data`` completes, in the order of the line."""
        buffer = self._held + (data.translate(self._table) if self._table else data)
        readings: list[IndicatorReading] = []
        at = done = self._seen
        while found := self._pattern.search(buffer, at):
            outcome = self._read(found)
            if outcome in _SUSPECT:
                self.counters[outcome] += 1
                at = found.start() + 1
                continue
            self._pass_over(buffer[done : found.start()])
            at = done = found.end()
            if isinstance(outcome, str):
                self.counters[outcome] += 1
            else:
                self.counters["frames"] += 1
                readings.append(outcome)
        self._hold(buffer, at, done)
        return readings

    def _hold(self, buffer: bytes, at: int, done: int) -> None:
        """Keep what may still become a frame, and one byte before it."""
        start = max(at, len(buffer) - self._longest + 1)
        self._pass_over(buffer[done:start])
        self._held = buffer[max(start - 1, 0) :]
        self._seen = min(start, 1)

    def _pass_over(self, noise: bytes) -> None:
        self.counters["noise_bytes"] += len(noise.translate(None, b"\r\n"))
