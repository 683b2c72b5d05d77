"""A station as three processes with Mosquitto between them, and what is left of the run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
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
from simulator.demo import Site, calibrate_site
from simulator.devices import READY, read_truth
from tests.station.brokers import Mosquitto, mosquitto

SEED = 3


@dataclass(frozen=True)
class Outcome:
    """What is left of a run."""

    site: Site
    truth: list[Truth]
    records: list[CaseRecord]
    problems: list[str]

    @property
    def vehicles(self) -> list[dict[str, Any]]:
        """Bodies of the vehicle records that the case system holds."""
        return [r.body for r in self.records if r.kind == "vehicle"]

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


def run_station(
    directory: Path,
    *,
    scenario: str,
    traffic_s: float,
    meanwhile: Callable[[Mosquitto], Awaitable[None]] | None = None,
    killed_after_s: Sequence[float] = (),
) -> Outcome:
    """Calibrate, run all three processes until the traffic is over, wait for the last receipt.

    The station is killed (SIGKILL) and started again after each of ``killed_after_s`` seconds.
    """
    site = Site(directory, free_port(), free_port(), free_port())
    site.centre.mkdir()
    with mosquitto(directory / "mosquitto") as broker:
        calibrate_site(site.write_station(broker.url), site, SEED)
        asyncio.run(_run(site, broker, scenario, traffic_s, meanwhile, killed_after_s))
    with contextlib.closing(CaseStore.open(site.centre)) as store:
        return Outcome(site, read_truth(site.truth_file), store.records("DEMO"), store.verify())


async def _run(
    site: Site,
    broker: Mosquitto,
    scenario: str,
    traffic_s: float,
    meanwhile: Callable[[Mosquitto], Awaitable[None]] | None,
    killed_after_s: Sequence[float],
) -> None:
    centre = ["case-system", "--broker", broker.url, "--store", str(site.centre)]
    devices = ["simulate", scenario, "--for", str(site.station_file), "--seed", str(SEED)]
    devices += ["--seconds", str(traffic_s), "--truth", str(site.truth_file)]
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
