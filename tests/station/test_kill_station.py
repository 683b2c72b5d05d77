"""The whole station killed with SIGKILL in full traffic: nothing committed is lost or doubled."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from edge.cli import main
from simulator.score import pair
from tests.station.three_processes import Outcome, run_station

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

LIVES_S = (5.3, 4.1, 2.7)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory = tmp_path_factory.mktemp("killed")
    return run_station(directory, scenario="demo", traffic_s=55.0, killed_after_s=LIVES_S)


def test_the_log_goes_on_where_it_was(outcome: Outcome) -> None:
    assert outcome.problems == []
    assert [r.index for r in outcome.records] == list(range(len(outcome.records)))
    assert [r.kind for r in outcome.records].count("start") == len(LIVES_S) + 1


def test_no_passage_number_is_given_twice_or_left_out(outcome: Outcome) -> None:
    for lane in ("1", "2"):
        numbers = [b["passage"] for b in outcome.vehicles if b["lane"] == lane]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_no_vehicle_is_recorded_twice(outcome: Outcome) -> None:
    for lane in ("1", "2"):
        truth = sum(t.lane == lane for t in outcome.truth)
        assert sum(b["lane"] == lane for b in outcome.vehicles) <= truth + len(LIVES_S) + 1


def test_after_the_last_start_all_vehicles_are_weighed(outcome: Outcome) -> None:
    start_ns = max(r.body["time_us"] for r in outcome.records if r.kind == "start") * 1000
    later = [
        s
        for s in pair(outcome.truth, outcome.vehicles)
        if s.truth.time_ns > start_ns + 8_000_000_000
    ]
    assert len(later) >= 5
    assert all(s.has_right_axles and abs(s.gross_error_pct) < 8 for s in later)


def test_the_store_verifies(outcome: Outcome) -> None:
    result = CliRunner().invoke(main, ["verify", str(outcome.site.directory / "data")])
    assert result.exit_code == 0, result.output
