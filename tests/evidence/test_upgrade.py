"""A store of the first release is taken over without loss, and can be read as it is."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest

from edge.evidence.note import NoteSigner, NoteVerifier
from edge.evidence.receipt import FIRST_SCHEMA, Receipt
from edge.store import schema
from edge.store.migrations import MIGRATIONS
from edge.store.verify import verify_store
from tests.evidence.sample import centre, opened, receipt, vehicle

FIRST_RELEASE = Path(__file__).parents[1] / "golden" / "store_of_the_first_release"
CENTRE_KEY = (FIRST_RELEASE / "centre.pub").read_text().strip()
RECORDS = 11
RECEIPTED = {1, 2, 3, 6}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the store, its key closed to others as it was."""
    directory = shutil.copytree(FIRST_RELEASE, tmp_path / "old")
    (directory / "station.key").chmod(0o600)
    return directory


def everything(directory: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that the first release kept, row by row."""
    with sqlite3.connect(directory / "station.db") as db:
        kept = {
            "records": "SELECT * FROM records ORDER BY idx",
            "nodes": "SELECT * FROM nodes ORDER BY level, position",
            "checkpoints": "SELECT * FROM checkpoints ORDER BY size",
            "outbox": "SELECT idx, record_id, urgent, size_bytes, enqueued_ns, attempts, poisoned"
            " FROM outbox ORDER BY idx",
            "receipts": "SELECT idx, record_id, attempts, received_us, tree_size, note"
            " FROM receipts ORDER BY idx",
        }
        rows = {table: db.execute(query).fetchall() for table, query in kept.items()}
    db.close()
    return rows


def whole(directory: Path) -> None:
    steps = verify_store(directory, None, lambda _: None, centre_key=CENTRE_KEY)
    assert len(steps) == 10
    assert all(step.ok for step in steps), [step for step in steps if not step.ok]


def test_it_is_verified_as_it_is(old: Path) -> None:
    before = (old / "station.db").read_bytes()
    whole(old)
    assert (old / "station.db").read_bytes() == before


def test_it_is_brought_on_without_loss_and_continued(old: Path) -> None:
    before = everything(old)
    assert len(before["records"]) == RECORDS

    async def scenario() -> None:
        async with opened(old, signer=NoteSigner.load(old / "station.key")) as store:
            plates = [r.body["plate"]["text"] for r in await store.latest(limit=20)]
            assert plates == ["川A12345"] * 9
            waiting = {entry.index for entry in await store.outbox(100)}
            assert waiting == set(range(RECORDS)) - RECEIPTED - {4}
            assert (await store.delivery(4)).poisoned == "too large"
            record = await store.append(vehicle("0"))
            assert (record.index, record.body["passage"]) == (RECORDS, 6)
            batch = await store.batch(100, 1_000_000)
            assert batch is not None
            assert RECORDS in batch.indices

    asyncio.run(scenario())
    after = everything(old)
    for table, rows in before.items():
        assert set(rows) <= set(after[table]), table
    whole(old)


def test_its_receipts_are_read_by_todays_code(old: Path) -> None:
    notes = [row[-1] for row in everything(old)["receipts"]]
    assert len(notes) == len(RECEIPTED)
    for note in notes:
        assert isinstance(note, str)
        assert note.startswith(FIRST_SCHEMA)
        (found,) = Receipt.decode_all(note.encode(), NoteVerifier(CENTRE_KEY), "S1")
        assert found.index in RECEIPTED
    forged = notes[0].replace('"stored"', '"stored "')
    with pytest.raises(ValueError, match="wrong"):
        Receipt.decode_all(forged.encode(), NoteVerifier(CENTRE_KEY))


def test_its_files_are_known_by_the_kind_of_their_records(old: Path) -> None:
    connection = schema.connect_writer(old / "station.db")
    schema.migrate(connection)
    uses = connection.execute(
        "SELECT idx, class, role, sha256, size_bytes FROM blob_uses ORDER BY idx, role"
    ).fetchall()
    connection.close()
    assert {use[0] for use in uses if use[1] == "config"} == {0}
    assert {use[0] for use in uses if use[1] == "lawful"} == {2, 5, 8}
    assert len(uses) == 1 + 2 * 9
    for *_, sha256, size in uses:
        assert (old / "blobs" / sha256[:2] / sha256).stat().st_size == size


def test_an_upgrade_that_is_broken_off_is_done_again(old: Path) -> None:
    """Half of the step, then the end of the process: the next start finds the first version."""
    before = everything(old)
    connection = schema.connect_writer(old / "station.db")
    half = MIGRATIONS[1][: MIGRATIONS[1].index("CREATE TABLE commands")]
    connection.executescript(f"BEGIN IMMEDIATE; {half}")
    connection.close()
    assert everything(old) == before

    async def scenario() -> None:
        async with opened(old, signer=NoteSigner.load(old / "station.key")) as store:
            record = await store.record(5)
            assert record is not None
            assert await store.acknowledge(receipt(record, centre()))

    asyncio.run(scenario())
