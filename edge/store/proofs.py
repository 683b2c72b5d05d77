"""What leaves the store as proof: envelopes, batches, consistency between checkpoints."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeAlias

from edge.evidence.batch import MAX_RECORDS, EnvelopeBatch
from edge.evidence.envelope import Envelope
from edge.evidence.joint import joint_proof, part
from edge.evidence.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from edge.evidence.note import Checkpoint, split_note
from edge.store.opening import log_size
from edge.store.rows import node_reader
from edge.store.schema import DamagedRow

_NODE_BYTES = 47
"""One hash of a proof in base64, with quotes and comma."""
_ENTRY_BYTES = 80
"""Names, quotes and number of one entry of a batch."""
_JOINT_ENTRY_BYTES = 40
"""The same where one proof serves all: number and lengths."""
_HEAD_BYTES = 1024
"""Schema and checkpoint note of a batch, with a second signature."""


def envelope(connection: sqlite3.Connection, index: int) -> Envelope:
    """A record with its proof under the checkpoint of its own commit.

    Raises
    ------
    LookupError
        There is no such record.
    DamagedRow
        Record, proof and checkpoint do not fit each other.
    """
    row = connection.execute(
        "SELECT record_id, canonical, data, (SELECT min(size) FROM checkpoints WHERE size > idx)"
        " FROM records LEFT JOIN private USING (idx) WHERE idx = ?",
        (index,),
    ).fetchone()
    if row is None or row[3] is None:
        raise LookupError(f"no record {index} under a checkpoint")
    record_id, data, private, size = row
    _check_bytes(index, record_id, data)
    (note,) = connection.execute("SELECT note FROM checkpoints WHERE size = ?", (size,)).fetchone()
    proof = tuple(inclusion_proof(index, size, node_reader(connection)))
    _check_path(index, bytes.fromhex(record_id), proof, _stated(note))
    return Envelope(data, index, proof, note, private)


def batch(
    connection: sqlite3.Connection,
    limit: int,
    max_bytes: int,
    exclude: Collection[int],
    *,
    joint: bool = False,
) -> EnvelopeBatch | None:
    """The oldest records that wait and are no cases, under the newest checkpoint.

    Its encoded form, ``joint`` or not, has at most ``max_bytes``, unless one record alone is
    larger; None where nothing waits.

    Raises
    ------
    DamagedRow
        Records, proof and checkpoint do not fit each other.
    """
    head = connection.execute(
        "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"
    ).fetchone()
    if head is None:
        return None
    size, note = head
    waiting = _waiting(connection, min(limit, MAX_RECORDS), exclude)
    rows = list(_that_fit(waiting, max_bytes - _HEAD_BYTES, size, joint))
    if not rows:
        return None
    for index, record_id, data, _ in rows:
        _check_bytes(index, record_id, data)
    paths = _paths(connection, [(index, record_id) for index, record_id, _, _ in rows], note)
    return EnvelopeBatch(
        note,
        tuple(
            Envelope(data, index, path, note, private)
            for (index, _, data, private), path in zip(rows, paths, strict=True)
        ),
    )


def consistency(connection: sqlite3.Connection, old: int, new: int) -> list[bytes]:
    """Proof that the log of ``old`` records is the beginning of that of ``new``.

    Raises
    ------
    ValueError
        ``old`` is larger than ``new``.
    LookupError
        The log is not that long.
    DamagedRow
        The proof does not fit the checkpoints: the witness would take it for another log.
    """
    if new > log_size(connection):
        raise LookupError(f"the log has no {new} records")
    proof = consistency_proof(old, new, node_reader(connection))
    first, second = (checkpoint_note(connection, size) for size in (old, new))
    if first and second:
        roots = (_stated(first).root, _stated(second).root)
        if not verify_consistency(old, new, proof, *roots):
            raise DamagedRow(f"the tree between {old} and {new} records does not fit its roots")
    return proof


def checkpoint_note(connection: sqlite3.Connection, size: int) -> str | None:
    """The signed checkpoint of a size, or None where none was made of it."""
    row = connection.execute("SELECT note FROM checkpoints WHERE size = ?", (size,)).fetchone()
    return row[0] if row else None


def cosigned_size(connection: sqlite3.Connection) -> int:
    """Size of the newest checkpoint that the witness cosigned; 0 if none."""
    (size,) = connection.execute("SELECT max(size) FROM cosignatures").fetchone()
    return size or 0


_Row: TypeAlias = tuple[int, str, bytes, bytes | None]
"""Number and id of a record, its bytes and its private part."""


def _waiting(
    connection: sqlite3.Connection, limit: int, exclude: Collection[int]
) -> Iterator[_Row]:
    """Their numbers first: of what is on its way already no bytes need be read."""
    rows = connection.execute(
        "SELECT idx FROM outbox WHERE poisoned IS NULL AND urgent = 0 ORDER BY idx LIMIT ?",
        (limit + len(exclude),),
    )
    wanted = [index for (index,) in rows if index not in exclude]
    yield from connection.execute(
        "SELECT idx, record_id, canonical, data FROM json_each(?) CROSS JOIN records ON idx = value"
        " LEFT JOIN private USING (idx)",
        (json.dumps(wanted[:limit]),),
    )


def _that_fit(rows: Iterable[_Row], room: int, size: int, joint: bool) -> Iterator[_Row]:
    """As many as there is room for, and at least one."""
    levels = size.bit_length()
    room -= _NODE_BYTES * 2 * levels if joint else 0
    last = None
    for row in rows:
        index, _, data, private = row
        if joint:
            room -= _JOINT_ENTRY_BYTES + len(data) + len(private or b"")
            if last is not None and index > last + 1:  # below the node where their ways part
                room -= _NODE_BYTES * 2 * ((index ^ last).bit_length() - 1)
        else:
            room -= _ENTRY_BYTES + _NODE_BYTES * levels + _base64_bytes(data, private)
        if last is not None and room < 0:
            return
        yield row
        last = index


def _paths(
    connection: sqlite3.Connection, leaves: Sequence[tuple[int, str]], note: str
) -> list[tuple[bytes, ...]]:
    """The audit paths of records by number and id, if they lead to the root of a checkpoint."""
    checkpoint = _stated(note)
    indices = [index for index, _ in leaves]
    hashes = [bytes.fromhex(record_id) for _, record_id in leaves]
    joint = joint_proof(indices, checkpoint.size, node_reader(connection))
    paths = part(hashes, indices, checkpoint.size, joint)
    _check_path(indices[0], hashes[0], paths[0], checkpoint)
    return paths


def _stated(note: str) -> Checkpoint:
    """What a stored checkpoint says."""
    try:
        return Checkpoint.parse(split_note(note)[0])
    except ValueError as error:
        raise DamagedRow(f"a checkpoint can't be read: {error}") from error


def _check_path(index: int, leaf: bytes, path: tuple[bytes, ...], checkpoint: Checkpoint) -> None:
    """A path that does not lead to the root would have the centre doubt what is well."""
    if not verify_inclusion(leaf, index, checkpoint.size, path, checkpoint.root):
        raise DamagedRow(f"the tree over record {index} does not fit its root")


def _check_bytes(index: int, record_id: str, data: bytes) -> None:
    """What was sealed is sent, or nothing: bytes that a disk has altered would prove no record."""
    if leaf_hash(data).hex() != record_id:
        raise DamagedRow(f"the bytes of record {index} do not fit their hash")


def _base64_bytes(*parts: bytes | None) -> int:
    return sum(4 * (len(part) + 2) // 3 + 4 for part in parts if part is not None)
