"""Effects that make weighing hard: each has the size and the sense that physics gives it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import welch

from edge.records import ADC_FULL_SCALE, Floats, LaneLayout, Row
from simulator.bodies import bodies_of
from simulator.conditions import CONDITIONS
from simulator.dynamics import receptance, tyre_forces
from simulator.electronics import CHUNK, Electronics
from simulator.fleet import SimVehicle, make_vehicle, reference_vehicle
from simulator.layouts import strips
from simulator.measured import LEVELS, levels, measured_table
from simulator.motion import drive
from simulator.road import (
    LENGTH_M,
    TRACK_M,
    WAVE_PER_M,
    LaneRoad,
    Surface,
    beside,
    coherence,
    random_profile,
    roughness,
    surface_of,
)
from simulator.scenario import ElectronicsSection, RoadSection, WeatherSection
from simulator.seeds import stream
from simulator.sensor import covered_share
from simulator.traffic import traffic_plans
from simulator.wheels import wheel_ends

RATE_HZ = 2_000.0
LANE = LaneLayout("1", (Row(0.0, 0.07, "strip", 0, 1), Row(2.0, 0.07, "strip", 2, 3)))


def lorry(code: str = "157", *, air: bool = False, load: float = 1.0) -> SimVehicle:
    vehicle = reference_vehicle(1, code, 0.0, stream(1, "test"))
    n = len(vehicle.axle_kg)
    axle_kg = tuple(load * kg for kg in vehicle.axle_kg)
    return replace(vehicle, axle_kg=axle_kg, air=(air,) * n, right_share=(0.5,) * n)


def modes_hz(vehicle: SimVehicle) -> Floats:
    """Undamped natural frequencies of bodies and axles together, from their matrices."""
    ends = wheel_ends(vehicle)
    bodies = bodies_of(vehicle, ends)
    m, n = len(bodies.mass), ends.static_n.size
    k, t = ends.spring_npm.ravel(), ends.tyre_npm.ravel()
    stiffness = np.zeros((m + n, m + n))
    for wheel in range(n):
        spring = np.concatenate([bodies.reach[wheel], -np.eye(n)[wheel]])
        stiffness += k[wheel] * np.outer(spring, spring)
    stiffness[:m, :m] += bodies.frame
    stiffness[m:, m:] += np.diag(t)
    mass = np.zeros_like(stiffness)
    mass[:m, :m], mass[m:, m:] = bodies.mass, np.diag(ends.unsprung_kg.ravel())
    squares = np.linalg.eigvals(np.linalg.solve(mass, stiffness)).real
    return np.asarray(np.sort(np.sqrt(squares)) / (2 * np.pi))


@pytest.mark.parametrize("code", ["12", "15", "127", "157", "1222", "1577"])
@pytest.mark.parametrize("air", [False, True])
def test_bodies_bounce_and_axles_hop_where_lorries_do(code: str, air: bool) -> None:
    hz = modes_hz(lorry(code, air=air))
    n_wheels = 2 * len(lorry(code).axle_kg)
    body, hop = hz[:-n_wheels], hz[-n_wheels:]
    assert 0.7 < body.min() < 2.2
    assert body.max() < 6.0
    assert hop.min() > 8.0
    assert hop.max() < 15.0


@pytest.mark.parametrize("code", ["12", "15"])
def test_air_bounces_slower_than_steel_and_heeds_its_load_less(code: str) -> None:
    slowest = {
        (air, load): modes_hz(lorry(code, air=air, load=load))[0]
        for air in (False, True)
        for load in (0.5, 1.0)
    }
    assert slowest[True, 1.0] < 0.85 * slowest[False, 1.0]
    rises = {air: slowest[air, 0.5] / slowest[air, 1.0] for air in (False, True)}
    assert rises[True] < 0.95 * rises[False]


def dynamic_n(vehicle: SimVehicle, surface: Surface) -> Floats:
    """Dynamic forces (n_axles, 2, n_times) over 60 s at 20 m/s."""
    forces = tyre_forces(vehicle, surface, drive(20.0, 0.0, 0.0, 1_500.0), 10.0, 70.0)
    inside = forces.force_n[:, :, round(8 / forces.step_s) : round(68 / forces.step_s)]
    return np.asarray(inside - wheel_ends(vehicle).static_n[:, :, None])


def rough(seed: int, road_class: str = "B") -> Surface:
    chance = stream(seed, "rough")
    left, other = (random_profile(roughness(road_class), chance) for _ in range(2))
    return surface_of(np.stack([left, beside(left, other, TRACK_M)]))


def test_axle_forces_have_their_power_in_bounce_and_hop() -> None:
    axle_n = dynamic_n(lorry("12"), rough(1)).sum(axis=1)[1]
    hz, psd = welch(axle_n, 512.0, nperseg=4_096)

    def power(low_hz: float, high_hz: float) -> float:
        return float(psd[(hz >= low_hz) & (hz < high_hz)].sum() / psd.sum())

    assert power(1.2, 4.0) > 0.3
    assert 0.03 < power(8.0, 15.0) < power(1.2, 4.0)
    assert power(25.0, 256.0) < 0.02


def test_bodies_join_what_their_axles_do() -> None:
    """A sine under one axle alone moves the others of its vehicle, and those of its unit most."""
    vehicle = lorry("157")
    ends = wheel_ends(vehicle)
    matrix = np.abs(receptance(ends, bodies_of(vehicle, ends), np.array([2.0])).matrix()[0])
    from_first = matrix[:, 0].reshape(-1, 2).sum(axis=1) / matrix[0, 0]
    assert (from_first[1:] > 0.002).all()
    assert from_first[1:3].min() > 2 * from_first[3:].max()


@pytest.mark.parametrize("code", ["12", "157"])
def test_tyres_stand_longer_under_load_and_shorter_when_hard(code: str) -> None:
    plain = wheel_ends(lorry(code)).contact_m
    heavy = wheel_ends(lorry(code, load=2.0)).contact_m
    hard = wheel_ends(replace(lorry(code), pressure_rel=1.2)).contact_m
    assert heavy == pytest.approx(np.sqrt(2) * plain)
    assert (hard < 0.97 * plain).all()
    assert plain.min() > 0.12
    assert heavy.max() < 0.45


def test_a_twin_shares_its_load_between_two_tyres() -> None:
    vehicle = lorry("12")
    single = replace(vehicle, twin=(False, False))
    assert (wheel_ends(vehicle).contact_m[1] < 0.75 * wheel_ends(single).contact_m[1]).all()


def test_a_seam_between_the_tyres_of_a_twin_takes_nothing() -> None:
    """Two tyres with a gap: half the load stays on each sensor while the seam is in the gap."""
    vehicle = lorry("12")
    at_m = vehicle.chassis.track_m / 2 + np.array([-0.04, 0.0, 0.04])
    twin, steer = (covered_share(vehicle, axle, at_m, 1.75)[:, 0] for axle in (1, 0))
    assert twin == pytest.approx(np.full((2, 3), 0.5))
    assert (np.abs(np.diff(steer[0])) > 0.1).all()
    assert covered_share(vehicle, 1, np.array([0.3]), 1.75).sum(axis=0) == pytest.approx(1.0)


def test_left_and_right_go_together_at_long_waves_alone() -> None:
    """Coherence of the two tracks of many roads, against that of an isotropic surface."""
    tracks = np.stack(
        [
            LaneRoad(LANE, RoadSection(road_class="B"), np.zeros((2, 2)), seed).tracks
            for seed in range(300)
        ]
    )
    for wave_per_m in (0.015, 0.05, 0.1, 0.3):
        at = slice(*np.searchsorted(WAVE_PER_M, [wave_per_m, wave_per_m + 3.5 / LENGTH_M]))
        left, right = tracks[:, 0, at], tracks[:, 1, at]
        power = np.sqrt((np.abs(left) ** 2).mean() * (np.abs(right) ** 2).mean())
        found = (np.conj(left) * right).mean() / power
        assert found.real == pytest.approx(coherence(TRACK_M)[at].mean(), abs=0.08)
        assert abs(found.imag) < 0.08


def test_who_drives_beside_the_track_meets_another_road_at_short_waves() -> None:
    road = LaneRoad(LANE, RoadSection(road_class="B", receptor_step_mm=0), np.zeros((2, 2)), 3)
    at_m = np.arange(0.0, 400.0, 0.25)
    near, far, track = (
        np.diff(road.under(lateral_m, stream(1, "own")).height_m(0, at_m, 0.2))
        for lateral_m in (0.02, 0.4, 0.0)
    )
    assert np.corrcoef(near, track)[0, 1] > 0.97
    assert np.corrcoef(far, track)[0, 1] < 0.8


def test_drivers_wander_across_their_lane() -> None:
    section = CONDITIONS["free_flow"].world(strips(4), 1, 4).scenario.traffic_of(0)
    plans = traffic_plans(section, 0, LANE, 1.0, seed=4)
    lateral_m = [next(plans).vehicle.lateral_m for _ in range(400)]
    assert np.std(lateral_m) == pytest.approx(section.lateral_sd_m, rel=0.12)
    assert np.mean(lateral_m) == pytest.approx(0.0, abs=0.02)


def test_steel_and_air_and_pressures_are_mixed_in_traffic() -> None:
    chance = stream(2, "mix")
    fleet = [make_vehicle(i, {"157": 1.0}, {"legal": 1.0}, 0.1, chance) for i in range(300)]
    assert np.mean([vehicle.air[-1] for vehicle in fleet]) == pytest.approx(0.45, abs=0.1)
    assert not any(vehicle.air[0] for vehicle in fleet)
    assert np.std([vehicle.pressure_rel for vehicle in fleet]) == pytest.approx(0.06, rel=0.2)


@pytest.mark.parametrize(("name", "most_mps2"), [("braking", 5.1), ("accelerating", 1.25)])
def test_nobody_brakes_or_gains_speed_harder_than_lorries_can(name: str, most_mps2: float) -> None:
    world = CONDITIONS[name].world(strips(4), 6, 60)
    changes = [abs(p.acceleration_mps2) for p in world.left_between(0.0, np.inf)]
    assert max(changes) < most_mps2
    assert np.median(changes) > 0.2


def background_n(seconds: float, **section: object) -> Floats:
    """What one channel of a digitiser shows of nothing, a chunk each ``seconds``."""
    quiet = {"gain_sd_rel": 0, "noise_n": 0, "hum_n": 0, "zero_n": 0, "drift_n": 0,
             "zero_n_per_k": 0, "span_ppm_per_k": 0, "newton_per_count": 0.01}  # fmt: skip
    electronics = Electronics(
        "D", 1, ElectronicsSection.model_validate(quiet | section), WeatherSection(), seed=2
    )
    chunks = range(0, round(86_400 * RATE_HZ / CHUNK), round(seconds * RATE_HZ / CHUNK))
    counts = [electronics.counts(c, np.zeros((CHUNK, 1)), RATE_HZ)[0, 0] for c in chunks]
    return np.asarray(np.array(counts) * 0.01)


def test_the_zero_drifts_with_time_and_with_the_temperature() -> None:
    still, drifting = background_n(600.0), background_n(600.0, drift_n=60.0)
    warming = background_n(600.0, zero_n_per_k=3.0)
    assert np.ptp(still) == 0.0
    assert np.abs(np.diff(drifting)).max() > 5.0
    weather = WeatherSection()
    warm_k = np.array([weather.temperature_c(600.0 * i) - 20 for i in range(len(warming))])
    assert warming == pytest.approx(3.0 * warm_k, abs=0.5)


def test_a_converter_ends_at_its_full_scale() -> None:
    section = ElectronicsSection(newton_per_count=1e-3)
    electronics = Electronics("D", 2, section, WeatherSection(), seed=2)
    force_n = np.array([[1e6, -1e6]]) * np.ones((CHUNK, 1))
    counts = electronics.counts(0, force_n, RATE_HZ)
    assert (counts == [ADC_FULL_SCALE, -ADC_FULL_SCALE - 1]).all()


@pytest.mark.parametrize("name", LEVELS)
def test_measured_noise_has_the_spectrum_that_was_kept(name: str) -> None:
    table = measured_table(name, RATE_HZ).astype(np.float64)
    expected = np.array(LEVELS[name])
    assert table.std() == pytest.approx(1.0, rel=1e-3)
    slow = table[:: round(RATE_HZ / 200)]  # nothing of it is faster than 50 Hz
    hz, psd = welch(slow, 200.0, nperseg=8_192)
    middles_hz = 0.25 * 2.0 ** ((np.arange(15) + 0.5) / 2)
    found = np.interp(middles_hz[1:], hz, psd)
    assert np.abs(np.log(found / expected[1:15])).mean() < 0.25
    assert psd[hz > 55].max() < 1e-5
    assert table[: len(table) // 2].std() == pytest.approx(1.0, rel=0.2)


def test_levels_of_a_recording_are_those_of_its_noise() -> None:
    values = measured_table("strain", 100.0)[:60_000] * 250.0 + 5_000.0
    found = np.array(levels(values.astype(np.float64), 100.0))
    assert np.abs(np.log(found / LEVELS["strain"]))[:15].mean() < 0.2


def test_channels_of_one_digitiser_have_measured_noise_of_their_own() -> None:
    section = {"measured": "force-1", "measured_n": 40.0, "noise_n": 0, "hum_n": 0, "drift_n": 0}
    electronics = Electronics(
        "D", 4, ElectronicsSection.model_validate(section), WeatherSection(), seed=2
    )
    counts = np.concatenate(
        [electronics.counts(c, np.zeros((CHUNK, 4)), RATE_HZ) for c in range(60)]
    )
    seen_n = counts * electronics.newton_per_count
    assert seen_n.std(axis=0) == pytest.approx([40.0] * 4, rel=0.35)
    assert np.abs(np.corrcoef(seen_n.T) - np.eye(4)).max() < 0.5


def test_a_wheel_weighs_a_little_more_or_less_along_its_sensor() -> None:
    electronics = Electronics("D", 8, ElectronicsSection(), WeatherSection(), seed=2)
    gains = np.array(
        [[electronics.lateral_gain(c, m) for m in np.arange(-0.4, 0.4, 0.05)] for c in range(8)]
    )
    assert np.ptp(gains, axis=1) == pytest.approx([2 * 0.003] * 8, rel=0.1)


@pytest.mark.parametrize(
    ("name", "gap_m"), [("dense_4m_gaps", 4.0), ("tailgate_1_5m", 1.5), ("stop_and_go", 1.5)]
)
def test_followers_come_as_near_as_promised_and_no_nearer(name: str, gap_m: float) -> None:
    """From tail to nose at every moment at which both are about the sensors."""
    world = CONDITIONS[name].world(strips(4), 7, 40)
    passings = world.left_between(0.0, np.inf)
    least_m = []
    for ahead, behind in pairwise(passings):
        time_s = np.arange(ahead.first_wheel_s, behind.last_wheel_s, 0.05)
        body_m = ahead.vehicle.wheelbase_m + ahead.vehicle.rear_overhang_m
        tail_m = ahead.motion.position_m(time_s) - body_m
        nose_m = behind.motion.position_m(time_s) + behind.vehicle.front_overhang_m
        here = (nose_m > 0.0) & (tail_m < 8.0)
        least_m += (tail_m - nose_m)[here].tolist()
    assert min(least_m) > gap_m - 0.05
    assert min(least_m) < gap_m + 0.8
