"""The case system's signed answer to records: stored, or refused and why.

A receipt is a signed note whose text is a schema line and one line of canonical JSON. One note
answers many records of one station; each of them is a ``Receipt`` that shares the note. Receipts
of the first release, one record a note and without a station, are still read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from edge.evidence.message import exactly, is_count, is_hash, read_message, write_message
from edge.evidence.note import NoteSigner, NoteVerifier

SCHEMA = "steelyard/receipt/2"
FIRST_SCHEMA = "steelyard/receipt/1"
MAX_ANSWERS = 500


class Answer(NamedTuple):
    """What a receipt says of one record."""

    number: int
    record_id: str
    status: Literal["stored", "refused"]
    reason: str = ""


_ANSWER = ("index", "record_id", "status", "reason")
_FIRST = (*_ANSWER, "time_us", "tree_size")
_NOTE = ("station", "time_us", "tree_size", "answers", "cosignature", "cosigned_size")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one record at the centre.

    ``tree_size`` is the largest size of the station's log that the centre has seen signed: a
    log that is later shorter has been cut. ``note`` is the signed text as it came.
    """

    record_id: str
    index: int
    status: Literal["stored", "refused"]
    reason: str
    time_us: int
    tree_size: int
    note: str = field(default="", compare=False, repr=False)
    station: str = ""
    """Whose record it is; empty in receipts of the first release."""
    cosignature: str | None = field(default=None, repr=False)
    """The centre's cosignature line of the newest checkpoint that it cosigned."""
    cosigned_size: int | None = None
    """Size of that checkpoint."""

    def encode(self, signer: NoteSigner) -> bytes:
        """The receipt as a note of its own, signed by the case system."""
        return encode_receipts([self], signer)

    @classmethod
    def decode(
        cls, data: bytes, verifier: NoteVerifier | None, station: str | None = None
    ) -> Receipt:
        """The one receipt of a note; as ``decode_all``."""
        receipts = cls.decode_all(data, verifier, station)
        if len(receipts) != 1:
            raise ValueError("a note with many receipts")
        return receipts[0]

    @classmethod
    def decode_all(
        cls, data: bytes, verifier: NoteVerifier | None, station: str | None = None
    ) -> list[Receipt]:
        """The receipts of a note; without a verifier the signature is not checked.

        Parameters
        ----------
        station : str, optional
            Who reads it: a note to another station is refused.

        Raises
        ------
        ValueError
            Not a receipt, not signed by the key of the verifier, or to another station.
        """
        schema, body, note = read_message(data, verifier, (SCHEMA, FIRST_SCHEMA))
        if schema == FIRST_SCHEMA:
            return [_receipt(exactly(body, _FIRST), {}, note)]
        exactly(body, _NOTE)
        _check_note(body)
        if station is not None and body["station"] != station:
            raise ValueError(f"a receipt to station {body['station'][:64]}")
        answers = body.pop("answers")
        return [_receipt(exactly(answer, _ANSWER), body, note) for answer in answers]


def encode_receipts(receipts: Sequence[Receipt], signer: NoteSigner) -> bytes:
    """One signed note for receipts of one station, time and tree size.

    Raises
    ------
    ValueError
        None or too many receipts, or they differ in what they share.
    """
    shared = {(r.station, r.time_us, r.tree_size, r.cosignature, r.cosigned_size) for r in receipts}
    if len(shared) != 1 or len(receipts) > MAX_ANSWERS:
        raise ValueError("a note has 1 to 500 receipts of one station, time and tree size")
    answers = [Answer(r.index, r.record_id, r.status, r.reason) for r in receipts]
    return encode_answers(answers, signer, *shared.pop())


def encode_answers(
    answers: Sequence[Answer],
    signer: NoteSigner,
    station: str,
    time_us: int,
    tree_size: int,
    cosignature: str | None = None,
    cosigned_size: int | None = None,
) -> bytes:
    """One signed note for the records of one station, at most ``MAX_ANSWERS``."""
    body = {
        "station": station,
        "time_us": time_us,
        "tree_size": tree_size,
        "answers": [dict(zip(_ANSWER, answer, strict=True)) for answer in answers],
        "cosignature": cosignature,
        "cosigned_size": cosigned_size,
    }
    return write_message(SCHEMA, body, signer)


def _receipt(answer: dict[str, Any], shared: dict[str, Any], note: str) -> Receipt:
    receipt = Receipt(**answer, **shared, note=note)
    if not (is_count(receipt.index) and is_count(receipt.time_us) and is_count(receipt.tree_size)):
        raise ValueError("index, time_us and tree_size are integers, not negative")
    if not isinstance(receipt.reason, str) or receipt.status not in ("stored", "refused"):
        raise ValueError("status is stored or refused, reason a text")
    if not is_hash(receipt.record_id):
        raise ValueError("record_id has 64 hexadecimal digits")
    return receipt


def _check_note(body: dict[str, Any]) -> None:
    answers, line, size = body["answers"], body["cosignature"], body["cosigned_size"]
    if not isinstance(body["station"], str):
        raise ValueError("station is a text")
    if not isinstance(answers, list) or not 1 <= len(answers) <= MAX_ANSWERS:
        raise ValueError("a receipt answers 1 to 500 records")
    if (line is None) != (size is None):
        raise ValueError("a cosignature comes with its size")
    if line is not None and not (isinstance(line, str) and is_count(size)):
        raise ValueError("cosignature is a line, cosigned_size an integer")
