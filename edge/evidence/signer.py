"""The key that signs, behind a port: a file today, a TPM or an HSM where a site has one.

A key file is PKCS#8 in PEM, as ``openssl pkey`` reads it, with the key's name in a line above.
Files of the first release (one line, as golang.org/x/mod/sumdb/note writes it) are still read.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Protocol, runtime_checkable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from edge.errors import ConfigError
from edge.evidence.keys import ED25519, check_name, key_id, split_key

_OLD_FORMAT = "PRIVATE+KEY+"
_NAME_LINE = "Name: "
_BEGIN = "-----BEGIN "
_MAX_FILE_BYTES = 4096


@runtime_checkable
class Signer(Protocol):
    """Something that holds an Ed25519 key and signs with it; the key itself may never leave."""

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of a signature."""


class KeySigner:
    """Signs with an Ed25519 key in memory."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of a signature."""
        return self._key.sign(message)

    def pem(self, name: str) -> str:
        """The private key as the text of a key file."""
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return f"{_NAME_LINE}{name}\n{pem.decode()}"


def create_key(path: Path, name: str) -> None:
    """A new key in a new file of mode 0600, durable when this returns.

    Raises
    ------
    OSError
        The disk refuses, or there is such a file.
    """
    create_private_file(path, KeySigner(Ed25519PrivateKey.generate()).pem(name))


def load_key(path: Path) -> tuple[str | None, KeySigner]:
    """The key of a file, and the name that the file gives it, if any.

    Raises
    ------
    ConfigError
        The file may be read by others, or holds no key.
    OSError
        It can't be read.
    """
    text = read_private_file(path)
    try:
        return _old_key(text) if text.startswith(_OLD_FORMAT) else _pem_key(text)
    except (ValueError, TypeError) as error:
        raise damaged_key(path, error) from error


def _old_key(text: str) -> tuple[str, KeySigner]:
    name, stated_id, seed = split_key(text.strip().removeprefix(_OLD_FORMAT), ED25519, 32)
    signer = KeySigner(Ed25519PrivateKey.from_private_bytes(seed))
    if stated_id != key_id(name, ED25519, signer.public):
        raise ValueError("the key id does not fit the key")
    return name, signer


def _pem_key(text: str) -> tuple[str | None, KeySigner]:
    head, begin, rest = text.partition(_BEGIN)
    key = load_pem_private_key((begin + rest).encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an Ed25519 key")
    return name_in(head), KeySigner(key)


def name_in(head: str) -> str | None:
    """The name in the lines above a PEM block, if they give one."""
    for line in head.splitlines():
        if line.startswith(_NAME_LINE):
            name = line.removeprefix(_NAME_LINE).strip()
            check_name(name)
            return name
    return None


# ----------------------------------------------------------------------------------------------
# Files that only their owner may read


def read_private_file(path: Path) -> str:
    """The text of a key file.

    Raises
    ------
    ConfigError
        Others may read it.
    OSError
        It can't be read.
    """
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        text = file.read(_MAX_FILE_BYTES).decode("utf-8", "replace")
    if mode & 0o077:
        raise ConfigError(
            f"密钥文件 {path} 可被他人读取（权限 {mode:o}）",
            f"the key file {path} can be read by others (mode {mode:o})",
            next_zh=f"运行 chmod 600 {path}",
            next_en=f"run chmod 600 {path}",
        )
    return text


def create_private_file(path: Path, text: str) -> None:
    """Write a private file in full before it gets its name; never over an existing one.

    Raises
    ------
    OSError
        The disk refuses, or there is such a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".key-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
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


def damaged_key(path: Path, reason: Exception) -> ConfigError:
    """What to say of a key file that holds no key."""
    return ConfigError(
        f"密钥文件 {path} 已损坏",
        f"the key file {path} is damaged: {reason}",
        next_zh="从备份恢复密钥；不要新建，否则旧记录无法继续签名",
        next_en="restore the key from its backup; a new one could not continue this log",
    )
