"""Many records of one log in one message, all proven under one checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from edge.errors import IntegrityError
from edge.evidence.canonical import LARGEST
from edge.evidence.envelope import (
    Envelope,
    entry_of,
    envelope_of,
    failed,
    verify_checkpoint,
    verify_record,
)
from edge.evidence.note import NoteVerifier

SCHEMA = "steelyard/envelopes/1"
MAX_RECORDS = 500

_ENTRY = frozenset({"record", "index", "proof"})


@dataclass(frozen=True, slots=True)
class EnvelopeBatch:
    """Envelopes in order of the log, 1 to 500, with the same checkpoint note."""

    checkpoint_note: str
    envelopes: tuple[Envelope, ...]

    @property
    def indices(self) -> tuple[int, ...]:
        """Numbers of the records."""
        return tuple(envelope.index for envelope in self.envelopes)

    def encode(self) -> bytes:
        """The batch as canonical JSON."""
        return _written(self.checkpoint_note, map(entry_of, self.envelopes))

    @classmethod
    def decode(cls, data: bytes) -> EnvelopeBatch:
        """A batch from its bytes; nothing is verified.

        Raises
        ------
        IntegrityError
            Not a batch; ``step`` is ``"format"``.
        """
        try:
            tree = orjson.loads(data)
            batch = cls._from_tree(tree)
            if _written(tree["checkpoint"], tree["records"]) != data:
                raise ValueError("not in canonical form")
            return batch
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise failed("format", "不是有效的批量封套", "not a batch", error) from error

    @classmethod
    def _from_tree(cls, tree: dict[str, Any]) -> EnvelopeBatch:
        note, entries = tree["checkpoint"], tree["records"]
        if tree.keys() != {"schema", "checkpoint", "records"} or tree["schema"] != SCHEMA:
            raise ValueError(f"schema is not {SCHEMA}")
        if not (isinstance(note, str) and isinstance(entries, list)):
            raise ValueError("checkpoint is a text and records a list")
        if not 1 <= len(entries) <= MAX_RECORDS:
            raise ValueError(f"a batch has 1 to {MAX_RECORDS} records")
        if any(entry.keys() - {"private"} != _ENTRY for entry in entries):
            raise ValueError("other fields than those of a record in a batch")
        batch = cls(note, tuple(envelope_of(entry, note) for entry in entries))
        if not 0 <= batch.indices[0] <= batch.indices[-1] <= LARGEST:
            raise ValueError("a number of a log is not negative and no larger than JSON can say")
        if any(a >= b for a, b in itertools.pairwise(batch.indices)):
            raise ValueError("the records of a batch stand in order of the log")
        return batch


def _written(note: str, entries: Iterable[Mapping[str, Any]]) -> bytes:
    """The canonical JSON of a batch.

    Written by hand, for the backlog of an outage has many: base64 and numbers need no escapes.
    """
    head = orjson.dumps(note).decode()
    records = ",".join(map(_entry, entries))
    return f'{{"checkpoint":{head},"records":[{records}],"schema":"{SCHEMA}"}}'.encode()


def _entry(entry: Mapping[str, Any]) -> str:
    nodes = '["' + '","'.join(entry["proof"]) + '"]' if entry["proof"] else "[]"
    private = f'"private":"{entry["private"]}",' if "private" in entry else ""
    return f'{{"index":{entry["index"]},{private}"proof":{nodes},"record":"{entry["record"]}"}}'


def verify_batch(
    batch: EnvelopeBatch, verifier: NoteVerifier
) -> list[dict[str, Any] | IntegrityError]:
    """For every record its statement, or why it proves nothing; the signature is checked once.

    Raises
    ------
    IntegrityError
        The checkpoint fails, and with it all records: step ``signature`` or ``checkpoint``.
    """
    checkpoint = verify_checkpoint(batch.checkpoint_note, verifier)
    outcomes: list[dict[str, Any] | IntegrityError] = []
    for envelope in batch.envelopes:
        try:
            outcomes.append(verify_record(envelope, checkpoint))
        except IntegrityError as error:
            outcomes.append(error)
    return outcomes
