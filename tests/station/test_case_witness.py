"""The witness at the centre: what it cosigns, what it names, and that it never forgets."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.evidence.cosignature import CosignatureVerifier
from edge.evidence.note import NoteVerifier, split_note
from edge.evidence.witness import Submission, WitnessAnswer
from simulator.case_witness import log_of
from tests.station.case_desk import STATION, TOPICS, Desk, StationLog


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with contextlib.closing(Desk(tmp_path / "centre")) as desk:
        yield desk


@pytest.fixture
def log(desk: Desk) -> StationLog:
    log = StationLog()
    desk.trusts(log)
    log.append(5)
    return log


def _holds(desk: Desk, answer: WitnessAnswer, note: str) -> bool:
    verifier = CosignatureVerifier.of(NoteVerifier(desk.signer.verifier_key))
    return verifier.verify(answer.cosignature or "", split_note(note)[0]) == (
        answer.time_us // 1_000_000
    )


def test_what_continues_the_log_is_cosigned(desk: Desk, log: StationLog) -> None:
    first = desk.witness(log.submission())
    assert (first.status, first.size, first.known_size) == ("cosigned", 5, 5)
    assert _holds(desk, first, log.note(5))
    log.append(8)
    second = desk.witness(log.submission(old=5))
    assert (second.status, second.size) == ("cosigned", 13)
    assert _holds(desk, second, log.note())
    assert desk.alarms() == []


def test_a_proof_from_elsewhere_is_asked_for_again_from_the_known_size(
    desk: Desk, log: StationLog
) -> None:
    desk.witness(log.submission())
    log.append(4)
    answer = desk.witness(log.submission(old=2))
    assert (answer.status, answer.known_size, answer.known) == ("retry", 5, log.note(5))
    assert desk.witness(log.submission(old=answer.known_size)).status == "cosigned"


def test_a_witness_that_knows_nothing_asks_for_a_proof_from_nothing(
    desk: Desk, log: StationLog
) -> None:
    answer = desk.witness(log.submission(old=3))
    assert (answer.status, answer.known_size, answer.known) == ("retry", 0, None)
    assert desk.witness(log.submission(old=0)).status == "cosigned"


def test_the_same_checkpoint_again_gives_the_same_cosignature(desk: Desk, log: StationLog) -> None:
    first = desk.witness(log.submission())
    assert desk.witness(log.submission()).cosignature == first.cosignature
    log.append()
    desk.witness(log.submission(old=5))
    late = desk.witness(log.submission(size=5, boot_id="boot-of-yesterday"))
    assert (late.cosignature, late.size, late.known_size) == (first.cosignature, 5, 6)
    assert desk.alarms() == []


def _fork(log: StationLog) -> Submission:
    other = log.branch(3)
    other.append(2)
    return other.submission(boot_id="boot-a")


def _unproven(log: StationLog) -> Submission:
    other = log.branch(3)
    other.append(9)
    return other.submission(old=5)


def _rollback(log: StationLog) -> Submission:
    restored = log.branch(3)
    restored.append()
    return restored.submission(old=3, boot_id="boot-b")


def _image_gone_on(log: StationLog) -> Submission:
    """An old image has sealed as much since its start as was lost, before it could submit."""
    restored = log.branch(3)
    restored.append(2)
    return restored.submission(old=3, boot_id="boot-b")


def _image_outgrown(log: StationLog) -> Submission:
    restored = log.branch(3)
    restored.append(9)
    return restored.submission(old=5, boot_id="boot-b")


def _truncated(log: StationLog) -> Submission:
    return log.submission(old=3, size=4)


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("fork", _fork),
        ("fork", _unproven),
        ("rollback", _rollback),
        ("rollback", _image_gone_on),
        ("rollback", _image_outgrown),
        ("truncated", _truncated),
    ],
)
def test_a_lie_is_named_and_kept_with_both_notes(
    desk: Desk, log: StationLog, name: str, lie: object
) -> None:
    desk.witness(log.submission())
    submission = lie(log)  # type: ignore[operator]
    answer = desk.witness(submission)
    assert (answer.status, answer.name) == ("conflict", name)
    assert (answer.known_size, answer.known) == (5, log.note(5))
    [alarm] = desk.alarms()
    assert (alarm.name, alarm.known, alarm.note) == (name, log.note(5), submission.checkpoint_note)
    again = desk.witness(submission)
    assert (again.status, desk.alarms()[0].times) == ("conflict", 2)


def test_two_machines_in_turn_are_a_clone(desk: Desk, log: StationLog) -> None:
    assert desk.witness(log.submission(boot_id="A")).status == "cosigned"
    copy = log.branch()
    copy.append(2)
    assert desk.witness(copy.submission(old=5, boot_id="B")).status == "cosigned"
    log.append(4)
    answer = desk.witness(log.submission(old=5, boot_id="A"))
    assert (answer.status, answer.name) == ("conflict", "clone")
    copy.append(4)
    assert desk.witness(copy.submission(old=7, boot_id="B")).name == "clone"
    [alarm] = desk.alarms()
    assert (alarm.times, alarm.known, alarm.last_note) == (2, copy.note(7), copy.note())


def test_a_copy_of_before_is_a_clone_once_the_first_machine_speaks_again(
    desk: Desk, log: StationLog
) -> None:
    copy = log.branch(3)
    desk.witness(log.submission(boot_id="A"))
    copy.append(2)
    assert desk.witness(copy.submission(old=3, boot_id="B")).name == "rollback"
    log.append()
    assert desk.witness(log.submission(old=5, boot_id="A")).name == "clone"
    [refused] = desk.receipts(TOPICS.record, copy.envelope(4).encode())
    assert (refused.status, refused.reason.partition(":")[0]) == ("refused", "clone")
    assert {alarm.name for alarm in desk.alarms()} == {"rollback", "clone"}


def test_records_of_an_old_image_are_named_as_its_checkpoint_was(
    desk: Desk, log: StationLog
) -> None:
    desk.receipts(TOPICS.records, log.batch())
    desk.witness(log.submission())
    restored = log.branch(3)
    restored.append(2)
    desk.witness(restored.submission(old=3, boot_id="boot-b"))
    [refused, *_] = desk.receipts(TOPICS.record, restored.envelope(4).encode())
    assert (refused.status, refused.reason.partition(":")[0]) == ("refused", "rollback")
    assert {alarm.name for alarm in desk.alarms()} == {"rollback"}


def test_a_start_after_the_other_is_no_clone(desk: Desk, log: StationLog) -> None:
    for boot in ("A", "B", "C", "D"):
        old = len(log) if boot != "A" else 0
        log.append()
        assert desk.witness(log.submission(old=old, boot_id=boot)).status == "cosigned"
    assert desk.alarms() == []


def test_an_old_checkpoint_in_anothers_name_accuses_nobody(desk: Desk, log: StationLog) -> None:
    """The start is not signed: only a checkpoint that nobody saw before may speak of one."""
    desk.witness(log.submission(boot_id="A"))
    desk.witness(log.submission(boot_id="X"))
    log.append()
    assert desk.witness(log.submission(old=5, boot_id="A")).status == "cosigned"


def test_a_station_in_conflict_that_proves_itself_is_cosigned_and_the_alarm_stays(
    desk: Desk, log: StationLog
) -> None:
    desk.witness(log.submission())
    assert desk.witness(_unproven(log)).status == "conflict"
    log.append()
    assert desk.witness(log.submission(old=5)).status == "cosigned"
    assert [alarm.name for alarm in desk.alarms()] == ["fork"]


def test_records_of_a_forked_tree_are_refused_by_name(desk: Desk, log: StationLog) -> None:
    desk.witness(log.submission())
    restored = log.branch(3)
    restored.append(1)
    assert desk.witness(restored.submission(boot_id="boot-b")).name == "rollback"
    [refused] = desk.receipts(TOPICS.record, restored.envelope().encode())
    assert (refused.status, refused.reason.partition(":")[0]) == ("refused", "rollback")
    [stored] = desk.receipts(TOPICS.record, log.envelope(size=5).encode())
    assert (stored.status, stored.cosigned_size) == ("stored", 5)
    assert desk.store.verify() == []


def test_a_checkpoint_of_records_speaks_against_a_submission(desk: Desk, log: StationLog) -> None:
    desk.receipts(TOPICS.records, log.batch())
    other = log.branch(2)
    other.append(3)
    answer = desk.witness(other.submission())
    assert (answer.name, answer.known) == ("fork", log.note())


def test_what_was_cosigned_survives_a_restart_and_cannot_be_removed(
    desk: Desk, log: StationLog, tmp_path: Path
) -> None:
    first = desk.witness(log.submission())
    desk.close()
    with contextlib.closing(Desk(tmp_path / "centre")) as again:
        assert again.witness(log.submission()).cosignature == first.cosignature
        assert again.witness(_rollback(log)).name == "rollback"
        for sql in ("DELETE FROM cosigned", "UPDATE cosigned SET size = 1"):
            with pytest.raises(sqlite3.IntegrityError, match="witness"):
                again.store.database.execute(sql)


def test_receipts_carry_the_newest_cosignature(desk: Desk, log: StationLog) -> None:
    [before] = desk.receipts(TOPICS.record, log.envelope(0).encode())
    assert before.cosignature is None
    answer = desk.witness(log.submission())
    [after] = desk.receipts(TOPICS.record, log.envelope(1).encode())
    assert (after.cosignature, after.cosigned_size) == (answer.cosignature, 5)


def test_what_the_stations_key_did_not_sign_is_not_answered(desk: Desk, log: StationLog) -> None:
    stranger = StationLog()
    stranger.append(3)
    for payload in (stranger.submission().encode(), b"", b"[]", b"\xff", log.note().encode()):
        assert desk.take(TOPICS.checkpoint, payload) == []
    assert desk.count("checkpoints_bad") == 5
    assert desk.alarms() == []


def test_a_checkpoint_of_another_log_is_not_taken(desk: Desk, log: StationLog) -> None:
    log.origin = "steelyard/S2"
    assert desk.take(TOPICS.checkpoint, log.submission().encode()) == []


def test_a_log_begun_anew_is_cosigned_and_told(desk: Desk, log: StationLog) -> None:
    desk.witness(log.submission())
    desk.receipts(TOPICS.records, log.batch())
    anew = StationLog(key=log.key, generation=2)
    anew.append(2)
    answer = desk.witness(anew.submission(boot_id="boot-b"))
    assert (answer.status, answer.known_size) == ("cosigned", 2)
    [alarm] = desk.alarms()
    assert (alarm.name, alarm.generation, alarm.known) == ("renewed", 2, log.note())
    assert {r.status for r in desk.receipts(TOPICS.records, anew.batch())} == {"stored"}
    held = [(record.generation, record.index) for record in desk.store.records(STATION)]
    assert held == [*((1, n) for n in range(5)), (2, 0), (2, 1)]
    assert desk.store.verify() == []


@pytest.mark.parametrize(
    ("origin", "generation"),
    [
        ("steelyard/S1", 1),
        ("steelyard/S1/2", 2),
        ("steelyard/S1/17", 17),
        ("steelyard/S1/1", None),
        ("steelyard/S1/02", None),
        ("steelyard/S1/", None),
        ("steelyard/S1/²", None),
        ("steelyard/S1/2/2", None),
        ("steelyard/S10", None),
        ("steelyard/S2", None),
        ("S1", None),
    ],
)
def test_origins_of_a_stations_logs(origin: str, generation: int | None) -> None:
    found = log_of("S1", origin)
    assert (found.generation if found else None) == generation
