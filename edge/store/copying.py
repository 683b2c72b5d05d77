"""From the database to its journal: what each commit added, and what is missing from before."""

from __future__ import annotations

import sqlite3

from edge.store.journal import RECORDS_A_FILE, Journal, JournalRow
from edge.store.readers import Readers

_ROWS = "SELECT idx, canonical, data FROM records LEFT JOIN private USING (idx)"

_AT_ONCE = 500
"""Records in the memory at a time, however many a disk has refused."""


class JournalCopy:
    """Follows the commits of one connection, in the thread that commits."""

    def __init__(self, journal: Journal, connection: sqlite3.Connection, size: int) -> None:
        self._journal = journal
        self._connection = connection
        self._copied = size

    def up_to(self, size: int) -> None:
        """Copy the records below ``size``; where the disk refuses, the next commit tries again."""
        while self._copied < size:
            last = min(size, self._copied + _AT_ONCE)
            try:
                rows = _rows(self._connection, self._copied, last)
            except sqlite3.Error:
                return
            if not self._journal.append(rows):
                return
            self._copied = last


def catch_up(journal: Journal, readers: Readers) -> bool:
    """Write the next file's worth of what the journal is known to lack; true if there was any.

    Raises
    ------
    StoreError, OSError
        The disk refuses; the next call tries again.
    """
    missing = journal.behind()
    if missing is None:
        return False
    first, end = missing
    last = min(end, (first // RECORDS_A_FILE + 1) * RECORDS_A_FILE)
    if not journal.fill(first, readers.answer(lambda c: _rows(c, first, last))):
        return False
    journal.mark_behind((last, end) if last < end else None)
    return True


def _rows(connection: sqlite3.Connection, first: int, last: int) -> list[JournalRow]:
    return connection.execute(f"{_ROWS} WHERE idx >= ? AND idx < ?", (first, last)).fetchall()
