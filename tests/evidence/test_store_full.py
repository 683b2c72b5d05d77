"""A full disk, for real: a small tmpfs. Clear words, nothing half done, and on when it has room."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config import StorageSection
from edge.errors import StoreError
from edge.health import Health, Level
from edge.records import Record
from edge.store.store import Store
from edge.store.verify import verify_store
from tests.evidence.sample import opened, vehicle

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")

SIZE = 12 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB with a file that can be taken away to make room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def leave(disk: Path, room: int) -> Path:
    """Fill the disk until so much is free."""
    ballast = disk / "ballast"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast.write_bytes(bytes(max(0, free - room)))
    return ballast


async def until_refused(store: Store, kept: list[Record]) -> StoreError:
    for _ in range(2_000):
        try:
            kept.append(await store.append(vehicle(verdict="over", filler="x" * 3_000)))
        except StoreError as error:
            return error
    raise AssertionError("the disk never filled")


def test_a_disk_that_fills_during_commits(small_disk: Path) -> None:
    async def scenario() -> list[Record]:
        health = Health(time.monotonic_ns)
        kept: list[Record] = []
        section = StorageSection(min_free_gb=0)
        async with opened(small_disk / "data", health=health, storage=section) as store:
            ballast = leave(small_disk, 2 << 20)
            error = await until_refused(store, kept)
            assert "free disk space" in error.next_step.en
            assert health.snapshot().states["store"].level is Level.DOWN
            for _ in range(5):
                with pytest.raises(StoreError):
                    await store.append(vehicle(filler="x" * 100_000))
            assert [await store.record(r.index) for r in kept] == kept
            ballast.unlink()
            kept.append(await store.append(vehicle()))
            assert kept[-1].index == len(kept) - 1
            assert health.snapshot().states["store"].level is Level.OK
            assert "recovery" not in health.snapshot().states
        return kept

    kept = asyncio.run(scenario())
    assert all(s.ok for s in verify_store(small_disk / "data", None, lambda _step: None))

    async def again() -> None:
        async with opened(small_disk / "data") as store:
            assert [await store.record(r.index) for r in kept] == kept
            assert not list((small_disk / "data").glob("damaged-*"))

    asyncio.run(again())


def test_a_disk_that_is_full_when_a_file_is_written(small_disk: Path) -> None:
    async def scenario() -> None:
        async with opened(small_disk / "data", storage=StorageSection(min_free_gb=0)) as store:
            ballast = leave(small_disk, 1 << 20)
            data = os.urandom(3 << 20)
            with pytest.raises(StoreError):
                await store.put_blob(data, "signal", "audio/flac")
            assert list((small_disk / "data" / "blobs" / "unfinished").iterdir()) == []
            ballast.unlink()
            blob = await store.put_blob(data, "signal", "audio/flac")
            await store.append(vehicle(verdict="over", blobs=(blob,)))

    asyncio.run(scenario())
    assert all(s.ok for s in verify_store(small_disk / "data", None, lambda _step: None))


def test_a_start_on_a_full_disk_damages_nothing(small_disk: Path) -> None:
    async def scenario() -> None:
        async with opened(small_disk / "data") as store:
            kept = [await store.append(vehicle()) for _ in range(20)]
        ballast = leave(small_disk, 0)
        with contextlib.suppress(StoreError):  # SQLite may find no room for its shared memory
            async with opened(small_disk / "data") as store:
                assert await store.record(0) == kept[0]
        ballast.unlink()
        async with opened(small_disk / "data") as store:
            assert (await store.append(vehicle())).index == 20

    asyncio.run(scenario())
    assert not list((small_disk / "data").glob("damaged-*"))
