"""What a log says of its recovery: what was read, what is lost, what an abandoned log had open."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from edge.evidence.removal import removal_hash
from edge.evidence.seal import reopen
from edge.evidence.statement import other_draft
from edge.records import Draft, Record
from edge.store.rebuilding import Known

_MOST_RANGES = 200


def quotes(found: sqlite3.Connection, generation: int) -> Iterator[Callable[[int], Draft]]:
    """Makers of drafts that quote the records of the old log that no receipt answered."""
    for data, urgent, private in found.execute(
        "SELECT canonical, urgent, data FROM records LEFT JOIN private USING (idx)"
        " WHERE idx NOT IN (SELECT idx FROM receipts) ORDER BY idx"
    ):
        record = reopen(data, urgent=bool(urgent))
        yield partial(_quote, record=record, private=private, generation=generation)


def _quote(now_ns: int, record: Record, private: bytes | None, generation: int) -> Draft:
    fields = {
        "of_generation": generation,
        "of_index": record.index,
        "of_record_id": record.record_id,
        "record": base64.b64encode(record.canonical).decode(),
    }
    draft = other_draft("salvaged", time_ns=now_ns, fields=fields, blobs=record.blobs)
    erasable = {"record_private": base64.b64encode(private).decode()} if private else {}
    return replace(draft, urgent=record.urgent, private=erasable)


def account_of(records: int, lost: list[int], *, continued: bool) -> dict[str, Any]:
    """How many records were read, and which are lost."""
    return {
        "records": records,
        "lost_count": len(lost),
        "lost": [list(pair) for pair in unbroken(lost)[:_MOST_RANGES]],
        "lost_sha256": removal_hash(str(index) for index in lost),
        "continued": continued,
    }


def old_head(known: dict[int, Known]) -> dict[str, Any]:
    """The newest signed state of the log before the damage, as far as anybody can tell."""
    if not known:
        return {"old_size": None, "old_head": None}
    newest = max(known)
    return {"old_size": newest, "old_head": known[newest].note}


def unbroken(indices: list[int]) -> list[tuple[int, int]]:
    """First and last number of each unbroken run."""
    ranges: list[tuple[int, int]] = []
    for index in indices:
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1] = (ranges[-1][0], index)
        else:
            ranges.append((index, index))
    return ranges
