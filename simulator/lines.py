"""The device's end of a line: a pseudo-terminal or a TCP server, never blocking.

``read`` gives what the host sent, ``send`` takes one frame or refuses it, as hardware does whose
buffer is full or that nobody listens to. A frame that was begun is finished before the next one.
The host may go and come back at any time; ``unplug`` and ``plug`` play the cable.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import termios
import tty
from pathlib import Path
from typing import Protocol

_READ_BYTES = 4_096
_SEND_BUFFER_BYTES = 65_536
_OUTPUT_SPEED = 5  # of what tcgetattr gives


class Line(Protocol):
    """What a simulated device needs of its line."""

    url: str
    """Where a host finds the line."""

    def read(self) -> bytes:
        """What the host has sent since the last call."""

    def send(self, frame: bytes) -> bool:
        """Send a frame; false if the line can't take it now."""

    def unplug(self) -> None:
        """The cable is pulled."""

    def plug(self) -> None:
        """The cable is in again."""


class PtyLine:
    """A serial line. ``link`` is a path where the host finds it, whatever the kernel's name.

    A pseudo-terminal carries bytes at any speed, but it knows the one that the host has set: with
    ``baud``, what a host of another speed hears and says is not what was said.
    """

    def __init__(self, link: Path | None = None, baud: int | None = None) -> None:
        self._link = link
        self._speed = getattr(termios, f"B{baud}") if baud else None
        self._master: int | None = None
        self._attached = False
        self._rest = b""
        self.plug()

    def plug(self) -> None:
        """Make the pair of terminals; the host's side stays closed so that its absence shows."""
        if self._master is not None:
            return
        self._master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        name = os.ttyname(slave)
        os.close(slave)
        self.device = name
        self.url = name if self._link is None else str(self._link)
        if self._link is not None:
            link_to(self._link, name)

    def unplug(self) -> None:
        """Take the terminal and its link away; a host that has it open gets an error."""
        if self._master is None:
            return
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        os.close(self._master)
        self._master, self._attached, self._rest = None, False, b""

    def read(self) -> bytes:
        """What the host has sent; notices whether a host is there at all."""
        if self._master is None:
            return b""
        try:
            data = os.read(self._master, _READ_BYTES)
        except BlockingIOError:
            data = b""
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._attached, self._rest = False, b""
            return b""
        self._attached = True
        return self._through(data)

    def send(self, frame: bytes) -> bool:
        """Send a frame whole, sooner or later, or not at all."""
        if self._master is None or not self._attached:
            return False
        self._rest = self._write(self._rest)
        if self._rest:
            return False
        self._rest = self._write(self._through(frame))
        return True

    def _through(self, data: bytes) -> bytes:
        """Bytes as they arrive: at another speed the bits are cut in the wrong places."""
        if self._speed is None or self._master is None:
            return data
        if termios.tcgetattr(self._master)[_OUTPUT_SPEED] == self._speed:
            return data
        return bytes(byte << 3 & 0xFF | 0x85 ^ byte >> 2 for byte in data)

    def _write(self, data: bytes) -> bytes:
        assert self._master is not None
        try:
            return data[os.write(self._master, data) :] if data else b""
        except BlockingIOError:
            return data


class TcpLine:
    """A digitiser behind a network socket: one host at a time, the newest wins."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._server: socket.socket | None = None
        self._host: socket.socket | None = None
        self._rest = b""
        self.plug()

    def plug(self) -> None:
        """Listen, on the port that was had before."""
        if self._server is not None:
            return
        self._server = socket.create_server(("127.0.0.1", self._port), backlog=2)
        self._server.setblocking(False)
        self._port = self._server.getsockname()[1]
        self.url = f"socket://127.0.0.1:{self._port}"

    def unplug(self) -> None:
        """Listen no more and drop the host."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._drop()

    def read(self) -> bytes:
        """What the host has sent; takes a new host in."""
        self._accept()
        if self._host is None:
            return b""
        try:
            data = self._host.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._drop()
        return data

    def send(self, frame: bytes) -> bool:
        """Send a frame whole, sooner or later, or not at all."""
        if self._host is None:
            return False
        self._rest = self._write(self._rest)
        if self._rest:
            return False
        self._rest = self._write(frame)
        return True

    def _accept(self) -> None:
        if self._server is None:
            return
        with contextlib.suppress(BlockingIOError):
            host, _ = self._server.accept()
            self._drop()
            host.setblocking(False)
            host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Small, so that a host that stalls loses samples here and not after a minute.
            host.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            self._host = host

    def _write(self, data: bytes) -> bytes:
        if self._host is None or not data:
            return b""
        try:
            return data[self._host.send(data) :]
        except BlockingIOError:
            return data
        except OSError:
            self._drop()
            return b""

    def _drop(self) -> None:
        if self._host is not None:
            self._host.close()
        self._host, self._rest = None, b""


def link_to(link: Path, target: str) -> None:
    """Let a path name a terminal, in one step."""
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
