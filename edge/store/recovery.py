"""A damaged database is set aside whole and a new one made of what is readable.

::

    <directory>/damaged-20260102T030405Z/   the database as it was found; nothing is ever deleted
    <directory>/station.db.rebuilt          the new one, until it is complete

Sources are the pages of the damaged file, its write-ahead log and the journal. The tree is made
anew; if it fits the newest checkpoint that can be found, the log goes on, and a record whose bytes
are gone leaves its hash. If it does not, a new log of the next generation begins; what the centre
has not answered is quoted in it. Killed on the way, the next start begins again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge.evidence.note import Checkpoint, NoteSigner, NoteVerifier, origin_of
from edge.evidence.statement import other_draft
from edge.records import Draft
from edge.store.account import account_of, old_head, quotes, unbroken
from edge.store.files import sync_directory
from edge.store.journal import Journal
from edge.store.log import StationLog
from edge.store.pages import rows
from edge.store.rebuilding import (
    PASSAGE_BASES,
    Known,
    Tree,
    finish_tables,
    grow_tree,
    keep_passages,
)
from edge.store.salvage import Salvage
from edge.store.schema import DATABASE, migrate
from edge.store.settings import keep_setting

T = TypeVar("T")

REBUILT = "station.db.rebuilt"
DAMAGE_MARK = "damaged"
"""A file of this name makes the next start recover: damage was found while the station ran."""
_RECOVERED_MARK = "recovered"
_JOURNAL = "journal"
_NEWEST_CHECKPOINTS = 10_000

_TELL_EVERY = 5_000

Stamp = Callable[[Draft], Draft]
Progress = Callable[[int, int], None]
"""Told how many records were read, of about how many; may raise to end the recovery."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of a damaged store; ``generation`` rose if its log could not be continued."""

    aside: str
    records: int
    lost: tuple[tuple[int, int], ...]
    continued: bool
    generation: int


class Recovery:
    """One recovery of the store in ``directory``; ``run`` does it."""

    def __init__(
        self,
        directory: Path,
        journal: Journal,
        *,
        station: str,
        signer: NoteSigner,
        now_ns: Callable[[], int],
        stamp: Stamp,
        progress: Progress,
    ) -> None:
        self._directory = directory
        self._journal = journal
        self._station = station
        self._signer = signer
        self._now_ns = now_ns
        self._stamp = stamp
        self._progress = progress

    def run(self, cause: str) -> Recovered:
        """Set the database aside, make a new one, seal a statement of kind ``recovered`` in it.

        Raises
        ------
        OSError, sqlite3.Error
            The disk refuses; the next start tries again from the same sources.
        """
        aside = self._set_aside()
        path = self._directory / REBUILT
        connection = self._fresh(path)
        try:
            done = self._rebuild(connection, cause, aside.name)
        finally:
            connection.close()
        if not done.continued:
            self._keep_what_was_found(path, aside)
            path = path.with_name(path.name + ".next")
        self._put_in_place(path)
        return done

    def _set_aside(self) -> Path:
        """Move what there is of the database to a directory of its own, its mark last."""
        database = [self._directory / f"{DATABASE}{suffix}" for suffix in ("-wal", "-shm", "")]
        begun = unrecovered(self._directory)
        aside = self._new_aside() if any(map(Path.exists, database)) or not begun else begun[0]
        for path in (*database, self._directory / DAMAGE_MARK):
            if path.exists():
                path.rename(aside / path.name)
        sync_directory(aside)
        sync_directory(self._directory)
        return aside

    def _new_aside(self) -> Path:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now_ns() / 1e9))
        aside = self._directory / f"damaged-{stamp}"
        number = 1
        while aside.exists():
            number += 1
            aside = self._directory / f"damaged-{stamp}-{number}"
        aside.mkdir()
        return aside

    def _fresh(self, path: Path) -> sqlite3.Connection:
        """A new database; it is nothing until it is complete, so it waits for no disk."""
        for leftover in (path, path.with_name(path.name + "-journal")):
            leftover.unlink(missing_ok=True)
        connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-100000"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        migrate(connection)
        return connection

    def _rebuild(self, connection: sqlite3.Connection, cause: str, aside: str) -> Recovered:
        salvage = Salvage(connection, self._station)
        connection.execute("BEGIN")
        self._collect(salvage)
        known = self._known(salvage)
        tree = grow_tree(connection, salvage, known)
        salvage.settle_parts()
        salvage.settle_answers()
        facts = {"cause": cause, "aside": aside, **old_head(known)}
        if tree is None:
            connection.execute("COMMIT")
            return self._begin_anew(connection, salvage.generation, facts)
        finish_tables(connection, tree)
        salvage.settle_cosignatures()
        return self._go_on(connection, tree, salvage.generation, facts)

    def _collect(self, salvage: Salvage) -> None:
        sources = unrecovered(self._directory)
        for source in sources:
            salvage.take_pages(self._watched(salvage, rows(source / DATABASE)))
        for directory in (self._journal.directory, *(source / _JOURNAL for source in sources)):
            journal = self._journal.beside(directory)
            salvage.take_lines(self._watched(salvage, journal.lines()))
            salvage.take_parts(journal.privates())
            if note := journal.head():
                salvage.take_note(note, self._now_ns())

    def _watched(self, salvage: Salvage, pieces: Iterable[T]) -> Iterator[T]:
        expected = self._journal.end()
        for number, piece in enumerate(pieces):
            if number % _TELL_EVERY == 0:
                self._progress(salvage.records, max(expected, salvage.records))
            yield piece

    def _known(self, salvage: Salvage) -> dict[int, Known]:
        """Checkpoints that this station's key signed for this log."""
        verifier = NoteVerifier(self._signer.verifier_key)
        origin = origin_of(self._station, salvage.generation)
        known = {}
        for size, found in salvage.notes(_NEWEST_CHECKPOINTS).items():
            for time_ns, note in found:
                try:
                    checkpoint = Checkpoint.parse(verifier.verify(note))
                except ValueError:
                    continue
                if (checkpoint.origin, checkpoint.size) == (origin, size):
                    known[size] = Known(checkpoint, time_ns, note)
        return known

    def _go_on(
        self, connection: sqlite3.Connection, tree: Tree, generation: int, facts: dict[str, Any]
    ) -> Recovered:
        """The same log, with a statement of what happened as its next record."""
        size = tree.frontier.size
        _keep(connection, "generation", generation)
        if size:
            text = Checkpoint(origin_of(self._station, generation), size, tree.frontier.root())
            connection.execute(
                "INSERT OR IGNORE INTO checkpoints VALUES (?, ?, ?)",
                (size, self._now_ns(), self._signer.sign(text.text())),
            )
        lost = [index for index, _ in tree.lost]
        self._state(connection, facts | account_of(size - len(lost), lost, continued=True))
        gone = tuple(unbroken(lost))
        return Recovered(facts["aside"], size - len(lost), gone, True, generation)

    def _begin_anew(
        self, found: sqlite3.Connection, generation: int, facts: dict[str, Any]
    ) -> Recovered:
        """A log of the next generation, quoting what the centre has not answered."""
        connection = self._fresh(self._directory / (REBUILT + ".next"))
        try:
            connection.execute("BEGIN")
            _keep(connection, "generation", generation + 1)
            (last,) = found.execute("SELECT max(idx) FROM records").fetchone()
            keep_passages(connection, found, max(facts["old_size"] or 0, (last or 0) + 1))
            connection.execute(PASSAGE_BASES)
            connection.executemany(
                "INSERT INTO commands VALUES (?, ?, ?)", found.execute("SELECT * FROM commands")
            )
            (records,) = found.execute("SELECT count(*) FROM records").fetchone()
            account = account_of(records, [], continued=False)
            self._state(connection, facts | account, quotes=quotes(found, generation))
        finally:
            connection.close()
        return Recovered(facts["aside"], records, (), False, generation + 1)

    def _state(
        self,
        connection: sqlite3.Connection,
        fields: dict[str, Any],
        quotes: Iterable[Callable[[int], Draft]] = (),
    ) -> None:
        now_ns = self._now_ns()
        _keep(connection, "orphans_from_ns", now_ns)
        log = StationLog(
            connection, station=self._station, signer=self._signer, now_ns=self._now_ns
        )
        log.append(self._stamp(other_draft("recovered", time_ns=now_ns, fields=fields)))
        for quote in quotes:
            log.append(self._stamp(quote(now_ns)))
        log.checkpoint()
        connection.execute("COMMIT")

    def _keep_what_was_found(self, path: Path, aside: Path) -> None:
        """The old log's readable records and its journal stay with the damaged database."""
        path.rename(aside / "readable.db")
        if not (aside / _JOURNAL).exists():  # else a recovery before this one came so far
            self._journal.directory.rename(aside / _JOURNAL)
            self._journal.prepare()
        sync_directory(aside)

    def _put_in_place(self, path: Path) -> None:
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.rename(self._directory / DATABASE)
        sync_directory(self._directory)


def unrecovered(directory: Path) -> list[Path]:
    """What was set aside and is in no database yet, newest first."""
    found = directory.glob("damaged-*/")
    return sorted((d for d in found if not (d / _RECOVERED_MARK).exists()), reverse=True)


def mark_recovered(directory: Path) -> None:
    """The database in its place was made of what was set aside: that is no source any more."""
    for aside in unrecovered(directory):
        (aside / _RECOVERED_MARK).touch()


def _keep(connection: sqlite3.Connection, key: str, value: int) -> None:
    keep_setting(connection, key, str(value))
