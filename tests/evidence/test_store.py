"""The store on a real disk: durable before told, numbered, delivered only when receipted."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.errors import ConfigError, IntegrityError, StoreError
from edge.evidence.envelope import Envelope, verify_envelope
from edge.evidence.merkle import Frontier
from edge.evidence.note import Checkpoint, NoteSigner, NoteVerifier
from edge.evidence.statement import other_draft
from edge.health import Health, Level
from edge.records import Blob, Draft
from edge.store import schema
from edge.store.verify import verify_store
from tests.evidence.sample import centre, opened, receipt, station_signer, vehicle


def start(number: int = 0) -> Draft:
    return other_draft("start", time_ns=number, fields={"number": number})


def test_records_are_numbered_proven_and_still_there_after_reopening(tmp_path: Path) -> None:
    async def scenario() -> None:
        verifier = NoteVerifier(station_signer(tmp_path).verifier_key)
        async with opened(tmp_path) as store:
            records = [await store.append(vehicle(str(n % 2))) for n in range(5)]
            assert [record.index for record in records] == list(range(5))
            assert [record.body["passage"] for record in records] == [1, 1, 2, 2, 3]
            before = [await store.envelope(n) for n in range(5)]
        async with opened(tmp_path) as store:
            assert [await store.record(n) for n in range(5)] == records
            assert (await store.append(start())).index == 5
            assert (await store.append(vehicle("1"))).body["passage"] == 3
            assert [await store.envelope(n) for n in range(5)] == before
            for number in range(7):
                body = verify_envelope(Envelope.decode(await store.envelope(number)), verifier)
                assert body["index"] == number
            assert await store.record(7) is None
            with pytest.raises(IntegrityError, match="no record 7"):
                await store.envelope(7)

    asyncio.run(scenario())


def test_a_store_begun_by_hand_is_closed_to_other_users(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "data", signer=station_signer(tmp_path)):
            assert (tmp_path / "data").stat().st_mode & 0o077 == 0

    asyncio.run(scenario())


def test_appends_at_once_share_commits_and_keep_their_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        health = Health(time.monotonic_ns)
        async with opened(tmp_path, health=health) as store:
            records = await asyncio.gather(*(store.append(start(n)) for n in range(100)))
            assert [r.body["number"] for r in records] == [r.index for r in records]
            head = await store.head()
        assert health.snapshot().counters["store.commits"] <= 2  # one of them the housekeeper's
        assert head is not None
        frontier = Frontier()
        for record in records:
            frontier, _ = frontier.append(bytes.fromhex(record.record_id))
        assert head.checkpoint == Checkpoint("steelyard/S1", 100, frontier.root())

    asyncio.run(scenario())


def test_a_bad_draft_fails_alone_in_its_group(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            without_lane = Draft("vehicle", {"time_us": 1})
            with_float = Draft("start", {"time_us": 1, "value": 0.5})
            drafts = [start(0), without_lane, start(1), with_float]
            results = await asyncio.gather(
                *(store.append(draft) for draft in drafts), return_exceptions=True
            )
            assert [getattr(r, "index", type(r)) for r in results] == [0, ValueError, 1, ValueError]
            assert (await store.append(start())).index == 2

    asyncio.run(scenario())


def test_blobs_are_kept_once_and_healed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            data = bytes(range(256)) * 100
            first, second = await asyncio.gather(
                store.put_blob(data, "picture", "image/jpeg"),
                store.put_blob(data, "picture", "image/jpeg"),
            )
            path = store.blob_path(first.sha256)
            assert first == second
            assert path.read_bytes() == data
            assert path.stat().st_mode & 0o222 == 0
            path.unlink()
            path.write_bytes(data[:-1] + b"!")
            await store.put_blob(data, "picture", "image/jpeg")
            assert path.read_bytes() == data
            assert list((tmp_path / "blobs" / "unfinished").iterdir()) == []

    asyncio.run(scenario())


def test_only_deliverable_blobs_go_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            picture = await store.put_blob(b"picture", "picture", "image/jpeg")
            archive = await store.put_blob(b"signal", "signal", "audio/flac", deliver=False)
            record = await store.append(vehicle(blobs=(picture, archive)))
            assert await store.deliverable_blobs(record.index) == [picture]
            summary = await store.outbox_summary()
            sealed = len(record.canonical) + len(record.private or b"")
            assert summary.bytes == sealed + picture.size_bytes
            assert await store.deliverable_blobs(99) == []

    asyncio.run(scenario())


def test_outbox_is_urgent_first_and_ends_with_a_receipt_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        signer = centre()
        async with opened(tmp_path) as store:
            records = [
                await store.append(vehicle(verdict=v)) for v in ("within", "over", "within", "over")
            ]
            assert [entry.index for entry in await store.outbox(10)] == [1, 3, 0, 2]
            assert [entry.index for entry in await store.outbox(2, exclude={1, 3})] == [0, 2]
            assert [entry.index for entry in await store.outbox(1, exclude=[1])] == [3]

            await store.note_attempts([1])
            await store.note_attempts([1])
            assert (await store.outbox(1))[0].attempts == 2
            assert (await store.delivery(1)).sent
            assert await store.acknowledge(receipt(records[1], signer))
            assert not await store.acknowledge(receipt(records[1], signer))
            state = await store.delivery(1)
            assert (state.attempts, state.poisoned) == (2, None)
            assert state.receipted_us is not None
        async with opened(tmp_path) as store:
            assert [entry.index for entry in await store.outbox(10)] == [3, 0, 2]
            assert (await store.outbox_summary()).waiting == 3

    asyncio.run(scenario())


def test_receipts_that_prove_nothing_end_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        signer, health = centre(), Health(time.monotonic_ns)
        async with opened(tmp_path, health=health) as store:
            record = await store.append(vehicle())
            other = await store.append(vehicle())
            for wrong in (
                receipt(record, signer, record_id=other.record_id),
                receipt(record, signer, status="refused", reason="bad signature"),
                receipt(record, signer, index=99),
            ):
                assert not await store.acknowledge(wrong)
            assert (await store.outbox_summary()).waiting == 2
        assert health.snapshot().counters["store.receipts_without_entry"] == 3

    asyncio.run(scenario())


def test_a_poisoned_record_is_set_aside_not_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            record = await store.append(vehicle())
            await store.poison(record.index, "too large")
            assert await store.outbox(10) == []
            summary = await store.outbox_summary()
            assert (summary.waiting, summary.poisoned, summary.oldest_ns) == (0, 1, None)
            assert (await store.delivery(record.index)).poisoned == "too large"
            assert await store.record(record.index) == record
            assert await store.acknowledge(receipt(record, centre()))

    asyncio.run(scenario())


def test_latest_and_counts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append(start())
            for n in range(6):
                await store.append(
                    vehicle(str(n % 2), verdict=("over", "within")[n % 2], time_us=1_000 + n)
                )
            assert [r.index for r in await store.latest()] == [6, 5, 4, 3, 2, 1]
            assert [r.index for r in await store.latest(limit=2, before=5)] == [4, 3]
            assert [r.index for r in await store.latest(lane="1")] == [6, 4, 2]
            assert [r.index for r in await store.latest(kind=None)][-1] == 0
            assert await store.counts_since(1_002) == {
                "vehicle": 4, "vehicle.over": 2, "vehicle.within": 2
            }  # fmt: skip
            assert (await store.latest(limit=1, lane="0"))[0].urgent

    asyncio.run(scenario())


def test_waiting_for_growth(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            waiter = asyncio.create_task(store.wait_appended(-1))
            late = asyncio.create_task(store.wait_appended(1))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(store.wait_appended(-1), 0.02)
            await store.append(start())
            assert await waiter == 0
            assert await store.wait_appended(-1) == 0
            await store.append(start())
            assert not late.done()
            await store.append(start())
            assert await late == 2
            forever = asyncio.create_task(store.wait_appended(2))
            await asyncio.sleep(0)
        with pytest.raises(StoreError, match="closed"):
            await forever
        async with opened(tmp_path) as store:
            assert await store.wait_appended(1) == 2

    asyncio.run(scenario())


def test_a_caller_that_goes_away_does_not_disturb_the_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            tasks = [asyncio.create_task(store.append(start(n))) for n in range(20)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            kept = await store.latest(kind="start", limit=50)
            numbers = [record.body["number"] for record in kept]
            assert set(range(1, 20, 2)) <= set(numbers)
            assert [record.index for record in kept] == list(range(len(kept)))[::-1]

    asyncio.run(scenario())


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append(start())
            await store.close()
            with pytest.raises(StoreError, match="closed"):
                await store.append(start())
            with pytest.raises(StoreError, match="closed"):
                await store.latest()
            with pytest.raises(StoreError, match="closed"):
                await store.put_blob(b"x", "picture", "image/jpeg")
        assert not (tmp_path / "station.db-wal").exists()

    asyncio.run(scenario())


# ---------------------------------------------------------------------- opening


def test_two_processes_can_not_open_one_store(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path):
            with pytest.raises(StoreError, match="in use by process"):
                async with opened(tmp_path):
                    pass

    asyncio.run(scenario())


def test_another_stations_directory_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path):
            pass
        signer = NoteSigner("steelyard/S2", Ed25519PrivateKey.generate())
        with pytest.raises(ConfigError, match="belongs to station S1"):
            async with opened(tmp_path, station="S2", signer=signer):
                pass

    asyncio.run(scenario())


def test_a_log_is_not_continued_with_another_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append(start())
        stranger = NoteSigner("steelyard/S1", Ed25519PrivateKey.generate())
        with pytest.raises(ConfigError, match="not the one that signed this log"):
            async with opened(tmp_path, signer=stranger):
                pass

    asyncio.run(scenario())


def tamper(directory: Path, statement: str) -> None:
    """What somebody with the file and without scruples could do."""
    connection = sqlite3.connect(directory / "station.db")
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET canonical = x'00' WHERE idx = 0",
        "DELETE FROM records",
        "DELETE FROM nodes",
        "UPDATE checkpoints SET note = ''",
        "DELETE FROM station",
    ],
)
def test_the_tables_of_the_log_take_no_change_by_accident(tmp_path: Path, statement: str) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append(start())
        connection = sqlite3.connect(tmp_path / "station.db")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
        connection.close()

    asyncio.run(scenario())


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "station.db")
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()

    async def scenario() -> None:
        with pytest.raises(StoreError, match="another program"):
            async with opened(tmp_path):
                pass

    asyncio.run(scenario())


def test_migrations_run_once_in_order_and_never_backwards(tmp_path: Path) -> None:
    steps = [
        *schema.MIGRATIONS,
        "CREATE TABLE later (a INTEGER) STRICT",
        "INSERT INTO later VALUES (1)",
    ]
    connection = schema.connect_writer(tmp_path / "station.db")
    schema.migrate(connection, steps[:1])
    schema.migrate(connection, steps)
    schema.migrate(connection, steps)
    assert connection.execute("SELECT a FROM later").fetchall() == [(1,)]
    assert connection.execute("PRAGMA user_version").fetchone() == (len(steps),)
    with pytest.raises(ConfigError, match="newer than this program"):
        schema.migrate(connection, steps[:2])
    connection.close()


def test_a_migration_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = tmp_path / "station.db"
    connection = schema.connect_writer(path)
    schema.migrate(connection)
    with pytest.raises(sqlite3.Error):
        schema.migrate(connection, [*schema.MIGRATIONS, "CREATE TABLE a (b); NONSENSE"])
    connection.close()
    connection = schema.connect_writer(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    assert connection.execute("SELECT * FROM sqlite_schema WHERE name = 'a'").fetchall() == []
    connection.close()


def test_what_is_promised_of_the_database_is_set(tmp_path: Path) -> None:
    connection = schema.connect_writer(tmp_path / "station.db")
    schema.migrate(connection)
    settings = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "application_id")
    }
    full = 2
    assert settings == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "application_id": schema.APPLICATION_ID,
    }
    connection.close()


# ---------------------------------------------------------------------- the disk refuses


FULL_DISK = textwrap.dedent(
    """
    import asyncio, os, resource, signal, sys
    from pathlib import Path
    from edge.errors import StoreError
    from edge.evidence.statement import other_draft
    from tests.evidence.sample import opened

    def start(size):
        return other_draft("start", time_ns=0, fields={"text": "x" * size})

    async def scenario(directory):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        async with opened(directory) as store:
            await store.append(start(10))
            largest = max(p.stat().st_size for p in directory.iterdir())
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, unlimited[1]))
            failed = 0
            for work in (
                store.append(start(200_000)),
                asyncio.gather(*(store.append(start(50_000)) for _ in range(3))),
                store.put_blob(os.urandom(largest + 1), "picture", "image/jpeg"),
            ):
                try:
                    await work
                except StoreError as error:
                    assert error.next_step.zh and error.exit_code == 7
                    failed += 1
            assert failed == 3, failed
            assert await store.latest(kind="start", before=1)
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
            record = await store.append(start(200_000))
            await store.put_blob(b"x" * (largest + 1), "picture", "image/jpeg")
            assert record.index == 1, record.index
            left = list((directory / "blobs" / "unfinished").iterdir())
            assert not left, left

    asyncio.run(scenario(Path(sys.argv[1])))
    """
)


def test_a_full_disk_fails_the_append_and_nothing_else(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the kernel refuses real writes."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = verify_store(tmp_path, station_signer(tmp_path).verifier_key, lambda _step: None)
    assert all(step.ok for step in steps), steps


def test_health_shows_a_store_that_refuses_and_its_recovery(tmp_path: Path) -> None:
    async def scenario() -> None:
        health = Health(time.monotonic_ns)
        async with opened(tmp_path, health=health) as store:
            await store.append(start())
            limit = resource.getrlimit(resource.RLIMIT_FSIZE)
            handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
            try:
                with pytest.raises(StoreError):
                    await store.append(start())
                assert health.snapshot().states["store"].level is Level.DOWN
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limit)
                signal.signal(signal.SIGXFSZ, handler)
            await store.append(start())
            snapshot = health.snapshot()
            assert snapshot.states["store"].level is Level.OK
            assert snapshot.counters["store.failures"] == 1

    asyncio.run(scenario())


def test_a_blob_that_was_never_kept_is_found_by_the_verifier(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append(vehicle(blobs=(Blob("picture", "image/jpeg", "ab" * 32, 5),)))

    asyncio.run(scenario())
    steps = verify_store(tmp_path, None, lambda _step: None)
    assert [step.number for step in steps if not step.ok] == [6]
