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

from edge.config import ModbusSection
from edge.errors import ConfigError, DeviceFault, LinkDown
from edge.health import Health, Level
from edge.records import Measurement
from edge.sources.modbus import ModbusSource
from firmware_bridge.modbus import ModbusBus, ModbusBuses, ModbusDevice, ModbusLost, ModbusRefused
from firmware_bridge.modbus_map import RegisterMap
from firmware_bridge.modbus_toml import load_map

TIMEOUT_S = 0.06
PATIENT_S = 1.0
"""Where no answer may be missed, though the machine be busy."""

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


_LOOPBACKS: dict[str, Callable[[bytes], bytes | None]] = {
    "echo": lambda pdu: pdu,
    "refuse": lambda _: b"\x88\x01",
    "ignore": lambda _: None,
    "babble": lambda _: b"\x03\x02\x04\x57",
}


class Slave:
    """A device that answers one request after the other, each as late as it is told.

    ``delays_s[i]`` belongs to request ``i``; None stands for no answer. ``late_s[i]`` begins when
    the master, whose timeouts ``given_up`` tells, has given up request ``i``. Function 08 is
    echoed, refused, ignored or met with something else as ``loopback`` says.
    """

    def __init__(
        self,
        delays_s: dict[int, float | None] | None = None,
        loopback: str = "echo",
        late_s: dict[int, float] | None = None,
    ):
        self.delays_s = delays_s or {}
        self.late_s = late_s or {}
        self.given_up: Callable[[], int] = lambda: 0
        self.loopback = loopback
        self.words: dict[int, int] = {0: 1111, 100: 2222}
        self.bits = CABINET_BITS
        self.requests: list[bytes] = []

    def answer(self, pdu: bytes) -> bytes | None:
        function, start, count = struct.unpack(">BHH", pdu[:5])
        if function == 0x08:
            return _LOOPBACKS[self.loopback](pdu)
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
        if number in self.late_s:
            before = self.given_up()
            while self.given_up() == before:
                await asyncio.sleep(0.001)
            await asyncio.sleep(self.late_s[number])
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
            good.append({value.name: value.value for value in (await device.read()).values})
        except ModbusLost:
            failed += 1
    return good, failed


@pytest.mark.parametrize("late_timeouts", [0.05, 0.6, 1.6])
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
    two: RegisterMap, late_timeouts: float, line: Line, loopback: str
) -> None:
    async def scenario() -> None:
        late_s = late_timeouts * TIMEOUT_S
        slave = Slave(loopback=loopback, late_s={5: late_s, 9: late_s})
        async with line(slave) as url, ModbusDevice(ModbusBus(url), 1, two, TIMEOUT_S) as device:
            slave.given_up = lambda: device.counters["timeouts"]
            good, failed = await read_until_ten(device)
            assert all(values == {"here": 1111, "there": 2222} for values in good)
            assert failed >= 1

    asyncio.run(scenario())


def test_a_cancelled_read_leaves_nothing_to_be_mistaken(two: RegisterMap) -> None:
    async def scenario() -> None:
        slave = Slave({4: 0.8 * PATIENT_S})
        async with on_pty(slave) as url, ModbusDevice(ModbusBus(url), 1, two, PATIENT_S) as device:
            await device.read()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(device.read(), 0.3 * PATIENT_S)
            values = {value.name: value.value for value in (await device.read()).values}
            assert values == {"here": 1111, "there": 2222}

    asyncio.run(scenario())


def test_what_an_earlier_master_asked_is_not_taken_for_ours(two: RegisterMap) -> None:
    """The port is opened while an answer to somebody else's request is still on its way."""

    async def scenario() -> None:
        slave = Slave(late_s={1: 1.5 * TIMEOUT_S})
        async with on_pty(slave) as url:
            async with ModbusDevice(ModbusBus(url), 1, two, TIMEOUT_S) as first:
                slave.given_up = lambda: first.counters["timeouts"]
                with pytest.raises(ModbusLost):
                    await first.read()
            slave.words = {0: 3333, 100: 4444}
            async with ModbusDevice(ModbusBus(url), 1, two, TIMEOUT_S) as second:
                good, _ = await read_until_ten(second)
        assert all(values == {"here": 3333, "there": 4444} for values in good)

    asyncio.run(scenario())


@pytest.mark.parametrize("line", [on_pty, on_tcp])
def test_the_cabinet_map_reads_in_two_requests(line: Line) -> None:
    async def scenario() -> None:
        slave = Slave()
        slave.words = dict(CABINET_INPUTS)
        async with (
            line(slave) as url,
            ModbusDevice(ModbusBus(url), 1, load_map("cabinet"), 2.0) as device,
        ):
            values = {value.name: value.value for value in (await device.read()).values}
            slave.words[0] = 2000
            again = {value.name for value in (await device.read()).values}
        assert values == pytest.approx(
            {
                "road_temperature": 21.5,
                "cabinet_temperature": -1.0,
                "cabinet_humidity": 45.0,
                "ups_charge": 100.0,
                "battery_voltage": 27.12,
                "uptime": 100_000.0,
                "door_open": 0.0,
                "ups_on_mains": 1.0,
            }
        )
        assert values.keys() - again == {"road_temperature"}
        assert device.counters["out_of_range"] == 1
        assert len([pdu for pdu in slave.requests if pdu[0] != 8]) == 4

    asyncio.run(scenario())


def test_a_reply_to_another_transaction_is_not_taken(two: RegisterMap) -> None:
    async def scenario() -> None:
        async with (
            on_tcp(Slave(), 7) as url,
            ModbusDevice(ModbusBus(url), 1, two, TIMEOUT_S) as device,
        ):
            with pytest.raises(ModbusLost):
                await device.read()

    asyncio.run(scenario())


@pytest.mark.parametrize("line", [on_pty, on_tcp])
def test_a_register_that_is_not_there_is_refused(two: RegisterMap, line: Line) -> None:
    async def scenario() -> None:
        slave = Slave()
        del slave.words[100]
        async with line(slave) as url, ModbusDevice(ModbusBus(url), 1, two, 2.0) as device:
            with pytest.raises(ModbusRefused, match="exception 2"):
                await device.read()
            slave.words[100] = 5
            assert [value.value for value in (await device.read()).values] == [1111, 5]

    asyncio.run(scenario())


def test_a_device_that_never_answers_is_asked_for_nothing_but_a_sign_of_life(
    two: RegisterMap,
) -> None:
    async def scenario() -> None:
        slave = Slave(dict.fromkeys(range(1000)))
        async with on_pty(slave) as url, ModbusDevice(ModbusBus(url), 1, two, 0.02) as device:
            for _ in range(6):
                with pytest.raises(ModbusLost) as lost:
                    await device.read()
                assert lost.value.reason == "silent"
        assert [pdu[0] for pdu in slave.requests] == [8, 3] * 3
        counts = [int.from_bytes(pdu[3:5]) for pdu in slave.requests if pdu[0] == 3]
        assert len(set(counts)) == 3
        assert 1 not in counts

    asyncio.run(scenario())


def test_a_line_that_chatters_is_given_up(two: RegisterMap) -> None:
    async def scenario() -> None:
        slave = Slave(loopback="babble")
        async with on_pty(slave) as url, ModbusDevice(ModbusBus(url), 1, two, 0.3) as device:
            with pytest.raises(ModbusLost, match="rest"):
                await device.read()
            assert all(pdu[0] == 0x08 for pdu in slave.requests)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("url", "unit"),
    [
        ("tcp://", 1),
        ("http://127.0.0.1", 1),
        ("rtu://", 1),
        ("rtu:///dev/ttyS9?speed=9600", 1),
        ("rtu:///dev/ttyS9?baud=fast", 1),
        ("rtu:///dev/ttyS9?parity=X", 1),
        ("rtu:///dev/ttyS9", 0),
        ("rtu:///dev/ttyS9", 248),
    ],
)
def test_what_is_no_line_is_a_mistake_of_the_station_file(url: str, unit: int) -> None:
    with pytest.raises(ConfigError):
        source_of(url, unit=unit)


def source_of(url: str, **rest: object) -> tuple[ModbusSource, Health]:
    values = {"id": "M1", "url": url, "map": "cabinet", "poll_s": 0.1, "timeout_s": TIMEOUT_S}
    health = Health(lambda: 0)
    section = ModbusSection.model_validate(values | rest)
    return ModbusSource(section, health, lambda: 77, ModbusBuses()), health


def test_the_source_polls_and_survives_one_missing_answer() -> None:
    async def scenario() -> None:
        slave = Slave({5: None})
        slave.words = dict(CABINET_INPUTS)
        measured: list[Measurement] = []
        async with on_pty(slave) as url:
            source, health = source_of(url, timeout_s=PATIENT_S)
            levels: set[Level] = set()
            task = asyncio.create_task(source.run(measured.append))
            async with asyncio.timeout(60):
                while len(measured) < 32:
                    await asyncio.sleep(0.01)
                    levels.add(health.snapshot().states["modbus.M1"].level)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert measured[0].device == "M1"
        assert measured[0].time_ns == 77
        assert levels == {Level.WAITING, Level.WARNING, Level.OK}
        assert health.snapshot().counters["modbus.M1.missed_polls"] == 1
        assert health.snapshot().counters["modbus.M1.timeouts"] == 1

    asyncio.run(scenario())


def test_a_silent_device_is_a_link_down() -> None:
    async def scenario() -> None:
        async with on_pty(Slave(dict.fromkeys(range(100)))) as url:
            await source_of(url, timeout_s=0.05)[0].run(lambda _: None)

    with pytest.raises(LinkDown):
        asyncio.run(scenario())


def test_a_missing_port_and_a_closed_one_are_link_downs(tmp_path: Path) -> None:
    with pytest.raises(LinkDown):
        asyncio.run(source_of(f"rtu://{tmp_path}/none")[0].run(lambda _: None))
    with pytest.raises(LinkDown):
        asyncio.run(source_of("tcp://127.0.0.1:1")[0].run(lambda _: None))


def test_a_device_without_the_registers_is_a_fault() -> None:
    async def scenario() -> None:
        slave = Slave()
        slave.words = {}
        async with on_pty(slave) as url:
            await source_of(url)[0].run(lambda _: None)

    with pytest.raises(DeviceFault, match="exception 2"):
        asyncio.run(scenario())


def test_a_map_that_is_not_there_is_a_mistake_of_the_station_file() -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        source_of("tcp://127.0.0.1:1", map="nowhere")
