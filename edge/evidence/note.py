"""Signed notes and checkpoints (C2SP signed-note and tlog-checkpoint, Ed25519).

A note is a text, a blank line and signature lines ``— name base64(key id || signature)``. Anybody
can check one with the verifier key ``name+key id+base64`` and any tool that speaks the C2SP
formats. Signatures by keys that are not known (witnesses) are left aside, as C2SP asks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edge.errors import ConfigError

_ED25519 = b"\x01"
"""Signature type of C2SP signed-note for Ed25519."""

_SIGNATURE_MARK = "— "
_MAX_NOTE_CHARS = 1_000_000
_MAX_SIGNATURES = 100


class NoteSigner:
    """Signs notes under a name with an Ed25519 private key."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        _check_name(name)
        self.name = name
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @classmethod
    def load_or_create(cls, path: Path, name: str) -> NoteSigner:
        """The key in ``path``; made there (mode 0600, durable) if there is none yet.

        Raises
        ------
        ConfigError
            The file can't be read or written, may be read by others, holds no key, or holds the
            key of another name.
        """
        try:
            if not path.exists():
                _create_key_file(path, cls(name, Ed25519PrivateKey.generate())._encoded())
            signer = cls.load(path)
        except OSError as error:
            raise ConfigError(
                f"密钥文件 {path} 无法读写：{error.strerror}",
                f"cannot read or write the key file {path}: {error.strerror}",
            ) from error
        if signer.name != name:
            raise ConfigError(
                f"密钥文件 {path} 属于 {signer.name}，不属于 {name}",
                f"the key file {path} belongs to {signer.name}, not to {name}",
                next_zh="检查站点编号，或换回本站的数据目录",
                next_en="check the station id, or use this station's own data directory",
            )
        return signer

    @classmethod
    def load(cls, path: Path) -> NoteSigner:
        """The key in ``path``.

        Raises
        ------
        ConfigError
            The file may be read by others, or holds no key.
        OSError
            It can't be read.
        """
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4096).decode("utf-8", "replace").strip()
        if mode & 0o077:
            raise ConfigError(
                f"密钥文件 {path} 可被他人读取（权限 {mode:o}）",
                f"the key file {path} can be read by others (mode {mode:o})",
                next_zh=f"运行 chmod 600 {path}",
                next_en=f"run chmod 600 {path}",
            )
        try:
            return cls._decode(text)
        except ValueError as error:
            raise ConfigError(
                f"密钥文件 {path} 已损坏",
                f"the key file {path} is damaged: {error}",
                next_zh="从备份恢复密钥；不要新建，否则旧记录无法继续签名",
                next_en="restore the key from its backup; a new one could not continue this log",
            ) from error

    @classmethod
    def _decode(cls, text: str) -> NoteSigner:
        if not text.startswith("PRIVATE+KEY+"):
            raise ValueError("no private key")
        name, key_id, seed = _split_key(text.removeprefix("PRIVATE+KEY+"))
        signer = cls(name, Ed25519PrivateKey.from_private_bytes(seed))
        if key_id != _key_id(name, signer._public):
            raise ValueError("the key id does not fit the key")
        return signer

    def _encoded(self) -> str:
        """The private key as golang.org/x/mod/sumdb/note writes it."""
        key = base64.b64encode(_ED25519 + self._key.private_bytes_raw()).decode()
        return f"PRIVATE+KEY+{self.name}+{_key_id(self.name, self._public).hex()}+{key}"

    @property
    def verifier_key(self) -> str:
        """``name+key id+base64``: what others need to check this signer's notes."""
        key = base64.b64encode(_ED25519 + self._public).decode()
        return f"{self.name}+{_key_id(self.name, self._public).hex()}+{key}"

    def sign(self, text: str) -> str:
        """The signed note of a text, which must end with a newline.

        Raises
        ------
        ValueError
            The text has no final newline, or holds control characters.
        """
        _check_text(text)
        signature = _key_id(self.name, self._public) + self._key.sign(text.encode())
        return f"{text}\n{_SIGNATURE_MARK}{self.name} {base64.b64encode(signature).decode()}\n"


class NoteVerifier:
    """Checks notes with a verifier key ``name+key id+base64``.

    Raises
    ------
    ValueError
        The verifier key is malformed, of another kind than Ed25519, or its id does not fit.
    """

    def __init__(self, verifier_key: str) -> None:
        self.name, self._id, public = _split_key(verifier_key.strip())
        if self._id != _key_id(self.name, public):
            raise ValueError("the key id does not fit the key")
        self._key = Ed25519PublicKey.from_public_bytes(public)

    def verify(self, note: str) -> str:
        """The text of a note that this key signed.

        Raises
        ------
        ValueError
            Malformed, not signed by this key, or the signature is wrong.
        """
        text, signatures = split_note(note)
        ours = [s for s in signatures if (s.name, s.key_id) == (self.name, self._id)]
        if not ours:
            raise ValueError(f"not signed by {self.name} (key {self._id.hex()})")
        for signature in ours:
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
    _check_text(text)
    if not blank or not tail.endswith("\n"):
        raise ValueError("the note has no signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise ValueError("the note has too many signatures")
    return text, [_parse_signature(line) for line in lines]


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
        root = _unbase64(lines[2])
        if len(root) != hashlib.sha256().digest_size:
            raise ValueError("the root of a checkpoint has 32 bytes")
        return cls(lines[0], int(size), root)


def origin_of(station: str) -> str:
    """Origin line of a station's log, and the name of its key."""
    return f"steelyard/{station}"


def _check_name(name: str) -> None:
    if not name or "+" in name or any(c.isspace() or ord(c) < 0x20 for c in name):
        raise ValueError("a key name is not empty and holds no blanks and no plus sign")


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(ord(c) < 0x20 and c != "\n" for c in text):
        raise ValueError("a note ends with a newline and holds no control characters")


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _split_key(text: str) -> tuple[str, bytes, bytes]:
    """Name, key id and the 32 bytes of an encoded Ed25519 key."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    _check_name(name)
    key = _unbase64(encoded)
    if len(key) != 33 or key[:1] != _ED25519:
        raise ValueError("not an Ed25519 key")
    if len(key_id) != 8:
        raise ValueError("the key id has 8 hexadecimal digits")
    return name, bytes.fromhex(key_id), key[1:]


def _parse_signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_SIGNATURE_MARK).partition(" ")
    if not line.startswith(_SIGNATURE_MARK):
        raise ValueError("a signature line begins with an em dash")
    _check_name(name)
    data = _unbase64(encoded)
    if len(data) < 5:
        raise ValueError("a signature is too short")
    return Signature(name, data[:4], data[4:])


def _unbase64(text: str) -> bytes:
    """Strict base64: one text for one value, so that a note has no second spelling."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64") from None
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data


def _create_key_file(path: Path, text: str) -> None:
    """Write a private file in full before it gets its name; never over an existing one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".key-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        Path(draft).unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
