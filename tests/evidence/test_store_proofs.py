"""What the store gives out as proof, what it can forget, and what it takes from the centre."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.errors import IntegrityError
from edge.evidence.batch import EnvelopeBatch
from edge.evidence.cosignature import Cosigner
from edge.evidence.envelope import Envelope, verify_checkpoint, verify_envelope, verify_record
from edge.evidence.merkle import verify_consistency
from edge.evidence.note import Checkpoint, NoteSigner, NoteVerifier, split_note
from edge.evidence.receipt import Receipt, encode_receipts
from edge.evidence.removal import removal_hash
from edge.evidence.sm2 import Sm2Signer
from edge.evidence.statement import other_draft
from edge.records import Draft, Record
from edge.store.log import StationLog
from edge.store.store import Store
from edge.store.verify import Step, verify_store
from tests.evidence.sample import STATION, centre, opened, station_signer, vehicle

CENTRE = centre()
COSIGNER = Cosigner(CENTRE)


def run(directory: Path, scenario: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with opened(directory) as store:
            await scenario(store)

    asyncio.run(whole())


def steps(directory: Path, **keys: Any) -> list[Step]:
    keys = {"centre_key": CENTRE.verifier_key} | keys
    key = station_signer(directory).verifier_key
    return verify_store(directory, key, lambda _: None, **keys)


def failing(directory: Path, **keys: Any) -> list[int]:
    return [step.number for step in steps(directory, **keys) if not step.ok]


def own_key(directory: Path) -> NoteVerifier:
    return NoteVerifier(station_signer(directory).verifier_key)


def receipts(records: list[Record]) -> list[Receipt]:
    """One note of the centre for all of them, as it arrives."""
    answers = [
        Receipt(r.record_id, r.index, "stored", "", 7, records[-1].index + 1, station=STATION)
        for r in records
    ]
    data = encode_receipts(answers, CENTRE)
    return Receipt.decode_all(data, NoteVerifier(CENTRE.verifier_key), STATION)


# ---------------------------------------------------------------------- sealing many


def test_many_are_sealed_in_one_commit_or_none(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        records = await store.append_many([vehicle(str(n % 2)) for n in range(10)])
        assert [record.index for record in records] == list(range(10))
        assert [record.body["passage"] for record in records] == [n // 2 + 1 for n in range(10)]
        head = await store.head()
        assert head is not None
        assert head.checkpoint.size == 10
        with pytest.raises(ValueError, match="time_us"):
            await store.append_many([vehicle(), replace(vehicle(), body={})])
        assert (await store.append(vehicle("0"))).index == 10

    run(tmp_path, scenario)
    assert failing(tmp_path) == []


# ---------------------------------------------------------------------- what can be forgotten


def test_an_erased_plate_is_gone_and_the_log_still_holds(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        record = await store.append(vehicle(private_marker="stays"))
        kept = await store.append(vehicle())
        before = Envelope.decode(await store.envelope(record.index))
        assert verify_envelope(before, own_key(tmp_path))["plate"] == {"text": "川A12345"}
        assert await store.erase_private([record.index, 99]) == 1
        assert await store.erase_private([record.index]) == 0
        after = await store.record(record.index)
        assert after is not None
        assert (after.body["plate"]["join"], after.body["erased"]) == ("erased", True)
        assert (after.canonical, after.record_id) == (record.canonical, record.record_id)
        sent = Envelope.decode(await store.envelope(record.index))
        assert sent.private is None
        assert verify_envelope(sent, own_key(tmp_path))["plate"]["text"] == ""
        again = await store.record(kept.index)
        assert again is not None
        assert again.body["plate"] == {"text": "川A12345"}

    run(tmp_path, scenario)
    assert failing(tmp_path) == []
    assert "1 erased" in steps(tmp_path)[8].detail.en


def test_what_is_erased_is_overwritten_on_the_disk(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        secret = replace(vehicle(), private={"plate": {"text": "川A-SECRET-77"}})
        record = await store.append(secret)
        await store.erase_private([record.index])

    run(tmp_path, scenario)
    assert b"SECRET-77" not in (tmp_path / "station.db").read_bytes()


def test_another_records_private_part_is_refused(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        await store.append_many([vehicle(), vehicle()])
        a, b = [Envelope.decode(await store.envelope(n)) for n in (0, 1)]
        with pytest.raises(IntegrityError) as caught:
            verify_envelope(replace(a, private=b.private), own_key(tmp_path))
        assert caught.value.step == "private"

    run(tmp_path, scenario)


# ---------------------------------------------------------------------- batches


def test_a_batch_is_the_backlog_under_one_checkpoint(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        assert await store.batch(10, 10_000) is None
        for n in range(20):
            await store.append(vehicle(verdict="over" if n % 5 == 0 else "within"))
        await store.poison(3, "too large")
        batch = await store.batch(8, 1_000_000, {1, 2})
        assert batch is not None
        assert batch.indices == (4, 6, 7, 8, 9, 11, 12, 13)
        head = await store.head()
        assert head is not None
        assert batch.checkpoint_note == head.note
        decoded = EnvelopeBatch.decode(batch.encode())
        checkpoint = verify_checkpoint(decoded.checkpoint_note, own_key(tmp_path))
        bodies = [(await store.record(index)).body for index in batch.indices]  # type: ignore[union-attr]
        assert [verify_record(envelope, checkpoint) for envelope in decoded.envelopes] == bodies

    run(tmp_path, scenario)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("room", [1, 3_000, 6_000, 20_000])
def test_a_batch_keeps_to_its_bytes(tmp_path: Path, room: int, joint: bool) -> None:
    async def scenario(store: Store) -> None:
        await store.append_many([vehicle(note="x" * (n * 37 % 300)) for n in range(40)])

        def size_of(batch: EnvelopeBatch) -> int:
            return len(batch.encode_joint() if joint else batch.encode())

        batch = await store.batch(40, room, joint=joint)
        assert batch is not None
        size = size_of(batch)
        assert size <= room or len(batch.envelopes) == 1
        longer = await store.batch(len(batch.envelopes) + 1, 1_000_000)
        assert longer is not None
        assert len(batch.envelopes) == 40 or size_of(longer) > room - 2_500

    run(tmp_path, scenario)


def test_one_bad_record_leaves_the_others_of_its_batch(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        await store.append_many([vehicle() for _ in range(3)])
        batch = await store.batch(3, 1_000_000)
        assert batch is not None
        first, middle, last = batch.envelopes
        spoiled = replace(middle, record_bytes=first.record_bytes)
        checkpoint = verify_checkpoint(batch.checkpoint_note, own_key(tmp_path))
        for envelope in (first, last):
            verify_record(envelope, checkpoint)
        with pytest.raises(IntegrityError):
            verify_record(spoiled, checkpoint)
        stranger = NoteSigner("steelyard/S1", Ed25519PrivateKey.generate())
        with pytest.raises(IntegrityError) as caught:
            verify_checkpoint(batch.checkpoint_note, NoteVerifier(stranger.verifier_key))
        assert caught.value.step == "signature"

    run(tmp_path, scenario)


# ---------------------------------------------------------------------- receipts and the witness


def test_one_note_ends_many_deliveries_and_is_kept_once(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        records = await store.append_many([vehicle() for _ in range(50)])
        answers = receipts(records)
        lied = replace(answers[7], record_id="ab" * 32)
        assert await store.acknowledge_many([*answers[:7], lied, *answers[8:]]) == [
            n for n in range(50) if n != 7
        ]
        assert await store.acknowledge_many(answers) == [7]
        assert await store.acknowledge_many(answers) == []
        assert (await store.outbox_summary()).waiting == 0
        refused = replace(answers[0], status="refused")
        assert await store.acknowledge_many([refused]) == []

    run(tmp_path, scenario)
    assert failing(tmp_path) == []
    stranger = centre()
    assert failing(tmp_path, centre_key=stranger.verifier_key) == [8]
    with sqlite3.connect(tmp_path / "station.db") as db:
        assert db.execute("SELECT count(*) FROM receipt_notes").fetchone() == (2,)
    db.close()


def test_cosignatures_come_back_and_are_kept(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        assert await store.cosigned_size() == 0
        heads = []
        for _ in range(7):
            await store.append(vehicle())
            head = await store.head()
            assert head is not None
            heads.append(head)
        for head, time_s in ((heads[2], 5), (heads[5], 9)):
            line = COSIGNER.cosign(split_note(head.note)[0], time_s)
            assert await store.keep_cosignature(head.checkpoint.size, time_s, line)
            assert not await store.keep_cosignature(head.checkpoint.size, time_s + 1, line)
        assert await store.cosigned_size() == 6
        assert not await store.keep_cosignature(99, 1, "x")
        proof = await store.consistency(3, 6)
        old, new = heads[2].checkpoint, heads[5].checkpoint
        assert verify_consistency(3, 6, proof, old.root, new.root)
        for wrong in ((6, 3), (3, 99)):
            with pytest.raises(IntegrityError):
                await store.consistency(*wrong)

    run(tmp_path, scenario)
    assert failing(tmp_path) == []
    assert failing(tmp_path, centre_key=centre().verifier_key) == [10]
    forge(tmp_path, "UPDATE cosignatures SET time_s = 6 WHERE size = 3")
    assert failing(tmp_path) == [10]
    assert failing(tmp_path, centre_key=None) == [10]


def test_a_command_is_taken_once_also_after_a_restart(tmp_path: Path) -> None:
    def done(_log: StationLog) -> Draft:
        return vehicle()

    async def first(store: Store) -> None:
        assert await store.take_command(5, "done", done)
        assert not await store.take_command(5, "done", done)
        assert not await store.take_command(4, "done", done)

    async def second(store: Store) -> None:
        assert not await store.take_command(5, "done", done)
        assert await store.take_command(6, "done", done)

    run(tmp_path, first)
    run(tmp_path, second)


# ---------------------------------------------------------------------- verification


def forge(directory: Path, statement: str, *values: object) -> None:
    db = sqlite3.connect(directory / "station.db", isolation_level=None)
    for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    assert db.execute(statement, values).rowcount > 0
    db.close()


def test_a_file_may_be_missing_only_by_a_sealed_rule(tmp_path: Path) -> None:
    gone: list[str] = []

    async def scenario(store: Store) -> None:
        for n in range(3):
            blob = await store.put_blob(f"picture {n}".encode(), "picture", "image/jpeg")
            await store.append(vehicle(blobs=(blob,)))
            gone.append(blob.sha256)
        fields = {"blobs_sha256": removal_hash(gone[:2])}
        await store.append(other_draft("retention", time_ns=0, fields=fields))
        for sha256 in gone[:2]:
            store.blob_path(sha256).unlink()

    run(tmp_path, scenario)
    assert failing(tmp_path) == [6]
    for sha256 in gone[:2]:
        forge(tmp_path, "INSERT INTO dropped VALUES (?, 9, 3)", sha256)
    assert failing(tmp_path) == []
    assert "2 removed by rule" in steps(tmp_path)[5].detail.en
    (tmp_path / "blobs" / gone[2][:2] / gone[2]).unlink()
    assert failing(tmp_path) == [6]
    forge(tmp_path, "INSERT INTO dropped VALUES (?, 9, 3)", gone[2])
    assert failing(tmp_path) == [6]
    forge(tmp_path, "UPDATE dropped SET idx = 1")
    assert failing(tmp_path) == [6]


def test_a_record_may_be_lost_only_where_a_statement_names_it(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        await store.append_many([vehicle() for _ in range(4)])
        fields = {"lost_sha256": removal_hash(["1", "2"])}
        await store.append(other_draft("recovered", time_ns=0, fields=fields))

    run(tmp_path, scenario)
    forge(tmp_path, "INSERT INTO lost SELECT position, hash FROM nodes"
          " WHERE level = 0 AND position IN (1, 2)")  # fmt: skip
    for table in ("outbox", "private", "records"):
        forge(tmp_path, f"DELETE FROM {table} WHERE idx IN (1, 2)")
    assert failing(tmp_path) == []
    assert "2 more by their hash" in steps(tmp_path)[1].detail.en
    for table in ("outbox", "private", "records"):
        forge(tmp_path, f"DELETE FROM {table} WHERE idx = 3")
    assert {2, 3} <= set(failing(tmp_path))
    forge(tmp_path, "INSERT INTO lost SELECT 3, hash FROM nodes WHERE level = 0 AND position = 3")
    assert failing(tmp_path) == [2]


def test_second_signatures_are_checked_from_where_they_begin(tmp_path: Path) -> None:
    second = Sm2Signer.load_or_create(tmp_path / "sm2.key", "steelyard/S1")
    plain = station_signer(tmp_path)
    both = NoteSigner(plain.name, plain.key, second)

    async def scenario() -> None:
        for signer in (plain, both, both, plain):
            async with opened(tmp_path, signer=signer) as store:
                await store.append(vehicle())

    asyncio.run(scenario())
    assert failing(tmp_path) == []
    assert "SM2" in steps(tmp_path)[4].detail.en
    assert failing(tmp_path, second_key=second.verifier_key) == []
    other = Sm2Signer.load_or_create(tmp_path / "other.key", "steelyard/S1")
    assert failing(tmp_path, second_key=other.verifier_key) == [5]
    with sqlite3.connect(tmp_path / "station.db") as db:
        (note,) = db.execute("SELECT note FROM checkpoints WHERE size = 2").fetchone()
    db.close()
    text = split_note(note)[0]
    forge(tmp_path, "UPDATE checkpoints SET note = ? WHERE size = 2", plain.sign(text))
    assert failing(tmp_path) == [5]


def test_a_line_by_a_stranger_does_not_hide_under_a_checkpoint(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        await store.append(vehicle())

    run(tmp_path, scenario)
    line = COSIGNER.cosign(Checkpoint("steelyard/S1", 1, bytes(32)).text(), 1)
    forge(tmp_path, "UPDATE checkpoints SET note = note || ? WHERE size = 1", f"{line}\n")
    assert failing(tmp_path) == [5]
