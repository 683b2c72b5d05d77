"""A TCP proxy between stations and the broker, which spoils the line as a trial wants.

It reads MQTT frames as they pass (OASIS MQTT 3.1.1 and 5.0, 2.1), so that it can cut in the middle
of a chunk, or swallow acknowledgements alone.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from simulator.broker import free_port

PUBLISH, PUBACK = 3, 4
_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Cut:
    """The line breaks after these bytes."""

    data: bytes = b""


Frames = Callable[[int, bytes], bytes | Cut]
"""Given type and bytes of a frame: what goes on of it."""


def pass_all(_kind: int, frame: bytes) -> bytes | Cut:
    """Every frame goes on."""
    return frame


class Proxy:
    """``with Proxy(port) as proxy`` listens at ``proxy.url``.

    ``up`` and ``down`` judge frames to and from the broker; ``frozen`` stops all bytes while
    both ends believe that the line stands.
    """

    def __init__(self, broker_port: int) -> None:
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.up: Frames = pass_all
        self.down: Frames = pass_all
        self.cuts = 0
        self.swallowed = 0
        self.connections = 0
        self._broker_port = broker_port
        self._open = threading.Event()
        self._open.set()
        self._accepting = True
        self._gate = threading.Lock()
        self._lines: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []

    # ------------------------------------------------------------------------------------------
    # What a trial does to the line

    def cut(self) -> None:
        """Break every connection."""
        with self._gate:
            lines, self._lines = self._lines, []
        for line in lines:
            self.cuts += 1
            _close(line)

    def freeze(self) -> None:
        """No byte passes, no end is told: a half-open connection."""
        self._open.clear()

    def thaw(self) -> None:
        """Bytes pass again."""
        self._open.set()

    def refuse(self, refused: bool) -> None:
        """Take no new connections for a while."""
        self._accepting = not refused
        if refused:
            self.cut()

    # ------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._door = socket.create_server(("127.0.0.1", self.port))
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self.thaw()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, name="proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            if not self._accepting:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._broker_port), 5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            line = near, far
            with self._gate:
                self._lines.append(line)
            self.connections += 1
            self._start(self._pump, near, far, line, lambda k, f: self.up(k, f))
            self._start(self._pump, far, near, line, lambda k, f: self.down(k, f))

    def _pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        line: tuple[socket.socket, socket.socket],
        judge: Frames,
    ) -> None:
        with contextlib.suppress(OSError):
            for kind, frame in _frames(source):
                self._open.wait()
                passed = judge(kind, frame)
                if isinstance(passed, Cut):
                    self.cuts += 1
                    sink.sendall(passed.data)
                    break
                self.swallowed += not passed
                sink.sendall(passed)
        _close(line)

    def cut_inside(self, is_meant: Callable[[bytes], bool]) -> None:
        """Break the line in the middle of the next message to the broker that is meant."""

        def judge(kind: int, frame: bytes) -> bytes | Cut:
            if kind != PUBLISH or not is_meant(frame):
                return frame
            self.up = pass_all
            return Cut(frame[: len(frame) // 2])

        self.up = judge


def without(kind: int) -> Frames:
    """A judge that swallows all frames of one type."""

    def judge(seen: int, frame: bytes) -> bytes | Cut:
        return b"" if seen == kind else frame

    return judge


def _close(line: tuple[socket.socket, socket.socket]) -> None:
    for end in line:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


def _frames(source: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Whole MQTT frames with their type, until the line ends."""
    held = b""
    while data := source.recv(_READ_BYTES):
        held += data
        while (size := _frame_size(held)) and len(held) >= size:
            yield held[0] >> 4, held[:size]
            held = held[size:]


def _frame_size(data: bytes) -> int:
    """Bytes of the first frame; 0 while its length has not come yet (MQTT, 2.2.3)."""
    value = 0
    for number, byte in enumerate(data[1:5]):
        value |= (byte & 0x7F) << (7 * number)
        if not byte & 0x80:
            return 2 + number + value
    return 0
