"""The case system's signed answer to a record: stored, or refused and why.

A receipt is a signed note whose text is a schema line and one line of canonical JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edge.evidence.canonical import canonical, parse_canonical
from edge.evidence.note import NoteSigner, NoteVerifier, split_note

SCHEMA = "steelyard/receipt/1"


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

    def encode(self, signer: NoteSigner) -> bytes:
        """The receipt as a note signed by the case system."""
        body = {
            "record_id": self.record_id,
            "index": self.index,
            "status": self.status,
            "reason": self.reason,
            "time_us": self.time_us,
            "tree_size": self.tree_size,
        }
        return signer.sign(f"{SCHEMA}\n{canonical(body).decode()}\n").encode()

    @classmethod
    def decode(cls, data: bytes, verifier: NoteVerifier | None) -> Receipt:
        """A receipt from its bytes; without a verifier the signature is not checked.

        Raises
        ------
        ValueError
            Not a receipt, or not signed by the key of the verifier.
        """
        note = data.decode()
        text = verifier.verify(note) if verifier else split_note(note)[0]
        schema, _, line = text.removesuffix("\n").partition("\n")
        if schema != SCHEMA:
            raise ValueError(f"not a receipt: {schema[:40]!r}")
        body = parse_canonical(line.encode())
        try:
            receipt = cls(**body, note=note)
        except TypeError as error:
            raise ValueError(f"not a receipt: {error}") from None
        receipt._check()
        return receipt

    def _check(self) -> None:
        numbers = (self.index, self.time_us, self.tree_size)
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("index, time_us and tree_size are integers, not negative")
        if not isinstance(self.reason, str) or self.status not in ("stored", "refused"):
            raise ValueError("status is stored or refused, reason a text")
        if not isinstance(self.record_id, str) or len(self.record_id) != 64:
            raise ValueError("record_id has 64 hexadecimal digits")
