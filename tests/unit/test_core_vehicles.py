"""Which axles are one vehicle: with a separator, without one, and when it lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edge.core.pipeline import Pipeline
from edge.records import Flag, InputEdge, Passage, SampleBlock, Separator, read_only
from tests.unit.core_signals import (
    NEWTON_PER_COUNT,
    RATE_HZ,
    Lorry,
    Scene,
    gains,
    plate_lane,
    strip_lane,
)

FAST = Lorry(1.0, 15.0)
CAR = Lorry(1.0, 14.0, (800.0, 700.0), (2.7,), contact_m=0.12, overhang_m=0.8)


def fed(scene: Scene, edit: Callable[[list[InputEdge]], list[InputEdge]]) -> list[Passage]:
    """Passages of a scene whose edges were tampered with."""
    block, pipeline = scene.block(), scene.pipeline()
    return pipeline.step(block, edit(scene.edges)) + pipeline.flush()


def fed_without(scene: Scene) -> list[Passage]:
    """Passages of a scene whose lane has no separator."""
    return replace(scene, lane=replace(scene.lane, separator=None)).passages()


def counts(passages: list[Passage]) -> list[int]:
    return [len(p.axles) for p in passages]


@pytest.mark.parametrize("separator", [True, False])
def test_one_after_the_other(separator: bool) -> None:
    lorries = [FAST, Lorry(4.0, 20.0), replace(CAR, start_s=6.5)]
    passages = Scene(strip_lane(separator), lorries, 9.0).passages()
    assert counts(passages) == [5, 5, 2]
    assert [p.flags for p in passages] == [Flag.NONE] * 3


def test_tail_gating_is_parted_by_the_separator() -> None:
    close = replace(FAST, start_s=1.0 + (12.22 + 2.4 + 1.5) / 15)
    passages = Scene(strip_lane(), [FAST, close], 5.0).passages()
    assert counts(passages) == [5, 5]
    assert all(p.flags == Flag.NONE for p in passages)
    assert passages[1].gross_kg == pytest.approx(40_000, rel=1e-3)


@pytest.mark.parametrize(("first_mps", "second_mps"), [(18.3, 14.15), (14.15, 18.3), (20.0, 13.0)])
def test_a_follower_at_another_speed_has_no_say(first_mps: float, second_mps: float) -> None:
    first = Lorry(1.0, first_mps, (5_500.0, 10_100.0), (3.86,))
    away_s = (3.86 + 1.2 + 1.2 + 2.5) / first_mps
    second = Lorry(
        1.0 + away_s, second_mps, (8_300.0, 8_100.0, 13_400.0, 13_200.0), (2.0, 3.2, 1.4)
    )
    lane = replace(strip_lane(), separator=Separator(0, -0.5))
    passages = Scene(lane, [first, second], 4.0).passages()
    assert counts(passages) == [2, 4]
    assert [p.gross_kg for p in passages] == pytest.approx([15_600, 43_000], rel=5e-3)
    assert all(p.flags == Flag.NONE for p in passages)


def test_tail_gating_on_plates() -> None:
    first = Lorry(1.5, 4.0, (6_000.0, 10_000.0), (4.2,), overhang_m=1.0)
    second = replace(first, start_s=1.5 + (4.2 + 2.0 + 1.2) / 4)
    passages = Scene(plate_lane(), [first, second], 7.0, channels=4).passages()
    assert counts(passages) == [2, 2]
    assert all(p.flags == Flag.NONE for p in passages)


def test_tail_gating_without_separator_is_doubtful() -> None:
    close = replace(FAST, start_s=1.0 + (12.22 + 10.5) / 15)
    passages = Scene(strip_lane(False), [FAST, close], 5.0).passages()
    assert counts(passages) == [10]
    assert Flag.AMBIGUOUS in passages[0].flags


@pytest.mark.parametrize("separator", [True, False])
def test_a_close_follower_without_separator_is_parted_by_its_speed(separator: bool) -> None:
    first = Lorry(1.0, 15.0, (5_500.0, 10_100.0), (3.86,))
    second = replace(FAST, start_s=1.0 + (3.86 + 5.0) / 15, speed_mps=15.9)
    scene = Scene(strip_lane(), [first, second], 5.0)
    passages = fed(scene, lambda _: []) if separator else fed_without(scene)
    assert counts(passages) == [2, 5]
    assert [p.gross_kg for p in passages] == pytest.approx([15_600, 40_000], rel=5e-3)
    assert not any(Flag.AMBIGUOUS in p.flags for p in passages)


def test_axles_that_move_together_are_not_parted() -> None:
    train = Lorry(1.0, 15.0, (6_000.0, 9_000.0, 7_000.0, 7_000.0), (4.2, 4.6, 4.5))
    passages = fed_without(Scene(strip_lane(), [train], 5.0))
    assert counts(passages) == [4]
    assert passages[0].flags == Flag.AMBIGUOUS


def test_closes_as_soon_as_it_is_complete() -> None:
    passage = Scene(strip_lane(), [FAST], 4.0).passages()[0]
    assert passage.closed_sample - passage.last_wheel_sample < 0.15 * RATE_HZ


def test_dead_separator() -> None:
    passages = fed(Scene(strip_lane(), [FAST, Lorry(4.0, 20.0)], 8.0), lambda _: [])
    assert counts(passages) == [5, 5]
    assert all(Flag.SEPARATOR_FAULT in p.flags for p in passages)


def test_slow_vehicles_are_believed_once_the_separator_is_known_to_be_out_of_order() -> None:
    lorries = [Lorry(1.0 + 8.0 * k, 4.0, (6_000.0, 9_000.0), (4.0,)) for k in range(6)]
    passages = fed(Scene(strip_lane(), lorries, 52.0, rate_hz=1_000.0), lambda _: [])
    assert counts(passages) == [2] * 6
    doubted = [Flag.AMBIGUOUS in p.flags for p in passages]
    assert doubted == [True] * 4 + [False] * 2
    assert all(Flag.SEPARATOR_FAULT in p.flags for p in passages)


def test_a_noisy_channel_is_doubted() -> None:
    scene = Scene(strip_lane(), [FAST], 4.0)
    counts_ = scene.counts()
    chance = np.random.default_rng(1)
    counts_[:, 2] += np.rint(chance.normal(0, 800 / NEWTON_PER_COUNT, len(counts_))).astype(
        np.int32
    )
    block = SampleBlock("D1", 0, read_only(counts_), RATE_HZ)
    pipeline = scene.pipeline()
    passages = pipeline.step(block, scene.edges) + pipeline.flush()
    assert counts(passages) == [5]
    assert Flag.ROW_MISSING in passages[0].flags


def test_stuck_separator_parts_by_distance_and_is_believed_again() -> None:
    lorries = [Lorry(1.0 + 3.0 * k, 15.0) for k in range(4)]

    def stuck(edges: list[InputEdge]) -> list[InputEdge]:
        return [edges[0], *edges[5:]]

    passages = fed(Scene(strip_lane(), lorries, 15.0), stuck)
    assert counts(passages) == [5, 5, 5, 5]
    faults = [Flag.SEPARATOR_FAULT in p.flags for p in passages]
    assert faults[:3] == [True, True, True]
    assert not faults[3]


def test_bouncing_separator() -> None:
    def bounce(edges: list[InputEdge]) -> list[InputEdge]:
        on, off = edges
        free = replace(off, sample=on.sample + 500)
        return [on, free, replace(on, sample=on.sample + 520), off]

    passages = fed(Scene(strip_lane(), [FAST], 4.0), bounce)
    assert counts(passages) == [5]
    assert passages[0].flags == Flag.NONE


def test_somebody_walks_through_the_separator() -> None:
    walk = [InputEdge("D1", 500, 0, True), InputEdge("D1", 900, 0, False)]
    passages = fed(Scene(strip_lane(), [FAST], 4.0), lambda edges: walk + edges)
    assert [p.flags for p in passages] == [Flag.NONE]


@pytest.mark.parametrize("separator", [True, False])
def test_wrong_way(separator: bool) -> None:
    back = replace(FAST, speed_mps=-15.0, from_m=20.0, spacing_m=tuple(-s for s in FAST.spacing_m))
    passages = Scene(strip_lane(separator), [back], 5.0).passages()
    assert counts(passages) == [5]
    assert Flag.REVERSED in passages[0].flags
    assert passages[0].speed_mps == pytest.approx(15.0, rel=1e-2)


@pytest.mark.parametrize("pause_at_s", [2.0, 1.55])
def test_stops_on_the_plates_and_goes_on(pause_at_s: float) -> None:
    lorry = Lorry(1.0, 3.0, (6_000.0, 10_000.0), (4.2,), pause_s=(pause_at_s, 25.0))
    passages = Scene(plate_lane(), [lorry], 32.0, channels=4).passages()
    assert counts(passages) == [2]
    assert Flag.STOPPED in passages[0].flags


def test_stands_for_minutes_then_the_next_is_weighed() -> None:
    stays = Lorry(1.0, 3.0, (6_000.0, 10_000.0), (4.2,), pause_s=(1.1, 260.0))
    after = Lorry(272.0, 3.0, (6_000.0, 10_000.0), (4.2,))
    scene = Scene(plate_lane(), [stays, after], 280.0, channels=4, rate_hz=500.0)
    passages = scene.passages()
    assert passages[-1].flags == Flag.NONE
    assert passages[-1].gross_kg == pytest.approx(16_000, rel=2e-3)
    assert all(p.flags & (Flag.STOPPED | Flag.INCOMPLETE) for p in passages[:-1])


def test_data_end_under_a_lorry() -> None:
    scene = Scene(strip_lane(), [FAST], 4.0)
    block = scene.block()
    pipeline = scene.pipeline()
    cut = replace(block, counts=block.counts[:3_600])
    passages = pipeline.step(cut, scene.edges[:1]) + pipeline.flush()
    assert all(Flag.INCOMPLETE in p.flags for p in passages)
    assert pipeline.flush() == []


def test_on_the_array_when_data_begin() -> None:
    scene = Scene(strip_lane(), [FAST], 4.0)
    block = scene.block()
    pipeline = scene.pipeline()
    late = replace(block, first_sample=2_300, counts=block.counts[2_300:])
    passages = pipeline.step(late, scene.edges[1:]) + pipeline.flush()
    assert all(Flag.INCOMPLETE in p.flags for p in passages)


def test_a_blow_alone_is_no_vehicle() -> None:
    scene = Scene(strip_lane(False), [], 3.0)
    counts_ = scene.counts()
    counts_[2_000:2_020, 4:6] += round(5_000 / NEWTON_PER_COUNT)
    pipeline = scene.pipeline()
    block = SampleBlock("D1", 0, read_only(counts_), RATE_HZ)
    assert pipeline.step(block) + pipeline.flush() == []
    assert pipeline.stray == 1


@pytest.mark.parametrize("step_n", [3_000.0, -3_000.0])
def test_step_of_one_sensor_is_forgotten(step_n: float) -> None:
    scene = Scene(strip_lane(), [Lorry(12.0, 15.0)], 15.0)
    counts_ = scene.counts()
    counts_[4_000:, 3] += round(step_n / NEWTON_PER_COUNT)
    pipeline = scene.pipeline()
    block = SampleBlock("D1", 0, read_only(counts_), RATE_HZ)
    passages = pipeline.step(block, scene.edges) + pipeline.flush()
    assert [p.flags for p in passages] == [Flag.NONE]


def test_creeping_zero_is_no_wheel() -> None:
    scene = Scene(strip_lane(), [Lorry(9.0, 15.0)], 12.0)
    creep = np.clip(np.arange(24_000) - 2_000, 0, 8_000)[:, None] / 8_000 * 320
    counts_ = scene.counts() + (creep / NEWTON_PER_COUNT).astype(np.int32)
    pipeline = scene.pipeline()
    block = SampleBlock("D1", 0, read_only(counts_), RATE_HZ)
    passages = pipeline.step(block, scene.edges) + pipeline.flush()
    assert [p.flags for p in passages] == [Flag.NONE]
    assert passages[0].gross_kg == pytest.approx(40_000, rel=1e-3)


def test_two_lanes_of_one_digitiser_keep_apart() -> None:
    near, far = strip_lane(name="1"), strip_lane(name="2", first_channel=8)
    one = Scene(near, [FAST], 4.0, channels=16)
    two = Scene(far, [Lorry(1.3, 20.0)], 4.0, channels=16, noise_n=0.0, offset_n=0.0)
    both = one.counts() + two.counts()
    edges = sorted([*one.edges, *two.edges], key=lambda e: e.sample)
    pipeline = Pipeline("D1", RATE_HZ, 16, (near, far), gains(16))
    passages = pipeline.step(SampleBlock("D1", 0, read_only(both), RATE_HZ), edges)
    assert sorted(p.lane for p in passages) == ["1", "2"]
    assert all(p.flags == Flag.NONE for p in passages)
    assert np.allclose([p.gross_kg for p in passages], 40_000, rtol=1e-3)
