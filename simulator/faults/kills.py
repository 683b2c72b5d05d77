"""Kills without a farewell: the daemon, the broker, the case system."""

from __future__ import annotations

import contextlib
import time

from simulator.faults.child import Child, Mosquitto, ending
from simulator.faults.invariants import settle
from simulator.faults.outcome import Outcome
from simulator.faults.proofs import recompute_live
from simulator.faults.proxy import Cut, Proxy
from simulator.faults.site import SAID_READY, Place, Plant, started
from simulator.faults.wire import Wiretap

DAEMON_KILLS = 150
"""By each of two stations, side by side."""
BROKER_KILLS = 50
CENTRE_KILLS = 20
_LIFE_S = 2.0
_IN_START = 0.25
"""Share of kills that fall into the start, while the store is opened and the log taken up."""
_QUIET_S = 1.0


def daemon_killed(place: Place, outcome: Outcome) -> None:
    """SIGKILL of the daemon at random moments under dense traffic, and a start after each."""
    chance = place.chance()
    with Mosquitto(place.directory / "mosquitto") as broker, Wiretap(broker.url) as wire:
        plant = place.plant(broker.url, f"K{place.seed}")
        devices = plant.devices(place.seed)
        with ending([place.case_system(broker.url).start(), devices]):
            started(devices)
            start_s = 2.0
            for _ in place.rounds(DAEMON_KILLS, 3):
                daemon = plant.daemon().start()
                began_s = time.monotonic()
                if chance.random() < _IN_START:
                    time.sleep(start_s * chance.uniform(0.6, 1.0))
                else:
                    daemon.until_said(SAID_READY)
                    start_s = time.monotonic() - began_s
                    plant.look(chance.uniform(0.0, _LIFE_S))
                daemon.kill()
                outcome.blows += 1
            with plant.daemon() as last:
                last.start().until_said(SAID_READY)
                plant.look(2.0)
                finish(plant, devices)
        outcome.figures["faults.kills"] = outcome.blows
        settle(outcome, plant, wire)
        recompute_live(outcome, plant)


def finish(plant: Plant, devices: Child) -> None:
    """The traffic ends, what is under way is sealed, everything gets its receipt."""
    devices.stop()
    plant.look(_QUIET_S)
    plant.until_delivered()


def broker_killed(place: Place, outcome: Outcome) -> None:
    """SIGKILL of a broker that keeps nothing, so that all that it had acknowledged is gone."""
    chance = place.chance()
    broker = Mosquitto(place.directory / "mosquitto")
    with broker, Wiretap(broker.url) as wire:
        plant = place.plant(broker.url)
        devices, daemon = plant.devices(place.seed), plant.daemon()
        with ending([place.case_system(broker.url).start(), devices, daemon]):
            started(devices)
            daemon.start().until_said(SAID_READY)
            for _ in place.rounds(BROKER_KILLS, 3):
                plant.look(chance.uniform(0.3, 2.0))
                broker.kill()
                outcome.blows += 1
                plant.look(chance.uniform(0.0, 0.3))
                broker.start()
            finish(plant, devices)
        settle(outcome, plant, wire)


def case_system_killed(place: Place, outcome: Outcome) -> None:
    """The case system has stored a record, and is killed before its receipt has left."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
        line = stack.enter_context(Proxy(broker.port))
        wire = stack.enter_context(Wiretap(broker.url))
        plant = place.plant(broker.url)
        devices, daemon = plant.devices(place.seed), plant.daemon()
        centre = place.case_system(line.url)
        stack.enter_context(ending([centre.start(), devices, daemon]))
        started(devices)
        daemon.start().until_said(SAID_READY)
        for _ in place.rounds(CENTRE_KILLS, 2):
            _kill_before_receipt(line, centre)
            outcome.blows += 1
            plant.look(0.3)
            centre.start()
            plant.look(1.0)
        finish(plant, devices)
        outcome.note(f"{line.swallowed} receipts were stored for and never left")
        stack.close()
        settle(outcome, plant, wire)


def _kill_before_receipt(line: Proxy, centre: Child) -> None:
    """Kill it at the moment at which a receipt would leave; that one goes nowhere."""

    def judge(_kind: int, frame: bytes) -> bytes | Cut:
        if b"/down/receipt" not in frame[:200]:
            return frame
        if centre.is_alive:
            line.swallowed += 1
            centre.kill()
        return Cut()

    line.up = judge
    deadline_s = time.monotonic() + 30
    while centre.is_alive and time.monotonic() < deadline_s:
        time.sleep(0.01)
    line.up = lambda _kind, frame: frame
