"""The tables of a recovered database that follow from its records: tree, uses of blobs, outbox."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from edge.evidence.merkle import Frontier
from edge.evidence.note import Checkpoint
from edge.store.salvage import Salvage
from edge.store.settings import keep_setting


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint of the log that its key signed."""

    checkpoint: Checkpoint
    time_ns: int
    note: str


@dataclass(frozen=True, slots=True)
class Tree:
    frontier: Frontier
    lost: list[tuple[int, bytes]]


def grow_tree(
    connection: sqlite3.Connection, salvage: Salvage, known: dict[int, Known]
) -> Tree | None:
    """The tree over all leaves; None if one is unknown, or if a signed checkpoint differs."""
    (last,) = connection.execute("SELECT max(idx) FROM records").fetchone()
    size = max(-1 if last is None else last, max(known, default=0) - 1) + 1
    frontier, lost = Frontier(), []
    for index, leaf, is_there in salvage.leaves(size):
        if leaf is None:
            return None
        if not is_there:
            lost.append((index, leaf))
        frontier, nodes = frontier.append(leaf)
        connection.executemany("INSERT INTO nodes VALUES (?, ?, ?)", nodes)
        if (signed := known.get(frontier.size)) is None:
            continue
        if signed.checkpoint.root != frontier.root():
            return None
        connection.execute(
            "INSERT INTO checkpoints VALUES (?, ?, ?)",
            (frontier.size, signed.time_ns, signed.note),
        )
    return Tree(frontier, lost)


def finish_tables(connection: sqlite3.Connection, tree: Tree) -> None:
    """What follows from the records: lost ones, uses of blobs, what waits for the centre."""
    connection.executemany("INSERT INTO lost VALUES (?, ?)", tree.lost)
    connection.execute(_BLOB_USES)
    connection.execute(_OUTBOX)
    connection.execute(_REFUSED)
    if tree.lost:
        keep_passages(connection, connection, tree.frontier.size)


_BLOB_USES = """
INSERT OR IGNORE INTO blob_uses
SELECT blob.value ->> 'sha256', idx, blob.value ->> 'role',
    CASE WHEN urgent THEN 'case' WHEN kind = 'vehicle' THEN 'lawful' ELSE 'config' END,
    blob.value ->> 'size_bytes'
FROM records, json_each(CAST(canonical AS TEXT), '$.blobs') AS blob
WHERE blob.value ->> 'sha256' NOT IN (SELECT sha256 FROM dropped)
"""
_REFUSED = """
UPDATE outbox SET poisoned = reason FROM temp.refused AS refused
WHERE (outbox.idx, outbox.record_id) = (refused.idx, refused.record_id)
"""
PASSAGE_BASES = """
INSERT INTO settings SELECT replace(key, 'floor', 'base'), value FROM settings
WHERE key GLOB 'passage_floor.*'
"""
"""Where the passages of a new log begin."""
_OUTBOX = """
INSERT INTO outbox (idx, record_id, urgent, size_bytes, enqueued_ns)
SELECT idx, record_id, urgent,
    length(canonical) + coalesce((
        SELECT sum(blob.value ->> 'size_bytes')
        FROM json_each(CAST(canonical AS TEXT), '$.blobs') AS blob WHERE blob.value ->> 'deliver'
    ), 0),
    max(time_us, 0) * 1000
FROM records WHERE idx NOT IN (SELECT idx FROM receipts)
"""


def keep_passages(connection: sqlite3.Connection, found: sqlite3.Connection, size: int) -> None:
    """Passage numbers go on above any that a record without bytes may have had."""
    for lane, last, index in found.execute(
        "SELECT lane, max(passage), max(idx) FROM records WHERE passage IS NOT NULL GROUP BY lane"
    ).fetchall():
        (later,) = found.execute("SELECT count(*) FROM records WHERE idx > ?", (index,)).fetchone()
        floor = last + size - 1 - index - later
        keep_setting(connection, f"passage_floor.{lane}", str(floor))
