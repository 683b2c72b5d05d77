"""A draft becomes a record: number, station and blobs are bound in, the bytes are final.

What may have to be forgotten (a plate) stays out of those bytes: they hold the hash of a private
part that begins with a random salt, so that nobody can guess it back once it is erased.
"""

from __future__ import annotations

import hashlib
from typing import Any

from edge.evidence.canonical import canonical, parse_canonical
from edge.evidence.merkle import leaf_hash
from edge.evidence.message import is_count, is_hash
from edge.records import Blob, Draft, Record

NUMBERED_KIND = "vehicle"
"""The kind whose records carry a passage number, counted per lane without holes."""

SALT_BYTES = 16
_COMMITMENT = "private_sha256"
_WITH_PLATE = frozenset({"vehicle", "correction"})
ERASED_PLATE: dict[str, Any] = {
    "join": "erased",
    "text": "",
    "colour": "",
    "confidence_permille": None,
    "reason": "erased",
    "candidates": [],
}
"""What stands for the plate of a record whose private part was erased."""


def seal(
    draft: Draft,
    *,
    station: str,
    index: int,
    passage: int | None,
    salt: bytes = b"",
    generation: int = 1,
) -> Record:
    """The record of a draft at ``index`` of the station's log.

    ``salt`` are 16 random bytes; a draft without private fields needs none. ``generation`` counts
    the logs of the station.

    Raises
    ------
    ValueError
        The body has no ``time_us``, a vehicle has no lane, the body has no canonical form, or
        private fields lack their salt or stand in the body as well.
    """
    _check_draft(draft)
    private = _private_bytes(draft, salt)
    body = dict(draft.body, station=station, index=index, kind=draft.kind)
    if passage is not None:
        body["passage"] = passage
    if generation != 1:
        body["generation"] = generation
    body["blobs"] = [blob_entry(blob) for blob in draft.blobs]
    if private is not None:
        body[_COMMITMENT] = hashlib.sha256(private).hexdigest()
    data = canonical(body)
    record_id = leaf_hash(data).hex()
    seen = body | draft.private
    return Record(index, record_id, draft.kind, data, seen, draft.blobs, draft.urgent, private)


def reopen(
    data: bytes, *, private: bytes | None = None, urgent: bool = False, leaf: bytes = b""
) -> Record:
    """The record whose exact bytes are ``data``, with its private part if that is still there.

    ``leaf`` is the leaf hash of the bytes, where the caller has it already.

    Raises
    ------
    ValueError
        The bytes are not canonical, lack what every record has, or the private part is not the
        one that they bind.
    """
    body = parse_canonical(data)
    try:
        blobs = tuple(Blob(**entry) for entry in body["blobs"])
        index, kind = body["index"], body["kind"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a record: {error}") from None
    if not (_is_integer(index) and isinstance(kind, str) and _is_integer(body.get("time_us"))):
        raise ValueError("not a record: index, kind and time_us are missing or wrong")
    if not (isinstance(body.get("lane"), str | None) and all(map(_is_blob, blobs))):
        raise ValueError("not a record: lane or a blob is no such thing")
    body |= open_private(body, private) if private is not None else _erased(body, kind)
    record_id = (leaf or leaf_hash(data)).hex()
    return Record(index, record_id, kind, data, body, blobs, urgent, private)


def open_private(body: dict[str, Any], private: bytes) -> dict[str, Any]:
    """The private fields of a statement, without their salt.

    Raises
    ------
    ValueError
        The statement binds another private part or none, or these bytes are none.
    """
    if body.get(_COMMITMENT) != hashlib.sha256(private).hexdigest():
        raise ValueError("the private part is not the one that the record binds")
    fields = parse_canonical(private)
    salt = fields.pop("salt", None)
    if not isinstance(salt, str) or len(salt) != 2 * SALT_BYTES:
        raise ValueError("the private part has no salt")
    if doubled := fields.keys() & body.keys():
        raise ValueError(f"{', '.join(sorted(doubled))} stand in the record and its private part")
    return fields


def blob_entry(blob: Blob) -> dict[str, Any]:
    """How a record names a blob."""
    return {
        "role": blob.role,
        "media_type": blob.media_type,
        "sha256": blob.sha256,
        "size_bytes": blob.size_bytes,
        "deliver": blob.deliver,
    }


def _private_bytes(draft: Draft, salt: bytes) -> bytes | None:
    if not draft.private:
        return None
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a private part needs a salt of {SALT_BYTES} bytes")
    if doubled := draft.private.keys() & (draft.body.keys() | {"salt", "erased", _COMMITMENT}):
        raise ValueError(f"{', '.join(sorted(doubled))} can't be private fields")
    return canonical({"salt": salt.hex(), **draft.private})


def _erased(body: dict[str, Any], kind: str) -> dict[str, Any]:
    """What a reader sees in place of a private part that is gone."""
    if _COMMITMENT not in body:
        return {}
    plate = {"plate": ERASED_PLATE} if kind in _WITH_PLATE else {}
    return {"erased": True, **plate}


def _check_draft(draft: Draft) -> None:
    if not _is_integer(draft.body.get("time_us")):
        raise ValueError("a statement needs time_us, an integer")
    lane = draft.body.get("lane")
    if not (isinstance(lane, str) or (lane is None and draft.kind != NUMBERED_KIND)):
        raise ValueError("a vehicle needs its lane")


def _is_blob(blob: Blob) -> bool:
    """Its hash becomes the name of a file."""
    return is_hash(blob.sha256) and is_count(blob.size_bytes) and type(blob.deliver) is bool


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
