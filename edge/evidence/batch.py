"""Many records of one log in one message, all proven under one checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import orjson

from edge.evidence.canonical import LARGEST, canonical, parse_canonical
from edge.evidence.envelope import (
    Envelope,
    entry_of,
    envelope_of,
    failed,
    to_base64,
)
from edge.evidence.joint import join, part
from edge.evidence.keys import unbase64
from edge.evidence.merkle import EMPTY_ROOT, leaf_hash
from edge.evidence.message import is_count
from edge.evidence.note import Checkpoint, split_note

SCHEMA = "steelyard/envelopes/1"
JOINT_SCHEMA = "steelyard/envelopes/2"
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
        """The batch as canonical JSON, each record with a proof of its own."""
        return _written(self.checkpoint_note, map(entry_of, self.envelopes))

    def encode_joint(self) -> bytes:
        """The batch with one proof for all: a line of canonical JSON, then the bytes as they are.

        They are the record and the private part of one after the other, as long as the line says.
        A third less to carry, and neither side need write or read base64.

        Raises
        ------
        ValueError
            The note holds no checkpoint.
        """
        proofs = [envelope.proof for envelope in self.envelopes]
        head = {
            "schema": JOINT_SCHEMA,
            "checkpoint": self.checkpoint_note,
            "proof": [
                to_base64(node) for node in join(self.indices, _size(self.checkpoint_note), proofs)
            ],
            "records": [
                [e.index, len(e.record_bytes), None if e.private is None else len(e.private)]
                for e in self.envelopes
            ],
        }
        parts = (part for e in self.envelopes for part in (e.record_bytes, e.private or b""))
        return b"".join((canonical(head), b"\n", *parts))

    @classmethod
    def decode(cls, data: bytes) -> EnvelopeBatch:
        """A batch from its bytes in either form; nothing is verified.

        Raises
        ------
        IntegrityError
            Not a batch; ``step`` is ``"format"``.
        """
        try:
            head, newline, rest = data.partition(b"\n")
            return cls._from_joint(head, rest) if newline else cls._from_json(data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise failed("format", "不是有效的批量封套", "not a batch", error) from error

    @classmethod
    def _from_json(cls, data: bytes) -> EnvelopeBatch:
        tree = orjson.loads(data)
        note, entries = _opened(tree, SCHEMA, {"schema", "checkpoint", "records"})
        if any(entry.keys() - {"private"} != _ENTRY for entry in entries):
            raise ValueError("other fields than those of a record in a batch")
        batch = cls(note, tuple(envelope_of(entry, note) for entry in entries))
        if not 0 <= batch.indices[0] <= batch.indices[-1] <= LARGEST:
            raise ValueError("a number of a log is not negative and no larger than JSON can say")
        if any(a >= b for a, b in itertools.pairwise(batch.indices)):
            raise ValueError("the records of a batch stand in order of the log")
        if _written(note, entries) != data:
            raise ValueError("not in canonical form")
        return batch

    @classmethod
    def _from_joint(cls, head: bytes, rest: bytes) -> EnvelopeBatch:
        tree = parse_canonical(head)
        note, entries = _opened(tree, JOINT_SCHEMA, {"schema", "checkpoint", "proof", "records"})
        pieces = list(_cut(rest, entries))
        leaves = [leaf_hash(record) for _, record, _ in pieces]
        paths = part(leaves, [index for index, _, _ in pieces], _size(note), _nodes(tree["proof"]))
        return cls(
            note,
            tuple(
                Envelope(record, index, path, note, private)
                for (index, record, private), path in zip(pieces, paths, strict=True)
            ),
        )


def _opened(tree: dict[str, Any], schema: str, fields: Set[str]) -> tuple[str, list[Any]]:
    """Note and entries of what is a batch by its fields."""
    note, entries = tree["checkpoint"], tree["records"]
    if tree.keys() != fields or tree["schema"] != schema:
        raise ValueError(f"schema is not {schema}")
    if not (isinstance(note, str) and isinstance(entries, list)):
        raise ValueError("checkpoint is a text and records a list")
    if not 1 <= len(entries) <= MAX_RECORDS:
        raise ValueError(f"a batch has 1 to {MAX_RECORDS} records")
    return note, entries


def _cut(data: bytes, entries: Iterable[Any]) -> Iterator[tuple[int, bytes, bytes | None]]:
    """Number, record and private part of one after the other, by their stated lengths."""
    begin = 0
    for index, size, private_size in entries:
        if not (is_count(index) and is_count(size) and is_count(private_size or 0)):
            raise ValueError("number and lengths of a record are integers, not negative")
        middle = begin + size
        end = middle + (private_size or 0)
        yield index, data[begin:middle], None if private_size is None else data[middle:end]
        begin = end
    if begin != len(data):
        raise ValueError("the records are not as long as is said")


def _nodes(texts: Iterable[str]) -> list[bytes]:
    nodes = list(map(unbase64, texts))
    if any(len(node) != len(EMPTY_ROOT) for node in nodes):
        raise ValueError("a hash of a proof has 32 bytes")
    return nodes


def _size(note: str) -> int:
    """Of the log that a checkpoint states; who signed it is asked later."""
    return Checkpoint.parse(split_note(note)[0]).size


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
