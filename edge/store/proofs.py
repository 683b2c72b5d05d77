"""What leaves the store as proof: envelopes, batches, consistency between checkpoints."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator

from edge.evidence.batch import MAX_RECORDS, EnvelopeBatch
from edge.evidence.envelope import Envelope
from edge.evidence.merkle import Prover, consistency_proof, inclusion_proof
from edge.store.rows import node_reader

_NODE_BYTES = 47
"""One hash of a proof in base64, with quotes and comma."""
_ENTRY_BYTES = 80
"""Names, quotes and number of one entry of a batch."""
_HEAD_BYTES = 1024
"""Schema and checkpoint note of a batch, with a second signature."""


def envelope(connection: sqlite3.Connection, index: int) -> Envelope:
    """A record with its proof under the checkpoint of its own commit.

    Raises
    ------
    LookupError
        There is no such record, or a part of its proof is missing.
    """
    row = connection.execute(
        "SELECT canonical, data, (SELECT min(size) FROM checkpoints WHERE size > idx)"
        " FROM records LEFT JOIN private USING (idx) WHERE idx = ?",
        (index,),
    ).fetchone()
    if row is None or row[2] is None:
        raise LookupError(f"no record {index} under a checkpoint")
    data, private, size = row
    (note,) = connection.execute("SELECT note FROM checkpoints WHERE size = ?", (size,)).fetchone()
    proof = inclusion_proof(index, size, node_reader(connection))
    return Envelope(data, index, tuple(proof), note, private)


def batch(
    connection: sqlite3.Connection, limit: int, max_bytes: int, exclude: Collection[int]
) -> EnvelopeBatch | None:
    """The oldest records that wait and are no cases, under the newest checkpoint.

    Its encoded form has at most ``max_bytes``, unless one record alone is larger; None where
    nothing waits.

    Raises
    ------
    LookupError
        A part of a proof is missing.
    """
    head = connection.execute(
        "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"
    ).fetchone()
    if head is None:
        return None
    size, note = head
    prover = Prover(size, node_reader(connection))
    envelopes: list[Envelope] = []
    room = max_bytes - _HEAD_BYTES
    for index, data, private in _waiting(connection, min(limit, MAX_RECORDS), exclude):
        proof = tuple(prover.inclusion(index))
        room -= _ENTRY_BYTES + _NODE_BYTES * len(proof) + _base64_bytes(data, private)
        if envelopes and room < 0:
            break
        envelopes.append(Envelope(data, index, proof, note, private))
    return EnvelopeBatch(note, tuple(envelopes)) if envelopes else None


def consistency(connection: sqlite3.Connection, old: int, new: int) -> list[bytes]:
    """Proof that the log of ``old`` records is the beginning of that of ``new``.

    Raises
    ------
    ValueError
        ``old`` is larger than ``new``.
    LookupError
        The log is not that long.
    """
    return consistency_proof(old, new, node_reader(connection))


def checkpoint_note(connection: sqlite3.Connection, size: int) -> str | None:
    """The signed checkpoint of a size, or None where none was made of it."""
    row = connection.execute("SELECT note FROM checkpoints WHERE size = ?", (size,)).fetchone()
    return row[0] if row else None


def cosigned_size(connection: sqlite3.Connection) -> int:
    """Size of the newest checkpoint that the witness cosigned; 0 if none."""
    (size,) = connection.execute("SELECT max(size) FROM cosignatures").fetchone()
    return size or 0


def _waiting(
    connection: sqlite3.Connection, limit: int, exclude: Collection[int]
) -> Iterator[tuple[int, bytes, bytes | None]]:
    """Their numbers first: of what is on its way already no bytes need be read."""
    rows = connection.execute(
        "SELECT idx FROM outbox WHERE poisoned IS NULL AND urgent = 0 ORDER BY idx LIMIT ?",
        (limit + len(exclude),),
    )
    wanted = [index for (index,) in rows if index not in exclude]
    for index in wanted[:limit]:
        yield connection.execute(
            "SELECT idx, canonical, data FROM records LEFT JOIN private USING (idx) WHERE idx = ?",
            (index,),
        ).fetchone()


def _base64_bytes(*parts: bytes | None) -> int:
    return sum(4 * (len(part) + 2) // 3 + 4 for part in parts if part is not None)
