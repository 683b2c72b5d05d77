"""The station files that are printed for people load, and say what their pages say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.config import load_station
from edge.health import Health
from edge.sources.scale import Companions, ScaleSource

_STATIONS = sorted((Path(__file__).parents[2] / "docs" / "stations").glob("*.toml"))


@pytest.mark.parametrize("path", _STATIONS, ids=lambda path: path.name)
def test_an_example_of_the_documents_is_a_station_file(path: Path) -> None:
    model = load_station(path).model
    for section in model.scale:
        ScaleSource(section, Health(time.monotonic_ns), time.monotonic_ns, Companions())
