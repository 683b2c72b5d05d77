"""Drafts, a store and a centre for the tests of evidence."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.evidence.note import NoteSigner
from edge.evidence.receipt import Receipt
from edge.health import Health
from edge.records import Blob, Draft, Record
from edge.store.store import Store

STATION = "S1"


def station_signer(directory: Path) -> NoteSigner:
    """The key of the sample station, made at first use."""
    return NoteSigner.load_or_create(directory / "station.key", f"steelyard/{STATION}")


@asynccontextmanager
async def opened(directory: Path, **changes: Any) -> AsyncIterator[Store]:
    """A store that is closed at the end."""
    arguments = {
        "station": STATION,
        "signer": changes.get("signer") or station_signer(directory),
        "health": Health(time.monotonic_ns),
        "now_ns": time.time_ns,
    }
    store = await Store.open(directory, **(arguments | changes))
    try:
        yield store
    finally:
        await store.close()


def vehicle(
    lane: str = "1", *, verdict: str = "within", blobs: tuple[Blob, ...] = (), **fields: Any
) -> Draft:
    """A small vehicle statement."""
    body = {
        "schema": "steelyard/vehicle/2",
        "lane": lane,
        "time_us": 1_700_000_000_000_000,
        "verdict": {"kind": verdict},
        **fields,
    }
    private = {"plate": {"text": "川A12345"}}
    return Draft("vehicle", body, blobs, urgent=verdict != "within", private=private)


def centre() -> NoteSigner:
    """A case system's key."""
    return NoteSigner("steelyard/centre", Ed25519PrivateKey.generate())


def receipt(record: Record, signer: NoteSigner, **changes: Any) -> Receipt:
    """What the centre answers to a record, through its bytes."""
    fields = {
        "record_id": record.record_id,
        "index": record.index,
        "status": "stored",
        "reason": "",
        "time_us": 1_700_000_000_500_000,
        "tree_size": record.index + 1,
    }
    return Receipt.decode(Receipt(**(fields | changes)).encode(signer), None)
