"""The one thread that writes: takes all work that waits, commits it once, then tells everybody.

Its queue has no bound because each piece of work is awaited by the one who gave it: there are
never more than there are callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from edge.errors import StoreError
from edge.evidence.merkle import Frontier
from edge.health import Health, Level
from edge.store.blobs import disk_refused
from edge.store.log import StationLog
from edge.store.schema import is_damage

T = TypeVar("T")

_ENOUGH = 256
"""Pieces of work after which no more are taken into one transaction; the first of them waits."""


@dataclass(slots=True, eq=False)
class Job:
    """A piece of work, and what came of it once that is on the disk."""

    work: Callable[[StationLog], Any]
    value: Any = None
    error: Exception | None = None

    def attempt(self, log: StationLog) -> None:
        """Do the work inside a transaction; again, if that was rolled back."""
        try:
            self.value = self.work(log)
        except sqlite3.Error:
            raise
        except Exception as error:
            self.error = error
            raise _AtFault from error

    def settle(self, future: Future[Any] | asyncio.Future[Any]) -> None:
        """Tell the one who waits."""
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.value)


class _AtFault(Exception):
    """A piece of work can't be done, though the store is well."""


@dataclass(frozen=True, slots=True)
class _Bundle:
    jobs: Sequence[Job]
    tell: Callable[[], None]


class Writer:
    """Owns the writing connection and the log from ``start`` until ``close``."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        log: StationLog,
        health: Health,
        on_grown: Callable[[int], None],
        on_damage: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._log = log
        self._health = health
        self._on_grown = on_grown
        self._on_damage = on_damage
        self._bundles: queue.SimpleQueue[_Bundle | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        # A daemon, so that a crash of the main thread ends the process: commits need no farewell.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Begin to take work."""
        self._thread.start()

    def submit(self, work: Callable[[StationLog], T]) -> Future[T]:
        """Queue work for the next transaction; its future holds once that is on the disk.

        Raises
        ------
        StoreError
            The store is closed.
        """
        future: Future[T] = Future()
        job = Job(work)
        self.hand([job], partial(job.settle, future))
        return future

    def hand(self, jobs: Sequence[Job], tell: Callable[[], None]) -> None:
        """Queue jobs for one transaction; ``tell`` is called in this thread when all have ended.

        Raises
        ------
        StoreError
            The store is closed.
        """
        with self._gate:
            if self._closed:
                raise StoreError("证据库已关闭", "the store is closed")
            self._bundles.put(_Bundle(jobs, tell))

    def close(self) -> bool:
        """Finish what is queued, fold the write-ahead log into the database, end the thread.

        False if it was closed before.
        """
        with self._gate:
            if self._closed:
                return False
            self._closed = True
            self._bundles.put(None)
        self._thread.join()
        return True

    def _run(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            self._commit([job for bundle in group for job in bundle.jobs])
            for bundle in group:
                bundle.tell()
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            self._report(disk_refused(error))  # nothing is lost: the next start folds it in
        finally:
            self._connection.close()

    def _next_group(self) -> tuple[list[_Bundle], bool]:
        """All work that waits, and whether more may come."""
        group: list[_Bundle] = []
        bundle, jobs = self._bundles.get(), 0
        while bundle is not None:
            group.append(bundle)
            jobs += len(bundle.jobs)
            if jobs >= _ENOUGH or self._bundles.empty():
                return group, True
            bundle = self._bundles.get()
        return group, False

    def _commit(self, jobs: Sequence[Job]) -> None:
        """One transaction for all jobs: all of it is on the disk, or none.

        One that is at fault itself is left out, and the rest done again: that is rare, and a
        savepoint under each job would cost every commit a quarter more.
        """
        while jobs := [job for job in jobs if job.error is None]:
            before, began_ns = self._log.frontier, time.monotonic_ns()
            try:
                self._transact(jobs, before)
            except _AtFault:
                self._roll_back(before)
            except Exception as error:  # noqa: BLE001 - the callers get it; the writer must live on
                self._roll_back(before)
                self._fail(jobs, error)
            else:
                self._succeed(began_ns, self._log.frontier.size - before.size)
                return

    def _transact(self, jobs: Sequence[Job], before: Frontier) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            job.attempt(self._log)
        if self._log.frontier.size > before.size:
            self._log.checkpoint()
        self._connection.execute("COMMIT")

    def _roll_back(self, before: Frontier) -> None:
        self._log.frontier = before
        # SQLite has rolled back by itself after some errors, a full disk among them.
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _succeed(self, began_ns: int, appended: int) -> None:
        self._health.count("store.commits")
        self._health.gauge("store.commit_ms", (time.monotonic_ns() - began_ns) / 1e6)
        self._health.state("store", Level.OK, "证据库正常", "evidence store works")
        if appended:
            self._health.count("store.records", appended)
            self._on_grown(self._log.frontier.size)

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self._on_damage(str(error))
        refused = disk_refused(error)
        refused.__cause__ = error
        self._report(refused)
        for job in jobs:
            job.error = refused

    def _report(self, refused: StoreError) -> None:
        self._health.count("store.failures")
        self._health.state("store", Level.DOWN, *refused.what, next_step=refused.next_step)
