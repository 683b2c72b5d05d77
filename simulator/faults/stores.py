"""Blows at the store itself: kills in a migration and a backup, pages overwritten, a long log."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from edge.store.migrations import MIGRATIONS
from edge.store.schema import APPLICATION_ID, DATABASE
from simulator.big_store import build
from simulator.faults.backlog import fill
from simulator.faults.child import START_S, Child, Mosquitto, ending, until
from simulator.faults.invariants import settle, verify
from simulator.faults.kills import finish
from simulator.faults.outcome import Outcome
from simulator.faults.site import SAID_READY, Place, Plant, started
from simulator.faults.wire import Wiretap

MIGRATION_KILLS = 12
BACKUP_KILLS = 8
LONG_LOG = 1_000_000
_OLD_RECORDS = 8_000
_PAGE_BYTES = 4_096
_FIRST_RECORD_S = 60.0
_HEALED_S = 120.0
_RESTART_S = 5.0
_RELEASED = ("station", "records", "nodes", "checkpoints", "outbox")
"""Tables of the first release that a store without receipts has rows in."""


# ----------------------------------------------------------------------------------------------
# Migration


def killed_in_migration(place: Place, outcome: Outcome) -> None:
    """SIGKILL while a store of the first release is brought to the present tables."""
    chance = place.chance()
    with Mosquitto(place.directory / "mosquitto") as broker, Wiretap(broker.url) as wire:
        plant = place.plant(broker.url)
        old = place.directory / "old"
        sealed = _first_release(plant, old, place.times(_OLD_RECORDS, 2_000), place.seed)
        for _ in place.rounds(MIGRATION_KILLS, 2):
            shutil.rmtree(plant.data_dir)
            shutil.copytree(old, plant.data_dir)
            wal = plant.data_dir / f"{DATABASE}-wal"
            with plant.daemon() as daemon:
                daemon.start()
                until(wal.exists, START_S, "a write-ahead log")
                time.sleep(chance.uniform(0.0, 0.4))
                daemon.kill()
            outcome.blows += 1
            with plant.daemon() as again:
                again.start().until_said(SAID_READY)
            plant.committed = dict(sealed)
            with plant.reader() as reader:
                (version,) = reader.execute("PRAGMA user_version").fetchone()
            outcome.expect(version == len(MIGRATIONS), f"the store has version {version}")
            _expect_held(outcome, plant)
            verify(outcome, plant.data_dir)
        with ending([place.case_system(broker.url).start()]), plant.daemon() as last:
            last.start().until_said(SAID_READY)
            plant.until_delivered()
        settle(outcome, plant, wire)


def _first_release(plant: Plant, old: Path, records: int, seed: int) -> dict[int, str]:
    """A store as the first release left it, with real sealed records."""
    sealed = asyncio.run(fill(plant, records, seed))
    shutil.copytree(plant.data_dir, old, ignore=shutil.ignore_patterns(f"{DATABASE}*", "journal"))
    with contextlib.closing(sqlite3.connect(old / DATABASE, isolation_level=None)) as database:
        database.executescript(MIGRATIONS[0])
        database.execute("ATTACH ? AS new", (str(plant.data_dir / DATABASE),))
        for table in _RELEASED:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            names = ", ".join(columns)
            database.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM new.{table}")
        database.execute(f"PRAGMA application_id={APPLICATION_ID}")
        database.execute("PRAGMA user_version=1")
    return sealed


def _expect_held(outcome: Outcome, plant: Plant) -> None:
    with plant.reader() as reader:
        held = dict(reader.execute("SELECT idx, record_id FROM records"))
    gone = [index for index, record_id in plant.committed.items() if held.get(index) != record_id]
    outcome.lost += len(gone)
    outcome.expect(not gone, f"gone after the migration: {gone[:8]}")


# ----------------------------------------------------------------------------------------------
# Backup


def killed_in_backup(place: Place, outcome: Outcome) -> None:
    """SIGKILL of the online backup under traffic; begun again it comes to a whole copy."""
    chance = place.chance()
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
        wire = stack.enter_context(Wiretap(broker.url))
        plant = place.plant(broker.url)
        plant.committed.update(asyncio.run(fill(plant, place.times(20_000, 1_000), place.seed)))
        devices, daemon = plant.devices(place.seed), plant.daemon()
        stack.enter_context(ending([place.case_system(broker.url).start(), devices, daemon]))
        started(devices)
        daemon.start().until_said(SAID_READY)
        copy, log = place.directory / "copy", place.directory / "backup.log"
        backup = Child.steelyard(["backup", plant.file, "--to", copy], log)
        for _ in place.rounds(BACKUP_KILLS, 2):
            backup.start()
            plant.look(chance.uniform(0.5, 4.0))
            if backup.is_alive:
                backup.kill()
                outcome.blows += 1
        known = dict(plant.committed)
        code = backup.start().wait(120)
        outcome.expect(code == 0, f"backup ended with {code}: {backup.said()[-300:]}")
        plant.look(0.5)
        finish(plant, devices)
        stack.close()
        settle(outcome, plant, wire)
        _expect_copy(outcome, plant, copy, known)


def _expect_copy(outcome: Outcome, plant: Plant, copy: Path, known: dict[int, str]) -> None:
    """The copy verifies and holds what was committed before it was begun."""
    found = next(iter(sorted(copy.rglob(DATABASE))), None)
    if found is None:
        outcome.problem("the backup holds no database")
        return
    verify(outcome, found.parent, key_of=plant.data_dir)
    uri = f"{found.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        held = dict(database.execute("SELECT idx, record_id FROM records"))
    outcome.expect(known.items() <= held.items(), "records are missing in the backup")


# ----------------------------------------------------------------------------------------------
# A damaged database


def pages_overwritten(place: Place, outcome: Outcome) -> None:
    """The database is spoiled in several ways; the station starts, recovers and says so."""
    chance = place.chance()
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
        wire = stack.enter_context(Wiretap(broker.url))
        plant = place.plant(broker.url)
        plant.committed.update(asyncio.run(fill(plant, 600, place.seed)))
        devices = plant.devices(place.seed)
        stack.enter_context(ending([place.case_system(broker.url).start(), devices]))
        started(devices)
        for spoil in _SPOILERS[: place.times(len(_SPOILERS), 2)]:
            with plant.daemon() as daemon:
                daemon.start().until_said(SAID_READY)
                plant.until_grown(6)
                plant.until_delivered()
                daemon.kill()
            spoil(plant.data_dir / DATABASE, chance)
            outcome.blows += 1
        with plant.daemon() as last:
            last.start().until_said(SAID_READY)
            plant.until_grown(6)
            until(lambda: _is_whole(plant), _HEALED_S, "a healed database")
            finish(plant, devices)
        settle(outcome, plant, wire)
        _expect_set_aside(outcome, plant)


def _is_whole(plant: Plant) -> bool:
    """Damage that no start meets is found by the store's own check in the background."""
    try:
        with plant.reader() as reader:
            (found,) = reader.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error:
        return False
    return bool(found == "ok")


def _overwrite(file: Path, chance: random.Random, *, pages: int) -> None:
    whole = file.stat().st_size // _PAGE_BYTES
    with file.open("r+b") as database:
        for _ in range(pages):
            database.seek(chance.randrange(1, whole) * _PAGE_BYTES)
            database.write(chance.randbytes(_PAGE_BYTES))


def _one_page(file: Path, chance: random.Random) -> None:
    _overwrite(file, chance, pages=1)


def _many_pages(file: Path, chance: random.Random) -> None:
    _overwrite(file, chance, pages=60)


def _no_header(file: Path, _chance: random.Random) -> None:
    with file.open("r+b") as database:
        database.write(bytes(_PAGE_BYTES))


def _cut_short(file: Path, _chance: random.Random) -> None:
    with file.open("r+b") as database:
        database.truncate(file.stat().st_size // 2 // _PAGE_BYTES * _PAGE_BYTES)


def _no_wal(file: Path, _chance: random.Random) -> None:
    for part in ("-wal", "-shm"):
        file.with_name(file.name + part).unlink(missing_ok=True)


def _noise_in_wal(file: Path, chance: random.Random) -> None:
    wal = file.with_name(file.name + "-wal")
    if wal.exists():
        with wal.open("r+b") as log:
            log.seek(wal.stat().st_size // 2)
            log.write(chance.randbytes(_PAGE_BYTES))


_SPOILERS: tuple[Callable[[Path, random.Random], None], ...] = (
    _one_page,
    _many_pages,
    _no_header,
    _cut_short,
    _no_wal,
    _noise_in_wal,
    _one_page,
)


def _expect_set_aside(outcome: Outcome, plant: Plant) -> None:
    aside = list(plant.data_dir.glob("damaged-*"))
    outcome.expect(bool(aside), "no damaged database was kept")
    with plant.reader() as reader:
        (told,) = reader.execute("SELECT count(*) FROM records WHERE kind = 'recovered'").fetchone()
    outcome.expect(told > 0, "no statement says that the store was recovered")
    outcome.note(f"{len(aside)} damaged databases kept, {told} recoveries stand in the log")


# ----------------------------------------------------------------------------------------------
# A long log


def long_log(place: Place, outcome: Outcome) -> None:
    """Start with 1,000,000 stored records: seconds from the start of the process to a record.

    An empty store beside it shows what of that is the program's own start on this machine now.
    """
    records = place.times(LONG_LOG, 20_000)
    with Mosquitto(place.directory / "mosquitto") as broker:
        plant = place.plant(broker.url)
        build(plant.data_dir, records, station=plant.station)
        devices = plant.devices(place.seed)
        with ending([place.case_system(broker.url).start(), devices]):
            started(devices)
            empty = place.plant(broker.url, "F2")
            empty_s = [_first_record_s(empty) for _ in range(3)]
            took_s = [_first_record_s(plant) for _ in range(3)]
            outcome.blows = len(took_s)
        outcome.records = plant.size()
        worst_s = max(took_s)
        outcome.figures["faults.restart_s_1m_records"] = round(worst_s, 2)
        outcome.figures["faults.restart_s_empty"] = round(max(empty_s), 2)
        outcome.note(
            f"first record after {_seconds(took_s)} s; of an empty store {_seconds(empty_s)}"
        )
        outcome.expect(worst_s <= _RESTART_S, f"{worst_s:.1f} s from start to first record")


def _first_record_s(plant: Plant) -> float:
    """Seconds from the start of the daemon to its first record; then it is killed."""
    before, began_s = plant.size(), time.monotonic()
    with plant.daemon() as daemon:
        daemon.start()
        until(lambda: plant.size() > before, _FIRST_RECORD_S, "a record")
        took_s = time.monotonic() - began_s
        daemon.until_said(SAID_READY)
        plant.look(1.0)
        daemon.kill()
    return took_s


def _seconds(times_s: list[float]) -> str:
    return ", ".join(f"{time_s:.1f}" for time_s in times_s)
