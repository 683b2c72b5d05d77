"""A signed image of a digitiser's program: 192 bytes that vouch for it, then the program.

======  ========  ==========================================================
offset  type      field
======  ========  ==========================================================
0       8 bytes   ``SYFW`` 01 00 00 00
8       u32       bytes of the program
12      u32       anti-rollback number: a device takes none below its own
16      u64       reserved, 0
24      32 bytes  hardware that it is for, UTF-8, filled up with zeros
56      32 bytes  version, likewise
88      32 bytes  SHA-256 of the program
120     8 bytes   which key signed: the start of the SHA-256 of the public key
128     64 bytes  Ed25519 over ``steelyard firmware image`` LF and bytes 0 to 127
192     ...       the program
======  ========  ==========================================================

Little-endian. The hash of an image, by which devices and statements name it, is the SHA-256 of
the whole file, so that anybody can have it from ``sha256sum``.

Sources
-------
Ed25519: RFC 8032. What an image must prove, and that the number against old images is apart from
the version: IETF SUIT, RFC 9124 (information model) 3.1, 4.3.1, 4.3.4; NIST SP 800-193, 4.2.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firmware_bridge.update_messages import HEAD_BYTES, Refusal

__all__ = [
    "BadImage",
    "ImageHead",
    "build_image",
    "check_image",
    "image_digest",
    "read_head",
    "signer_of",
]

_MAGIC = b"SYFW\x01\0\0\0"
_HEADER = struct.Struct("<8sIIQ32s32s32s8s")
_CONTEXT = b"steelyard firmware image\n"
_TEXT_BYTES = 32


class BadImage(ValueError):
    """An image that must not run; ``refusal`` says why."""

    def __init__(self, refusal: Refusal, what: str) -> None:
        super().__init__(what)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class ImageHead:
    """What an image says of itself; true once its signature was checked.

    Attributes
    ----------
    hardware, version : str
    rollback : int
        Anti-rollback number.
    size_bytes : int
        Length of the program.
    program_sha256, key_id : bytes
    """

    hardware: str
    version: str
    rollback: int
    size_bytes: int
    program_sha256: bytes
    key_id: bytes


def build_image(
    program: bytes,
    hardware: str,
    version: str,
    rollback: int,
    public: bytes,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """The signed image of a program.

    Parameters
    ----------
    program : bytes
        Not empty.
    hardware, version : str
        At most 32 bytes of UTF-8 each, not empty.
    rollback : int
        Anti-rollback number, u32.
    public : bytes
        The raw Ed25519 public key, 32 bytes.
    sign : callable
        Ed25519 signature of the bytes handed in.

    Raises
    ------
    ValueError
        A field does not fit its place.
    """
    if not program:
        raise ValueError("an image without a program")
    try:
        header = _HEADER.pack(
            _MAGIC,
            len(program),
            rollback,
            0,
            _packed(hardware),
            _packed(version),
            hashlib.sha256(program).digest(),
            _key_id(public),
        )
    except struct.error as error:
        raise ValueError(f"size or anti-rollback number: {error}") from error
    return header + sign(_CONTEXT + header) + program


def read_head(head: bytes) -> ImageHead:
    """What the first `HEAD_BYTES` bytes say; whether they are signed is not checked.

    Raises
    ------
    BadImage
        They are no head of an image.
    """
    if len(head) < HEAD_BYTES or not head.startswith(_MAGIC):
        raise BadImage(Refusal.FORM, "not an image of this form")
    _, size, rollback, reserved, hardware, version, digest, key = _HEADER.unpack_from(head)
    if reserved or not size:
        raise BadImage(Refusal.FORM, "a reserved field or the size")
    return ImageHead(_unpacked(hardware), _unpacked(version), rollback, size, digest, key)


def signer_of(head: bytes, keys: Sequence[bytes]) -> bytes:
    """The public key, of those that are trusted, that signed this head.

    Raises
    ------
    BadImage
        None of them did.
    """
    header, signature = head[: _HEADER.size], head[_HEADER.size : HEAD_BYTES]
    stated = read_head(head).key_id
    for public in keys:
        if _key_id(public) == stated:
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(signature, _CONTEXT + header)
            except InvalidSignature:
                continue
            return public
    raise BadImage(Refusal.SIGNATURE, "no trusted key signed this image")


def check_image(image: bytes, keys: Sequence[bytes]) -> ImageHead:
    """What a whole image says of itself, with signature, length and hash of its program checked.

    Raises
    ------
    BadImage
        One of them does not fit.
    """
    head = read_head(image[:HEAD_BYTES])
    signer_of(image[:HEAD_BYTES], keys)
    program = image[HEAD_BYTES:]
    if len(program) != head.size_bytes or hashlib.sha256(program).digest() != head.program_sha256:
        raise BadImage(Refusal.DIGEST, "the program is not the one that was signed")
    return head


def image_digest(image: bytes) -> bytes:
    """The hash by which a whole image is named."""
    return hashlib.sha256(image).digest()


def _key_id(public: bytes) -> bytes:
    return hashlib.sha256(public).digest()[:8]


def _packed(text: str) -> bytes:
    raw = text.encode()
    if not 0 < len(raw) <= _TEXT_BYTES or b"\0" in raw:
        raise ValueError(f"{text[:40]!r} must be 1 to {_TEXT_BYTES} bytes of UTF-8 without zeros")
    return raw


def _unpacked(raw: bytes) -> str:
    text = raw.rstrip(b"\0")
    try:
        if text and b"\0" not in text:
            return text.decode()
    except UnicodeDecodeError:
        pass
    raise BadImage(Refusal.FORM, "hardware or version is no text")
