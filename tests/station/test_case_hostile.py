"""What comes through the case system's door to do harm: counted, bounded, and the rest goes on."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.evidence.canonical import canonical
from edge.evidence.note import Checkpoint
from edge.evidence.witness import Submission
from edge.uplink.topics import Presence, Topics
from simulator import case_store
from tests.station.case_desk import STATION, TOPICS, Desk, StationLog, message


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with contextlib.closing(Desk(tmp_path / "centre")) as desk:
        yield desk
        assert desk.count("defects") == 0


@pytest.fixture
def log(desk: Desk) -> StationLog:
    log = StationLog()
    desk.trusts(log)
    log.append(3)
    return log


def encoded(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def hostile(log: StationLog) -> list[bytes]:
    """Payloads that are wrong each in its own way."""
    good = json.loads(log.batch())
    single = json.loads(log.envelope().encode())
    first = good["records"][0]
    line, _, parts = log.batch(joint=True).partition(b"\n")
    joint = json.loads(line)
    lengths = joint["records"]

    def joined(**other: Any) -> bytes:
        return encoded(joint | other) + b"\n" + parts

    return [
        b"",
        b"\x00" * 100,
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"1" * 5_000,
        encoded(good | {"records": []}),
        encoded(good | {"records": good["records"] * 200}),
        encoded(good | {"records": [first, first]}),
        encoded(good | {"records": [first | {"index": 2**53}]}),
        encoded(good | {"records": [first | {"index": 10**30}]}),
        encoded(good | {"records": [first | {"index": -1}]}),
        encoded(good | {"records": [first | {"index": True}]}),
        encoded(good | {"records": [first | {"proof": "x" * 44}]}),
        encoded(good | {"records": [first | {"proof": [1, 2]}]}),
        encoded(good | {"records": [first | {"private": None}]}),
        encoded(good | {"records": [None]}),
        encoded(good | {"records": {"0": first}}),
        encoded(good | {"checkpoint": 7}),
        encoded(good | {"checkpoint": "\n\n" * 1_000}),
        encoded(good | {"checkpoint": log.note()[:-1]}),
        encoded(good | {"extra": "x"}),
        encoded(single | {"proof": [base64.b64encode(bytes(32)).decode()] * 5_000}),
        encoded(single | {"schema": "steelyard/envelope/9"}),
        encoded(single | {"index": 2**63}),
        b"\n",
        line,
        line + b"\n" + parts[1:],
        line + b"\n" + parts + b"x",
        line + b" \n" + parts,
        joined(schema="steelyard/envelopes/1"),
        joined(extra=1),
        joined(proof=[*joint["proof"], base64.b64encode(bytes(32)).decode()]),
        joined(proof=["AAAA"]),
        joined(proof=7),
        joined(checkpoint="no checkpoint"),
        joined(records=[]),
        joined(records=[[index + 1, *sizes] for index, *sizes in lengths]),
        joined(records=[[0, *sizes] for _, *sizes in lengths]),
        joined(records=[[index, -1, None] for index, *_ in lengths]),
        joined(records=[[index, True, None] for index, *_ in lengths]),
        joined(records=[[index, 2**53 - 1, 2**53 - 1] for index, *_ in lengths]),
        joined(records=[[index] for index, *_ in lengths]),
        joined(records=dict.fromkeys("abc", 1)),
    ]


def test_payloads_that_are_nothing_stop_nobody(desk: Desk, log: StationLog) -> None:
    bad = hostile(log)
    batch = [message(topic, p) for p in bad for topic in (TOPICS.record, TOPICS.records)]
    batch += [message(TOPICS.checkpoint, payload) for payload in bad]
    batch += [message(TOPICS.manifest("a" * 64), payload) for payload in bad]
    batch += [message(TOPICS.chunk("a" * 64, 3), payload) for payload in bad]
    batch += [message(t, p) for t in (TOPICS.key, TOPICS.state, TOPICS.telemetry) for p in bad]
    random.Random(1).shuffle(batch)
    said = desk.intake.take([*batch, message(TOPICS.records, log.batch())])
    receipts = [r for note in said for r in desk.read_receipts(note)]
    assert [(r.index, r.status) for r in receipts] == [(n, "stored") for n in range(3)]
    assert desk.store.verify() == []
    assert desk.alarms() == []


def blob(**changes: Any) -> dict[str, Any]:
    fields = {"role": "signal", "media_type": "audio/flac", "size_bytes": 1, "deliver": True}
    return {"blobs": [fields | {"sha256": "a" * 64} | changes]}


@pytest.mark.parametrize(
    "fields",
    [
        {"lane": {}},
        {"lane": ["1"]},
        blob(sha256=""),
        blob(sha256="../../centre.key"),
        blob(sha256={}),
        blob(size_bytes="1"),
        blob(deliver=1),
    ],
)
def test_a_record_that_its_station_signed_with_nonsense_in_it_stops_nobody(
    desk: Desk, log: StationLog, fields: dict[str, Any]
) -> None:
    body = {"time_us": 1, "index": 3, "station": STATION, "kind": "note", "blobs": []}
    log.append_bytes(canonical(body | fields))
    receipts = desk.receipts(TOPICS.records, log.batch())
    assert sorted((r.index, r.status) for r in receipts) == [
        *((n, "stored") for n in range(3)),
        (3, "refused"),
    ]


def test_what_is_too_large_is_not_looked_at(desk: Desk, log: StationLog) -> None:
    good = json.loads(log.envelope().encode())
    large = encoded(good | {"checkpoint": "x" * (1 << 20)})
    assert desk.take(TOPICS.record, large) == []
    assert desk.take(TOPICS.telemetry, encoded({"x": "y" * (1 << 18)})) == []
    assert desk.count("oversize") == 2
    assert desk.store.refusals() == []


@pytest.mark.parametrize("size", [2**53, 2**62, 2**63, 10**18 * 9])
def test_sizes_beyond_what_json_can_say_are_not_kept(
    desk: Desk, log: StationLog, size: int
) -> None:
    """The station's own key signed them, and yet no number of a log is that large."""
    note = log.signer.sign(Checkpoint(log.origin, size, log.root()).text())
    submission = Submission("boot-a", 0, (), note)
    assert desk.take(TOPICS.checkpoint, submission.encode()) == []
    envelope = dataclasses.replace(log.envelope(), checkpoint_note=note)
    assert desk.take(TOPICS.record, envelope.encode()) == []
    assert desk.receipts(TOPICS.record, log.envelope().encode())[0].status == "stored"


def test_a_note_of_the_centre_or_of_another_station_proves_no_record(
    desk: Desk, log: StationLog
) -> None:
    other = StationLog("S2")
    desk.trusts(other)
    text = Checkpoint(log.origin, 3, log.root()).text()
    for signer in (desk.signer, other.signer):
        envelope = dataclasses.replace(log.envelope(), checkpoint_note=signer.sign(text))
        assert desk.take(TOPICS.record, envelope.encode()) == []
    foreign = log.signer.sign(Checkpoint("steelyard/S2", 3, log.root()).text())
    envelope = dataclasses.replace(log.envelope(), checkpoint_note=foreign)
    assert desk.receipts(TOPICS.record, envelope.encode()) == []
    assert desk.store.records(STATION) == []


def test_envelopes_that_come_again_and_again_are_counted_once(desk: Desk, log: StationLog) -> None:
    payload = log.batch()
    for _ in range(20):
        assert len(desk.receipts(TOPICS.records, payload)) == 3
    assert len(desk.store.records(STATION)) == 3
    assert desk.store.duplicates == 57


def test_a_flood_of_lies_leaves_a_bounded_trace(
    desk: Desk, log: StationLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_store, "MOST_REFUSALS", 50)
    rng = random.Random(2)
    flood = [message(TOPICS.record, rng.randbytes(200)) for _ in range(2_000)]
    assert desk.intake.take(flood) == []
    assert len(desk.store.refusals()) == 50
    assert desk.count("refused") == 2_000
    other = message(Topics("S2").key, StationLog("S2").signer.verifier_key.encode())
    desk.intake.take([other])
    assert len(desk.receipts(TOPICS.records, log.batch())) == 3


def test_names_that_somebody_makes_up_do_not_fill_the_store(
    desk: Desk, log: StationLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_store, "MOST_STATIONS", 20)
    online = Presence("online").encode()
    desk.intake.take([message(Topics(f"X{n}").state, online) for n in range(500)])
    assert len(desk.store.stations()) == 20
    assert desk.count("strangers") > 400
    assert len(desk.receipts(TOPICS.records, log.batch())) == 3


def test_a_defect_of_one_message_undoes_that_message_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(Desk(tmp_path / "centre")) as desk:
        log = StationLog()
        desk.trusts(log)
        log.append(2)
        add = desk.store.add

        def fails_late(*arguments: Any) -> None:
            add(*arguments)
            if arguments[2][0].number == 0:
                raise RuntimeError("a defect")

        monkeypatch.setattr(desk.store, "add", fails_late)
        said = desk.intake.take(
            [message(TOPICS.record, log.envelope(n).encode()) for n in range(2)]
        )
        [receipt] = desk.read_receipts(said[0])
        assert receipt.index == 1
        assert [record.index for record in desk.store.records(STATION)] == [1]
        assert desk.count("defects") == 1
