"""A station learns from its traffic, a person freezes it, and the next start weighs with it.

Two lives of one station with real processes: the first gathers, the second weighs with what was
frozen in between. A long recording then goes through one process and through several.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.config import load_station
from edge.core.learn import KNOWN
from edge.core.modes import PRIOR
from edge.frozen import Frozen
from edge.learning import from_recordings, table
from edge.replay import replay_vehicles
from simulator.broker import free_port
from simulator.children import command, until_said
from simulator.demo import Site
from simulator.devices import READY
from simulator.scenario import load_scenario
from simulator.world import World
from tests.station.test_replay_slices import bits
from tests.station.three_processes import SEED, station_at

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LIFE_S = 14.0
LONG_S = 125.0


@dataclass(frozen=True)
class Outcome:
    """What is left of both lives."""

    site: Site
    shown: str
    frozen: dict[str, Frozen]
    records: list[dict[str, Any]]
    replayed: list[dict[str, Any]]

    def of_life(self, number: int) -> list[dict[str, Any]]:
        starts = [body["index"] for body in self.records if body["kind"] == "start"]
        begin, end = (*starts, len(self.records))[number : number + 2]
        return self.records[begin:end]


@pytest.fixture(scope="module", autouse=True)
def _tracker() -> None:
    """Python's own helper of spawned processes stays until the end: it is no leak of a test."""
    resource_tracker.ensure_running()


@pytest.fixture(scope="module")
def site(calibrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    # No centre answers: a station weighs and learns without one.
    directory = tmp_path_factory.mktemp("learn")
    return station_at(directory, calibrated, f"mqtt://127.0.0.1:{free_port()}")


@pytest.fixture(scope="module")
def outcome(site: Site) -> Outcome:
    asyncio.run(_live(site, "first"))
    shown = said("learn", "--station", str(site.station_file), "--freeze-by", "张工")
    files = sorted(site.directory.glob("*.dynamics.json"))
    frozen = {one.lane: one for one in (Frozen.parse(path.read_bytes()) for path in files)}
    _name_in_station_file(site, files)
    asyncio.run(_live(site, "second"))
    out = site.directory / "second.jsonl"
    recording = str(site.directory / "second")
    said("replay", recording, "--station", str(site.station_file), "--out", str(out))
    replayed = [json.loads(line) for line in out.read_text().splitlines()]
    return Outcome(site, shown, frozen, _records(site), replayed)


def said(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


async def _live(site: Site, name: str) -> None:
    """One life of the station, with traffic and a recording of all that the devices say."""
    devices = ["simulate", "demo", "--for", str(site.station_file), "--seed", str(SEED)]
    station = ["run", str(site.station_file), "--record", str(site.directory / name)]
    devices_log, station_log = (site.log_file(f"{part}-{name}") for part in ("devices", "station"))
    async with command([*devices, "--seconds", str(LIFE_S)], devices_log) as simulating:
        await until_said(simulating, devices_log, READY)
        async with command(station, station_log) as running:
            await until_said(running, station_log, "station runs")
            await asyncio.wait_for(simulating.wait(), 240)
            running.terminate()
            await asyncio.wait_for(running.wait(), 240)


def _name_in_station_file(site: Site, files: Sequence[Path]) -> None:
    text = site.station_file.read_text()
    for path in files:
        lane = Frozen.parse(path.read_bytes()).lane
        head = f'[[lane]]\nid = "{lane}"\n'
        assert head in text
        text = text.replace(head, head + f'dynamics = "{path.name}"\n')
    site.station_file.write_text(text)


def _records(site: Site) -> list[dict[str, Any]]:
    data = site.directory / "data" / "station.db"
    with contextlib.closing(sqlite3.connect(f"file:{data}?mode=ro", uri=True)) as db:
        return [
            json.loads(raw) for (raw,) in db.execute("SELECT canonical FROM records ORDER BY idx")
        ]


def test_the_table_shows_every_lane_and_what_to_write(outcome: Outcome) -> None:
    for lane, frozen in outcome.frozen.items():
        assert f"lane {lane}: {frozen.vehicles} 辆" in outcome.shown
        assert f'dynamics = "{lane}-v{frozen.version}.dynamics.json"' in outcome.shown


def test_records_name_what_they_were_weighed_with(outcome: Outcome) -> None:
    prior = {"version": PRIOR.version, "sha256": PRIOR.sha256}
    first, second = (
        [body for body in outcome.of_life(n) if body["kind"] == "vehicle"] for n in (0, 1)
    )
    assert len(first) > 5
    assert len(second) > 5
    assert all(body["dynamics"] == prior for body in first)
    for body in second:
        frozen = outcome.frozen.get(body["lane"])
        expected = (
            {"version": frozen.version, "sha256": frozen.dynamics.sha256} if frozen else prior
        )
        assert body["dynamics"] == expected


def test_the_settings_are_sealed_with_what_the_lanes_weigh_with(outcome: Outcome) -> None:
    before, after = (
        next(body for body in outcome.of_life(n) if body["kind"] == "configuration") for n in (0, 1)
    )
    assert set(after["changed"]) == {"station_file", "dynamics"}
    assert "dynamics" not in {blob["role"] for blob in before["blobs"]}
    for lane, frozen in outcome.frozen.items():
        assert before["dynamics"][lane]["sha256"] == PRIOR.sha256
        assert after["dynamics"][lane]["sha256"] == frozen.dynamics.sha256
    blobs = outcome.site.directory / "data" / "blobs"
    kept = [
        (blobs / b["sha256"][:2] / b["sha256"]).read_bytes()
        for b in after["blobs"]
        if b["role"] == "dynamics"
    ]
    assert {Frozen.parse(raw) for raw in kept} == set(outcome.frozen.values())


def test_replay_with_learned_dynamics_is_live(outcome: Outcome) -> None:
    again = {(row["lane"], row["first_sample"]): row for row in outcome.replayed}
    live = [
        body
        for body in outcome.of_life(1)
        if body["kind"] == "vehicle" and "INCOMPLETE" not in body["flags"]
    ]
    for body in live:
        row = again[body["lane"], body["signal"]["first_sample"]]
        assert (row["gross_kg"], row["u_gross_kg"]) == (body["gross_kg"], body["u_gross_kg"])
        assert row["dynamics_sha256"] == body["dynamics"]["sha256"]


def test_the_store_of_both_lives_verifies(outcome: Outcome) -> None:
    assert said("verify", str(outcome.site.directory / "data")).count("✓") >= 10


def test_a_life_goes_on_learning_where_the_last_one_ended(outcome: Outcome) -> None:
    again = said("learn", "--station", str(outcome.site.station_file))
    for lane, frozen in outcome.frozen.items():
        (line,) = [line for line in again.splitlines() if f"lane {lane}:" in line]
        assert int(line.split(":")[1].split()[0]) > frozen.vehicles


def test_slices_weigh_with_learned_dynamics_to_the_last_bit(outcome: Outcome) -> None:
    site, long = outcome.site, outcome.site.directory / "long"
    config = load_station(site.station_file)
    demo = load_scenario("demo")
    sparse = tuple(lane.model_copy(update={"flow_per_h": 400.0}) for lane in demo.lane)
    World(config, demo.model_copy(update={"lane": sparse}), 9).recording(long, LONG_S)
    alone, sliced = (
        [bits(v) for v in replay_vehicles(long, config, progress=lambda _: None, jobs=jobs)]
        for jobs in (1, 2)
    )
    assert len(alone) > 15
    assert sliced == alone


def test_what_was_learned_changes_the_weights_of_its_lanes(outcome: Outcome) -> None:
    site = outcome.site
    config = load_station(site.station_file)
    learned, prior = (
        [
            v.passage.gross_kg
            for v in replay_vehicles(site.directory / "second", station, progress=lambda _: None)
            if v.passage.lane in outcome.frozen
        ]
        for station in (config, config.without_dynamics())
    )
    assert len(learned) == len(prior)
    assert learned != prior


def test_learning_from_a_recording_knows_the_reference_loads(site: Site) -> None:
    config = load_station(site.station_file)
    recording = site.directory / "reference"
    told: list[float] = []
    lessons = from_recordings(config, [recording], ["1"], jobs=1, progress=told.append)
    (lesson,) = lessons
    assert lesson.seen.whole[:, KNOWN].sum() > 0
    assert told[-1] == pytest.approx(1.0)
    assert "lane 1" in table(lesson)
