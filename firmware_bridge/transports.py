"""Serial and TCP lines: one named thread owns the port, the event loop gets stamped chunks.

The thread waits in ``select`` for bytes or for a wake-up, stamps what came right after reading
it, and hands it over through a queue bounded in bytes. It never waits for the reader of that
queue: what doesn't fit is dropped and counted, and the frames' sequence numbers tell the gap.
Only the owner thread opens, reads, writes and closes, because a pyserial port that is closed from
another thread can hang or hit a descriptor that belongs to someone else by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, TypeAlias

from firmware_bridge.lines import EIGHT_BITS, BadLine, Bits, Line, PortLost, Reason, open_line

__all__ = [
    "EIGHT_BITS",
    "BadLine",
    "Bits",
    "Chunk",
    "PortLost",
    "PortReader",
    "Reason",
    "Tap",
    "no_tap",
]

QUEUE_BYTES = 8 << 20
"""Held for a stalled event loop: more than a minute of the fastest stream the protocol knows."""

CHUNK_BYTES = 192 << 10
"""Most that one read takes. What a decoder makes of it, four bytes for three, stays far under the
size from which the station's allocator fetches fresh pages for a buffer (1 MiB)."""

_USUAL_BYTES = 32 << 10
"""What a read asks for until one is full: room is fetched for every read, and a line at its own
pace fills little of it."""

PAUSE_S = 0.002
"""Rest after each read, so that a UART that wakes us every few bytes costs 500 wake-ups a second
at most; far below the length of a block."""

Tap: TypeAlias = Callable[[Literal["opened", "heard", "sent", "lost"], int, bytes], None]
"""Sees all that a line carries, with the host's UTC; called in the thread that owns the port."""


def no_tap(_kind: str, _time_ns: int, _data: bytes) -> None:
    """Where nobody looks."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as they came, and the host's UTC just after they were read."""

    received_ns: int
    data: bytes


class PortReader:
    """A line as a stream of chunks; an asynchronous context that is entered once.

    Parameters
    ----------
    url : str
        Path of a serial device, or ``socket://host:port``.
    baud : int
        Bits a second of a serial device.
    bits : Bits
        What a character is on a serial device; 8 data bits, no parity, 1 stop bit if not given.
    name : str
        Name of the thread.
    now_ns : callable
        UTC in nanoseconds, called in the thread.
    tap : callable
        See `Tap`.

    Attributes
    ----------
    overflows : int
        Chunks dropped because nobody took them in time.

    Raises
    ------
    PortLost
        On entering, if the line can't be opened; from `read`, when it broke.
    BadLine
        On entering, if the URL is neither of the two forms.
    """

    def __init__(
        self,
        url: str,
        *,
        baud: int = 115_200,
        bits: Bits = EIGHT_BITS,
        name: str = "port",
        now_ns: Callable[[], int] = time.time_ns,
        tap: Tap = no_tap,
    ) -> None:
        self._url, self._baud, self._bits = url, baud, bits
        self._now_ns = now_ns
        self._tap = tap
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._lock = threading.Lock()
        self._chunks: deque[Chunk] = deque()
        self._held_bytes = 0
        self._to_write: deque[bytes] = deque()
        self._lost: PortLost | None = None
        self._stop = False
        self.overflows = 0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._news = asyncio.Event()
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread.start()
        try:
            await self._opened
        except BaseException:  # also when cancelled: the thread must not outlive the attempt
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def read(self) -> Chunk:
        """The next chunk; all that came before a line broke is given before `PortLost` is."""
        while True:
            self._news.clear()
            with self._lock:
                if self._chunks:
                    chunk = self._chunks.popleft()
                    self._held_bytes -= len(chunk.data)
                    return chunk
                if self._lost is not None:
                    raise self._lost
            await self._news.wait()

    def write(self, data: bytes) -> None:
        """Send bytes, soon; a line that breaks meanwhile is told by `read`."""
        self._to_write.append(data)
        self._wake()

    async def _close(self) -> None:
        self._stop = True
        self._wake()
        await self._ended
        self._thread.join()
        os.close(self._wake_r)
        os.close(self._wake_w)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full of wake-ups: it will wake
            os.write(self._wake_w, b"\0")

    # The owner thread, from here on.

    def _run(self) -> None:
        try:
            line = open_line(self._url, self._baud, self._bits)
        except (PortLost, BadLine) as error:
            self._tell(self._fail_to_open, error)
        else:
            self._tell(_finish, self._opened)
            self._serve(line)
        finally:
            # Also where a defect ends the thread: nobody may wait for it for ever.
            self._tell(self._fail_to_open, PortLost(self._url, "lost", "its thread has ended"))
            self._tell(_finish, self._ended)

    def _fail_to_open(self, error: Exception) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)

    def _serve(self, line: Line) -> None:
        self._tap("opened", self._now_ns(), b"")
        try:
            with contextlib.closing(line):
                self._pump(line)
        except OSError as error:
            lost = error if isinstance(error, PortLost) else PortLost(self._url, "lost", str(error))
            self._tap("lost", self._now_ns(), str(lost).encode())
            with self._lock:
                self._lost = lost
            self._tell(self._news.set)

    def _pump(self, line: Line) -> None:
        poll = select.poll()
        poll.register(line.fileno(), select.POLLIN)
        poll.register(self._wake_r, select.POLLIN)
        asked = _USUAL_BYTES
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake_r in ready:
                os.read(self._wake_r, CHUNK_BYTES)
            if self._stop:
                return
            while self._to_write:
                data = self._to_write.popleft()
                line.write(data)
                self._tap("sent", self._now_ns(), data)
            if line.fileno() in ready:
                data = line.read(asked)
                asked = CHUNK_BYTES if len(data) == asked else _USUAL_BYTES
                if data:
                    self._take(Chunk(self._now_ns(), data))
                time.sleep(PAUSE_S)

    def _take(self, chunk: Chunk) -> None:
        self._tap("heard", chunk.received_ns, chunk.data)
        with self._lock:
            if self._held_bytes + len(chunk.data) > QUEUE_BYTES:
                self.overflows += 1
                return
            self._chunks.append(chunk)
            self._held_bytes += len(chunk.data)
            first = len(self._chunks) == 1
        if first:
            self._tell(self._news.set)

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody is left to tell
            self._loop.call_soon_threadsafe(call, *arguments)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
