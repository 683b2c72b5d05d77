"""Signed notes and checkpoints (C2SP signed-note and tlog-checkpoint, Ed25519).

A note is a text, a blank line and signature lines ``— name base64(key id || signature)``. Anybody
can check one with the verifier key ``name+key id+base64`` and any tool that speaks the C2SP
formats. Signatures by keys that are not known (witnesses) are left aside, as C2SP asks.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edge.errors import ConfigError, why_zh
from edge.evidence.keys import ED25519, check_name, decode_key, encode_key, key_id, unbase64
from edge.evidence.signer import KeySigner, Signer, create_key, damaged_key, load_key

_SIGNATURE_MARK = "— "
_MAX_NOTE_CHARS = 1_000_000
_MAX_SIGNATURES = 100
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class SecondSigner(Protocol):
    """Adds a signature line of another kind to the notes of a signer."""

    @property
    def verifier_key(self) -> str:
        """What others need to check its lines."""

    def line(self, text: str) -> str:
        """Its signature line under a text, with the final newline."""


class NoteSigner:
    """Signs notes under a name with an Ed25519 key; ``second`` may add a line of another kind."""

    def __init__(
        self, name: str, key: Signer | Ed25519PrivateKey, second: SecondSigner | None = None
    ) -> None:
        check_name(name)
        self.name = name
        self.key: Signer = KeySigner(key) if isinstance(key, Ed25519PrivateKey) else key
        self.second = second
        self._id = key_id(name, ED25519, self.key.public)

    @classmethod
    def load_or_create(
        cls, path: Path, name: str, second: SecondSigner | None = None
    ) -> NoteSigner:
        """The key in ``path``; made there (mode 0600, durable) if there is none yet.

        Raises
        ------
        ConfigError
            The file can't be read or written, may be read by others, holds no key, or holds the
            key of another name.
        """
        try:
            if not path.exists():
                create_key(path, name)
            found, key = load_key(path)
        except OSError as error:
            raise ConfigError(
                f"密钥文件 {path} 无法读写{why_zh(error)}",
                f"cannot read or write the key file {path}: {error.strerror}",
            ) from error
        if found not in (None, name):
            raise ConfigError(
                f"密钥文件 {path} 属于 {found}，不属于 {name}",
                f"the key file {path} belongs to {found}, not to {name}",
                next_zh="检查站点编号，或换回本站的数据目录",
                next_en="check the station id, or use this station's own data directory",
            )
        return cls(name, key, second)

    @classmethod
    def load(cls, path: Path, name: str | None = None) -> NoteSigner:
        """The key in ``path``, under the name that the file gives, else under ``name``.

        Raises
        ------
        ConfigError
            The file may be read by others, holds no key, or nobody says its name.
        OSError
            It can't be read.
        """
        found, key = load_key(path)
        if (known := found or name) is None:
            raise damaged_key(path, ValueError("no name"))
        return cls(known, key)

    @property
    def verifier_key(self) -> str:
        """``name+key id+base64``: what others need to check this signer's notes."""
        return encode_key(self.name, ED25519, self.key.public)

    def sign(self, text: str) -> str:
        """The signed note of a text, which must end with a newline.

        Raises
        ------
        ValueError
            The text has no final newline, or holds control characters.
        """
        check_text(text)
        line = signature_line(self.name, self._id + self.key.sign(text.encode()))
        return f"{text}\n{line}{self.second.line(text) if self.second else ''}"


class NoteVerifier:
    """Checks notes with a verifier key ``name+key id+base64``.

    Raises
    ------
    ValueError
        The verifier key is malformed, of another kind than Ed25519, or its id does not fit.
    """

    def __init__(self, verifier_key: str) -> None:
        self.name, self.public = decode_key(verifier_key, ED25519, 32)
        self.key_id = key_id(self.name, ED25519, self.public)
        self._key = Ed25519PublicKey.from_public_bytes(self.public)

    def verify(self, note: str) -> str:
        """The text of a note that this key signed.

        Raises
        ------
        ValueError
            Malformed, not signed by this key, or the signature is wrong.
        """
        text, signatures = split_note(note)
        for signature in signatures_of(signatures, self.name, self.key_id):
            try:
                self._key.verify(signature.value, text.encode())
            except InvalidSignature:
                raise ValueError(f"the signature of {self.name} is wrong") from None
        return text


class Signature(NamedTuple):
    """One signature line of a note."""

    name: str
    key_id: bytes
    value: bytes


def split_note(note: str) -> tuple[str, list[Signature]]:
    """Text and signature lines of a note; nothing is verified.

    Raises
    ------
    ValueError
        The note is malformed.
    """
    if len(note) > _MAX_NOTE_CHARS:
        raise ValueError("the note is too long")
    text, blank, tail = note.rpartition("\n\n")
    text += "\n"
    check_text(text)
    if not blank or not tail.endswith("\n"):
        raise ValueError("the note has no signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise ValueError("the note has too many signatures")
    return text, [parse_signature(line) for line in lines]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of a log: who (``origin``), how many leaves, and the root hash over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The three lines of C2SP tlog-checkpoint."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """A checkpoint from the text of a note; extension lines are allowed and left aside.

        Raises
        ------
        ValueError
            The text is no checkpoint.
        """
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
            raise ValueError("a checkpoint has an origin, a size and a root")
        size = lines[1]
        if not (size.isascii() and size.isdigit()) or len(size) > 19 or str(int(size)) != size:
            raise ValueError("the size of a checkpoint is a plain decimal number")
        root = unbase64(lines[2])
        if len(root) != hashlib.sha256().digest_size:
            raise ValueError("the root of a checkpoint has 32 bytes")
        return cls(lines[0], int(size), root)


def origin_of(station: str, generation: int = 1) -> str:
    """Origin line of a station's log; that of the first generation is the name of its key.

    A log that a damaged disk has made impossible to continue is followed by one of the next
    generation.
    """
    return f"steelyard/{station}" if generation == 1 else f"steelyard/{station}/{generation}"


def signature_line(name: str, signature: bytes) -> str:
    """A line under a note; ``signature`` begins with the key id."""
    return f"{_SIGNATURE_MARK}{name} {base64.b64encode(signature).decode()}\n"


def parse_signature(line: str) -> Signature:
    """A signature line without its newline; nothing is verified.

    Raises
    ------
    ValueError
        The line is malformed.
    """
    name, _, encoded = line.removeprefix(_SIGNATURE_MARK).partition(" ")
    if not line.startswith(_SIGNATURE_MARK):
        raise ValueError("a signature line begins with an em dash")
    check_name(name)
    data = unbase64(encoded)
    if len(data) < 5:
        raise ValueError("a signature is too short")
    return Signature(name, data[:4], data[4:])


def signatures_of(signatures: Sequence[Signature], name: str, key_id: bytes) -> list[Signature]:
    """Those by one key; at least one.

    Raises
    ------
    ValueError
        There is none.
    """
    found = [s for s in signatures if (s.name, s.key_id) == (name, key_id)]
    if not found:
        raise ValueError(f"not signed by {name} (key {key_id.hex()})")
    return found


def check_text(text: str) -> None:
    """Refuse what can't be the text of a note.

    Raises
    ------
    ValueError
        No final newline, or control characters.
    """
    if not text.endswith("\n") or _CONTROL.search(text):
        raise ValueError("a note ends with a newline and holds no control characters")
