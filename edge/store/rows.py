"""What the tables repeat of a record so that it can be found, and how its tree is read."""

from __future__ import annotations

import sqlite3

from edge.evidence.merkle import NodeReader
from edge.evidence.seal import NUMBERED_KIND
from edge.records import Record
from edge.store.schema import DamagedRow


def columns_of(record: Record) -> tuple[str, str | None, int | None, str | None, int]:
    """Kind, lane, passage, verdict and time_us."""
    body = record.body
    verdict = body.get("verdict")
    kind = verdict.get("kind") if isinstance(verdict, dict) else None
    return record.kind, body.get("lane"), body.get("passage"), kind, body["time_us"]


def class_of(kind: str, urgent: bool) -> str:
    """How long the blobs of a record are worth keeping: ``case``, ``lawful`` or ``config``."""
    if urgent:
        return "case"
    return "lawful" if kind == NUMBERED_KIND else "config"


def insert_blob_uses(connection: sqlite3.Connection, record: Record) -> None:
    """Note which blobs a record names."""
    kept_as = class_of(record.kind, record.urgent)
    connection.executemany(
        "INSERT OR IGNORE INTO blob_uses VALUES (?, ?, ?, ?, ?)",
        [(b.sha256, record.index, b.role, kept_as, b.size_bytes) for b in record.blobs],
    )


def node_reader(connection: sqlite3.Connection) -> NodeReader:
    """Reads stored nodes; raises DamagedRow for one that is missing."""

    def read(level: int, position: int) -> bytes:
        row = connection.execute(
            "SELECT hash FROM nodes WHERE level = ? AND position = ?", (level, position)
        ).fetchone()
        if row is None:
            raise DamagedRow(f"tree node ({level}, {position}) is missing")
        return bytes(row[0])

    return read
