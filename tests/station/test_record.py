"""``record`` beside devices that are there, and that are not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

from edge.cli import main
from edge.config import parse_station
from edge.record import record_devices
from firmware_bridge.stream import Hello, Samples, encode
from simulator.lines import PtyLine

STATION = """
[station]
id = "ST01"
[[digitiser]]
id = "D1"
url = "{0}"
channels = ["a", "b", "e", "f"]
[[digitiser]]
id = "D2"
url = "/dev/nowhere"
channels = ["c", "d"]
[[lane]]
id = "1"
digitiser = "D1"
row = [{{ position_m = 0.0, width_m = 0.07, kind = "strip", left = "a", right = "b" }},
       {{ position_m = 2.1, width_m = 0.07, kind = "strip", left = "e", right = "f" }}]
"""


def record(tmp_path: Path, url: str) -> Result:
    station = tmp_path / "station.toml"
    station.write_text(STATION.format(url))
    out = str(tmp_path / "rec")
    return CliRunner().invoke(main, ["record", str(station), "--out", out, "--seconds", "0.4"])


def test_a_recording_of_nothing_is_an_error_that_says_of_whom_and_why(tmp_path: Path) -> None:
    result = record(tmp_path, "/dev/elsewhere")
    assert result.exit_code == 4
    assert "什么都没有录到" in result.output
    for name, why in (("D1", "/dev/elsewhere"), ("D2", "/dev/nowhere")):
        assert f"no samples of {name}" in result.output
        assert why in result.output


def test_a_digitiser_that_gave_nothing_is_told_beside_one_that_did(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        line, sequence, stop = PtyLine(), 0, asyncio.Event()
        config = parse_station(tmp_path / "s.toml", STATION.format(line.url).encode())
        job = asyncio.create_task(record_devices(config, tmp_path / "rec", stop, seconds=None))
        deadline_s = time.monotonic() + 60
        while not list(tmp_path.glob("rec/D1/*")) and time.monotonic() < deadline_s:
            line.read()
            hello = Hello(1, sequence, 0, "S-1", "LC2", "1.0", 4, 1_000.0, 0.01, 5)
            block = Samples(1, sequence + 1, 20 * sequence, np.zeros((40, 4), np.int32))
            line.send(encode(hello) + encode(block))
            sequence += 2
            await asyncio.sleep(0.02)
        stop.set()
        missing = await job
        line.unplug()
        return [text.en for text in missing]

    [told] = asyncio.run(scenario())
    assert told.startswith("no samples of D2 (")
