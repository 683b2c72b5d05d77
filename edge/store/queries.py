"""The read side: every question that the page, the uplink and the verifier ask the database."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from edge.evidence.merkle import leaf_hash
from edge.evidence.note import Checkpoint, split_note
from edge.evidence.receipt import Receipt
from edge.evidence.seal import reopen
from edge.records import Record
from edge.store.schema import DamagedRow


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A record that the centre has not answered yet."""

    index: int
    record_id: str
    urgent: bool
    attempts: int
    enqueued_ns: int


@dataclass(frozen=True, slots=True)
class OutboxSummary:
    """What waits for the centre; ``bytes`` counts records and the blobs that go with them."""

    waiting: int
    oldest_ns: int | None
    bytes: int
    poisoned: int


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How far the delivery of one record is; ``receipted_us`` is when its receipt arrived."""

    sent: bool
    receipted_us: int | None
    attempts: int
    poisoned: str | None


@dataclass(frozen=True, slots=True)
class Head:
    """The newest checkpoint with its signed note and the time at which it was made."""

    checkpoint: Checkpoint
    note: str
    time_ns: int


RECORD = "SELECT record_id, canonical, urgent, data FROM records LEFT JOIN private USING (idx)"
"""What ``reopened`` takes."""


def outbox(
    connection: sqlite3.Connection, limit: int, exclude: Collection[int]
) -> list[OutboxEntry]:
    """What is to be sent next: urgent records first, then in order of the log."""
    rows = connection.execute(
        "SELECT idx, record_id, urgent, attempts, enqueued_ns FROM outbox"
        " WHERE poisoned IS NULL ORDER BY urgent DESC, idx LIMIT ?",
        (limit + len(exclude),),
    )
    entries = [OutboxEntry(i, rid, bool(urgent), n, ns) for i, rid, urgent, n, ns in rows]
    return [entry for entry in entries if entry.index not in exclude][:limit]


def outbox_summary(connection: sqlite3.Connection) -> OutboxSummary:
    """How much waits, and since when."""
    row = connection.execute(
        "SELECT count(*) FILTER (WHERE poisoned IS NULL),"
        " min(enqueued_ns) FILTER (WHERE poisoned IS NULL),"
        " coalesce(sum(size_bytes) FILTER (WHERE poisoned IS NULL), 0),"
        " count(poisoned) FROM outbox"
    ).fetchone()
    return OutboxSummary(*row)


AWAITED = "idx = ? AND record_id = ? AND asked_us <= ?"
"""An entry of the outbox that an answer of the centre is to: number, id, and when it was signed."""


def is_awaited(connection: sqlite3.Connection, receipt: Receipt) -> bool:
    """Whether a receipt answers a record that waits for its answer."""
    entry = connection.execute(
        f"SELECT 1 FROM outbox WHERE {AWAITED} AND poisoned IS NULL",
        (receipt.index, receipt.record_id, receipt.time_us),
    ).fetchone()
    return entry is not None


def delivery(connection: sqlite3.Connection, index: int) -> DeliveryState:
    """The state of one record; one that was never appended counts as not sent."""
    receipt = connection.execute(
        "SELECT received_us, attempts FROM receipts WHERE idx = ?", (index,)
    ).fetchone()
    if receipt is not None:
        return DeliveryState(True, receipt[0], receipt[1], None)
    waiting = connection.execute(
        "SELECT attempts, poisoned FROM outbox WHERE idx = ?", (index,)
    ).fetchone()
    attempts, poisoned = waiting or (0, None)
    return DeliveryState(attempts > 0, None, attempts, poisoned)


def latest(
    connection: sqlite3.Connection,
    kind: str | None,
    lane: str | None,
    limit: int,
    before: int | None,
) -> list[Record]:
    """Records with an index below ``before``, newest first; None for any kind or lane."""
    wanted = {"kind = ?": kind, "lane = ?": lane, "idx < ?": before}
    asked = {clause: value for clause, value in wanted.items() if value is not None}
    where = f"WHERE {' AND '.join(asked)}" if asked else ""
    rows = connection.execute(
        f"{RECORD} {where} ORDER BY idx DESC LIMIT ?", (*asked.values(), limit)
    )
    return [reopened(*row) for row in rows]


def since(
    connection: sqlite3.Connection, kind: str, time_us: int, but_verdict: str
) -> list[Record]:
    """Records of a kind since a time, in their order, but for those of one verdict."""
    rows = connection.execute(
        f"{RECORD} WHERE idx IN (SELECT idx FROM records INDEXED BY records_time"
        " WHERE time_us >= ? AND kind = ? AND verdict IS NOT ?) ORDER BY idx",
        (time_us, kind, but_verdict),
    )
    return [reopened(*row) for row in rows]


def record(connection: sqlite3.Connection, index: int) -> Record | None:
    """One record, or None."""
    row = connection.execute(f"{RECORD} WHERE idx = ?", (index,)).fetchone()
    return reopened(*row) if row else None


def reopened(record_id: str, data: bytes, urgent: int, private: bytes | None) -> Record:
    """The record of a row.

    Raises
    ------
    DamagedRow
        The row is not what was sealed.
    """
    try:
        return reopen(data, private=private, urgent=bool(urgent))
    except ValueError as error:
        if _is_as_sealed(record_id, data, private):
            raise  # no disk has altered it: a recovery would find it again, time after time
        raise DamagedRow(f"a record can't be read: {error}") from error


def _is_as_sealed(record_id: str, data: bytes, private: bytes | None) -> bool:
    if leaf_hash(data).hex() != record_id:
        return False
    return private is None or hashlib.sha256(private).hexdigest().encode() in data


def head(connection: sqlite3.Connection) -> Head | None:
    """The newest checkpoint, or None before the first record."""
    row = connection.execute(
        "SELECT note, time_ns FROM checkpoints ORDER BY size DESC LIMIT 1"
    ).fetchone()
    try:
        return Head(Checkpoint.parse(split_note(row[0])[0]), *row) if row else None
    except ValueError as error:
        raise DamagedRow(f"the newest checkpoint can't be read: {error}") from error


def counts_since(connection: sqlite3.Connection, time_us: int) -> dict[str, int]:
    """Records by kind, and vehicles by verdict (``vehicle.over``), from ``time_us`` on."""
    counts: dict[str, int] = {}
    for kind, verdict, number in connection.execute(
        "SELECT kind, verdict, count(*) FROM records INDEXED BY records_time"
        " WHERE time_us >= ? GROUP BY kind, verdict",
        (time_us,),
    ):
        counts[kind] = counts.get(kind, 0) + number
        if verdict is not None:
            counts[f"{kind}.{verdict}"] = number
    return counts
