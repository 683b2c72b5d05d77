"""From the last wheel to the receipt: a whole station in real time beside a large store.

``python -m simulator.bench.last_wheel STATION.toml TIMES.jsonl`` is ``steelyard run STATION.toml``
that writes down, for each vehicle, when its passage closed, when it was sealed, and when its
receipt was taken. The time until the core may close a passage is physics, that is traffic, and
does not count; the station has no cameras here, for a plate is waited for by a rule as well.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from edge.clerk import Clerk
from edge.commands.tools import run_until_signal
from edge.config import StationConfig, load_station
from edge.evidence.note import NoteSigner
from edge.evidence.receipt import Receipt
from edge.head import Head
from edge.records import Record, Vehicle
from edge.station import Station
from simulator.bench.drain import broker_at, centre_at
from simulator.bench.processes import Cost, Watch
from simulator.big_store import build
from simulator.case_system import CENTRE_KEY_FILE, CENTRE_NAME
from simulator.devices import READY
from simulator.faults.child import Child
from simulator.faults.site import SAID_READY, Place, Plant

__all__ = ["Timed", "TimedStation", "Waits", "measure"]

SCENARIO = Path(__file__).parent / "four_a_second.toml"
_LOOK_S = 0.5
_DELIVERED_S = 60.0

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Timed:
    """One vehicle: milliseconds from the closing of its passage."""

    index: int
    is_case: bool
    sealed_ms: float
    receipt_ms: float


@dataclass(frozen=True, slots=True)
class Waits:
    """What one run gave."""

    vehicles: list[Timed]
    seconds: float
    costs: dict[str, Cost]

    def figures(self) -> dict[str, float]:
        """Percentiles in milliseconds, of all vehicles and of cases, which carry blobs."""
        sealed = np.array([v.sealed_ms for v in self.vehicles])
        receipt = np.array([v.receipt_ms for v in self.vehicles])
        cases = np.array([v.receipt_ms for v in self.vehicles if v.is_case])
        return {
            "receipt_ms_p50": float(np.percentile(receipt, 50)),
            "receipt_ms_p99": float(np.percentile(receipt, 99)),
            "receipt_ms_max": float(receipt.max()),
            "receipt_case_ms_p99": float(np.percentile(cases, 99)) if len(cases) else float("nan"),
            "sealed_ms_p50": float(np.percentile(sealed, 50)),
            "sealed_ms_p99": float(np.percentile(sealed, 99)),
            "receipt_vehicles": len(receipt),
            "receipt_cases": len(cases),
            "receipt_vehicles_per_s": len(receipt) / self.seconds,
        }


class TimedHead(Head):
    """The head of a station that writes down when each vehicle was closed."""

    closed_ns: dict[tuple[str, int], int]

    def _pass_on(self, vehicle: Vehicle, clerk: Clerk) -> None:
        passage = vehicle.passage
        key = passage.lane, passage.clip.first_sample
        self.closed_ns[key] = self._clock_of(passage.device).utc_ns(passage.closed_sample)
        super()._pass_on(vehicle, clerk)


class TimedStation(Station):
    """A station that writes down when what happened to its vehicles."""

    def __init__(self, config: StationConfig, times: TextIO) -> None:
        super().__init__(config)
        self._times = times
        self._closed_ns: dict[tuple[str, int], int] = {}
        head = TimedHead(config, self._health, self._clock, self._chronicle, record_to=None)
        head.closed_ns = self._closed_ns
        self._head = head
        self._sealed: dict[int, tuple[bool, int, int]] = {}

    def _tell_sealed(self, record: Record) -> None:
        super()._tell_sealed(record)
        if record.kind == "vehicle":
            key = record.body["lane"], record.body["signal"]["first_sample"]
            now_ns = self._clock.steady_ns()
            self._sealed[record.index] = record.urgent, self._closed_ns.pop(key), now_ns

    def _tell_receipt(self, receipt: Receipt) -> None:
        super()._tell_receipt(receipt)
        if found := self._sealed.pop(receipt.index, None):
            is_case, closed_ns, sealed_ns = found
            now_ns = self._clock.steady_ns()
            waits = (is_case, (sealed_ns - closed_ns) / 1e6, (now_ns - closed_ns) / 1e6)
            self._times.write(json.dumps([receipt.index, *waits]) + "\n")


def measure(
    place: Place, stored: int, seconds: float, progress: Progress = lambda _: None
) -> Waits:
    """About four vehicles a second for so long, beside ``stored`` records."""
    with broker_at(place.directory) as broker, centre_at(place, broker) as centre:
        plant = _plant(place, broker.url)
        key = NoteSigner.load_or_create(plant.centre / CENTRE_KEY_FILE, CENTRE_NAME)
        build(plant.data_dir, stored, station=plant.station, waiting=0, centre=key)
        return _run(plant, centre, seconds, progress)


def _plant(place: Place, broker: str) -> Plant:
    """The station of the fault trials without its camera."""
    plant = place.plant(broker)
    head, _, rest = plant.file.read_text("utf-8").partition("[[camera]]")
    plant.file.write_text(head + rest[rest.index("[calibration]") :], "utf-8")
    return plant


def _run(plant: Plant, centre: Child, seconds: float, progress: Progress) -> Waits:
    times = plant.directory / "times.jsonl"
    station = Child.steelyard(
        [plant.file, times], plant.directory / "station.log", module="simulator.bench.last_wheel"
    )
    arguments: list[str | Path] = ["simulate", SCENARIO, "--for", plant.file]
    arguments += ["--seconds", str(seconds)]
    devices = Child.steelyard(arguments, plant.directory / "devices.log")
    with devices.start().until_said(READY), station.start().until_said(SAID_READY):
        with Watch({"station": station.pid, "centre": centre.pid}) as watch:
            began_s = time.monotonic()
            while not devices.ends_within(_LOOK_S):
                progress(min(1.0, (time.monotonic() - began_s) / seconds))
            took_s = time.monotonic() - began_s
            plant.until_delivered(_DELIVERED_S)
        costs = watch.costs(began_s, began_s + took_s)
    return Waits(_read(times), seconds, costs)


def _read(times: Path) -> list[Timed]:
    return [Timed(*json.loads(line)) for line in times.read_text().splitlines()]


def _main(station_file: Path, times: Path) -> None:
    with times.open("w") as file:
        station = TimedStation(load_station(station_file), file)
        run_until_signal(
            lambda stop: station.run(
                stop, on_ready=lambda _: print(SAID_READY, file=sys.stderr, flush=True)
            )
        )


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
