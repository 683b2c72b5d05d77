"""What a station and its witness say to each other about checkpoints.

The station submits a checkpoint with the proof that it continues the one that the witness knows;
the witness cosigns it, asks for a proof from another size, or names the conflict.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Literal, get_args

from edge.evidence.canonical import canonical, parse_canonical
from edge.evidence.keys import unbase64
from edge.evidence.message import exactly, is_count, read_message, write_message
from edge.evidence.note import NoteSigner, NoteVerifier

SUBMISSION_SCHEMA = "steelyard/checkpoint/1"
ANSWER_SCHEMA = "steelyard/witness/1"
MAX_PROOF = 130
"""Nodes of the longest proof between trees of less than 2^64 leaves, with room."""

Status = Literal["cosigned", "retry", "conflict"]
Conflict = Literal["", "fork", "rollback", "truncated", "clone"]

_SUBMISSION = ("schema", "boot_id", "old", "proof", "checkpoint")
_ANSWER = (
    "station", "status", "name", "size", "known_size", "known", "cosignature", "time_us",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint with the proof that it continues the log of ``old`` records."""

    boot_id: str
    """Which start of the machine it comes from: two in turn are two machines with one key."""
    old: int
    """Size that the witness cosigned last, as far as the station knows; 0 if none."""
    proof: tuple[bytes, ...]
    """RFC 6962 consistency proof from ``old`` to the checkpoint."""
    checkpoint_note: str

    def encode(self) -> bytes:
        """The submission as canonical JSON."""
        return canonical(
            {
                "schema": SUBMISSION_SCHEMA,
                "boot_id": self.boot_id,
                "old": self.old,
                "proof": [base64.b64encode(node).decode() for node in self.proof],
                "checkpoint": self.checkpoint_note,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Submission:
        """A submission from its bytes; nothing is verified.

        Raises
        ------
        ValueError
            Not a submission.
        """
        body = exactly(parse_canonical(data), _SUBMISSION)
        boot_id, old, proof, note = (body[name] for name in _SUBMISSION[1:])
        if body["schema"] != SUBMISSION_SCHEMA or not is_count(old):
            raise ValueError(f"schema is {SUBMISSION_SCHEMA}, old an integer, not negative")
        if not (isinstance(boot_id, str) and len(boot_id) <= 64 and isinstance(note, str)):
            raise ValueError("boot_id and checkpoint are texts")
        if not isinstance(proof, list) or len(proof) > MAX_PROOF:
            raise ValueError(f"a proof is a list of at most {MAX_PROOF} hashes")
        return cls(boot_id, old, tuple(_hash(node) for node in proof), note)


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """What the witness says of a checkpoint of ``size`` records."""

    station: str
    status: Status
    size: int
    time_us: int
    name: Conflict = ""
    """The conflict by its name; empty where there is none."""
    known_size: int = 0
    """Size of the newest checkpoint that the witness cosigned."""
    known: str | None = None
    """That checkpoint, where a conflict is to be shown."""
    cosignature: str | None = None
    """The line that belongs under the submitted checkpoint."""
    note: str = field(default="", compare=False, repr=False)

    def encode(self, signer: NoteSigner) -> bytes:
        """The answer as a note signed by the witness."""
        return write_message(ANSWER_SCHEMA, {name: getattr(self, name) for name in _ANSWER}, signer)

    @classmethod
    def decode(
        cls, data: bytes, verifier: NoteVerifier | None, station: str | None = None
    ) -> WitnessAnswer:
        """An answer from its bytes; without a verifier the signature is not checked.

        Raises
        ------
        ValueError
            Not an answer, not signed by the key of the verifier, or to another station.
        """
        _, body, note = read_message(data, verifier, (ANSWER_SCHEMA,))
        answer = cls(**exactly(body, _ANSWER), note=note)
        answer._check()
        if station is not None and answer.station != station:
            raise ValueError(f"an answer to station {answer.station[:64]}")
        return answer

    def _check(self) -> None:
        if not all(is_count(n) for n in (self.size, self.known_size, self.time_us)):
            raise ValueError("size, known_size and time_us are integers, not negative")
        if not isinstance(self.station, str):
            raise ValueError("station is a text")
        if self.status not in get_args(Status) or self.name not in get_args(Conflict):
            raise ValueError("status or name is not known")
        if not all(isinstance(text, str | None) for text in (self.known, self.cosignature)):
            raise ValueError("known and cosignature are texts or null")
        if (self.status == "conflict") != bool(self.name):
            raise ValueError("a conflict has a name, and nothing else has")
        if (self.status == "cosigned") != (self.cosignature is not None):
            raise ValueError("who cosigns gives the cosignature, and nobody else")


def _hash(text: object) -> bytes:
    node = unbase64(text) if isinstance(text, str) else b""
    if len(node) != 32:
        raise ValueError("a node of a proof has 32 bytes")
    return node
