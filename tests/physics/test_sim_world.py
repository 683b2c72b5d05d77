"""The simulated world: the same for the same seed, lawful in its traffic, honest in its truth."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.config import StationConfig, StationFile
from edge.errors import InputError
from firmware_bridge.recording import Recording
from simulator.camera import draw_picture, write_picture
from simulator.plates import misread
from simulator.scenario import Scenario, load_scenario
from simulator.seeds import stream
from simulator.world import World

STATION = b"""
[station]
id = "SIM"
[[digitiser]]
id = "D1"
url = "run/d1"
channels = ["a", "b", "c", "d"]
[[digitiser]]
id = "D2"
device_id = 2
url = "socket://127.0.0.1:0"
channels = ["a", "b", "c", "d"]
[[lane]]
id = "1"
digitiser = "D1"
direction = "east"
separator = { input = 0, position_m = -0.5 }
row = [
    { position_m = 0.0, width_m = 0.07, kind = "strip", left = "a", right = "b" },
    { position_m = 2.1, width_m = 0.07, kind = "strip", left = "c", right = "d" },
]
[[lane]]
id = "2"
digitiser = "D2"
separator = { input = 3, position_m = -0.5 }
row = [
    { position_m = 0.0, width_m = 0.8, kind = "plate", left = "a", right = "b" },
    { position_m = 2.4, width_m = 0.8, kind = "plate", left = "c", right = "d" },
]
[[camera]]
id = "C1"
url = "run/c1"
lanes = ["1", "2"]
position_m = 1.0
"""


def station() -> StationConfig:
    tree = tomllib.loads(STATION.decode())
    return StationConfig(Path("/nowhere/station.toml"), STATION, StationFile.model_validate(tree))


def world(seed: int | None = None, **changes: object) -> World:
    return World(station(), load_scenario("demo").model_copy(update=changes), seed)


def test_every_way_of_asking_gives_the_same_samples() -> None:
    whole = world().digitiser("D1").block(3_000, 9_000)
    pieces = world().digitiser("D1")
    edges = [3_000, 3_001, 4_096, 4_100, 9_999, 12_000]
    parts = [pieces.block(a, b - a) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), whole)
    backward = world().digitiser("D1")
    assert np.array_equal(backward.block(9_000, 3_000), whole[6_000:])
    assert np.array_equal(backward.block(3_000, 3_000), whole[:3_000])


def test_what_is_made_beforehand_is_what_would_be_made_when_asked_for() -> None:
    beforehand, asked = world().digitiser("D1"), world().digitiser("D1")
    beforehand.make_until(20_000)
    beforehand.make_until(50_000)
    for a, b in pairwise([0, 7_000, 30_000, 49_999, 60_000]):
        assert np.array_equal(beforehand.block(a, b - a), asked.block(a, b - a))
        assert beforehand.edges(a, b) == asked.edges(a, b)


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    first, again, other = world(5), world(5), world(6)
    samples = [w.digitiser("D2").block(0, 20_000) for w in (first, again, other)]
    assert samples[0].tobytes() == samples[1].tobytes() != samples[2].tobytes()
    assert first.truth(0, 30) == again.truth(0, 30) != other.truth(0, 30)
    assert first.plate_events(0, 30) == again.plate_events(0, 30)


def test_edges_alternate_and_keep_the_gap() -> None:
    simulated = world()
    for device, number in (("D1", 0), ("D2", 3)):
        edges = simulated.edges(device, 0, 120_000)
        assert len(edges) > 20
        assert {edge[1] for edge in edges} == {number}
        assert [edge[2] for edge in edges] == [i % 2 == 0 for i in range(len(edges))]
        split = [simulated.edges(device, a, a + 40_000) for a in (0, 40_000, 80_000)]
        assert [edge for part in split for edge in part] == edges


def test_nobody_overlaps_anywhere_between_the_devices() -> None:
    simulated = world()
    for lane, gap_m in (("1", 3.0), ("2", 1.5)):
        passings = simulated.traffic[lane].between(0, 120)
        for ahead, behind in pairwise(passings):
            for position_m in (-0.5, 0.0, 1.0, 2.4):
                tail_m = ahead.motion.position_m(behind.nose_s(position_m)) - (
                    ahead.vehicle.wheelbase_m + ahead.vehicle.rear_overhang_m
                )
                assert tail_m - position_m >= 0.95 * gap_m


def test_the_demo_is_lively_and_its_overloads_are_clear() -> None:
    simulated = world()
    assert len(simulated.truth(0, 60)) >= 40
    vehicles = [p.vehicle for p in simulated.left_between(0, 300)]
    over = [v for v in vehicles if v.load == "over"]
    assert 0.15 < len(over) / len(vehicles) < 0.30
    assert all(v.gross_kg > 1.14 * v.limits_kg[1] for v in over)
    assert all(v.gross_kg < 0.93 * v.limits_kg[0] for v in vehicles if v.load != "over")


def test_a_wheel_is_seen_when_the_truth_says_it_was_there() -> None:
    simulated = world()
    digitiser = simulated.digitiser("D1")
    passing = simulated.left_between(0, 30)[0]
    assert passing.lane == "1"
    counts = digitiser.block(0, round(passing.last_wheel_s * 2_000) + 400).astype(float)
    pressed = np.flatnonzero(np.abs(counts - counts[:2_000].mean(axis=0)).max(axis=1) > 10_000)
    assert pressed[0] / 2_000 == pytest.approx(passing.first_wheel_s, abs=0.02)
    assert pressed[-1] / 2_000 == pytest.approx(passing.last_wheel_s, abs=0.02)


def test_a_recording_holds_what_the_world_shows(tmp_path: Path) -> None:
    simulated = world()
    paths = simulated.recording(tmp_path, 12.0)
    assert [path.name for path in paths] == ["D1", "D2"]
    recording = Recording.open(paths[1])
    counts = np.concatenate([counts for _, counts, _ in recording.blocks(5_000)])
    assert np.array_equal(counts, world().digitiser("D2").block(0, len(counts)))
    assert list(recording.edges) == world().edges("D2", 0, len(counts))
    rows = [row for path in paths for row in Recording.open(path).truth]
    assert sorted(rows, key=lambda row: row.time_ns) == world().truth(0, 12.0)


def test_calibration_runs_cross_the_same_sensors_as_the_traffic(tmp_path: Path) -> None:
    simulated = world()
    paths = simulated.reference_recording(tmp_path, passes=2)
    quiet = np.concatenate([c for _, c, _ in Recording.open(paths[0]).blocks(4_096)])
    assert np.array_equal(quiet[:1_024], simulated.digitiser("D1").block(0, 1_024))
    truth = Recording.open(paths[0]).truth
    assert [len(row.axle_kg) for row in truth] == [2, 2, 6, 6]
    assert truth[0].axle_kg == truth[1].axle_kg
    assert {row.lane for row in truth} == {"1"}
    assert truth[0].speed_mps != truth[1].speed_mps


def test_true_gains_spread_about_the_nominal_one() -> None:
    gains = [world(seed).digitiser("D1").electronics.newton_per_count for seed in range(40)]
    spread = np.array(gains) / 0.02 - 1
    assert spread.std() == pytest.approx(0.02, rel=0.3)


def test_signal_faults_do_what_they_say() -> None:
    faulty = Scenario.model_validate(
        {
            "seed": 7,
            "fault": [
                {"kind": "dead", "device": "D1", "channel": 1, "from_s": 1, "to_s": 2},
                {"kind": "stuck_high", "device": "D1", "channel": 2, "from_s": 1},
                {"kind": "separator_silent", "device": "D1", "from_s": 20},
            ],
        }
    )
    simulated = World(station(), faulty)
    sound = World(station(), faulty.model_copy(update={"fault": ()}))
    counts, clean = (w.digitiser("D1").block(0, 6_000) for w in (simulated, sound))
    assert not counts[2_010:3_990, 1].any()
    assert np.array_equal(counts[4_010:, 1], clean[4_010:, 1])
    assert (counts[2_010:, 2] == (1 << 23) - 1).all()
    assert np.array_equal(counts[:, [0, 3]], clean[:, [0, 3]])
    late = [edge for edge in sound.edges("D1", 0, 160_000) if edge[0] > 40_010]
    assert late
    assert not [edge for edge in simulated.edges("D1", 0, 160_000) if edge[0] > 40_010]


@pytest.mark.parametrize(("device", "channel"), [("D9", 0), ("D1", 4)])
def test_a_fault_of_nothing_is_refused(device: str, channel: int) -> None:
    fault = {"kind": "dead", "device": device, "channel": channel}
    with pytest.raises(InputError, match=device):
        World(station(), Scenario.model_validate({"fault": [fault]}))


def test_lanes_across_the_road_are_all_given_or_none() -> None:
    with pytest.raises(InputError, match="lane_lateral_m"):
        world(lane_lateral_m=(0.0,))


def test_cameras_miss_and_misread_as_often_as_told() -> None:
    scenario = load_scenario("demo")
    poor = scenario.plate.model_copy(update={"miss_rate": 0.2, "misread_rate": 0.3})
    events = world(plate=poor).plate_events(0, 400)
    missed = np.mean([event.text == "" for event in events])
    wrong = np.mean([event.text not in ("", event.vehicle.plate) for event in events])
    assert missed == pytest.approx(0.2, abs=0.06)
    assert wrong == pytest.approx(0.3, abs=0.06)
    delays_s = np.array([event.sent_s - event.taken_s for event in events])
    assert delays_s.min() >= 0.08 - 1e-9
    assert delays_s.max() <= 0.35 + 1e-9
    assert [e.sent_s for e in events] == sorted(e.sent_s for e in events)


def test_plate_events_do_not_depend_on_how_time_is_cut() -> None:
    simulated = world()
    cuts = np.linspace(0, 30, 61)
    pieces = [simulated.plate_events(a, b) for a, b in pairwise(cuts.tolist())]
    assert [event for piece in pieces for event in piece] == simulated.plate_events(0, 30)


@pytest.mark.parametrize("plate", ["冀B12345", "粤A88888D", "皖K33333"])
def test_a_misread_plate_differs_in_one_character(plate: str) -> None:
    for run in range(20):
        wrong = misread(plate, stream(run, "misread"))
        assert len(wrong) == len(plate)
        assert sum(a != b for a, b in zip(plate, wrong, strict=True)) == 1


def test_a_picture_is_a_whole_jpeg(tmp_path: Path) -> None:
    event = world().plate_events(0, 20)[0]
    picture = draw_picture(event, 1_780_272_000_000_000_000)
    write_picture(tmp_path / "in", "a.jpg", picture)
    stored = (tmp_path / "in" / "a.jpg").read_bytes()
    assert stored[:2] == b"\xff\xd8"
    assert stored[-2:] == b"\xff\xd9"
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.jpg"]


def test_traffic_with_an_end_ends() -> None:
    simulated = World(station(), load_scenario("demo"), until_s=20.0)
    last_s = simulated.last_leave_s()
    assert 20.0 < last_s < 60.0
    assert simulated.truth(0, last_s + 1) == simulated.truth(0, 1e6)


@pytest.mark.parametrize("name", ["demo", "hour", "trouble", "hard"])
def test_scenarios_that_come_along_are_valid(name: str) -> None:
    assert load_scenario(name).name == name


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("flow = 3", "flow"),
        ("[[lane]]\nflow_per_h = -1", "flow_per_h"),
        ("[[lane]]\nmix = { '99' = 1 }", "99"),
        ("[[lane]]\nload = { 'huge' = 1 }", "huge"),
        ("[road]\nroad_class = 'Z'", "road_class"),
        ("lane = []", "lane"),
        ("not toml", "line 1"),
    ],
)
def test_a_wrong_scenario_is_explained(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=word):
        load_scenario(path)


def test_a_missing_scenario_is_explained() -> None:
    with pytest.raises(InputError, match="nowhere"):
        load_scenario("nowhere")
