"""Modbus devices over a real pty and real TCP: late, lost, refused and foreign replies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import tty
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from firmware_bridge.modbus import ModbusDevice, ModbusLost, ModbusRefused
from firmware_bridge.modbus_map import RegisterMap, load_map

TIMEOUT_S = 0.06

TWO_REGISTERS = """
name = "two"
[[register]]
name = "here"
kind = "holding"
register = 0
type = "u16"
[[register]]
name = "there"
kind = "holding"
register = 100
type = "u16"
"""

CABINET_INPUTS = {0: 215, 1: 0xFFF6, 2: 450, 3: 100, 4: 2712, 5: 1, 6: 0x86A0}
CABINET_BITS = {0: 0, 1: 1}


@pytest.fixture
def two(tmp_path: Path) -> RegisterMap:
    path = tmp_path / "two.toml"
    path.write_text(TWO_REGISTERS)
    return load_map(path)


def crc16(data: bytes) -> bytes:
    """CRC-16/MODBUS bit by bit."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xA001 if crc & 1 else 0)
    return struct.pack("<H", crc)


class Slave:
    """A device that answers one request after the other, each as late as it is told.

    ``delays_s[i]`` belongs to request ``i``; None stands for no answer. Function 08 is echoed,
    refused or ignored as ``loopback`` says.
    """

    def __init__(self, delays_s: dict[int, float | None] | None = None, loopback: str = "echo"):
        self.delays_s = delays_s or {}
        self.loopback = loopback
        self.words: dict[int, int] = {0: 1111, 100: 2222}
        self.bits = CABINET_BITS
        self.requests: list[bytes] = []

    def answer(self, pdu: bytes) -> bytes | None:
        function, start, count = struct.unpack(">BHH", pdu[:5])
        if function == 0x08:
            return {"echo": pdu, "refuse": b"\x88\x01", "ignore": None}[self.loopback]
        wanted = range(start, start + count)
        if function in (1, 2):
            byte = sum(self.bits[address] << i for i, address in enumerate(wanted))
            return bytes((function, 1, byte))
        if any(address not in self.words for address in wanted):
            return bytes((function | 0x80, 2))
        return struct.pack(
            f">BB{count}H", function, 2 * count, *(self.words[address] for address in wanted)
        )

    async def reply(self, pdu: bytes, send: Callable[[bytes], None]) -> None:
        number = len(self.requests)
        self.requests.append(pdu)
        delay_s = self.delays_s.get(number, 0.0)
        if delay_s is None:
            return
        await asyncio.sleep(delay_s)
        answer = self.answer(pdu)
        if answer is not None:
            send(answer)


@contextlib.asynccontextmanager
async def on_pty(slave: Slave) -> AsyncIterator[str]:
    """The slave behind a pty; every RTU request of these tests is eight bytes long."""
    master, line = os.openpty()
    tty.setraw(master)
    tty.setraw(line)
    os.set_blocking(master, False)
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    loop.add_reader(master, lambda: arrived.put_nowait(os.read(master, 256)))

    async def serve() -> None:
        data = b""
        while True:
            data += await arrived.get()
            while len(data) >= 8:
                frame, data = data[:8], data[8:]
                assert crc16(frame[:6]) == frame[6:]

                def send(pdu: bytes, unit: bytes = frame[:1]) -> None:
                    os.write(master, unit + pdu + crc16(unit + pdu))

                await slave.reply(frame[1:6], send)

    task = asyncio.create_task(serve())
    try:
        yield f"rtu://{os.ttyname(line)}?baud=115200"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        loop.remove_reader(master)
        os.close(master)
        os.close(line)


@contextlib.asynccontextmanager
async def on_tcp(slave: Slave, transaction_shift: int = 0) -> AsyncIterator[str]:
    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        closing = contextlib.closing(writer)
        with closing, contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(7)
                transaction, _, length, unit = struct.unpack(">HHHB", head)
                pdu = await reader.readexactly(length - 1)

                def send(answer: bytes, transaction: int = transaction, unit: int = unit) -> None:
                    shifted = (transaction + transaction_shift) & 0xFFFF
                    header = struct.pack(">HHHB", shifted, 0, len(answer) + 1, unit)
                    writer.write(header + answer)

                await slave.reply(pdu[:5], send)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.wait(handlers)


Line = Callable[[Slave], contextlib.AbstractAsyncContextManager[str]]


async def read_until_ten(device: ModbusDevice) -> tuple[list[dict[str, float]], int]:
    """Ten good reads and the number of failed ones between."""
    good: list[dict[str, float]] = []
    failed = 0
    while len(good) < 10:
        try:
            good.append({value.name: value.value for value in await device.read()})
        except ModbusLost:
            failed += 1
    return good, failed


@pytest.mark.parametrize("late_s", [1.05, 1.6, 2.6])
@pytest.mark.parametrize(
    ("line", "loopback"),
    [
        (on_pty, "echo"),
        (on_pty, "refuse"),
        (on_pty, "ignore"),
        (on_tcp, "echo"),
        (on_tcp, "refuse"),
    ],
)
def test_a_late_answer_is_never_taken_for_another(
    two: RegisterMap, late_s: float, line: Line, loopback: str
) -> None:
    async def scenario() -> None:
        slave = Slave({5: late_s * TIMEOUT_S, 9: late_s * TIMEOUT_S}, loopback)
        async with line(slave) as url, ModbusDevice(url, 1, two, TIMEOUT_S) as device:
            good, failed = await read_until_ten(device)
            assert all(values == {"here": 1111, "there": 2222} for values in good)
            assert failed >= 1
            assert device.counters["timeouts"] >= 1

    asyncio.run(scenario())
