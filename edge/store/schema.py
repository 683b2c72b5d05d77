"""The database of a station: how it is opened, and how its tables came to be.

Write-ahead log with ``synchronous=FULL``: a commit is on the disk when it returns. Tables change
by numbered migrations only; ``user_version`` counts those that were applied.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from edge.errors import ConfigError, StoreError
from edge.store.migrations import EARLIER_READ, MIGRATIONS

DATABASE = "station.db"
APPLICATION_ID = 0x53544C59
"""``STLY``: the database says whose it is."""

_BUSY_TIMEOUT_MS = 10_000
_JOURNAL_LIMIT_BYTES = 16 << 20
_FOLD_PAGES = 4_000
"""Pages of the write-ahead log that are folded into the database at once. One record alone takes
some fifteen; folding seldom keeps it out of the time of all but one commit in some hundreds, and
writes the pages that change with every record far less often to the disk."""


class NewerDatabase(ConfigError):
    """A newer version of this program wrote the database; it is whole, but not for this one."""


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes. Transactions are begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _configure(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")  # what was erased is overwritten on the disk
        connection.execute(f"PRAGMA journal_size_limit={_JOURNAL_LIMIT_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint={_FOLD_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read, also from a medium that can't be written."""
    unwritten = not path.with_name(path.name + "-wal").exists()
    try:
        return _ready_to_read(_open_uri(path, "mode=ro"))
    except sqlite3.OperationalError:
        # Without a journal nobody is writing; then SQLite needs no shared memory beside the file.
        if not unwritten:
            raise
        return _ready_to_read(_open_uri(path, "mode=ro&immutable=1"))


def _ready_to_read(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema")
        _configure(connection)
        _, version = _identity(connection)
        connection.executescript(EARLIER_READ.get(version, ""))
        connection.execute("PRAGMA query_only=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_uri(path: Path, options: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{options}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")


def migrate(connection: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the schema to the newest version, each step in a transaction of its own.

    Raises
    ------
    StoreError
        The file is the database of another program.
    ConfigError
        It was written by a newer version of this program.
    """
    application, version = _identity(connection)
    if application not in (0, APPLICATION_ID) or (application == 0 and _has_tables(connection)):
        raise StoreError(
            "数据库文件不是本程序的",
            "the database file belongs to another program",
            next_zh="检查站点文件中的 data_dir",
            next_en="check data_dir in the station file",
        )
    if version > len(migrations):
        raise NewerDatabase(
            f"数据库版本 {version} 比本程序新",
            f"the database has version {version}, newer than this program knows",
            next_zh="安装写入它的程序版本或更新的版本",
            next_en="install the version that wrote it, or a newer one",
        )
    for number in range(version, len(migrations)):
        connection.executescript(
            f"BEGIN IMMEDIATE; {migrations[number]}; PRAGMA application_id={APPLICATION_ID};"
            f"PRAGMA user_version={number + 1}; COMMIT;"
        )


def _identity(connection: sqlite3.Connection) -> tuple[int, int]:
    """``application_id`` and ``user_version`` of a database file."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def _has_tables(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(tables)


class DamagedRow(sqlite3.DatabaseError):
    """A row does not fit its own hash, though SQLite finds its page whole."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def error_code(error: sqlite3.Error) -> int:
    """SQLite's own code, 0 if it has none. Only a text that is no UTF-8 is found by Python."""
    undecoded = isinstance(error, sqlite3.OperationalError)
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT if undecoded else 0)
    return code & 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is broken, rather than the disk busy or full."""
    return error_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def find_damage(connection: sqlite3.Connection) -> str:
    """Empty if SQLite finds its pages whole and every row in every index, otherwise what is not.

    ``quick_check`` does not do: an index whose newest page never came to the disk passes it.
    """
    (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    return "" if finding == "ok" else str(finding)
