"""The same key twice: an old disk image put back, a copied station beside the first one."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

from edge.errors import LinkDown
from simulator.faults.child import Mosquitto, ending, until
from simulator.faults.invariants import settle
from simulator.faults.machine import BOOT
from simulator.faults.outcome import Outcome
from simulator.faults.site import SAID_READY, Place, Plant, started
from simulator.faults.wire import Wiretap

_NAMED_S = 120.0
_MACHINE = "simulator.faults.machine"


def image_restored(place: Place, outcome: Outcome) -> None:
    """The disk image of some minutes ago is put back: the witness says rollback."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
        wire = stack.enter_context(Wiretap(broker.url))
        plant = place.plant(broker.url, module=_MACHINE, environment={BOOT: "boot-1"})
        devices = plant.devices(place.seed)
        stack.enter_context(ending([place.case_system(broker.url).start(), devices]))
        started(devices)
        for _ in range(2):
            with plant.daemon() as daemon:
                daemon.start().until_said(SAID_READY)
                plant.until_grown(12)
            if not outcome.blows:
                shutil.copytree(plant.data_dir, plant.directory / "image")
            outcome.blows = 1
        with plant.daemon() as daemon:
            daemon.start().until_said(SAID_READY)
            plant.until_delivered()
        settle(outcome, plant, wire)
        restored = Plant(**(vars(plant) | {"data": "image", "committed": {}}))
        restored.environment = {BOOT: "boot-2"}
        restored.write()
        before = _known(place.centre)
        with restored.daemon("restored") as daemon:
            daemon.start().until_said(SAID_READY)
            _expect_named(outcome, place.centre, "rollback")
            restored.until_grown(4)
            outcome.expect(daemon.is_alive, "the daemon with the old image has ended")
            _expect_statement(outcome, restored)
        after = _known(place.centre)
        outcome.expect(before.items() <= after.items(), "records at the centre were replaced")


def key_cloned(place: Place, outcome: Outcome) -> None:
    """Two machines with one key and one name deliver to one centre: the witness names it."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
        wire = stack.enter_context(Wiretap(broker.url))
        plant = place.plant(broker.url, module=_MACHINE, environment={BOOT: "boot-1"})
        devices, daemon = plant.devices(place.seed), plant.daemon()
        stack.enter_context(ending([place.case_system(broker.url).start(), devices, daemon]))
        started(devices)
        daemon.start().until_said(SAID_READY)
        plant.until_grown(8)
        daemon.stop()
        clone = Plant(
            place.directory / "clone", plant.station, plant.broker, plant.centre,
            plant.certificate, module=_MACHINE, environment={BOOT: "boot-2"},
        )  # fmt: skip
        clone.write()
        shutil.copytree(plant.data_dir, clone.data_dir)
        others = clone.devices(place.seed + 1), clone.daemon()
        stack.enter_context(ending(others))
        started(others[0])
        daemon.start().until_said(SAID_READY)
        others[1].start().until_said(SAID_READY)
        outcome.blows = 1
        _expect_named(outcome, place.centre, "clone", frozenset({"rollback"}))
        plant.until_grown(4)
        clone.until_grown(4)
        outcome.expect(others[1].is_alive and daemon.is_alive, "a daemon has ended")
        outcome.records += plant.size() + clone.size()
        twice = len(wire.doubled(plant.station))
        outcome.note(f"{twice} numbers were claimed by both machines, as two with one key must")


def _expect_named(
    outcome: Outcome, centre: Path, name: str, before: frozenset[str] = frozenset()
) -> None:
    """The case system raises an alarm of this name, and of no others but those ``before``."""
    found: set[str] = set()

    def named() -> bool:
        found.update(_alarms(centre))
        return name in found

    with contextlib.suppress(LinkDown):
        until(named, _NAMED_S, "an alarm")
    outcome.expect(named() and found <= before | {name}, f"not {name}: {sorted(found)}")
    outcome.note(f"named {', '.join(sorted(found))}")


def _alarms(centre: Path) -> list[str]:
    uri = f"{(centre / 'cases.db').absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as cases:
        try:
            return [name for (name,) in cases.execute("SELECT name FROM alarms")]
        except sqlite3.OperationalError:
            return []


def _known(centre: Path) -> dict[tuple[str, str], int]:
    uri = f"{(centre / 'cases.db').absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as cases:
        rows = cases.execute("SELECT station, record_id, idx FROM records")
        return {(station, record_id): index for station, record_id, index in rows}


def _expect_statement(outcome: Outcome, plant: Plant) -> None:
    """The station's own log says what the witness found."""

    def said() -> bool:
        with plant.reader() as reader:
            rows = reader.execute("SELECT canonical FROM records WHERE kind = 'witness'")
            return any(json.loads(data).get("schema") for (data,) in rows)

    try:
        until(said, 20, "a witness statement")
    except LinkDown:
        outcome.problem("the station's log holds no statement of the conflict")
