"""Modbus devices on real lines, RTU behind a pty and TCP, whose replies can be spoiled on the way.

A device answers one request after the other, as real ones do. What it sends passes through a
``spoil`` that may delay it, send it twice, mix it up or damage it.
"""

from __future__ import annotations

import asyncio
import os
import struct
import tty
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from simulator.lines import link_to

__all__ = ["Memory", "RtuSlave", "Sent", "Slave", "TcpSlave", "crc16"]

Sent: TypeAlias = tuple[float, bytes]
"""A frame and how long to wait before it goes out."""

Slave: TypeAlias = Callable[[bytes], bytes | None]
"""From a request to its reply, function code first; None for silence."""

Spoil: TypeAlias = Callable[[bytes], Iterable[Sent]]
"""What becomes of a frame on its way."""

_READS = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_MOST_WORDS = 125


def crc16(data: bytes) -> bytes:
    """CRC-16 of Modbus over serial line (V1.02, 6.2.2), low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xA001 if crc & 1 else 0)
    return struct.pack("<H", crc)


@dataclass(slots=True)
class Memory:
    """A device made of registers, ``cells[kind][address]``.

    ``before`` is called before each read, to let the values live; ``written`` after each write, to
    let commands work. ``block`` is the longest read that it answers. ``loopback`` is whether it
    knows function 08.
    """

    cells: dict[str, dict[int, int]]
    before: Callable[[], None] = lambda: None
    written: Callable[[int, Sequence[int]], None] = lambda _start, _words: None
    block: int = _MOST_WORDS
    loopback: bool = True
    functions: frozenset[int] = frozenset({1, 2, 3, 4, 6, 16})
    requests: list[bytes] = field(default_factory=list)

    def __call__(self, pdu: bytes) -> bytes | None:
        self.requests.append(pdu)
        function = pdu[0]
        if function == 8 and self.loopback:
            return pdu
        if function not in self.functions:
            return bytes((function | 0x80, 1))
        return self._write(pdu) if function in (6, 16) else self._read(pdu)

    def _read(self, pdu: bytes) -> bytes:
        function, start, count = struct.unpack(">BHH", pdu[:5])
        self.before()
        cells = self.cells.get(_READS[function], {})
        wanted = range(start, start + count)
        if count > self.block:
            return bytes((function | 0x80, 3))
        if any(address not in cells for address in wanted):
            return bytes((function | 0x80, 2))
        values = [cells[address] for address in wanted]
        if function in (1, 2):
            packed = sum(bool(bit) << i for i, bit in enumerate(values))
            data = packed.to_bytes(-(-count // 8), "little")
        else:
            data = struct.pack(f">{count}H", *values)
        return bytes((function, len(data))) + data

    def _write(self, pdu: bytes) -> bytes:
        function, start, second = struct.unpack(">BHH", pdu[:5])
        words = [second] if function == 6 else list(struct.unpack(f">{second}H", pdu[6:]))
        self.cells.setdefault("holding", {}).update(enumerate(words, start))
        self.written(start, words)
        return pdu[:5]


def _as_it_is(frame: bytes) -> Iterable[Sent]:
    return [(0.0, frame)]


class RtuSlave:
    """Devices by unit number behind one pty; ``url`` is where a master finds them.

    ``link`` is a path under which the pty is found, whatever the kernel calls it.
    """

    def __init__(
        self, units: Mapping[int, Slave], spoil: Spoil = _as_it_is, link: Path | None = None
    ) -> None:
        self._units, self._spoil, self._link = units, spoil, link
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._late: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._master, self._line = os.openpty()
        tty.setraw(self._master)
        tty.setraw(self._line)
        os.set_blocking(self._master, False)
        name = os.ttyname(self._line)
        if self._link is not None:
            link_to(self._link, name)
        self.url = f"rtu://{self._link or name}?baud=115200"
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._hear)
        self._task = asyncio.create_task(self._serve(), name="rtu-slave")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.remove_reader(self._master)
        tasks = {self._task, *self._late}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._line)

    def _hear(self) -> None:
        self._arrived.put_nowait(os.read(self._master, 512))

    async def _serve(self) -> None:
        data = b""
        while True:
            data += await self._arrived.get()
            while (size := _request_size(data)) and len(data) >= size:
                frame, data = data[:size], data[size:]
                if crc16(frame[:-2]) != frame[-2:]:
                    data = b""
                    break
                await self._answer(frame[0], frame[1:-2])

    async def _answer(self, unit: int, pdu: bytes) -> None:
        slave = self._units.get(unit)
        reply = slave(pdu) if slave is not None else None
        if reply is None:
            return
        frame = bytes((unit,)) + reply
        own, *later = self._spoil(frame + crc16(frame)) or [(0.0, b"")]
        for sent in later:
            task = asyncio.create_task(self._send(sent))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        await self._send(own)

    async def _send(self, sent: Sent) -> None:
        await asyncio.sleep(sent[0])
        if sent[1]:
            os.write(self._master, sent[1])


class TcpSlave:
    """Devices by unit number behind a Modbus TCP port, 0 for any."""

    def __init__(self, units: Mapping[int, Slave], spoil: Spoil = _as_it_is, port: int = 0) -> None:
        self._units, self._spoil, self._port = units, spoil, port
        self._handlers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self.url = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._handlers:
            task.cancel()
        if self._handlers:
            await asyncio.wait(self._handlers)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            while True:
                head = await reader.readexactly(7)
                transaction, protocol, length, unit = struct.unpack(">HHHB", head)
                if protocol:  # no Modbus: many servers hang up
                    return
                pdu = await reader.readexactly(length - 1)
                slave = self._units.get(unit)
                reply = slave(pdu) if slave is not None else None
                if reply is None:
                    continue
                head = struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit)
                for delay_s, frame in self._spoil(head + reply):
                    await asyncio.sleep(delay_s)
                    writer.write(frame)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the master is gone, or the bench ends
        finally:
            self._handlers.discard(task)
            writer.close()


def _request_size(data: bytes) -> int:
    """Bytes of the request that ``data`` begins with; 0 while that cannot be said."""
    if len(data) < 8:
        return 0
    return 9 + data[6] if data[1] == 16 else 8
