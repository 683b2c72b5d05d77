"""Tampering: a whole store, one thing in it altered, and whether the verification finds it.

Altered is anything that proves something: bytes and columns of records, nodes, checkpoint notes
with their first and second signature, files, private parts, receipts with their notes, and
cosignatures. What only serves the station itself (order of sending, counts of attempts, when a
receipt arrived) proves nothing and is left alone.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.evidence.cosignature import Cosigner
from edge.evidence.note import NoteSigner, NoteVerifier, origin_of, split_note
from edge.evidence.receipt import Receipt, encode_receipts
from edge.evidence.sm2 import Sm2Signer
from edge.evidence.statement import other_draft
from edge.health import Health
from edge.records import Draft, Record
from edge.store.audit_proofs import Keys
from edge.store.blobs import BlobDirectory
from edge.store.findings import Broken
from edge.store.schema import DATABASE
from edge.store.store import Store
from edge.store.verify import checks

STATION = "TAMPER"
_COMMITS = 4
_RECORDS_A_COMMIT = 3

_PLACES = {
    "record": ("records", "canonical"),
    "record id": ("records", "record_id"),
    "record kind": ("records", "kind"),
    "record lane": ("records", "lane"),
    "record passage": ("records", "passage"),
    "record verdict": ("records", "verdict"),
    "record time": ("records", "time_us"),
    "tree": ("nodes", "hash"),
    "note": ("checkpoints", "note"),
    "private": ("private", "data"),
    "receipt": ("receipt_notes", "note"),
    "receipt id": ("receipts", "record_id"),
    "receipt tree size": ("receipts", "tree_size"),
    "receipt note": ("receipts", "note_id"),
    "cosignature": ("cosignatures", "line"),
    "cosignature time": ("cosignatures", "time_s"),
    "delivery": ("outbox", "record_id"),
}
_KEYS = {"nodes": "level || '.' || position", "checkpoints": "size", "cosignatures": "size",
         "receipt_notes": "id"}  # fmt: skip
_BLOB = "blob"
_WEIGHTS = {"record": 6, "tree": 4, "note": 4, _BLOB: 4, "private": 3, "receipt": 4,
            "cosignature": 3}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing altered: of which kind, how, and whether it was found."""

    place: str
    what: str
    found: bool


def run(mutations: int, seed: int) -> tuple[int, int]:
    """How many of so many random alterations the verification finds, and how many were tried."""
    outcomes = Counter(trial.found for trial in trials(mutations, seed))
    return outcomes[True], outcomes.total()


def trials(mutations: int, seed: int) -> Iterator[Trial]:
    """The single alterations; the store is whole again after each."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        target = _Target(Path(name))
        try:
            if not target.is_whole():
                raise AssertionError("the store is not whole before it is altered")
            for _ in range(mutations):
                yield target.trial(chance)
        finally:
            target.close()


class _Target:
    """A store in memory, its files on the disk, and the keys to check it with."""

    def __init__(self, directory: Path) -> None:
        signer, centre = asyncio.run(_fill(directory))
        self._blobs = BlobDirectory(directory / "blobs")
        self._files = sorted(p for p in (directory / "blobs").glob("??/*") if p.is_file())
        assert signer.second is not None
        self._keys = Keys(
            NoteVerifier(signer.verifier_key),
            trusted=True,
            centre=NoteVerifier(centre.verifier_key),
            second=signer.second.verifier_key,
        )
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        source = sqlite3.connect(directory / DATABASE)
        source.backup(self._db)
        source.close()
        for (trigger,) in self._db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall():
            self._db.execute(f"DROP TRIGGER {trigger}")

    def close(self) -> None:
        self._db.close()

    def is_whole(self) -> bool:
        try:
            for check in checks(self._db, self._blobs, self._keys):
                check()
        except (Broken, sqlite3.Error):
            return False
        return True

    def trial(self, chance: random.Random) -> Trial:
        """Alter one thing, look, and set it right again."""
        names = [*_PLACES, _BLOB]
        (place,) = chance.choices(names, [_WEIGHTS.get(name, 1) for name in names])
        if place == _BLOB:
            return self._alter_file(chance)
        table, column = _PLACES[place]
        key = _KEYS.get(table, "idx")
        rows = self._db.execute(
            f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY 1"
        ).fetchall()
        row, value = chance.choice(rows)
        how, altered = _altered(value, [other for _, other in rows], chance)
        self._db.execute("SAVEPOINT trial")
        try:
            self._db.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (altered, row))
            found = not self.is_whole()
        except sqlite3.IntegrityError:
            found = True  # the tables refuse it by themselves
        self._db.execute("ROLLBACK TO trial")
        self._db.execute("RELEASE trial")
        return Trial(place, f"{how} in {table}.{column} of {row}", found)

    def _alter_file(self, chance: random.Random) -> Trial:
        path = chance.choice(self._files)
        data = path.read_bytes()
        how, altered = _altered(data, [other.read_bytes() for other in self._files], chance)
        assert isinstance(altered, bytes)
        path.chmod(0o640)
        path.write_bytes(altered)
        found = not self.is_whole()
        path.write_bytes(data)
        return Trial(_BLOB, f"{how} in {path.name}", found)


_Value = bytes | str | int


def _altered(value: _Value, others: list[_Value], chance: random.Random) -> tuple[str, _Value]:
    """Another value in place of one, and how it was made."""
    while True:
        how = chance.choice(
            ("a bit", "a byte", "one byte more", "one byte less", "cut", "exchanged")
        )
        if how == "exchanged":
            other = chance.choice(others)
        elif isinstance(value, int):
            other = value ^ (1 << chance.randrange(40))
        elif isinstance(value, bytes):
            other = _bytes_altered(how, value, chance)
        else:
            other = _bytes_altered(how, value.encode(), chance).decode("utf-8", "replace")
        if other != value:
            return how, other


def _bytes_altered(how: str, data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    middle = {
        "a bit": bytes([data[at] ^ 1 << chance.randrange(8)]),
        "a byte": chance.randbytes(1),
        "one byte more": data[at : at + 1] + chance.randbytes(1),
        "one byte less": b"",
    }
    return data[:at] + middle[how] + data[at + 1 :] if how in middle else data[:at]


# ----------------------------------------------------------------------------------------------
# A store with everything in it


async def _fill(directory: Path) -> tuple[NoteSigner, NoteSigner]:
    second = Sm2Signer.load_or_create(directory / "sm2.key", origin_of(STATION))
    signer = NoteSigner.load_or_create(directory / "station.key", origin_of(STATION), second)
    centre = NoteSigner("case-system", Ed25519PrivateKey.generate())
    health = Health(time.monotonic_ns)
    store = await Store.open(
        directory, station=STATION, signer=signer, health=health, now_ns=time.time_ns
    )
    try:
        for commit in range(_COMMITS):
            await _commit(store, commit, centre)
    finally:
        await store.close()
    return signer, centre


async def _commit(store: Store, commit: int, centre: NoteSigner) -> None:
    """Records in one commit, which the centre cosigns and of which it answers all but the last."""
    drafts = [await _vehicle(store, commit, n) for n in range(_RECORDS_A_COMMIT - 1)]
    drafts.append(other_draft("device", time_ns=commit, fields={"device": "D1", "ok": True}))
    records = await store.append_many(drafts)
    head = await store.head()
    assert head is not None
    line = Cosigner(centre).cosign(split_note(head.note)[0], 1_700_000_000 + commit)
    await store.keep_cosignature(head.checkpoint.size, 1_700_000_000 + commit, line)
    await store.acknowledge_many(_receipts(records[:-1], head.checkpoint.size, centre))


async def _vehicle(store: Store, commit: int, n: int) -> Draft:
    signal = await store.put_blob(b"signal %d.%d " % (commit, n) * 20, "signal", "audio/flac")
    picture = await store.put_blob(b"picture %d " % commit * 20, "picture", "image/jpeg")
    verdict = ("within", "over")[n % 2]
    body = {
        "schema": "steelyard/vehicle/2", "lane": str(n), "gross_kg": 49_000 + commit,
        "time_us": 1_700_000_000_000_000 + commit, "verdict": {"kind": verdict},
    }  # fmt: skip
    private = {"plate": {"join": "read", "text": f"川A1234{commit}"}}
    return Draft("vehicle", body, (signal, picture), verdict == "over", private)


def _receipts(records: list[Record], size: int, centre: NoteSigner) -> list[Receipt]:
    answers = [
        Receipt(r.record_id, r.index, "stored", "", 7, size, station=STATION) for r in records
    ]
    data = encode_receipts(answers, centre)
    return Receipt.decode_all(data, NoteVerifier(centre.verifier_key), STATION)
