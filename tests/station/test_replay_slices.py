"""A recording weighed by several processes gives what one process gives, to the last bit."""

from __future__ import annotations

import shutil
import zlib
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pytest

from edge.errors import InputError
from edge.records import Vehicle
from edge.replay import replay_vehicles
from firmware_bridge.recording import Recording
from firmware_bridge.recording_format import joined_crc
from simulator.layouts import strips
from simulator.scenario import Scenario, TrafficSection
from simulator.world import World

SECONDS = 125.0
STUCK = {"kind": "separator_stuck", "device": "D1", "from_s": 5.0, "to_s": 1e9}


@pytest.fixture(scope="module", autouse=True)
def _tracker() -> None:
    """Python's own helper of spawned processes stays until the end: it is no leak of a test."""
    resource_tracker.ensure_running()


def bits(vehicle: Vehicle) -> tuple[object, ...]:
    passage = vehicle.passage
    axles = passage.axles
    return (
        (vehicle.time_ns, vehicle.flags, vehicle.plate, vehicle.join.kind, vehicle.join.offsets_ns),
        (passage.gross_kg, passage.u_gross_kg, passage.speed_mps, passage.closed_sample),
        (axles.load_kg.tobytes(), axles.u_load_kg.tobytes(), axles.row_sample.tobytes()),
        (passage.clip.first_sample, passage.clip.edges, passage.clip.counts.tobytes()),
    )


STATION = strips(3)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("clean"), [])


@pytest.fixture(scope="module")
def stuck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("stuck"), [STUCK])


def recorded(directory: Path, faults: list[dict[str, object]]) -> Path:
    traffic = TrafficSection(flow_per_h=700.0)
    scenario = Scenario.model_validate({"lane": [traffic], "fault": faults})
    World(STATION, scenario, 5).recording(directory, SECONDS)
    return directory


def weighed(directory: Path, jobs: int) -> list[tuple[object, ...]]:
    told: list[float] = []
    found = replay_vehicles(directory, STATION, progress=told.append, jobs=jobs)
    return [bits(vehicle) for vehicle in found]


@pytest.mark.parametrize("seams", ["clean", "stuck"], ids=["seams fit", "seams differ"])
def test_slices_give_the_same_bits(request: pytest.FixtureRequest, seams: str) -> None:
    # A beam that stuck before a slice began to listen is unknown to it: it is weighed again.
    directory = request.getfixturevalue(seams)
    alone = weighed(directory, 1)
    assert len(alone) > 15
    assert weighed(directory, 2) == alone


def test_a_damaged_signal_is_found_by_slices_too(clean: Path, tmp_path: Path) -> None:
    shutil.copytree(clean, tmp_path, dirs_exist_ok=True)
    head = tmp_path / "D1" / "recording.json"
    crc = f"{Recording.open(tmp_path / 'D1').counts_crc32:08x}"
    text = head.read_text()
    assert crc in text
    head.write_text(text.replace(crc, f"{int(crc, 16) ^ 1:08x}"))
    with pytest.raises(InputError, match="checksum"):
        weighed(tmp_path, 2)


def test_checksums_join() -> None:
    data = np.random.default_rng(1).bytes(10_000)
    for cut in (0, 1, 4_096, 9_999, 10_000):
        first, second = zlib.crc32(data[:cut]), zlib.crc32(data[cut:])
        assert joined_crc(first, second, len(data) - cut) == zlib.crc32(data)
