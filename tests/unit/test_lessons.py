"""What a lane's traffic teaches: gathered, kept over restarts, set aside when it is damaged."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from edge.config import StationConfig, load_station
from edge.core.learn import Variogram
from edge.errors import InputError
from edge.health import Health, Level
from edge.learning import from_station
from edge.lessons import Lessons, gathered
from edge.records import AxleGroup, AxleTable, Flag, Passage, RawClip
from edge.web.status import parts
from edge.web.texts import Speaker

STATION = """
[station]
id = "S1"
data_dir = "{data}"
[[digitiser]]
id = "D1"
url = "/dev/null"
channels = ["1L", "1R", "2L", "2R", "3L", "3R"]
[[lane]]
id = "1"
digitiser = "D1"
row = [
  {{ position_m = 0.0, width_m = 0.07, kind = "strip", left = "1L", right = "1R" }},
  {{ position_m = {second}, width_m = 0.07, kind = "strip", left = "2L", right = "2R" }},
  {{ position_m = 4.0, width_m = 0.07, kind = "strip", left = "3L", right = "3R" }},
]
[calibration]
file = "certificate.json"
"""
WINDOW = 10


def station(
    directory: Path, *, second_m: float = 2.0, newton_per_count: float = 0.01
) -> StationConfig:
    """A station of one lane with three rows and a certificate."""
    file = directory / "station.toml"
    file.write_text(STATION.format(data=directory / "data", second=second_m))
    names = ["1L", "1R", "2L", "2R", "3L", "3R"]
    channels = [{"name": n, "newton_per_count": newton_per_count, "u_rel": 0.002} for n in names]
    certificate = {
        "certificate_id": "C1",
        "station": "S1",
        "digitisers": {"D1": {"u_rel_common": 0.001, "channels": channels}},
    }
    (directory / "certificate.json").write_text(json.dumps(certificate))
    return load_station(file)


def passages(
    n: int, *, seed: int = 1, row_off: float = 0.0, missing: bool = False
) -> list[Passage]:
    """Lorries of two axles at 54 km/h; the last row reads ``row_off`` of the load too much."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        rows_kg = np.array([[6_000.0], [9_000.0]]) * (1 + 0.04 * rng.standard_normal((2, 3)))
        rows_kg[:, 2] *= 1 + row_off
        load_kg = rows_kg.mean(axis=1)
        if missing:
            rows_kg[1, 2] = np.nan
        made.append(
            _passage(load_kg, rows_kg, Flag.ROW_MISSING | Flag.WHEEL_OFF if missing else Flag.NONE)
        )
    return made


def _passage(load_kg: np.ndarray, rows_kg: np.ndarray, flags: Flag) -> Passage:
    sample = np.array([[0.0, 533.0, 1_067.0], [1_000.0, 1_533.0, 2_067.0]])
    axles = AxleTable(
        load_kg, load_kg * 0.02, load_kg / 2, load_kg / 2, np.array([3.75]), np.array([0.01]),
        rows_kg, sample, *[np.stack([rows_kg / 2] * 2, axis=2)] * 2, np.zeros(2, np.uint32),
    )  # fmt: skip
    groups = (AxleGroup(0, 1, load_kg[0], 100.0), AxleGroup(1, 1, load_kg[1], 100.0))
    clip = RawClip("D1", 0, 4_000.0, np.zeros((1, 6), np.int32))
    return Passage(
        "D1", "1", 0.0, 2_100.0, 2_200, 15.0, 0.05, 0.0, axles, groups, "1+1",
        float(load_kg.sum()), 200.0, flags, clip,
    )  # fmt: skip


def taught(config: StationConfig, health: Health, seen: list[Passage]) -> Lessons:
    lessons = Lessons(config, health, window=WINDOW)
    for passage in seen:
        lessons.take(passage)
    asyncio.run(lessons.save())
    return lessons


def same(one: Variogram, other: Variogram) -> bool:
    return np.array_equal(one.pairs, other.pairs) and np.array_equal(one.whole, other.whole)


def test_a_restart_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    config, health = station(tmp_path), Health(lambda: 0)
    seen = passages(37)
    taught(config, health, seen[:23])
    taught(config, health, seen[23:])
    at_once = Variogram.empty(config.lanes_of("D1")[0])
    for passage in seen:
        at_once.add(passage)
    assert same(gathered(config)["1"], at_once)
    assert health.snapshot().gauges["lane.1.lessons"] == 37


def test_other_rows_or_another_calibration_begin_anew_and_the_old_ones_stay(tmp_path: Path) -> None:
    health, seen = Health(lambda: 0), passages(20)
    taught(station(tmp_path), health, seen)
    for changed in ({"second_m": 2.5}, {"newton_per_count": 0.0101}):
        other = station(tmp_path, **changed)
        assert gathered(other) == {}
        taught(other, health, seen[:5])
        assert gathered(other)["1"].vehicles == 5
    assert gathered(station(tmp_path))["1"].vehicles == 20
    assert "lessons.set_aside" not in health.snapshot().counters


DAMAGES = {
    "cut": lambda raw: raw[: len(raw) // 2],
    "one digit": lambda raw: raw.replace(b"[1", b"[2", 1) if b"[1" in raw else raw[:-9],
    "no text": lambda raw: b"\xff\xfe" + raw,
    "empty": lambda raw: b"",
    "other json": lambda raw: b'{"a": 1}',
    "list": lambda raw: b"[1, 2, 3]",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_and_learning_begins_anew(tmp_path: Path, damage: str) -> None:
    config, health = station(tmp_path), Health(lambda: 0)
    taught(config, health, passages(20))
    (path,) = (tmp_path / "data" / "lessons").iterdir()
    raw = DAMAGES[damage](path.read_bytes())
    path.write_bytes(raw)
    with pytest.raises(InputError, match="gathered"):
        from_station(config, [])
    lessons = Lessons(config, health, window=WINDOW)
    snapshot = health.snapshot()
    assert snapshot.counters["lessons.set_aside"] == 1
    assert snapshot.states["lessons"].level is Level.WARNING
    assert path.with_suffix(".damaged").read_bytes() == raw
    lessons.take(passages(1)[0])
    asyncio.run(lessons.save())
    assert gathered(config)["1"].vehicles == 1


def test_a_foreign_file_under_the_name_is_set_aside(tmp_path: Path) -> None:
    health = Health(lambda: 0)
    taught(station(tmp_path), health, passages(3))
    (old,) = (tmp_path / "data" / "lessons").iterdir()
    other = station(tmp_path, second_m=2.5)
    taught(other, health, passages(3))
    (new,) = set((tmp_path / "data" / "lessons").iterdir()) - {old}
    new.write_bytes(old.read_bytes())
    Lessons(other, health)
    assert health.snapshot().counters["lessons.set_aside"] == 1
    assert "foreign" in health.snapshot().states["lessons"].text.en


def test_a_disk_that_refuses_costs_no_lesson(tmp_path: Path) -> None:
    config, health = station(tmp_path), Health(lambda: 0)
    (tmp_path / "data").write_text("in the way")
    lessons = taught(config, health, passages(3))
    assert health.snapshot().counters["lessons.refused"] > 0
    assert health.snapshot().states["lessons"].level is Level.WARNING
    (tmp_path / "data").unlink()
    asyncio.run(lessons.save())
    assert gathered(config)["1"].vehicles == 3
    assert health.snapshot().states["lessons"].level is Level.OK


@pytest.mark.parametrize(
    ("fault", "named"),
    [({"row_off": 0.5}, True), ({"missing": True}, True), ({"row_off": 0.02}, False)],
)
def test_a_row_that_reads_apart_is_a_finding_and_teaches_nothing(
    tmp_path: Path, fault: dict[str, float], named: bool
) -> None:
    config, health = station(tmp_path), Health(lambda: 0)
    lessons = taught(config, health, passages(WINDOW, **fault))  # type: ignore[arg-type]
    state = health.snapshot().states["rows.1"]
    assert state.level is (Level.WARNING if named else Level.OK)
    assert ("第 3 排" in state.text.zh, "row 3 " in state.text.en) == (named, named)
    assert bool(state.next_step.zh) is named
    assert gathered(config).get("1", Variogram.empty(config.lanes_of("D1")[0])).vehicles == (
        0 if named else WINDOW
    )
    for passage in passages(WINDOW, seed=2):
        lessons.take(passage)
    assert health.snapshot().states["rows.1"].level is Level.OK
    assert health.snapshot().counters.get("lane.1.windows_apart", 0) == named


def test_a_row_that_changes_is_found_and_one_that_never_changed_is_the_road(
    tmp_path: Path,
) -> None:
    config, health = station(tmp_path), Health(lambda: 0)
    lessons = taught(config, health, passages(3 * WINDOW, row_off=0.12))
    assert health.snapshot().states["rows.1"].level is Level.OK
    for passage in passages(WINDOW, seed=3, row_off=0.3):
        lessons.take(passage)
    assert health.snapshot().states["rows.1"].level is Level.WARNING
    assert gathered(config)["1"].vehicles == 3 * WINDOW


def test_the_finding_stands_on_the_page_in_both_languages(tmp_path: Path) -> None:
    health = Health(lambda: 0)
    taught(station(tmp_path), health, passages(WINDOW, row_off=0.5))
    zh, en = (parts(health.snapshot(), Speaker(lang))[0] for lang in ("zh", "en"))
    assert zh.name == "车道 1 的传感器排"
    assert "标定" in zh.next_step
    assert "calibrated" in en.next_step


def test_doubted_passages_teach_nothing(tmp_path: Path) -> None:
    config, health = station(tmp_path), Health(lambda: 0)
    rows = np.full((2, 3), 5_000.0)
    doubted = _passage(rows.mean(axis=1), rows, Flag.UNCALIBRATED)
    taught(config, health, [doubted] * WINDOW)
    assert "rows.1" not in health.snapshot().states
    with pytest.raises(InputError, match="no vehicle to learn from"):
        from_station(config, [])
