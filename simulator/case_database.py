"""The case system's database file and its blobs: open, commit all or nothing, close."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from edge.store.blobs import BlobDirectory
from simulator.case_schema import prepare


class CaseDatabase:
    """One connection; one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, directory: Path) -> None:
        self.database = connection
        self.directory = directory
        self.blobs = BlobDirectory(directory / "blobs")

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open or make the store in ``directory``; an older one is brought over.

        Raises
        ------
        StoreError
            The store was written by a newer program.
        """
        directory.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            directory / "cases.db", isolation_level=None, check_same_thread=False, timeout=10.0
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_autocheckpoint=4000")
            prepare(connection)
        except BaseException:
            connection.close()
            raise
        return cls(connection, directory)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is on the disk at the end, or none of it."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.database.execute("COMMIT")
        except BaseException:
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
            raise

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A part of a transaction that is undone alone if it fails."""
        self.database.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            self.database.execute("ROLLBACK TO attempt")
            raise
        finally:
            self.database.execute("RELEASE attempt")

    def one(self, sql: str, *values: Any) -> Any:
        """First row of a query, or None."""
        return self.database.execute(sql, values).fetchone()
