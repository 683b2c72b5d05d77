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
from edge.config import ModbusSection
from edge.health import Health
from edge.records import Draft
from edge.scale_orders import ScaleOrders
from edge.sources.local_door import SOCKET, LocalDoor
from edge.sources.modbus import ModbusBuses, ModbusSource
from edge.sources.taps import Taps
from simulator.modbus_slave import Memory, RtuSlave
from tests.station.uplinks import until

STATION = (Path(__file__).parents[2] / "docs" / "stations" / "modbus.toml").read_text("utf-8")


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


def run(tmp_path: Path, action: str, name: str) -> Result:
    path = tmp_path / "station.toml"
    path.write_text(STATION.replace('data_dir = "data"', f'data_dir = "{tmp_path}"'), "utf-8")
    return CliRunner().invoke(main, ["scale", action, str(path), name, "--by", "Wang Wei"])


def told(device: Memory, tmp_path: Path, action: str, name: str) -> tuple[Result, list[Any]]:
    """What the command says beside a station, and what the log is told."""
    drafts: list[Draft] = []

    async def scenario() -> Result:
        health = Health(time.monotonic_ns)
        orders = ScaleOrders(drafts.append, time.time_ns)
        door = LocalDoor(Taps(time.monotonic_ns, time.time_ns), tmp_path, health, orders.carry_out)
        async with RtuSlave({1: device}) as slave:
            section = ModbusSection(id="W1", url=slave.url, map="generic-scale", timeout_s=0.3)
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
