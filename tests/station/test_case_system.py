"""The case system's intake on a real store: what it keeps, what it answers, what it refuses."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.evidence.envelope import Envelope
from edge.evidence.merkle import leaf_hash
from edge.evidence.note import Checkpoint, NoteSigner
from edge.health import Health
from edge.records import Record
from edge.uplink.paho_client import Message
from edge.uplink.topics import Presence, Topics, chunks
from simulator.case_intake import Answer, Intake
from simulator.case_store import CaseStore
from tests.station.uplinks import STATION, Post, post, runs

TOPICS = Topics(STATION)


class Desk:
    """An intake with its store, fed by hand."""

    def __init__(self, directory: Path, **keys: str) -> None:
        self.store = CaseStore.open(directory)
        self.store.blobs.prepare()
        self.health = Health(time.monotonic_ns)
        self._intake = Intake(self.store, self.health, time.time_ns, keys)

    def take(self, topic: str, payload: bytes) -> list[Answer]:
        return self._intake.take([Message(topic, payload, False, 1, 1)])

    def blob(self, data: bytes, sha256: str, size: int) -> None:
        pieces = chunks(data, size)
        for number, piece in enumerate(pieces):
            self.take(TOPICS.blob(sha256, number, len(pieces)), piece)

    def count(self, name: str) -> int:
        return self.health.snapshot().counters.get(f"case.{name}", 0)

    def gauge(self, name: str) -> float:
        return self.health.snapshot().gauges[f"case.{name}"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "centre")
    with contextlib.closing(desk.store):
        yield desk


async def _record(station: Post, blob: bytes | None = None) -> tuple[Record, bytes]:
    record = await station.append(blob)
    return record, await station.store.envelope(record.index)


@runs
async def test_a_record_is_answered_once_its_key_and_its_blobs_are_here(
    desk: Desk, tmp_path: Path
) -> None:
    picture = os.urandom(5_000)
    async with post(tmp_path / "station") as station:
        record, envelope = await _record(station, picture)
        sha256 = record.blobs[0].sha256
        assert desk.take(TOPICS.record, envelope) == []
        desk.take(TOPICS.key, station.signer.verifier_key.encode())
        assert desk.take(TOPICS.record, envelope) == []
        assert (desk.count("waiting_for_key"), desk.count("waiting_for_blobs")) == (1, 1)
        desk.blob(picture, sha256, 1_000)
        [answer] = desk.take(TOPICS.record, envelope)
        assert (answer.station, answer.receipt.status) == (STATION, "stored")
        assert answer.receipt.record_id == record.record_id
        assert answer.receipt.tree_size == 1
        [again] = desk.take(TOPICS.record, envelope)
        assert again.receipt.status == "stored"
        assert (desk.store.duplicates, len(desk.store.records(STATION))) == (1, 1)
        assert desk.store.records(STATION)[0].body == record.body
        assert desk.store.verify() == []


@runs
async def test_a_damaged_envelope_is_neither_kept_nor_answered(desk: Desk, tmp_path: Path) -> None:
    """A copy with a wrong proof must not end the delivery of a good record, so no ``refused``."""
    async with post(tmp_path / "station") as station:
        await station.append()
        _, good = await _record(station)
        desk.take(TOPICS.key, station.signer.verifier_key.encode())
        envelope = Envelope.decode(good)
        text, mark, signature = envelope.checkpoint_note.rpartition(" ")
        other_signature = base64.b64encode(base64.b64decode(signature)[:-1] + b"\0").decode() + "\n"
        damaged = {
            "format": good[: len(good) // 2],
            "inclusion": dataclasses.replace(envelope, proof=(os.urandom(32),)).encode(),
            "signature": dataclasses.replace(
                envelope, checkpoint_note=text + mark + other_signature
            ).encode(),
        }
        flipped = bytearray(envelope.record_bytes)
        flipped[20] ^= 1
        tampered = dataclasses.replace(envelope, record_bytes=bytes(flipped)).encode()
        for payload in (*damaged.values(), tampered, b"", b"[]", b"\xff", b'{"schema":1}'):
            assert desk.take(TOPICS.record, payload) == []
        assert desk.store.records(STATION) == []
        assert {r.reason for r in desk.store.refusals()} == damaged.keys()
        [answer] = desk.take(TOPICS.record, good)
        assert answer.receipt.status == "stored"


@runs
async def test_a_record_in_another_stations_name_is_not_kept(desk: Desk, tmp_path: Path) -> None:
    other = NoteSigner.load_or_create(tmp_path / "other.key", "steelyard/S2")
    async with post(tmp_path / "station") as station:
        _, envelope = await _record(station)
        desk.take(TOPICS.key, station.signer.verifier_key.encode())
        desk.take(Topics("S2").key, other.verifier_key.encode())
        assert desk.take(Topics("S2").record, envelope) == []
        assert desk.store.records("S2") == []


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
    desk: Desk, tmp_path: Path, record_bytes: bytes, step: str
) -> None:
    signer = NoteSigner.load_or_create(tmp_path / "key", f"steelyard/{STATION}")
    checkpoint = Checkpoint(signer.name, 1, leaf_hash(record_bytes))
    envelope = Envelope(record_bytes, 0, (), signer.sign(checkpoint.text()))
    desk.take(TOPICS.key, signer.verifier_key.encode())
    [answer] = desk.take(TOPICS.record, envelope.encode())
    assert (answer.receipt.status, answer.receipt.reason) == ("refused", step)
    assert answer.receipt.record_id == envelope.record_id
    assert desk.store.records(STATION) == []


@runs
async def test_a_log_with_two_histories_is_refused(desk: Desk, tmp_path: Path) -> None:
    async with post(tmp_path / "one") as station:
        desk.take(TOPICS.key, station.signer.verifier_key.encode())
        _, first = await _record(station)
        assert desk.take(TOPICS.record, first)[0].receipt.status == "stored"
    (tmp_path / "two").mkdir()
    key = tmp_path / "two" / "station.key"
    key.touch(mode=0o600)
    key.write_bytes((tmp_path / "one" / "station.key").read_bytes())
    async with post(tmp_path / "two") as restored:
        _, other_first = await _record(restored)
        [answer] = desk.take(TOPICS.record, other_first)
    assert answer.receipt.status == "refused"
    assert "fork" in answer.receipt.reason
    assert len(desk.store.records(STATION)) == 1


def test_the_first_key_is_trusted_and_no_later_one(desk: Desk, tmp_path: Path) -> None:
    signers = [NoteSigner.load_or_create(tmp_path / n, f"steelyard/{STATION}") for n in "ab"]
    for signer in (*signers, signers[0]):
        desk.take(TOPICS.key, signer.verifier_key.encode())
    assert desk.store.key_of(STATION) == signers[0].verifier_key
    assert desk.count("keys_changed") == 1


def test_a_key_that_was_given_beats_the_first_on_the_line(tmp_path: Path) -> None:
    given, other = (NoteSigner.load_or_create(tmp_path / n, f"steelyard/{STATION}") for n in "ab")
    desk = Desk(tmp_path / "centre", **{STATION: given.verifier_key})
    with contextlib.closing(desk.store):
        desk.take(TOPICS.key, other.verifier_key.encode())
        assert desk.count("keys_changed") == 1
        assert desk.store.key_of(STATION) is None


def test_keys_of_another_name_or_of_none_are_not_taken(desk: Desk, tmp_path: Path) -> None:
    other = NoteSigner.load_or_create(tmp_path / "key", "steelyard/S2")
    for payload in (b"", b"\xff", b"key", other.verifier_key.encode()):
        desk.take(TOPICS.key, payload)
    assert desk.count("keys_bad") == 4
    assert desk.store.key_of(STATION) is None


def test_a_blob_comes_in_any_order_and_more_than_once(desk: Desk) -> None:
    data = os.urandom(10_000)
    sha256 = hashlib.sha256(data).hexdigest()
    pieces = chunks(data, 3_000)
    for number in (3, 1, 1, 0, 3):
        desk.take(TOPICS.blob(sha256, number, 4), pieces[number])
    assert not desk.store.has_blob(sha256)
    desk.take(TOPICS.blob(sha256, 2, 4), pieces[2])
    assert desk.store.blobs.path(sha256).read_bytes() == data


def test_bytes_that_do_not_have_their_name_are_not_kept(desk: Desk) -> None:
    desk.blob(b"wrong", "ab" * 32, 2)
    assert desk.count("blobs_damaged") == 1
    assert not desk.store.has_blob("ab" * 32)


def test_unfinished_blobs_cannot_fill_the_memory(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.case_intake._MOST_PARTIAL_BYTES", 10_000)
    for n in range(100):
        desk.take(TOPICS.blob(f"{n:064x}", 0, 2), bytes(1_000))
    desk.take(TOPICS.blob("f" * 64, 0, 2), bytes(1_000_000))
    assert desk.gauge("partial_bytes") <= 10_000


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
    assert (desk.count("states_bad"), desk.count("telemetry_bad"), desk.count("unknown")) == (
        1,
        1,
        1,
    )


@runs
async def test_verify_names_a_record_and_a_blob_that_were_changed(
    desk: Desk, tmp_path: Path
) -> None:
    async with post(tmp_path / "station") as station:
        desk.take(TOPICS.key, station.signer.verifier_key.encode())
        for picture in (b"one", b"two"):
            record, envelope = await _record(station, picture)
            desk.blob(picture, record.blobs[0].sha256, 100)
            assert desk.take(TOPICS.record, envelope)
    blob = desk.store.blobs.path(record.blobs[0].sha256)
    blob.chmod(0o600)
    blob.write_bytes(b"owt")
    [problem] = desk.store.verify()
    assert record.blobs[0].sha256 in problem
