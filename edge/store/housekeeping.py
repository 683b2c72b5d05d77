"""The chores of a store: copy, measure, check, remove what is over; each with its own pace."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge.config import StorageSection
from edge.health import Health
from edge.store import queries
from edge.store.blobs import GRACE_S, BlobDirectory
from edge.store.budget import WRITTEN_KEY, Budget
from edge.store.copying import catch_up
from edge.store.journal import Journal
from edge.store.keeper import Chore
from edge.store.log import StationLog
from edge.store.readers import Readers
from edge.store.retention import PLATES_KEY, Retention, Sweep, Use
from edge.store.schema import DATABASE, connect_writer, find_damage
from edge.store.settings import keep_setting, number
from edge.store.usage import DAY_S
from edge.store.writer import Writer

_HOUR_S = 3_600.0
_FOLD_WAIT_MS = 500
_MOST_SWEEPS = 20
"""Sweeps in one go; the rest follows at the next."""


@dataclass(frozen=True, slots=True)
class Running:
    """What reads and writes at present; exchanged when a damaged database was recovered."""

    connection: sqlite3.Connection
    readers: Readers
    writer: Writer


class Housekeeping:
    """Everything that a store does by itself."""

    def __init__(
        self,
        directory: Path,
        section: StorageSection,
        blobs: BlobDirectory,
        journal: Journal,
        health: Health,
        *,
        now_ns: Callable[[], int],
        clock_is_right: Callable[[], bool],
        running: Callable[[], Running],
        waiting: Callable[[], int],
        on_damage: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._section = section
        self._blobs = blobs
        self._journal = journal
        self._health = health
        self._now_ns = now_ns
        self._running = running
        self._waiting = waiting
        self._on_damage = on_damage
        self.budget = Budget(directory, section, health, now_ns)
        self._retention = Retention(section, now_ns, clock_is_right)

    def chores(self) -> list[Chore]:
        """All of them with their paces; what reads the whole disk begins when the start is over."""
        return [
            Chore("journal", self.keep_journal, 15.0, 0.2),
            Chore("budget", self.make_room, 10.0, 0.1),
            Chore("retention", self.sweep, _HOUR_S, 30.0),
            Chore("written", self.keep_written, _HOUR_S, 60.0),
            Chore("check", self.check, DAY_S, 60.0),
            Chore("orphans", self.sweep_orphans, 6 * _HOUR_S, 600.0),
        ]

    def keep_journal(self) -> None:
        """Write what the journal lacks and bring it to the disk."""
        readers = self._running().readers
        catch_up(self._journal, readers)
        head = readers.answer(queries.head)
        self._journal.sync(head.note if head else None)

    def check(self) -> None:
        """Read the whole database; what SQLite finds wrong is recovered from."""
        if finding := self._running().readers.answer(find_damage):
            self._on_damage(finding)
        self._health.count("store.checks")

    def make_room(self) -> None:
        """Measure, and remove lawful vehicles' files while they pass their bounds."""
        for _ in range(_MOST_SWEEPS):
            running = self._running()
            self.budget.measure(running.readers)
            self.budget.written_today(running.readers)
            sweep = running.readers.answer(lambda c: self._retention.crowded(c, self.budget))
            if sweep is None:
                return
            self._remove(sweep)

    def sweep(self) -> None:
        """Remove what is past its time."""
        for _ in range(_MOST_SWEEPS):
            sweep = self._running().readers.answer(self._retention.aged)
            if sweep is None:
                break
            self._remove(sweep)
        self._erase_plates()
        self._fold()

    def keep_written(self) -> None:
        """Keep the count of bytes written over the end of this run."""
        running = self._running()
        if (today := self.budget.written_today(running.readers)) is not None:
            text = "{} {}".format(*today)
            running.writer.submit(
                lambda _log: keep_setting(running.connection, WRITTEN_KEY, text)
            ).result()

    def sweep_orphans(self) -> None:
        """Remove files that no record names: what a crash left between file and record.

        Not while statements wait for the database: those name files as well.
        """
        if self._waiting():
            return
        self._blobs.settle()
        running = self._running()
        first_ns = running.readers.answer(lambda c: number(c, "orphans_from_ns"))
        for directory in self._blobs.directories():
            names = [entry.name for entry in os.scandir(directory)]
            known = running.readers.answer(partial(_named, names=names))
            for name in set(names) - known:
                if self._is_over(directory / name, first_ns) and self._blobs.discard(name):
                    self._health.count("store.orphans_removed")

    def _is_over(self, path: Path, first_ns: int) -> bool:
        """Old enough; files of records that a damaged disk took stay as long as cases do."""
        changed_s = path.stat().st_mtime
        age_s = self._now_ns() / 1e9 - changed_s
        if changed_s * 1e9 < first_ns:
            return age_s > self._section.case_days * DAY_S
        return age_s > GRACE_S

    def _remove(self, sweep: Sweep) -> None:
        """The statement first, durable; then the files."""
        running = self._running()
        drop = partial(_drop, running.connection, self._retention, sweep)
        removed = running.writer.submit(drop).result()
        for sha256 in removed:
            self._blobs.discard(sha256)
        size = sum(use.size_bytes for use in sweep.uses)
        self.budget.dropped(sweep.share, size)
        self._health.count(f"store.removed.{sweep.share.kept_as}.{sweep.share.role}", len(removed))
        self._health.count("store.removed_bytes", size)

    def _erase_plates(self) -> None:
        for _ in range(_MOST_SWEEPS):
            running = self._running()
            before = running.readers.answer(lambda c: number(c, PLATES_KEY))
            uses, done = running.readers.answer(self._retention.plates)
            if done == before and not uses:
                return
            indices = [use.index for use in uses]
            self._journal.forget(indices)  # before the database: a copy is missed by nobody
            erase = partial(_erase, running.connection, self._retention, uses, done)
            running.writer.submit(erase).result()
            self._health.count("store.removed.lawful.plate", len(uses))

    def _fold(self) -> None:
        """Empty the write-ahead log: pages as they were before an erasure stand in it, too.

        Commits wait for it, so it is given up soon where somebody reads for long.
        """
        with contextlib.closing(connect_writer(self._directory / DATABASE)) as connection:
            connection.execute(f"PRAGMA busy_timeout={_FOLD_WAIT_MS}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _drop(
    connection: sqlite3.Connection, retention: Retention, sweep: Sweep, log: StationLog
) -> list[str]:
    """Note the removal in one transaction; the files that nothing names any more."""
    share = sweep.share
    connection.executemany(
        "DELETE FROM blob_uses WHERE idx = ? AND role = ? AND sha256 = ?",
        [(use.index, share.role, use.sha256) for use in sweep.uses],
    )
    sizes = {use.sha256: use.size_bytes for use in sweep.uses}
    free = sorted(sizes.keys() - _named(connection, list(sizes)))
    known = {n for n in free if connection.execute(_IS_DROPPED, (n,)).fetchone()}
    record = log.append(retention.blob_statement(sweep, [n for n in free if n not in known]))
    connection.executemany(
        "INSERT INTO dropped VALUES (?, ?, ?)",
        [(n, sizes[n], record.index) for n in free if n not in known],
    )
    return free


_IS_DROPPED = "SELECT 1 FROM dropped WHERE sha256 = ?"


def _erase(
    connection: sqlite3.Connection,
    retention: Retention,
    uses: Sequence[Use],
    done: int,
    log: StationLog,
) -> None:
    if uses:
        log.erase_private(use.index for use in uses)
        log.append(retention.plate_statement(uses))
    keep_setting(connection, PLATES_KEY, str(done))


def _named(connection: sqlite3.Connection, names: Iterable[str]) -> set[str]:
    """Those of some hashes that a record names."""
    return {
        name
        for name in names
        if connection.execute(
            "SELECT 1 FROM blob_uses WHERE sha256 = ? LIMIT 1", (name,)
        ).fetchone()
    }
