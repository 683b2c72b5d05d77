"""What is under a port: a serial device or a TCP stream, opened for one program alone.

An empty read means two things that must not be confused: with a hang-up the device is gone, and
without one another program took the bytes. A TCP peer that lost its power says nothing at all, so
the kernel asks it every few seconds whether it is still there.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias
from urllib.parse import urlsplit

import serial

from firmware_bridge.ports import Holder, holders

CONNECT_TIMEOUT_S = 3.0
WRITE_TIMEOUT_S = 1.0

KEEP_ALIVE_S, KEEP_ALIVE_AGAIN_S, KEEP_ALIVE_TRIES = 5, 2, 3
"""A TCP peer that is gone without a word is noticed after 11 s at the latest."""

Reason: TypeAlias = Literal["missing", "taken", "refused", "lost", "permission", "shared"]
Parity: TypeAlias = Literal["none", "even", "odd"]

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
    reason : {"missing", "taken", "refused", "lost", "permission", "shared"}
        ``missing``: no such port, host or answer; ``taken``: another program holds it;
        ``refused``: the other end, or the driver, refuses; ``lost``: it was open and broke;
        ``shared``: another program reads from it and takes bytes away.
    holders : tuple of Holder
        Who has it open besides, as far as this user may know.
    """

    def __init__(
        self, url: str, reason: Reason, detail: str, holders: tuple[Holder, ...] = ()
    ) -> None:
        super().__init__(f"{url}: {reason}: {detail}")
        self.url = url
        self.reason = reason
        self.holders = holders


class BadLine(ValueError):
    """What was asked for is no line: a wrong URL, or a speed that no port can have."""


@dataclass(frozen=True, slots=True)
class Bits:
    """What a character on a serial line is, as the driver is told.

    Lines of seven bits with parity are opened as eight bits without, which is the same bit for bit
    (``firmware_bridge.indicators.framing``); Modbus over serial lines has eight bits with parity.
    """

    data: Literal[7, 8] = 8
    parity: Parity = "none"
    stop: Literal[1, 2] = 1


EIGHT_BITS = Bits()


class Line(Protocol):
    """What a reader needs of a line; `read` is called when bytes, or its end, are there."""

    def fileno(self) -> int: ...
    def read(self, size: int) -> bytes: ...
    def write(self, data: bytes) -> object: ...
    def close(self) -> None: ...


class SerialLine:
    """A serial device, locked for this program alone."""

    def __init__(self, path: str, baud: int, bits: Bits) -> None:
        self._path = path
        self._port = serial.serial_for_url(
            path,
            baudrate=baud,
            bytesize=bits.data,
            parity=bits.parity[0].upper(),
            stopbits=bits.stop,
            timeout=0,
            write_timeout=WRITE_TIMEOUT_S,
            exclusive=True,
        )

    def fileno(self) -> int:
        """The descriptor."""
        number: int = self._port.fileno()
        return number

    def read(self, size: int) -> bytes:
        """What is there; empty if the kernel woke us for nothing.

        Raises
        ------
        OSError
            The device is gone (ENODEV).
        PortLost
            ``shared``: another program took the bytes.
        """
        try:
            data = os.read(self.fileno(), size)
        except BlockingIOError:
            data = b""
        if data:
            return data
        if _hung_up(self.fileno()):
            raise OSError(errno.ENODEV, "the device is gone")
        if others := tuple(holders(Path(self._path))):
            raise PortLost(self._path, "shared", ", ".join(map(str, others)), others)
        return b""

    def write(self, data: bytes) -> object:
        """Send bytes."""
        return self._port.write(data)

    def close(self) -> None:
        """Give the device back."""
        self._port.close()


def _hung_up(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))


class TcpLine:
    """A stream socket. (pyserial's own waits 0.3 s in close and leaks after a reset.)"""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S)
        self._socket.settimeout(WRITE_TIMEOUT_S)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        gone_ms = 1_000 * (KEEP_ALIVE_S + KEEP_ALIVE_AGAIN_S * KEEP_ALIVE_TRIES)
        for option, value in (
            (socket.TCP_NODELAY, 1),
            (socket.TCP_KEEPIDLE, KEEP_ALIVE_S),
            (socket.TCP_KEEPINTVL, KEEP_ALIVE_AGAIN_S),
            (socket.TCP_KEEPCNT, KEEP_ALIVE_TRIES),
            (socket.TCP_USER_TIMEOUT, gone_ms),  # the same for bytes that nobody acknowledges
        ):
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def read(self, size: int) -> bytes:
        """What is there.

        Raises
        ------
        OSError
            The other end closed, or is gone.
        """
        data = self._socket.recv(size)
        if not data:
            raise ConnectionResetError("closed by the other end")
        return data

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def open_line(url: str, baud: int, bits: Bits) -> Line:
    """Open a line.

    Raises
    ------
    PortLost
        It can't be had.
    BadLine
        ``url`` is neither a path nor ``socket://host:port``, or no port has this speed.
    """
    try:
        if url.startswith("/"):
            return SerialLine(url, baud, bits)
        parts = urlsplit(url)
        if parts.scheme == "socket" and parts.hostname and parts.port:
            return TcpLine(parts.hostname, parts.port)
    except OSError as error:
        raise _lost(url, error) from error
    except termios.error as error:  # no OSError: the driver knows no such setting
        raise PortLost(url, "refused", str(error)) from error
    except ValueError as error:
        raise BadLine(f"{url!r}: {error}") from error
    raise BadLine(f"{url!r} is neither the path of a device nor socket://host:port")


def _lost(url: str, error: OSError) -> PortLost:
    # pyserial forgets the number where the driver refuses a setting.
    unnumbered: Reason = "refused" if isinstance(error, serial.SerialException) else "missing"
    reason = _REASONS.get(error.errno, "missing") if error.errno else unnumbered
    who = tuple(holders(Path(url))) if reason == "taken" else ()
    return PortLost(url, reason, str(error), who)
