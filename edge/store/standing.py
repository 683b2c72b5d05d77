"""How the log stands with the centre, for people: what it vouched for, and what it refused."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that the centre will never take as it is, with its reason."""

    index: int
    record_id: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The log between station and centre."""

    cosigned_size: int
    """Records under the newest checkpoint that the centre cosigned; 0 if none."""
    cosigned_s: int | None
    """When it did so, in seconds UTC of the centre's clock."""
    refused: tuple[Refused, ...]
    """Records that were refused, the oldest first, no more than a page holds."""


def standing(connection: sqlite3.Connection) -> Standing:
    """How the log stands with the centre."""
    newest = connection.execute(
        "SELECT size, time_s FROM cosignatures ORDER BY size DESC LIMIT 1"
    ).fetchone()
    size, time_s = newest or (0, None)
    refused = connection.execute(
        "SELECT idx, outbox.record_id, kind, poisoned FROM outbox JOIN records USING (idx)"
        " WHERE poisoned IS NOT NULL ORDER BY idx LIMIT ?",
        (_SHOWN,),
    )
    return Standing(size, time_s, tuple(Refused(*row) for row in refused))
