"""Tables of the case system's database, and how an older database becomes this one."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from edge.errors import StoreError
from edge.evidence.envelope import Envelope
from edge.evidence.note import Checkpoint, split_note

VERSION = 2

_TABLES = """
CREATE TABLE stations (
    station TEXT PRIMARY KEY,
    verifier_key TEXT,
    key_since_us INTEGER,
    state TEXT,
    state_us INTEGER,
    telemetry TEXT,
    telemetry_us INTEGER,
    record_bytes INTEGER NOT NULL DEFAULT 0,
    blob_bytes INTEGER NOT NULL DEFAULT 0,
    conflict TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE records (
    station TEXT NOT NULL,
    generation INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    record_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    lane TEXT,
    record BLOB NOT NULL,
    private BLOB,
    proof BLOB NOT NULL,
    size INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    copies INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (station, generation, idx)
) STRICT;
CREATE TABLE checkpoints (
    station TEXT NOT NULL,
    generation INTEGER NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (station, generation, size)
) STRICT;
CREATE TABLE cosigned (
    station TEXT NOT NULL,
    generation INTEGER NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    note TEXT NOT NULL,
    line TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    PRIMARY KEY (station, generation, size)
) STRICT;
CREATE TRIGGER cosigned_stays BEFORE UPDATE ON cosigned
    BEGIN SELECT RAISE(ABORT, 'a witness does not change what it cosigned'); END;
CREATE TRIGGER cosigned_is_kept BEFORE DELETE ON cosigned
    BEGIN SELECT RAISE(ABORT, 'a witness does not forget what it cosigned'); END;
CREATE TABLE boots (
    station TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    PRIMARY KEY (station, boot_id)
) STRICT;
CREATE TABLE alarms (
    station TEXT NOT NULL,
    generation INTEGER NOT NULL,
    name TEXT NOT NULL,
    detail TEXT NOT NULL,
    known TEXT NOT NULL,
    note TEXT NOT NULL,
    last_known TEXT NOT NULL,
    last_note TEXT NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (station, generation, name)
) STRICT;
CREATE TABLE commands (
    station TEXT NOT NULL,
    number INTEGER NOT NULL,
    action TEXT NOT NULL,
    arguments TEXT NOT NULL,
    issued_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    sent_us INTEGER,
    outcome TEXT,
    PRIMARY KEY (station, number)
) STRICT;
CREATE TABLE refusals (
    station TEXT NOT NULL,
    record_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    first_us INTEGER NOT NULL,
    copies INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (station, record_id, reason)
) STRICT;
"""

_OLD_TABLES = ("stations", "records", "checkpoints", "refusals")


def prepare(database: sqlite3.Connection) -> None:
    """Make the tables, or bring those of an older version over; all of it or nothing.

    Raises
    ------
    StoreError
        The database was written by a newer program.
    """
    if _version(database) == VERSION:
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        version = _version(database)  # another process may have been faster
        if version > VERSION:
            raise _too_new(version)
        if version < VERSION:
            _upgrade(database)
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _upgrade(database: sqlite3.Connection) -> None:
    """The first version had no number; its tables are set aside, read over and dropped."""
    first = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'records'").fetchone()
    if first:
        for table in _OLD_TABLES:
            database.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in _statements():
        database.execute(statement)
    if first:
        _read_over(database)
        for table in _OLD_TABLES:
            database.execute(f"DROP TABLE old_{table}")


def _statements() -> list[str]:
    """The script's statements one by one: ``executescript`` would commit by itself."""
    statements, text = [], ""
    for line in _TABLES.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            statements.append(text)
            text = ""
    return statements


def _read_over(database: sqlite3.Connection) -> None:
    known = "station, verifier_key, key_since_us, state, state_us, telemetry, telemetry_us"
    database.execute(f"INSERT INTO stations ({known}) SELECT {known} FROM old_stations")
    database.execute(
        "INSERT INTO checkpoints SELECT station, 1, size, root, note FROM old_checkpoints"
    )
    columns = "station, record_id, reason, first_us, copies"
    database.execute(f"INSERT INTO refusals ({columns}) SELECT {columns} FROM old_refusals")
    with closing(database.cursor()) as rows:
        rows.execute(
            "SELECT station, idx, record_id, kind, lane, envelope, received_us, copies"
            " FROM old_records"
        )
        for station, index, record_id, kind, lane, data, received_us, copies in rows:
            envelope = Envelope.decode(data)
            checkpoint = Checkpoint.parse(split_note(envelope.checkpoint_note)[0])
            database.execute(
                "INSERT INTO records VALUES (?, 1, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?)",
                (
                    *(station, index, record_id, kind, lane, envelope.record_bytes),
                    *(b"".join(envelope.proof), checkpoint.size, received_us, copies),
                ),
            )
    database.execute(
        "UPDATE stations SET record_bytes = (SELECT coalesce(sum(length(record)), 0)"
        " FROM records WHERE records.station = stations.station)"
    )


def _too_new(version: int) -> StoreError:
    return StoreError(
        f"案件库是第 {version} 版，本程序只认到第 {VERSION} 版",
        f"the case store has version {version}, this program knows {VERSION} at most",
        next_zh="换用较新的程序",
        next_en="use a newer program",
    )
