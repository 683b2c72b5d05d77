"""The station's lines as others may listen to them: every byte with its time, nothing disturbed.

A source hands each chunk to its tap, in the thread that owns the port. Without a listener that
costs one look at an empty tuple; a listener that is slow loses pieces, which are counted, and
never makes a source wait.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from firmware_bridge.tap_format import MAX_PAYLOAD, Kind, Piece, TapHeader
from firmware_bridge.transports import Tap

HELD_BYTES = 4 << 20
"""Kept for one slow listener: 40 s of the fastest serial line."""


class Listener:
    """One who listens to a line; read in the event loop, fed by the thread of the port."""

    def __init__(self, start_ns: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._lock = threading.Lock()
        self._pieces: deque[Piece] = deque()
        self._held_bytes = self._missed_bytes = 0
        self._start_ns = start_ns

    def take(self, kind: Kind, time_ns: int, data: bytes) -> None:
        """Keep a piece for the reader, or count it as missed."""
        with self._lock:
            if self._held_bytes + len(data) > HELD_BYTES or len(data) > MAX_PAYLOAD:
                self._missed_bytes += len(data)
                return
            self._put(Piece(kind, time_ns - self._start_ns, data))
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop was closed: nobody is left to tell
            return

    def _put(self, piece: Piece) -> None:
        if self._missed_bytes:
            missed = self._missed_bytes.to_bytes(8, "little")
            self._pieces.append(Piece("missed", piece.time_ns, missed))
            self._missed_bytes = 0
        self._pieces.append(piece)
        self._held_bytes += len(piece.payload)

    async def pieces(self) -> AsyncIterator[list[Piece]]:
        """What came since the last time, as soon as something did; until the loop is left."""
        while True:
            await self._news.wait()
            self._news.clear()
            with self._lock:
                found, self._held_bytes = list(self._pieces), 0
                self._pieces.clear()
            yield found


@dataclass(slots=True)
class _Port:
    header: TapHeader
    listeners: tuple[Listener, ...] = ()

    def take(self, kind: Kind, time_ns: int, data: bytes) -> None:
        for listener in self.listeners:
            listener.take(kind, time_ns, data)


@dataclass(slots=True)
class Taps:
    """The lines of a station by the part that owns each, as ``scale.F1``.

    ``now_ns`` is the time by which the sources stamp what arrives.
    """

    now_ns: Callable[[], int]
    utc_ns: Callable[[], int]
    _ports: dict[str, _Port] = field(default_factory=dict)

    def of(self, part: str, header: TapHeader) -> Tap:
        """The tap of a part's line."""
        port = self._ports.setdefault(part, _Port(replace(header, part=part)))
        return port.take

    @property
    def headers(self) -> list[TapHeader]:
        """The lines that can be listened to."""
        return [port.header for port in self._ports.values()]

    @contextmanager
    def listen(self, part: str) -> Iterator[Listener]:
        """Listen to a part's line."""
        port, listener = self._ports[part], Listener(self.now_ns())
        port.listeners = (*port.listeners, listener)
        try:
            yield listener
        finally:
            port.listeners = tuple(each for each in port.listeners if each is not listener)


def find_line(headers: Iterable[TapHeader], name: str) -> TapHeader | None:
    """The line of a part, of an id, or of a path or address by whichever of its names."""
    place = _place(name)
    for header in headers:
        if name in (header.part, header.part.partition(".")[2]) or place == _place(header.url):
            return header
    return None


def _place(url: str) -> Path | str | None:
    """Where a line leads: ``socket://`` and ``tcp://`` of one address are one door of a device."""
    scheme, _, address = url.partition("://")
    return address if scheme in ("socket", "tcp") else device_of(url) or url


def device_of(url: str) -> Path | None:
    """The device behind a line's URL, whichever of its names it is; None where it is no path."""
    path = url.removeprefix("rtu://").partition("?")[0]
    return Path(path).resolve() if path.startswith("/") else None
