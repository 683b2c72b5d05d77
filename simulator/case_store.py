"""What the case system keeps: stations and their keys, records, checkpoints, refusals, blobs.

SQLite with ``synchronous=FULL``: a receipt is only written for what a commit has put on the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from edge.evidence.note import Checkpoint
from edge.evidence.seal import reopen
from edge.uplink.topics import Presence
from simulator.case_database import CaseDatabase

MOST_STATIONS = 10_000
"""Names on the broker that are remembered; a station whose key was given is always taken."""
MOST_REFUSALS = 1_000
"""Kept for each station; what comes beyond is only counted."""


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
    generation: int = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that came in a station's name and does not prove itself."""

    station: str
    record_id: str
    reason: str
    copies: int


class Log(NamedTuple):
    """A log of a station: its first one, or one begun anew by people."""

    station: str
    generation: int = 1


class NewRecord(NamedTuple):
    """A verified record as it goes into the table."""

    number: int
    record_id: str
    kind: str
    lane: str | None
    record: bytes
    private: bytes | None
    proof: bytes


class CaseStore(CaseDatabase):
    """What the tables hold, by what the rooms ask."""

    # ------------------------------------------------------------------------------------------
    # Stations

    def knows(self, station: str) -> bool:
        """Whether a station has spoken before, or there is room for one more."""
        if self.one("SELECT 1 FROM stations WHERE station = ?", station):
            return True
        return bool(self.one("SELECT count(*) < ? FROM stations", MOST_STATIONS)[0])

    def key_of(self, station: str) -> str | None:
        """The verifier key by which a station is known."""
        row = self.one("SELECT verifier_key FROM stations WHERE station = ?", station)
        return row[0] if row else None

    def remember_key(self, station: str, verifier_key: str, now_us: int) -> None:
        """Trust this key from now on, unless one is trusted already."""
        self.database.execute(
            "INSERT INTO stations (station, verifier_key, key_since_us) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET verifier_key = excluded.verifier_key,"
            " key_since_us = excluded.key_since_us WHERE verifier_key IS NULL",
            (station, verifier_key, now_us),
        )

    def set_state(self, station: str, presence: Presence, now_us: int) -> None:
        """Online, or offline and why."""
        self.database.execute(
            "INSERT INTO stations (station, state, state_us) VALUES (?, ?, ?) ON CONFLICT"
            " DO UPDATE SET state = excluded.state, state_us = excluded.state_us",
            (station, f"{presence.state} {presence.reason}".strip(), now_us),
        )

    def set_telemetry(self, station: str, telemetry: str, now_us: int) -> None:
        """The newest telemetry stands for the station."""
        self.database.execute(
            "INSERT INTO stations (station, telemetry, telemetry_us) VALUES (?, ?, ?) ON CONFLICT"
            " DO UPDATE SET telemetry = excluded.telemetry, telemetry_us = excluded.telemetry_us",
            (station, telemetry, now_us),
        )

    def count_bytes(self, station: str, *, records: int = 0, blobs: int = 0) -> None:
        """A station takes so much more of the disk."""
        self.database.execute(
            "INSERT INTO stations (station, record_bytes, blob_bytes) VALUES (?, ?, ?) ON CONFLICT"
            " DO UPDATE SET record_bytes = record_bytes + excluded.record_bytes,"
            " blob_bytes = blob_bytes + excluded.blob_bytes",
            (station, records, blobs),
        )

    def bytes_of(self, station: str) -> int:
        """What a station's records and blobs take."""
        row = self.one("SELECT record_bytes + blob_bytes FROM stations WHERE station = ?", station)
        return int(row[0]) if row else 0

    def station(self, station: str) -> dict[str, Any]:
        """Key, state and telemetry of a station; empty if it never spoke."""
        cursor = self.database.execute("SELECT * FROM stations WHERE station = ?", (station,))
        row = cursor.fetchone()
        return dict(zip((c[0] for c in cursor.description), row, strict=True)) if row else {}

    def stations(self) -> list[str]:
        """All stations that ever spoke."""
        return [name for (name,) in self.database.execute("SELECT station FROM stations")]

    # ------------------------------------------------------------------------------------------
    # Records

    def ids(self, log: Log, first: int, last: int) -> dict[int, str]:
        """Ids of the records that stand at these numbers of a log."""
        rows = self.database.execute(
            "SELECT idx, record_id FROM records"
            " WHERE station = ? AND generation = ? AND idx BETWEEN ? AND ?",
            (*log, first, last),
        )
        return dict(rows.fetchall())

    def add(self, log: Log, size: int, records: Sequence[NewRecord], now_us: int) -> None:
        """Keep verified records, all proven by the checkpoint of ``size``."""
        self.database.executemany(
            "INSERT INTO records (station, generation, idx, record_id, kind, lane, record,"
            " private, proof, size, received_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*log, *record, size, now_us) for record in records],
        )
        size_bytes = sum(len(r.record) + len(r.private or b"") + len(r.proof) for r in records)
        self.count_bytes(log.station, records=size_bytes)

    def count_copies(self, log: Log, indices: Iterable[int]) -> None:
        """These records came once more."""
        self.database.executemany(
            "UPDATE records SET copies = copies + 1"
            " WHERE station = ? AND generation = ? AND idx = ?",
            [(*log, index) for index in indices],
        )

    def refuse(self, station: str, record_id: str, reason: str, now_us: int) -> bool:
        """Keep in mind what was not taken and why, as far as there is room; whether it is new."""
        row = self.one(
            "INSERT INTO refusals (station, record_id, reason, first_us)"
            " SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM refusals WHERE station = ?1) < ?5"
            " OR EXISTS (SELECT 1 FROM refusals WHERE (station, record_id, reason) = (?1, ?2, ?3))"
            " ON CONFLICT DO UPDATE SET copies = copies + 1 RETURNING copies",
            station,
            record_id,
            reason,
            now_us,
            MOST_REFUSALS,
        )
        return bool(row == (1,))

    # ------------------------------------------------------------------------------------------
    # Checkpoints

    def root_at(self, log: Log, size: int) -> bytes | None:
        """Root of a log of that size as its station signed it, if it did."""
        row = self.one(
            "SELECT root FROM checkpoints WHERE station = ? AND generation = ? AND size = ?",
            *log,
            size,
        )
        return row[0] if row else None

    def note_at(self, log: Log, size: int) -> str | None:
        """The signed checkpoint of that size, if there is one."""
        row = self.one(
            "SELECT note FROM checkpoints WHERE station = ? AND generation = ? AND size = ?",
            *log,
            size,
        )
        return row[0] if row else None

    def note_of_record(self, log: Log, index: int) -> str:
        """The checkpoint that proves a stored record."""
        row = self.one(
            "SELECT note FROM checkpoints JOIN records USING (station, generation, size)"
            " WHERE station = ? AND generation = ? AND idx = ?",
            *log,
            index,
        )
        return str(row[0])

    def keep_checkpoint(self, log: Log, checkpoint: Checkpoint, note: str) -> None:
        """Keep a signed checkpoint; the first of a size stays."""
        self.database.execute(
            "INSERT OR IGNORE INTO checkpoints VALUES (?, ?, ?, ?, ?)",
            (*log, checkpoint.size, checkpoint.root, note),
        )

    def tree_size(self, log: Log) -> int:
        """Largest size of the log that was seen signed."""
        row = self.one(
            "SELECT max(size) FROM checkpoints WHERE station = ? AND generation = ?", *log
        )
        return int(row[0] or 0)

    # ------------------------------------------------------------------------------------------
    # For reports

    def records(self, station: str, kind: str | None = None) -> list[CaseRecord]:
        """Records of a station by number, of one kind if wanted."""
        rows = self.database.execute(
            "SELECT idx, record_id, kind, lane, record, private, received_us, copies, generation"
            " FROM records WHERE station = ?1 AND (?2 IS NULL OR kind = ?2)"
            " ORDER BY generation, idx",
            (station, kind),
        )
        return [_record(station, *row) for row in rows]

    def refusals(self) -> list[Refusal]:
        """Everything that was not taken."""
        rows = self.database.execute("SELECT station, record_id, reason, copies FROM refusals")
        return [Refusal(*row) for row in rows]

    @property
    def duplicates(self) -> int:
        """How often a record came that was here already."""
        return int(self.one("SELECT sum(copies - 1) FROM records")[0] or 0)

    def verify(self, keys: Mapping[str, str] | None = None) -> list[str]:
        """Prove everything anew: what does not hold, empty if all does."""
        from simulator.case_proof import problems

        return list(problems(self, keys or {}))


def _record(
    station: str,
    index: int,
    record_id: str,
    kind: str,
    lane: str | None,
    data: bytes,
    private: bytes | None,
    received_us: int,
    copies: int,
    generation: int,
) -> CaseRecord:
    body = reopen(data, private=private).body
    return CaseRecord(station, index, record_id, kind, lane, body, received_us, copies, generation)
