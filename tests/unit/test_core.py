"""The core from samples to kilograms: relations that any scale must keep, and known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.core.extremes import CHUNK
from edge.core.pipeline import Pipeline
from edge.core.weigh import weigh
from edge.records import ADC_FULL_SCALE, Flag, InputEdge, Passage, SampleBlock, read_only
from tests.unit.core_signals import (
    NEWTON_PER_COUNT,
    RATE_HZ,
    Lorry,
    Scene,
    cut,
    gains,
    plate_lane,
    strip_lane,
)

FAST = Lorry(1.0, 15.0)
SLOW = Lorry(0.6, 3.0)


def strips(*lorries: Lorry, **changes: object) -> Scene:
    scene = Scene(strip_lane(), lorries or (FAST,), 4.0)
    return replace(scene, **changes)  # type: ignore[arg-type]


def only(scene: Scene) -> Passage:
    passages = scene.passages()
    assert len(passages) == 1
    return passages[0]


def loads(passage: Passage) -> np.ndarray:
    return passage.axles.load_kg


@pytest.fixture(scope="module")
def plain() -> Passage:
    return only(strips())


@pytest.mark.parametrize(
    "scene",
    [strips(), Scene(plate_lane(), (SLOW,), 9.0, channels=4)],
    ids=["strips", "plates"],
)
def test_known_lorry(scene: Scene) -> None:
    lorry, passage = scene.lorries[0], only(scene)
    assert loads(passage) == pytest.approx(lorry.axle_kg, rel=1e-3)
    assert passage.gross_kg == pytest.approx(sum(lorry.axle_kg), rel=1e-3)
    assert passage.axles.spacing_m == pytest.approx(lorry.spacing_m, abs=0.01)
    assert passage.speed_mps == pytest.approx(lorry.speed_mps, rel=2e-3)
    assert passage.configuration == "1+1+3"
    assert passage.flags == Flag.NONE
    assert [g.count for g in passage.groups] == [1, 1, 3]
    assert sum(g.load_kg for g in passage.groups) == pytest.approx(passage.gross_kg)


def test_wheels_make_the_axle(plain: Passage) -> None:
    axles = plain.axles
    assert axles.left_kg + axles.right_kg == pytest.approx(axles.load_kg, rel=1e-6)
    assert axles.wheel_kg.sum(axis=2) == pytest.approx(axles.row_load_kg, rel=1e-6)
    assert axles.wheel_kg.shape == (5, 4, 2)
    assert not axles.load_kg.flags.writeable


def test_double_gain_doubles_loads(plain: Passage) -> None:
    doubled = strips().passages(gains(8, 2.0))[0]
    # What is twice as heavy swings slower, so that rows weigh a little differently.
    assert loads(doubled) == pytest.approx(2 * loads(plain), rel=5e-4)


def test_later_is_as_heavy(plain: Passage) -> None:
    scene = strips()
    shift = 777
    counts = scene.counts()
    later = np.concatenate([counts[:shift], counts])
    edges = [replace(e, sample=e.sample + shift) for e in scene.edges]
    pipeline = scene.pipeline()
    block = SampleBlock("D1", 0, read_only(later), RATE_HZ)
    passage = (pipeline.step(block, edges) + pipeline.flush())[0]
    assert loads(passage) == pytest.approx(loads(plain), rel=1e-4)
    assert passage.first_wheel_sample == pytest.approx(plain.first_wheel_sample + shift, abs=1)


def test_swapped_channels_swap_sides() -> None:
    uneven = replace(FAST, left=0.4)
    lane = strip_lane()
    rows = tuple(replace(r, left=r.right, right=r.left) for r in lane.rows)
    swapped = strips(uneven)
    pipeline = Pipeline("D1", RATE_HZ, 8, (replace(lane, rows=rows),), gains(8))
    block = swapped.block()
    passage = (pipeline.step(block, swapped.edges) + pipeline.flush())[0]
    straight = only(strips(uneven)).axles
    assert passage.axles.left_kg == pytest.approx(straight.right_kg, rel=1e-9)
    assert straight.left_kg == pytest.approx(0.4 * straight.load_kg, rel=2e-3)


def test_constant_offset_weighs_nothing(plain: Passage) -> None:
    assert loads(only(strips(offset_n=-9_000.0))) == pytest.approx(loads(plain), rel=1e-4)


def test_sensor_that_presses_downwards() -> None:
    scene = strips()
    upright = scene.passages()[0]
    pipeline = scene.pipeline(gains(8, sign=-1.0))
    block = replace(scene.block(), counts=read_only(-scene.counts()))
    passage = (pipeline.step(block, scene.edges) + pipeline.flush())[0]
    assert loads(passage).tolist() == loads(upright).tolist()


def test_empty_trailer_behind_laden_tractor() -> None:
    lorry = replace(FAST, axle_kg=(6_500.0, 13_000.0, 650.0, 650.0, 650.0))
    passage = only(strips(lorry))
    assert loads(passage) == pytest.approx(lorry.axle_kg, rel=0.01)


def test_noise_drift_and_hum_stay_inside_the_uncertainty() -> None:
    scenes = [
        strips(noise_n=60.0, drift_n=300.0, hum_n=40.0, seed=seed, seconds=4.0) for seed in range(4)
    ]
    for passage in map(only, scenes):
        error_kg = loads(passage) - np.array(FAST.axle_kg)
        assert np.all(np.abs(error_kg) < 2 * passage.axles.u_load_kg)
        assert np.abs(error_kg / FAST.axle_kg).max() < 0.02


@pytest.mark.parametrize("hum_hz", [800.0, 1_000.0, 1_066.67, 4_000 / 3, 1_990.0])
def test_a_tone_near_the_rate_of_looks_hides_no_wheel(hum_hz: float) -> None:
    light = Lorry(0.8, 24.0, (520.0, 480.0), (2.5,))
    passage = only(strips(light, rate_hz=4_000.0, hum_n=40.0, hum_hz=hum_hz, seconds=2.5))
    assert np.abs(loads(passage) - light.axle_kg).max() < 10
    assert passage.flags == Flag.NONE


def test_spikes_between_the_looks_are_no_touches() -> None:
    scene = strips(rate_hz=4_000.0, lorries=())
    counts = scene.counts()
    counts[1 + CHUNK * 40 :: CHUNK * 40] += 100_000
    pipeline = scene.pipeline()
    assert not pipeline.step(SampleBlock("D1", 0, counts, 4_000.0)) + pipeline.flush()
    assert pipeline.stray == 0


def test_accelerating_lorry() -> None:
    passage = only(strips(replace(FAST, speed_mps=10.0, acceleration_mps2=0.8)))
    assert np.nanmean(passage.axles.row_load_kg, axis=1) == pytest.approx(FAST.axle_kg, rel=1e-3)
    assert passage.gross_kg == pytest.approx(sum(FAST.axle_kg), rel=1e-3)
    # These wheels do not press otherwise than at rest; the core takes off what real ones would.
    assert loads(passage)[0] > FAST.axle_kg[0] + 0.8 / 9.8 * 1.2 * sum(FAST.axle_kg) / 20
    assert loads(passage)[-1] < FAST.axle_kg[-1]
    assert passage.axles.spacing_m == pytest.approx(FAST.spacing_m, abs=0.01)
    assert 0.02 < passage.speed_change < 0.08


def test_hard_braking_is_flagged() -> None:
    passage = only(strips(replace(FAST, speed_mps=12.0, acceleration_mps2=-3.0)))
    assert Flag.SPEED_CHANGE in passage.flags


def test_missing_pulse_leaves_the_axle_in_doubt() -> None:
    passage = only(strips(replace(FAST, skip=((1, 2),))))
    assert loads(passage) == pytest.approx(FAST.axle_kg, rel=2e-3)
    assert passage.axles.flags.tolist() == [0, Flag.ROW_MISSING, 0, 0, 0]
    assert np.isnan(passage.axles.row_load_kg[1, 2])
    assert passage.axles.u_load_kg[1] > 1.1 * passage.axles.u_load_kg[0] * (10 / 6) ** 0.25


@pytest.mark.parametrize("pair", [(0, 0), (4, 3), (0, 3), (4, 0)])
def test_missing_pulse_at_a_corner(pair: tuple[int, int]) -> None:
    passage = only(strips(replace(FAST, skip=(pair,))))
    assert loads(passage) == pytest.approx(FAST.axle_kg, rel=2e-3)
    assert Flag.ROW_MISSING in passage.flags


def test_blow_between_axles_is_no_axle() -> None:
    scene = strips()
    counts = scene.counts()
    counts[2_450:2_453, 2:4] += round(8_000 / NEWTON_PER_COUNT)
    pipeline = scene.pipeline()
    block = SampleBlock("D1", 0, read_only(counts), RATE_HZ)
    passages = pipeline.step(block, scene.edges) + pipeline.flush()
    assert [len(p.axles) for p in passages] == [5]
    assert loads(passages[0]) == pytest.approx(FAST.axle_kg, rel=3e-3)


def test_wheel_beside_the_sensors() -> None:
    passage = only(strips(replace(FAST, one_sided=(2,))))
    assert passage.axles.flags.tolist() == [0, 0, Flag.WHEEL_OFF, 0, 0]
    assert Flag.WHEEL_OFF in passage.flags


def test_saturated_axle() -> None:
    scene = strips()
    counts = scene.counts()
    counts[:, 0] = np.minimum(counts[:, 0].astype(np.int64) * 30, ADC_FULL_SCALE)
    pipeline = scene.pipeline()
    block = SampleBlock("D1", 0, read_only(counts), RATE_HZ)
    passage = (pipeline.step(block, scene.edges) + pipeline.flush())[0]
    assert Flag.SATURATED in passage.flags


@pytest.mark.parametrize(("lost_at", "flagged"), [(2_400, True), (300, False)])
def test_gap_flags_what_it_touches(lost_at: int, flagged: bool) -> None:
    scene = strips()
    block = scene.block()
    lost = 40
    head, rest = cut(block, [lost_at])
    tail = replace(
        rest,
        first_sample=rest.first_sample + lost,
        counts=rest.counts[lost:],
        lost_before=lost,
    )
    pipeline = scene.pipeline()
    passages = pipeline.step(head, scene.edges) + pipeline.step(tail) + pipeline.flush()
    assert len(passages) == 1
    assert (Flag.GAP in passages[0].flags) is flagged
    assert passages[0].clip.gaps == (((lost_at, lost),) if flagged else ())


def test_restart_ends_what_was_under_way() -> None:
    scene = strips()
    block = scene.block()
    head, rest = cut(block, [2_600])
    pipeline = scene.pipeline()
    fresh = replace(rest, first_sample=0, restarted=True)
    passages = pipeline.step(head, scene.edges[:1]) + pipeline.step(fresh)
    passages += pipeline.flush()
    assert [Flag.INCOMPLETE in p.flags for p in passages] == [True, True]


def test_outside_the_certificate() -> None:
    light = replace(FAST, axle_kg=(900.0, 180.0), spacing_m=(2.6,))
    passage = only(strips(light))
    assert passage.axles.flags.tolist() == [0, Flag.LOAD_OUT_OF_RANGE]
    assert Flag.SPEED_OUT_OF_RANGE in only(strips(replace(FAST, speed_mps=28.0))).flags


def test_without_certificate() -> None:
    bare = replace(gains(8), certificate_id="")
    assert Flag.UNCALIBRATED in strips().passages(bare)[0].flags


def test_stored_clip_gives_the_same_bits() -> None:
    for scene in (strips(noise_n=40.0), Scene(plate_lane(), (SLOW,), 9.0, channels=4)):
        live = only(scene)
        again = weigh(live.clip, scene.lane, gains(scene.channels), known=live.flags)
        for name in ("load_kg", "u_load_kg", "left_kg", "spacing_m", "row_load_kg", "wheel_kg"):
            one, two = getattr(live.axles, name), getattr(again.axles, name)
            assert one.tobytes() == two.tobytes(), name
        assert (live.gross_kg, live.u_gross_kg) == (again.gross_kg, again.u_gross_kg)
        assert live.flags == again.flags


def test_clips_own_their_samples() -> None:
    counts = read_only(strips().counts())
    pipeline = strips().pipeline()
    passages = pipeline.step(SampleBlock("D1", 0, counts, RATE_HZ)) + pipeline.flush()
    assert len(passages) == 1
    clip = passages[0].clip
    assert clip.counts.base is None
    assert np.array_equal(clip.counts, counts[clip.first_sample : clip.end_sample])


def test_row_that_contradicts_all_others_is_left_out_and_told() -> None:
    scene = strips()
    worth = gains(8).newton_per_count.copy()
    worth[4:6] *= 3.0
    passage = weigh(only(scene).clip, scene.lane, replace(gains(8), newton_per_count=worth))
    assert loads(passage) == pytest.approx(FAST.axle_kg, rel=2e-3)
    assert (passage.axles.flags & Flag.ROW_MISSING).all()
    assert Flag.ROW_MISSING in passage.flags


def test_gain_uncertainty_reaches_the_gross(plain: Passage) -> None:
    certain = replace(gains(8), u_rel=read_only(np.zeros(8)), u_rel_common=0.0)
    common = replace(gains(8), u_rel=read_only(np.full(8, 0.02)), u_rel_common=0.02)
    base = strips().passages(certain)[0]
    more = strips().passages(common)[0]
    added = more.u_gross_kg**2 - base.u_gross_kg**2
    assert np.sqrt(added) == pytest.approx(0.02 * more.gross_kg, rel=1e-6)
    assert base.u_gross_kg < plain.u_gross_kg < more.u_gross_kg


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="channels"):
        strips().pipeline().step(SampleBlock("D1", 0, np.zeros((8, 3), np.int32), RATE_HZ))
    with pytest.raises(ValueError, match="gains"):
        Pipeline("D1", RATE_HZ, 4, (plate_lane(),), gains(8))
    with pytest.raises(ValueError, match="beyond"):
        Pipeline("D1", RATE_HZ, 4, (strip_lane(),), gains(4))


def test_late_edges_and_strange_inputs_do_no_harm(plain: Passage) -> None:
    scene = strips()
    block = scene.block()
    strange = [InputEdge("D1", 100, 9, True), InputEdge("D1", 10**9, 0, True)]
    pipeline = scene.pipeline()
    passages = pipeline.step(block, [*scene.edges, *strange]) + pipeline.flush()
    assert [loads(p).tolist() for p in passages] == [loads(plain).tolist()]
