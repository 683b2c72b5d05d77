"""Opening a store: what is cheap is checked; what is damaged is recovered before anybody writes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError, IntegrityError, StoreError, Text
from edge.evidence.note import NoteSigner, NoteVerifier
from edge.health import Health, Level
from edge.store.blobs import disk_refused
from edge.store.files import replace_file, sync_directory
from edge.store.journal import Journal
from edge.store.log import StationLog
from edge.store.recovery import (
    DAMAGE_MARK,
    Progress,
    Recovered,
    Recovery,
    Stamp,
    mark_recovered,
    unrecovered,
)
from edge.store.schema import DATABASE, NewerDatabase, connect_writer, error_code, migrate

_LEAVE_IT = Text(
    "不要断电，不要删除任何文件；通知维护人员",
    "do not switch off, delete nothing; tell the maintainer",
)
_DAMAGE_AT_START = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_FORMAT}
)
"""Also a table that is missing: migrations have made them all."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A log that is ready to be written, and what had to be done for that."""

    connection: sqlite3.Connection
    log: StationLog
    recovered: Recovered | None = None


class Damaged(Exception):
    """The database is not to be used as it is; the message says why."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How a store is opened, at its start and again after damage."""

    directory: Path
    journal: Journal
    station: str
    signer: NoteSigner
    now_ns: Callable[[], int]
    stamp: Stamp
    progress: Progress = lambda _taken, _expected: None

    def open(self) -> Opened:
        """The log where it ends; a damaged one is recovered first.

        Raises
        ------
        ConfigError
            The directory is another station's, or the key is not the one of its log.
        IntegrityError
            What was recovered contradicts itself as well.
        StoreError, OSError, sqlite3.Error
            The disk refuses.
        """
        try:
            return self.open_whole()
        except Damaged as damage:
            return self._recovered(str(damage))

    def open_whole(self) -> Opened:
        """As ``open``, but nothing is recovered.

        Raises
        ------
        Damaged
            The database has to be recovered first, which may take minutes.
        """
        self.journal.prepare()
        mark = self.directory / DAMAGE_MARK
        if mark.exists() or self._was_interrupted():
            raise Damaged(mark.read_text() if mark.exists() else "interrupted")
        try:
            return self._opened()
        except (sqlite3.Error, IntegrityError, ConfigError, StoreError, ValueError) as error:
            if not self._is_damage(error):
                raise
            raise Damaged(str(getattr(error, "what", error))) from error

    def _recovered(self, cause: str) -> Opened:
        if (self.directory / DATABASE).exists():  # killed on the way, the next start goes on
            mark_damage(self.directory, cause)
        recovery = Recovery(
            self.directory,
            self.journal,
            station=self.station,
            signer=self.signer,
            now_ns=self.now_ns,
            stamp=self.stamp,
            progress=self.progress,
        )
        done = recovery.run(cause)
        opened = self._opened()
        self.journal.mark_behind((0, opened.log.frontier.size))
        return Opened(opened.connection, opened.log, done)

    def _opened(self) -> Opened:
        connection = connect_writer(self.directory / DATABASE)
        try:
            migrate(connection)
            log = StationLog(
                connection, station=self.station, signer=self.signer, now_ns=self.now_ns
            )
            self._compare_journal(connection, log.frontier.size)
            mark_recovered(self.directory)
            sync_directory(self.directory)
        except BaseException:
            connection.close()
            raise
        return Opened(connection, log)

    def _compare_journal(self, connection: sqlite3.Connection, size: int) -> None:
        """The journal is written after the commit: it never knows more than the database."""
        end = self.journal.end()
        if end > size:
            raise IntegrityError(
                f"日志副本有 {end} 条记录，数据库只有 {size} 条",
                f"the journal knows {end} records, the database {size}",
                step="journal",
            )
        if end < size and self.journal.behind() is None:
            self.journal.mark_behind((end, size))

    def _was_interrupted(self) -> bool:
        """Whether the database was set aside by a recovery that did not come to its end."""
        if (self.directory / DATABASE).exists():
            return False
        return self.journal.end() > 0 or bool(unrecovered(self.directory))

    def _is_damage(self, error: Exception) -> bool:
        if isinstance(error, sqlite3.Error):
            return error_code(error) in _DAMAGE_AT_START
        if isinstance(error, ConfigError | StoreError):
            # A wrong key or directory is the installer's, unless the journal knows this key.
            return not isinstance(error, NewerDatabase) and self._journal_is_ours()
        return True

    def _journal_is_ours(self) -> bool:
        """Whether a checkpoint in the journal was signed by the very key that is here now."""
        note = self.journal.head()
        try:
            NoteVerifier(self.signer.verifier_key).verify(note or "")
        except ValueError:
            return False
        return True


def mark_damage(directory: Path, finding: str) -> None:
    """Make sure that also a start after a crash recovers."""
    with contextlib.suppress(OSError):
        replace_file(directory / DAMAGE_MARK, finding.encode())


def tell_damage(health: Health, finding: str) -> None:
    """The damage in words for people; it is mended by itself."""
    health.count("store.damages")
    health.state(
        "recovery",
        Level.DOWN,
        f"数据库损坏：{finding}；正在恢复，称重照常",
        f"the database is damaged: {finding}; it is being recovered, weighing goes on",
        next_step=_LEAVE_IT,
    )


def tell_progress(health: Health, taken: int, expected: int) -> None:
    """How far a recovery has come."""
    health.state(
        "recovery",
        Level.DOWN,
        f"正在恢复数据库：已读出 {taken} 条，约共 {expected} 条；称重照常，新记录存盘等待封存",
        f"the database is being recovered: {taken} of about {expected} records were read;"
        " weighing goes on, new records wait on the disk",
        next_step=_LEAVE_IT,
    )


def tell_unopened(health: Health, error: Exception) -> None:
    """The disk does not let the database be opened; most often it is full."""
    refused = disk_refused(error)
    health.count("store.opening_refused")
    health.state("store", Level.DOWN, *refused.what, next_step=refused.next_step)


def tell_recovered(health: Health, done: Recovered) -> None:
    """What became of it; stays to be seen until the next start."""
    lost = sum(last - first + 1 for first, last in done.lost)
    zh = f"数据库曾损坏，已恢复 {done.records} 条记录，{lost} 条只剩散列；原库保存在 {done.aside}"
    en = (
        f"the database was damaged: {done.records} records recovered, of {lost} the hash alone"
        f" is left; the damaged one is kept in {done.aside}"
    )
    if not done.continued:
        zh += f"；日志无法延续，已开始第 {done.generation} 份日志"
        en += f"; its log could not be continued, log {done.generation} has begun"
    health.count("store.recoveries")
    health.state(
        "recovery",
        Level.WARNING,
        zh,
        en,
        next_step=Text(
            "不要删除该目录；检查磁盘，通知维护人员",
            "do not delete that directory; have the disk checked, tell the maintainer",
        ),
    )
