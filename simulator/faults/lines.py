"""Spoiled lines to the broker: cut inside a chunk, half open, hours away, acks alone lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from simulator.faults.backlog import OUTAGE_S, VEHICLES_PER_S, fill
from simulator.faults.child import Child, Mosquitto, ending, until
from simulator.faults.invariants import settle
from simulator.faults.kills import finish
from simulator.faults.outcome import Outcome
from simulator.faults.proxy import PUBACK, Proxy, pass_all, without
from simulator.faults.site import SAID_READY, Place, Plant, started
from simulator.faults.wire import Wiretap

CHUNK_CUTS = 30
ACK_CUTS = 8
_HALF_OPEN_FOUND_S = 90.0
_DRAIN_S = 420.0
_LARGE_BYTES = 1_500


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
        for _ in place.rounds(CHUNK_CUTS, 2):
            cuts = line.proxy.cuts
            line.proxy.cut_inside(lambda frame: b"/up/blob/" in frame[:80] and _is_large(frame))
            until(lambda before=cuts: line.proxy.cuts > before, 120, "a chunk to cut")  # type: ignore[misc]
            outcome.blows += 1
            line.plant.look(0.2)


def _is_large(frame: bytes) -> bool:
    return len(frame) > _LARGE_BYTES


def acknowledgements_cut(place: Place, outcome: Outcome) -> None:
    """The broker's PUBACKs vanish while all else passes; then the line breaks."""
    with _line(place, outcome) as line:
        for _ in place.rounds(ACK_CUTS, 2):
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
            until(lambda: line.proxy.connections > before, _HALF_OPEN_FOUND_S, "a new connection")
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
        plant.committed.update(asyncio.run(fill(plant, records, place.seed)))
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
