"""Named conditions, layouts in code, noise of converters: what each promises."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from edge.errors import InputError
from edge.records import Floats
from firmware_bridge.recording import Truth
from simulator.conditions import CONDITIONS, Condition
from simulator.electronics import CHUNK, Electronics
from simulator.expectation import reasons
from simulator.layouts import LAYOUTS, mixed, strips
from simulator.noise import TableNoise, file_table, pink_table
from simulator.scenario import ElectronicsSection, Scenario, WeatherSection
from simulator.seeds import stream
from simulator.world import World

VEHICLES = 4


class Seen(NamedTuple):
    truth: Truth
    reasons: tuple[str, ...]


def all_of(world: World) -> list[Seen]:
    passings = world.left_between(0.0, world.last_leave_s() + 1.0)
    return [Seen(world.truth_of(passing), reasons(world, passing)) for passing in passings]


def seen(condition: Condition, seed: int = 5) -> tuple[World, list[Seen]]:
    world = condition.world(mixed(), seed, VEHICLES)
    return world, all_of(world)


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_has_its_vehicles_and_repeats(name: str) -> None:
    condition = CONDITIONS[name]
    world, found = seen(condition)
    again, _ = seen(condition)
    device = world.digitiser("D1")
    from_sample = round(found[0].truth.time_ns % 10**12 / 1e9)
    assert len(found) == VEHICLES
    assert Counter(e.truth.lane for e in found) == dict.fromkeys("1234", 1)
    assert np.array_equal(
        device.block(from_sample, 2_000), again.digitiser("D1").block(from_sample, 2_000)
    )
    assert condition.describe("zh") != condition.describe("en")


EXPECTED = {
    "free_flow": set(),
    "tailgate_1_5m": set(),
    "stop_and_go": {"stopped"},
    "reverse_off": {"reversed"},
    "straddle": {"straddling"},
    "wheel_beside": {"wheel_beside"},
    "lane_change": {"lane_change"},
    "many_axles_7_to_12": set(),
    "empty_trailer_behind_laden_tractor": set(),
    "lifted_axles": set(),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_truth_says_why_a_weight_may_not_stand(name: str) -> None:
    _, found = seen(CONDITIONS[name])
    for expectation in found:
        assert set(expectation.reasons) >= EXPECTED[name]
        assert (not expectation.reasons) == (not EXPECTED[name])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crawl_3_kmh", "speed_out_of_range"),
        ("braking", "speed_change"),
        ("saturating", "saturated"),
    ],
)
def test_some_conditions_leave_a_part_in_order(name: str, reason: str) -> None:
    world = CONDITIONS[name].world(strips(4), 2, 24)
    found = all_of(world)
    doubted = [reason in e.reasons for e in found]
    assert 0 < sum(doubted) < len(doubted)
    assert all(not e.reasons or reason in e.reasons for e in found)


@pytest.mark.parametrize("name", ["dead_channel", "noisy_channel"])
def test_a_channel_out_of_order_spoils_its_lane_alone(name: str) -> None:
    _, found = seen(CONDITIONS[name])
    assert {e.truth.lane for e in found if not e.reasons} == {"2", "4"}
    assert {e.truth.lane for e in found if e.reasons == ("channel_fault",)} == {"1", "3"}


@pytest.mark.parametrize("name", ["separator_dead", "separator_stuck", "no_separator"])
def test_without_separators_no_edges_come(name: str) -> None:
    world, _ = seen(CONDITIONS[name])
    assert world.edges("D1", 0, 10**6) == []
    assert seen(CONDITIONS["free_flow"])[0].edges("D1", 0, 10**6)


def test_who_straddles_presses_on_both_lanes_and_is_counted_once() -> None:
    world, found = seen(CONDITIONS["straddle"])
    passing = world.left_between(0.0, 1e6)[0]
    first, n = (round(passing.first_wheel_s * 2_000) - 200, 4_000)
    counts = world.digitiser("D1").block(first, n)
    pressed = np.flatnonzero(np.ptp(counts, axis=0) > 100_000)
    assert {index // 8 for index in pressed.tolist()} == {0, 1}
    assert len({e.truth.vehicle for e in found}) == len(found)
    by_lane = [[e for e in world.edges("D1", 0, 10**7) if e[1] == lane] for lane in (0, 1)]
    assert [e[0] for e in by_lane[1]][:2] == [e[0] for e in by_lane[0]]


def test_two_bodies_in_one_separator_are_one_interruption() -> None:
    tree = {
        "lane_lateral_m": [0.0, 3.5],
        "lane": [{"flow_per_h": 3_000, "lateral_sd_m": 0.0, "off_lane_rate": 0.5}],
    }
    world = World(strips(2, lanes=2), Scenario.model_validate(tree), 3)
    for lane in (0, 1):
        edges = [edge for edge in world.edges("D1", 0, 100_000) if edge[1] == lane]
        assert len(edges) > 15
        assert [active for _, _, active in edges] == [i % 2 == 0 for i in range(len(edges))]


def test_a_vehicle_that_backs_off_interrupts_the_separator_once() -> None:
    world, _ = seen(CONDITIONS["reverse_off"])
    edges = [edge for edge in world.edges("D1", 0, 10**7) if edge[1] == 0]
    assert [active for _, _, active in edges] == [True, False]


@pytest.mark.parametrize(
    ("name", "spacing_m"), [("strips_2", 3.70), ("strips_4", 2.78), ("strips_8", 1.62)]
)
def test_strips_lie_where_the_bounce_cancels_best(name: str, spacing_m: float) -> None:
    rows = LAYOUTS[name]().lanes_of("D1")[0].rows
    assert np.diff([row.position_m for row in rows]) == pytest.approx(spacing_m, abs=0.01)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_name_every_channel_once(name: str) -> None:
    station = LAYOUTS[name]()
    for digitiser in station.model.digitiser:
        used = [
            channel
            for lane in station.lanes_of(digitiser.id)
            for row in lane.rows
            for channel in (row.left, row.right)
        ]
        assert sorted(used) == list(range(len(digitiser.channels)))


def spectrum_slope(noise: Floats) -> float:
    power = np.abs(np.fft.rfft(noise)) ** 2
    bands = [slice(2**k, 2 ** (k + 1)) for k in range(4, 16)]
    return float(np.polyfit(range(4, 16), [np.log2(power[band].mean()) for band in bands], 1)[0])


def test_pink_noise_falls_with_frequency_and_white_does_not() -> None:
    chance = stream(1, "white")
    assert spectrum_slope(pink_table()) == pytest.approx(-1.0, abs=0.05)
    assert spectrum_slope(chance.standard_normal(1 << 17)) == pytest.approx(0.0, abs=0.15)


def test_slow_noise_goes_on_from_chunk_to_chunk() -> None:
    noise = TableNoise(pink_table(), 3, 12.0, stream(2, "place"))
    whole = noise.at(1_000, 600_000)
    parts = [noise.at(1_000, 400_000), noise.at(401_000, 200_000)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert whole[: len(pink_table())].std(axis=0) == pytest.approx([12.0] * 3, rel=1e-3)


@pytest.mark.parametrize("zipped", [False, True])
def test_noise_of_a_real_sensor_keeps_its_frequencies_and_loses_its_load(
    tmp_path: Path, zipped: bool
) -> None:
    time_s = np.arange(6_000) / 100
    load = 200 + 5 * np.sin(2 * np.pi * time_s / 40) + 0.01 * np.sin(2 * np.pi * 7 * time_s)
    start = np.datetime64("2022-03-07T16:35:15.600", "ms")
    stamps = start + (time_s * 1e3).round().astype("timedelta64[ms]")
    rows = [f"{str(t).replace('T', ' ')},{value}" for t, value in zip(stamps, load, strict=True)]
    text = "Time (-),Force (kN)\n" + "\n".join(rows)
    path = tmp_path / "noise"
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("noise.csv", text)
    else:
        path.write_text(text)
    table = file_table(path, 2_000.0)
    power = np.abs(np.fft.rfft(table)) ** 2
    assert len(table) == pytest.approx(120_000, rel=1e-3)
    assert table.std() == pytest.approx(1.0, rel=1e-3)
    assert np.argmax(power) / (len(table) / 2_000) == pytest.approx(7.0, abs=0.05)


@pytest.mark.parametrize("text", ["", "a,b\nx,y\n", "a,b\n2022-01-01 00:00:00,1\n"])
def test_a_noise_file_without_noise_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "noise.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"noise\.csv"):
        file_table(path, 2_000.0)


def counts_of(force_n: Floats, **section: object) -> Floats:
    quiet = {
        "gain_sd_rel": 0, "noise_n": 0, "hum_n": 0, "zero_n": 0, "drift_n": 0, "zero_n_per_k": 0,
        "span_ppm_per_k": 0, "newton_per_count": 0.01,
    }  # fmt: skip
    electronics = Electronics(
        "D", force_n.shape[1], ElectronicsSection.model_validate(quiet | section),
        WeatherSection(mean_c=30, swing_c=0), seed=1,
    )  # fmt: skip
    return electronics.counts(0, force_n.copy(), 2_000.0) * 0.01


def test_channels_hear_their_neighbours() -> None:
    force_n = np.zeros((CHUNK, 4))
    force_n[100, 1] = 10_000.0
    heard = counts_of(force_n, cross_talk_rel=0.01)[100]
    assert heard == pytest.approx([100.0, 10_000.0, 100.0, 0.0], abs=0.01)


def test_warmth_stretches_the_span() -> None:
    force_n = np.full((CHUNK, 1), 10_000.0)
    assert counts_of(force_n, span_ppm_per_k=100)[0, 0] == pytest.approx(10_010.0, abs=1.0)
