"""What is kept how long: the order of removal, the log of it, and what never goes."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from edge.config import StorageSection
from edge.evidence.receipt import Receipt
from edge.health import Health, Level
from edge.records import Blob, Draft, Record
from edge.store.store import Store
from edge.store.verify import verify_store
from tests.evidence.sample import STATION, centre, opened, vehicle

DAY_US = 86_400_000_000
NOW_US = 1_800_000_000_000_000
ROLES = {"signal": "audio/flac", "picture": "image/jpeg"}


async def passage(store: Store, age_days: float, *, verdict: str = "within") -> Record:
    """A vehicle of some days ago with a signal, a picture and a plate."""
    blobs: list[Blob] = []
    for role, media_type in ROLES.items():
        data = os.urandom(10_000)
        blobs.append(await store.put_blob(data, role, media_type, deliver=verdict != "within"))
    draft = vehicle(verdict=verdict, time_us=NOW_US - int(age_days * DAY_US), blobs=tuple(blobs))
    body = {name: value for name, value in draft.body.items() if name != "plate"}
    private = {"plate": {"text": "川A12345"}}
    return await store.append(Draft("vehicle", body, draft.blobs, draft.urgent, private))


async def deliver(store: Store, *records: Record) -> None:
    key = centre()
    receipts = [Receipt(r.record_id, r.index, "stored", "", 1, 0, station=STATION) for r in records]
    signed = [Receipt.decode(receipt.encode(key), None) for receipt in receipts]
    assert len(await store.acknowledge_many(signed)) == len(records)


def kept(store: Store, record: Record) -> set[str]:
    """Roles whose files are there."""
    return {blob.role for blob in record.blobs if store.blob_path(blob.sha256).exists()}


async def plate(store: Store, record: Record) -> bool:
    again = await store.record(record.index)
    assert again is not None
    return again.private is not None


def bounded(directory: Path, **section: Any) -> Any:
    """A store with these bounds, at a fixed time, that keeps house only when it is told to."""
    health = section.pop("health", Health(time.monotonic_ns))
    clock = {"now_ns": lambda: NOW_US * 1000, "health": health}
    return opened(directory, storage=StorageSection(**section), **clock)


def settle(store: Store) -> None:
    """Files put long ago: no record is still on its way."""
    store._blobs._put_s.clear()


def verified(directory: Path) -> None:
    failed = [s for s in verify_store(directory, None, lambda _step: None) if not s.ok]
    assert not failed


def test_age_takes_lawful_signals_then_pictures_then_plates_then_old_cases(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = {"signal_days": 10, "picture_days": 20, "plate_days": 30, "case_days": 100}
        async with bounded(tmp_path, min_free_gb=0, **limits) as store:
            lawful = [await passage(store, age) for age in (40, 25, 15, 5)]
            cases = [await passage(store, age, verdict="over") for age in (200, 50)]
            await deliver(store, *lawful, *cases)
            waiting = [await passage(store, 300, verdict="over"), await passage(store, 300)]
            settle(store)
            await asyncio.to_thread(store.house.sweep)
            both = {"signal", "picture"}
            assert [kept(store, r) for r in lawful] == [set(), set(), {"picture"}, both]
            assert [await plate(store, r) for r in lawful] == [False, True, True, True]
            assert [kept(store, r) for r in cases] == [set(), both]
            assert [await plate(store, r) for r in cases] == [True, True]
            assert [kept(store, r) for r in waiting] == [both, both]
            assert [await plate(store, r) for r in waiting] == [True, True]
            said = await store.latest("retention")
            assert [(r.body["class"], r.body["count"]) for r in reversed(said)] == [
                ("lawful.signal", 3),
                ("lawful.picture", 2),
                ("case.signal", 1),
                ("case.picture", 1),
                ("lawful.plate", 1),
            ]
            assert said[-1].body["bytes"] == 30_000
            assert said[-1].body["oldest_us"] == NOW_US - 40 * DAY_US
            assert said[-1].body["newest_us"] == NOW_US - 15 * DAY_US
            await asyncio.to_thread(store.house.sweep)
            assert len(await store.latest("retention")) == 5

    asyncio.run(scenario())
    verified(tmp_path)
    private = b"".join(p.read_bytes() for p in (tmp_path / "journal").glob("*.private"))
    assert private.count(b"\n") == 7


def test_a_file_lost_otherwise_is_told_from_one_removed_by_rule(tmp_path: Path) -> None:
    async def scenario() -> Path:
        async with bounded(tmp_path, min_free_gb=0) as store:
            old, young = await passage(store, 90), await passage(store, 1)
            await deliver(store, old, young)
            settle(store)
            await asyncio.to_thread(store.house.sweep)
            return store.blob_path(young.blobs[0].sha256)

    path = asyncio.run(scenario())
    verified(tmp_path)
    path.unlink()
    failed = [s.number for s in verify_store(tmp_path, None, lambda _step: None) if not s.ok]
    assert failed == [6]


def test_bounds_take_the_oldest_lawful_files_and_never_cases(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bounded(tmp_path, min_free_gb=0, signal_gb=35e-6) as store:
            lawful = [await passage(store, 9 - n) for n in range(6)]
            case = await passage(store, 9, verdict="over")
            await deliver(store, *lawful, case)
            settle(store)
            await asyncio.to_thread(store.house.make_room)
            with_signal = ["signal" in kept(store, r) for r in lawful]
            assert with_signal == [False, False, False, True, True, True]
            assert kept(store, case) == {"signal", "picture"}
            (said, *_) = await store.latest("retention")
            assert (said.body["class"], said.body["reason"]) == ("lawful.signal", "bound")

    asyncio.run(scenario())
    verified(tmp_path)


def test_at_the_hard_limit_lawful_files_go_and_are_no_longer_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        health = Health(time.monotonic_ns)
        async with bounded(tmp_path, min_free_gb=1e6, health=health) as store:
            lawful = [await passage(store, 1) for _ in range(3)]
            case = await passage(store, 1, verdict="over")
            waits = await passage(store, 1)
            await deliver(store, *lawful, case)
            settle(store)
            for _ in range(3):
                await asyncio.to_thread(store.house.make_room)
            assert [kept(store, r) for r in lawful] == [set()] * 3
            assert kept(store, case) == kept(store, waits) == {"signal", "picture"}
            assert not store.has_room
            state = health.snapshot().states["storage"]
            assert state.level is Level.WARNING
            assert health.snapshot().gauges["store.free_bytes"] > 0
        async with bounded(tmp_path, min_free_gb=0) as store:
            await asyncio.to_thread(store.house.make_room)
            assert store.has_room

    asyncio.run(scenario())
    verified(tmp_path)


def test_one_file_of_two_records_goes_with_the_second(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bounded(tmp_path, min_free_gb=0, signal_days=10) as store:
            shared = await store.put_blob(b"same", "signal", "audio/flac", deliver=False)
            times = [NOW_US - 20 * DAY_US, NOW_US - 5 * DAY_US]
            records = [await store.append(vehicle(time_us=at, blobs=(shared,))) for at in times]
            await deliver(store, *records)
            settle(store)
            await asyncio.to_thread(store.house.sweep)
            assert store.blob_path(shared.sha256).exists()

    asyncio.run(scenario())
    verified(tmp_path)


def test_a_clock_that_nobody_set_removes_nothing_by_age(tmp_path: Path) -> None:
    async def scenario() -> None:
        unsure = {"clock_host": {"synchronised": False, "source": "", "bound_us": None}}
        changes = {"provenance": lambda _time_us: unsure, "now_ns": lambda: NOW_US * 1000}
        async with opened(tmp_path, storage=StorageSection(min_free_gb=0), **changes) as store:
            old = await passage(store, 900)
            await deliver(store, old)
            settle(store)
            await asyncio.to_thread(store.house.sweep)
            assert kept(store, old) == {"signal", "picture"}
            assert await plate(store, old)

    asyncio.run(scenario())


def test_a_record_made_in_1970_is_no_older_than_the_one_before_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bounded(tmp_path, min_free_gb=0, signal_days=10, case_days=10) as store:
            old, new = await passage(store, 20), await passage(store, 1)
            early = await passage(store, NOW_US / DAY_US)
            case = await passage(store, 1, verdict="over")
            early_case = await passage(store, NOW_US / DAY_US, verdict="over")
            await deliver(store, old, new, early, case, early_case)
            settle(store)
            await asyncio.to_thread(store.house.sweep)
            assert "signal" not in kept(store, old)
            for record in (new, early, case, early_case):
                assert "signal" in kept(store, record)

    asyncio.run(scenario())


def test_a_record_dated_in_the_future_keeps_nothing_after_it_for_ever(tmp_path: Path) -> None:
    """The clock of a computer stood years ahead until somebody set it."""

    async def scenario() -> None:
        limits = {"signal_days": 10, "plate_days": 10}
        async with bounded(tmp_path, min_free_gb=0, **limits) as store:
            ahead = [await passage(store, -4_000) for _ in range(2)]
            old = await passage(store, 20)
            ahead_of_new = await passage(store, -4_000)
            new = await passage(store, 1)
            ahead_of_all = await passage(store, -4_000)
            await deliver(store, *ahead, old, ahead_of_new, new, ahead_of_all)
            settle(store)
            await asyncio.to_thread(store.house.sweep)
            gone, stays = (*ahead, old), (ahead_of_new, new, ahead_of_all)
            assert ["signal" in kept(store, record) for record in gone] == [False] * 3
            assert [await plate(store, record) for record in gone] == [False] * 3
            assert ["signal" in kept(store, record) for record in stays] == [True] * 3
            assert [await plate(store, record) for record in stays] == [True] * 3

    asyncio.run(scenario())
    verified(tmp_path)


def test_files_of_statements_that_wait_for_the_database_stay(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, storage=StorageSection(min_free_gb=0)) as store:
            signal = await store.put_blob(b"waits", "signal", "audio/flac")
            await store.set_aside(vehicle(verdict="over", blobs=(signal,)))
            long_ago = time.time() - 7_200
            os.utime(store.blob_path(signal.sha256), (long_ago, long_ago))
            settle(store)
            await asyncio.to_thread(store.house.sweep_orphans)
            record = await store.take_next_aside()
            assert record is not None
            assert kept(store, record) == {"signal"}

    asyncio.run(scenario())
    verified(tmp_path)


@pytest.mark.parametrize("name", ["time_us", "lane", "kind"])
def test_a_statement_that_rotted_while_it_waited_is_put_aside(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        health = Health(time.monotonic_ns)
        async with opened(tmp_path, health=health) as store:
            for lane in ("1", "2"):
                await store.set_aside(vehicle(lane))
            path = tmp_path / "waiting" / "000000000001.json"
            path.write_bytes(path.read_bytes().replace(f'"{name}"'.encode(), b'"rot"'))
            assert await store.take_next_aside() is None
            record = await store.take_next_aside()
            assert record is not None
            assert record.body["lane"] == "2"
        assert health.snapshot().counters["store.waiting_unreadable"] == 1

    asyncio.run(scenario())


def test_plates_that_were_erased_stand_nowhere_any_more(tmp_path: Path) -> None:
    """Not in the database, nor in its log, while the station runs on without a record."""

    async def scenario() -> None:
        async with bounded(tmp_path, min_free_gb=0, plate_days=30) as store:
            old = [await passage(store, 40) for _ in range(5)]
            await deliver(store, *old)
            await asyncio.to_thread(store.house.keep_journal)
            secret = "川A12345".encode()
            assert any(secret in path.read_bytes() for path in tmp_path.glob("station.db*"))
            await asyncio.to_thread(store.house.sweep)
            assert not await plate(store, old[0])
            assert [
                p for p in tmp_path.rglob("*") if p.is_file() and secret in p.read_bytes()
            ] == []

    asyncio.run(scenario())
    verified(tmp_path)


def test_files_that_no_record_names_go_after_an_hour(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, storage=StorageSection(min_free_gb=0)) as store:
            named = await passage(store, 1)
            old = await store.put_blob(b"old", "signal", "audio/flac")
            fresh = await store.put_blob(b"fresh", "signal", "audio/flac")
            long_ago = time.time() - 7_200
            for blob in (old, *named.blobs):
                os.utime(store.blob_path(blob.sha256), (long_ago, long_ago))
            await asyncio.to_thread(store.house.sweep_orphans)
            assert store.blob_path(old.sha256).exists(), "it was put in this very run"
            settle(store)
            await asyncio.to_thread(store.house.sweep_orphans)
            assert not store.blob_path(old.sha256).exists()
            assert store.blob_path(fresh.sha256).exists()
            assert kept(store, named) == {"signal", "picture"}

    asyncio.run(scenario())


def test_the_budget_says_what_waits_and_how_long_the_disk_lasts(tmp_path: Path) -> None:
    async def scenario() -> None:
        health = Health(time.monotonic_ns)
        async with bounded(tmp_path, min_free_gb=0, health=health) as store:
            records = [await passage(store, 1, verdict="over") for _ in range(4)]
            await asyncio.to_thread(store.house.make_room)
            gauges = health.snapshot().gauges
            sizes = [len(r.canonical) + len(r.private or b"") for r in records]
            assert gauges["store.bytes_waiting"] == sum(sizes) + 4 * 20_000
            assert gauges["store.bytes.case.signal"] == 40_000
            assert gauges["store.outage_hours_left"] > 0
            first = gauges["store.bytes_written_today"]
            await passage(store, 1)
            await asyncio.to_thread(store.house.make_room)
            assert health.snapshot().gauges["store.bytes_written_today"] >= first

    asyncio.run(scenario())


@pytest.mark.parametrize("days", [0.0, 30.0])
def test_bytes_written_today_outlive_the_run(tmp_path: Path, days: float) -> None:
    """A later run of the same day counts on; one of another day begins anew."""

    async def run(now_ns: int) -> float:
        health = Health(time.monotonic_ns)
        async with opened(tmp_path, health=health, now_ns=lambda: now_ns) as store:
            await store.append(vehicle())
            await asyncio.to_thread(store.house.keep_written)
            return health.snapshot().gauges["store.bytes_written_today"]

    first = asyncio.run(run(NOW_US * 1000))
    second = asyncio.run(run(NOW_US * 1000 + int(days * 86_400e9)))
    # This process counts on from run to run: on the same day its first bytes count twice.
    assert (second >= 2 * first) == (days == 0.0) or first == 0
