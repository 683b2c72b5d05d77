"""Several devices on one bus: turns, dead devices, commands first, lines that break."""

from __future__ import annotations

import asyncio
import os
import random
import time
import tty
from collections.abc import Iterable
from functools import partial

import pytest

from edge.config import ModbusSection, ScaleSection
from edge.errors import LinkDown
from edge.health import Health, Level
from edge.records import Measurement, ScaleReading
from edge.sources.modbus import ModbusSource
from edge.sources.modbus_scale import ModbusScaleSource, Weights
from edge.sources.weigher import Companions
from edge.supervise import supervise
from firmware_bridge.indicators.reading import IndicatorReading
from firmware_bridge.modbus import (
    ModbusBus,
    ModbusBuses,
    ModbusDevice,
    ModbusLost,
    ModbusRefused,
    load_map,
)
from simulator.bench import bridge_bus
from simulator.modbus_slave import Memory, RtuSlave, Sent, TcpSlave, crc16
from tests.standstill import stand_still

SCALE = load_map("generic-scale")
MODBUS_SCALE = {
    "id": "F1", "url": "modbus:W1", "format": "modbus", "max_kg": 60_000, "division_kg": 20,
}  # fmt: skip


def scale(digits: int = 100) -> Memory:
    device = Memory({"holding": {**dict.fromkeys(range(17), 0), 2: digits, 4: digits}})

    def measure() -> None:
        device.cells["holding"][6] = (device.cells["holding"][6] + 1) & 0xFFFF

    device.before = measure
    return device


def test_devices_share_a_bus_and_each_gets_its_own_weight() -> None:
    async def scenario() -> None:
        units = {unit: scale(1000 * unit) for unit in (1, 2, 3, 4)}
        async with RtuSlave(units) as slave:
            bus = ModbusBus(slave.url)

            async def read(unit: int) -> set[float | None]:
                async with ModbusDevice(bus, unit, SCALE, 2.0) as device:
                    weights = [(await device.read()).weight for _ in range(20)]
                return {w.weight_kg for w in weights if w is not None}

            found = await asyncio.gather(*(read(unit) for unit in units))
        assert found == [{1000.0 * unit} for unit in units]
        assert bus.users == 0

    asyncio.run(scenario())


def test_a_command_goes_before_the_reads_that_wait() -> None:
    def slowly(frame: bytes) -> Iterable[Sent]:
        return [(0.02, frame)]

    async def scenario() -> None:
        units = {unit: scale() for unit in (1, 2, 3, 4)}
        units[4].written = lambda _start, _words: units[4].cells["holding"].update({0: 0b10})
        async with RtuSlave(units, slowly) as slave:
            bus = ModbusBus(slave.url)
            devices = [ModbusDevice(bus, unit, SCALE, 2.0) for unit in units]
            for device in devices:
                await device.__aenter__()
                await device.read()
            reads = [asyncio.create_task(device.read()) for device in devices[:3]]
            await asyncio.sleep(0.01)
            await devices[3].command("zero")
            assert not reads[2].done()
            await asyncio.gather(*reads)
            for device in devices:
                await device.__aexit__(None, None, None)

    asyncio.run(scenario())


def test_a_device_that_dies_and_returns_on_a_shared_bus() -> None:
    """Its debt is forgiven by a clock of its own, however long the others' reads take here."""

    async def scenario() -> None:
        dead, leap_s = {2: False}, 0.0
        units = {1: scale(), 2: scale()}
        second = units[2]
        async with RtuSlave(
            {1: units[1], 2: lambda pdu: None if dead[2] else second(pdu)}
        ) as slave:
            bus = ModbusBus(slave.url)

            def mono_ns() -> int:
                return time.monotonic_ns() + round(leap_s * 1e9)

            async with ModbusDevice(bus, 2, SCALE, 0.2, mono_ns=mono_ns) as mortal:
                await mortal.read()
                dead[2] = True
                for _ in range(6):
                    with pytest.raises(ModbusLost):
                        await mortal.read()
                dead[2] = False
                asked = len(second.requests)
                async with ModbusDevice(bus, 1, SCALE, 0.2) as living:
                    assert mortal.resting
                    looking = asyncio.create_task(mortal.read())
                    for _ in range(20):
                        await living.read()
                    assert (looking.done(), len(second.requests)) == (False, asked)
                    looking.cancel()
                    await asyncio.wait({looking})
                    leap_s = 300.0
                    assert (await mortal.read()).doubt_s > leap_s

    asyncio.run(scenario())


@pytest.mark.parametrize("line", [RtuSlave, TcpSlave])
def test_a_machine_that_stands_still_blames_no_device(
    line: type[RtuSlave] | type[TcpSlave],
) -> None:
    """When it wakes, deadlines have passed and the answer lies there unread."""

    async def scenario() -> None:
        device, standstill_s, dead = scale(500), 0.0, False

        def answer(pdu: bytes) -> bytes | None:
            stand_still(standstill_s)
            return None if dead else device(pdu)

        async with line({1: answer, 2: scale()}) as slave:
            bus = ModbusBus(slave.url)
            async with (
                ModbusDevice(bus, 1, SCALE, 0.2) as master,
                ModbusDevice(bus, 2, SCALE, 0.2),
            ):
                await master.read()
                standstill_s = 0.5
                assert (await master.read()).doubt_s == 0
                assert master.counters["timeouts"] == 0
                dead = True
                with pytest.raises(ModbusLost):
                    await master.read()
                assert not master.silent  # it owes one wait, not the standstill

    asyncio.run(scenario())


def test_a_line_that_does_not_fall_quiet_is_waste_too() -> None:
    """Three quarters of a timeout, before the device is even asked; by a clock of its own."""

    async def scenario() -> None:
        leap_s = 0.0
        master, line = os.openpty()
        tty.setraw(line)

        async def babble() -> None:
            while True:
                os.write(master, b"\x55")
                await asyncio.sleep(0.005)

        babbling = asyncio.create_task(babble())
        bus = ModbusBus(f"rtu://{os.ttyname(line)}?baud=115200")
        clock = lambda: time.monotonic_ns() + round(leap_s * 1e9)  # noqa: E731
        async with (
            ModbusDevice(bus, 1, SCALE, 0.2, mono_ns=clock) as noisy,
            ModbusDevice(bus, 2, SCALE, 0.2),
        ):
            with pytest.raises(ModbusLost):
                await noisy.read()
            leap_s = 3.0
            assert noisy.silent
        babbling.cancel()
        await asyncio.wait({babbling})
        os.close(master)
        os.close(line)

    asyncio.run(scenario())


def test_the_tcp_line_is_made_anew_after_a_doubt() -> None:
    async def scenario() -> None:
        device = scale(500)
        told: list[bytes] = []

        def spoil(frame: bytes) -> Iterable[Sent]:
            told.append(frame)
            stolen = bytes((frame[0], frame[1] ^ 1)) + frame[2:]
            return [(0.0, stolen if len(told) == 2 else frame)]

        async with (
            TcpSlave({1: device}, spoil) as slave,
            ModbusDevice(ModbusBus(slave.url), 1, SCALE, 1.0) as master,
        ):
            assert (await master.read()).doubt_s == 0
            with pytest.raises(ModbusLost):
                await master.read()
            reading = await master.read()
            assert reading.weight is not None
            assert (reading.weight.weight_kg, reading.doubt_s > 0) == (500.0, True)

    asyncio.run(scenario())


def garbage(chance: random.Random, frame: bytes) -> bytes:
    """Anything, often with the head of a good reply and any function code."""
    data = chance.randbytes(chance.randrange(1, 300))
    if chance.random() < 0.3:
        return data
    pdu = bytes((chance.randrange(256),)) + data[: chance.randrange(1, 40)]
    if len(frame) > 8 and frame[2:4] == b"\0\0":  # a header of TCP
        return frame[:4] + (len(pdu) + 1).to_bytes(2, "big") + frame[6:7] + pdu
    return frame[:1] + pdu + crc16(frame[:1] + pdu)


@pytest.mark.parametrize("line", [RtuSlave, TcpSlave])
def test_no_garbage_gets_further_than_a_lost_reading(line: type[RtuSlave] | type[TcpSlave]) -> None:
    chance = random.Random(7)

    async def scenario() -> None:
        async with (
            line({1: scale(700)}, lambda frame: [(0.0, garbage(chance, frame))]) as slave,
            ModbusDevice(ModbusBus(slave.url), 1, SCALE, 0.01) as master,
        ):
            for _ in range(150):
                with pytest.raises((ModbusLost, ModbusRefused)):
                    await master.read()

    asyncio.run(scenario())


def test_the_station_marks_what_comes_after_a_doubt() -> None:
    async def scenario() -> None:
        device, silent = scale(2_500), {"on": False}
        measured: list[Measurement] = []
        health = Health(lambda: 0)
        async with RtuSlave({1: lambda pdu: None if silent["on"] else device(pdu)}) as slave:
            section = ModbusSection.model_validate(
                {"id": "W1", "url": slave.url, "map": "generic-scale", "poll_s": 0.1}
                | {"timeout_s": 1.0, "priority": "high"}
            )
            source = ModbusSource(section, health, lambda: 77, ModbusBuses())
            task = asyncio.create_task(
                supervise("modbus.W1", lambda: source.run(measured.append), health)
            )
            async with asyncio.timeout(60):
                while len(measured) < 3:
                    await asyncio.sleep(0.01)
                silent["on"] = True
                while "modbus.W1.outages" not in health.snapshot().counters:
                    await asyncio.sleep(0.01)
                silent["on"] = False
                before = len(measured)
                while len(measured) < before + 3:
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert {(m.name, m.value, m.unit) for m in measured} == {("weight", 2_500.0, "kg")}
        assert [m.doubt_s > 0.3 for m in measured[before : before + 3]] == [True, False, False]
        assert health.snapshot().counters["modbus.W1.gaps"] == 2

    asyncio.run(scenario())


def test_the_station_says_soon_that_one_of_a_bus_is_dead() -> None:
    async def scenario() -> None:
        health, buses = Health(time.monotonic_ns), ModbusBuses()
        measured: list[Measurement] = []
        async with RtuSlave({1: scale(900)}) as slave:
            told = {"url": slave.url, "map": "generic-scale", "poll_s": 0.1, "timeout_s": 1.0}
            tasks = []
            for name, unit in (("W1", 1), ("W2", 2)):
                section = ModbusSection.model_validate(told | {"id": name, "unit": unit})
                source = ModbusSource(section, health, time.time_ns, buses)
                run = partial(source.run, measured.append)
                tasks.append(asyncio.create_task(supervise(f"modbus.{name}", run, health)))
            async with asyncio.timeout(60):
                while "modbus.W2.outages" not in health.snapshot().counters:
                    await asyncio.sleep(0.01)
            before, looks = len(measured), 0
            while len(measured) <= before + 3 or looks < 20:
                await asyncio.sleep(0.05)
                states, looks = health.snapshot().states, looks + 1
                assert states["modbus.W2"].level is Level.DOWN
            assert states["modbus.W1"].level is Level.OK
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert {m.device for m in measured} == {"W1"}

    asyncio.run(scenario())


def test_a_modbus_device_is_a_scale_of_the_station() -> None:
    async def scenario() -> None:
        weights, companions = Weights(), Companions()
        health = Health(time.monotonic_ns)
        readings: list[ScaleReading] = []
        device = scale(18_500)
        device.cells["holding"][0] = 1
        async with RtuSlave({1: device}) as slave:
            config = ModbusSection.model_validate(
                {"id": "W1", "url": slave.url, "map": "generic-scale", "poll_s": 0.1}
            )
            section = ScaleSection.model_validate(MODBUS_SCALE)
            polled = ModbusSource(config, health, time.time_ns, ModbusBuses(), weights.put)
            source = ModbusScaleSource(section, health, time.monotonic_ns, companions, weights)
            tasks = [
                asyncio.create_task(polled.run(lambda _: None)),
                asyncio.create_task(source.run(readings.append)),
            ]
            async with asyncio.timeout(60):
                while not (readings and readings[-1].stable):
                    await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert (readings[-1].load_kg, readings[-1].protection) == (18_500.0, "checksum")
        assert readings[-1].frame[:12].hex() == "0001" + "00004844" * 2 + "0000"
        assert "18,500" in health.snapshot().states["scale.F1"].text.zh

    asyncio.run(scenario())


def test_a_weight_after_a_standstill_finds_its_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sources.modbus_scale.SILENCE_S", 0.4)
    section = ScaleSection.model_validate(MODBUS_SCALE)
    weights, readings = Weights(), list[ScaleReading]()
    source = ModbusScaleSource(
        section, Health(time.monotonic_ns), time.monotonic_ns, Companions(), weights
    )

    async def scenario() -> None:
        task = asyncio.create_task(source.run(readings.append))
        await asyncio.sleep(0)
        stand_still(0.8)
        for _ in range(5):  # turns of the loop, in which the device is asked again
            await asyncio.sleep(0)
        weights.put("W1", IndicatorReading(12_000.0, b"", "kg"))
        while not (readings or task.done()):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
    assert [reading.load_kg for reading in readings] == [12_000.0]


def test_a_scale_without_its_modbus_device_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sources.modbus_scale.SILENCE_S", 0.05)
    section = ScaleSection.model_validate(MODBUS_SCALE)
    health = Health(time.monotonic_ns)
    source = ModbusScaleSource(section, health, time.monotonic_ns, Companions(), Weights())
    with pytest.raises(LinkDown, match="W1"):
        asyncio.run(source.run(lambda _: None))


@pytest.mark.slow
def test_a_dead_device_costs_the_others_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for it in every turn is more than 80 % slower; a busy machine hides some."""
    monkeypatch.setattr(bridge_bus, "_QUICK", 5.0)
    assert bridge_bus.dead_device(quick=True)["bridge.dead_device_slowdown_pct"] < 50
