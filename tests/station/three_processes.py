"""A station as three processes with Mosquitto between them, and what is left of the run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from edge.cli import main
from firmware_bridge.recording import Truth
from simulator.broker import free_port
from simulator.case_store import CaseRecord, CaseStore
from simulator.children import command, until_said
from simulator.demo import Site
from simulator.devices import READY, read_truth
from simulator.score import Scored, pair
from tests.station.brokers import Mosquitto, mosquitto

SEED = 3
PATIENCE_S = 240.0
"""Far beyond what anything takes that is waited for, also on a busy machine."""
_CLOCKS_SETTLE_NS = 8_000_000_000


@dataclass(frozen=True)
class Outcome:
    """What is left of a run; ``later`` are lorries that its last start had to weigh."""

    site: Site
    truth: list[Truth]
    later: list[Truth]
    records: list[CaseRecord]
    problems: list[str]

    @property
    def vehicles(self) -> list[dict[str, Any]]:
        """Bodies of the vehicle records that the case system holds."""
        return [r.body for r in self.records if r.kind == "vehicle"]

    def lost(self, scored: Sequence[Scored]) -> list[Truth]:
        """Lorries without a record, but for lanes of which the log itself tells a gap: a machine
        that stands still for seconds loses samples, and what it says of that is enough here."""
        gapped = {lane for r in self.records if r.kind == "gap" for lane in r.body["lanes"]}
        return [s.truth for s in scored if s.body is None and s.truth.lane not in gapped]

    def whole(self, scored: Sequence[Scored]) -> list[Scored]:
        """Those with a record that tells of no gap in their samples."""
        return [s for s in scored if s.body and "GAP" not in s.body["flags"]]

    def kilograms(self) -> dict[tuple[str, int], int | None]:
        """Gross weights of the live run by lane and first sample of the clip."""
        return {
            (b["lane"], b["signal"]["first_sample"]): b["gross_kg"]
            for b in self.vehicles
            if "INCOMPLETE" not in b["flags"]
        }

    def replayed_kilograms(self, directory: Path) -> dict[tuple[str, int], int | None]:
        """The same from the recording, by ``steelyard replay``."""
        table = directory / "vehicles.jsonl"
        recording = str(self.site.directory / "recording")
        arguments = ["replay", recording, "--station", str(self.site.station_file)]
        result = CliRunner().invoke(main, [*arguments, "--out", str(table)])
        assert result.exit_code == 0, result.output
        rows = [json.loads(line) for line in table.read_text().splitlines()]
        return {(r["lane"], r["first_sample"]): r["gross_kg"] for r in rows}


def station_at(directory: Path, calibrated: Path, broker: str) -> Site:
    """The demonstration's station, calibrated already."""
    site = Site(directory, free_port(), free_port(), free_port())
    site.centre.mkdir()
    for part in ("certificate.json", "reference"):
        (directory / part).symlink_to(calibrated / part)
    site.write_station(broker)
    return site


def run_station(
    directory: Path,
    calibrated: Path,
    *,
    scenario: str,
    traffic_s: float | None = None,
    meanwhile: Callable[[Mosquitto], Awaitable[None]] | None = None,
    killed_after_s: Sequence[float] = (),
    later_lorries: int = 0,
) -> Outcome:
    """Run all three processes until the traffic is over, wait for the last receipt.

    The station is killed (SIGKILL) and started again after each of ``killed_after_s`` seconds.
    Without ``traffic_s`` the traffic is over when the last start has had its ``later_lorries``.
    """
    with mosquitto(directory / "mosquitto") as broker:
        site = station_at(directory, calibrated, broker.url)
        running = _run(site, broker, scenario, traffic_s, meanwhile, killed_after_s, later_lorries)
        later = asyncio.run(running)
    truth = read_truth(site.truth_file)
    with contextlib.closing(CaseStore.open(site.centre)) as store:
        return Outcome(site, truth, later, store.records("DEMO"), store.verify())


async def _run(
    site: Site,
    broker: Mosquitto,
    scenario: str,
    traffic_s: float | None,
    meanwhile: Callable[[Mosquitto], Awaitable[None]] | None,
    killed_after_s: Sequence[float],
    later_lorries: int,
) -> list[Truth]:
    centre = ["case-system", "--broker", broker.url, "--store", str(site.centre)]
    devices = ["simulate", scenario, "--for", str(site.station_file), "--seed", str(SEED)]
    devices += ["--truth", str(site.truth_file)]
    if traffic_s is not None:
        devices += ["--seconds", str(traffic_s)]
    station = ["run", str(site.station_file), "--record", str(site.directory / "recording")]
    async with (
        command(centre, site.log_file("centre")),
        command(devices, site.log_file("devices")) as simulating,
    ):
        await until_said(simulating, site.log_file("devices"), READY)
        for number, life_s in enumerate(killed_after_s):
            log = site.log_file(f"station-{number}")
            async with command(["run", str(site.station_file)], log) as running:
                await until_said(running, log, "station runs")
                await asyncio.sleep(life_s)
                running.kill()
                await running.wait()
        async with command(station, site.log_file("station")) as running:
            await until_said(running, site.log_file("station"), "station runs")
            if meanwhile is not None:
                await meanwhile(broker)
            later = await _weighed(site, later_lorries)
            if traffic_s is None:
                simulating.terminate()
            await asyncio.wait_for(simulating.wait(), PATIENCE_S)
            async with asyncio.timeout(PATIENCE_S):
                while _looked_up(site, "SELECT count(*) FROM outbox") != [(0,)]:
                    await asyncio.sleep(0.3)
    return later


async def _weighed(site: Site, lorries: int) -> list[Truth]:
    """The first so many lorries from soon after now on, once each has its record or had time."""
    begin_ns = time.time_ns() + _CLOCKS_SETTLE_NS
    until_s = time.monotonic() + PATIENCE_S / 2
    later: list[Truth] = []
    while lorries and time.monotonic() < until_s:
        later = [t for t in read_truth(site.truth_file) if t.time_ns > begin_ns][:lorries]
        if len(later) == lorries and all(s.body for s in pair(later, sealed(site, "vehicle"))):
            break
        await asyncio.sleep(0.3)
    return later


def sealed(site: Site, kind: str) -> list[dict[str, Any]]:
    """Bodies of a kind in the store of a station that runs, the oldest first."""
    query = f"SELECT canonical FROM records WHERE kind = '{kind}' ORDER BY idx"
    return [json.loads(canonical) for (canonical,) in _looked_up(site, query)]


def _looked_up(site: Site, query: str) -> list[tuple[Any, ...]]:
    path = site.directory / "data" / "station.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as db:
        return db.execute(query).fetchall()
