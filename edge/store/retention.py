"""What goes when its time is over or space runs short, in a fixed order, each removal in the log.

Order: raw signals of lawful vehicles, their pictures, their plates, then signals and pictures of
delivered cases past their time. What the centre has not answered stays whole, whatever happens.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from edge.config import StorageSection
from edge.evidence.removal import removal_hash
from edge.evidence.statement import other_draft
from edge.records import Draft
from edge.store.budget import GB, Budget
from edge.store.settings import number
from edge.store.usage import DAY_S, Share

AT_ONCE = 1_000
"""Blobs or plates under one statement; bounds how long the writer is busy with one sweep."""
PLATES_KEY = "plates_erased_below"

_SIGNALS, _PICTURES = Share("lawful", "signal"), Share("lawful", "picture")
_CASES = (Share("case", "signal"), Share("case", "picture"))


@dataclass(frozen=True, slots=True)
class Use:
    """A record that names a blob."""

    sha256: str
    index: int
    size_bytes: int
    time_us: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is to be removed under one statement."""

    share: Share
    reason: str
    """``age``, ``bound`` (of its class) or ``space``."""
    uses: tuple[Use, ...]


class Retention:
    """Decides what goes. The store carries it out."""

    def __init__(
        self, section: StorageSection, now_ns: Callable[[], int], clock_is_right: Callable[[], bool]
    ) -> None:
        self._section = section
        self._now_ns = now_ns
        self._clock_is_right = clock_is_right

    def aged(self, connection: sqlite3.Connection) -> Sweep | None:
        """The first blobs in order whose time is over; None while the clock can't be trusted."""
        if not self._clock_is_right():
            return None
        times = {
            _SIGNALS: self._section.signal_days,
            _PICTURES: self._section.picture_days,
            **dict.fromkeys(_CASES, self._section.case_days),
        }
        for share, days in times.items():
            if due := _before(self._before_us(days), _oldest(connection, share, self._now_us())):
                return Sweep(share, "age", due)
        return None

    def crowded(self, connection: sqlite3.Connection, budget: Budget) -> Sweep | None:
        """The oldest blobs of lawful vehicles while they pass their bound or space is short."""
        bounds = {_SIGNALS: self._section.signal_gb, _PICTURES: self._section.picture_gb}
        for share, bound in bounds.items():
            above = budget.used_by(share) - int(bound * GB)
            if above > 0 and (uses := _worth(_oldest(connection, share, self._now_us()), above)):
                return Sweep(share, "bound", uses)
        shortage = budget.shortage()
        for share in bounds:
            if shortage and (uses := _worth(_oldest(connection, share, self._now_us()), shortage)):
                return Sweep(share, "space", uses)
        return None

    def plates(self, connection: sqlite3.Connection) -> tuple[tuple[Use, ...], int]:
        """Private parts of lawful vehicles past their time; and below which number all is done."""
        done = number(connection, PLATES_KEY)
        if not self._clock_is_right():
            return (), done
        before_us = self._before_us(self._section.plate_days)
        due: list[Use] = []
        for index, size, time_us, urgent, waits in connection.execute(
            f"SELECT idx, length(data), {_TIME_US}, records.urgent,"
            " outbox.idx IS NOT NULL AND poisoned IS NULL"
            " FROM private JOIN records USING (idx) LEFT JOIN outbox USING (idx)"
            " WHERE idx >= ?2 ORDER BY idx LIMIT ?3",
            (self._now_us(), done, AT_ONCE),
        ):
            if waits or time_us >= before_us:
                break
            if not urgent:
                due.append(Use("", index, size, time_us))
            done = index + 1
        return tuple(due), done

    def blob_statement(self, sweep: Sweep, removed: Sequence[str]) -> Draft:
        """What the log says of removed blobs."""
        fields = self._account(f"{sweep.share.kept_as}.{sweep.share.role}", sweep.uses)
        fields |= {"reason": sweep.reason, "blobs_sha256": removal_hash(removed)}
        return other_draft("retention", time_ns=self._now_ns(), fields=fields)

    def plate_statement(self, uses: Sequence[Use]) -> Draft:
        """What the log says of erased private parts."""
        fields = self._account("lawful.plate", uses) | {"reason": "age"}
        return other_draft("retention", time_ns=self._now_ns(), fields=fields)

    def _account(self, name: str, uses: Sequence[Use]) -> dict[str, Any]:
        return {
            "class": name,
            "count": len(uses),
            "bytes": sum(use.size_bytes for use in uses),
            "oldest_us": min(use.time_us for use in uses),
            "newest_us": max(use.time_us for use in uses),
            "first": uses[0].index,
            "last": uses[-1].index,
        }

    def _before_us(self, days: float) -> int:
        return self._now_us() - int(days * DAY_S * 1e6)

    def _now_us(self) -> int:
        return self._now_ns() // 1_000


_TIME_US = """
CASE WHEN records.time_us <= ?1 THEN records.time_us ELSE coalesce((
    SELECT time_us FROM records AS later
    WHERE later.idx > records.idx AND later.time_us <= ?1 ORDER BY later.idx LIMIT 1
), ?1) END
"""
"""When a record was made at the latest: one whose clock stood in the future was made before the
next one whose clock did not. Else it would keep all after it for ever."""


def _oldest(connection: sqlite3.Connection, share: Share, now_us: int) -> list[Use]:
    """The oldest uses of a class and role whose records the centre has answered."""
    rows = connection.execute(
        f"SELECT sha256, idx, size_bytes, {_TIME_US} FROM blob_uses JOIN records USING (idx)"
        " WHERE class = ?2 AND role = ?3"
        " AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.idx = blob_uses.idx)"
        " ORDER BY blob_uses.idx LIMIT ?4",
        (now_us, *share, AT_ONCE),
    )
    return [Use(*row) for row in rows]


def _before(before_us: int, uses: Sequence[Use]) -> tuple[Use, ...]:
    """The first of them that are older, in the order of the log: a record whose clock stood in
    1970 is no older than the one before it."""
    return tuple(takewhile(lambda use: use.time_us < before_us, uses))


def _worth(uses: Sequence[Use], size: int) -> tuple[Use, ...]:
    """So many of the first that they hold that many bytes."""
    taken: list[Use] = []
    for use in uses:
        if size <= 0:
            break
        taken.append(use)
        size -= use.size_bytes
    return tuple(taken)
