"""Records at the centre's door: proven, kept, and only then answered.

=========================================  ==============================================
what came                                  what it does
=========================================  ==============================================
proves itself, all blobs here              kept, answered ``stored``
came before                                counted, answered ``stored`` again
blobs missing                              the station is told which pieces
the station's key, or room, missing        no answer: the station sends it again
no envelope, or not in the station's log   noted, no answer: anybody can send a wrong proof for
                                           a good record, so it must not end its delivery
the private part is wrong or left out      the same: whoever carried it may have done that
in the signed log, yet wrong or forked     noted, answered ``refused``
=========================================  ==============================================
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge.errors import IntegrityError
from edge.evidence.batch import EnvelopeBatch
from edge.evidence.envelope import Envelope, prove_record, verify_checkpoint
from edge.evidence.note import Checkpoint, NoteVerifier
from edge.evidence.receipt import Answer
from edge.health import Health
from edge.records import Blob, Record
from simulator.case_blobs import IncomingBlobs
from simulator.case_commands import note_outcome
from simulator.case_store import CaseStore, Log, NewRecord
from simulator.case_witness import Witness, log_of

log = logging.getLogger("steelyard.case")

MOST_SIZE = 2**53 - 1
MOST_STATION_BYTES = 256 * 1024**3
"""Room for the records and blobs of one station: beyond it nothing is taken, and people know."""

_PROVEN_STEPS = frozenset({"canonical", "number"})
"""Checks that come after the station's signature over the record's place: what fails here is the
station's own doing."""


@dataclass(slots=True)
class Outcome:
    """What the records of one message have brought about."""

    log: Log | None = None
    answers: list[Answer] = field(default_factory=list)
    lacking: set[str] = field(default_factory=set)
    """Blobs that must come before their records can be kept."""


class RecordDoor:
    """Takes envelopes, singly or many at once; inside the caller's transaction."""

    def __init__(
        self,
        store: CaseStore,
        blobs: IncomingBlobs,
        witness: Witness,
        health: Health,
        now_us: Callable[[], int],
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._witness = witness
        self._health = health
        self._now_us = now_us

    def take(self, station: str, payload: bytes, verifier: NoteVerifier, *, many: bool) -> Outcome:
        """Keep what proves itself, and say what may be answered."""
        try:
            batch = EnvelopeBatch.decode(payload) if many else _single(payload)
        except IntegrityError:
            self._note(station, hashlib.sha256(payload).hexdigest(), "format")
            return Outcome()
        try:
            checkpoint = verify_checkpoint(batch.checkpoint_note, verifier)
        except IntegrityError as error:
            for envelope in batch.envelopes:
                self._note(station, envelope.record_id, error.step)
            return Outcome()
        of = log_of(station, checkpoint.origin)
        if of is None or checkpoint.size > MOST_SIZE:
            self._note(station, batch.envelopes[0].record_id, "checkpoint")
            return Outcome()
        return self._take_signed(of, batch, checkpoint)

    def _take_signed(self, of: Log, batch: EnvelopeBatch, checkpoint: Checkpoint) -> Outcome:
        """The station itself has signed the tree in which these records are said to stand."""
        outcome = Outcome(of)
        conflict = self._conflict(of, checkpoint, batch.checkpoint_note)
        if conflict is None:
            self._store.keep_checkpoint(of, checkpoint, batch.checkpoint_note)
        held = self._store.ids(of, batch.indices[0], batch.indices[-1])
        rows, copies = [], []
        for envelope in batch.envelopes:  # a statement is let go before the next one is read
            try:
                record = prove_record(envelope, checkpoint)
            except IntegrityError as error:
                self._doubt(outcome, envelope, error.step)
                continue
            known = held.get(envelope.index)
            if known == record.record_id:
                copies.append(envelope.index)
                outcome.answers.append(Answer(envelope.index, known, "stored"))
            elif known is not None:
                self._part_at(outcome, envelope, known)
            elif conflict:
                self._refuse(outcome, envelope, conflict)
            elif self._can_be_kept(outcome, record):
                rows.append(_row(record, envelope.proof))
        if copies:
            self._store.count_copies(of, copies)
        self._keep(outcome, checkpoint, rows)
        return outcome

    def _conflict(self, of: Log, checkpoint: Checkpoint, note: str) -> str | None:
        """Why nothing new is taken under a checkpoint."""
        root = self._store.root_at(of, checkpoint.size)
        if root not in (None, checkpoint.root):
            known = self._store.note_at(of, checkpoint.size) or ""
            detail = f"two roots for size {checkpoint.size}"
            name = self._witness.parting(of)
            self._witness.alarm(of, name, detail, known, note, self._now_us())
            return f"{name}: {detail}"
        standing = self._witness.conflict_of(of.station)
        if standing and not self._witness.cosigned(of, checkpoint):
            return f"{standing}: the checkpoint of size {checkpoint.size} is not cosigned"
        return None

    def _doubt(self, outcome: Outcome, envelope: Envelope, step: str) -> None:
        assert outcome.log
        if step in _PROVEN_STEPS:
            self._refuse(outcome, envelope, step)
        else:
            self._note(outcome.log.station, envelope.record_id, step)

    def _part_at(self, outcome: Outcome, envelope: Envelope, held: str) -> None:
        assert outcome.log
        detail = f"another record has number {envelope.index}: {held}"
        known = self._store.note_of_record(outcome.log, envelope.index)
        note = envelope.checkpoint_note
        name = self._witness.parting(outcome.log)
        self._witness.alarm(outcome.log, name, detail, known, note, self._now_us())
        self._refuse(outcome, envelope, f"{name}: {detail}")

    def _can_be_kept(self, outcome: Outcome, record: Record) -> bool:
        """Whether all that belongs to a new record is here."""
        assert outcome.log
        if record.private is None and "private_sha256" in record.body:
            self._note(outcome.log.station, record.record_id, "private")
            return False
        missing = self._missing(record.blobs)
        if missing:
            outcome.lacking |= missing
            self._health.count("case.waiting_for_blobs")
            return False
        if record.kind == "command":
            note_outcome(self._store, outcome.log.station, record.body)
        return True

    def _keep(self, outcome: Outcome, checkpoint: Checkpoint, rows: Sequence[NewRecord]) -> None:
        assert outcome.log
        if not rows:
            return
        if self._store.bytes_of(outcome.log.station) > MOST_STATION_BYTES:
            self._health.count("case.over_quota", len(rows))
            log.warning("%s: 存储配额已满 / its room is full", outcome.log.station)
            return
        self._store.add(outcome.log, checkpoint.size, rows, self._now_us())
        outcome.answers += [Answer(row.number, row.record_id, "stored") for row in rows]

    def _missing(self, blobs: Sequence[Blob]) -> set[str]:
        wanted = {blob.sha256 for blob in blobs if blob.deliver}
        return {sha256 for sha256 in wanted if not self._blobs.rely_on(sha256)}

    def _refuse(self, outcome: Outcome, envelope: Envelope, reason: str) -> None:
        assert outcome.log
        self._note(outcome.log.station, envelope.record_id, reason)
        outcome.answers.append(Answer(envelope.index, envelope.record_id, "refused", reason))

    def _note(self, station: str, record_id: str, reason: str) -> None:
        self._health.count("case.refused")
        if self._store.refuse(station, record_id, reason, self._now_us()):
            log.warning("%s: %s 不成立 / does not hold: %s", station, record_id[:16], reason)


def _single(payload: bytes) -> EnvelopeBatch:
    envelope = Envelope.decode(payload)
    return EnvelopeBatch(envelope.checkpoint_note, (envelope,))


def _row(record: Record, proof: Sequence[bytes]) -> NewRecord:
    return NewRecord(
        record.index,
        record.record_id,
        record.kind,
        record.body.get("lane"),
        record.canonical,
        record.private,
        b"".join(proof),
    )
