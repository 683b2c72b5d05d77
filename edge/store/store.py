"""The station's store: durable before told, delivered only when receipted.

::

    <directory>/station.db     records, tree, checkpoints, outbox, receipts
    <directory>/blobs/ab/...   signal and pictures by SHA-256
    <directory>/journal/...    a second copy of the records
    <directory>/waiting/...    statements while the database can't take them
    <directory>/damaged-.../   databases that were damaged, as they were found
    <directory>/lock           held while a process uses the directory

One thread writes, one keeps house; reads go through connections of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from edge.config import StorageSection
from edge.errors import ConfigError, IntegrityError, StoreError
from edge.evidence.note import NoteSigner
from edge.health import Health, Level
from edge.store.blobs import BlobDirectory, disk_refused
from edge.store.callers import Callers
from edge.store.copying import JournalCopy
from edge.store.growth import Growth
from edge.store.housekeeping import Housekeeping, Running
from edge.store.journal import Journal
from edge.store.keeper import Chore, Keeper
from edge.store.lock import DirectoryLock
from edge.store.readers import Readers
from edge.store.reading import Reading
from edge.store.schema import DATABASE
from edge.store.start import (
    Damaged,
    Opened,
    Opening,
    mark_damage,
    tell_damage,
    tell_progress,
    tell_recovered,
    tell_unopened,
)
from edge.store.waiting import WaitingRoom
from edge.store.writer import Writer
from edge.store.writing import Provenance, Writing

_HEAL_AGAIN_S = 5.0


class Store(Reading, Writing):
    """Records, blobs, outbox and receipts of one station. Made with ``await Store.open(...)``."""

    def __init__(
        self,
        directory: Path,
        *,
        station: str,
        signer: NoteSigner,
        health: Health,
        now_ns: Callable[[], int],
        provenance: Provenance | None = None,
        storage: StorageSection | None = None,
        waits: bool = True,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # plates are nobody else's
        self._health = health
        self._provenance = provenance
        self._now_ns = now_ns
        self._lock = DirectoryLock(directory)
        self._blobs = BlobDirectory(directory / "blobs")
        self._growth = Growth()
        self._damage = ""
        self._closed = False
        self._directory = directory
        self._journal = Journal(directory / "journal", health)
        self.waiting = WaitingRoom(directory / "waiting", health)
        self._running_now: Running | None = None
        self._callers = Callers(lambda: self._running().writer)
        self._opening = Opening(
            directory, self._journal, station, signer, now_ns, self._stamped, self._progress
        )
        self._readers = Readers(directory / DATABASE, self.note_damage)
        try:
            damage = self._begin(waits)
        except BaseException:
            self._readers.close()
            self._lock.release()
            raise
        self.house = Housekeeping(
            directory,
            storage or StorageSection(),
            self._blobs,
            self._journal,
            health,
            now_ns=now_ns,
            clock_is_right=self._clock_is_right,
            running=self._running,
            waiting=lambda: len(self.waiting),
            on_damage=self.note_damage,
        )
        self._keeper = Keeper(self._chores(), health)
        self._keeper.start()
        if damage:
            self.note_damage(damage)

    def _begin(self, waits: bool) -> str:
        """Open the database, or leave that to the keeper if it takes long or the disk refuses."""
        try:
            self._blobs.prepare()
            self._take_up(self._opening.open() if waits else self._opening.open_whole())
        except Damaged as damage:
            return str(damage)
        except (OSError, sqlite3.Error) as error:
            if waits:
                raise
            tell_unopened(self._health, error)
        return ""

    def _take_up(self, opened: Opened) -> None:
        """Begin to read and to write a log that was opened."""
        log, database = opened.log, self._directory / DATABASE
        if opened.recovered is not None:
            tell_recovered(self._health, opened.recovered)
        self._growth.grown(log.frontier.size)
        self._readers.close()
        self._readers = Readers(database, self.note_damage)
        writer = Writer(
            opened.connection, log, self._health, self._copying(opened), self.note_damage
        )
        writer.start()
        self._running_now = Running(opened.connection, self._readers, writer)

    def _copying(self, opened: Opened) -> Callable[[int], None]:
        """What follows a commit, in the writer's thread: the copy first, then it is told."""
        copy = JournalCopy(self._journal, opened.connection, opened.log.frontier.size)

        def committed(size: int) -> None:
            copy.up_to(size)
            self._growth.grown(size)

        return committed

    def note_damage(self, finding: str) -> None:
        """Damage was met while the station runs: it is recovered as soon as may be."""
        if not self._damage:
            self._damage = finding
            mark_damage(self._directory, finding)
            tell_damage(self._health, finding)
            self._keeper.call("heal")

    def _chores(self) -> list[Chore]:
        """Damage is looked after first."""
        return [Chore("heal", self._heal, _HEAL_AGAIN_S, _HEAL_AGAIN_S), *self.house.chores()]

    def _running(self) -> Running:
        if self._running_now is None:
            raise StoreError(
                "证据库正在恢复或磁盘写不进，请稍候",
                "the store is being recovered, or the disk refuses: wait a while",
            )
        return self._running_now

    def _progress(self, taken: int, expected: int) -> None:
        if self._closed:
            raise StoreError("证据库已关闭", "the store is closed")
        tell_progress(self._health, taken, expected)

    @property
    def is_ready(self) -> bool:
        """Whether the database takes statements; if not, ``set_aside`` keeps them meanwhile."""
        return self._running_now is not None and not self._damage

    def _clock_is_right(self) -> bool:
        """Whether the clock may decide over what is old; a station that can't tell trusts it."""
        if self._provenance is None:
            return True
        clock = self._provenance(self._now_ns() // 1000).get("clock_host", {})
        return bool(clock.get("synchronised", False))

    def _heal(self) -> None:
        """Recover while the station runs; whoever writes meanwhile is refused and tries again."""
        if self.is_ready:
            return
        self._readers.close()
        if self._running_now is not None:
            self._running_now.writer.close()
            self._running_now = None
        try:
            self._blobs.prepare()
            self._take_up(self._opening.open())
        except (OSError, sqlite3.Error) as error:
            tell_unopened(self._health, error)
            raise
        except (ConfigError, IntegrityError) as error:
            self._health.state("store", Level.DOWN, *error.what, next_step=error.next_step)
            raise
        self._damage = ""

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        station: str,
        signer: NoteSigner,
        health: Health,
        now_ns: Callable[[], int],
        provenance: Provenance | None = None,
        storage: StorageSection | None = None,
        waits: bool = True,
    ) -> Store:
        """Open or create the store of a station, after checking that it is whole.

        Without ``waits`` it comes back at once where the database must be recovered first or the
        disk refuses; that goes on beside, and ``is_ready`` says when it is done.

        Raises
        ------
        StoreError
            The disk refuses, or another process uses the directory.
        ConfigError
            The directory is another station's, or the key is not the one of its log.
        IntegrityError
            The database is damaged, or the log contradicts itself.
        """
        try:
            return await asyncio.to_thread(
                cls,
                directory,
                station=station,
                signer=signer,
                health=health,
                now_ns=now_ns,
                provenance=provenance,
                storage=storage,
                waits=waits,
            )
        except (OSError, sqlite3.Error) as error:
            raise disk_refused(error) from error

    async def close(self) -> None:
        """Finish what is queued and give the directory free; the second call does nothing."""
        self._growth.close()
        self._callers.hand_over(asyncio.get_running_loop())
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._keeper.close()
        self._end_journal()
        self._readers.close()
        if self._running_now is not None:
            self._running_now.writer.close()
        self._lock.release()

    def _end_journal(self) -> None:
        with contextlib.suppress(OSError, StoreError):  # the next start writes what is missing
            self.house.keep_journal()
        with contextlib.suppress(OSError, StoreError):
            self.house.keep_written()

    @property
    def has_room(self) -> bool:
        """Whether files of lawful vehicles may be written; those of cases always are."""
        return self.house.budget.has_room
