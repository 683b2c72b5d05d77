"""The journal: lines that survive torn ends, repetition, gaps and a disk that refuses."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

from edge.health import Health
from edge.store.journal import RECORDS_A_FILE, Journal, JournalRow


def journal(directory: Path) -> Journal:
    made = Journal(directory / "journal", Health(time.monotonic_ns))
    made.prepare()
    return made


def row(index: int, private: bytes | None = None) -> JournalRow:
    return index, json.dumps({"index": index}).encode(), private


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    assert kept.end() == 0
    far = RECORDS_A_FILE
    assert kept.append([row(0, b"\xffsecret"), row(1), row(far)])
    assert kept.end() == far + 1
    assert [line[:2] for line in kept.lines()] == [row(n)[:2] for n in (0, 1, far)]
    assert list(kept.privates()) == [(0, b"\xffsecret")]


def test_a_torn_last_line_spoils_no_other(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.append([row(0), row(1)])
    path = tmp_path / "journal" / "00000.jsonl"
    path.write_bytes(path.read_bytes()[:-4])
    again = journal(tmp_path)
    assert again.end() == 1
    again.append([row(1), row(2)])
    assert [line.number for line in again.lines()] == [0, 1, 2]


def test_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.append([row(n) for n in range(4)])
    path = tmp_path / "journal" / "00000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"index": 2', b'"i\xffdex": 2'))
    assert [line.number for line in kept.lines()] == [0, 1, 3]


def test_a_number_is_borne_out_by_the_lines_beside_it(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.append([row(n) for n in (0, 1, 3, 4, 6)])
    assert [line.number for line in kept.lines() if not line.is_placed] == [6]
    assert kept.end() == 5
    kept.append([row(RECORDS_A_FILE + 4)])
    assert kept.end() == RECORDS_A_FILE


def test_only_what_lacks_is_filled_in(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.append([row(1), row(3, b"c")])
    kept.mark_behind((0, 5))
    assert kept.behind() == (0, 5)
    assert kept.fill(0, [row(0, b"a"), row(1, b"b"), row(2), row(3, b"c"), row(4)])
    kept.mark_behind(None)
    assert kept.behind() is None
    assert sorted(line.number for line in kept.lines()) == [0, 1, 2, 3, 4]
    assert sorted(kept.privates()) == [(0, b"a"), (1, b"b"), (3, b"c")]


def test_erased_private_parts_leave_the_file(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.append([row(0, b"first"), row(1, b"second")])
    kept.forget([0, 7, RECORDS_A_FILE])
    assert list(kept.privates()) == [(1, b"second")]
    kept.forget([1])
    assert not list((tmp_path / "journal").glob("*.private"))
    kept.sync("head")
    assert kept.head() == "head"


def test_a_disk_that_refuses_is_counted_and_leaves_whole_lines(tmp_path: Path) -> None:
    health = Health(time.monotonic_ns)
    kept = Journal(tmp_path / "journal", health)
    kept.prepare()
    kept.append([row(0)])
    [path] = kept.directory.glob("*.jsonl")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:  # room for three bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 3, unlimited[1]))
        assert not kept.append([row(1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert path.read_bytes() == row(0)[1] + b"\n"
    assert health.snapshot().counters["store.journal_failures"] == 1
    assert kept.append([row(1), row(2)])
    assert [line.number for line in kept.lines()] == [0, 1, 2]


def test_the_head_is_written_only_with_its_records(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.sync("nothing was written")
    assert kept.head() is None
