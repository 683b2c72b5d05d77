"""A damaged database: set aside and kept, what is readable is recovered, the log goes on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.errors import StoreError
from edge.evidence.envelope import Envelope, verify_envelope
from edge.evidence.note import NoteVerifier
from edge.evidence.receipt import Receipt
from edge.health import Health, Level
from edge.records import Draft, Record
from edge.store.recovery import Recovery
from edge.store.store import Store
from edge.store.verify import verify_store
from tests.evidence.sample import STATION, centre, opened, station_signer, vehicle
from tests.evidence.test_store import tamper

RECORDS = 120
DELIVERED = 60


def secret(number: int) -> Draft:
    """A vehicle with a private part; every fifth is a case with a long statement."""
    verdict = "within" if number % 5 else "over"
    draft = vehicle(str(number % 2), verdict=verdict, long="x" * (9_000 if number % 7 == 0 else 9))
    body = {name: value for name, value in draft.body.items() if name != "plate"}
    return Draft("vehicle", body, draft.blobs, draft.urgent, {"plate": {"text": f"川A{number:05}"}})


async def fill(store: Store) -> list[Record]:
    """Records of which the first have their receipts."""
    key = centre()
    records = []
    for at in range(0, RECORDS, 10):
        records += await store.append_many([secret(n) for n in range(at, at + 10)])
    for record in records[:DELIVERED]:
        receipt = Receipt(record.record_id, record.index, "stored", "", 1, 0, station=STATION)
        signed = Receipt.decode(receipt.encode(key), None)
        assert await store.acknowledge(signed)
    return records


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """A store as it lies on the disk after kill -9: with its write-ahead log, not closed."""
    live = tmp_path_factory.mktemp("live")
    killed = tmp_path_factory.mktemp("killed") / "data"

    async def scenario() -> list[Record]:
        async with opened(live) as store:
            records = await fill(store)
            while not (live / "journal" / "head").exists():
                await asyncio.sleep(0.05)
            shutil.copytree(live, killed)
            return records

    return killed, asyncio.run(scenario())


@pytest.fixture
def killed(sample: tuple[Path, list[Record]], tmp_path: Path) -> Path:
    shutil.copytree(sample[0], tmp_path / "data")
    return tmp_path / "data"


def folded(directory: Path) -> Path:
    """The same with all in the database file itself; where it lies."""
    connection = sqlite3.connect(directory / "station.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return directory / "station.db"


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def reopened(directory: Path, records: list[Record]) -> dict[str, Any]:
    """Open again, go on, verify; what the statement of the recovery says, or {}."""

    async def scenario() -> dict[str, Any]:
        health = Health(time.monotonic_ns)
        verifier = NoteVerifier(station_signer(directory).verifier_key)
        async with opened(directory, health=health) as store:
            told = await store.latest("recovered")
            state = health.snapshot().states.get("recovery")
            assert (state is not None) == bool(told)
            assert state is None or state.level is Level.WARNING
            kept = [await store.record(record.index) for record in records]
            said = dict(told[0].body) if told else {}
            if said.get("continued", True):
                assert all(a in (b, None) for a, b in zip(kept, records, strict=True))
                assert [r.index for r, k in zip(records, kept, strict=True) if k is None] == [
                    n for first, last in said.get("lost", []) for n in range(first, last + 1)
                ]
            new = await store.append(secret(RECORDS))
            envelope = Envelope.decode(await store.envelope(new.index))
            assert verify_envelope(envelope, verifier)["passage"] == new.body["passage"]
            return said | {"new": new, "kept": kept}

    said = asyncio.run(scenario())
    failed = [s for s in verify_store(directory, None, lambda _step: None) if not s.ok]
    assert not failed
    return said


def asides(directory: Path) -> list[Path]:
    return sorted(directory.glob("damaged-*"))


def test_a_whole_store_is_left_as_it_is(killed: Path, sample: Any) -> None:
    said = reopened(killed, sample[1])
    assert said["kept"] == sample[1]
    assert said["new"].index == RECORDS
    assert not asides(killed)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("with_journal", [True, False])
def test_overwritten_pages(killed: Path, sample: Any, seed: int, with_journal: bool) -> None:
    chance = random.Random(seed)
    database = folded(killed)
    pages = database.stat().st_size // 4096
    for _ in range(8):
        overwrite(database, 4096 * chance.randrange(pages), chance.randbytes(4096))
    (killed / "damaged").write_text("found by the check")
    if not with_journal:
        shutil.rmtree(killed / "journal")
    before = database.read_bytes()
    said = reopened(killed, sample[1])
    assert asides(killed)[0].joinpath("station.db").read_bytes() == before
    assert said["records"] + said["lost_count"] == RECORDS or not said["continued"]
    if with_journal:
        assert said["continued"]
        assert said["kept"] == sample[1]
        assert said["new"].body["passage"] == RECORDS // 2 + 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda database: overwrite(database, 0, bytes(100)),
        lambda database: overwrite(database, 0, bytes(4096)),
        lambda database: database.write_bytes(b""),
        lambda database: database.write_bytes(b"rubbish" * 1_000),
        lambda database: database.write_bytes(database.read_bytes()[: 4096 * 5 + 77]),
        lambda database: database.unlink(),
    ],
    ids=["header", "first page", "empty", "rubbish", "truncated", "gone"],
)
def test_a_file_that_is_no_database_any_more(
    killed: Path, sample: Any, damage: Callable[[Path], None]
) -> None:
    damage(folded(killed))
    said = reopened(killed, sample[1])
    assert said["continued"]
    assert said["kept"] == sample[1]
    assert said["new"].index == RECORDS + 1


def test_a_header_is_enough_to_lose_for_nothing_else(killed: Path, sample: Any) -> None:
    """Without the journal, the pages alone give all records, private parts and receipts."""
    overwrite(folded(killed), 0, bytes(4096))
    shutil.rmtree(killed / "journal")
    said = reopened(killed, sample[1])
    assert said["kept"] == sample[1]

    async def waiting() -> int:
        async with opened(killed) as store:
            return (await store.outbox_summary()).waiting

    assert asyncio.run(waiting()) == RECORDS - DELIVERED + 2


def test_the_log_before_the_database_is_lost(killed: Path, sample: Any) -> None:
    """Without its write-ahead log SQLite finds an older database whole; the journal knows more."""
    (killed / "station.db-wal").unlink()
    (killed / "station.db-shm").unlink(missing_ok=True)
    said = reopened(killed, sample[1])
    assert said["continued"]
    assert said["kept"] == sample[1]


def test_the_log_alone_is_enough(killed: Path, sample: Any) -> None:
    """A damaged database, no journal: its write-ahead log still holds the newest pages."""
    assert (killed / "station.db-wal").stat().st_size > 1_000_000
    (killed / "station.db").write_bytes(b"")
    (killed / "station.db-shm").unlink(missing_ok=True)
    (killed / "damaged").write_text("found by the check")
    shutil.rmtree(killed / "journal")
    assert reopened(killed, sample[1])["kept"] == sample[1]


def test_a_record_whose_bytes_are_gone_leaves_its_hash(killed: Path, sample: Any) -> None:
    tamper(killed, "DELETE FROM records WHERE idx IN (17, 18, 119)")
    shutil.rmtree(killed / "journal")
    (killed / "damaged").write_text("found by the check")
    said = reopened(killed, sample[1])
    assert said["continued"]
    assert said["lost"] == [[17, 18], [119, 119]]
    assert said["new"].index == RECORDS + 1
    assert said["new"].body["passage"] > RECORDS // 2


def test_a_log_that_cannot_be_continued_is_followed_by_another(killed: Path, sample: Any) -> None:
    tamper(killed, "DELETE FROM records WHERE idx = 17")
    tamper(killed, "DELETE FROM nodes WHERE position IN (17, 8, 4)")
    shutil.rmtree(killed / "journal")
    (killed / "damaged").write_text("found by the check")
    connection = sqlite3.connect(folded(killed))
    connection.execute("VACUUM")
    connection.close()
    said = reopened(killed, sample[1])
    assert not said["continued"]
    assert said["old_size"] == RECORDS
    assert f"steelyard/{STATION}\n{RECORDS}\n" in said["old_head"]
    assert said["new"].body["generation"] == 2
    assert said["new"].body["passage"] == RECORDS // 2 + 1

    async def quoted() -> list[Record]:
        async with opened(killed) as store:
            return await store.latest("salvaged", limit=200)

    quotes = asyncio.run(quoted())
    assert [q.body["of_index"] for q in reversed(quotes)] == list(range(DELIVERED, RECORDS))
    assert sum(q.urgent for q in quotes) == (RECORDS - DELIVERED) // 5
    assert (asides(killed)[0] / "readable.db").exists()


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM records WHERE idx = 119",
        "DELETE FROM checkpoints",
        "DELETE FROM nodes WHERE level = 3",
        "UPDATE nodes SET hash = zeroblob(32) WHERE level = 3",
        "UPDATE checkpoints SET note = 'x' || note",
    ],
)
def test_what_contradicts_itself_at_the_start_is_recovered(
    killed: Path, sample: Any, tampering: str
) -> None:
    tamper(killed, tampering)
    assert reopened(killed, sample[1])["kept"] == sample[1]


def test_damage_met_while_the_station_runs_is_mended_while_it_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        health = Health(time.monotonic_ns)
        async with opened(tmp_path, health=health) as store:
            records = await fill(store)
            store.note_damage("page 7 is wrong")
            new = await _append_at_last(store)
            assert new.index == RECORDS + 1
            assert [await store.record(r.index) for r in records] == records
        assert health.snapshot().counters["store.recoveries"] == 1

    asyncio.run(scenario())
    assert len(asides(tmp_path)) == 1
    assert all(s.ok for s in verify_store(tmp_path, None, lambda _step: None))


def test_the_check_in_the_background_finds_and_mends(tmp_path: Path) -> None:
    """Inner pages are overwritten under the station's feet; the daily check reads them all."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            records = await fill(store)
            database = folded(tmp_path)
            pages = database.stat().st_size // 4096
            for page in range(8, pages, 9):
                overwrite(database, 4096 * page, b"\xa5" * 4096)
            with contextlib.suppress(StoreError):  # it may not even get to the check
                await asyncio.to_thread(store.house.check)
            assert (await _append_at_last(store)).index == RECORDS + 1
            assert [await store.record(r.index) for r in records] == records

    asyncio.run(scenario())
    assert len(asides(tmp_path)) == 1
    assert all(s.ok for s in verify_store(tmp_path, None, lambda _step: None))


def test_an_index_whose_last_write_was_lost_is_found_and_made_anew(tmp_path: Path) -> None:
    """All its pages are whole, but one row is in none of them."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            records = await fill(store)
            offset, before = index_page(folded(tmp_path), "records_time")
            records.append(await store.append(secret(RECORDS)))
            overwrite(folded(tmp_path), offset, before)
            await asyncio.to_thread(store.house.check)
            assert (await _append_at_last(store)).index > RECORDS
            assert [await store.record(r.index) for r in records] == records

    asyncio.run(scenario())
    assert len(asides(tmp_path)) == 1
    assert all(s.ok for s in verify_store(tmp_path, None, lambda _step: None))


def test_no_passage_number_is_given_twice_by_an_index_that_lacks_the_newest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await fill(store)
            page = index_page(folded(tmp_path), "records_passage")
            newest = await store.append(vehicle("1"))
        overwrite(folded(tmp_path), *page)
        async with opened(tmp_path) as store:
            after = await store.append(vehicle("1"))
            assert after.body["passage"] == newest.body["passage"] + 1

    asyncio.run(scenario())
    assert len(asides(tmp_path)) == 1


def index_page(database: Path, name: str) -> tuple[int, bytes]:
    """Offset and bytes of the one page that a small index has."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        (number,) = connection.execute(query, (name,)).fetchone()
    offset = 4096 * (number - 1)
    page = database.read_bytes()[offset : offset + 4096]
    assert page[0] == 0x0A, "the index has grown over its first page"
    return offset, page


async def _append_at_last(store: Store) -> Record:
    """As the clerk does: again and again until it is kept."""
    for _ in range(1_200):
        await asyncio.sleep(0.05)
        try:
            record = await store.append(secret(RECORDS))
        except StoreError:
            continue
        if record.index > RECORDS:
            return record
    raise AssertionError("the store did not come back")


def test_a_recovery_that_was_killed_begins_again(killed: Path, sample: Any) -> None:
    """The database was moved, the new one is half written."""
    folded(killed)
    aside = killed / "damaged-20260101T000000Z"
    aside.mkdir()
    (killed / "station.db").rename(aside / "station.db")
    (killed / "station.db.rebuilt").write_bytes(b"half")
    shutil.rmtree(killed / "journal")
    assert reopened(killed, sample[1])["kept"] == sample[1]


def test_private_parts_that_were_erased_do_not_come_back(killed: Path, sample: Any) -> None:
    async def erase() -> None:
        async with opened(killed) as store:
            assert await store.erase_private(range(10)) == 10

    asyncio.run(erase())
    overwrite(folded(killed), 0, bytes(4096))
    said = reopened(killed, [])
    assert said["continued"]

    async def plates() -> list[Any]:
        async with opened(killed) as store:
            return [(await store.record(n)).body for n in range(12)]  # type: ignore[union-attr]

    erased = ["erased" in body for body in asyncio.run(plates())]
    assert erased == [True] * 10 + [False] * 2
    assert "川A00003" not in b"".join(p.read_bytes() for p in killed.rglob("*.private")).decode()


def test_a_station_that_does_not_wait_has_its_store_at_once_and_loses_nothing(
    killed: Path,
) -> None:
    (killed / "damaged").write_text("found while it ran")
    health = Health(time.monotonic_ns)

    async def scenario() -> None:
        store = await Store.open(
            killed,
            station=STATION,
            signer=station_signer(killed),
            health=health,
            now_ns=time.time_ns,
            waits=False,
        )
        try:
            early = secret(RECORDS)
            assert not store.is_ready
            with pytest.raises(StoreError, match="recovered"):
                await store.append(early)
            await store.set_aside(early)
            while not store.is_ready:
                await asyncio.sleep(0.05)
            record = await store.take_next_aside()
            assert record is not None
            assert record.index == RECORDS + 1  # after the statement of the recovery
        finally:
            await store.close()

    asyncio.run(scenario())
    assert health.snapshot().states["recovery"].level is Level.WARNING
    key = station_signer(killed).verifier_key
    assert all(step.ok for step in verify_store(killed, key, lambda _done: None))


def test_why_a_record_was_refused_survives_a_recovery(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append_many([secret(n) for n in range(3)])
            await store.poison(1, "too large for the broker")
        with (tmp_path / "station.db").open("r+b") as database:
            database.write(bytes(4096))
        async with opened(tmp_path) as store:
            refused = (await store.standing()).refused
            assert [(each.index, each.reason) for each in refused] == [
                (1, "too large for the broker")
            ]

    asyncio.run(scenario())


def killed_at(step: str, directory: Path, patch: pytest.MonkeyPatch) -> None:
    """A recovery that does not come past a step, as if it were killed there."""

    def dies(*_: object) -> None:
        raise OSError("killed here")

    with patch.context() as patched:
        patched.setattr(f"edge.store.recovery.Recovery.{step}", dies)
        with pytest.raises(StoreError):
            asyncio.run(open_and_close(directory))


async def open_and_close(directory: Path) -> None:
    async with opened(directory):
        pass


def beyond_continuing(killed: Path) -> None:
    """Damage after which another log must begin."""
    tamper(killed, "DELETE FROM records WHERE idx = 17")
    tamper(killed, "DELETE FROM nodes WHERE position IN (17, 8, 4)")
    journal = killed / "journal" / "00000.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for n, line in enumerate(lines) if n != 17))
    (killed / "damaged").write_text("found by the check")
    connection = sqlite3.connect(folded(killed))
    connection.execute("VACUUM")
    connection.close()


def test_a_disk_that_refuses_a_recovery_is_not_filled_by_its_tries(
    killed: Path, sample: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    overwrite(folded(killed), 0, bytes(4096))
    for _ in range(3):
        killed_at("_put_in_place", killed, monkeypatch)
    assert reopened(killed, sample[1])["kept"] == sample[1]
    assert len(asides(killed)) == 1


def test_another_log_is_begun_once_though_killed_on_the_way(
    killed: Path, sample: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    beyond_continuing(killed)
    for _ in range(2):
        killed_at("_put_in_place", killed, monkeypatch)
    said = reopened(killed, sample[1])
    assert not said["continued"]
    assert said["records"] == RECORDS - 1
    assert said["new"].body["generation"] == 2
    assert len(asides(killed)) == 1


def test_a_recovery_killed_when_its_database_was_in_place_is_not_done_again(
    killed: Path, sample: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    beyond_continuing(killed)
    put_in_place = Recovery._put_in_place

    def then_dies(recovery: Recovery, path: Path) -> None:
        put_in_place(recovery, path)
        raise OSError("killed here")

    with monkeypatch.context() as patched:
        patched.setattr(Recovery, "_put_in_place", then_dies)
        with pytest.raises(StoreError):
            asyncio.run(open_and_close(killed))
    asyncio.run(open_and_close(killed))
    assert len(asides(killed)) == 1
    overwrite(folded(killed), 0, bytes(4096))  # damaged again: of the first log nothing comes back
    shutil.rmtree(killed / "journal")
    again = reopened(killed, [])
    assert again["continued"]
    assert again["new"].body["generation"] == 2
