"""Keys as text: ``name+key id+base64`` of C2SP signed-note, for every kind of signature.

The key id is the start of a SHA-256 over name, kind and public key, so that a signature line tells
which key made it and of which kind it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

ED25519 = b"\x01"
"""Notes signed with Ed25519."""
COSIGNATURE = b"\x04"
"""Cosignatures of a witness with a time, Ed25519 (C2SP tlog-cosignature)."""
SM2_SM3 = b"\xffSM2-SM3"
"""Notes signed with SM2 over SM3: a kind without a number of its own, so 0xff and its name."""

_ID_BYTES = 4


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """The four bytes that stand before every signature of a key."""
    return hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:_ID_BYTES]


def encode_key(name: str, kind: bytes, public: bytes) -> str:
    """The verifier key of a public key."""
    encoded = base64.b64encode(kind + public).decode()
    return f"{name}+{key_id(name, kind, public).hex()}+{encoded}"


def decode_key(text: str, kind: bytes, length: int) -> tuple[str, bytes]:
    """Name and public key of a verifier key.

    Raises
    ------
    ValueError
        Malformed, of another kind or length, or its id does not fit.
    """
    name, stated_id, public = split_key(text.strip(), kind, length)
    if stated_id != key_id(name, kind, public):
        raise ValueError("the key id does not fit the key")
    return name, public


def split_key(text: str, kind: bytes, length: int) -> tuple[str, bytes, bytes]:
    """Name, stated id and key bytes; whether the id fits is not checked.

    Raises
    ------
    ValueError
        Malformed, or of another kind or length.
    """
    name, _, rest = text.partition("+")
    stated_id, _, encoded = rest.partition("+")
    check_name(name)
    key = unbase64(encoded)
    if len(key) != len(kind) + length or not key.startswith(kind):
        raise ValueError("a key of another kind")
    if len(stated_id) != 2 * _ID_BYTES or stated_id != stated_id.lower():
        raise ValueError("the key id has 8 hexadecimal digits")
    return name, bytes.fromhex(stated_id), key[len(kind) :]


def check_name(name: str) -> None:
    """Refuse a key name that C2SP does not allow.

    Raises
    ------
    ValueError
        Empty, or with blanks or a plus sign.
    """
    if not name or "+" in name or any(c.isspace() or ord(c) < 0x20 for c in name):
        raise ValueError("a key name is not empty and holds no blanks and no plus sign")


def unbase64(text: str) -> bytes:
    """Strict base64: one text for one value, so that nothing signed has a second spelling.

    Raises
    ------
    ValueError
        Not base64, or not in its canonical form.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise ValueError("not base64") from None
    end = data[(len(data) - 1) // 3 * 3 :]  # spare bits and padding are in the last group alone
    if binascii.b2a_base64(end, newline=False).decode() != text[-4:]:
        raise ValueError("not canonical base64")
    return data
