"""The place of one trial: broker, case system, devices, stations, each with its directory."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from string import Template

import click

from edge.config import StationConfig, load_station
from edge.evidence.note import NoteSigner
from edge.store.schema import DATABASE
from simulator.broker import free_port
from simulator.case_system import CENTRE_KEY_FILE, CENTRE_NAME
from simulator.devices import READY
from simulator.faults.child import Child, until

SAID_READY = "station runs"
_FILES = resources.files("simulator.faults")
_DELIVERED_S = 240.0
_TELL_EVERY = 10


def traffic_file() -> Path:
    """The scenario of dense traffic."""
    return Path(str(_FILES / "traffic.toml"))


@dataclass
class Plant:
    """A station of a trial, its simulated devices, and what was seen committed in its store."""

    directory: Path
    station: str
    broker: str
    centre: Path
    certificate: Path
    digitiser_port: int = field(default_factory=free_port)
    committed: dict[int, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    module: str = "edge.cli"
    data: str = "data"

    @property
    def file(self) -> Path:
        """The station file."""
        return self.directory / "station.toml"

    @property
    def data_dir(self) -> Path:
        """The station's data directory."""
        return self.directory / self.data

    def write(self, broker: str | None = None) -> StationConfig:
        """Write the station file, for another broker address if wanted."""
        self.directory.mkdir(parents=True, exist_ok=True)
        centre = NoteSigner.load_or_create(self.centre / CENTRE_KEY_FILE, CENTRE_NAME)
        text = Template((_FILES / "station.toml").read_text(encoding="utf-8")).substitute(
            station=self.station,
            data=self.data,
            directory=self.directory,
            digitiser_port=self.digitiser_port,
            certificate=self._own_certificate(),
            broker=broker or self.broker,
            centre_key=centre.verifier_key,
        )
        self.file.write_text(text, encoding="utf-8")
        return load_station(self.file)

    def _own_certificate(self) -> Path:
        """The sensors are the same at every station of a trial; their certificate names its own."""
        own = self.directory / "certificate.json"
        if self.certificate.exists() and self.certificate != own:
            body = json.loads(self.certificate.read_bytes()) | {"station": self.station}
            own.write_text(json.dumps(body), encoding="utf-8")
        return own

    def daemon(self, name: str = "station") -> Child:
        """The station's daemon, not started yet."""
        log = self.directory / f"{name}.log"
        return Child.steelyard(
            ["run", self.file], log, module=self.module, environment=self.environment
        )

    def devices(self, seed: int) -> Child:
        """The station's simulated devices, not started yet."""
        arguments: list[str | Path] = [
            "simulate",
            traffic_file(),
            "--for",
            self.file,
            "--seed",
            str(seed),
        ]
        return Child.steelyard(arguments, self.directory / "devices.log")

    # ------------------------------------------------------------------------------------------
    # Looking into the store from outside

    def look(self, seconds: float = 0.0) -> None:
        """Note what is committed, by a reader of its own, for a while."""
        until_s = time.monotonic() + seconds
        with contextlib.suppress(sqlite3.Error), self.reader() as reader:
            while True:
                newest = max(self.committed, default=-1)
                rows = reader.execute(
                    "SELECT idx, record_id FROM records WHERE idx > ?", (newest,)
                ).fetchall()
                self.committed.update(rows)
                if time.monotonic() >= until_s:
                    return
                time.sleep(min(0.02, max(0.0, until_s - time.monotonic())))

    @contextlib.contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection that only reads the station's database."""
        uri = f"{(self.data_dir / DATABASE).absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5.0)) as connection:
            yield connection

    def waiting(self) -> int | None:
        """Records without a receipt that are not set aside; None while it can't be read."""
        with contextlib.suppress(sqlite3.Error), self.reader() as reader:
            (count,) = reader.execute(
                "SELECT count(*) FROM outbox WHERE poisoned IS NULL"
            ).fetchone()
            return int(count)
        return None

    def size(self) -> int:
        """Records in the store."""
        with contextlib.suppress(sqlite3.Error), self.reader() as reader:
            (newest,) = reader.execute("SELECT max(idx) FROM records").fetchone()
            return 0 if newest is None else int(newest) + 1
        return 0

    def until_grown(self, records: int, within_s: float = 120.0) -> None:
        """Wait until the store holds ``records`` more than now."""
        target = self.size() + records
        until(lambda: self.size() >= target, within_s, f"{records} more records")
        self.look()

    def until_delivered(self, within_s: float = _DELIVERED_S) -> None:
        """Wait until every record has its receipt; no traffic should come meanwhile."""
        until(lambda: self.waiting() == 0, within_s, "delivery")
        self.look()


@dataclass
class Place:
    """Where a trial works: its own directory, its seed, the shared certificate, its size."""

    directory: Path
    certificate: Path
    seed: int
    quick: bool = False

    @property
    def centre(self) -> Path:
        """The case system's directory."""
        return self.directory / "centre"

    def chance(self) -> random.Random:
        """The trial's own dice."""
        return random.Random(self.seed)

    def times(self, whole: int, quick: int) -> int:
        """How often something is done: in the whole run, in the quick one."""
        return quick if self.quick else whole

    def rounds(self, whole: int, quick: int) -> Iterator[int]:
        """Count so often, and say on stderr how far it is: a trial may take minutes."""
        times = self.times(whole, quick)
        for number in range(times):
            if number and number % _TELL_EVERY == 0:
                click.echo(f"    {self.directory.name}: {number}/{times}", err=True)
            yield number

    def plant(self, broker: str, station: str = "F1", **more: Mapping[str, str] | str) -> Plant:
        """A station with its file written."""
        self.centre.mkdir(parents=True, exist_ok=True)
        directory = self.directory / station.lower()
        plant = Plant(directory, station, broker, self.centre, self.certificate, **more)  # type: ignore[arg-type]
        plant.write()
        return plant

    def case_system(self, broker: str) -> Child:
        """The case system, not started yet."""
        arguments: list[str | Path] = ["case-system", "--broker", broker, "--store", self.centre]
        return Child.steelyard(arguments, self.directory / "centre.log")


def started(devices: Child) -> Child:
    """Devices that are ready to be heard."""
    return devices.start().until_said(READY)
