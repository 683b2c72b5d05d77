"""The station's store: durable before told, delivered only when receipted.

::

    <directory>/station.db     records, tree, checkpoints, outbox, receipts
    <directory>/blobs/ab/...   signal and pictures by SHA-256
    <directory>/lock           held while a process uses the directory

One thread writes; reads go through connections of their own and never wait for it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from edge.errors import IntegrityError, StoreError
from edge.evidence.note import NoteSigner
from edge.evidence.receipt import Receipt
from edge.health import Health
from edge.records import Blob, Draft, Record
from edge.store import queries
from edge.store.blobs import BlobDirectory, disk_refused
from edge.store.files import sync_directory
from edge.store.lock import DirectoryLock
from edge.store.log import StationLog
from edge.store.queries import DeliveryState, Head, OutboxEntry, OutboxSummary
from edge.store.readers import Readers
from edge.store.schema import DATABASE, connect_writer, migrate, quick_check
from edge.store.writer import Writer

T = TypeVar("T")

Provenance: TypeAlias = Callable[[int], dict[str, Any]]
"""Fields of a statement that say where its ``time_us`` comes from."""


class Store:
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
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._health = health
        self._provenance = provenance
        self._lock = DirectoryLock(directory)
        self._blobs = BlobDirectory(directory / "blobs")
        self._growth = _Growth()
        try:
            self._blobs.prepare()
            connection = connect_writer(directory / DATABASE)
            try:
                log = _open_log(connection, station, signer, now_ns)
                sync_directory(directory)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self._growth.grown(log.frontier.size)
        self._readers = Readers(directory / DATABASE)
        self._writer = Writer(connection, log, health, self._growth.grown)
        self._writer.start()

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
    ) -> Store:
        """Open or create the store of a station, after checking that it is whole.

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
            )
        except (OSError, sqlite3.Error) as error:
            raise _damaged(str(error)) if _is_damage(error) else disk_refused(error) from error

    async def close(self) -> None:
        """Finish what is queued and give the directory free; the second call does nothing."""
        self._growth.close()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._readers.close()
        if self._writer.close():
            self._lock.release()

    # ------------------------------------------------------------------------------- writing

    async def put_blob(self, data: bytes, role: str, media_type: str, deliver: bool = True) -> Blob:
        """Keep bytes beside the records; on the disk for good when this returns.

        Raises
        ------
        StoreError
            The disk refuses; nothing half written stays behind.
        """
        sha256 = await self._readers.run(lambda: self._blobs.put(data))
        self._health.count("store.blobs")
        return Blob(role, media_type, sha256, len(data), deliver)

    async def append(self, draft: Draft) -> Record:
        """Seal a draft; numbered, in the signed tree, in the outbox and durable on return.

        Raises
        ------
        StoreError
            The disk refuses; nothing of it is kept.
        ValueError
            The draft can't be a statement.
        """
        stamped = self._stamped(draft)
        return await self._write(lambda log: log.append(stamped))

    def _stamped(self, draft: Draft) -> Draft:
        """The draft with where its time comes from, unless it says so itself."""
        time_us = draft.body.get("time_us")
        if self._provenance is None or not isinstance(time_us, int):
            return draft
        return replace(draft, body=self._provenance(time_us) | draft.body)

    async def acknowledge(self, receipt: Receipt) -> bool:
        """Take a receipt; true if it ended an open outbox entry.

        A receipt that refuses, or whose id is not that record's, ends nothing and is counted.
        """
        ended = receipt.status == "stored" and await self._write(
            lambda log: log.acknowledge(receipt)
        )
        self._health.count("store.receipts" if ended else "store.receipts_without_entry")
        return ended

    async def note_attempt(self, index: int) -> None:
        """Count one more try to deliver a record."""
        await self._write(lambda log: log.note_attempt(index))

    async def poison(self, index: int, reason: str) -> None:
        """Set a record aside that the centre will never take; it stays in the store."""
        await self._write(lambda log: log.poison(index, reason))
        self._health.count("store.poisoned")

    async def _write(self, work: Callable[[StationLog], T]) -> T:
        return await asyncio.wrap_future(self._writer.submit(work))

    # ------------------------------------------------------------------------------- reading

    async def outbox(self, limit: int, exclude: Collection[int] = ()) -> list[OutboxEntry]:
        """What is to be sent next, urgent first; ``exclude`` is what is on its way already."""
        return await self._readers.ask(lambda c: queries.outbox(c, limit, exclude))

    async def outbox_summary(self) -> OutboxSummary:
        """How much waits for the centre, and since when."""
        return await self._readers.ask(queries.outbox_summary)

    async def envelope(self, index: int) -> bytes:
        """What is sent for a record: the same bytes whenever it is asked for.

        Raises
        ------
        IntegrityError
            There is no such record, or a part of its proof is missing.
        """
        try:
            return (await self._readers.ask(lambda c: queries.envelope(c, index))).encode()
        except LookupError as error:
            raise IntegrityError(
                f"记录 {index} 的证明不完整：{error}",
                f"the proof of record {index} is incomplete: {error}",
                step="envelope",
            ) from error

    async def latest(
        self,
        kind: str | None = "vehicle",
        lane: str | None = None,
        limit: int = 20,
        before: int | None = None,
    ) -> list[Record]:
        """Records below index ``before``, newest first; None stands for any kind or lane."""
        return await self._readers.ask(lambda c: queries.latest(c, kind, lane, limit, before))

    async def record(self, index: int) -> Record | None:
        """One record, or None."""
        return await self._readers.ask(lambda c: queries.record(c, index))

    async def deliverable_blobs(self, index: int) -> list[Blob]:
        """Blobs that go to the centre with a record."""
        record = await self.record(index)
        return [blob for blob in record.blobs if blob.deliver] if record else []

    async def delivery(self, index: int) -> DeliveryState:
        """How far the delivery of a record is."""
        return await self._readers.ask(lambda c: queries.delivery(c, index))

    async def head(self) -> Head | None:
        """The newest checkpoint with its signed note, or None before the first record."""
        return await self._readers.ask(queries.head)

    async def counts_since(self, time_us: int) -> dict[str, int]:
        """Records by kind and vehicles by verdict (``vehicle.over``) from ``time_us`` on."""
        return await self._readers.ask(lambda c: queries.counts_since(c, time_us))

    def blob_path(self, sha256: str) -> Path:
        """Where the bytes of a blob are kept."""
        return self._blobs.path(sha256)

    async def wait_appended(self, after_index: int) -> int:
        """Wait until the log holds a record past ``after_index``; gives the newest index.

        Raises
        ------
        StoreError
            The store was closed meanwhile.
        """
        return await self._growth.wait(after_index)


class _Growth:
    """Wakes those who wait for the log to grow; the writer thread tells it."""

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._newest = -1
        self._closed = False
        self._waiting: dict[Future[int], int] = {}

    def grown(self, size: int) -> None:
        with self._gate:
            self._newest = size - 1
            ready = [f for f, after in self._waiting.items() if after < self._newest]
            for future in ready:
                del self._waiting[future]
        for future in ready:
            if future.set_running_or_notify_cancel():
                future.set_result(self._newest)

    async def wait(self, after_index: int) -> int:
        future: Future[int] = Future()
        with self._gate:
            if self._newest > after_index:
                return self._newest
            if self._closed:
                raise _closed()
            self._waiting[future] = after_index
        try:
            return await asyncio.wrap_future(future)
        finally:
            with self._gate:
                self._waiting.pop(future, None)

    def close(self) -> None:
        with self._gate:
            self._closed = True
            waiting, self._waiting = list(self._waiting), {}
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(_closed())


def _closed() -> StoreError:
    return StoreError("证据库已关闭", "the store is closed")


def _open_log(
    connection: sqlite3.Connection, station: str, signer: NoteSigner, now_ns: Callable[[], int]
) -> StationLog:
    migrate(connection)
    if finding := quick_check(connection):
        raise _damaged(finding)
    return StationLog(connection, station=station, signer=signer, now_ns=now_ns)


def _is_damage(error: Exception) -> bool:
    """Whether SQLite says that the file itself is broken, rather than the disk busy or full."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _damaged(finding: str) -> IntegrityError:
    return IntegrityError(
        f"数据库损坏：{finding}",
        f"the database is damaged: {finding}",
        step="quick_check",
        next_zh="不要删除任何文件；备份数据目录，通知维护人员",
        next_en="delete nothing; copy the data directory and call the maintainer",
    )
