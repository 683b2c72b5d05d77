"""What the case system keeps: stations and their keys, records, checkpoints, refusals, blobs.

SQLite with ``synchronous=FULL``: a receipt is only written for what a commit has put on the disk.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import IntegrityError
from edge.evidence.envelope import Envelope, verify_envelope
from edge.evidence.note import Checkpoint, NoteVerifier
from edge.store.blobs import BlobDirectory
from edge.uplink.topics import Presence

_TABLES = """
CREATE TABLE IF NOT EXISTS stations (
    station TEXT PRIMARY KEY,
    verifier_key TEXT,
    key_since_us INTEGER,
    state TEXT,
    state_us INTEGER,
    telemetry TEXT,
    telemetry_us INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS records (
    station TEXT NOT NULL,
    idx INTEGER NOT NULL,
    record_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    lane TEXT,
    body TEXT NOT NULL,
    envelope BLOB NOT NULL,
    received_us INTEGER NOT NULL,
    copies INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (station, idx),
    UNIQUE (station, record_id)
) STRICT;
CREATE INDEX IF NOT EXISTS records_kind ON records (station, kind, lane, idx);
CREATE TABLE IF NOT EXISTS checkpoints (
    station TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (station, size)
) STRICT;
CREATE TABLE IF NOT EXISTS refusals (
    station TEXT NOT NULL,
    record_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    first_us INTEGER NOT NULL,
    copies INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (station, record_id, reason)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """A stored record; ``copies`` counts how often it came."""

    station: str
    index: int
    record_id: str
    kind: str
    lane: str | None
    body: dict[str, Any]
    received_us: int
    copies: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that came in a station's name and does not prove itself."""

    station: str
    record_id: str
    reason: str
    copies: int


class CaseStore:
    """The case system's database and blobs; one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, blobs: BlobDirectory) -> None:
        self._db = connection
        self.blobs = blobs

    @classmethod
    def open(cls, directory: Path) -> CaseStore:
        """Open or make the store in ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            directory / "cases.db", isolation_level=None, check_same_thread=False, timeout=10.0
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_TABLES)
        return cls(connection, BlobDirectory(directory / "blobs"))

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is on the disk at the end, or none of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # ------------------------------------------------------------------------------------------
    # Stations

    def key_of(self, station: str) -> str | None:
        """The verifier key by which a station is known."""
        row = self._one("SELECT verifier_key FROM stations WHERE station = ?", station)
        return row[0] if row else None

    def remember_key(self, station: str, verifier_key: str, now_us: int) -> None:
        """Trust this key from now on, unless one is trusted already."""
        self._db.execute(
            "INSERT INTO stations (station, verifier_key, key_since_us) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET verifier_key = excluded.verifier_key,"
            " key_since_us = excluded.key_since_us WHERE verifier_key IS NULL",
            (station, verifier_key, now_us),
        )

    def set_state(self, station: str, presence: Presence, now_us: int) -> None:
        """Online, or offline and why."""
        self._db.execute(
            "INSERT INTO stations (station, state, state_us) VALUES (?, ?, ?) ON CONFLICT"
            " DO UPDATE SET state = excluded.state, state_us = excluded.state_us",
            (station, f"{presence.state} {presence.reason}".strip(), now_us),
        )

    def set_telemetry(self, station: str, telemetry: str, now_us: int) -> None:
        """The newest telemetry stands for the station."""
        self._db.execute(
            "INSERT INTO stations (station, telemetry, telemetry_us) VALUES (?, ?, ?) ON CONFLICT"
            " DO UPDATE SET telemetry = excluded.telemetry, telemetry_us = excluded.telemetry_us",
            (station, telemetry, now_us),
        )

    def station(self, station: str) -> dict[str, Any]:
        """Key, state and telemetry of a station; empty if it never spoke."""
        cursor = self._db.execute("SELECT * FROM stations WHERE station = ?", (station,))
        row = cursor.fetchone()
        return dict(zip((c[0] for c in cursor.description), row, strict=True)) if row else {}

    # ------------------------------------------------------------------------------------------
    # Records

    def id_at(self, station: str, index: int) -> str | None:
        """Id of the record that stands at a number of a station's log."""
        row = self._one(
            "SELECT record_id FROM records WHERE station = ? AND idx = ?", station, index
        )
        return row[0] if row else None

    def add(self, station: str, envelope: Envelope, body: dict[str, Any], now_us: int) -> None:
        """Keep a verified record."""
        self._db.execute(
            "INSERT INTO records (station, idx, record_id, kind, lane, body, envelope,"
            " received_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                station,
                envelope.index,
                envelope.record_id,
                body["kind"],
                body.get("lane"),
                envelope.record_bytes.decode(),
                envelope.encode(),
                now_us,
            ),
        )

    def count_copy(self, station: str, index: int) -> None:
        """The record came once more."""
        self._db.execute(
            "UPDATE records SET copies = copies + 1 WHERE station = ? AND idx = ?",
            (station, index),
        )

    def refuse(self, station: str, record_id: str, reason: str, now_us: int) -> None:
        """Keep in mind what was not taken and why."""
        self._db.execute(
            "INSERT INTO refusals (station, record_id, reason, first_us) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET copies = copies + 1",
            (station, record_id, reason, now_us),
        )

    def has_blob(self, sha256: str) -> bool:
        """Whether a blob is here; what has its name was whole when it got it."""
        return self.blobs.path(sha256).is_file()

    def agrees(self, station: str, checkpoint: Checkpoint, note: str) -> bool:
        """Keep a checkpoint; false if the station signed another root for this size before."""
        self._db.execute(
            "INSERT OR IGNORE INTO checkpoints VALUES (?, ?, ?, ?)",
            (station, checkpoint.size, checkpoint.root, note),
        )
        row = self._one(
            "SELECT root FROM checkpoints WHERE station = ? AND size = ?", station, checkpoint.size
        )
        return row is not None and row[0] == checkpoint.root

    def tree_size(self, station: str) -> int:
        """Largest size of the station's log that was seen signed."""
        row = self._one("SELECT max(size) FROM checkpoints WHERE station = ?", station)
        return int(row[0] or 0) if row else 0

    # ------------------------------------------------------------------------------------------
    # For reports

    def records(self, station: str, kind: str | None = None) -> list[CaseRecord]:
        """Records of a station by number, of one kind if wanted."""
        rows = self._db.execute(
            "SELECT idx, record_id, kind, lane, body, received_us, copies FROM records"
            " WHERE station = ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY idx",
            (station, kind),
        )
        return [
            CaseRecord(station, index, record_id, what, lane, json.loads(body), received, copies)
            for index, record_id, what, lane, body, received, copies in rows
        ]

    def refusals(self) -> list[Refusal]:
        """Everything that was not taken."""
        rows = self._db.execute("SELECT station, record_id, reason, copies FROM refusals")
        return [Refusal(*row) for row in rows]

    @property
    def duplicates(self) -> int:
        """How often a record came that was here already."""
        row = self._one("SELECT sum(copies - 1) FROM records")
        return int(row[0] or 0) if row else 0

    def verify(self) -> list[str]:
        """Prove everything anew: what does not hold, empty if all does."""
        rows = self._db.execute("SELECT station, idx, envelope FROM records ORDER BY station, idx")
        return [
            f"{station} {index}: {problem}"
            for station, index, envelope in rows.fetchall()
            for problem in self._problems(station, envelope)
        ]

    def _problems(self, station: str, envelope: bytes) -> Iterator[str]:
        try:
            body = verify_envelope(
                Envelope.decode(envelope), NoteVerifier(self.key_of(station) or "")
            )
        except (IntegrityError, ValueError) as error:
            yield str(error)
            return
        for blob in body["blobs"]:
            if blob["deliver"] and not self._blob_is_whole(blob["sha256"]):
                yield f"blob {blob['sha256']} is missing or damaged"

    def _blob_is_whole(self, sha256: str) -> bool:
        path = self.blobs.path(sha256)
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256

    def _one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._db.execute(sql, values).fetchone()
        return row
