"""Small facts that must outlive the process, by key."""

from __future__ import annotations

import sqlite3


def setting(connection: sqlite3.Connection, key: str) -> str | None:
    """The value of a key, or None."""
    row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def number(connection: sqlite3.Connection, key: str, default: int = 0) -> int:
    """The value of a key as an integer."""
    value = setting(connection, key)
    return default if value is None else int(value)


def keep_setting(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Set a key; inside a transaction of the writer."""
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))


def generation(connection: sqlite3.Connection) -> int:
    """Which log of the station this is; the first is 1."""
    return number(connection, "generation", 1)
