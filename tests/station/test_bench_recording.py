"""A stranger's recording with truth beside it becomes a table of errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import StationConfig
from edge.errors import InputError
from simulator.bench.recorded import Line, run, text
from simulator.layouts import strips
from simulator.scenario import Scenario, TrafficSection
from simulator.world import World

SECONDS = 40.0


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StationConfig]:
    directory = tmp_path_factory.mktemp("recording")
    station = strips(4, lanes=2)
    traffic = TrafficSection(flow_per_h=500.0, speed_kmh=(40.0, 60.0))
    World(station, Scenario(lane=(traffic,)), 4).recording(directory, SECONDS)
    return directory, station


def test_every_true_vehicle_stands_in_the_table(recorded: tuple[Path, StationConfig]) -> None:
    directory, station = recorded
    truth = (directory / "D1" / "truth.csv").read_text().splitlines()[1:]
    told: list[float] = []
    lines = run(directory, station, told.append)
    assert sum(line.vehicles for line in lines) == len(truth) > 5
    assert {line.lane for line in lines} == {"1", "2"}
    assert not sum(line.missed + line.wrong_axles for line in lines)
    # Without a certificate the channels are some per cent off, and so are the weights.
    assert not sum(line.flagged for line in lines)
    assert all(0 < line.gross_worst < 12 for line in lines)
    assert told[-1] == pytest.approx(1.0)
    assert len(text(lines).splitlines()) == len(lines) + 1


def test_figures_of_a_line_are_those_of_its_vehicles() -> None:
    line = Line("1", 2, 3, 1, 0, 0, 0.5, 1.25, 2.0, 3.0, 66.7)
    assert "1.25" in text([line])


def test_a_recording_without_truth_says_so(tmp_path: Path) -> None:
    station = strips(2)
    World(station, Scenario(lane=(TrafficSection(),)), 4).recording(tmp_path, 0.5)
    with pytest.raises(InputError, match=r"truth\.csv"):
        run(tmp_path, station, lambda _: None)
