"""Replay: the items of a recording in order of time, the same every time; tables of the result."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from edge.config import StationFile
from edge.errors import InputError
from edge.records import InputEdge, PlateRead, SampleBlock
from edge.sources.plate_read import CameraClock
from edge.sources.ports import DeviceHello
from edge.sources.replay import Replay
from edge.sources.tables import write_table
from firmware_bridge.anpr import PlateFrame
from firmware_bridge.recording import RecordingWriter

START_NS = 1_790_000_000_000_000_000
ROW = {"kind": "strip", "width_m": 0.07, "left": "a", "right": "b"}
MODEL = StationFile.model_validate(
    {
        "station": {"id": "S1"},
        "digitiser": [
            {"id": device, "url": "/dev/null", "channels": ["a", "b"]} for device in ("D1", "D2")
        ],
        "lane": [
            {
                "id": lane,
                "digitiser": device,
                "row": [ROW | {"position_m": 0.0}, ROW | {"position_m": 3.0}],
            }
            for lane, device in (("1", "D1"), ("2", "D2"))
        ],
        "camera": [{"id": "C2", "url": "/dev/null", "lanes": ["2"]}],
    }
)


def record(
    directory: Path,
    device: str,
    start_s: float = 0.0,
    channels: tuple[str, ...] = ("a", "b"),
    first_sample: int = 0,
) -> None:
    """Half a second at 1 kHz with a hole of 30 samples, an edge before and one after the hole."""
    lane = {"D1": "1", "D2": "2"}.get(device, "9")
    start_ns = START_NS + round(start_s * 1e9)
    with RecordingWriter(
        directory,
        device=device,
        rate_hz=1000.0,
        channels=channels,
        newton_per_count=0.01,
        start_utc_ns=start_ns,
        first_sample=first_sample,
    ) as writer:
        rows = np.arange(250 * len(channels), dtype=np.int32).reshape(250, len(channels))
        writer.samples(first_sample, rows)
        writer.edge(first_sample + 400, 0, False)
        writer.edge(first_sample + 100, 0, True)
        writer.samples(first_sample + 280, rows)
        for i in (2, 1):
            received_ns = start_ns + i * 100_000_000
            frame = PlateFrame(
                i, lane, "冀B·12345", "yellow", 0.9, "", received_ns - 3_600_000_000_000, ""
            )
            writer.plate(frame, received_ns)


def items_of(path: Path) -> list[Any]:
    return list(Replay.open(path, MODEL).items())


@pytest.fixture
def two(tmp_path: Path) -> Path:
    record(tmp_path / "D1", "D1")
    record(tmp_path / "D2", "D2", start_s=0.005)
    return tmp_path


def as_text(items: list[Any]) -> list[str]:
    return [
        repr((i.device, i.first_sample, i.counts.tobytes()))
        if isinstance(i, SampleBlock)
        else repr(i)
        for i in items
    ]


def test_twice_the_same_in_the_same_order(two: Path) -> None:
    assert as_text(items_of(two)) == as_text(items_of(two))


def test_items_come_by_time_and_edges_before_their_block(two: Path) -> None:
    played = Replay.open(two, MODEL)
    now_ns = 0
    done: dict[str, int] = {}
    for item in played.items():
        if isinstance(item, DeviceHello):
            done[item.device] = 0
        elif isinstance(item, InputEdge):
            assert item.sample >= done[item.device]
        elif isinstance(item, SampleBlock):
            assert item.first_sample == done[item.device] + item.lost_before
            done[item.device] = item.end_sample
            end_ns = played.clock(item.device).utc_ns(item.end_sample)
            assert end_ns >= now_ns
            now_ns = end_ns
        else:
            assert item.received_ns >= now_ns
            now_ns = item.received_ns
    assert done == {"D1": 530, "D2": 530}


def test_all_items_come_once(two: Path) -> None:
    items = items_of(two)
    kinds = {
        kind: [i for i in items if isinstance(i, kind)]
        for kind in (DeviceHello, InputEdge, PlateRead)
    }
    assert [len(found) for found in kinds.values()] == [2, 4, 4]
    blocks = [i for i in items if isinstance(i, SampleBlock) and i.device == "D1"]
    assert sum(len(b.counts) for b in blocks) == 500
    assert [(b.first_sample, b.lost_before) for b in blocks if b.lost_before] == [(280, 30)]
    assert {len(b.counts) for b in blocks} <= {20, 10}


def test_plates_are_normalised_and_set_right_as_live(two: Path) -> None:
    plates = [i for i in items_of(two) if isinstance(i, PlateRead)]
    assert {(p.text, p.raw_text, p.grammar) for p in plates} == {
        ("冀B12345", "冀B·12345", "cn-ordinary")
    }
    assert {p.lane: p.camera for p in plates} == {"1": "", "2": "C2"}
    assert all(p.time_ns == p.received_ns for p in plates)


def test_a_restart_of_the_counter_is_played_after_what_was_before(tmp_path: Path) -> None:
    record(tmp_path / "D1", "D1", first_sample=1_000_000)
    record(tmp_path / "D1-2", "D1", start_s=0.2)  # its clock began a little early
    played = Replay.open(tmp_path, MODEL)
    blocks = []
    for item in played.items():
        if isinstance(item, SampleBlock):
            blocks.append(item)
            assert played.clock("D1").ref_sample == (1_000_000 if len(blocks) <= 26 else 0)
    assert [b.restarted for b in blocks] == [False] * 26 + [True] + [False] * 25


def test_progress_rises_to_one(two: Path) -> None:
    seen: list[float] = []
    list(Replay.open(two, MODEL).items(seen.append))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_what_does_not_fit_the_station_is_told(tmp_path: Path) -> None:
    record(tmp_path / "x" / "D9", "D9")
    record(tmp_path / "y" / "D1", "D1", channels=("b", "a"))
    for path in (tmp_path / "x", tmp_path / "y", tmp_path / "nowhere"):
        with pytest.raises(InputError) as told:
            Replay.open(path, MODEL)
        assert str(path) in told.value.what.zh
        assert told.value.next_step.en


def test_a_signal_cut_off_while_playing_is_told(two: Path) -> None:
    file = two / "D1" / "signal-0.flac"
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"signal-0\.flac|checksum"):
        items_of(two)


def test_the_least_delayed_readings_make_the_camera_clock() -> None:
    clock = CameraClock()
    rng = np.random.default_rng(3)
    off_ns, errors_ns = 5_000_000_000, []
    for i in range(200):
        moment_ns = START_NS + i * 10_000_000_000
        delay_ns = 80_000_000 + round(rng.lognormal(0, 1) * 50_000_000)
        time_ns = clock.station_ns(moment_ns - off_ns, moment_ns + delay_ns)
        if time_ns is not None:
            errors_ns.append(time_ns - moment_ns)
    settled = np.array(errors_ns[8:])
    assert len(errors_ns) >= 190
    assert settled.min() >= 80_000_000
    assert np.quantile(settled, 0.95) < 130_000_000


ROWS = [
    {"number": 0, "plate": "冀B12345", "gross_kg": 48_900, "limit_kg": None},
    {"number": 1, "plate": "", "gross_kg": 12_000, "limit_kg": 18_000},
]


def test_csv_and_json_lines_hold_the_rows(tmp_path: Path) -> None:
    for name in ("t.csv", "t.jsonl"):
        write_table(tmp_path / name, iter(ROWS))
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.DictReader(file)) == [
            {key: "" if value is None else str(value) for key, value in row.items()} for row in ROWS
        ]
    lines = (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.jsonl"]


def test_parquet_holds_the_rows(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", ROWS)
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == ROWS


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    old = tmp_path / "t.csv"
    old.write_text("old")
    with pytest.raises(InputError):
        write_table(old, [*ROWS, {"number": 2}])
    with pytest.raises(InputError):
        write_table(tmp_path / "t.xlsx", ROWS)
    with pytest.raises(InputError):
        write_table(tmp_path / "nowhere" / "t.csv", ROWS)
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]
