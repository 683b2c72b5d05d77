"""The page's section on plate cameras: its table is the program's, its examples load."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from edge.config import load_station
from edge.config.instruments import LINE_FORMATS
from edge.sources.http_door import BODY_S, CONNECTIONS, CONNECTIONS_OF_ONE, HEAD_S
from edge.sources.http_line import BODY_BYTES
from firmware_bridge.cameras.decoder import CameraDecoder
from firmware_bridge.cameras.dialect import dialect_names, load_dialect

_DOCS = Path(__file__).parents[2] / "docs"
_PAGE = (_DOCS / "instruments.md").read_text(encoding="utf-8")

_LINES = {
    "steelyard": ("cameras that send the frame of wire.md 4", "line", "CRC-32"),
    "tcp-text": ("FF Group CaptureSpeed and relatives", "line", "none on a serial line"),
}


def cameras_table() -> str:
    rows = ["| `format` | cameras | how | document | protection |", "|---|---|---|---|---|"]
    for name in LINE_FORMATS:
        models, how, protection = _LINES[name]
        rows.append(f"| {name} | {models} | {how} | – | {protection} |")
    for name in dialect_names():
        dialect = load_dialect(name)
        how = "stream, posts" if dialect.form != "json" else "posts"
        rows.append(f"| {name} | {dialect.models} | {how} | {dialect.form} | TCP |")
    return "\n".join(rows)


def test_the_table_of_cameras_is_the_program() -> None:
    found = re.search(r"<!-- cameras: begin -->\n(.*?)\n?<!-- cameras: end -->", _PAGE, re.DOTALL)
    assert found is not None
    assert found[1] == cameras_table(), f"the page should say:\n{cameras_table()}"


def test_the_bounds_are_those_of_the_door() -> None:
    for said in (
        f"{BODY_BYTES >> 20} MiB, whole {BODY_S:.0f} s",
        f"whole {HEAD_S:.0f} s after",
        f"{CONNECTIONS}, of one address {CONNECTIONS_OF_ONE}",
    ):
        assert said in _PAGE, said


def test_the_station_file_loads_and_its_formats_are_known() -> None:
    cameras = load_station(_DOCS / "stations" / "cameras.toml").model.camera
    assert {c.format for c in cameras} >= {*LINE_FORMATS, "hikvision", "dahua", "vzenith"}
    for camera in cameras:
        assert camera.format in LINE_FORMATS or load_dialect(camera.format)


@pytest.mark.parametrize("number", [0, 1])
def test_the_worked_examples_read(tmp_path: Path, number: int) -> None:
    section = _PAGE.split("### 3.5")[1]
    text = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)[number]
    assert tomllib.loads(text)
    file = tmp_path / "own.toml"
    file.write_text(text, encoding="utf-8")
    dialect = load_dialect(str(file))
    if number == 0:
        body = (
            '{"event": {"id": 7, "plate": {"text": "AB-123", "colour": "jaune", "score": 0.5},'
            ' "time": "2026-11-22T14:00:00.250Z"}}'
        )
        (event,) = CameraDecoder(dialect).message("application/json", body.encode())
        assert (event.plate, event.colour, event.confidence) == ("AB-123", "yellow", 0.5)
        assert event.camera_time_ns == 1_795_356_000_250_000_000
