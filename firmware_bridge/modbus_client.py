"""The lines that Modbus runs on: their URLs, and pymodbus clients without any will of their own.

No retries and no reconnecting in the background: both would hide what happened on the line.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.pdu import ModbusPDU

Client: TypeAlias = AsyncModbusTcpClient | AsyncModbusSerialClient

_NEVER_S = 120.0


@dataclass(frozen=True, slots=True)
class SerialAddress:
    """An RTU line: 8 data bits; ``parity`` is N, E or O."""

    port: str
    baud: int
    parity: str
    stop_bits: int

    @property
    def line(self) -> tuple[str, int]:
        """What tells lines apart, whatever their settings."""
        return os.path.realpath(self.port), 0

    @property
    def settings(self) -> tuple[int, str, int]:
        """What must be the same for all devices on it."""
        return self.baud, self.parity, self.stop_bits


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A Modbus TCP server, or a gateway."""

    host: str
    port: int

    @property
    def line(self) -> tuple[str, int]:
        """What tells lines apart."""
        return self.host, self.port

    @property
    def settings(self) -> tuple[()]:
        """A network needs none."""
        return ()


def address_of(url: str) -> SerialAddress | TcpAddress:
    """The line that a URL names.

    Raises
    ------
    ValueError
        It names none; the message shows both forms.
    """
    parts = urlsplit(url)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    if parts.scheme == "tcp" and parts.hostname and not query:
        return TcpAddress(parts.hostname, parts.port or 502)
    path = parts.netloc + parts.path
    if parts.scheme == "rtu" and path and set(query) <= {"baud", "parity", "stop"}:
        line = SerialAddress(
            path,
            int(query.get("baud", "9600")),
            query.get("parity", "N"),
            int(query.get("stop", "1")),
        )
        if line.parity in ("N", "E", "O") and line.stop_bits in (1, 2) and line.baud > 0:
            return line
    raise ValueError(
        f"{url}: is not tcp://host:port or rtu:///dev/tty...?baud=9600&parity=E&stop=1"
    )


def make_client(
    address: SerialAddress | TcpAddress,
    heard: Callable[[bool, bytes], bytes],
    decoded: Callable[[bool, ModbusPDU], ModbusPDU],
) -> Client:
    """A client for the line; to be called inside a running loop.

    ``heard(sending, data)`` sees all bytes of both directions and returns them, ``decoded`` then
    all messages. The client's own timeout is out of the way: each request has another.
    """
    if isinstance(address, TcpAddress):
        return AsyncModbusTcpClient(
            address.host,
            port=address.port,
            timeout=_NEVER_S,
            retries=0,
            reconnect_delay=0,
            trace_packet=heard,
            trace_pdu=decoded,
        )
    return AsyncModbusSerialClient(
        address.port,
        baudrate=address.baud,
        parity=address.parity,
        stopbits=address.stop_bits,
        timeout=_NEVER_S,
        retries=0,
        reconnect_delay=0,
        trace_packet=heard,
        trace_pdu=decoded,
    )
