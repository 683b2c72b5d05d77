"""Road, wheels and sensors of the simulator against closed forms and published figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.records import STANDARD_GRAVITY_MPS2, LaneLayout, Row
from firmware_bridge.plate_grammar import grammar_of
from simulator.dynamics import (
    WheelEnds,
    load_transfer_kg,
    receptance,
    tyre_forces,
    wheel_ends,
)
from simulator.fleet import TYPES, SimVehicle, reference_vehicle
from simulator.motion import Stop, drive
from simulator.plates import make_plate
from simulator.road import (
    LENGTH_M,
    WAVE_PER_M,
    LaneRoad,
    along,
    beside,
    coherence,
    random_profile,
    roughness,
)
from simulator.seeds import stream
from simulator.sensor import Pulse, covered_share, pressed_share, wheel_pulses
from simulator.traffic import Plan, place

RATE_HZ = 2_000.0
STRIP = LaneLayout("1", (Row(0.0, 0.07, "strip", 0, 1), Row(2.0, 0.07, "strip", 2, 3)))
PLATE = LaneLayout("2", (Row(0.0, 0.8, "plate", 0, 1), Row(2.4, 0.8, "plate", 2, 3)))


def lorry(code: str = "12") -> SimVehicle:
    vehicle = reference_vehicle(1, code, 0.0, stream(1, "test"))
    return replace(vehicle, right_share=(0.5,) * len(vehicle.axle_kg))


def pulses_of(
    vehicle: SimVehicle, lane: LaneLayout, speed_mps: float, road_class: str = "smooth"
) -> list[Pulse]:
    road = LaneRoad(lane.lane, road_class, lane.rows, 0.0, seed=1)
    passing = place(Plan(vehicle, speed_mps, 0.0, 1.0), lane, (-1.0, 4.0), None, 2.0)
    return wheel_pulses(passing, lane, road, RATE_HZ, seed=1)


def areas_n_s(pulses: list[Pulse], channel: int) -> np.ndarray:
    return np.array([p.force_n.sum() / RATE_HZ for p in pulses if p.channel == channel])


@pytest.mark.parametrize("speed_mps", [3.0, 12.0, 25.0])
def test_strip_area_times_speed_over_width_is_the_static_force(speed_mps: float) -> None:
    vehicle = lorry("15")
    pulses = pulses_of(vehicle, STRIP, speed_mps)
    force_n = areas_n_s(pulses, 0) * speed_mps / 0.07
    expected_n = np.array(vehicle.axle_kg) / 2 * STANDARD_GRAVITY_MPS2
    assert force_n == pytest.approx(expected_n, rel=2e-3)


def test_double_load_gives_double_area() -> None:
    light = lorry("157")
    heavy = replace(light, axle_kg=tuple(2 * kg for kg in light.axle_kg))
    once, twice = (areas_n_s(pulses_of(v, STRIP, 15.0), 3) for v in (light, heavy))
    assert twice == pytest.approx(2 * once, rel=2e-3)


def test_a_plate_shows_the_whole_wheel_on_its_plateau() -> None:
    vehicle = lorry()
    tops_n = [p.force_n.max() for p in pulses_of(vehicle, PLATE, 4.0) if p.channel == 1]
    assert tops_n == pytest.approx(np.array(vehicle.axle_kg) / 2 * 9.80665, rel=1e-9)


def test_a_strip_never_sees_the_whole_wheel() -> None:
    tops_n = np.array([p.force_n.max() for p in pulses_of(lorry(), STRIP, 4.0)])
    assert (tops_n < 0.6 * 5_000 * 9.80665).all()


def test_a_motionless_share_is_a_distribution() -> None:
    at_m = np.linspace(-1, 1, 20_001)
    share = pressed_share(at_m, 0.24, 0.07)
    assert share.sum() * 1e-4 == pytest.approx(0.07, rel=1e-6)
    assert share.max() < 0.07 / 0.24 * 1.25 + 1e-9
    assert (share >= 0).all()


def test_wheels_beside_the_lane_are_not_weighed() -> None:
    assert covered_share(0.0, twin=True) == pytest.approx(np.eye(2))
    assert covered_share(1.3, twin=True)[1, 1] == 0.0
    assert covered_share(0.3, twin=True).sum(axis=0) == pytest.approx([1.0, 1.0])


# DLC in per cent of a linear quarter truck, PSD method over 0.011-2.83 cycles/m.
DLC_PCT = [
    ("A", 10, 2.5, 1.0),
    ("A", 20, 3.8, 1.9),
    ("A", 40, 5.5, 2.9),
    ("A", 60, 6.7, 3.7),
    ("A", 80, 7.8, 4.3),
    ("B", 20, 7.6, 3.9),
    ("B", 40, 11.0, 5.9),
    ("B", 60, 13.5, 7.3),
    ("B", 80, 15.6, 8.5),
]


@pytest.mark.parametrize(("road_class", "speed_kmh", "steel_pct", "air_pct"), DLC_PCT)
def test_dynamic_load_coefficient(
    road_class: str, speed_kmh: float, steel_pct: float, air_pct: float
) -> None:
    for spring_npm, damper_nspm, expected_pct in ((1e6, 15e3, steel_pct), (0.35e6, 20e3, air_pct)):
        wheel = np.ones((1, 2))
        ends = WheelEnds(
            4_450 * wheel,
            550 * wheel,
            spring_npm * wheel,
            damper_nspm * wheel,
            1.75e6 * wheel,
            0 * wheel,
        )
        squares = []
        for run in range(3):
            chance = stream(run, road_class, int(speed_kmh))
            profiles = np.stack([random_profile(roughness(road_class), chance) for _ in range(2)])
            force_n = tyre_forces(ends, profiles, speed_kmh / 3.6)
            squares.append(force_n.var() / ends.static_n[0, 0] ** 2)
        assert 100 * np.sqrt(np.mean(squares)) == pytest.approx(expected_pct, rel=0.2)


def test_a_quarter_car_solved_in_frequency_obeys_its_equations_of_motion() -> None:
    ends = wheel_ends(lorry(), np.full((2, 2), 4_000.0))
    f = np.array([0.7, 2.0, 9.0])
    force = receptance(ends, f)[1, 0]
    w = 2 * np.pi * f
    for i in range(len(f)):
        ms, mu = ends.sprung_kg[1, 0], ends.unsprung_kg[1, 0]
        k = ends.spring_npm[1, 0] + 1j * w[i] * ends.damper_nspm[1, 0]
        t = ends.tyre_npm[1, 0] + 1j * w[i] * ends.tyre_damping_nspm[1, 0]
        matrix = np.array([[k - ms * w[i] ** 2, -k], [-k, k + t - mu * w[i] ** 2]])
        _, z_axle = np.linalg.solve(matrix, np.array([0, t]))
        assert force[i] == pytest.approx(t * (1 - z_axle), rel=1e-9)


def test_a_slow_wheel_follows_the_road() -> None:
    ends = wheel_ends(lorry(), np.full((2, 2), 4_000.0))
    assert np.abs(receptance(ends, np.array([1e-3]))).max() < 1.0


def test_profile_has_the_displacement_psd_of_its_class() -> None:
    profile = random_profile(roughness("B"), stream(3, "psd"))
    inside = np.abs(profile) > 0
    psd_m3 = np.abs(profile[inside]) ** 2 / 2 * LENGTH_M
    assert psd_m3 == pytest.approx(64e-6 * (WAVE_PER_M[inside] / 0.1) ** -2, rel=1e-9)
    assert along(profile).std() == pytest.approx(np.sqrt((np.abs(profile) ** 2).sum() / 2))


def test_tracks_agree_at_long_waves_and_not_at_short_ones() -> None:
    shared = coherence(1.9)
    assert shared[0] == pytest.approx(1.0)
    assert shared[np.searchsorted(WAVE_PER_M, 0.011)] > 0.97
    assert shared[np.searchsorted(WAVE_PER_M, 1.0)] < 1e-3
    assert (np.diff(shared) <= 1e-12).all()


def test_a_line_at_no_distance_is_the_same_line() -> None:
    chance = stream(4, "lines")
    profile, other = (random_profile(64e-6, chance) for _ in range(2))
    assert beside(profile, other, 0.0) == pytest.approx(profile)


def test_braking_moves_load_forward_and_keeps_the_sum() -> None:
    shift_kg = load_transfer_kg(lorry("157"), -1.0)
    assert shift_kg.sum() == pytest.approx(0.0, abs=1e-6)
    assert shift_kg[0] > 0 > shift_kg[-1]


def test_a_motion_keeps_its_mean_speed_and_changes_by_what_was_asked() -> None:
    motion = drive(10.0, 0.1, 0.0, 50.0)
    speed = np.diff(motion.front_m) / np.diff(motion.time_s)
    assert motion.mean_speed_mps(0.0, 50.0) == pytest.approx(10.0)
    assert speed[-1] / speed[0] == pytest.approx(1.1, rel=2e-3)


def test_a_stop_holds_the_vehicle_where_it_was_told() -> None:
    motion = drive(8.0, 0.0, -50.0, 60.0, Stop(3.0, 2.5))
    assert motion.front_m[-1] == pytest.approx(60.0)
    assert (np.diff(motion.front_m) >= 0).all()
    standing = np.isclose(motion.front_m, 3.0, atol=1e-6)
    assert np.ptp(motion.time_s[standing]) == pytest.approx(2.5, rel=1e-6)


@pytest.mark.parametrize("code", TYPES)
def test_the_code_tells_the_axles(code: str) -> None:
    kind = TYPES[code]
    axles = sum({"1": 1, "2": 1, "5": 2, "7": 3}[digit] for digit in code)
    assert axles == len(kind.tare_kg) == len(kind.share) == len(kind.twin)
    assert len(kind.spacing_m) == axles - 1
    assert sum(kind.share) == pytest.approx(1.0)
    assert sum(kind.tare_kg) < 0.5 * kind.limits_kg[0]


def test_plates_follow_the_grammar_of_their_colour() -> None:
    chance = stream(5, "plates")
    plates = [make_plate(chance) for _ in range(200)]
    kinds = {(grammar_of(text), colour) for text, colour in plates}
    assert kinds == {("cn-ordinary", "yellow"), ("cn-energy-large", "yellow-green")}
