"""The main job as three processes with Mosquitto between them, and a broker that dies meanwhile.

One run, looked at from several sides: traffic over pty and TCP, the broker killed for eight
seconds, everything recorded, then the recording replayed and the store verified.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main
from simulator.case_store import CaseStore
from simulator.score import pair
from tests.station.brokers import Mosquitto
from tests.station.three_processes import Outcome, run_station

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]

BROKER_AWAY_S = 8.0


@pytest.fixture(scope="module")
def outcome(calibrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory = tmp_path_factory.mktemp("main-job")
    return run_station(
        directory, calibrated, scenario="demo", traffic_s=22.0, meanwhile=_kill_broker
    )


async def _kill_broker(broker: Mosquitto) -> None:
    await asyncio.sleep(4)
    broker.kill()
    await asyncio.sleep(BROKER_AWAY_S)
    broker.start()


def test_nothing_is_lost(outcome: Outcome) -> None:
    scored = pair(outcome.truth, outcome.vehicles)
    assert len(scored) >= 12
    assert outcome.lost(scored) == []
    assert outcome.problems == []


def test_nothing_is_doubled(outcome: Outcome) -> None:
    ids = [r.record_id for r in outcome.records]
    assert len(set(ids)) == len(ids)
    assert [r.index for r in outcome.records] == list(range(len(ids)))
    for lane in ("1", "2"):
        numbers = [body["passage"] for body in outcome.vehicles if body["lane"] == lane]
        assert numbers == sorted(set(numbers))
        assert len(outcome.truth) <= len(outcome.vehicles) <= len(outcome.truth) + 2


def test_the_outage_is_one_line_down_and_one_line_up(outcome: Outcome) -> None:
    lines = outcome.site.log_file("station").read_text().splitlines()
    told = [line for line in lines if " uplink: " in line]
    assert [line.split()[2] for line in told] == ["WARNING", "INFO"], told


def test_axles_and_loads_are_right(outcome: Outcome) -> None:
    whole = outcome.whole(pair(outcome.truth, outcome.vehicles))
    assert len(whole) >= 6
    assert all(s.has_right_axles for s in whole)
    assert all(abs(s.gross_error_pct) < 8 for s in whole)


def test_replay_gives_the_same_kilograms(outcome: Outcome, tmp_path: Path) -> None:
    live, again = outcome.kilograms(), outcome.replayed_kilograms(tmp_path)
    assert len(live) >= 12
    assert {key: again.get(key) for key in live} == live


def test_the_store_verifies(outcome: Outcome) -> None:
    result = CliRunner().invoke(main, ["verify", str(outcome.site.directory / "data")])
    assert result.exit_code == 0, result.output
    assert "✗" not in result.output
    assert result.output.count("✓") >= 8


def test_cases_bring_signal_and_pictures(outcome: Outcome) -> None:
    cases = [b for b in outcome.vehicles if b["verdict"]["kind"] != "within"]
    assert cases
    with contextlib.closing(CaseStore.open(outcome.site.centre)) as store:
        for body in cases:
            assert any(blob["role"] == "signal" for blob in body["blobs"])
            for blob in body["blobs"]:
                assert store.blobs.path(blob["sha256"]).stat().st_size == blob["size_bytes"]
