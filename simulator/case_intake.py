"""What the case system makes of each message: verify first, keep, and only then answer.

Whatever comes through the door may be hostile: too large, nested without end, in another's name,
a copy, a lie. It is counted and, where it claims to be evidence, noted; nothing of it stops the
rest, and memory and disk have a bound for every station.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from edge.errors import IntegrityError, StoreError
from edge.evidence.batch import JOINT_SCHEMA
from edge.evidence.envelope import verify_checkpoint
from edge.evidence.note import NoteSigner, NoteVerifier, origin_of
from edge.evidence.receipt import MAX_ANSWERS, Answer, encode_answers
from edge.evidence.witness import Submission
from edge.health import Health
from edge.uplink.blobs import BlobState
from edge.uplink.paho_client import Message
from edge.uplink.topics import (
    MOST_CHUNK_BYTES,
    Presence,
    Reads,
    Topics,
    Upward,
    parse_up,
    read_object,
)
from simulator.case_blobs import IncomingBlobs
from simulator.case_records import MOST_SIZE, RecordDoor
from simulator.case_store import CaseStore, Log
from simulator.case_witness import Witness, log_of

log = logging.getLogger("steelyard.case")

_MOST_BYTES = {
    "record": 1 << 20,
    "records": 8 << 20,
    "checkpoint": 64 << 10,
    "manifest": 2 << 20,
    "chunk": MOST_CHUNK_BYTES,
    "telemetry": 256 << 10,
    "state": 4 << 10,
    "key": 4 << 10,
}
"""What is larger is not even looked at."""

_NOTES_REMEMBERED = 64
_MOST_NOTE_CHARS = 8 << 10


class Outgoing(NamedTuple):
    """A message for a station."""

    topic: str
    payload: bytes

    @property
    def is_receipt(self) -> bool:
        """Whether it tells what became of records."""
        return self.topic.endswith("/receipt")


class Intake:
    """Takes messages in batches, each batch in one transaction; one thread at a time."""

    def __init__(
        self,
        store: CaseStore,
        signer: NoteSigner,
        health: Health,
        now_ns: Callable[[], int],
        station_keys: Mapping[str, str] | None = None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._health = health
        self._now_ns = now_ns
        self._given_keys = dict(station_keys or {})
        self._verifiers: dict[str, _RememberingVerifier] = {}
        self._blobs = IncomingBlobs(store.directory / "partial", store.blobs, health)
        self._witness = Witness(store, signer, health)
        self._records = RecordDoor(store, self._blobs, self._witness, health, self._now_us)
        self._answers: dict[Log, list[Answer]] = {}
        self._states: dict[tuple[str, str], BlobState] = {}
        self._told: list[Outgoing] = []

    def close(self) -> None:
        """Wait for what is on its way to the disk."""
        self._blobs.close()

    def take(self, messages: Sequence[Message]) -> list[Outgoing]:
        """Everything that is kept is on the disk, and what may be answered comes back."""
        self._answers, self._states, self._told = {}, {}, []
        with self._store.transaction():
            for message in messages:
                self._take_guarded(message)
            for station, size_bytes in self._blobs.settle().items():
                self._store.count_bytes(station, blobs=size_bytes)
            receipts = [r for of, answers in self._answers.items() for r in self._seal(of, answers)]
        return [*receipts, *self._told, *self._blob_states()]

    def _take_guarded(self, message: Message) -> None:
        """One message may not stop the others: not even by a defect of this program."""
        upward = parse_up(message.topic)
        what = upward.what if upward else "unknown"
        self._health.count(f"case.{what}")
        if upward is None or what not in _MOST_BYTES:
            return
        if len(message.payload) > _MOST_BYTES[what]:
            self._health.count("case.oversize")
            return
        if not self._is_welcome(upward.station):
            self._health.count("case.strangers")
            return
        try:
            with self._store.attempt():
                self._take_one(upward, message.payload)
        except (StoreError, sqlite3.OperationalError):  # not the message's fault: it comes again
            raise
        except Exception:
            log.exception("%s: defect", message.topic[:200])
            self._health.count("case.defects")

    def _take_one(self, upward: Upward, payload: bytes) -> None:
        if upward.what in ("record", "records"):
            self._take_records(upward, payload)
        else:
            {
                "checkpoint": self._take_checkpoint,
                "manifest": self._take_manifest,
                "chunk": self._take_chunk,
                "key": self._take_key,
                "state": self._take_state,
                "telemetry": self._take_telemetry,
            }[upward.what](upward, payload)

    def _is_welcome(self, station: str) -> bool:
        return station in self._given_keys or self._store.knows(station)

    # ------------------------------------------------------------------------------------------
    # Evidence

    def _take_records(self, upward: Upward, payload: bytes) -> None:
        verifier = self._verifier(upward.station)
        if verifier is None:
            self._health.count("case.waiting_for_key")
            return
        many = upward.what == "records"
        outcome = self._records.take(upward.station, payload, verifier, many=many)
        if outcome.log and outcome.answers:
            self._answers.setdefault(outcome.log, []).extend(outcome.answers)
        for sha256 in outcome.lacking:
            self._tell(upward.station, self._blobs.state(upward.station, sha256))

    def _take_checkpoint(self, upward: Upward, payload: bytes) -> None:
        verifier = self._verifier(upward.station)
        if verifier is None:
            self._health.count("case.waiting_for_key")
            return
        try:
            submission = Submission.decode(payload)
            checkpoint = verify_checkpoint(submission.checkpoint_note, verifier)
        except (ValueError, IntegrityError):
            self._health.count("case.checkpoints_bad")
            return
        of = log_of(upward.station, checkpoint.origin)
        if of is None or checkpoint.size > MOST_SIZE:
            self._health.count("case.checkpoints_bad")
            return
        answer = self._witness.judge(of, submission, checkpoint, self._now_us())
        topic = Topics(upward.station).witness
        self._told.append(Outgoing(topic, answer.encode(self._signer)))

    def _take_manifest(self, upward: Upward, payload: bytes) -> None:
        state = self._blobs.take_manifest(upward.station, upward.sha256, payload)
        self._tell(upward.station, state)

    def _take_chunk(self, upward: Upward, payload: bytes) -> None:
        state = self._blobs.take_chunk(upward.station, upward.sha256, upward.number, payload)
        self._tell(upward.station, state)

    # ------------------------------------------------------------------------------------------
    # Answers

    def _tell(self, station: str, state: BlobState | None) -> None:
        """What is told of a blob: the last word of a batch is enough."""
        if state:
            self._states[station, state.sha256] = state

    def _blob_states(self) -> Iterable[Outgoing]:
        for (station, sha256), state in self._states.items():
            yield Outgoing(Topics(station).blob_state(sha256), state.encode())

    def _seal(self, of: Log, answers: Sequence[Answer]) -> Iterable[Outgoing]:
        """One signed note for many records; the newest cosignature goes with it."""
        newest = self._witness.newest(of)
        cosigned = (newest.line, newest.size) if newest else ()
        shared = (of.station, self._now_us(), self._store.tree_size(of), *cosigned)
        for start in range(0, len(answers), MAX_ANSWERS):
            some = answers[start : start + MAX_ANSWERS]
            payload = encode_answers(some, self._signer, *shared)
            yield Outgoing(Topics(of.station).receipt, payload)

    # ------------------------------------------------------------------------------------------
    # Keys, presence, telemetry

    def _verifier(self, station: str) -> NoteVerifier | None:
        if station not in self._verifiers:
            key = self._given_keys.get(station) or self._store.key_of(station)
            if key is None:
                return None
            self._verifiers[station] = _RememberingVerifier(key)
        return self._verifiers[station]

    def _take_key(self, upward: Upward, payload: bytes) -> None:
        """Trust on first use; another key later is somebody else, or a matter for people."""
        try:
            key = payload.decode().strip()
            named_so = NoteVerifier(key).name == origin_of(upward.station)
        except ValueError:
            named_so = False
        if not named_so:
            self._health.count("case.keys_bad")
            return
        trusted = self._given_keys.get(upward.station) or self._store.key_of(upward.station)
        if trusted is None or trusted == key:
            self._store.remember_key(upward.station, key, self._now_us())
            return
        self._health.count("case.keys_changed")
        log.warning(
            "%s: 密钥变了，未采信 / another key than the trusted one, not taken", upward.station
        )

    def _take_state(self, upward: Upward, payload: bytes) -> None:
        try:
            presence = Presence.decode(payload)
        except ValueError:
            self._health.count("case.states_bad")
            return
        self._store.set_state(upward.station, presence, self._now_us())
        if presence.state == "online":
            reads = Reads((JOINT_SCHEMA,)).encode()
            self._told.append(Outgoing(Topics(upward.station).reads, reads))

    def _take_telemetry(self, upward: Upward, payload: bytes) -> None:
        try:
            telemetry = json.dumps(read_object(payload))
        except ValueError:
            self._health.count("case.telemetry_bad")
            return
        self._store.set_telemetry(upward.station, telemetry, self._now_us())

    def _now_us(self) -> int:
        return self._now_ns() // 1000


class _RememberingVerifier(NoteVerifier):
    """Records sealed together share their checkpoint: its signature is checked once."""

    def __init__(self, verifier_key: str) -> None:
        super().__init__(verifier_key)
        self._texts: OrderedDict[str, str] = OrderedDict()

    def verify(self, note: str) -> str:
        """As of any verifier; only what held is remembered."""
        text = self._texts.get(note)
        if text is None:
            text = super().verify(note)
            if len(note) <= _MOST_NOTE_CHARS:
                self._texts[note] = text
            if len(self._texts) > _NOTES_REMEMBERED:
                self._texts.popitem(last=False)
        return text
