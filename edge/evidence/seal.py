"""A draft becomes a record: number, station and blobs are bound in, the bytes are final."""

from __future__ import annotations

from typing import Any

from edge.evidence.canonical import canonical, parse_canonical
from edge.evidence.merkle import leaf_hash
from edge.records import Blob, Draft, Record

NUMBERED_KIND = "vehicle"
"""The kind whose records carry a passage number, counted per lane without holes."""


def seal(draft: Draft, *, station: str, index: int, passage: int | None) -> Record:
    """The record of a draft at ``index`` of the station's log.

    Raises
    ------
    ValueError
        The body has no ``time_us``, a vehicle has no lane, or the body has no canonical form.
    """
    _check_draft(draft)
    body = dict(draft.body, station=station, index=index, kind=draft.kind)
    if passage is not None:
        body["passage"] = passage
    body["blobs"] = [blob_entry(blob) for blob in draft.blobs]
    data = canonical(body)
    return Record(index, leaf_hash(data).hex(), draft.kind, data, body, draft.blobs, draft.urgent)


def reopen(data: bytes, *, urgent: bool = False) -> Record:
    """The record whose exact bytes are ``data``.

    Raises
    ------
    ValueError
        The bytes are not canonical, or lack what every record has.
    """
    body = parse_canonical(data)
    try:
        blobs = tuple(Blob(**entry) for entry in body["blobs"])
        index, kind = body["index"], body["kind"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a record: {error}") from None
    if not (_is_integer(index) and isinstance(kind, str) and _is_integer(body.get("time_us"))):
        raise ValueError("not a record: index, kind and time_us are missing or wrong")
    return Record(index, leaf_hash(data).hex(), kind, data, body, blobs, urgent)


def blob_entry(blob: Blob) -> dict[str, Any]:
    """How a record names a blob."""
    return {
        "role": blob.role,
        "media_type": blob.media_type,
        "sha256": blob.sha256,
        "size_bytes": blob.size_bytes,
        "deliver": blob.deliver,
    }


def _check_draft(draft: Draft) -> None:
    if not _is_integer(draft.body.get("time_us")):
        raise ValueError("a statement needs time_us, an integer")
    lane = draft.body.get("lane")
    if not (isinstance(lane, str) or (lane is None and draft.kind != NUMBERED_KIND)):
        raise ValueError("a vehicle needs its lane")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
