"""Spoiled lines to the broker: cut inside a chunk, acknowledgements alone, half open, hours away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from edge.evidence.note import NoteSigner
from edge.health import Health
from edge.records import Draft
from edge.store.store import Store
from edge.store.verify import KEY_FILE
from simulator.faults.child import Child, Mosquitto, ending, until
from simulator.faults.invariants import settle
from simulator.faults.kills import finish
from simulator.faults.outcome import Outcome
from simulator.faults.proxy import PUBACK, Proxy, pass_all, without
from simulator.faults.site import SAID_READY, Place, Plant, started
from simulator.faults.wire import Wiretap

CHUNK_CUTS = 30
ACK_CUTS = 8
OUTAGE_S = 7_200
VEHICLES_PER_S = 4
_HALF_OPEN_FOUND_S = 90.0
_DRAIN_S = 420.0
_TOGETHER = 128
_LARGE_BYTES = 8_192


@dataclass(frozen=True)
class _Line:
    """A station that delivers through a proxy while traffic flows."""

    plant: Plant
    proxy: Proxy
    devices: Child
    daemon: Child


@contextlib.contextmanager
def _line(place: Place, outcome: Outcome) -> Iterator[_Line]:
    """Run it; at the end everything is delivered over a sound line, and all promises checked."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
        proxy = stack.enter_context(Proxy(broker.port))
        wire = stack.enter_context(Wiretap(broker.url))
        plant = place.plant(proxy.url)
        devices, daemon = plant.devices(place.seed), plant.daemon()
        centre = place.case_system(broker.url)
        stack.enter_context(ending([centre.start(), devices, daemon]))
        started(devices)
        daemon.start().until_said(SAID_READY)
        yield _Line(plant, proxy, devices, daemon)
        proxy.up = proxy.down = pass_all
        proxy.thaw()
        finish(plant, devices)
        outcome.expect(daemon.is_alive, "the daemon has ended by itself")
        stack.close()
        settle(outcome, plant, wire)


def cut_inside_chunk(place: Place, outcome: Outcome) -> None:
    """The line breaks in the middle of a piece of a picture or signal, again and again."""
    with _line(place, outcome) as line:
        for _ in range(place.times(CHUNK_CUTS, 3)):
            cuts = line.proxy.cuts
            line.proxy.cut_inside(lambda frame: b"/up/blob/" in frame[:80] and _is_large(frame))
            until(lambda before=cuts: line.proxy.cuts > before, 60, "a chunk to cut")  # type: ignore[misc]
            outcome.blows += 1
            line.plant.look(0.2)


def _is_large(frame: bytes) -> bool:
    return len(frame) > _LARGE_BYTES


def acknowledgements_cut(place: Place, outcome: Outcome) -> None:
    """The broker's PUBACKs vanish while all else passes; then the line breaks."""
    with _line(place, outcome) as line:
        for _ in range(place.times(ACK_CUTS, 2)):
            line.proxy.down = without(PUBACK)
            line.plant.look(2.0)
            line.proxy.down = pass_all
            line.proxy.cut()
            outcome.blows += 1
            line.plant.look(1.0)
        outcome.note(f"{line.proxy.swallowed} acknowledgements swallowed")


def half_open(place: Place, outcome: Outcome) -> None:
    """No byte passes any more, and no end is told: the station has to find out by itself."""
    with _line(place, outcome) as line:
        line.plant.until_grown(4)
        line.proxy.freeze()
        before, began_s = line.proxy.connections, time.monotonic()
        if not place.quick:
            until(
                lambda: line.proxy.connections > before, _HALF_OPEN_FOUND_S, "a new connection"
            )
            took_s = time.monotonic() - began_s
            outcome.note(f"noticed after {took_s:.0f} s")
            outcome.figures["faults.half_open_found_s"] = round(took_s, 1)
        line.plant.look(1.0)
        outcome.blows += 1
        line.proxy.thaw()
        line.proxy.cut()


def long_outage(place: Place, outcome: Outcome) -> None:
    """Two hours of traffic wait in the store, then the line is there, traffic going on."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
        wire = stack.enter_context(Wiretap(broker.url))
        plant = place.plant(broker.url)
        records = place.times(OUTAGE_S * VEHICLES_PER_S, 400)
        began_s = time.monotonic()
        plant.committed.update(asyncio.run(_fill(plant, records, place.seed)))
        outcome.note(f"{records} records sealed in {time.monotonic() - began_s:.0f} s")
        devices, daemon = plant.devices(place.seed), plant.daemon()
        centre = place.case_system(broker.url)
        stack.enter_context(ending([centre.start(), devices, daemon]))
        started(devices)
        began_s = time.monotonic()
        daemon.start().until_said(SAID_READY)
        plant.look(5.0)
        devices.stop()
        plant.until_delivered(_DRAIN_S)
        took_s = time.monotonic() - began_s
        outcome.blows = 1
        outcome.figures["faults.outage_drained_s"] = round(took_s, 1)
        outcome.note(f"delivered within {took_s:.0f} s")
        stack.close()
        settle(outcome, plant, wire)


async def _fill(plant: Plant, records: int, seed: int) -> dict[int, str]:
    """Seal a backlog through the real store; what it has acknowledged."""
    station = plant.station
    signer = NoteSigner.load_or_create(plant.data_dir / KEY_FILE, f"steelyard/{station}")
    store = await Store.open(
        plant.data_dir,
        station=station,
        signer=signer,
        health=Health(time.monotonic_ns),
        now_ns=time.time_ns,
    )
    sealed: dict[int, str] = {}
    try:
        first_us = (time.time_ns() - OUTAGE_S * 1_000_000_000) // 1000
        for begin in range(0, records, _TOGETHER):
            numbers = range(begin, min(begin + _TOGETHER, records))
            done = await asyncio.gather(
                *(store.append(_draft(n, first_us, seed)) for n in numbers)
            )
            sealed.update((record.index, record.record_id) for record in done)
    finally:
        await store.close()
    return sealed


def _draft(number: int, first_us: int, seed: int) -> Draft:
    """A statement of the size of a vehicle's, every fifth of them a case."""
    is_case = (number + seed) % 5 == 0
    body = {
        "schema": "steelyard/vehicle/1",
        "lane": str(number % 4 + 1),
        "time_us": first_us + number * (1_000_000 // VEHICLES_PER_S),
        "gross_kg": 8_000 + 37 * (number % 1_000),
        "verdict": {"kind": "over" if is_case else "within"},
        "plate": {"text": f"川A{number % 100_000:05d}"},
        "remark": "0123456789abcdef" * 120,
    }
    return Draft("vehicle", body, urgent=is_case)
