"""Everything that the case system holds is proven anew, as somebody would who trusts nobody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge.errors import IntegrityError
from edge.evidence.envelope import Envelope, verify_envelope
from edge.evidence.merkle import Frontier, leaf_hash
from edge.evidence.note import NoteVerifier
from simulator.case_store import CaseStore, Log

_DIGEST = 32


def problems(store: CaseStore, keys: Mapping[str, str]) -> Iterator[str]:
    """What does not hold; nothing if all does. ``keys`` go before those trusted on first use."""
    for station, generation in _logs(store):
        key = keys.get(station) or store.key_of(station) or ""
        log = Log(station, generation)
        yield from _records_that_fail(store, log, key)
        yield from _checkpoints_that_fail(store, log)


def _logs(store: CaseStore) -> list[tuple[str, int]]:
    return store.database.execute(
        "SELECT DISTINCT station, generation FROM records ORDER BY station, generation"
    ).fetchall()


def _records_that_fail(store: CaseStore, log: Log, key: str) -> Iterator[str]:
    rows = store.database.execute(
        "SELECT idx, record, private, proof, note FROM records"
        " LEFT JOIN checkpoints USING (station, generation, size)"
        " WHERE station = ? AND generation = ? ORDER BY idx",
        log,
    )
    for index, record, private, proof, note in rows:
        nodes = tuple(proof[i : i + _DIGEST] for i in range(0, len(proof), _DIGEST))
        envelope = Envelope(record, index, nodes, note or "", private)
        for problem in _problems(store, envelope, key):
            yield f"{log.station} {index}: {problem}"


def _problems(store: CaseStore, envelope: Envelope, key: str) -> Iterator[str]:
    try:
        body = verify_envelope(envelope, NoteVerifier(key))
    except (IntegrityError, ValueError) as error:
        yield str(error)
        return
    for blob in body["blobs"]:
        if blob["deliver"] and not _is_whole(store.blobs.path(blob["sha256"])):
            yield f"blob {blob['sha256']} is missing or damaged"


def _checkpoints_that_fail(store: CaseStore, log: Log) -> Iterator[str]:
    """As far as the records are here without a hole, every signed root must be theirs."""
    roots = dict(
        store.database.execute(
            "SELECT size, root FROM checkpoints WHERE station = ? AND generation = ?", log
        ).fetchall()
    )
    rows = store.database.execute(
        "SELECT idx, record FROM records WHERE station = ? AND generation = ? ORDER BY idx", log
    )
    tree = Frontier()
    for index, record in rows:
        if index != tree.size:
            return
        tree, _ = tree.append(leaf_hash(record))
        if roots.get(tree.size, tree.root()) != tree.root():
            yield f"{log.station}: the checkpoint of size {tree.size} is not that of its records"


def _is_whole(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == path.name
    except OSError:
        return False
