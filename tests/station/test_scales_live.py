"""A whole station with scales: simulated lorries leave the lane, stand on the platform, and the
page says what they weigh, the platform is told an order; ``check`` says what protects the line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result

from edge.config import load_station
from edge.station import Station
from simulator.devices import DeviceBench
from simulator.scenario import Scenario
from simulator.world import World
from tests.station.strip_lane import STRIP_LANE
from tests.unit.test_cli import steelyard

STATION = (
    STRIP_LANE
    + """\
[[scale]]
id = "F1"
url = "run/f1"
format = "toledo"
data_bits = 7
parity = "even"
max_kg = 60_000
division_kg = 20
lane = "1"
[[scale]]
id = "F2"
url = "socket://127.0.0.1:0"
format = "sics"
poll_s = 0.05
max_kg = 60_000
division_kg = 20
lane = "1"
check_with = "F1"
[web]
port = 0
[uplink]
broker = "mqtt://127.0.0.1:9"
"""
)
ONE_LORRY = {
    "seed": 3,
    "lead_in_s": 0.1,
    "lane": [{"flow_per_h": 300, "speed_kmh": [70, 80], "mix": {"12": 1}, "load": {"legal": 1}}],
}


def test_a_lorry_is_weighed_again_on_the_platform(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    text = STATION.replace('"run/', f'"{tmp_path}/run/')
    path.write_text(text)
    left: list[float] = []
    told: list[Result] = []

    async def scenario() -> dict[str, Any]:
        world = World(load_station(path), Scenario.model_validate(ONE_LORRY))
        async with DeviceBench(
            world, on_left=lambda truth: left.append(sum(truth.axle_kg))
        ) as bench:
            path.write_text(text.replace("socket://127.0.0.1:0", bench.urls["F2"]))
            station, stop, ready = Station(load_station(path)), asyncio.Event(), asyncio.Event()
            running = asyncio.create_task(station.run(stop, on_ready=lambda _: ready.set()))
            await ready.wait()
            try:
                state = await _weighed(station.url)
                order = ("scale", "clear_tare", str(path), "F1", "--by", "Wang Wei")
                told.append(await asyncio.to_thread(steelyard, *order))
                return state
            finally:
                stop.set()
                await running

    state = asyncio.run(scenario())
    for scale in ("F1", "F2"):
        part = state["parts"][f"scale.{scale}"]
        assert part["level"] == "ok"
        assert "稳定" in part["zh"]
        assert state["gauges"][f"scale.{scale}.load_kg"] == pytest.approx(left[-1], abs=20)
    assert told[0].exit_code == 0, told[0].output


async def _weighed(url: str) -> dict[str, Any]:
    """The station's state once both scales rest under a load."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as page, asyncio.timeout(100):
        while True:
            state: dict[str, Any] = (await page.get("/api/state.json")).json()
            if all(
                state["gauges"].get(f"scale.{scale}.load_kg", 0) > 1_000
                and "稳定" in state["parts"][f"scale.{scale}"]["zh"]
                for scale in ("F1", "F2")
            ):
                return state
            await asyncio.sleep(0.1)


def test_check_says_what_protects_a_scale(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text(STATION)
    said = steelyard("check", str(path))
    assert said.exit_code == 0, said.output
    assert "F1: toledo, 有校验" in said.output
    assert "F2: sics, 无校验" in said.output
    path.write_text(STATION.replace('"sics"', '"equals"'))
    wrong = steelyard("check", str(path))
    assert wrong.exit_code == 3
    assert "mirrored" in wrong.output
