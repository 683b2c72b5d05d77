"""A whole station whose clock is wrong from 1970 on, then right, then an hour off, then right.

Simulated lorries pass over real lines meanwhile. Nothing may be lost, no plate may come to the
wrong lorry, and the log alone must give the right time of every record.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.clock import UNKNOWN, HostClock, Sync
from edge.config import load_station
from edge.evidence.events import corrected_us
from edge.evidence.station_key import station_signer
from edge.records import Record
from edge.station import Station
from edge.store.verify import verify_store
from simulator.broker import free_port
from simulator.children import command, until_said
from simulator.demo import Site, calibrate_site
from simulator.devices import READY, read_truth
from simulator.score import Scored, pair
from tests.evidence.sample import opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

HOUR_NS = 3_600_000_000_000
SOURCE = Sync(True, "chrony 10.0.0.1", 800)
COURSE = (
    (9.0, "right", 0, SOURCE),
    (6.0, "an hour ahead", HOUR_NS, UNKNOWN),
    (6.0, "right again", 0, SOURCE),
    (6.0, "an hour behind", -HOUR_NS, UNKNOWN),
    (6.0, "right at last", 0, SOURCE),
    (3.0, "", 0, SOURCE),
)
ON_THE_WAY_S = 1.0
"""What a lorry's last wheel says has reached the station by then."""


class WrongClock:
    """The computer's wall clock, off by as much as the course says."""

    def __init__(self) -> None:
        self.off_ns = 3_000_000_000 - time.time_ns()
        self.sync = UNKNOWN

    def wall_ns(self) -> int:
        return time.time_ns() + self.off_ns

    async def ask(self) -> Sync:
        return self.sync


@dataclass(frozen=True)
class Outcome:
    """What is left of the run."""

    directory: Path
    records: list[Record]
    scored: list[Scored]

    def clock(self) -> list[Record]:
        return [record for record in self.records if record.kind == "clock"]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    site = Site(tmp_path_factory.mktemp("clock"), free_port(), free_port(), free_port())
    site.centre.mkdir()
    calibrate_site(site.write_station(f"mqtt://127.0.0.1:{free_port()}"), site, 5)
    end_ns, records = asyncio.run(_live(site))
    clock = [record for record in records if record.kind == "clock"]
    bodies: list[dict[str, Any]] = []
    for record in records:
        if record.kind == "vehicle":
            right = corrected_us(record.body, clock)
            bodies.append({**record.body, "time_us": right[0] if right else record.body["time_us"]})
    # The devices send on while the station ends, which takes as long as the disk likes.
    truth = [vehicle for vehicle in read_truth(site.truth_file) if vehicle.time_ns <= end_ns]
    return Outcome(site.directory / "data", records, pair(truth, bodies))


async def _live(site: Site) -> tuple[int, list[Record]]:
    """The moment up to which every lorry must have a record, and all records."""
    wrong = WrongClock()
    station = Station(
        load_station(site.station_file), clock=HostClock(wall_ns=wrong.wall_ns, ask=wrong.ask)
    )
    devices = ["simulate", "demo", "--for", str(site.station_file), "--seed", "5"]
    devices += ["--truth", str(site.truth_file)]
    stop, ready = asyncio.Event(), asyncio.Event()
    async with command(devices, site.log_file("devices")) as process:
        await until_said(process, site.log_file("devices"), READY)
        running = asyncio.create_task(station.run(stop, on_ready=lambda _: ready.set()))
        await asyncio.wait(
            {running, asyncio.create_task(ready.wait())}, return_when="FIRST_COMPLETED"
        )
        for wait_s, _, off_ns, sync in COURSE:
            await asyncio.sleep(wait_s)
            wrong.off_ns, wrong.sync = off_ns, sync
        end_ns = time.time_ns()
        await asyncio.sleep(ON_THE_WAY_S)
        stop.set()
        await running
    async with opened(
        site.directory / "data",
        station="DEMO",
        signer=station_signer(load_station(site.station_file)),
    ) as store:
        return end_ns, list(reversed(await store.latest(kind=None, limit=10_000)))


def test_every_lorry_has_its_record_at_its_time(outcome: Outcome) -> None:
    assert len(outcome.scored) >= 12
    assert [s.truth for s in outcome.scored if s.body is None] == []


def test_no_step_of_the_clock_costs_a_plate_or_an_axle(outcome: Outcome) -> None:
    whole = [s for s in outcome.scored if s.body and "GAP" not in s.body["flags"]]
    assert len(whole) >= 10
    assert all(s.has_right_axles for s in whole)
    read = [s for s in outcome.scored if s.body and s.body["plate"]["text"]]
    assert len(read) >= 0.5 * len(outcome.scored), "on a busy machine a plate may come too late"
    # The simulated camera misreads some; none may be another lorry's.
    wrong = {s.body["plate"]["text"] for s in read if s.body and not s.has_right_plate}
    assert wrong & {s.truth.plate for s in outcome.scored} == set()


def test_the_log_tells_of_every_step_and_source(outcome: Outcome) -> None:
    events = [record.body["event"] for record in outcome.clock()]
    assert events == ["boot"] + ["stepped", "synchronised", "stepped", "lost"] * 2 + [
        "stepped", "synchronised",
    ]  # fmt: skip
    hours = [
        round(record.body["step_us"] * 1000 / HOUR_NS, 3)
        for record in outcome.clock()
        if record.body["event"] == "stepped"
    ]
    assert hours[1:] == [1, -1, -1, 1]


def test_what_was_made_without_a_source_says_so(outcome: Outcome) -> None:
    vehicles = [r.body for r in outcome.records if r.kind == "vehicle"]
    early = [body for body in vehicles if body["time_us"] < 86_400_000_000]
    assert early, "lorries passed in 1970"
    for body in early:
        assert not body["clock_host"]["synchronised"]
        assert {"CLOCK_UNSURE", "UNCALIBRATED"} <= set(body["flags"])
        assert body["verdict"]["kind"] == "indeterminate"
    sure = [body for body in vehicles if body["clock_host"]["synchronised"]]
    assert all("CLOCK_UNSURE" not in body["flags"] or not body["clock"]["settled"] for body in sure)


def test_the_store_verifies(outcome: Outcome) -> None:
    steps = verify_store(outcome.directory, None, lambda *_: None)
    assert [step for step in steps if not step.ok] == []
