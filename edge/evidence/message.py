"""Signed messages of the case system: a note of a schema line and one line of canonical JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from edge.evidence.canonical import canonical, parse_canonical
from edge.evidence.note import NoteSigner, NoteVerifier, split_note

_HEX = frozenset("0123456789abcdef")


def write_message(schema: str, body: Mapping[str, Any], signer: NoteSigner) -> bytes:
    """The message as a signed note."""
    return signer.sign(f"{schema}\n{canonical(dict(body)).decode()}\n").encode()


def read_message(
    data: bytes, verifier: NoteVerifier | None, schemas: Collection[str]
) -> tuple[str, dict[str, Any], str]:
    """Schema, body and note of a message; without a verifier the signature is not checked.

    Raises
    ------
    ValueError
        Not such a message, or not signed by the key of the verifier.
    """
    note = data.decode()
    text = verifier.verify(note) if verifier else split_note(note)[0]
    schema, _, line = text.removesuffix("\n").partition("\n")
    if schema not in schemas:
        raise ValueError(f"another message: {schema[:40]!r}")
    return schema, parse_canonical(line.encode()), note


def exactly(body: object, names: Collection[str]) -> dict[str, Any]:
    """The body, if it is an object with these fields and no others.

    Raises
    ------
    ValueError
        It is not.
    """
    if not isinstance(body, dict) or body.keys() != set(names):
        raise ValueError(f"not an object of {', '.join(names)}")
    return body


def is_count(value: object) -> bool:
    """Whether a value is an integer and not negative."""
    return type(value) is int and value >= 0


def is_hash(value: object) -> bool:
    """Whether a value is a SHA-256 in lower-case hexadecimal digits."""
    return isinstance(value, str) and len(value) == 64 and _HEX.issuperset(value)
