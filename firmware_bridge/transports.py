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
import errno
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self, TypeAlias
from urllib.parse import urlsplit

import serial

QUEUE_BYTES = 8 << 20
"""Held for a stalled event loop: more than a minute of the fastest stream the protocol knows."""

CHUNK_BYTES = 65_536

PAUSE_S = 0.002
"""Rest after each read, so that a UART that wakes us every few bytes costs 500 wake-ups a second
at most; far below the length of a block."""

CONNECT_TIMEOUT_S = 3.0
WRITE_TIMEOUT_S = 1.0

Reason: TypeAlias = Literal["missing", "taken", "refused", "lost", "permission"]

_REASONS: dict[int, Reason] = {
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EBUSY: "taken",
    errno.EAGAIN: "taken",  # flock of an exclusive port
    errno.ECONNREFUSED: "refused",
    errno.ENOTTY: "refused",
    errno.EINVAL: "refused",
}


class PortLost(OSError):
    """A line can't be opened, or is gone.

    Attributes
    ----------
    url : str
        The line, as it was asked for.
    reason : {"missing", "taken", "refused", "lost", "permission"}
        ``missing``: no such port, host or answer; ``taken``: another program holds it;
        ``refused``: the other end, or the driver, refuses; ``lost``: it was open and broke.
    """

    def __init__(self, url: str, reason: Reason, detail: str) -> None:
        super().__init__(f"{url}: {reason}: {detail}")
        self.url = url
        self.reason = reason


class BadLine(ValueError):
    """What was asked for is no line: a wrong URL, or a speed that no port can have."""


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
        Bits a second of a serial device; 8 data bits, no parity, 1 stop bit.
    name : str
        Name of the thread.
    now_ns : callable
        UTC in nanoseconds, called in the thread.

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
        name: str = "port",
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._url = url
        self._baud = baud
        self._now_ns = now_ns
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
            line = _open(self._url, self._baud)
        except (PortLost, BadLine) as error:
            self._tell(self._fail_to_open, error)
        else:
            self._tell(_finish, self._opened)
            self._serve(line)
        finally:
            self._tell(_finish, self._ended)

    def _fail_to_open(self, error: Exception) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)

    def _serve(self, line: _Line) -> None:
        try:
            with contextlib.closing(line):
                self._pump(line)
        except OSError as error:
            with self._lock:
                self._lost = PortLost(self._url, "lost", str(error))
            self._tell(self._news.set)

    def _pump(self, line: _Line) -> None:
        poll = select.poll()
        poll.register(line.fileno(), select.POLLIN)
        poll.register(self._wake_r, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake_r in ready:
                os.read(self._wake_r, CHUNK_BYTES)
            if self._stop:
                return
            while self._to_write:
                line.write(self._to_write.popleft())
            if line.fileno() in ready:
                data = line.read(CHUNK_BYTES)
                self._take(Chunk(self._now_ns(), data))
                time.sleep(PAUSE_S)

    def _take(self, chunk: Chunk) -> None:
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


class _Line(Protocol):
    """What `PortReader` needs of a line; `read` is called when bytes, or its end, are there."""

    def fileno(self) -> int: ...
    def read(self, size: int) -> bytes: ...
    def write(self, data: bytes) -> object: ...
    def close(self) -> None: ...


class _TcpLine:
    """A stream socket. (pyserial's own waits 0.3 s in close and leaks after a reset.)"""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S)
        self._socket.settimeout(WRITE_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self, size: int) -> bytes:
        data = self._socket.recv(size)
        if not data:
            raise ConnectionResetError("closed by the other end")
        return data

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()


def _open(url: str, baud: int) -> _Line:
    try:
        if url.startswith("/"):
            return _open_serial(url, baud)
        parts = urlsplit(url)
        if parts.scheme == "socket" and parts.hostname and parts.port:
            return _TcpLine(parts.hostname, parts.port)
    except OSError as error:
        # pyserial forgets the number where the driver refuses a setting.
        unnumbered: Reason = "refused" if isinstance(error, serial.SerialException) else "missing"
        reason = _REASONS.get(error.errno, "missing") if error.errno else unnumbered
        raise PortLost(url, reason, str(error)) from error
    except ValueError as error:
        raise BadLine(f"{url!r}: {error}") from error
    raise BadLine(f"{url!r} is neither the path of a device nor socket://host:port")


def _open_serial(path: str, baud: int) -> _Line:
    line: _Line = serial.serial_for_url(
        path, baudrate=baud, timeout=0, write_timeout=WRITE_TIMEOUT_S, exclusive=True
    )
    return line
