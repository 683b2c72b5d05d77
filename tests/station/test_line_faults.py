"""A line that is cut and a device that restarts: the gap is flagged, and afterwards all is well."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.scenario import load_scenario
from simulator.score import Scored, pair
from tests.station.three_processes import Outcome, run_station

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]

CUT_S = (5.0, 9.0)
RESTART_S = 7.0
TRAFFIC_S = 25.0


@pytest.fixture(scope="module")
def outcome(calibrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory = tmp_path_factory.mktemp("line-faults")
    demo = Path(load_scenario.__code__.co_filename).parent / "scenarios" / "demo.toml"
    scenario = directory / "faults.toml"
    scenario.write_text(
        demo.read_text()
        + f"""
[[fault]]
kind = "cut"
device = "D1"
from_s = {CUT_S[0]}
to_s = {CUT_S[1]}

[[fault]]
kind = "restart"
device = "D2"
from_s = {RESTART_S}
"""
    )
    return run_station(directory, calibrated, scenario=str(scenario), traffic_s=TRAFFIC_S)


def seconds(outcome: Outcome, scored: Scored) -> float:
    """World time at which a vehicle left, roughly: the first left about three seconds in."""
    first_ns = min(t.time_ns for t in outcome.truth)
    return (scored.truth.time_ns - first_ns) / 1e9 + 4.0


def test_vehicles_after_the_cut_are_weighed(outcome: Outcome) -> None:
    later = [
        s
        for s in pair(outcome.truth, outcome.vehicles)
        if s.truth.lane == "1" and seconds(outcome, s) > CUT_S[1] + 6
    ]
    assert len(later) >= 3
    whole = outcome.whole(later)
    assert whole
    assert all(s.has_right_axles and abs(s.gross_error_pct) < 8 for s in whole)


def test_vehicles_after_the_restart_are_weighed(outcome: Outcome) -> None:
    later = [
        s
        for s in pair(outcome.truth, outcome.vehicles)
        if s.truth.lane == "2" and seconds(outcome, s) > RESTART_S + 6
    ]
    assert len(later) >= 3
    whole = outcome.whole(later)
    assert whole
    assert all(s.has_right_axles and abs(s.gross_error_pct) < 8 for s in whole)


def test_a_vehicle_that_the_fault_touched_is_no_verdict(outcome: Outcome) -> None:
    """Whatever was recorded with a wrong number of axles says that it is in doubt."""
    for scored in pair(outcome.truth, outcome.vehicles):
        if scored.body is not None and not scored.has_right_axles:
            assert scored.body["verdict"]["kind"] == "indeterminate", scored.body["flags"]


def test_the_cut_is_one_line_down_and_one_line_up(outcome: Outcome) -> None:
    lines = outcome.site.log_file("station").read_text().splitlines()
    told = [line.split()[2] for line in lines if " digitiser.D1: " in line]
    assert told[:2] == ["WARNING", "INFO"]  # it goes down once more when the devices end


def test_replay_gives_the_same_kilograms(outcome: Outcome, tmp_path: Path) -> None:
    live, again = outcome.kilograms(), outcome.replayed_kilograms(tmp_path)
    assert len(live) >= 10
    assert {key: again.get(key) for key in live} == live


def test_everything_that_was_sealed_arrived(outcome: Outcome) -> None:
    assert outcome.problems == []
    assert [r.index for r in outcome.records] == list(range(len(outcome.records)))
