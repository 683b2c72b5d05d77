"""What sealing costs beside the disk: records of the store against bare commits of their bytes.

Store and yardstick take turns on one disk, so that both meet the same moments of it. The yardstick
is one table in SQLite with WAL and FULL, and commits each record's bytes by themselves.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edge.evidence.note import NoteSigner, origin_of
from edge.evidence.station_key import KEY_FILE
from edge.health import Health
from edge.records import Draft, Record
from edge.store.store import Store
from simulator.big_store import sample_draft

__all__ = ["Commits", "measure"]

_STATION = "SEAL"
_ROUND = 50
"""Records between two turns of the yardstick."""
_WARM_ROUNDS = 2
CALLERS = 16
"""Who seal at once where the commits are shared: more lanes than any site has."""


@dataclass(slots=True)
class Commits:
    """Seconds for each record from the call to the disk; and of whole rounds."""

    alone_s: list[float] = field(default_factory=list)
    bare_s: list[float] = field(default_factory=list)
    together_s: list[float] = field(default_factory=list)
    together_rounds_s: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Milliseconds at the 50th and 99th percentile, records in a second."""
        alone, bare, together = map(np.array, (self.alone_s, self.bare_s, self.together_s))
        rates = {
            "sealed_per_s": len(alone) / alone.sum(),
            "bare_commits_per_s": len(bare) / bare.sum(),
            "sealed_together_per_s": len(together) / sum(self.together_rounds_s),
        }
        times = {
            f"{name}_ms_{tail}": 1e3 * float(np.percentile(seconds, percent))
            for name, seconds in (
                ("seal_commit", alone),
                ("bare_commit", bare),
                ("seal_commit_together", together),
            )
            for tail, percent in (("p50", 50), ("p99", 99))
        }
        return {
            **times,
            "seal_commit_over_bare_p50": times["seal_commit_ms_p50"] / times["bare_commit_ms_p50"],
            "seal_commit_over_bare_p99": times["seal_commit_ms_p99"] / times["bare_commit_ms_p99"],
            **rates,
            "sealed_over_bare": rates["sealed_per_s"] / rates["bare_commits_per_s"],
            "sealed_together_over_bare": (
                rates["sealed_together_per_s"] / rates["bare_commits_per_s"]
            ),
        }


def measure(
    directory: Path, records: int, progress: Callable[[float], None] = lambda _: None
) -> Commits:
    """``records`` sealed one at a time, as many bare commits, as many sealed by several at once."""
    with closing(_bare(directory / "bare.db")) as bare:
        return asyncio.run(_measure(directory / "store", bare, records, progress))


async def _measure(
    directory: Path, bare: sqlite3.Connection, records: int, progress: Callable[[float], None]
) -> Commits:
    store = await _store(directory)
    rounds = max(1, records // _ROUND)
    try:
        for _ in range(_WARM_ROUNDS):
            await _turn(store, bare, Commits())
        found = Commits()
        for number in range(rounds):
            await _turn(store, bare, found)
            progress((number + 1) / rounds)
    finally:
        await store.close()
    return found


async def _turn(store: Store, bare: sqlite3.Connection, found: Commits) -> None:
    sealed = [await _timed_append(store, found.alone_s) for _ in range(_ROUND)]
    _commit_each(bare, sealed, found.bare_s)
    began_s = time.perf_counter()
    await asyncio.gather(*(_caller(store, found.together_s) for _ in range(CALLERS)))
    found.together_rounds_s.append(time.perf_counter() - began_s)


async def _caller(store: Store, took_s: list[float]) -> None:
    for _ in range(-(-_ROUND // CALLERS)):
        await _timed_append(store, took_s)


async def _timed_append(store: Store, took_s: list[float]) -> Record:
    draft = _draft()
    began_s = time.perf_counter()
    record = await store.append(draft)
    took_s.append(time.perf_counter() - began_s)
    return record


def _commit_each(bare: sqlite3.Connection, records: Sequence[Record], took_s: list[float]) -> None:
    for record in records:
        data = record.canonical + (record.private or b"")
        began_s = time.perf_counter()
        bare.execute("INSERT INTO bare VALUES (?, ?)", (record.index, data))
        took_s.append(time.perf_counter() - began_s)


def _draft() -> Draft:
    """A vehicle of now."""
    draft = sample_draft("within")
    now_us = time.time_ns() // 1000
    return replace(draft, body=draft.body | {"lane": "1", "lanes": ["1"], "time_us": now_us})


def _bare(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE bare (idx INTEGER PRIMARY KEY, data BLOB NOT NULL)")
    return connection


async def _store(directory: Path) -> Store:
    signer = NoteSigner.load_or_create(directory / KEY_FILE, origin_of(_STATION))
    return await Store.open(
        directory,
        station=_STATION,
        signer=signer,
        health=Health(time.monotonic_ns),
        now_ns=time.time_ns,
    )
