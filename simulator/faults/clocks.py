"""Wrong clocks: an hour ahead, an hour back, and 1970 at boot until somebody sets it."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from simulator.faults.child import Mosquitto, ending
from simulator.faults.invariants import settle
from simulator.faults.kills import finish
from simulator.faults.machine import CLOCK, set_clock
from simulator.faults.outcome import Outcome
from simulator.faults.site import SAID_READY, Place, Plant, started
from simulator.faults.wire import Wiretap

_HOUR_NS = 3_600 * 1_000_000_000
_NOTICED_S = 4.0


def stepped(place: Place, outcome: Outcome) -> None:
    """The wall clock steps by an hour ahead and back under traffic."""
    with contextlib.ExitStack() as stack:
        plant, devices = _machine(place, stack, 0)
        for offset_ns in (_HOUR_NS, 0, -_HOUR_NS, 0):
            set_clock(_clock_file(place), offset_ns)
            outcome.blows += 1
            plant.look(_NOTICED_S)
            plant.until_grown(4)
        finish(plant, devices[0])
        wire = devices[1]
        stack.close()
        settle(outcome, plant, wire)
        steps = [s for s in _statements(plant, "clock") if s.get("event") == "stepped"]
        outcome.expect(len(steps) >= outcome.blows, f"{len(steps)} steps stand in the log")


def nineteen_seventy(place: Place, outcome: Outcome) -> None:
    """The clock says 1970 at boot; it is set right later, and so are the records."""
    with contextlib.ExitStack() as stack:
        plant, devices = _machine(place, stack, -time.time_ns())
        plant.until_grown(8)
        early = plant.size()
        set_clock(_clock_file(place), 0)
        outcome.blows += 1
        plant.look(_NOTICED_S)
        plant.until_grown(8)
        finish(plant, devices[0])
        wire = devices[1]
        stack.close()
        settle(outcome, plant, wire)
        _expect_set_right(outcome, plant, early)


def _machine(
    place: Place, stack: contextlib.ExitStack, offset_ns: int
) -> tuple[Plant, tuple[Any, Wiretap]]:
    """A station whose clock is wrong by so much, under traffic."""
    broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
    wire = stack.enter_context(Wiretap(broker.url))
    set_clock(_clock_file(place), offset_ns)
    plant = place.plant(
        broker.url,
        module="simulator.faults.machine",
        environment={CLOCK: str(_clock_file(place))},
    )
    devices, daemon = plant.devices(place.seed), plant.daemon()
    stack.enter_context(ending([place.case_system(broker.url).start(), devices, daemon]))
    started(devices)
    daemon.start().until_said(SAID_READY)
    plant.until_grown(6)
    return plant, (devices, wire)


def _clock_file(place: Place) -> Path:
    return place.directory / "clock"


def _expect_set_right(outcome: Outcome, plant: Plant, early: int) -> None:
    """A record of 1970 gives true UTC by its monotonic time and a later clock statement."""
    offsets = [s["offset_us"] for s in _statements(plant, "clock") if "offset_us" in s]
    outcome.expect(bool(offsets), "no statement gives the offset of the clock")
    now_us = time.time_ns() // 1000
    for body in _statements(plant, "vehicle")[: max(1, early // 2)]:
        right_us = body["mono_us"] + offsets[-1] if offsets else 0
        outcome.expect(
            0 < now_us - right_us < 600_000_000, f"record {body['index']} is not set right"
        )


def _statements(plant: Plant, kind: str) -> list[dict[str, Any]]:
    with plant.reader() as reader:
        rows = reader.execute("SELECT canonical FROM records WHERE kind = ? ORDER BY idx", (kind,))
        return [json.loads(data) for (data,) in rows]
