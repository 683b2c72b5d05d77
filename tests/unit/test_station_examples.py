"""The station files that are printed for people load, with formats and settings that are there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.config import load_station
from edge.health import Health
from edge.sources.scale import Companions, ScaleSource

_ROOT = Path(__file__).parents[2]
_STATIONS = [*sorted((_ROOT / "docs" / "stations").glob("*.toml")), _ROOT / "examples/station.toml"]


@pytest.mark.parametrize("path", _STATIONS, ids=lambda path: path.name)
def test_an_example_of_the_documents_is_a_station_file(path: Path) -> None:
    model = load_station(path).model
    for section in model.scale:
        if section.over_modbus:
            continue
        ScaleSource(section, Health(time.monotonic_ns), time.monotonic_ns, Companions())
