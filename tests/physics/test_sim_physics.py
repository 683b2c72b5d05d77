"""Road, wheels, bodies and sensors of the simulator against closed forms and published figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.records import STANDARD_GRAVITY_MPS2, Floats, LaneLayout, Row
from firmware_bridge.plate_grammar import grammar_of
from simulator.bodies import bodies_of
from simulator.dynamics import Complexes, receptance, tyre_forces
from simulator.fleet import SimVehicle, make_vehicle, reference_vehicle
from simulator.kinds import TYPES
from simulator.motion import Motion, Shift, Stop, drive
from simulator.plates import make_plate
from simulator.road import (
    LENGTH_M,
    TRACK_M,
    WAVE_PER_M,
    LaneRoad,
    along,
    beside,
    coherence,
    random_profile,
    roughness,
    surface_of,
)
from simulator.scenario import RoadSection
from simulator.seeds import stream
from simulator.sensor import LaneSensors, Pulse, covered_share, pressed_share
from simulator.traffic import Plan, Zone, place
from simulator.wheels import wheel_ends
from tests.unit.statics import load_transfer_kg

RATE_HZ = 2_000.0
STRIP = LaneLayout("1", (Row(0.0, 0.07, "strip", 0, 1), Row(2.0, 0.07, "strip", 2, 3)))
ZONE = Zone((-1.0, 4.0), (-1.0, 4.0))
PLATE = LaneLayout("2", (Row(0.0, 0.8, "plate", 0, 1), Row(2.4, 0.8, "plate", 2, 3)))


def lorry(code: str = "12") -> SimVehicle:
    vehicle = reference_vehicle(1, code, 0.0, stream(1, "test"))
    return replace(vehicle, right_share=(0.5,) * len(vehicle.axle_kg))


def pulses_of(
    vehicle: SimVehicle,
    lane: LaneLayout,
    speed_mps: float,
    skew_m: float = 0.0,
    shift: Shift | None = None,
    aside_m: float = 0.0,
) -> list[Pulse]:
    """Pulses on a smooth road."""
    section = RoadSection(road_class="smooth", receptor_step_mm=0)
    skews_m = skew_m / 2 * np.array([[-1.0], [1.0]]) * np.ones((2, len(lane.rows)))
    sensors = LaneSensors(lane, 1.75, skews_m)
    passing = place(Plan(vehicle, speed_mps, 0.0, 1.0, shift=shift), lane, ZONE, None, 2.0)
    surface = LaneRoad(lane, section, skews_m, seed=1).under(0.0, stream(1, "own"))
    forces = tyre_forces(vehicle, surface, passing.motion, *passing.pressed_s)
    return sensors.pulses(passing, forces, RATE_HZ, aside_m)


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


def covered(lateral_m: float) -> Floats:
    return covered_share(lorry(), 1, np.array([lateral_m]), 1.75)[..., 0]


def test_wheels_beside_the_lane_are_not_weighed() -> None:
    assert covered(0.0) == pytest.approx(np.eye(2))
    assert covered(1.3)[1, 1] == 0.0
    assert covered(0.3).sum(axis=0) == pytest.approx([1.0, 1.0])
    assert covered(0.8)[1, 1] == pytest.approx((1.75 - (0.8 + 0.95 - 0.3)) / 0.6)


def test_two_lanes_together_carry_a_vehicle_astride_them() -> None:
    whole_n = sum(areas_n_s(pulses_of(lorry(), STRIP, 12.0), c) for c in (0, 1))
    astride = lorry().beside(1.75)
    own, other = (pulses_of(astride, STRIP, 12.0, aside_m=m) for m in (0.0, -3.5))
    assert {p.channel for p in own} == {1, 3}
    assert {p.channel for p in other} == {0, 2}
    assert areas_n_s(own, 1) + areas_n_s(other, 0) == pytest.approx(whole_n, rel=1e-9)


def test_a_lane_change_moves_the_load_from_sensor_to_sensor() -> None:
    shift = Shift(-1.0, 3.0, 3.5)
    pulses = pulses_of(lorry("157"), STRIP, 12.0, shift=shift)
    first, second = (
        sum(areas_n_s(pulses, channel).sum() for channel in row) for row in ((0, 1), (2, 3))
    )
    assert second < 0.6 * first


def test_skew_lets_the_right_wheel_come_later() -> None:
    pulses = pulses_of(lorry(), STRIP, 10.0, skew_m=0.1)
    centres = {
        p.channel: p.first + np.average(np.arange(len(p.force_n)), weights=p.force_n)
        for p in pulses[:2]
    }
    assert (centres[1] - centres[0]) / RATE_HZ == pytest.approx(0.1 / 10.0, rel=1e-3)


# DLC in per cent of a linear quarter truck, PSD method over 0.011-2.83 cycles/m, class A.
DLC_PCT = {10: (2.5, 1.0), 20: (3.8, 1.9), 40: (5.5, 2.9), 60: (6.7, 3.7), 80: (7.8, 4.3)}


def like(code: str, air: bool) -> SimVehicle:
    """A vehicle whose axles all weigh ten tonnes on twin tyres."""
    vehicle = lorry(code)
    n = len(vehicle.axle_kg)
    return replace(vehicle, axle_kg=(1e4,) * n, twin=(True,) * n, air=(air,) * n)


def solved(vehicle: SimVehicle, frequency_hz: Floats) -> Complexes:
    ends = wheel_ends(vehicle)
    return receptance(ends, bodies_of(vehicle, ends), frequency_hz).matrix()


def wheel_sd_n(vehicle: SimVehicle, speed_mps: float, gd_n0_m3: float) -> Floats:
    """Standard deviations of wheel forces from receptance and PSD, wave by wave."""
    inside = np.abs(WAVE_PER_M - 1.4205) <= 1.4095
    wave = WAVE_PER_M[inside & (WAVE_PER_M * speed_mps < 29.9)]
    matrix = solved(vehicle, wave * speed_mps)
    behind_m = np.repeat(np.array(vehicle.axle_behind_m), 2)
    seen = np.sinc(np.outer(wave, wheel_ends(vehicle).contact_m)) * np.exp(
        -2j * np.pi * np.outer(wave, behind_m)
    )
    shared = coherence(TRACK_M)[np.searchsorted(WAVE_PER_M, wave)][:, None]
    right = np.arange(len(behind_m)) % 2
    sources = [
        np.where(right, shared, 1.0) * seen,
        np.where(right, np.sqrt(1 - shared**2), 0.0) * seen,
    ]
    psd = gd_n0_m3 * (wave / 0.1) ** -2 / LENGTH_M
    spectra = [np.einsum("fij,fj->fi", matrix, source) for source in sources]
    return np.sqrt(sum((np.abs(s) ** 2 * psd[:, None]).sum(axis=0) for s in spectra))


@pytest.mark.parametrize("code", ["12", "15", "115", "127", "157"])
@pytest.mark.parametrize("air", [False, True])
def test_dynamic_loads_are_those_of_the_literature(code: str, air: bool) -> None:
    """Over the speeds together; at one speed the wheelbase lets bounce or pitch through."""
    vehicle = like(code, air)
    found = [
        wheel_sd_n(vehicle, kmh / 3.6, roughness("A")) / wheel_ends(vehicle).static_n.ravel()
        for kmh in DLC_PCT
    ]
    expected = np.array([pair[air] for pair in DLC_PCT.values()]) / 100
    ratio = np.sqrt(np.mean(np.square(found)) / np.mean(np.square(expected)))
    assert 0.75 < ratio < 1.25


def test_forces_over_time_scatter_as_receptance_and_psd_say() -> None:
    vehicle = like("157", False)
    squares = []
    for run in range(6):
        chance = stream(run, "ensemble")
        left, other = (random_profile(roughness("B"), chance) for _ in range(2))
        surface = surface_of(np.stack([left, beside(left, other, TRACK_M)]))
        forces = tyre_forces(vehicle, surface, drive(20.0, 0.0, 0.0, 1_000.0), 10.0, 35.0)
        inside = forces.force_n[:, :, round(8 / forces.step_s) : round(33 / forces.step_s)]
        squares.append(inside.var(axis=2).ravel())
    expected_n = wheel_sd_n(vehicle, 20.0, roughness("B"))
    assert np.sqrt(np.mean(squares, axis=0)) == pytest.approx(expected_n, rel=0.1)


@pytest.mark.parametrize("code", ["12", "157", "1222", "115577", "car", "motorcycle"])
def test_a_vehicle_obeys_its_equations_of_motion(code: str) -> None:
    """The wheels eliminated one by one against all coordinates at once."""
    vehicle = lorry(code)
    ends = wheel_ends(vehicle)
    bodies, f = bodies_of(vehicle, ends), np.array([0.7, 2.0, 9.0])
    found = receptance(ends, bodies, f).matrix()
    m, n = len(bodies.mass), ends.static_n.size
    for i, w in enumerate(2 * np.pi * f):
        k = ends.spring_npm.ravel() + 1j * w * ends.damper_nspm.ravel()
        t = ends.tyre_npm.ravel() + 1j * w * ends.tyre_damping_nspm.ravel()
        whole = np.zeros((m + n, m + n), complex)
        for wheel in range(n):
            spring = np.concatenate([bodies.reach[wheel], -np.eye(n)[wheel]])
            whole += k[wheel] * np.outer(spring, spring)
        whole[:m, :m] += bodies.frame - w**2 * bodies.mass
        whole[m:, m:] += np.diag(t - w**2 * ends.unsprung_kg.ravel())
        inputs = np.concatenate([np.zeros((m, n)), np.diag(t)])
        wheels = np.linalg.solve(whole, inputs)[m:]
        assert found[i] == pytest.approx(np.diag(t) - t[:, None] * wheels, rel=1e-9, abs=1e-3)


@pytest.mark.parametrize("code", ["12", "157", "115577"])
def test_what_one_wheel_does_to_another_it_does_back(code: str) -> None:
    matrix = solved(lorry(code), np.array([0.5, 2.0, 11.0]))
    assert matrix == pytest.approx(matrix.transpose(0, 2, 1), rel=1e-9, abs=1e-3)


def test_a_fifth_wheel_couples_two_bodies_and_a_drawbar_does_not() -> None:
    f = np.array([1.5, 2.5])
    semitrailer, drawn = np.abs(solved(lorry("157"), f)), np.abs(solved(lorry("1222"), f))
    assert semitrailer[:, :6, 6:].max() > 1e4
    assert drawn[:, :4, 4:].max() == 0.0


@pytest.mark.parametrize("code", ["12", "122", "157", "1577"])
def test_a_slow_vehicle_follows_a_plane_road(code: str) -> None:
    """Heave, and a slope for one body; a road that is no plane loads axles unevenly."""
    vehicle = lorry(code)
    matrix = solved(vehicle, np.array([1e-3]))[0]
    behind_m = np.repeat(np.array(vehicle.axle_behind_m), 2)
    for heights_m in (np.ones_like(behind_m), behind_m):
        assert np.abs(matrix @ heights_m).max() < 20.0
    if len(vehicle.axle_kg) > len(vehicle.units) + 1:
        assert np.abs(matrix @ (behind_m == behind_m[2])).max() > 1e5


@pytest.mark.parametrize("code", [code for code, kind in TYPES.items() if kind.rides])
def test_bodies_rest_on_the_loads_of_their_axles(code: str) -> None:
    """Weight, and moment about each pitch axis: a still vehicle needs no other force."""
    vehicle = lorry(code)
    ends = wheel_ends(vehicle)
    bodies = bodies_of(vehicle, ends)
    upright = [0, *range(1, len(bodies.mass), 2)]
    held_kg = bodies.reach.T @ ends.sprung_kg.ravel()
    assert bodies.mass[upright, 0] == pytest.approx(held_kg[upright], rel=1e-9, abs=1e-6)


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


def test_heights_are_means_of_the_profile_under_the_patch() -> None:
    chance = stream(6, "mean")
    tracks = np.stack([random_profile(64e-6, chance) for _ in range(2)])
    surface, at_m = surface_of(tracks), np.arange(40) * 0.9
    waves = np.exp(2j * np.pi * np.outer(at_m, WAVE_PER_M))
    exact_m = (waves @ (tracks[1] * np.sinc(0.2 * WAVE_PER_M))).real
    found_m = surface.height_m(1, at_m, 0.2)
    assert found_m == pytest.approx(exact_m, abs=0.01 * exact_m.std())


def test_a_proud_sensor_lifts_the_wheel_that_is_on_it() -> None:
    section = RoadSection(road_class="smooth", receptor_step_mm=1.0)
    surface = LaneRoad(PLATE, section, np.zeros((2, 2)), seed=2).under(0.0, stream(1, "own"))
    on_m, ahead_m, off_m = surface.height_m(0, np.array([0.0, 2.4, 1.2]), 0.2)
    assert abs(on_m) > 1e-5
    assert abs(ahead_m) > 1e-5
    assert abs(off_m) < 0.02 * abs(on_m)


def test_braking_moves_load_forward_and_keeps_the_sum() -> None:
    shift_kg = load_transfer_kg(lorry("157"), -1.0)
    assert shift_kg.sum() == pytest.approx(0.0, abs=1e-6)
    assert shift_kg[0] > 0 > shift_kg[-1]


def test_two_axles_share_braking_by_their_distance() -> None:
    vehicle = lorry("12")
    expected_kg = vehicle.gross_kg * 1.5 * vehicle.centre_height_m / (9.80665 * vehicle.wheelbase_m)
    assert load_transfer_kg(vehicle, 1.5) == pytest.approx([-expected_kg, expected_kg], rel=1e-9)


def test_steady_braking_ends_where_statics_say() -> None:
    vehicle, smooth = lorry("157"), surface_of(np.zeros((2, len(WAVE_PER_M)), np.complex128))
    motion = drive(20.0, -0.5, 0.0, 300.0)
    forces = tyre_forces(vehicle, smooth, motion, 10.0, 14.0)
    now_kg = forces.at(0, np.array([12.0])).sum() / STANDARD_GRAVITY_MPS2
    moved_kg = load_transfer_kg(vehicle, float(motion.acceleration_at(12.0)))[0]
    assert moved_kg > 100
    assert now_kg - vehicle.axle_kg[0] == pytest.approx(moved_kg, rel=0.03)


def test_a_standing_vehicle_comes_to_rest() -> None:
    chance = stream(8, "rest")
    surface = surface_of(np.stack([random_profile(256e-6, chance) for _ in range(2)]))
    motion = drive(8.0, 0.0, 0.0, 90.0, (Stop(45.0, 9.0),))
    held_s = motion.time_at_s(45.0)
    forces = tyre_forces(lorry("12"), surface, motion, float(held_s) - 3, float(held_s) + 9)
    moving, resting = (
        forces.at(1, held_s + np.arange(0, 1, 0.01) + when)[0].std() for when in (-2.0, 8.0)
    )
    assert resting < 0.05 * moving


def stepped(motion: Motion, to_s: float) -> Floats:
    time_s = np.linspace(0, to_s, 200_001)
    return np.cumsum(motion.speed_mps(time_s)) * (time_s[1] - time_s[0])


@pytest.mark.parametrize("back_to_m", [None, 0.0])
def test_a_position_is_the_integral_of_the_speed(back_to_m: float | None) -> None:
    stops = (Stop(30.0, 1.0), Stop(31.0, 2.0))
    motion = drive(6.0, 0.0, 0.0, 60.0, stops, back_to_m)
    way_m = stepped(motion, motion.end_s)
    assert way_m[-1] == pytest.approx(60.0 if back_to_m is None else 0.0, abs=0.01)
    assert way_m.max() == pytest.approx(60.0 if back_to_m is None else 31.0, abs=0.01)
    half_s = motion.end_s / 2
    assert motion.position_m(half_s) == pytest.approx(stepped(motion, half_s)[-1], abs=0.01)


def test_a_motion_knows_when_it_is_where() -> None:
    motion = drive(6.0, 0.0, 0.0, 60.0, (Stop(30.0, 1.0),), back_to_m=0.0)
    there, back = motion.within(10.0, 10.5)
    inside = [motion.within(29.0, 31.0), motion.within(31.0, 32.0)]
    assert motion.position_m(np.array(there)) == pytest.approx([10.0, 10.5])
    assert motion.position_m(np.array(back)) == pytest.approx([10.5, 10.0])
    assert [len(spans) for spans in inside] == [1, 0]
    assert motion.time_at_s(40.0) == np.inf
    assert motion.way_m(0.0, motion.end_s) == pytest.approx(60.0)


def test_a_motion_keeps_its_mean_speed_and_changes_by_what_was_asked() -> None:
    motion = drive(10.0, 0.1, 0.0, 50.0)
    assert motion.time_at_s(50.0) - motion.time_at_s(0.0) == pytest.approx(5.0)
    assert motion.speed_mps(5.0) / motion.speed_mps(0.0) == pytest.approx(1.1)


def test_a_stop_holds_the_vehicle_where_it_was_told() -> None:
    motion = drive(8.0, 0.0, -50.0, 60.0, (Stop(3.0, 2.5),))
    held_s = float(motion.time_at_s(3.0))
    at_m = motion.position_m(np.array([held_s, held_s + 2.49, held_s + 3.5, motion.end_s]))
    assert at_m[:2] == pytest.approx([3.0, 3.0])
    assert at_m[2] > 3.1
    assert at_m[3] == pytest.approx(60.0)


@pytest.mark.parametrize("code", [code for code in TYPES if code.isdigit()])
def test_the_code_tells_the_axles(code: str) -> None:
    kind = TYPES[code]
    axles = sum({"1": 1, "2": 1, "5": 2, "7": 3}[digit] for digit in code)
    assert axles == len(kind.tare_kg) == len(kind.share) == len(kind.twin) == sum(kind.units)
    assert len(kind.spacing_m) == axles - 1
    assert sum(kind.share) == pytest.approx(1.0)
    assert sum(kind.tare_kg) < 0.5 * kind.limits_kg[0]


def test_an_axle_drawn_up_leaves_its_load_to_the_others() -> None:
    whole = lorry("157")
    lifted = whole.lifted(4)
    assert lifted.units == (3, 2)
    assert lifted.gross_kg == pytest.approx(whole.gross_kg)
    assert lifted.wheelbase_m == pytest.approx(whole.wheelbase_m)
    assert lifted.axle_behind_m[4] == pytest.approx(whole.axle_behind_m[5])
    assert lifted.axle_kg[:3] == whole.axle_kg[:3]


def test_an_empty_trailer_weighs_its_tare_behind_a_laden_lorry() -> None:
    chance = stream(9, "front")
    vehicle = make_vehicle(1, {"1222": 1.0}, {"front": 1.0}, 0.1, chance)
    assert sum(vehicle.axle_kg[2:]) < 3_000
    assert sum(vehicle.axle_kg[:2]) > 11_000


def test_plates_follow_the_grammar_of_their_colour() -> None:
    chance = stream(5, "plates")
    plates = [make_plate(chance) for _ in range(200)]
    kinds = {(grammar_of(text), colour) for text, colour in plates}
    assert kinds == {("cn-ordinary", "yellow"), ("cn-energy-large", "yellow-green")}
