"""A tap played back on a line: the same bytes at the same times, to whoever opens the port.

What was sent to the device then is waited for: an instrument that speaks only when asked does so
in its playback too. A host that asks for something else, or for nothing, is served after
``PATIENCE_S`` all the same, so that every byte of the tap is heard.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.errors import InputError, why_zh
from firmware_bridge.tap_format import Piece, TapDecoder, TapHeader, header_of
from simulator.lines import Line, PtyLine

PATIENCE_S = 2.0
"""Longest wait for a question that the host asked when the tap was made."""

TICK_S = 0.002
LAST_S = 0.5
"""For the host to take the last bytes before the line goes."""

_CHUNK_BYTES = 65_536


class Tape:
    """A tap file, read whole."""

    def __init__(self, header: TapHeader, pieces: Sequence[Piece], counters: Counter[str]) -> None:
        self.header, self.pieces, self.counters = header, tuple(pieces), counters

    @property
    def heard(self) -> bytes:
        """All that the device said."""
        return b"".join(piece.payload for piece in self.pieces if piece.kind == "heard")

    @property
    def seconds(self) -> float:
        """From the first to the last piece."""
        times = [piece.time_ns for piece in self.pieces]
        return (times[-1] - times[0]) / 1e9 if times else 0.0


def read_tape(path: Path) -> Tape:
    """A tap; damaged pieces are left out and counted.

    Raises
    ------
    InputError
        It can't be read, or is no tap.
    """
    decoder, pieces = TapDecoder(), []
    try:
        with path.open("rb") as file:
            while data := file.read(_CHUNK_BYTES):
                pieces += decoder.feed(data)
    except OSError as error:
        raise InputError(
            f"读不到 {path}{why_zh(error)}", f"cannot read {path}: {error.strerror}"
        ) from error
    pieces += decoder.finish()
    headers = [header for piece in pieces if (header := header_of(piece))]
    if not headers:
        raise InputError(
            f"{path} 不是 steelyard tap 写的文件",
            f"{path} is no file of steelyard tap",
            next_zh="用 steelyard tap 端口 文件 抓取",
            next_en="make one with steelyard tap PORT FILE",
        )
    return Tape(headers[0], [p for p in pieces if p.kind != "header"], decoder.counters)


class Playback:
    """A tape on a line, ticked like a device; ``speed`` 2 is twice as fast."""

    def __init__(self, tape: Tape, line: Line, *, speed: float = 1.0) -> None:
        self._pieces, self._line, self._speed = tape.pieces, line, speed
        self._at = 0
        self._begin_s: float | None = None
        """When the tape's time 0 was, or would have been; None until the host opens the line."""
        self._asked = 0
        self._waits_since_s: float | None = None

    @property
    def ended(self) -> bool:
        """Whether everything has been played."""
        return self._at == len(self._pieces)

    def tick(self, time_s: float) -> None:
        """Play what is due."""
        self._asked += len(self._line.read())
        while not self.ended:
            piece = self._pieces[self._at]
            piece_s = piece.time_ns / 1e9 / self._speed
            if self._begin_s is None:
                if not self._line.send(b""):
                    return
                self._begin_s = time_s - piece_s
            if time_s < self._begin_s + piece_s or not self._play(piece, piece_s, time_s):
                return
            self._at += 1

    def _play(self, piece: Piece, piece_s: float, time_s: float) -> bool:
        """Play a piece; false if it has to wait."""
        if piece.kind == "heard":
            return self._line.send(piece.payload)
        if piece.kind == "sent":
            return self._is_asked(len(piece.payload), piece_s, time_s)
        if piece.kind == "lost":  # the rest is played to a host that opens the line anew
            self._line.unplug()
            self._line.plug()
            self._begin_s = None
        return True

    def _is_asked(self, size: int, piece_s: float, time_s: float) -> bool:
        """Whether the host has asked as it did then; the tape stands still meanwhile."""
        if self._waits_since_s is None:
            self._waits_since_s = time_s
        if self._asked < size and time_s - self._waits_since_s < PATIENCE_S:
            return False
        self._asked = max(self._asked - size, 0)
        self._begin_s, self._waits_since_s = time_s - piece_s, None
        return True


async def play_tape(
    path: Path,
    *,
    link: Path | None,
    speed: float,
    loop: bool,
    stop: asyncio.Event,
    announce: Callable[[str], None],
) -> None:
    """Play a tap on a new pseudo-terminal until it ends, or over and over, or until ``stop``.

    Raises
    ------
    InputError
        The file is no tap.
    """
    tape = read_tape(path)
    line = PtyLine(link)
    announce(f"{tape.header.part or tape.header.url}: {line.url}")
    try:
        while not stop.is_set():
            playback = Playback(tape, line, speed=speed)
            while not playback.ended and not stop.is_set():
                playback.tick(time.monotonic())
                await asyncio.sleep(TICK_S)
            if not loop:
                break
        await asyncio.sleep(LAST_S)
    finally:
        line.unplug()
