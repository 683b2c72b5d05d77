"""The core's parts against slow and obvious versions, and against exact cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.core.axles import Axles, find_axles
from edge.core.clip import condition
from edge.core.conditioning import Baseline, floor_counts, range_per_sigma
from edge.core.contacts import Pulses, find_contacts
from edge.core.extremes import CHUNK, extremes, looks
from edge.core.ground import find_ground
from edge.core.history import History
from edge.core.modes import PRIOR, REFERENCE_KG, load_scale
from edge.core.motion import follow
from edge.core.pulses import HYSTERESIS, runs
from edge.core.scales import Scale, Scales
from edge.core.swing import Swing
from edge.core.uncertainty import Fusion, Observations, fuse
from edge.records import ADC_FULL_SCALE, RawClip, Row
from tests.unit.core_signals import GRAVITY, RATE_HZ, Lorry, Scene, gains, strip_lane

ROWS = strip_lane().rows


def slow_runs(signal: np.ndarray, low: float, high: float) -> list[tuple[int, int, int]]:
    found, start, sure = [], None, None
    for i, value in enumerate([*signal.tolist(), -np.inf]):
        if value > low:
            start = i if start is None else start
            sure = i if sure is None and value > high else sure
        elif start is not None:
            if sure is not None:
                found.append((start, sure, i))
            start = sure = None
    return found


@pytest.mark.parametrize("seed", range(20))
def test_runs_are_those_of_the_loop(seed: int) -> None:
    chance = np.random.default_rng(seed)
    signal = np.convolve(chance.standard_normal(300), np.ones(4), "same")
    pieces = signal.reshape(20, 15)
    found = runs(pieces > 1.0, pieces > 2.5, np.arange(20) > 0)
    sure = [run for run in zip(*(part.tolist() for part in found), strict=True) if run[1] >= 0]
    assert sure == slow_runs(signal, 1.0, 2.5)


def test_runs_end_where_pieces_are_apart() -> None:
    low = np.ones((3, 4), np.bool_)
    found = runs(low, low & False, np.array([False, True, False]))
    assert (found.start.tolist(), found.end.tolist()) == ([0, 8], [8, 12])
    assert found.sure.tolist() == [-1, -1]


@pytest.mark.parametrize("rate_hz", [1_000.0, 2_000.0, 3_000.0, 4_000.0, 20_000.0])
def test_extremes_are_those_of_the_samples_looked_at(rate_hz: float) -> None:
    looked = looks(rate_hz)
    counts = np.random.default_rng(1).integers(-900, 900, (CHUNK * 2_100, 3)).astype(np.int32)
    highest, lowest = extremes(counts, looked)
    assert len(highest) == len(lowest) == 2_100
    for k in range(0, 2_100, 7):
        part = counts[k * CHUNK : (k + 1) * CHUNK][looked]
        assert highest[k].tolist() == part.max(axis=0).tolist()
        assert lowest[k].tolist() == part.min(axis=0).tolist()


@pytest.mark.parametrize("rate_hz", [500.0, 1_000.0, 1_999.0, 2_000.0, 3_000.0, 4_000.0])
def test_a_chunk_is_looked_at_once_a_millisecond_and_at_both_ends(rate_hz: float) -> None:
    looked = looks(rate_hz)
    assert (looked[0], looked[-1]) == (0, CHUNK - 1)
    assert np.diff(looked).max() <= max(1, rate_hz / 1_000)


@pytest.mark.parametrize("rate_hz", [2_000.0, 3_000.0, 4_000.0])
def test_no_tone_hides_between_the_looks(rate_hz: float) -> None:
    turns, phase = np.linspace(0.005, 0.495, 1_200), np.linspace(0, 1, 24)[:, None, None]
    tone = np.sin(2 * np.pi * (turns[:, None] * np.arange(CHUNK) + phase))
    seen = tone[:, :, looks(rate_hz)]
    assert np.ptp(seen, axis=2).min() > 0.7 * np.ptp(tone, axis=2).min()
    middle = (seen.max(axis=2) + seen.min(axis=2)) / 2
    own = (tone.max(axis=2) + tone.min(axis=2)) / 2
    assert np.abs(middle - own).max() < 0.3


@pytest.mark.parametrize("rate_hz", [1_000.0, 2_000.0, 3_000.0, 4_000.0])
def test_range_tells_the_noise(rate_hz: float) -> None:
    noise = np.random.default_rng(3).standard_normal((4_000, CHUNK))[:, looks(rate_hz)]
    factor = range_per_sigma(noise.shape[1])
    assert np.ptp(noise, axis=1).mean() == pytest.approx(factor, rel=0.01)


def test_history_reads_what_was_appended() -> None:
    counts = np.arange(400, dtype=np.int32).reshape(200, 2)
    history = History(1_000, 2)
    for a, b in [(0, 3), (3, 90), (90, 90), (90, 200)]:
        history.append(counts[a:b])
    assert history.read(1_050, 1_150).tolist() == counts[50:150].tolist()
    assert history.read(900, 2_000).tolist() == counts.tolist()
    assert history.read(1_200, 1_300).shape == (0, 2)
    history.forget(1_095)
    assert (history.first_sample, history.end_sample) == (1_090, 1_200)
    assert history.read(1_000, 1_092).tolist() == counts[90:92].tolist()


def test_baseline_follows_drift_and_ignores_wheels() -> None:
    chance = np.random.default_rng(4)
    n = 60 * 31
    drift = np.linspace(0, 4_000, n)[:, None]
    spread = chance.integers(80, 120, (n, 2))
    middle = drift + 500
    wheel = ((np.arange(n) + 20) % 40 < 12)[:, None] * np.array([50_000, 0])
    baseline = Baseline(2_000.0, np.array([300.0, 300.0]), np.array([1, 0]))
    level, release, line = baseline.step(
        (middle + spread + wheel).astype(np.int32), (middle - spread + wheel).astype(np.int32)
    )
    assert np.abs(level[line] - middle)[200:].max() < 300
    assert release.max() < 600


def test_baseline_catches_a_creep_that_outran_it() -> None:
    n = 31 * 30
    middle = np.clip(np.arange(n) - 31, 0, 31 * 4)[:, None] * np.full(2, 18)
    baseline = Baseline(2_000.0, np.array([300.0, 300.0]), np.array([1, 0]))
    level, _, line = baseline.step((middle + 50).astype(np.int32), (middle - 50).astype(np.int32))
    assert np.abs(level[line] - middle)[31 * 20 :].max() < 100


def test_floor_is_deaf_only_where_no_lane_listens() -> None:
    floor = floor_counts([strip_lane(rows=2)], gains(8))
    assert np.isfinite(floor[:4]).all()
    assert np.isinf(floor[4:]).all()


def test_pulse_area_is_that_of_a_plain_sum() -> None:
    lorry = Lorry(0.6, 12.0, (7_000.0,), ())
    scene = Scene(strip_lane(), [lorry], 2.0, noise_n=0.0, offset_n=0.0)
    counts = scene.counts()
    clip = RawClip("D1", 0, RATE_HZ, counts)
    signals = condition([clip], Scales([Scale(scene.lane, gains(8))]))
    touches = find_contacts(signals)
    assert touches.row.tolist() == [0, 1, 2, 3]
    where, a, b = (touches.clip, touches.row), touches.start, touches.end
    level = signals.level_at(*where, (a + b) / 2)
    area = touches.sums().T - level * (b - a)[:, None]
    slow = [[sum(counts[:, 2 * r + side].tolist()) for side in (0, 1)] for r in range(4)]
    assert area == pytest.approx(np.array(slow), rel=2e-4)


@pytest.mark.parametrize("apart", [True, False])
def test_stretches_and_blocks_are_those_of_the_clips(apart: bool) -> None:
    chance = np.random.default_rng(5)
    counts = chance.integers(-(1 << 23), 1 << 23, (2_451, 8)).astype(np.int32)
    parts = [counts[:700], counts[700:1_811], counts[1_811:]]
    clips = [RawClip("D1", 0, RATE_HZ, part.copy() if apart else part) for part in parts]
    lane, worth = strip_lane(rows=2), gains(8, sign=-1.0)
    signals = condition(clips, Scales([Scale(lane, worth)] * 3))
    assert np.shares_memory(signals.counts, counts) is not apart
    clip, row = np.array([0, 1, 1, 2]), np.array([1, 0, 1, 0])
    start, length = np.array([0, 5, 301, 599]), np.array([13, 600, 1, 41])
    own = [-parts[c][:, 2 * r : 2 * r + 2].T for c, r in zip(clip, row, strict=True)]
    stretches = [o[:, a : a + n] for o, a, n in zip(own, start, length, strict=True)]
    found, place = signals.stretches(clip, row, start, length)
    for samples, a, n, at in zip(stretches, start, length, place, strict=True):
        assert np.array_equal(found[:, at + a : at + a + n], samples)
    start, n = np.array([0, 64, 1_111 - 64, 640 - 64]), signals.block
    blocks = [o[:, a : a + n] for o, a in zip(own, start, strict=True)]
    assert np.array_equal(signals.blocks(clip, row, start), np.stack(blocks))


def test_ground_is_least_squares_through_the_quiet_blocks() -> None:
    chance, block, sizes = np.random.default_rng(3), 64, (90, 41)
    hidden = 700.0 + 3.0 * np.arange(sum(sizes)) + chance.normal(0.0, 4.0, sum(sizes))
    wheel = np.zeros(sum(sizes))
    wheel[20:24] = wheel[100:103] = 9_000.0
    middle = (hidden + wheel)[:, None].round()
    total, highest, lowest = (
        (factor * (middle + step)).astype(np.int32)
        for factor, step in ((block, 0), (1, 40), (1, -40))
    )
    first, whole = np.array([0, sizes[0]]), np.ones(sum(sizes), np.bool_)
    ground = find_ground(total, highest, lowest, block, np.full((2, 1), 200.0), whole, first)
    for clip, (begin, n) in enumerate(zip(first, sizes, strict=True)):
        u = (np.arange(n) + 0.5) * 2 / n - 1
        quiet = wheel[begin : begin + n] == 0
        pull = np.sqrt(1e-3 * n) * np.eye(3)[1:]
        origin = np.sort(middle[begin : begin + n, 0])[min(8, n // 10)]
        held = middle[begin : begin + n, 0][quiet] - origin
        design = np.concatenate([np.stack([u**0, u, u * u], axis=1)[quiet], pull])
        plain = np.linalg.lstsq(design, np.concatenate([held, [0.0, 0.0]]))[0]
        assert ground.level[clip, :, 0] == pytest.approx(plain + origin * np.eye(3)[0], rel=1e-9)
        assert ground.base[begin : begin + n, 0] == pytest.approx(
            origin + np.stack([u**0, u, u * u], axis=1) @ plain, rel=1e-9
        )


def test_saturated_samples_are_found() -> None:
    counts = np.zeros((2, 1_000), np.int32)
    pulses = Pulses(counts, np.zeros((2, 1_001), np.int64))
    begin = np.array([[499, 500, 501]])
    assert not pulses.saturated(begin, begin + 1).any()
    counts[1, 500] = -ADC_FULL_SCALE
    assert pulses.saturated(begin, begin + 1).tolist() == [[False, True, False]]


def test_clip_touches_are_those_of_the_loop() -> None:
    scene = Scene(strip_lane(), [Lorry(0.6, 15.0)], 3.0, noise_n=0.0, offset_n=0.0)
    counts = scene.counts()
    floor = floor_counts([scene.lane], gains(8))
    scales = Scales([Scale(scene.lane, gains(8))])
    touches = find_contacts(condition([RawClip("D1", 0, RATE_HZ, counts)], scales))
    for r in range(4):
        slow = slow_runs(counts[:, 2 * r], floor[0], HYSTERESIS * floor[0])
        own = touches.row == r
        assert np.ceil(touches.enter[own]).tolist() == [start for start, _, _ in slow]
        assert np.floor(touches.leave[own]).tolist() == [end - 1 for _, _, end in slow]


def at(speed_mps: float, behind_m: list[float]) -> list[np.ndarray]:
    return [np.array([(row.position_m + b) / speed_mps for b in behind_m]) for row in ROWS]


def lengths(centre_s: list[np.ndarray], speed_mps: float) -> list[np.ndarray]:
    return [np.full(len(c), 0.3 / speed_mps) for c in centre_s]


def associate(centre_s: list[np.ndarray], duration_s: list[np.ndarray]) -> Axles:
    """Axles of one vehicle, touches counted from each row's first."""
    count = [len(c) for c in centre_s]
    row = np.repeat(np.arange(4), count)
    one = np.zeros(len(row), np.int64)
    found = find_axles(one, row, np.concatenate(centre_s), np.concatenate(duration_s), 1, ROWS)
    first = np.cumsum(count) - count
    return replace(found, touch=np.where(found.touch >= 0, found.touch - first, -1))


TRIDEM = [0.0, 3.6, 9.6, 10.9, 12.2]


def test_axles_in_order() -> None:
    centre_s = at(15.0, TRIDEM)
    found = associate(centre_s, lengths(centre_s, 15.0))
    assert found.touch.tolist() == [[k] * 4 for k in range(5)]
    assert (found.reversed.tolist(), found.doubtful.tolist()) == ([False], [False])


@pytest.mark.parametrize("axle", range(5))
@pytest.mark.parametrize("row", range(4))
def test_a_missing_touch_is_found_out(axle: int, row: int) -> None:
    centre_s = at(15.0, TRIDEM)
    centre_s[row] = np.delete(centre_s[row], axle)
    found = associate(centre_s, lengths(centre_s, 15.0))
    seen = np.array([[k] * 4 for k in range(5)])
    seen[axle + 1 :, row] -= 1
    seen[axle, row] = -1
    assert found.touch.tolist() == seen.tolist()


def test_an_extra_touch_stays_alone() -> None:
    centre_s = at(15.0, TRIDEM)
    centre_s[2] = np.sort(np.append(centre_s[2], centre_s[2][1] + 0.15))
    found = associate(centre_s, lengths(centre_s, 15.0))
    assert sorted((found.touch >= 0).sum(axis=1).tolist()) == [1, 4, 4, 4, 4, 4]


def test_wrong_way() -> None:
    centre_s = [c[::-1] for c in reversed(at(15.0, TRIDEM))]
    centre_s = [np.sort(c) for c in centre_s]
    assert associate(centre_s, lengths(centre_s, 15.0)).reversed


def test_nothing_there() -> None:
    none = [np.empty(0)] * 4
    assert associate(none, none).touch.shape == (0, 4)


def test_motion_is_that_of_the_lorry() -> None:
    position_m = np.array([row.position_m for row in ROWS])
    behind_m = np.array([0.0, 3.0, 7.5])
    way_m = position_m[None, :] + behind_m[:, None]
    v, a = 9.0, 0.7
    centre_s = (np.sqrt(v * v + 2 * a * way_m) - v) / a
    one = np.zeros(3, np.int64)
    motion = follow(centre_s, position_m, 1e-4, one)
    assert np.diff(motion.behind_m) == pytest.approx(np.diff(behind_m), abs=1e-4)
    assert motion.speed_mps(centre_s) == pytest.approx(v + a * centre_s, rel=1e-3)
    holes = centre_s.copy()
    holes[1, 2] = holes[0, 0] = np.nan
    assert np.diff(follow(holes, position_m, 1e-4, one).behind_m) == pytest.approx(
        [3.0, 4.5], abs=1e-3
    )
    with pytest.raises(ValueError, match="two rows"):
        follow(np.full((3, 4), np.nan), position_m, 1e-4, one)


def observed(load_kg: np.ndarray, gap_s: float = 0.15) -> Observations:
    n, m = load_kg.shape
    time_s = np.arange(n)[:, None] * 0.4 + np.arange(m) * gap_s
    return Observations(load_kg, time_s, np.full((n, m), 0.02), np.full((n, m), 10.0), np.arange(m))


def fused(load_kg: np.ndarray, gap_s: float = 0.15) -> Fusion:
    n = len(load_kg)
    return fuse(observed(load_kg, gap_s), np.full(n, 15.0), np.zeros(n, np.int64))


def test_fusion_weighs_rows_to_one_and_keeps_what_agrees() -> None:
    fusion = fused(np.full((3, 4), 8_000.0))
    assert fusion.load_kg == pytest.approx([8_000.0] * 3)
    assert fusion.weight.sum(axis=1) == pytest.approx([1.0] * 3)


def test_scatter_and_missing_rows_cost_certainty() -> None:
    calm = np.full((3, 4), 8_000.0)
    rough = calm * (1 + 0.15 * np.random.default_rng(2).standard_normal(calm.shape))
    holed = calm.copy()
    holed[1, 1:3] = np.nan
    base, scattered, missing = (fused(x).u_kg for x in (calm, rough, holed))
    assert (scattered > 1.5 * base).all()
    assert missing[1] > 1.2 * base[1]
    assert fused(holed).load_kg == pytest.approx([8_000.0] * 3)


def test_rows_in_one_half_wave_know_less_than_rows_apart() -> None:
    calm = np.full((2, 4), 8_000.0)
    assert (fused(calm, 0.01).u_kg > 1.5 * fused(calm).u_kg).all()


@pytest.mark.parametrize("bounce_hz", [1.8, 2.5, 3.5])
def test_bounce_stays_inside_the_uncertainty(bounce_hz: float) -> None:
    lorry = Lorry(1.0, 16.0, bounce_rel=0.06, bounce_hz=bounce_hz)
    passages = Scene(strip_lane(), [lorry], 4.0).passages()
    error = passages[0].axles.load_kg - np.array(lorry.axle_kg)
    assert (np.abs(error) < 2.5 * passages[0].axles.u_load_kg).all()
    assert abs(passages[0].gross_kg - 40_000) < 2 * passages[0].u_gross_kg


def test_plateau_course_takes_the_bounce_out() -> None:
    row = Row(0.0, 0.8, "plate", 0, 1)
    scene = Scene(strip_lane(), [], 1.0)
    lane = replace(scene.lane, rows=(row, replace(row, position_m=2.4, left=2, right=3)))
    lane = replace(lane, speed_min_mps=1.0, separator=None)
    errors = []
    for phase in np.linspace(0, 0.3, 6):
        lorry = Lorry(8.0 + phase, 2.0, (6_000.0, 9_000.0), (4.0,), bounce_rel=0.05)
        (passage,) = Scene(lane, [lorry], 16.0, channels=4).passages()
        errors.append(passage.axles.load_kg / np.array(lorry.axle_kg) - 1)
        assert passage.axles.load_kg.sum() * GRAVITY > 0
    assert np.std(errors) < 0.05 / np.sqrt(2) / 4


def test_an_overladen_lorry_swings_slower_and_heavy_axles_hop_less_for_their_load() -> None:
    load_kg = np.array([6_000.0, 12_000.0, 12_000.0, 24_000.0])
    mean_kg = np.array([6_000.0, 9_000.0, 14_000.0, 28_000.0])
    first = np.zeros(4, np.int64)
    cell = [PRIOR], first, np.full(4, 20.0), np.full(4, 1), 4
    swing = Swing.of(*cell, np.full(4, REFERENCE_KG), np.full(4, REFERENCE_KG))
    laden = Swing.of(*cell, load_kg, mean_kg)
    assert laden.hz[0, 0] == swing.hz[0, 0]
    assert laden.hz[0, 2] == pytest.approx(1.41, abs=0.02)
    assert laden.hz[0, 3] == pytest.approx(laden.hz[0, 2] / np.sqrt(2))
    assert np.array_equal(laden.hz[1:], swing.hz[1:])
    # Twice the mass on the same spring: twice the variance of the bounce, the same hop.
    force = laden.variance * (load_scale(load_kg) * load_kg) ** 2
    assert force[0, 1] / force[0, 0] == pytest.approx(2.0)
    assert force[2, 3] / force[2, 0] == pytest.approx(1.0)
