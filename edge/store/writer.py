"""The one thread that writes: takes all work that waits, commits it once, then tells everybody.

Its queue has no bound because each piece of work is awaited by the one who gave it: there are
never more than there are callers.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from edge.errors import StoreError
from edge.health import Health, Level
from edge.store.blobs import disk_refused
from edge.store.log import StationLog
from edge.store.schema import is_damage

T = TypeVar("T")

_LARGEST_GROUP = 256
"""Pieces of work in one transaction; a bound on how long the first of them waits."""


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[StationLog], Any]
    future: Future[Any]


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
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
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
        with self._gate:
            if self._closed:
                raise StoreError("证据库已关闭", "the store is closed")
            self._jobs.put(_Job(work, future))
        return future

    def close(self) -> bool:
        """Finish what is queued, fold the write-ahead log into the database, end the thread.

        False if it was closed before.
        """
        with self._gate:
            if self._closed:
                return False
            self._closed = True
            self._jobs.put(None)
        self._thread.join()
        return True

    def _run(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            if running := [job for job in group if job.future.set_running_or_notify_cancel()]:
                self._commit(running)
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            self._report(disk_refused(error))  # nothing is lost: the next start folds it in
        finally:
            self._connection.close()

    def _next_group(self) -> tuple[list[_Job], bool]:
        """All work that waits, and whether more may come."""
        group: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if len(group) == _LARGEST_GROUP or self._jobs.empty():
                return group, True
            job = self._jobs.get()
        return group, False

    def _commit(self, group: list[_Job]) -> None:
        """One transaction for the group: all of it is on the disk, or none."""
        before = self._log.frontier
        began_ns = time.monotonic_ns()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._attempt(job) for job in group]
            if self._log.frontier.size > before.size:
                self._log.checkpoint()
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the callers get it; the writer must live on
            self._roll_back()
            self._log.frontier = before
            self._fail(group, error)
            return
        self._succeed(began_ns, self._log.frontier.size - before.size)
        for job, outcome in zip(group, outcomes, strict=True):
            outcome.hand_to(job.future)

    def _attempt(self, job: _Job) -> _Outcome:
        """Run one piece of work; if it is at fault itself, the rest of the group goes on."""
        before = self._log.frontier
        self._connection.execute("SAVEPOINT job")
        try:
            outcome = _Outcome(job.work(self._log))
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of the caller's, handed back to it
            self._connection.execute("ROLLBACK TO job")
            self._log.frontier = before
            outcome = _Outcome(error=error)
        self._connection.execute("RELEASE job")
        return outcome

    def _roll_back(self) -> None:
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

    def _fail(self, group: list[_Job], error: Exception) -> None:
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self._on_damage(str(error))
        refused = disk_refused(error)
        refused.__cause__ = error
        self._report(refused)
        for job in group:
            job.future.set_exception(refused)

    def _report(self, refused: StoreError) -> None:
        self._health.count("store.failures")
        self._health.state("store", Level.DOWN, *refused.what, next_step=refused.next_step)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a piece of work gave, kept back until it is on the disk."""

    value: Any = None
    error: Exception | None = None

    def hand_to(self, future: Future[Any]) -> None:
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.value)
