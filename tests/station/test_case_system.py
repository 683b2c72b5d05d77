"""Records at the case system's door: what it keeps, what it answers, what it refuses."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.evidence.batch import JOINT_SCHEMA
from edge.evidence.note import NoteSigner, NoteVerifier
from edge.evidence.receipt import Receipt
from edge.records import Blob
from edge.uplink.blobs import BlobState, Manifest
from edge.uplink.topics import Presence, Reads, Topics
from simulator import case_records
from simulator.case_store import Log
from tests.station.case_desk import STATION, TOPICS, Desk, StationLog, message


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with contextlib.closing(Desk(tmp_path / "centre")) as desk:
        yield desk


@pytest.fixture
def log(desk: Desk) -> StationLog:
    log = StationLog()
    desk.trusts(log)
    return log


def blob_of(data: bytes, *, deliver: bool = True) -> Blob:
    return Blob("picture", "image/jpeg", hashlib.sha256(data).hexdigest(), len(data), deliver)


def bring(desk: Desk, data: bytes, topics: Topics = TOPICS) -> None:
    """A blob as one piece."""
    sha256 = hashlib.sha256(data).hexdigest()
    manifest = Manifest(sha256, len(data), len(data), (sha256,))
    desk.take(topics.manifest(sha256), manifest.encode())
    desk.take(topics.chunk(sha256, 0), data)


def test_a_record_is_answered_once_its_key_and_its_blobs_are_here(desk: Desk) -> None:
    log = StationLog()
    picture, archive = os.urandom(5_000), b"stays at the station"
    record = log.append(blobs=(blob_of(picture), blob_of(archive, deliver=False)))
    payload = log.envelope().encode()
    assert desk.take(TOPICS.record, payload) == []
    desk.trusts(log)
    state = desk.blob(TOPICS.record, payload)
    assert state == BlobState(record.blobs[0].sha256, "missing")
    assert (desk.count("waiting_for_key"), desk.count("waiting_for_blobs")) == (1, 1)
    bring(desk, picture)
    [receipt] = desk.receipts(TOPICS.record, payload)
    assert (receipt.status, receipt.record_id) == ("stored", record.record_id)
    assert (receipt.index, receipt.tree_size, receipt.station) == (0, 1, STATION)
    assert desk.receipts(TOPICS.record, payload)[0].status == "stored"
    assert (desk.store.duplicates, len(desk.store.records(STATION))) == (1, 1)
    assert desk.store.records(STATION)[0].body == record.body
    assert desk.store.verify() == []


def test_a_batch_is_answered_with_one_note(desk: Desk, log: StationLog) -> None:
    log.append(50)
    [said] = desk.take(TOPICS.records, log.batch())
    receipts = desk.read_receipts(said)
    assert [(r.index, r.record_id, r.status) for r in receipts] == [
        (r.index, r.record_id, "stored") for r in log.records
    ]
    assert len({r.note for r in receipts}) == 1
    assert desk.store.verify() == []


def test_one_turn_answers_all_messages_of_a_station_together(desk: Desk, log: StationLog) -> None:
    log.append(30)
    other = StationLog("S2")
    desk.trusts(other)
    other.append(3)
    said = desk.intake.take(
        [
            message(TOPICS.records, log.batch(0, 10)),
            message(Topics("S2").records, other.batch()),
            *(message(TOPICS.record, log.envelope(i).encode()) for i in range(10, 20)),
            message(TOPICS.records, log.batch(5, 30)),
        ]
    )
    assert [note.topic for note in said] == [TOPICS.receipt, Topics("S2").receipt]
    assert {r.index for r in desk.read_receipts(said[0])} == set(range(30))
    assert desk.store.duplicates == 15


def test_a_batch_keeps_what_can_be_kept(desk: Desk, log: StationLog) -> None:
    """One record waits for its blob, one has a wrong proof: the others are not held up."""
    log.append(2)
    log.append(blobs=(blob_of(b"not here"),))
    log.append(3)
    batch = json.loads(log.batch())
    batch["records"][4]["proof"] = batch["records"][3]["proof"]
    payload = json.dumps(batch, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    receipts = desk.receipts(TOPICS.records, payload)
    assert [r.index for r in receipts] == [0, 1, 3, 5]
    bring(desk, b"not here")
    assert {r.index for r in desk.receipts(TOPICS.records, log.batch())} == set(range(6))


def test_one_proof_for_all_proves_all_or_nothing(desk: Desk, log: StationLog) -> None:
    log.append(5)
    good = log.batch(joint=True)
    place = good.rindex(b"time_us")
    assert desk.take(TOPICS.records, good[:place] + b"T" + good[place + 1 :]) == []
    assert {refusal.reason for refusal in desk.store.refusals()} == {"inclusion"}
    assert len(desk.receipts(TOPICS.records, good)) == len(log.records)
    assert len(desk.receipts(TOPICS.records, log.batch())) == len(log.records)
    assert desk.store.duplicates == len(log.records)
    assert desk.store.verify() == []


def test_a_station_that_comes_online_is_told_what_is_read(desk: Desk) -> None:
    [said] = desk.take(TOPICS.state, Presence("online").encode())
    assert (said.topic, Reads.decode(said.payload).schemas) == (TOPICS.reads, (JOINT_SCHEMA,))
    assert desk.take(TOPICS.state, Presence("offline", "lost").encode()) == []


def test_more_than_a_note_answers_is_answered_in_several(desk: Desk, log: StationLog) -> None:
    log.append(501)
    said = desk.intake.take(
        [message(TOPICS.records, log.batch(0, 500)), message(TOPICS.records, log.batch(500))]
    )
    assert [len(desk.read_receipts(note)) for note in said] == [500, 1]


def test_private_parts_are_kept_and_one_that_is_left_out_ends_nothing(
    desk: Desk, log: StationLog
) -> None:
    """Whoever carries a record could leave its plate out; it would be lost with a receipt."""
    log.append(private={"plate": "冀B12345"})
    whole = log.envelope()
    foreign = log.branch(0).append(private={"plate": "冀B99999"}).private
    for private in (None, foreign):
        stripped = dataclasses.replace(whole, private=private)
        assert desk.receipts(TOPICS.record, stripped.encode()) == []
    assert {r.reason for r in desk.store.refusals()} == {"private"}
    [receipt] = desk.receipts(TOPICS.record, whole.encode())
    assert receipt.status == "stored"
    assert desk.store.records(STATION)[0].body["plate"] == "冀B12345"
    assert desk.store.verify() == []
    desk.store.database.execute("UPDATE records SET private = NULL")
    assert desk.store.records(STATION)[0].body["erased"] is True
    assert desk.store.verify() == []


def test_a_damaged_envelope_is_neither_kept_nor_answered(desk: Desk, log: StationLog) -> None:
    """A copy with a wrong proof must not end the delivery of a good record, so no ``refused``."""
    log.append(2)
    envelope = log.envelope()
    good = envelope.encode()
    other_key = dataclasses.replace(log, key=StationLog().key)
    damaged = {
        "format": good[: len(good) // 2],
        "inclusion": dataclasses.replace(envelope, proof=(os.urandom(32),)).encode(),
        "signature": dataclasses.replace(envelope, checkpoint_note=other_key.note()).encode(),
    }
    flipped = bytearray(envelope.record_bytes)
    flipped[20] ^= 1
    tampered = dataclasses.replace(envelope, record_bytes=bytes(flipped)).encode()
    for payload in (*damaged.values(), tampered, b"", b"[]", b"\xff", b'{"schema":1}'):
        assert desk.take(TOPICS.record, payload) == []
        assert desk.take(TOPICS.records, payload) == []
    assert desk.store.records(STATION) == []
    assert {r.reason for r in desk.store.refusals()} == damaged.keys()
    assert desk.receipts(TOPICS.record, good)[0].status == "stored"


def test_a_record_in_another_stations_name_is_not_kept(desk: Desk, log: StationLog) -> None:
    log.append()
    desk.trusts(StationLog("S2"))
    assert desk.take(Topics("S2").record, log.envelope().encode()) == []
    assert desk.take(Topics("S2").records, log.batch()) == []
    assert desk.store.records("S2") == []


def test_a_receipt_of_one_station_serves_no_other(desk: Desk, log: StationLog) -> None:
    log.append()
    [said] = desk.take(TOPICS.record, log.envelope().encode())
    with pytest.raises(ValueError, match=STATION):
        Receipt.decode_all(said.payload, NoteVerifier(desk.signer.verifier_key), "S2")


@pytest.mark.parametrize(
    ("record_bytes", "step"),
    [
        (b'{"a": 1}', "canonical"),
        (
            b'{"blobs":[],"index":5,"kind":"note","schema":"x","station":"S1","time_us":1}',
            "number",
        ),
        (
            b'{"blobs":[],"index":0,"kind":"note","schema":"x","station":"S2","time_us":1}',
            "number",
        ),
    ],
)
def test_what_a_station_signed_but_is_wrong_is_refused(
    desk: Desk, log: StationLog, record_bytes: bytes, step: str
) -> None:
    record = log.append_bytes(record_bytes)
    [receipt] = desk.receipts(TOPICS.record, log.envelope().encode())
    assert (receipt.status, receipt.reason) == ("refused", step)
    assert receipt.record_id == record.record_id
    assert desk.store.records(STATION) == []


def test_a_log_with_two_histories_is_refused(desk: Desk, log: StationLog) -> None:
    other = log.branch()
    log.append(2)
    other.append(3)
    assert desk.receipts(TOPICS.record, log.envelope(0).encode())[0].status == "stored"
    [number] = desk.receipts(TOPICS.record, other.envelope(0).encode())
    [root] = desk.receipts(TOPICS.record, other.envelope(1, size=2).encode())
    assert (number.status, root.status) == ("refused", "refused")
    assert number.reason.startswith("fork: another record")
    assert root.reason.startswith("fork: two roots")
    [alarm] = desk.alarms()
    assert (alarm.name, alarm.known, alarm.note) == ("fork", log.note(), other.note())
    assert len(desk.store.records(STATION)) == 1


def test_verify_finds_a_checkpoint_that_is_not_that_of_the_records(
    desk: Desk, log: StationLog
) -> None:
    """A fork that showed no record twice: found as soon as the records are all here."""
    other = log.branch()
    other.append(4)
    log.append(6)
    desk.receipts(TOPICS.record, other.envelope(3).encode())
    desk.receipts(TOPICS.records, log.batch(0, 3))
    desk.receipts(TOPICS.records, log.batch(4, 6))
    assert [problem.partition(" of ")[2][:6] for problem in desk.store.verify()] == [
        "size 4",
        "size 6",
    ]


def test_the_first_key_is_trusted_and_no_later_one(desk: Desk, tmp_path: Path) -> None:
    logs = [StationLog(), StationLog()]
    for log in (*logs, logs[0]):
        desk.trusts(log)
    assert desk.store.key_of(STATION) == logs[0].signer.verifier_key
    assert desk.count("keys_changed") == 1


def test_a_key_that_was_given_beats_the_first_on_the_line(tmp_path: Path) -> None:
    given = StationLog()
    with contextlib.closing(
        Desk(tmp_path / "centre", **{STATION: given.signer.verifier_key})
    ) as desk:
        desk.trusts(StationLog())
        assert desk.count("keys_changed") == 1
        assert desk.store.key_of(STATION) is None
        given.append()
        assert desk.receipts(TOPICS.record, given.envelope().encode())[0].status == "stored"
        assert desk.store.verify({STATION: given.signer.verifier_key}) == []


def test_keys_of_another_name_or_of_none_are_not_taken(desk: Desk, tmp_path: Path) -> None:
    other = NoteSigner.load_or_create(tmp_path / "key", "steelyard/S2")
    for payload in (b"", b"\xff", b"key", other.verifier_key.encode()):
        desk.take(TOPICS.key, payload)
    assert desk.count("keys_bad") == 4
    assert desk.store.key_of(STATION) is None


def test_presence_and_telemetry_stand_as_they_came_last(desk: Desk) -> None:
    desk.take(TOPICS.state, Presence("online").encode())
    desk.take(TOPICS.telemetry, json.dumps({"n": 1}).encode())
    desk.take(TOPICS.telemetry, json.dumps({"n": 2}).encode())
    desk.take(TOPICS.state, Presence("offline", "lost").encode())
    for what in (TOPICS.state, TOPICS.telemetry):
        desk.take(what, b"\xff nonsense")
    desk.take("wim/v1/S1/up/unknown", b"x")
    seen = desk.store.station(STATION)
    assert seen["state"] == "offline lost"
    assert json.loads(seen["telemetry"]) == {"n": 2}
    assert [desk.count(f"{what}") for what in ("states_bad", "telemetry_bad", "unknown")] == [1] * 3


def test_verify_names_a_record_and_a_blob_that_were_changed(desk: Desk, log: StationLog) -> None:
    for picture in (b"one", b"two"):
        record = log.append(blobs=(blob_of(picture),))
        bring(desk, picture)
        assert desk.receipts(TOPICS.record, log.envelope().encode())
    blob = desk.store.blobs.path(record.blobs[0].sha256)
    blob.chmod(0o600)
    blob.write_bytes(b"owt")
    [problem] = desk.store.verify()
    assert record.blobs[0].sha256 in problem
    desk.store.database.execute(
        "UPDATE records SET record = CAST(replace(record, 'note', 'toll') AS BLOB) WHERE idx = 0"
    )
    assert len(desk.store.verify()) >= 2


def test_a_station_that_fills_its_room_is_told_nothing_and_keeps_its_records(
    desk: Desk, log: StationLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_records, "MOST_STATION_BYTES", 5_000)
    log.append(40)
    desk.receipts(TOPICS.records, log.batch(0, 30))
    assert desk.store.bytes_of(STATION) > 5_000
    assert desk.take(TOPICS.records, log.batch(30, 40)) == []
    assert desk.count("over_quota") == 10
    assert len(desk.receipts(TOPICS.records, log.batch(0, 30))) == 30  # copies are answered
    assert desk.store.ids(Log(STATION), 30, 39) == {}
