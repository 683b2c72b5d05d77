"""A backlog goes to the centre: the station's daemon, Mosquitto and the case system, as they are.

All four are processes of their own. The clock runs from the moment at which the station is online
to the receipt of the last record, which the station has committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge.config import UplinkSection
from edge.evidence.note import NoteSigner, origin_of
from edge.evidence.station_key import KEY_FILE
from edge.health import Health
from edge.records import Draft
from edge.store.schema import DATABASE
from edge.store.store import Store
from edge.uplink.topics import CHUNK_BYTES, Topics
from simulator.bench.bare import Carried, Files, Records, carry
from simulator.bench.processes import Cost, Watch
from simulator.big_store import build
from simulator.case_system import CENTRE_NAME
from simulator.faults.child import Child, Mosquitto, until
from simulator.faults.site import SAID_READY, Place, Plant

__all__ = ["BLOB_BYTES", "WINDOW", "Drained", "backlog", "blobs", "broker_at", "centre_at"]

BLOB_BYTES = (1_200_000, 150_000, 150_000)
"""Raw signal and two pictures of a case."""
WINDOW = UplinkSection().window
_MOST_S = 1_800.0

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Drained:
    """What went to the centre, and the same bytes by the yardstick before and after."""

    records: int
    bytes: int
    seconds: float
    bare: tuple[Carried, ...]
    costs: dict[str, Cost]

    @property
    def bare_seconds(self) -> float:
        """Of all runs of the yardstick together."""
        return sum(run.seconds for run in self.bare)

    @property
    def bare_per_s(self) -> float:
        """Messages of the yardstick."""
        return sum(run.messages for run in self.bare) / self.bare_seconds

    @property
    def bare_mb_per_s(self) -> float:
        """Payload of the yardstick."""
        return sum(run.bytes for run in self.bare) / 1e6 / self.bare_seconds


@contextlib.contextmanager
def broker_at(directory: Path) -> Iterator[Mosquitto]:
    """Mosquitto; without a bound on what it queues, else it would drop some of the yardstick's."""
    with Mosquitto(directory / "mosquitto", "max_queued_messages 0") as broker:
        yield broker


@contextlib.contextmanager
def centre_at(place: Place, broker: Mosquitto) -> Iterator[Child]:
    """The case system, once the broker knows it: what comes before is sent again much later."""
    log = place.directory / "mosquitto" / "mosquitto.log"
    with place.case_system(broker.url).start() as centre:
        until(lambda: f"as {CENTRE_NAME}" in log.read_text(errors="replace"), 60, "case system")
        yield centre


def backlog(place: Place, records: int, progress: Progress = lambda _: None) -> Drained:
    """As many sealed vehicles as wanted, one in forty of them a case; none has blobs."""
    with broker_at(place.directory) as broker:
        plant = place.plant(broker.url)
        build(plant.data_dir, records, station=plant.station, waiting=records)
        source = Records(plant.data_dir / DATABASE)
        return _between_bares(place, broker, plant, source, progress)


def blobs(place: Place, cases: int, progress: Progress = lambda _: None) -> Drained:
    """Cases, each with a raw signal and two pictures that nobody has seen before."""
    with broker_at(place.directory) as broker:
        plant = place.plant(broker.url)
        asyncio.run(_seal_cases(plant, cases))
        source = Files(plant.data_dir / "blobs", CHUNK_BYTES)
        return _between_bares(place, broker, plant, source, progress)


async def _seal_cases(plant: Plant, cases: int) -> None:
    chance = random.Random(1)
    signer = NoteSigner.load_or_create(plant.data_dir / KEY_FILE, origin_of(plant.station))
    store = await Store.open(
        plant.data_dir,
        station=plant.station,
        signer=signer,
        health=Health(time.monotonic_ns),
        now_ns=time.time_ns,
    )
    try:
        for number in range(cases):
            kept = [
                await store.put_blob(chance.randbytes(size), role, media)
                for size, role, media in zip(
                    BLOB_BYTES,
                    ("signal", "picture", "picture"),
                    ("audio/flac", "image/jpeg", "image/jpeg"),
                    strict=True,
                )
            ]
            body = {"time_us": time.time_ns() // 1000, "number": number}
            await store.append(Draft("note", body, tuple(kept), urgent=True))
    finally:
        await store.close()


def _between_bares(
    place: Place, broker: Mosquitto, plant: Plant, source: Records | Files, progress: Progress
) -> Drained:
    """The yardstick runs before and after, so that a machine that slows down is fair to both."""
    before = carry(broker.port, source, WINDOW)
    with centre_at(place, broker) as centre:
        records, seconds, costs = _drain(broker, plant, centre, progress)
    after = carry(broker.port, source, WINDOW)
    return Drained(records, before.bytes, seconds, (before, after), costs)


def _drain(
    broker: Mosquitto, plant: Plant, centre: Child, progress: Progress
) -> tuple[int, float, dict[str, Cost]]:
    total = plant.waiting() or 0
    with _online(broker, plant.station) as began_ns, plant.daemon().start() as daemon:
        daemon.until_said(SAID_READY)
        with Watch({"station": daemon.pid, "centre": centre.pid}) as watch:
            until(lambda: _all_gone(plant, total, progress), _MOST_S, "delivery")
        records, end_us = _receipts(plant)
        offset_s = time.monotonic() - time.time()
        costs = watch.costs(began_ns[0] / 1e9 + offset_s, end_us / 1e6 + offset_s)
    return records, end_us / 1e6 - began_ns[0] / 1e9, costs


def _all_gone(plant: Plant, total: int, progress: Progress) -> bool:
    time.sleep(0.2)  # to count costs the disk some milliseconds
    left = plant.waiting()
    if left is not None:
        progress(1.0 - min(left, total) / max(total, 1))
    return left == 0


def _receipts(plant: Plant) -> tuple[int, int]:
    with plant.reader() as reader:
        count, end_us = reader.execute("SELECT count(*), max(received_us) FROM receipts").fetchone()
    return int(count), int(end_us)


@contextlib.contextmanager
def _online(broker: Mosquitto, station: str) -> Iterator[list[int]]:
    """The moments, in nanoseconds UTC, at which the station said that it is there."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    told: list[int] = []
    client.on_message = lambda *_: told.append(time.time_ns())
    client.connect("127.0.0.1", broker.port)
    client.subscribe(Topics(station).state)
    client.loop_start()
    try:
        yield told
    finally:
        client.disconnect()
        client.loop_stop()
