"""Whatever is altered, removed or forged in a store is named by the right step."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.errors import ConfigError
from edge.evidence.merkle import Frontier, leaf_hash
from edge.evidence.note import Checkpoint, NoteSigner
from edge.evidence.statement import other_draft
from edge.store.verify import Step, verify_store
from tests.evidence.sample import centre, opened, receipt, station_signer, vehicle

RECORDS = 11


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store with records of several kinds, blobs and receipts."""
    directory = tmp_path_factory.mktemp("whole")
    asyncio.run(_fill(directory))
    return directory


async def _fill(directory: Path) -> None:
    signer = centre()
    async with opened(directory) as store:
        await store.append(other_draft("start", time_ns=0, fields={}))
        for n in range(RECORDS - 1):
            data = f"picture {n // 2}".encode() * 50
            blob = await store.put_blob(data, "picture", "image/jpeg")
            record = await store.append(vehicle(str(n % 2), verdict="over", blobs=(blob,)))
            if n % 3 == 0:
                assert await store.acknowledge(receipt(record, signer))


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return shutil.copytree(whole, tmp_path / "copy")


def outcomes(directory: Path, key: str | None = None) -> list[Step]:
    told: list[Step] = []
    steps = verify_store(directory, key, told.append)
    assert told == steps
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    return steps


def failing(directory: Path, key: str | None = None) -> list[int]:
    return [step.number for step in outcomes(directory, key) if not step.ok]


class Forger:
    """Somebody with the database file, its schema, and no scruples, but without the key."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.db = sqlite3.connect(directory / "station.db", isolation_level=None)
        for (name,) in self.db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
            self.db.execute(f"DROP TRIGGER {name}")

    def run(self, statement: str, *values: object) -> None:
        assert self.db.execute(statement, values).rowcount > 0

    def rewrite(self, index: int, old: bytes, new: bytes) -> None:
        """Change a record's bytes and nothing else."""
        query = "SELECT canonical FROM records WHERE idx = ?"
        (data,) = self.db.execute(query, (index,)).fetchone()
        assert old in data
        self.run("UPDATE records SET canonical = ? WHERE idx = ?", data.replace(old, new), index)

    def rehash_records(self) -> None:
        """Make the ids fit the bytes again."""
        for index, data in self.db.execute("SELECT idx, canonical FROM records").fetchall():
            record_id = leaf_hash(data).hex()
            self.run("UPDATE records SET record_id = ? WHERE idx = ?", record_id, index)
            self.db.execute("UPDATE outbox SET record_id = ? WHERE idx = ?", (record_id, index))

    def rebuild_tree(self) -> None:
        """Make the tree fit the ids again."""
        self.db.execute("DELETE FROM nodes")
        frontier = Frontier()
        for (record_id,) in self.db.execute("SELECT record_id FROM records ORDER BY idx"):
            frontier, nodes = frontier.append(bytes.fromhex(record_id))
            self.db.executemany("INSERT INTO nodes VALUES (?, ?, ?)", nodes)

    def rewrite_checkpoints(self, signer: NoteSigner) -> None:
        """Make the checkpoints fit the tree again, signed by somebody."""
        frontier = Frontier()
        for (record_id,) in self.db.execute("SELECT record_id FROM records ORDER BY idx"):
            frontier, _ = frontier.append(bytes.fromhex(record_id))
            text = Checkpoint("steelyard/S1", frontier.size, frontier.root()).text()
            self.run("UPDATE checkpoints SET note = ? WHERE size = ?",
                     signer.sign(text), frontier.size)  # fmt: skip

    def cut(self, kept: int) -> None:
        """Remove the newest records with their rows everywhere, except checkpoints and receipts."""
        self.db.execute("DELETE FROM outbox WHERE idx >= ?", (kept,))
        self.db.execute("DELETE FROM private WHERE idx >= ?", (kept,))
        self.db.execute("DELETE FROM records WHERE idx >= ?", (kept,))


@pytest.fixture
def forger(copy: Path) -> Iterator[Forger]:
    made = Forger(copy)
    yield made
    made.db.close()


def test_an_untouched_store_passes_every_step(whole: Path) -> None:
    key = station_signer(whole).verifier_key
    for given in (key, None):
        steps = outcomes(whole, given)
        assert len(steps) == 10
        assert all(step.ok for step in steps), steps
        assert all(step.title.zh and step.detail.en for step in steps)


def test_a_running_station_can_be_verified(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append(vehicle())
            steps = await asyncio.to_thread(outcomes, tmp_path)
            assert all(step.ok for step in steps), steps

    asyncio.run(scenario())


def test_a_store_on_a_medium_that_can_not_be_written(copy: Path) -> None:
    for path in (*copy.iterdir(), copy):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        assert failing(copy) == []
    finally:
        copy.chmod(0o755)


# ---------------------------------------------------------------------- one turned bit


def flip(path: Path, needle: bytes, offset: int) -> int:
    """Turn one bit in a file at every place where ``needle`` stands; how many there were."""
    data = bytearray(path.read_bytes())
    place, count = data.find(needle), 0
    while place >= 0:
        data[place + offset] ^= 1
        count += 1
        place = data.find(needle, place + len(needle))
    path.chmod(0o640)
    path.write_bytes(data)
    return count


def test_one_turned_bit_in_a_record(copy: Path) -> None:
    place_of_digit = len('"index":')
    assert flip(copy / "station.db", b'"index":4,"kind":"vehicle"', place_of_digit) > 0
    steps = outcomes(copy)
    assert [step.number for step in steps if not step.ok] == [2]
    assert "4" in steps[1].detail.en


@pytest.mark.parametrize(("level", "position"), [(0, 3), (1, 2), (3, 0)])
def test_one_turned_bit_in_the_tree(copy: Path, level: int, position: int) -> None:
    with sqlite3.connect(copy / "station.db") as db:
        (node,) = db.execute(
            "SELECT hash FROM nodes WHERE level = ? AND position = ?", (level, position)
        ).fetchone()
    db.close()
    assert flip(copy / "station.db", node, 5) == 1
    steps = outcomes(copy)
    assert [step.number for step in steps if not step.ok] == [3]
    assert f"({level}, {position})" in steps[2].detail.en


def test_one_turned_bit_in_a_checkpoints_root(copy: Path) -> None:
    with sqlite3.connect(copy / "station.db") as db:
        (note,) = db.execute("SELECT note FROM checkpoints WHERE size = 5").fetchone()
    db.close()
    root = note.split("\n")[2].encode()
    assert flip(copy / "station.db", root, 3) == 1
    assert failing(copy) == [4, 5]


def test_one_turned_bit_in_a_signature(copy: Path) -> None:
    with sqlite3.connect(copy / "station.db") as db:
        (note,) = db.execute("SELECT note FROM checkpoints WHERE size = 5").fetchone()
    db.close()
    signature = note.strip().rpartition(" ")[2].encode()
    assert flip(copy / "station.db", signature, 20) == 1
    steps = outcomes(copy)
    assert {5} <= {step.number for step in steps if not step.ok} <= {4, 5}
    assert "size 5" in steps[4].detail.en


def test_one_turned_bit_in_a_blob(copy: Path) -> None:
    blob = next(path for path in copy.glob("blobs/??/*") if b"picture 3" in path.read_bytes())
    flip(blob, b"picture 3" * 50, 7)
    steps = outcomes(copy)
    assert [step.number for step in steps if not step.ok] == [6]
    assert blob.name in steps[5].detail.zh


def test_a_removed_or_longer_blob(copy: Path) -> None:
    first, second, *_ = sorted(copy.glob("blobs/??/*"))
    data = first.read_bytes()
    first.unlink()
    assert failing(copy) == [6]
    first.write_bytes(data)
    assert failing(copy) == []
    second.chmod(0o640)
    second.write_bytes(second.read_bytes() + b"!")
    assert failing(copy) == [6]


@pytest.mark.parametrize("size", [0, 100, 5_000, 20_000])
def test_a_cut_or_broken_database(copy: Path, size: int) -> None:
    path = copy / "station.db"
    path.write_bytes(path.read_bytes()[:size])
    steps = outcomes(copy)
    assert (len(steps), steps[0].ok) == (1, False)


def test_no_database_at_all(tmp_path: Path) -> None:
    steps = outcomes(tmp_path)
    assert (len(steps), steps[0].ok) == (1, False)
    (tmp_path / "station.db").write_bytes(b"rubbish" * 999)
    assert failing(tmp_path) == [1]


# ---------------------------------------------------------------------- a forger at work


def test_a_forger_is_driven_from_step_to_step(forger: Forger) -> None:
    """Each repair of the forger's moves the finding one step on, until he lacks the key."""
    forger.rewrite(6, b'"kind":"over"', b'"kind":"ever"')
    assert failing(forger.directory)[0] == 2
    forger.run("UPDATE records SET verdict = 'ever' WHERE idx = 6")
    forger.rehash_records()
    assert failing(forger.directory)[0] == 3
    forger.rebuild_tree()
    assert failing(forger.directory)[0] == 4
    forger.rewrite_checkpoints(NoteSigner("steelyard/S1", Ed25519PrivateKey.generate()))
    assert failing(forger.directory)[0] == 5


def test_a_stolen_key_file_is_not_the_trusted_key(forger: Forger) -> None:
    """Whoever replaces the key too passes without a trusted key, and fails with it."""
    trusted = station_signer(forger.directory).verifier_key
    thief = NoteSigner("steelyard/S1", Ed25519PrivateKey.generate())
    forger.rewrite(6, b'"over"', b'"ever"')
    forger.run("UPDATE records SET verdict = 'ever' WHERE idx = 6")
    forger.rehash_records()
    forger.rebuild_tree()
    forger.rewrite_checkpoints(thief)
    assert failing(forger.directory, thief.verifier_key) == []
    assert failing(forger.directory, trusted) == [5]


def test_records_cut_off_at_the_end_are_missed_by_the_checkpoint(forger: Forger) -> None:
    forger.cut(8)
    assert {3, 4} <= set(failing(forger.directory))
    forger.rebuild_tree()
    steps = outcomes(forger.directory)
    assert next(step.number for step in steps if not step.ok) == 4
    assert "size 9" in steps[3].detail.en


def test_records_and_checkpoints_cut_off_are_missed_by_the_receipt(forger: Forger) -> None:
    forger.cut(8)
    forger.rebuild_tree()
    forger.run("DELETE FROM checkpoints WHERE size > 8")
    assert failing(forger.directory) == [8]
    forger.run("DELETE FROM receipts WHERE idx >= 8")
    forger.run("UPDATE receipts SET tree_size = 11 WHERE idx = 1")
    steps = outcomes(forger.directory)
    assert [step.number for step in steps if not step.ok] == [8]
    assert "saw 11 records" in steps[7].detail.en


TAMPERINGS: dict[str, tuple[list[int], str]] = {
    "a record in the middle": ([2, 3, 4, 7, 9], "DELETE FROM records WHERE idx = 5"),
    "an id": ([2, 3, 4, 8], "UPDATE records SET record_id = 'zz' WHERE idx = 2"),
    "a lane column": ([2, 7], "UPDATE records SET lane = '9' WHERE idx = 5"),
    "a time column": ([2], "UPDATE records SET time_us = 9 WHERE idx = 2"),
    "a verdict column": ([2], "UPDATE records SET verdict = 'x' WHERE idx = 2"),
    "the station": ([2, 4], "UPDATE station SET id = 'S2'"),
    "no station": ([2, 4], "DELETE FROM station"),
    "a node": ([3], "DELETE FROM nodes WHERE level = 2 AND position = 1"),
    "one node more": ([3], "INSERT INTO nodes VALUES (9, 9, x'00')"),
    "the last checkpoint": ([4], "DELETE FROM checkpoints WHERE size = 11"),
    "a note": ([4, 5], "UPDATE checkpoints SET note = 'x' WHERE size = 3"),
    "a checkpoint elsewhere": ([4], "UPDATE OR REPLACE checkpoints SET size = 3 WHERE size = 4"),
    "a receipt's id": ([8], "UPDATE receipts SET record_id = 'x' WHERE idx = 1"),
    "a receipt's note": ([8], "UPDATE receipt_notes SET note = 'x' WHERE id = 1"),
    "a note of its own": ([8], "UPDATE receipts SET note = 'x' WHERE idx = 1"),
    "another receipt's note": ([8], "UPDATE receipts SET note_id = 2 WHERE idx = 1"),
    "a delivery that is dropped": ([8], "DELETE FROM outbox WHERE idx = 2"),
    "another private part": ([9], "UPDATE private SET data = x'7b7d' WHERE idx = 2"),
    "a private part of nothing": ([9], "INSERT INTO private VALUES (0, x'7b7d')"),
    "a receipt's size": ([8], "UPDATE receipts SET tree_size = 1 WHERE idx = 4"),
    "a receipt of nothing": ([8], "UPDATE receipts SET idx = 99 WHERE idx = 4"),
}


@pytest.mark.parametrize(("steps", "statement"), TAMPERINGS.values(), ids=list(TAMPERINGS))
def test_tampering_is_named(forger: Forger, steps: list[int], statement: str) -> None:
    forger.db.execute("PRAGMA foreign_keys = OFF")
    forger.run(statement)
    assert failing(forger.directory) == steps


@pytest.mark.parametrize("statement", ["DROP TABLE station", "PRAGMA application_id = 7"])
def test_a_database_that_is_no_store(forger: Forger, statement: str) -> None:
    forger.db.execute(statement)
    assert failing(forger.directory) == [1]


# ---------------------------------------------------------------------- keys


def test_without_any_key_the_signatures_stay_open(copy: Path) -> None:
    (copy / "station.key").unlink()
    assert failing(copy) == [5]


def test_a_wrong_trusted_key(whole: Path) -> None:
    stranger = NoteSigner("steelyard/S1", Ed25519PrivateKey.generate())
    assert failing(whole, stranger.verifier_key) == [5]


def test_a_malformed_trusted_key_is_the_callers_mistake(whole: Path) -> None:
    with pytest.raises(ConfigError, match="verifier key"):
        verify_store(whole, "nonsense", lambda _step: None)
