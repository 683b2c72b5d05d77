"""Single bits that a disk has turned: in the database, in its copy, while the station runs."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edge.errors import StoreError
from edge.evidence.envelope import Envelope, verify_envelope
from edge.evidence.merkle import leaf_hash
from edge.evidence.note import NoteVerifier
from edge.health import Health
from edge.store.keeper import Chore, Keeper
from edge.store.store import Store
from edge.store.verify import verify_store
from tests.evidence.sample import opened, station_signer
from tests.evidence.test_store import tamper
from tests.evidence.test_store_recovery import (
    RECORDS,
    _append_at_last,
    fill,
    folded,
    killed,
    overwrite,
    reopened,
    sample,
    secret,
)

__all__ = ["killed", "sample"]


def turn(path: Path, old: bytes, new: bytes) -> None:
    """Turn the bits of the last place where some bytes stand."""
    data = path.read_bytes()
    at = data.rindex(old)
    overwrite(path, at, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"index":119', b'"index":179'),
        (b'"index":119', b'"index":919'),
        (b'"index":60,', b'"index":70,'),
        (b'"index":119', b'"index":118'),
    ],
)
def test_a_turned_bit_in_the_copy_harms_no_whole_database(
    killed: Path, sample: Any, old: bytes, new: bytes
) -> None:
    turn(killed / "journal" / "00000.jsonl", old, new)
    said = reopened(killed, sample[1])
    assert "continued" not in said
    assert said["kept"] == sample[1]


@pytest.mark.parametrize("new", [b'"index":179', b'"index":919'])
def test_a_turned_bit_in_the_copy_beside_a_damaged_database(
    killed: Path, sample: Any, new: bytes
) -> None:
    turn(killed / "journal" / "00000.jsonl", b'"index":119', new)
    overwrite(folded(killed), 0, bytes(4096))
    said = reopened(killed, sample[1])
    assert said["continued"]
    assert said["kept"] == sample[1]


@pytest.mark.parametrize("table", ["checkpoints SET note", "station SET id"])
def test_text_that_is_no_text_any_more(killed: Path, sample: Any, table: str) -> None:
    column = table.split()[-1]
    tamper(killed, f"UPDATE {table} = CAST(x'ff' || substr({column}, 2) AS TEXT)")
    assert reopened(killed, sample[1])["kept"] == sample[1]


async def ask_all(store: Store) -> None:
    await store.record(100)
    await store.envelope(100)
    await store.head()
    await store.batch(200, 1 << 20)
    await store.consistency(60, RECORDS)  # to the witness it would be another log


@pytest.mark.parametrize(
    "rotten",
    [
        "records SET canonical = CAST(replace(CAST(canonical AS TEXT), 'over', 'ower') AS BLOB)"
        " WHERE idx = 100",
        "records SET canonical = x'7b7d' WHERE idx = 100",
        "records SET record_id = hex(zeroblob(32)) WHERE idx = 100",
        "private SET data = x'7b7d' WHERE idx = 100",
        "checkpoints SET note = 'rot'",
        "nodes SET hash = zeroblob(32) WHERE (level, position) = (0, 101)",
        "nodes SET hash = zeroblob(32) WHERE (level, position) = (2, 24)",
        "nodes SET hash = zeroblob(32) WHERE (level, position) = (2, 14)",
        "nodes SET position = 1000 WHERE (level, position) = (5, 2)",
    ],
)
def test_what_rotted_is_mended_from_the_copy_as_soon_as_it_is_asked_for(
    tmp_path: Path, rotten: str
) -> None:
    """SQLite finds such a page whole, and the centre would never take the record."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            records = await fill(store)
            tamper(tmp_path, f"UPDATE {rotten}")
            with pytest.raises(StoreError):
                await ask_all(store)
            await _append_at_last(store)
            assert [await store.record(r.index) for r in records] == records
            verifier = NoteVerifier(station_signer(tmp_path).verifier_key)
            verify_envelope(Envelope.decode(await store.envelope(100)), verifier)

    asyncio.run(scenario())
    assert all(s.ok for s in verify_store(tmp_path, None, lambda _step: None))


def test_a_batch_with_a_record_that_rotted_is_not_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await fill(store)
            tamper(tmp_path, "UPDATE records SET canonical = x'7b7d' WHERE idx = 101")
            with pytest.raises(StoreError):
                await store.batch(200, 1 << 20, joint=True)
            await _append_at_last(store)
            assert await store.batch(200, 1 << 20, joint=True)

    asyncio.run(scenario())


def test_a_chore_with_a_defect_does_not_end_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    health = Health(time.monotonic_ns)

    def fails() -> None:
        raise KeyError("a defect")

    done = threading.Event()
    keeper = Keeper([Chore("bad", fails, 60.0, 0.0), Chore("good", done.set, 60.0, 0.0)], health)
    keeper.start()
    assert done.wait(60)
    keeper.close()
    assert health.snapshot().counters["store.chores_failed.bad"] == 1
    assert "a defect" in caplog.text


def test_a_copy_that_can_not_be_written_does_not_slow_commits_down(tmp_path: Path) -> None:
    """What the copy lacks is brought in pieces, when it can be written again."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            (tmp_path / "journal" / "00000.jsonl").mkdir()
            for _ in range(6):
                await store.append_many([secret(n) for n in range(200)])
            asked: list[str] = []
            connection = store._running().connection
            connection.set_trace_callback(asked.append)
            await store.append(secret(0))
            connection.set_trace_callback(None)
            (copied,) = (query for query in asked if "canonical, data FROM records" in query)
            assert len(connection.execute(copied).fetchall()) <= 500
            (tmp_path / "journal" / "00000.jsonl").rmdir()
            for _ in range(3):
                await store.append(secret(0))
            assert store._journal.end() == store.size

    asyncio.run(scenario())


def test_a_statement_that_waited_is_not_lost_on_a_record_that_rotted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await fill(store)
            tamper(tmp_path, "UPDATE records SET canonical = x'7b7d' WHERE idx = 101")
            await store.set_aside(secret(500))
            with pytest.raises(StoreError):
                await store.take_next_aside()
            await _append_at_last(store)
            assert await store.take_next_aside()

    asyncio.run(scenario())


def test_what_was_sealed_so_is_no_damage(tmp_path: Path) -> None:
    """A recovery would find the same again, and set the database aside each time."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await fill(store)
            tamper(tmp_path, "DELETE FROM private WHERE idx = 101")
            tamper(
                tmp_path,
                f"UPDATE records SET canonical = x'7b7d', record_id = '{leaf_hash(b'{}').hex()}'"
                " WHERE idx = 101",
            )
            with pytest.raises(ValueError, match="not a record"):
                await store.record(101)
            assert store.is_ready

    asyncio.run(scenario())
