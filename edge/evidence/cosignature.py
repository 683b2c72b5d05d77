"""Cosignatures of a witness over checkpoints (C2SP tlog-cosignature, Ed25519 with a time).

The witness signs that up to a time it has seen one consistent log with this checkpoint. The line
stands under the checkpoint beside the station's own signature. The case system cosigns with the
key that signs its receipts; the kind of the signature keeps the two apart.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.evidence.keys import COSIGNATURE, decode_key, encode_key, key_id
from edge.evidence.note import (
    NoteSigner,
    NoteVerifier,
    check_text,
    parse_signature,
    signature_line,
)

_TIME_BYTES = 8
_SIGNATURE_BYTES = 64


class Cosigner:
    """Cosigns checkpoints with the key and under the name of a note signer."""

    def __init__(self, signer: NoteSigner) -> None:
        self._name, self._key = signer.name, signer.key
        self._id = key_id(self._name, COSIGNATURE, self._key.public)

    @property
    def verifier_key(self) -> str:
        """``name+key id+base64`` of the kind of cosignatures."""
        return encode_key(self._name, COSIGNATURE, self._key.public)

    def cosign(self, checkpoint_text: str, time_s: int) -> str:
        """The cosignature line of a checkpoint, without a newline.

        Raises
        ------
        ValueError
            The text can't be that of a note, or the time is negative.
        """
        check_text(checkpoint_text)
        signature = self._key.sign(_message(checkpoint_text, time_s))
        stamp = _time_bytes(time_s)
        return signature_line(self._name, self._id + stamp + signature).removesuffix("\n")


class CosignatureVerifier:
    """Checks cosignatures with a verifier key of their kind.

    Raises
    ------
    ValueError
        The verifier key is malformed, of another kind, or its id does not fit.
    """

    def __init__(self, verifier_key: str) -> None:
        self.name, self.public = decode_key(verifier_key, COSIGNATURE, 32)
        self.key_id = key_id(self.name, COSIGNATURE, self.public)
        self._key = Ed25519PublicKey.from_public_bytes(self.public)

    @classmethod
    def of(cls, verifier: NoteVerifier) -> CosignatureVerifier:
        """For the cosignatures of one whose notes can be checked: name and key are the same."""
        return cls(encode_key(verifier.name, COSIGNATURE, verifier.public))

    @property
    def verifier_key(self) -> str:
        """``name+key id+base64`` of the kind of cosignatures."""
        return encode_key(self.name, COSIGNATURE, self.public)

    def verify(self, line: str, checkpoint_text: str) -> int:
        """The time in seconds at which the witness cosigned a checkpoint.

        Raises
        ------
        ValueError
            Malformed, by another key, or the signature is wrong.
        """
        signature = parse_signature(line)
        if (signature.name, signature.key_id) != (self.name, self.key_id):
            raise ValueError(f"not cosigned by {self.name} (key {self.key_id.hex()})")
        stamp, value = signature.value[:_TIME_BYTES], signature.value[_TIME_BYTES:]
        if len(value) != _SIGNATURE_BYTES:
            raise ValueError("a cosignature is a time and 64 bytes")
        time_s = int.from_bytes(stamp, "big")
        try:
            self._key.verify(value, _message(checkpoint_text, time_s))
        except InvalidSignature:
            raise ValueError(f"the cosignature of {self.name} is wrong") from None
        return time_s


def with_line(note: str, line: str) -> str:
    """A note with one signature line more."""
    return f"{note}{line}\n"


def _message(checkpoint_text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{checkpoint_text}".encode()


def _time_bytes(time_s: int) -> bytes:
    try:
        return time_s.to_bytes(_TIME_BYTES, "big")
    except OverflowError:
        raise ValueError("the time of a cosignature is not negative and has 64 bits") from None
