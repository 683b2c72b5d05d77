"""Recording beside the weighing: what it fails at is told, and costs no vehicle."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from edge.config import StationFile, parse_station
from edge.health import Health, Level
from edge.records import ClockReading, SampleBlock
from edge.sources.ports import DeviceHello
from edge.sources.recorder import SideRecorder
from tests.station.test_record import STATION


def clock() -> ClockReading:
    return ClockReading(0, 0, 0.0, 0, 0.0, settled=True)


def model(tmp_path: Path) -> StationFile:
    return parse_station(tmp_path / "s.toml", STATION.format("/dev/x").encode()).model


def block(first: int) -> SampleBlock:
    return SampleBlock("D1", first, np.zeros((40, 4), np.int32), 1_000.0, 0, False)


def run(recorder: SideRecorder) -> None:
    """A run of a station."""
    recorder.take(DeviceHello("D1", "S-1", "LC2", "1.0", 1_000.0, 0.01, 4), clock)
    recorder.take(block(0), clock)
    recorder.take(block(40), clock)
    recorder.interrupt("D1")
    recorder.close()


def test_each_run_of_a_station_begins_the_next_part(tmp_path: Path) -> None:
    health = Health(time.monotonic_ns)
    for _ in range(3):
        run(SideRecorder(tmp_path / "rec", model(tmp_path), health))
    assert sorted(path.name for path in (tmp_path / "rec").iterdir()) == ["D1", "D1-2", "D1-3"]
    assert "recording" not in health.snapshot().states


def test_a_disk_that_refuses_ends_the_recording_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rec").write_text("no directory can be made here")
    health = Health(time.monotonic_ns)
    run(SideRecorder(tmp_path / "rec", model(tmp_path), health))
    assert health.snapshot().states["recording"].level is Level.WARNING
    assert "recording" in caplog.text


def test_a_station_that_does_not_record_keeps_nothing(tmp_path: Path) -> None:
    run(SideRecorder(None, model(tmp_path), Health(time.monotonic_ns)))
    assert list(tmp_path.iterdir()) == []
