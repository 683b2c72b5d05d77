"""A whole station whose clock is wrong from 1970 on, then right, then an hour off, then right.

Simulated lorries pass over real lines meanwhile. Nothing may be lost, no plate may come to the
wrong lorry, and the log alone must give the right time of every record.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
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
from simulator.demo import Site
from simulator.devices import READY, read_truth
from simulator.score import Scored, pair
from tests.evidence.sample import opened
from tests.station.three_processes import SEED, sealed, station_at

pytestmark = [pytest.mark.slow]

HOUR_NS = 3_600_000_000_000
SOURCE = Sync(True, "chrony 10.0.0.1", 800)
COURSE = (
    ("right", 0, SOURCE),
    ("an hour ahead", HOUR_NS, UNKNOWN),
    ("right again", 0, SOURCE),
    ("an hour behind", -HOUR_NS, UNKNOWN),
    ("right at last", 0, SOURCE),
)
STEP_S = 3.0
"""Traffic before the first step and after each, from the moment on that the log tells of it."""
PATIENCE_S = 120.0


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
def outcome(calibrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory = tmp_path_factory.mktemp("clock")
    site = station_at(directory, calibrated, f"mqtt://127.0.0.1:{free_port()}")
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
    devices = ["simulate", "demo", "--for", str(site.station_file), "--seed", str(SEED)]
    devices += ["--truth", str(site.truth_file)]
    stop, ready = asyncio.Event(), asyncio.Event()
    async with command(devices, site.log_file("devices")) as process:
        await until_said(process, site.log_file("devices"), READY)
        running = asyncio.create_task(station.run(stop, on_ready=lambda _: ready.set()))
        await asyncio.wait(
            {running, asyncio.create_task(ready.wait())}, return_when="FIRST_COMPLETED"
        )
        await _until(lambda: len(sealed(site, "vehicle")) >= 2)
        for number, (_, off_ns, sync) in enumerate(COURSE, 1):
            await asyncio.sleep(STEP_S)
            wrong.off_ns, wrong.sync = off_ns, sync
            await _until(lambda n=number: len(sealed(site, "clock")) > 2 * n)  # type: ignore[misc]
        await asyncio.sleep(STEP_S)
        end_ns = time.time_ns()
        await _until(lambda: _newest_are_sealed(site, end_ns))
        stop.set()
        await running
    async with opened(
        site.directory / "data",
        station="DEMO",
        signer=station_signer(load_station(site.station_file)),
    ) as store:
        return end_ns, list(reversed(await store.latest(kind=None, limit=10_000)))


async def _until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; if it never does, the tests say what is wrong."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await asyncio.sleep(0.1)


def _newest_are_sealed(site: Site, end_ns: int) -> bool:
    """Whether of each lane the last lorry before ``end_ns`` has its record, on the right clock."""
    truth = read_truth(site.truth_file)
    newest = {vehicle.lane: vehicle for vehicle in truth if vehicle.time_ns <= end_ns}
    return max(vehicle.time_ns for vehicle in truth) > end_ns and all(
        scored.body for scored in pair(list(newest.values()), sealed(site, "vehicle"))
    )


def test_every_lorry_has_its_record_at_its_time(outcome: Outcome) -> None:
    assert len(outcome.scored) >= 12
    gapped = {lane for r in outcome.records if r.kind == "gap" for lane in r.body["lanes"]}
    lost = [s.truth for s in outcome.scored if s.body is None]
    # A machine that stands still for seconds loses samples, and the log tells of the gap.
    assert [vehicle for vehicle in lost if vehicle.lane not in gapped] == []


def test_no_step_of_the_clock_costs_a_plate_or_an_axle(outcome: Outcome) -> None:
    whole = [s for s in outcome.scored if s.body and "GAP" not in s.body["flags"]]
    assert len(whole) >= 6
    assert all(s.has_right_axles for s in whole)
    read = [s for s in outcome.scored if s.body and s.body["plate"]["text"]]
    assert read, "on a busy machine a plate may come too late, but not every one"
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
