"""The whole job in one command: what a station in the field runs, with simulated devices.

::

    simulate (own process) ──pty, TCP, Modbus──> station (this process) ──> broker ──> case-system
    truth.jsonl <─┘                                  └─> page                         (own process)

The station's sensors are calibrated first, with simulated reference passes, as a real one's are.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import click

from calibration.session import calibrate, read_digitisers, read_references
from edge.commands.tools import write_figures
from edge.config import StationConfig, load_station
from edge.errors import LinkDown
from edge.evidence.note import NoteSigner
from edge.replay import replay_passages
from edge.rules.pack import RulePack
from edge.station import Station
from edge.web.terms import VERDICTS
from simulator.broker import DemoBroker, free_port
from simulator.case_store import CaseStore
from simulator.case_system import CENTRE_KEY_FILE, CENTRE_NAME
from simulator.case_witness import witnessed
from simulator.children import command, until_said
from simulator.devices import READY, read_truth
from simulator.scenario import load_scenario
from simulator.score import figures, is_over, pair
from simulator.world import World

SCENARIO = "demo"
REFERENCE_PASSES = 12
GRACE_S = 8.0
"""How long the last vehicles may take from the lane to their receipt."""


@dataclass(frozen=True, slots=True)
class Site:
    """The files and ports of one demo."""

    directory: Path
    web_port: int
    d2_port: int
    modbus_port: int

    @property
    def station_file(self) -> Path:
        """The demo's station file."""
        return self.directory / "station.toml"

    @property
    def truth_file(self) -> Path:
        """What really passed."""
        return self.directory / "truth.jsonl"

    @property
    def centre(self) -> Path:
        """The case system's store."""
        return self.directory / "centre"

    def log_file(self, part: str) -> Path:
        """What a child process says."""
        return self.directory / f"{part}.log"

    def write_station(self, broker: str) -> StationConfig:
        """Write the demo's station file and read it as the station does."""
        template = resources.files("simulator") / "scenarios" / "demo-station.toml"
        centre = NoteSigner.load_or_create(self.centre / CENTRE_KEY_FILE, CENTRE_NAME)
        text = Template(template.read_text(encoding="utf-8")).substitute(
            directory=self.directory,
            d2_port=self.d2_port,
            modbus_port=self.modbus_port,
            web_port=self.web_port,
            broker=broker,
            centre_key=centre.verifier_key,
        )
        self.station_file.write_text(text, encoding="utf-8")
        return load_station(self.station_file)


async def run_demo(
    stop: asyncio.Event,
    *,
    seconds: float | None,
    report: Path | None,
    seed: int,
    port: int,
    directory: Path | None,
) -> int:
    """Run the demo until ``stop`` or for ``seconds``; 0 if nothing was lost.

    Raises
    ------
    LinkDown
        The page's port is taken, or a part does not start.
    """
    _require_free(port)
    with _place(directory) as place:
        site = Site(place, port, free_port(), free_port())
        site.centre.mkdir(exist_ok=True)
        async with DemoBroker(place / "broker") as broker:
            config = site.write_station(broker.url)
            _say("标定两条车道的传感器 / calibrating the sensors of both lanes ...")
            await asyncio.to_thread(calibrate_site, config, site, seed)
            centre = ["case-system", "--broker", broker.url, "--store", str(site.centre)]
            async with command(centre, site.log_file("centre")):
                run = await _run_station(config, site, stop, seconds, seed)
        _say("演示结束 / the demo has ended")
        return _conclude(run, config, site, report) if seconds else 0


@dataclass(slots=True)
class Run:
    """What the station told: its vehicles, the moment of each receipt, when the time was over."""

    vehicles: set[int] = field(default_factory=set)
    receipted_ns: dict[int, int] = field(default_factory=dict)
    end_ns: int = 0

    @property
    def delivered(self) -> int:
        """Vehicles with a receipt."""
        return len(self.vehicles & self.receipted_ns.keys())


def calibrate_site(config: StationConfig, site: Site, seed: int) -> None:
    """Reference lorries pass, a certificate is fitted, the station file names it."""
    reference = site.directory / "reference"
    World(config, load_scenario(SCENARIO), seed).reference_recording(reference, REFERENCE_PASSES)
    passages = list(replay_passages(reference, config, progress=lambda _done: None))
    certificate = calibrate(
        passages,
        read_references(reference),
        read_digitisers(reference, config),
        station=config.model.station.id,
    )
    (site.directory / "certificate.json").write_bytes(certificate.to_json())


async def _run_station(
    config: StationConfig, site: Site, stop: asyncio.Event, seconds: float | None, seed: int
) -> Run:
    """Devices and station, until the time is over and the last vehicle has its receipt."""
    devices = ["simulate", SCENARIO, "--for", str(site.station_file), "--seed", str(seed)]
    devices += ["--truth", str(site.truth_file)]
    run = Run()
    async with command(devices, site.log_file("devices")) as process:
        await until_said(process, site.log_file("devices"), READY)
        station = Station(config)
        halt = asyncio.Event()
        ready = asyncio.Event()
        running = asyncio.create_task(station.run(halt, on_ready=lambda _station: ready.set()))
        telling = asyncio.create_task(_tell(station, run))
        try:
            await _first_of(ready.wait(), running)
            _say(f"打开网页 / open the page:  {station.url}   (Ctrl-C 结束 / ends)")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await _first_of(stop.wait(), running)
            run.end_ns = time.time_ns()
            if seconds and not stop.is_set():
                await _until_delivered(site, run)
        finally:
            halt.set()
            await running
            telling.cancel()
    return run


async def _first_of(waiting: Any, running: asyncio.Task[None]) -> None:
    """Wait, but not for a station that has ended by itself."""
    waiter = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait({waiter, running}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
    finally:
        waiter.cancel()


async def _tell(station: Station, run: Run) -> None:
    """A line for each vehicle; the moment of each receipt."""
    explained = False
    with station.feed.subscribe() as news:
        async for event, data in news:
            if event == "receipt":
                run.receipted_ns[data["index"]] = data["time_ns"]
            elif event == "vehicle":
                run.vehicles.add(data["index"])
                _say(_vehicle_line(data))
                if not explained and not data["clock_host"]["synchronised"]:
                    explained = True
                    _say(CLOCK_NOTE)


CLOCK_NOTE = (
    "  CLOCK_UNSURE: 本机时钟没有对时服务，记录如实注明；重量不受影响，装上 chrony 即消失 / "
    "nothing keeps this computer's clock right, and its records say so; weights are unaffected, "
    "chrony cures it"
)


def _vehicle_line(body: dict[str, Any]) -> str:
    verdict = body["verdict"]
    excess = f" +{verdict['excess_kg']:,} kg" if verdict["kind"] == "over" else ""
    flags = " ".join(body["flags"])
    gross = "  -----" if body["gross_kg"] is None else f"{body['gross_kg']:7,d}"
    u_gross = 0 if body["u_gross_kg"] is None else 2 * body["u_gross_kg"]
    return (
        f"  #{body['index']:<4d} 车道 {body['lane']}  {body['plate']['text'] or '------':9s}"
        f" {body['configuration']:9s} {gross} ± {u_gross:5,d} kg"
        f"  {VERDICTS[verdict['kind']]}{excess} {flags}"
    )


async def _until_delivered(site: Site, run: Run) -> None:
    """Give the vehicles that left the lane before the end their time to arrive."""
    deadline_s = time.monotonic() + GRACE_S
    while time.monotonic() < deadline_s:
        left = sum(truth.time_ns <= run.end_ns for truth in read_truth(site.truth_file))
        if run.delivered >= left:
            return
        await asyncio.sleep(0.1)


def _conclude(run: Run, config: StationConfig, site: Site, report: Path | None) -> int:
    """Score the run against the truth, by what the case system can prove of its store."""
    truth = [t for t in read_truth(site.truth_file) if t.time_ns <= run.end_ns]
    with contextlib.closing(CaseStore.open(site.centre)) as store:
        problems = store.verify()
        records = store.records(config.model.station.id)
        duplicates = store.duplicates
        log_state = witnessed(store, config.model.station.id)
    bodies = [r.body for r in records if r.kind == "vehicle" and r.index in run.receipted_ns]
    pack = RulePack.parse(config.pack_bytes())
    scored = pair(truth, bodies)
    result = figures(
        scored,
        is_over=lambda vehicle: is_over(vehicle, pack),
        receipted_ns=run.receipted_ns,
        records=len(records),
        duplicates=duplicates,
    )
    result |= log_state
    write_figures(result, report)
    for name, value in result.items():
        _say(f"  {name:22s} {value}")
    for problem in problems:
        _say(f"  ✗ {problem}")
    lost = len(truth) - sum(s.body is not None for s in scored)
    alarms = log_state["log_alarms"]
    _say(f"丢失 / lost: {lost}    不能证明 / unproven: {len(problems)}    警报 / alarms: {alarms}")
    return 0 if truth and not (lost or problems or alarms) else 1


@contextlib.contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    """The directory of the demo: the one that was named, or one that vanishes afterwards."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="steelyard-demo-") as name:
        yield Path(name)


def _require_free(port: int) -> None:
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", port))
        except OSError as error:
            raise LinkDown(
                f"端口 {port} 已被占用",
                f"port {port} is taken",
                next_zh="用 --port 换一个端口",
                next_en="choose another one with --port",
            ) from error


def _say(line: str) -> None:
    click.echo(line)
