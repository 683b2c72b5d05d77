"""Zero and tare by an operator: a real station process's door, a real bus, the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge.cli import main
from edge.config import ModbusSection, ScaleSection
from edge.errors import InputError, LinkDown
from edge.health import Health
from edge.records import Draft
from edge.scale_orders import ScaleOrders
from edge.sources.local_door import SOCKET, LocalDoor
from edge.sources.modbus import ModbusBuses, ModbusSource
from edge.sources.scale import Companions, ScaleSource
from edge.sources.taps import Taps
from simulator.lines import PtyLine
from simulator.modbus_slave import Memory, RtuSlave
from simulator.scales import IndicatorDevice, SimPlatform
from tests.station.uplinks import until

STATIONS = Path(__file__).parents[2] / "docs" / "stations"


def scale_that(obeys: Callable[[Memory, int], None]) -> Memory:
    """A generic scale, and what it does with a command's code."""
    device = Memory({"holding": dict.fromkeys(range(32), 0)})
    device.before = lambda: device.cells["holding"].update({6: len(device.requests)})

    def written(_start: int, words: Sequence[int]) -> None:
        obeys(device, words[0])

    device.written = written
    return device


def tares(device: Memory, code: int) -> None:
    device.cells["holding"][0] = {1: 0b10, 2: 0b100000, 3: 0}[code]


def run(tmp_path: Path, action: str, name: str, file: str = "modbus.toml") -> Result:
    path, station = tmp_path / "station.toml", (STATIONS / file).read_text("utf-8")
    path.write_text(station.replace('data_dir = "data"', f'data_dir = "{tmp_path}"'), "utf-8")
    return CliRunner().invoke(main, ["scale", action, str(path), name, "--by", "Wang Wei"])


def told(device: Memory, tmp_path: Path, action: str, name: str) -> tuple[Result, list[Any]]:
    """What the command says beside a station, and what the log is told."""
    drafts: list[Draft] = []

    async def scenario() -> Result:
        health = Health(time.monotonic_ns)
        orders = ScaleOrders(drafts.append, time.time_ns)
        door = LocalDoor(Taps(time.monotonic_ns, time.time_ns), tmp_path, health, orders.carry_out)
        async with RtuSlave({1: device}) as slave:
            section = ModbusSection(id="W1", url=slave.url, map="generic-scale", timeout_s=5.0)
            source = ModbusSource(section, health, time.time_ns, ModbusBuses())
            orders.reach("W1", source.command)
            tasks = [
                asyncio.create_task(source.run(lambda _: None)),
                asyncio.create_task(door.run()),
            ]
            await until(lambda: (tmp_path / SOCKET).exists())
            result = await asyncio.to_thread(run, tmp_path, action, name)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return result

    return asyncio.run(scenario()), [draft.body["about"] for draft in drafts]


def test_a_scale_is_told_once_and_the_log_knows_both_ends(tmp_path: Path) -> None:
    device = scale_that(tares)
    result, abouts = told(device, tmp_path, "tare", "F1")  # F1 weighs with W1
    assert result.exit_code == 0, result.output
    assert "done" in result.output
    assert [about["outcome"] for about in abouts] == ["ordered", "done"]
    assert {about["by"] for about in abouts} == {"Wang Wei"}
    assert len([pdu for pdu in device.requests if pdu[0] == 16]) == 1


def test_a_refusal_is_told_and_logged(tmp_path: Path) -> None:
    device = scale_that(tares)
    device.functions = frozenset({3})
    result, abouts = told(device, tmp_path, "zero", "W1")
    assert result.exit_code == 5
    assert "refuses" in result.output
    assert [about["outcome"] for about in abouts] == ["ordered", "not-done"]


def test_a_scale_that_does_nothing_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_bridge.modbus.COMMAND_S", 0.2)
    result, abouts = told(scale_that(lambda _d, _c: None), tmp_path, "zero", "W1")
    assert result.exit_code == 5
    assert abouts[-1]["outcome"] == "not-done"


def test_a_device_that_the_station_does_not_know(tmp_path: Path) -> None:
    result, abouts = told(scale_that(tares), tmp_path, "zero", "W9")
    assert (result.exit_code, abouts) == (2, [])


def test_without_the_station_nothing_is_sent(tmp_path: Path) -> None:
    result = run(tmp_path, "zero", "W1")
    assert result.exit_code == 4
    assert "does not run" in result.output


def toledo_told(
    tmp_path: Path, action: str, platform: SimPlatform
) -> tuple[Result, list[Any], bytes]:
    """What the command says of F2 of the example, what the log is told, what F2 then sends."""
    drafts: list[Draft] = []
    raw: list[bytes] = []

    async def scenario() -> Result:
        health, line = Health(time.monotonic_ns), PtyLine()
        orders = ScaleOrders(drafts.append, time.time_ns)
        door = LocalDoor(Taps(time.monotonic_ns, time.time_ns), tmp_path, health, orders.carry_out)
        device = IndicatorDevice("toledo", {}, platform, line, parity="even", rate_hz=50)
        section = ScaleSection.model_validate(
            {
                "id": "F2", "url": line.url, "format": "toledo", "data_bits": 7, "parity": "even",
                "max_kg": 60_000, "division_kg": 20,
            }
        )  # fmt: skip
        source = ScaleSource(section, health, time.monotonic_ns, Companions())
        orders.reach("scale.F2", source.command)

        async def tick() -> None:
            while True:
                device.tick(time.monotonic())
                await asyncio.sleep(0.005)

        tasks = [
            asyncio.create_task(job)
            for job in (tick(), door.run(), source.run(lambda reading: raw.append(reading.frame)))
        ]
        await until(lambda: bool(raw))
        result = await asyncio.to_thread(run, tmp_path, action, "F2", "scales.toml")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        line.unplug()
        return result

    return asyncio.run(scenario()), [draft.body["about"] for draft in drafts], raw[-1]


@pytest.mark.parametrize(
    ("action", "load_kg", "tare_kg", "shows"),
    [("zero", 40, 0, b"     0000000"), ("tare", 500, 0, b"     0005000")],
)
def test_a_toledo_indicator_is_told_and_shows_it(
    tmp_path: Path, action: str, load_kg: float, tare_kg: float, shows: bytes
) -> None:
    platform = SimPlatform(load_kg=load_kg, tare_kg=tare_kg, _start_kg=load_kg)
    result, abouts, raw = toledo_told(tmp_path, action, platform)
    assert result.exit_code == 0, result.output
    assert shows in raw
    assert [about["outcome"] for about in abouts] == ["ordered", "done"]
    assert (abouts[0]["device"], abouts[0]["by"]) == ("scale.F2", "Wang Wei")


def test_a_tare_of_an_indicator_is_cleared(tmp_path: Path) -> None:
    platform = SimPlatform(load_kg=500, tare_kg=500, _start_kg=500)
    result, abouts, raw = toledo_told(tmp_path, "clear_tare", platform)
    assert (result.exit_code, abouts[-1]["outcome"]) == (0, "done")
    assert b"  5000000000" in raw


def test_an_indicator_that_does_not_obey_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no zero while a tare is set."""
    monkeypatch.setattr("edge.sources.scale_teller.ORDER_S", 0.3)
    platform = SimPlatform(load_kg=500, tare_kg=100, _start_kg=500)
    result, abouts, _ = toledo_told(tmp_path, "zero", platform)
    assert (result.exit_code, abouts[-1]["outcome"]) == (5, "not-done")
    assert "nothing proves" in result.output


def test_an_order_that_the_format_does_not_know_is_not_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        section = ScaleSection(
            id="F4", url="/dev/null", format="sics", max_kg=60_000, division_kg=20
        )
        source = ScaleSource(section, Health(time.monotonic_ns), time.monotonic_ns, Companions())
        with pytest.raises(InputError, match="no command tare"):
            await source.command("tare")
        with pytest.raises(LinkDown, match="was not sent"):
            await source.command("zero")

    asyncio.run(scenario())
