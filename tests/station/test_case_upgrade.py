"""A store of the case system that the first release wrote is opened without loss."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from edge.errors import StoreError
from simulator import case_schema
from simulator.case_store import CaseStore
from tests.station.case_desk import STATION, TOPICS, Desk

GOLDEN = Path(__file__).parents[1] / "golden" / "case_store_of_the_first_release"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    directory = tmp_path / "centre"
    shutil.copytree(GOLDEN, directory)
    (directory / "centre.key").chmod(0o600)
    return directory


def old_envelopes() -> list[bytes]:
    uri = f"file:{GOLDEN / 'cases.db'}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        rows = database.execute("SELECT envelope FROM records ORDER BY idx")
        return [envelope for (envelope,) in rows]


def test_nothing_is_lost_and_all_still_proves_itself(old: Path) -> None:
    with contextlib.closing(CaseStore.open(old)) as store:
        records = store.records(STATION)
        assert [(r.index, r.copies) for r in records] == [(0, 1), (1, 1), (2, 2), (3, 1), (4, 1)]
        assert [r.body["text"] for r in records] == [f"试 {n}" for n in range(5)]
        assert store.verify() == []
        assert [refusal.reason for refusal in store.refusals()] == ["format"]
        seen = store.station(STATION)
        assert (seen["state"], json.loads(seen["telemetry"])) == ("online", {"n": 1})
        assert store.bytes_of(STATION) == sum(
            len(row[0]) for row in store.database.execute("SELECT record FROM records")
        )


def test_an_old_envelope_that_comes_again_is_known(old: Path) -> None:
    with contextlib.closing(Desk(old)) as desk:
        assert desk.signer.verifier_key.startswith("case-system+114213a8+")
        for envelope in old_envelopes():
            [receipt] = desk.receipts(TOPICS.record, envelope)
            assert receipt.status == "stored"
        assert len(desk.store.records(STATION)) == 5
        assert desk.alarms() == []


def test_opening_again_changes_nothing(old: Path) -> None:
    for _ in range(2):
        with contextlib.closing(CaseStore.open(old)) as store:
            assert len(store.records(STATION)) == 5


def test_an_upgrade_that_is_cut_off_leaves_the_old_store_whole(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM old_records")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(case_schema, "_read_over", cut_off)
        with pytest.raises(KeyboardInterrupt):
            CaseStore.open(old)
    with contextlib.closing(CaseStore.open(old)) as store:
        assert len(store.records(STATION)) == 5
        assert store.verify() == []


def test_a_store_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    CaseStore.open(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "cases.db")) as database:
        database.execute(f"PRAGMA user_version = {case_schema.VERSION + 1}")
    with pytest.raises(StoreError, match="knows 2 at most"):
        CaseStore.open(tmp_path)
