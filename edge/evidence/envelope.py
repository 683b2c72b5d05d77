"""What travels: a record's exact bytes with the proof that it stands in the signed log.

An envelope is made with the checkpoint of the commit that sealed its record, so that it has the
same bytes whenever it is sent.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from edge.errors import IntegrityError
from edge.evidence.canonical import canonical
from edge.evidence.merkle import leaf_hash, verify_inclusion
from edge.evidence.note import Checkpoint, NoteVerifier, origin_of
from edge.evidence.seal import reopen
from edge.records import Record

SCHEMA = "steelyard/envelope/1"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A record with its inclusion proof and the signed checkpoint that the proof leads to."""

    record_bytes: bytes
    index: int
    proof: tuple[bytes, ...]
    checkpoint_note: str

    @property
    def record_id(self) -> str:
        """Hex of the leaf hash of the record's bytes."""
        return leaf_hash(self.record_bytes).hex()

    def encode(self) -> bytes:
        """The envelope as canonical JSON; hashes and record in base64."""
        return canonical(
            {
                "schema": SCHEMA,
                "record": base64.b64encode(self.record_bytes).decode(),
                "index": self.index,
                "proof": [base64.b64encode(node).decode() for node in self.proof],
                "checkpoint": self.checkpoint_note,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Envelope:
        """An envelope from its bytes; nothing is verified.

        Raises
        ------
        IntegrityError
            Not an envelope; ``step`` is ``"format"``.
        """
        try:
            return cls._from_tree(json.loads(data))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _failed("format", "不是有效的证据封套", "not an envelope", error) from error

    @classmethod
    def _from_tree(cls, tree: dict[str, Any]) -> Envelope:
        if tree["schema"] != SCHEMA:
            raise ValueError(f"schema is not {SCHEMA}")
        index, note = tree["index"], tree["checkpoint"]
        if type(index) is not int or not isinstance(note, str):
            raise ValueError("index is an integer and checkpoint a text")
        proof = tuple(_unbase64(node) for node in tree["proof"])
        return cls(_unbase64(tree["record"]), index, proof, note)


def verify_envelope(envelope: Envelope, verifier: NoteVerifier) -> dict[str, Any]:
    """The body of the record, if everything about it proves itself.

    Steps, each named in the error: ``signature``, ``checkpoint``, ``inclusion``, ``canonical``,
    ``number``.

    Raises
    ------
    IntegrityError
        A step failed.
    """
    # (1) The station's key signed the checkpoint.
    try:
        text = verifier.verify(envelope.checkpoint_note)
    except ValueError as error:
        raise _failed("signature", "签名不成立", "the signature does not hold", error) from error
    # (2) What it signed is a checkpoint.
    try:
        checkpoint = Checkpoint.parse(text)
    except ValueError as error:
        raise _failed("checkpoint", "检查点无效", "not a checkpoint", error) from error
    # (3) The record's bytes stand at their place in that tree.
    leaf = leaf_hash(envelope.record_bytes)
    if not verify_inclusion(leaf, envelope.index, checkpoint.size, envelope.proof, checkpoint.root):
        raise _failed("inclusion", "记录不在日志树中", "the record is not in the signed tree")
    # (4) The bytes have one meaning only.
    try:
        record = reopen(envelope.record_bytes)
    except ValueError as error:
        raise _failed("canonical", "记录格式无效", "the record is malformed", error) from error
    # (5) The record names the place and the log where it stands.
    _check_number(record, envelope.index, checkpoint.origin)
    return record.body


def _check_number(record: Record, index: int, origin: str) -> None:
    station = record.body.get("station")
    if record.index != index or origin != origin_of(str(station)):
        raise _failed(
            "number",
            f"记录自称 {station} 第 {record.index} 号，却在 {origin} 第 {index} 号",
            f"the record says {station} number {record.index}, but stands in {origin} at {index}",
        )


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


def _failed(step: str, zh: str, en: str, cause: Exception | None = None) -> IntegrityError:
    reason = f" ({cause})" if cause else ""
    return IntegrityError(
        zh + reason,
        en + reason,
        step=step,
        next_zh="保留原件，不要采信这条记录，通知维护人员",
        next_en="keep the file, do not rely on this record, call the maintainer",
    )
