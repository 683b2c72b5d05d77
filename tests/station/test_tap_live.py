"""A whole station that is tapped: every kind of line, while it weighs on."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from edge.config import load_station
from edge.station import Station
from edge.tapping import held_lines, tap_line
from firmware_bridge.recognising import recognise
from firmware_bridge.tap_format import TapHeader
from simulator.devices import DeviceBench
from simulator.scenario import Scenario
from simulator.world import World
from tests.station.test_scales_live import ONE_LORRY, STATION

pytestmark = pytest.mark.slow

_ENOUGH_BYTES = 400

CABINET = """
[[modbus]]
id = "M1"
url = "tcp://127.0.0.1:0"
map = "cabinet"
poll_s = 0.1
"""


def test_every_line_of_a_station_can_be_tapped(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    text = STATION.replace('"run/', f'"{tmp_path}/run/') + CABINET

    async def scenario() -> dict[str, dict[str, bytes]]:
        path.write_text(text)
        world = World(load_station(path), Scenario.model_validate(ONE_LORRY))
        async with DeviceBench(world) as bench:
            told = text.replace("socket://127.0.0.1:0", bench.urls["F2"])
            path.write_text(told.replace("tcp://127.0.0.1:0", bench.urls["M1"]))
            config, stop, ready = load_station(path), asyncio.Event(), asyncio.Event()
            station = Station(config)
            running = asyncio.create_task(station.run(stop, on_ready=lambda _: ready.set()))
            await ready.wait()
            try:
                lines = {header.part for header in await _lines(config.data_dir)}
                assert lines == {"digitiser.D1", "scale.F1", "scale.F2", "modbus.M1"}
                parts = ("D1", "F1", "F2", "M1")
                heard = await asyncio.gather(*(_tapped(config.data_dir, part) for part in parts))
                return dict(zip(parts, heard, strict=True))
            finally:
                stop.set()
                await running

    heard = asyncio.run(scenario())
    for part, kind in (("D1", "digitiser"), ("F1", "scale"), ("F2", "scale")):
        assert recognise(heard[part]["heard"])[0].kind == kind, part
    assert b"SI\r\n" in heard["F2"]["sent"]
    # Replies of Modbus TCP to what was asked: protocol 0, unit 1; each byte once.
    asked, answered = heard["M1"]["sent"], heard["M1"]["heard"]
    assert asked[2:4] == answered[2:4] == b"\x00\x00"
    at = 0
    while at < len(answered):
        assert answered[at + 2 : at + 4] == b"\x00\x00"
        assert answered[at + 6] == 1
        at += 6 + int.from_bytes(answered[at + 4 : at + 6])
    assert at == len(answered)


async def _lines(data_dir: Path) -> list[TapHeader]:
    """The station's lines, once it has opened its door."""
    async with asyncio.timeout(60):
        while not (lines := await held_lines(data_dir)):
            await asyncio.sleep(0.05)
    return lines


async def _tapped(data_dir: Path, part: str) -> dict[str, bytes]:
    """What a line carried in three seconds or more, both ways."""
    heard = {"heard": b"", "sent": b""}
    end_s = time.monotonic() + 3.0
    wanted = tap_line(TapHeader(part, 0), data_dir, lambda _: None)
    async with asyncio.timeout(60), aclosing(wanted) as taps:
        async for piece in taps:
            if piece.kind in heard:
                heard[piece.kind] += piece.payload
            if time.monotonic() > end_s and len(heard["heard"]) > _ENOUGH_BYTES:
                break
    return heard
