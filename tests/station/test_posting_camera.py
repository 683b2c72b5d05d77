"""The simulated network camera and the station's source, over a real socket."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from edge.config import load_station
from edge.health import Health
from edge.records import PlateRead
from edge.sources.camera_http import HttpCameraSource, HttpDoors
from simulator.broker import free_port
from simulator.posting_camera import PostingCamera
from simulator.scenario import Scenario
from simulator.world import World
from tests.station.strip_lane import STRIP_LANE

STATION = (
    STRIP_LANE
    + """\
direction = "toward"
[[camera]]
id = "C1"
format = "FORMAT"
url = "listen://127.0.0.1:PORT"
token_file = "token"
lanes = ["1"]
lane_names = { "1" = "1" }
picture_dir = "pictures"
"""
)


def test_lorries_of_the_simulator_are_read_over_the_network(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-long-enough-token\n", "utf-8")
    (tmp_path / "token").chmod(0o600)
    file = tmp_path / "station.toml"
    text = STATION.replace("PORT", str(free_port())).replace("FORMAT", "vzenith")
    file.write_text(text, "utf-8")
    config = load_station(file)
    section = config.with_files(config.model.camera[0])
    scenario = Scenario.model_validate({"plate": {"misread_rate": 0.0, "miss_rate": 0.0}})
    world = World(config, scenario, 5, until_s=60.0)
    events = world.plate_events(0.0, 60.0, "C1")[:6]
    reads: list[PlateRead] = []

    async def run() -> None:
        health = Health(time.monotonic_ns)
        source = HttpCameraSource(
            section, config.picture_dir(section), health, time.time_ns, HttpDoors(health)
        )
        task = asyncio.create_task(source.run(reads.append))
        camera = PostingCamera(section, world)
        try:
            for number, event in enumerate(events, 1):
                world.start_utc_ns = time.time_ns() - round(event.sent_s * 1e9)
                camera.tick(event.sent_s + 1e-6)
                async with asyncio.timeout(60):
                    while len(reads) < number:
                        await asyncio.sleep(0.01)
        finally:
            await camera.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert events
    assert [r.text for r in reads] == [e.vehicle.plate for e in events]
    assert {r.lane for r in reads} == {"1"}
    assert {r.colour for r in reads} <= {e.vehicle.colour for e in events}
