"""The whole station killed with SIGKILL in full traffic: nothing committed is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main
from simulator.score import pair
from tests.station.three_processes import Outcome, run_station

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]

LIVES_S = (5.3, 4.1, 2.7)
LATER_LORRIES = 8


@pytest.fixture(scope="module")
def outcome(calibrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory = tmp_path_factory.mktemp("killed")
    return run_station(
        directory,
        calibrated,
        scenario="demo",
        killed_after_s=LIVES_S,
        later_lorries=LATER_LORRIES,
    )


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
        # One at each kill, and one that was on the lane when the devices ended.
        assert sum(b["lane"] == lane for b in outcome.vehicles) <= truth + len(LIVES_S) + 1


def test_after_the_last_start_all_vehicles_are_weighed(outcome: Outcome) -> None:
    assert len(outcome.later) == LATER_LORRIES
    later = pair(outcome.later, outcome.vehicles)
    assert outcome.lost(later) == []
    assert all(s.has_right_axles and abs(s.gross_error_pct) < 8 for s in outcome.whole(later))


def test_the_store_verifies(outcome: Outcome) -> None:
    result = CliRunner().invoke(main, ["verify", str(outcome.site.directory / "data")])
    assert result.exit_code == 0, result.output
