"""The delivery bench: real processes, figures that belong together, a yardstick that counts."""

from __future__ import annotations

import math
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from edge.errors import InputError
from simulator.bench import commits
from simulator.bench.bare import Files, Records, carry
from simulator.bench.delivery import Size, run
from simulator.bench.delivery_page import BEGIN, END, TARGETS, write_page
from simulator.bench.drain import broker_at
from simulator.big_store import build
from tests.station.brokers import needs_mosquitto

TINY = Size(commits=50, backlog=300, cases=3, stored=300, seconds=5.0)


@pytest.fixture(autouse=True, scope="module")
def _tracker() -> None:
    """Python's own helper of spawned processes stays until the end: it is no leak of a test."""
    resource_tracker.ensure_running()


@needs_mosquitto
def test_yardstick_carries_every_byte(tmp_path: Path) -> None:
    build(tmp_path / "store", 200)
    pieces = tmp_path / "files"
    pieces.mkdir()
    (pieces / "a").write_bytes(b"a" * 1000)
    (pieces / "b").write_bytes(b"b" * 400)
    records = Records(tmp_path / "store" / "station.db")
    with broker_at(tmp_path) as broker:
        of_records = carry(broker.port, records, 20)
        of_files = carry(broker.port, Files(pieces, 400), 2)
    assert (of_records.messages, of_records.bytes) == (200, sum(map(len, records)))
    assert (of_files.messages, of_files.bytes) == (4, 1400)
    assert of_records.seconds > 0


def test_sealing_and_bare_commits_take_turns(tmp_path: Path) -> None:
    told: list[float] = []
    found = commits.measure(tmp_path, 100, told.append)
    assert len(found.alone_s) == len(found.bare_s) == 100
    assert len(found.together_s) >= 100
    figures = found.figures()
    assert 0 < figures["seal_commit_ms_p50"] <= figures["seal_commit_ms_p99"]
    ratio = figures["seal_commit_ms_p99"] / figures["bare_commit_ms_p99"]
    assert figures["seal_commit_over_bare_p99"] == pytest.approx(ratio)
    assert told[-1] == 1.0


@needs_mosquitto
@pytest.mark.timeout(900)
def test_tiny_run_gives_every_figure_and_the_page(tmp_path: Path) -> None:
    told: list[float] = []
    figures = run(TINY, directory=tmp_path, progress=told.append)
    assert not list(tmp_path.iterdir())
    assert told == sorted(told)
    assert told[-1] == 1.0
    for target in TARGETS:
        # A tiny drain may be over before its memory was looked at twice.
        if not target.figure.endswith("_rss_growth_mb") or target.figure in figures:
            assert math.isfinite(figures[target.figure]), target.figure
    assert figures["delivery.drain_records"] >= 300
    assert figures["delivery.blob_mb"] == pytest.approx(4.5)
    assert figures["delivery.receipt_vehicles"] >= 5
    assert figures["delivery.sealed_ms_p50"] < figures["delivery.receipt_ms_p50"]
    ratio = figures["delivery.drain_records_per_s"] / figures["delivery.bare_paho_per_s"]
    assert figures["delivery.drain_ratio"] == pytest.approx(ratio, abs=1e-3)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_page({**figures, "delivery.date": "today"}, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "`delivery.drain_ratio`" in text


def test_page_without_marks_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here")
    with pytest.raises(InputError, match="no marks"):
        write_page({}, page)
    with pytest.raises(InputError, match="cannot read"):
        write_page({}, tmp_path / "absent.md")
