"""A case system's intake fed by hand, and a station's log that can be made to lie."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.evidence.batch import EnvelopeBatch
from edge.evidence.envelope import Envelope
from edge.evidence.merkle import Frontier, consistency_proof, inclusion_proof, leaf_hash, node_hash
from edge.evidence.note import Checkpoint, NoteSigner, NoteVerifier, origin_of
from edge.evidence.receipt import Receipt
from edge.evidence.seal import seal
from edge.evidence.witness import Submission, WitnessAnswer
from edge.health import Health
from edge.records import Blob, Draft, Record
from edge.uplink.blobs import BlobState
from edge.uplink.paho_client import Message
from edge.uplink.topics import Presence, Topics
from simulator.case_intake import Intake, Outgoing
from simulator.case_store import CaseStore
from simulator.case_witness import Alarm, alarms

STATION = "S1"
TOPICS = Topics(STATION)


class Desk:
    """An intake with its store; what it says is decoded."""

    def __init__(self, directory: Path, **keys: str) -> None:
        self.directory = directory
        self.signer = NoteSigner.load_or_create(directory / "centre.key", "case-system")
        self.store = CaseStore.open(directory)
        self.store.blobs.prepare()
        self.health = Health(time.monotonic_ns)
        self.intake = Intake(self.store, self.signer, self.health, time.time_ns, keys)

    def close(self) -> None:
        self.intake.close()
        self.store.close()

    def take(self, topic: str, payload: bytes) -> list[Outgoing]:
        return self.intake.take([message(topic, payload)])

    def kept(self, sha256: str) -> bytes:
        """The bytes of a blob: it gets its name with a later message, when the disk has it."""
        path = self.store.blobs.path(sha256)
        for _ in range(2_000):
            self.take(TOPICS.state, Presence("online").encode())
            if path.exists():
                break
            time.sleep(0.005)
        return path.read_bytes()

    def receipts(self, topic: str, payload: bytes, station: str = STATION) -> list[Receipt]:
        said = self.take(topic, payload)
        return [r for note in said for r in self.read_receipts(note, station)]

    def read_receipts(self, said: Outgoing, station: str = STATION) -> list[Receipt]:
        if said.topic != Topics(station).receipt:
            return []
        verifier = NoteVerifier(self.signer.verifier_key)
        return Receipt.decode_all(said.payload, verifier, station)

    def witness(self, submission: Submission, station: str = STATION) -> WitnessAnswer:
        [said] = self.take(Topics(station).checkpoint, submission.encode())
        assert said.topic == Topics(station).witness
        return WitnessAnswer.decode(said.payload, NoteVerifier(self.signer.verifier_key), station)

    def blob(self, topic: str, payload: bytes) -> BlobState | None:
        said = self.take(topic, payload)
        return BlobState.decode(said[0].payload) if said else None

    def trusts(self, log: StationLog) -> None:
        self.take(Topics(log.station).key, log.signer.verifier_key.encode())

    def alarms(self) -> list[Alarm]:
        return alarms(self.store)

    def count(self, name: str) -> int:
        return self.health.snapshot().counters.get(f"case.{name}", 0)


def message(topic: str, payload: bytes) -> Message:
    return Message(topic, payload, False, 1, 1)


@dataclass
class StationLog:
    """A log in memory; ``branch`` gives another with the same key and history."""

    station: str = STATION
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    records: list[Record] = field(default_factory=list)
    origin: str = ""
    generation: int = 1

    def __post_init__(self) -> None:
        self._nodes: dict[tuple[int, int], bytes] = {}
        self.signer = NoteSigner(f"steelyard/{self.station}", self.key)
        self.origin = self.origin or origin_of(self.station, self.generation)

    def __len__(self) -> int:
        return len(self.records)

    def append(self, many: int = 1, *, blobs: tuple[Blob, ...] = (), **fields: Any) -> Record:
        """Records that no other log has."""
        kind, private = fields.pop("kind", "note"), fields.pop("private", {})
        for _ in range(many):
            body = {"time_us": time.time_ns() // 1000, "text": os.urandom(4).hex(), **fields}
            draft = Draft(kind, body, blobs, private=private)
            index = len(self.records)
            salt = os.urandom(16)
            self.records.append(
                seal(
                    draft,
                    station=self.station,
                    index=index,
                    passage=None,
                    salt=salt,
                    generation=self.generation,
                )
            )
        return self.records[-1]

    def append_bytes(self, data: bytes) -> Record:
        """A leaf of any bytes."""
        self.records.append(Record(len(self.records), leaf_hash(data).hex(), "note", data, {}))
        return self.records[-1]

    def branch(self, size: int | None = None) -> StationLog:
        return StationLog(self.station, self.key, self.records[:size], self.origin)

    def note(self, size: int | None = None) -> str:
        checkpoint = Checkpoint(self.origin, self._size(size), self.root(size))
        return self.signer.sign(checkpoint.text())

    def root(self, size: int | None = None) -> bytes:
        return Frontier.load(self._size(size), self._node).root()

    def envelope(self, index: int = -1, size: int | None = None) -> Envelope:
        index %= len(self.records)
        record = self.records[index]
        proof = tuple(inclusion_proof(index, self._size(size), self._node))
        return Envelope(record.canonical, index, proof, self.note(size), record.private)

    def batch(self, first: int = 0, last: int | None = None, *, joint: bool = False) -> bytes:
        indices = range(len(self.records))[first:last]
        batch = EnvelopeBatch(self.note(), tuple(map(self.envelope, indices)))
        return batch.encode_joint() if joint else batch.encode()

    def submission(
        self, old: int = 0, size: int | None = None, boot_id: str = "boot-a"
    ) -> Submission:
        proof = tuple(consistency_proof(old, self._size(size), self._node))
        return Submission(boot_id, old, proof, self.note(size))

    def _size(self, size: int | None) -> int:
        return len(self.records) if size is None else size

    def _node(self, level: int, index: int) -> bytes:
        if (level, index) not in self._nodes:
            self._nodes[level, index] = (
                node_hash(self._node(level - 1, 2 * index), self._node(level - 1, 2 * index + 1))
                if level
                else leaf_hash(self.records[index].canonical)
            )
        return self._nodes[level, index]
