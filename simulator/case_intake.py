"""What the case system makes of each message: verify first, keep, and only then answer.

=========================================  ==============================================
what came                                  what it does
=========================================  ==============================================
proves itself, all blobs here               kept, answered ``stored``
came before                                 counted, answered ``stored`` again
blobs missing, or the station's key         no answer: the station sends it again
no envelope, or not in the station's log    noted, no answer: anybody can send a wrong proof for
                                            a good record, so it must not end its delivery
in the signed log, yet wrong or forked      noted, answered ``refused``
=========================================  ==============================================
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edge.errors import IntegrityError
from edge.evidence.envelope import Envelope, verify_envelope
from edge.evidence.note import Checkpoint, NoteVerifier, origin_of, split_note
from edge.evidence.receipt import Receipt
from edge.health import Health
from edge.uplink.paho_client import Message
from edge.uplink.topics import CHUNK_BYTES, Presence, Upward, parse_up, read_object
from simulator.case_store import CaseStore

log = logging.getLogger("steelyard.case")

_MOST_PARTIAL_BYTES = 256 * 1024 * 1024
_PROVEN_STEPS = frozenset({"canonical", "number"})
"""Checks of ``verify_envelope`` that come after the station's signature over the record's place:
what fails here is the station's own doing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A receipt for a station."""

    station: str
    receipt: Receipt


class Intake:
    """Takes messages in batches, each batch in one transaction; one thread at a time."""

    def __init__(
        self,
        store: CaseStore,
        health: Health,
        now_ns: Callable[[], int],
        station_keys: Mapping[str, str] | None = None,
    ) -> None:
        self._store = store
        self._health = health
        self._now_ns = now_ns
        self._given_keys = dict(station_keys or {})
        self._partial = _PartialBlobs()

    def take(self, messages: Sequence[Message]) -> list[Answer]:
        """Everything that is kept is on the disk, and what may be answered comes back."""
        with self._store.transaction():
            answers = [self._take_one(message) for message in messages]
        return [answer for answer in answers if answer]

    def _take_one(self, message: Message) -> Answer | None:
        upward = parse_up(message.topic)
        self._health.count(f"case.{upward.what if upward else 'unknown'}")
        if upward is None:
            return None
        if upward.what == "record":
            return self._take_record(upward.station, message.payload)
        {
            "blob": self._take_blob,
            "key": self._take_key,
            "state": self._take_state,
            "telemetry": self._take_telemetry,
        }[upward.what](upward, message.payload)
        return None

    # ------------------------------------------------------------------------------------------
    # Records

    def _take_record(self, station: str, payload: bytes) -> Answer | None:
        verifier = self._verifier(station)
        if verifier is None:
            self._health.count("case.waiting_for_key")
            return None
        try:
            envelope = Envelope.decode(payload)
        except IntegrityError:
            self._note(station, hashlib.sha256(payload).hexdigest(), "format")
            return None
        try:
            body = verify_envelope(envelope, verifier)
        except IntegrityError as error:
            if error.step in _PROVEN_STEPS:
                return self._refuse(station, envelope, error.step)
            self._note(station, envelope.record_id, error.step)
            return None
        return self._take_proven(station, envelope, body)

    def _take_proven(self, station: str, envelope: Envelope, body: dict[str, Any]) -> Answer | None:
        """The station itself has signed that this record stands at this number of its log."""
        if not self._agrees(station, envelope.checkpoint_note):
            return self._refuse(station, envelope, "fork: two roots for one size of the log")
        held = self._store.id_at(station, envelope.index)
        if held == envelope.record_id:
            self._store.count_copy(station, envelope.index)
            return self._answer(station, envelope, "stored")
        if held is not None:
            return self._refuse(station, envelope, "fork: another record has this number")
        if not self._has_blobs(body):
            self._health.count("case.waiting_for_blobs")
            return None
        self._store.add(station, envelope, body, self._now_us())
        return self._answer(station, envelope, "stored")

    def _agrees(self, station: str, note: str) -> bool:
        checkpoint = Checkpoint.parse(split_note(note)[0])
        return self._store.agrees(station, checkpoint, note)

    def _has_blobs(self, body: dict[str, Any]) -> bool:
        return all(self._store.has_blob(b["sha256"]) for b in body["blobs"] if b["deliver"])

    def _answer(
        self,
        station: str,
        envelope: Envelope,
        status: Literal["stored", "refused"],
        reason: str = "",
    ) -> Answer:
        size = self._store.tree_size(station)
        receipt = Receipt(envelope.record_id, envelope.index, status, reason, self._now_us(), size)
        return Answer(station, receipt)

    def _refuse(self, station: str, envelope: Envelope, reason: str) -> Answer:
        self._note(station, envelope.record_id, reason)
        return self._answer(station, envelope, "refused", reason)

    def _note(self, station: str, record_id: str, reason: str) -> None:
        log.warning("%s: %s 不成立 / does not hold: %s", station, record_id[:16], reason)
        self._health.count("case.refused")
        self._store.refuse(station, record_id, reason, self._now_us())

    # ------------------------------------------------------------------------------------------
    # Blobs, keys, presence, telemetry

    def _take_blob(self, upward: Upward, payload: bytes) -> None:
        if self._store.has_blob(upward.sha256):
            return
        data = self._partial.add(upward, payload)
        self._health.gauge("case.partial_bytes", self._partial.size_bytes)
        if data is None:
            return
        if hashlib.sha256(data).hexdigest() == upward.sha256:
            self._store.blobs.put(data)
        else:
            self._health.count("case.blobs_damaged")

    def _verifier(self, station: str) -> NoteVerifier | None:
        key = self._given_keys.get(station) or self._store.key_of(station)
        return NoteVerifier(key) if key else None

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

    def _take_telemetry(self, upward: Upward, payload: bytes) -> None:
        try:
            telemetry = json.dumps(read_object(payload))
        except ValueError:
            self._health.count("case.telemetry_bad")
            return
        self._store.set_telemetry(upward.station, telemetry, self._now_us())

    def _now_us(self) -> int:
        return self._now_ns() // 1000


class _PartialBlobs:
    """Pieces of blobs that are not complete; bounded, the oldest go first and are sent again."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[str, str, int], dict[int, bytes]] = {}
        self.size_bytes = 0

    def add(self, upward: Upward, piece: bytes) -> bytes | None:
        """The whole blob, if this was its last piece."""
        if len(piece) > CHUNK_BYTES:
            return None
        key = (upward.station, upward.sha256, upward.count)
        pieces = self._pieces.setdefault(key, {})
        self.size_bytes += len(piece) - len(pieces.get(upward.number, b""))
        pieces[upward.number] = piece
        if len(pieces) == upward.count:
            return b"".join(data for _, data in sorted(self._drop(key).items()))
        while self.size_bytes > _MOST_PARTIAL_BYTES:
            self._drop(next(iter(self._pieces)))
        return None

    def _drop(self, key: tuple[str, str, int]) -> dict[int, bytes]:
        pieces = self._pieces.pop(key)
        self.size_bytes -= sum(map(len, pieces.values()))
        return pieces
