"""A whole station whose camera posts: simulated lorries get their plate, picture and message, and
the plate's doubt is in the record and on the page; ``check`` looks at the camera's files."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx

from edge.config import load_station
from edge.station import Station
from simulator.broker import free_port
from simulator.devices import DeviceBench
from simulator.scenario import Scenario
from simulator.world import World
from tests.station.strip_lane import STRIP_LANE
from tests.unit.test_cli import steelyard

STATION = (
    STRIP_LANE
    + """\
[[camera]]
id = "C1"
format = "vzenith"
url = "listen://127.0.0.1:PORT"
token_file = "token"
lanes = ["1"]
country = "de"
[web]
port = 0
[uplink]
broker = "mqtt://127.0.0.1:9"
"""
)
LORRIES = {
    "seed": 3,
    "lead_in_s": 0.1,
    "lane": [{"flow_per_h": 300, "speed_kmh": [70, 80], "mix": {"12": 1}, "load": {"legal": 1}}],
    "plate": {"miss_rate": 0.0, "misread_rate": 0.0},
}


def station_file(folder: Path) -> Path:
    path = folder / "station.toml"
    text = STATION.replace('"run/', f'"{folder}/run/').replace("PORT", str(free_port()))
    path.write_text(text)
    (folder / "token").write_text("a-long-enough-token\n")
    (folder / "token").chmod(0o600)
    return path


def test_a_lorry_gets_the_plate_that_was_posted(tmp_path: Path) -> None:
    path = station_file(tmp_path)

    async def scenario() -> None:
        config = load_station(path)
        world = World(config, Scenario.model_validate(LORRIES))
        async with DeviceBench(world):
            station, stop, ready = Station(config), asyncio.Event(), asyncio.Event()
            running = asyncio.create_task(station.run(stop, on_ready=lambda _: ready.set()))
            await ready.wait()
            try:
                await _look(station.url)
            finally:
                stop.set()
                await running

    asyncio.run(scenario())


async def _read(page: httpx.AsyncClient) -> dict[str, Any] | None:
    """The newest lorry whose plate was read in time."""
    for known in (await page.get("/api/vehicles.json")).json():
        record: dict[str, Any] = (await page.get(f"/api/vehicles/{known['index']}.json")).json()
        if record["plate"]["join"] == "read":
            return record
    return None


async def _look(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as page, asyncio.timeout(100):
        # On a busy machine a plate may come too late for its lorry; then the next one has it.
        while not (read := await _read(page)):
            await asyncio.sleep(0.1)
        index, plate = read["index"], read["plate"]
        (candidate,) = plate["candidates"]
        assert candidate["doubts"] == ["grammar"]  # a Chinese plate where German ones are expected
        for name in (candidate["picture_sha256"], *candidate["files_sha256"]):
            file = await page.get(f"/records/{index}/blobs/{name}")
            assert hashlib.sha256(file.content).hexdigest() == name
        message = await page.get(f"/records/{index}/blobs/{candidate['files_sha256'][-1]}")
        said = message.json()["AlarmInfoPlate"]["result"]["PlateResult"]
        assert said["license"] == plate["text"]
        html = (await page.get(f"/vehicles/{index}", follow_redirects=True)).text
        assert "不像任何一种号牌" in html


def test_check_looks_at_the_files_of_a_camera(tmp_path: Path) -> None:
    path = station_file(tmp_path)
    said = steelyard("check", str(path))
    assert said.exit_code == 0, said.output
    assert "C1: vzenith" in said.output
    (tmp_path / "token").chmod(0o644)
    assert steelyard("check", str(path)).exit_code == 3
    (tmp_path / "token").chmod(0o600)
    path.write_text(path.read_text().replace('"vzenith"', '"nobody"'))
    wrong = steelyard("check", str(path))
    assert wrong.exit_code == 3
    assert "hikvision" in wrong.output
