"""A stranger's recording with truth beside it becomes a table of errors."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.config import StationConfig
from edge.errors import InputError
from edge.records import Vehicle
from edge.replay import replay_vehicles
from firmware_bridge.recording import Truth
from simulator.bench.recorded import Line, compare, read_truth, run, text
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
    lines, remarks = run(directory, station, told.append)
    assert not remarks
    assert sum(line.vehicles for line in lines) == len(truth) > 5
    assert {line.lane for line in lines} == {"1", "2"}
    assert not sum(line.missed + line.wrong_axles for line in lines)
    # Without a certificate the channels are some per cent off, and so are the weights.
    assert not sum(line.flagged for line in lines)
    assert all(0 < line.gross_worst < 12 for line in lines)
    assert told[-1] == pytest.approx(1.0)
    assert len(text(lines).splitlines()) == len(lines) + 1


@pytest.fixture(scope="module")
def known(recorded: tuple[Path, StationConfig]) -> tuple[list[Truth], list[Vehicle]]:
    directory, station = recorded
    vehicles = replay_vehicles(directory, station, progress=lambda _: None)
    return read_truth(directory), list(vehicles)


Known = tuple[list[Truth], list[Vehicle]]


@pytest.mark.parametrize("shift_s", [28_800.0, 0.7, -3.0])
def test_times_that_are_shifted_as_a_whole_are_set_right_and_told(
    known: Known, shift_s: float
) -> None:
    truth, vehicles = known
    shifted = [replace(row, time_ns=row.time_ns + round(shift_s * 1e9)) for row in truth]
    lines, (remark,) = compare(shifted, vehicles)
    assert lines == compare(truth, vehicles)[0]
    told_s = float(re.findall(r"off by ([-+.\d]+) s", remark.en)[0])
    assert told_s == pytest.approx(shift_s, abs=0.1)


def test_truth_of_other_vehicles_is_refused(known: Known) -> None:
    truth, vehicles = known
    chance = np.random.default_rng(1)
    random = [replace(row, time_ns=int(chance.integers(1 << 60))) for row in truth]
    with pytest.raises(InputError, match="were found"):
        compare(random, vehicles)


def test_what_does_not_look_right_is_told(known: Known) -> None:
    truth, vehicles = known
    swapped = [replace(truth[0], axle_kg=tuple(2 * kg for kg in truth[0].axle_kg)), *truth[2:]]
    slow = [replace(row, speed_mps=0.9 * row.speed_mps) for row in swapped]
    remarks = [remark.en for remark in compare(slow, vehicles)[1]]
    for word in ("gross of 1", "speeds", "not in"):
        assert len([remark for remark in remarks if word in remark]) == 1


@pytest.mark.parametrize(
    ("heading", "row", "said"),
    [
        ("vehicle;lane", "1;1", "columns"),
        (None, "1,1,5,10.0,6000 9000,3.5", "6 fields"),
        (None, "1,1,5,10.0,six,3.5,", "row 2"),
        (None, "1,7,5,10.0,6000 9000,3.5,", "no lane 7"),
        (None, "1,1,5,10.0,6.0 9.0,3.5,", "kilograms"),
        (None, "1,1,5,10.0,,3.5,", "kilograms"),
    ],
)
def test_mistakes_in_truth_are_named(
    recorded: tuple[Path, StationConfig],
    tmp_path: Path,
    heading: str | None,
    row: str,
    said: str,
) -> None:
    directory, station = recorded
    shutil.copytree(directory / "D1", tmp_path / "D1")
    truth = tmp_path / "D1" / "truth.csv"
    columns = truth.read_text().splitlines()[0]
    truth.write_text(f"{heading or columns}\n{row}\n")
    with pytest.raises(InputError, match=said) as caught:
        run(tmp_path, station, lambda _: None)
    assert caught.value.next_step.zh


def test_a_spreadsheets_byte_order_mark_does_no_harm(
    recorded: tuple[Path, StationConfig], tmp_path: Path
) -> None:
    shutil.copytree(recorded[0] / "D1", tmp_path / "D1")
    truth = tmp_path / "D1" / "truth.csv"
    truth.write_bytes(b"\xef\xbb\xbf" + truth.read_bytes())
    assert read_truth(tmp_path) == read_truth(recorded[0] / "D1")


def test_figures_of_a_line_are_those_of_its_vehicles() -> None:
    line = Line("1", 2, 3, 1, 0, 0, 0.5, 1.25, 2.0, 3.0, 66.7)
    assert "1.25" in text([line])


def test_a_recording_without_truth_says_so(tmp_path: Path) -> None:
    station = strips(2)
    World(station, Scenario(lane=(TrafficSection(),)), 4).recording(tmp_path, 0.5)
    with pytest.raises(InputError, match=r"truth\.csv"):
        run(tmp_path, station, lambda _: None)
