"""Each register map against a device that is built from its maker's register table, not the map."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from firmware_bridge.indicators.reading import IndicatorReading
from firmware_bridge.modbus import (
    ModbusBus,
    ModbusDevice,
    ModbusLost,
    ModbusRefused,
    Reading,
    load_map,
)
from firmware_bridge.modbus_map import RegisterMap
from firmware_bridge.modbus_toml import own_maps
from simulator.modbus_slave import Memory, RtuSlave, TcpSlave


def high_low(number: int) -> list[int]:
    """A 32-bit number as two words, the upper first; negative ones in two's complement."""
    return list(struct.unpack(">HH", (number & 0xFFFFFFFF).to_bytes(4, "big")))


def single(number: float) -> list[int]:
    """An IEEE 754 binary32 as two words, the upper first."""
    return list(struct.unpack(">HH", struct.pack(">f", number)))


def holding(blocks: dict[int, Sequence[int]], block: int = 125) -> Memory:
    """A device with holding registers at these addresses of the wire, and no others."""
    cells = {first + i: word for first, words in blocks.items() for i, word in enumerate(words)}
    return Memory({"holding": cells}, block=block)


def read(device: Memory, name: str | Path, unit: int = 3) -> Reading:
    async def scenario() -> Reading:
        async with (
            RtuSlave({unit: device}) as slave,
            ModbusDevice(ModbusBus(slave.url), unit, load_map(name), 0.5) as master,
        ):
            return await master.read()

    return asyncio.run(scenario())


def weight(device: Memory, name: str | Path) -> IndicatorReading:
    found = read(device, name).weight
    assert found is not None
    return found


def laumas(gross: int, net: int, status: int, code: int) -> Memory:
    """40001 firmware ... 40006 command, 40007 status, 40008 gross, 40010 net, 40012 peak, 40014."""
    words = [104, 2, 2024, 77, 1, 0, status, *high_low(gross), *high_low(net), *high_low(0), code]
    return holding({0: words}, block=32)


def pavone(gross: int, net: int, status: int, decimals: int) -> Memory:
    """0001 status, 0002 gross, 0004 net, 0006 peak, ... 0503 command, 1101 division, 1102 point."""
    blocks = {
        0: [status, *high_low(gross), *high_low(net), *high_low(0), 0, 0],
        500: [0, 0, 0],
        1100: [5, decimals],
    }
    return holding(blocks)


def dini(gross: int, net: int, status: int) -> Memory:
    """40001 command, 40202 status, 40203 gross of scale 1, +3 a scale, net from 40214."""
    scales = [status, *high_low(gross), *[0, 9, 9] * 3]
    return holding({0: [0] * 5, 201: [*scales, *high_low(net), *[0, 9] * 3]})


def flintec(gross: float, net: float) -> Memory:
    """3500: gross, net, qualifier in one read of five."""
    return holding({0x3500: [*single(gross), *single(net), 0]})


def ind570(gross: float, tare: float, increment: float) -> Memory:
    """0 default, 2 gross, 4 tare, 6 net ... 203 increment; functions 3 and 6 alone."""
    rounded = [*single(gross), *single(gross), *single(tare), *single(gross - tare)]
    device = holding({0: rounded, 203: single(increment)})
    device.functions = frozenset({3, 6})
    return device


def test_laumas_has_its_sign_in_the_status_and_its_point_in_a_code() -> None:
    found = weight(
        laumas(gross=382_460, net=182_460, status=1 << 10 | 1 << 11, code=9), "laumas-tlb"
    )
    assert found.weight_kg == 38_246.0
    assert found.tare_kg == 20_000.0
    assert (found.division_kg, found.unit, found.mode) == (0.1, "kg", "gross")
    assert (found.stable, found.centre_of_zero, found.out_of_range) == (True, False, None)
    below = weight(laumas(gross=45, net=45, status=1 << 7 | 1 << 8, code=6), "laumas-tlb")
    assert (below.weight_kg, below.tare_kg, below.stable) == (-45.0, 0.0, False)


@pytest.mark.parametrize(
    ("code", "kilograms"),
    [(0x0006, 382_460.0), (0x0203, 382_460_000.0), (0x010D, 0.38246), (0x030C, 1_734.809378302)],
)
def test_laumas_units_and_divisions(code: int, kilograms: float) -> None:
    found = weight(laumas(382_460, 382_460, 0, code), "laumas-tlb")
    assert found.weight_kg == pytest.approx(kilograms, rel=1e-12)


@pytest.mark.parametrize(
    ("bit", "why"), [(0, "error"), (1, "error"), (2, "over"), (3, "over"), (4, "over"), (5, "over")]
)
def test_laumas_shows_no_weight_out_of_range(bit: int, why: str) -> None:
    found = weight(laumas(100, 100, 1 << bit | 1 << 11, 6), "laumas-tlb")
    assert (found.weight_kg, found.out_of_range, found.stable) == (None, why, False)


@pytest.mark.parametrize("code", [0x0013, 0x0406, 0xFF06])
def test_a_code_that_the_map_does_not_know_makes_no_weight(code: int) -> None:
    found = weight(laumas(100, 100, 1 << 11, code), "laumas-tlb")
    assert (found.weight_kg, found.out_of_range) == (None, "error")


def test_laumas_is_asked_for_weight_and_status_in_one_request() -> None:
    device = laumas(1, 1, 0, 6)
    read(device, "laumas-tlb")
    assert [pdu.hex() for pdu in device.requests if pdu[0] == 3] == ["0300060008"]


def test_pavone_is_signed_and_says_where_the_point_is() -> None:
    found = weight(
        pavone(gross=-1_234, net=-5_234, status=0b0000_1010, decimals=2), "pavone-dat1400"
    )
    assert (found.weight_kg, found.tare_kg, found.stable) == (-12.34, 40.0, True)
    assert weight(pavone(50, 50, 1 << 4, 0), "pavone-dat1400").out_of_range == "under"
    assert weight(pavone(50, 50, 1 << 5, 0), "pavone-dat1400").out_of_range == "over"
    assert weight(pavone(50, 50, 1 << 6, 0), "pavone-dat1400").out_of_range == "error"
    assert read(pavone(50, 50, 0, 7), "pavone-dat1400").weight is None


def test_dini_needs_to_be_told_where_the_point_is(tmp_path: Path) -> None:
    own = tmp_path / "platform.toml"
    own.write_text('like = "dini-dgt4x"\nname = "platform"\n[weight]\ndivision = "0.5"\n')
    found = weight(dini(gross=76_505, net=6_505, status=1 << 0 | 1 << 1 | 1 << 5), own)
    assert (found.weight_kg, found.tare_kg) == (-7_650.5, -7_000.0)
    assert (found.stable, found.division_kg) == (True, 0.5)
    assert weight(dini(1, 1, 1 << 2), own).out_of_range == "under"
    assert weight(dini(1, 1, 1 << 3), own).out_of_range == "over"
    device = dini(0, 0, 1 << 4)
    assert weight(device, own).centre_of_zero is True
    assert len([pdu for pdu in device.requests if pdu[0] == 3]) == 1


def test_flintec_has_hexadecimal_addresses_and_floats() -> None:
    device = flintec(38_240.02, 18_240.02)
    found = weight(device, "flintec-dad141")
    assert (found.weight_kg, found.tare_kg, found.stable) == (38_240.02, 20_000.0, None)
    assert [pdu.hex() for pdu in device.requests if pdu[0] == 3] == ["0335000005"]
    assert read(flintec(float("nan"), 0), "flintec-dad141").weight is None


def test_ind570_over_tcp_answers_to_unit_0() -> None:
    async def scenario() -> Reading:
        async with (
            TcpSlave({0: ind570(38_240, 14_200, 20)}) as slave,
            ModbusDevice(ModbusBus(slave.url), 0, load_map("mettler-ind570"), 0.5) as master,
        ):
            return await master.read()

    reading = asyncio.run(scenario())
    assert reading.weight is not None
    assert (reading.weight.weight_kg, reading.weight.tare_kg) == (38_240.0, 14_200.0)
    assert reading.weight.division_kg == 20.0
    assert [(v.name, v.value) for v in reading.values] == [("tare", 14_200.0)]


def generic(gross: int, status: int = 0, decimals: int = 1) -> Memory:
    device = holding({0: [status, *high_low(gross), *high_low(gross), decimals, 0], 16: [0]})

    def measure() -> None:
        device.cells["holding"][6] = (device.cells["holding"][6] + 1) & 0xFFFF

    device.before = measure
    return device


def run(
    device: Memory, work: Callable[[ModbusDevice], object], name: str = "generic-scale"
) -> None:
    async def scenario() -> None:
        async with (
            RtuSlave({1: device}) as slave,
            ModbusDevice(ModbusBus(slave.url), 1, load_map(name), 0.3) as master,
        ):
            await work(master)  # type: ignore[misc]

    asyncio.run(scenario())


def test_the_generic_map() -> None:
    found = weight(generic(-12_345, status=1), "generic-scale")
    assert (found.weight_kg, found.stable, found.raw.hex()) == (
        -1_234.5,
        True,
        "0001ffffcfc7ffffcfc700010001",
    )


def test_a_counter_that_stands_still_is_no_new_weight() -> None:
    device = generic(100)

    async def work(master: ModbusDevice) -> None:
        await master.read()
        device.before = lambda: None
        with pytest.raises(ModbusLost, match="counter"):
            await master.read()
        assert master.counters["stale"] == 1
        device.cells["holding"][6] += 1
        assert (await master.read()).doubt_s > 0

    run(device, work)


def test_a_device_that_starts_anew_is_believed_after_a_while() -> None:
    device = generic(100)
    device.cells["holding"][6] = 5_000

    async def work(master: ModbusDevice) -> None:
        await master.read()
        device.cells["holding"][6] = 0
        lost = 0
        while lost < 10:
            try:
                await master.read()
                break
            except ModbusLost:
                lost += 1
        assert lost == 3

    run(device, work)


def obedient(status_of: dict[int, int]) -> Memory:
    """A generic scale that carries commands out."""
    device = generic(100)

    def written(start: int, words: Sequence[int]) -> None:
        if start == 16:
            device.cells["holding"][0] = status_of[words[0]]

    device.written = written
    return device


def test_commands_are_written_once_and_seen_to_be_done() -> None:
    device = obedient({1: 0b000010, 2: 0b100000, 3: 0})

    async def work(master: ModbusDevice) -> None:
        for name in ("zero", "tare", "clear_tare"):
            await master.command(name)

    run(device, work)
    written = [pdu.hex() for pdu in device.requests if pdu[0] == 16]
    assert written == ["10001000010200" + code for code in ("01", "02", "03")]


def test_a_command_that_is_not_carried_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.modbus.COMMAND_S", 0.2)
    device = obedient({1: 0})

    async def work(master: ModbusDevice) -> None:
        with pytest.raises(ModbusLost, match="zero is done") as lost:
            await master.command("zero")
        assert lost.value.reason == "unconfirmed"

    run(device, work)
    assert len([pdu for pdu in device.requests if pdu[0] == 16]) == 1


def test_a_command_that_the_device_refuses() -> None:
    device = obedient({})
    device.functions = frozenset({3})

    async def work(master: ModbusDevice) -> None:
        with pytest.raises(ModbusRefused, match="tare"):
            await master.command("tare")

    run(device, work)


@pytest.mark.parametrize(
    ("name", "device", "command", "register", "code", "status", "bit"),
    [
        ("laumas-tlb", laumas(9, 9, 0, 6), "zero", 5, 8, 6, 12),
        ("laumas-tlb", laumas(9, 9, 0, 6), "tare", 5, 7, 6, 10),
        ("pavone-dat1400", pavone(9, 9, 0, 0), "zero", 502, 1, 0, 0),
        ("pavone-dat1400", pavone(9, 9, 0, 0), "tare", 502, 2, 0, 3),
    ],
)
def test_makers_commands(
    name: str, device: Memory, command: str, register: int, code: int, status: int, bit: int
) -> None:
    def written(start: int, words: Sequence[int]) -> None:
        assert (start, list(words)) == (register, [code])
        device.cells["holding"][status] |= 1 << bit

    device.written = written

    async def work(master: ModbusDevice) -> None:
        await master.command(command)
        assert master.counters["commands"] == 1

    run(device, work, name)


def test_only_the_maps_of_our_own_devices_are_called_verified() -> None:
    whole = [name for name in own_maps() if name != "dini-dgt4x"]
    loaded: dict[str, RegisterMap] = {name: load_map(name) for name in whole}
    assert {name for name, found in loaded.items() if found.verified} == {
        "cabinet",
        "generic-scale",
    }
    assert {name for name, found in loaded.items() if found.weight is None} == {"cabinet"}
