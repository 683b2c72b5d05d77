"""The main job as three processes with Mosquitto between them, and a broker that dies meanwhile.

One run, looked at from several sides: traffic over pty and TCP, the broker killed for twenty
seconds, everything recorded, then the recording replayed and the store verified.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge.cli import main
from firmware_bridge.recording import Truth
from simulator.broker import free_port
from simulator.case_store import CaseRecord, CaseStore
from simulator.children import command, until_said
from simulator.demo import Site, calibrate_site
from simulator.devices import READY, read_truth
from simulator.score import pair
from tests.station.brokers import Mosquitto, mosquitto

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]

TRAFFIC_S = 45.0
BROKER_AWAY_S = 20.0


@dataclass(frozen=True)
class Outcome:
    """What is left of the run."""

    site: Site
    truth: list[Truth]
    records: list[CaseRecord]
    problems: list[str]
    recording: Path

    @property
    def vehicles(self) -> list[dict[str, Any]]:
        return [r.body for r in self.records if r.kind == "vehicle"]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory = tmp_path_factory.mktemp("main-job")
    site = Site(directory, free_port(), free_port(), free_port())
    site.centre.mkdir()
    with mosquitto(directory / "mosquitto") as broker:
        config = site.write_station(broker.url)
        calibrate_site(config, site, 3)
        asyncio.run(_run(site, broker))
    with contextlib.closing(CaseStore.open(site.centre)) as store:
        records, problems = store.records("DEMO"), store.verify()
    return Outcome(site, read_truth(site.truth_file), records, problems, directory / "recording")


async def _run(site: Site, broker: Mosquitto) -> None:
    centre = ["case-system", "--broker", broker.url, "--store", str(site.centre)]
    devices = ["simulate", "demo", "--for", str(site.station_file), "--seed", "3"]
    devices += ["--seconds", str(TRAFFIC_S), "--truth", str(site.truth_file)]
    station = ["run", str(site.station_file), "--record", str(site.directory / "recording")]
    async with (
        command(centre, site.log_file("centre")),
        command(devices, site.log_file("devices")) as simulating,
    ):
        await until_said(simulating, site.log_file("devices"), READY)
        async with command(station, site.log_file("station")) as running:
            await until_said(running, site.log_file("station"), "station runs")
            await asyncio.sleep(10)
            broker.kill()
            await asyncio.sleep(BROKER_AWAY_S)
            broker.start()
            await asyncio.wait_for(simulating.wait(), 90)
            await _until_outbox_is_empty(site)


async def _until_outbox_is_empty(site: Site) -> None:
    """By the station's own store: every record has its receipt."""
    path = site.directory / "data" / "station.db"
    async with asyncio.timeout(60):
        while True:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                (waiting,) = db.execute("SELECT count(*) FROM outbox").fetchone()
            if not waiting:
                return
            await asyncio.sleep(0.3)


def test_nothing_is_lost(outcome: Outcome) -> None:
    scored = pair(outcome.truth, outcome.vehicles)
    assert len(scored) >= 20
    assert [s.truth for s in scored if s.body is None] == []
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
    scored = pair(outcome.truth, outcome.vehicles)
    assert all(s.has_right_axles for s in scored)
    assert all(abs(s.gross_error_pct) < 8 for s in scored)


def test_replay_gives_the_same_kilograms(outcome: Outcome, tmp_path: Path) -> None:
    table = tmp_path / "vehicles.jsonl"
    arguments = ["replay", str(outcome.recording), "--station", str(outcome.site.station_file)]
    result = CliRunner().invoke(main, [*arguments, "--out", str(table)])
    assert result.exit_code == 0, result.output
    replayed = [json.loads(line) for line in table.read_text().splitlines()]
    again = {(r["lane"], r["first_sample"]): r["gross_kg"] for r in replayed}
    live = {
        (b["lane"], b["signal"]["first_sample"]): b["gross_kg"]
        for b in outcome.vehicles
        if "INCOMPLETE" not in b["flags"]
    }
    assert len(live) >= 20
    assert {key: again.get(key) for key in live} == live


def test_the_store_verifies(outcome: Outcome) -> None:
    result = CliRunner().invoke(main, ["verify", str(outcome.site.directory / "data")])
    assert result.exit_code == 0, result.output
    assert result.output.count("✓") == 8


def test_cases_bring_signal_and_pictures(outcome: Outcome) -> None:
    cases = [b for b in outcome.vehicles if b["verdict"]["kind"] != "within"]
    assert cases
    with contextlib.closing(CaseStore.open(outcome.site.centre)) as store:
        for body in cases:
            assert any(blob["role"] == "signal" for blob in body["blobs"])
            for blob in body["blobs"]:
                assert store.blobs.path(blob["sha256"]).stat().st_size == blob["size_bytes"]
