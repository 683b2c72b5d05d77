"""What travels: a record's exact bytes with the proof that it stands in the signed log.

An envelope is made with the checkpoint of the commit that sealed its record, so that it has the
same bytes whenever it is sent. The private part goes beside the record until it is erased.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from edge.errors import IntegrityError
from edge.evidence.canonical import canonical, parse_canonical
from edge.evidence.keys import unbase64
from edge.evidence.merkle import leaf_hash, verify_inclusion
from edge.evidence.note import Checkpoint, NoteVerifier, origin_of
from edge.evidence.seal import reopen
from edge.records import Record

SCHEMA = "steelyard/envelope/2"
FIRST_SCHEMA = "steelyard/envelope/1"

_NODE_CHARS = 44
"""Base64 of a hash."""
_FIELDS = frozenset({"schema", "record", "index", "proof", "checkpoint"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """A record with its inclusion proof and the signed checkpoint that the proof leads to."""

    record_bytes: bytes
    index: int
    proof: tuple[bytes, ...]
    checkpoint_note: str
    private: bytes | None = None
    """The record's private part; None where there is none, or it was erased."""

    @property
    def record_id(self) -> str:
        """Hex of the leaf hash of the record's bytes."""
        return leaf_hash(self.record_bytes).hex()

    def encode(self) -> bytes:
        """The envelope as canonical JSON; hashes and record in base64."""
        fields = {"schema": SCHEMA, "checkpoint": self.checkpoint_note}
        return canonical(fields | entry_of(self))

    @classmethod
    def decode(cls, data: bytes) -> Envelope:
        """An envelope from its bytes; nothing is verified.

        Raises
        ------
        IntegrityError
            Not an envelope; ``step`` is ``"format"``.
        """
        try:
            return cls._from_tree(_tree(data))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise failed("format", "不是有效的证据封套", "not an envelope", error) from error

    @classmethod
    def _from_tree(cls, tree: dict[str, Any]) -> Envelope:
        if tree.keys() - {"private"} != _FIELDS:
            raise ValueError("other fields than those of an envelope")
        if not isinstance(tree["checkpoint"], str):
            raise ValueError("checkpoint is a text")
        return envelope_of(tree, tree["checkpoint"])


def verify_envelope(envelope: Envelope, verifier: NoteVerifier) -> dict[str, Any]:
    """The statement of the record for reading, if everything about it proves itself.

    Steps, each named in the error: ``signature``, ``checkpoint``, ``inclusion``, ``canonical``,
    ``number``, ``private``. The last fails for a private part that is not the record's; one that
    is missing was erased.

    Raises
    ------
    IntegrityError
        A step failed.
    """
    return verify_record(envelope, verify_checkpoint(envelope.checkpoint_note, verifier))


def verify_checkpoint(note: str, verifier: NoteVerifier) -> Checkpoint:
    """The checkpoint of a note, if the station's key signed it.

    Raises
    ------
    IntegrityError
        At step ``signature`` or ``checkpoint``.
    """
    # (1) The station's key signed the checkpoint.
    try:
        text = verifier.verify(note)
    except ValueError as error:
        raise failed("signature", "签名不成立", "the signature does not hold", error) from error
    # (2) What it signed is a checkpoint.
    try:
        return Checkpoint.parse(text)
    except ValueError as error:
        raise failed("checkpoint", "检查点无效", "not a checkpoint", error) from error


def verify_record(envelope: Envelope, checkpoint: Checkpoint) -> dict[str, Any]:
    """The statement of a record for reading; as ``prove_record``."""
    return prove_record(envelope, checkpoint).body


def prove_record(envelope: Envelope, checkpoint: Checkpoint) -> Record:
    """The record of an envelope, if it stands under a checkpoint whose signature holds.

    Raises
    ------
    IntegrityError
        At step ``inclusion``, ``canonical``, ``number`` or ``private``.
    """
    # (3) The record's bytes stand at their place in that tree.
    leaf = leaf_hash(envelope.record_bytes)
    if not verify_inclusion(leaf, envelope.index, checkpoint.size, envelope.proof, checkpoint.root):
        raise failed("inclusion", "记录不在日志树中", "the record is not in the signed tree")
    try:
        record = reopen(envelope.record_bytes, private=envelope.private, leaf=leaf)
    except ValueError as error:
        raise _malformed(envelope, checkpoint.origin, error) from error
    _check_number(record, envelope.index, checkpoint.origin)
    return record


def _malformed(envelope: Envelope, origin: str, error: ValueError) -> IntegrityError:
    """Which step failed: both are read at once, since a record is read far more often than not."""
    # (4) The bytes have one meaning only.
    try:
        record = reopen(envelope.record_bytes)
    except ValueError as cause:
        return failed("canonical", "记录格式无效", "the record is malformed", cause)
    # (5) The record names the place and the log where it stands.
    _check_number(record, envelope.index, origin)
    # (6) The private part is the one that the record binds.
    return failed("private", "隐私部分不符", "the private part does not fit", error)


def entry_of(envelope: Envelope) -> dict[str, Any]:
    """The fields of one record in an envelope or in a batch."""
    private = {} if envelope.private is None else {"private": to_base64(envelope.private)}
    return {
        "record": to_base64(envelope.record_bytes),
        "index": envelope.index,
        "proof": list(map(_shared_base64, envelope.proof)),
        **private,
    }


def envelope_of(entry: Mapping[str, Any], note: str) -> Envelope:
    """The envelope that the fields of one record make with a checkpoint.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        They make none.
    """
    index, private = entry["index"], entry.get("private")
    if type(index) is not int or not isinstance(entry["proof"], list):
        raise ValueError("index is an integer and proof a list")
    proof = tuple(map(_node, entry["proof"]))
    if private is not None or "private" in entry:
        private = unbase64(entry["private"])
    return Envelope(unbase64(entry["record"]), index, proof, note, private)


def failed(step: str, zh: str, en: str, cause: Exception | None = None) -> IntegrityError:
    """What to say of evidence that fails at a step."""
    reason = f" ({cause})" if cause else ""
    return IntegrityError(
        zh + reason,
        en + reason,
        step=step,
        next_zh="保留原件，不要采信这条记录，通知维护人员",
        next_en="keep the file, do not rely on this record, call the maintainer",
    )


def _tree(data: bytes) -> dict[str, Any]:
    """The object of an envelope; only those of the first release may be in any spelling."""
    tree = orjson.loads(data)
    if tree["schema"] == SCHEMA:
        return parse_canonical(data)
    if tree["schema"] != FIRST_SCHEMA or "private" in tree:
        raise ValueError(f"schema is not {SCHEMA}")
    return dict(tree)


def _check_number(record: Record, index: int, origin: str) -> None:
    station = record.body.get("station")
    generation = record.body.get("generation", 1)
    if record.index != index or origin != origin_of(str(station), generation):
        raise failed(
            "number",
            f"记录自称 {station} 第 {record.index} 号，却在 {origin} 第 {index} 号",
            f"the record says {station} number {record.index}, but stands in {origin} at {index}",
        )


def _node(text: str) -> bytes:
    return _shared_node(text) if len(text) == _NODE_CHARS else unbase64(text)


@functools.lru_cache(maxsize=4096)
def _shared_node(text: str) -> bytes:
    """Neighbours in a log share most nodes of their proofs."""
    return unbase64(text)


@functools.lru_cache(maxsize=4096)
def _shared_base64(node: bytes) -> str:
    return to_base64(node)


def to_base64(data: bytes) -> str:
    """As bytes stand in JSON."""
    return base64.b64encode(data).decode()
