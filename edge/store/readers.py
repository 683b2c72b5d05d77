"""Reads beside the writer: a few named threads, each with read-only connections of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from edge.errors import StoreError
from edge.store.blobs import disk_refused
from edge.store.schema import connect_reader, is_damage

T = TypeVar("T")

_THREADS = 3


class Readers:
    """Runs questions and file work off the event loop."""

    def __init__(self, database: Path, on_damage: Callable[[str], None]) -> None:
        self._database = database
        self._on_damage = on_damage
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-reader")
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []

    async def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """The answer to a question, from one consistent state of the database.

        Raises
        ------
        StoreError
            The database can't be read, or the store is closed.
        """
        return await self.run(lambda: self.answer(question))

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work of the store in one of its threads."""
        try:
            job = self._pool.submit(work)
        except RuntimeError:
            raise StoreError("证据库已关闭", "the store is closed") from None
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """Finish what was asked and close the connections."""
        self._pool.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    def answer(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """The answer to a question asked from any thread; as ``ask``."""
        try:
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                return question(connection)
            finally:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            if is_damage(error):
                self._on_damage(str(error))
            raise disk_refused(error) from error

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._own, "connection"):
            self._own.connection = connect_reader(self._database)
            self._connections.append(self._own.connection)
        connection: sqlite3.Connection = self._own.connection
        return connection
