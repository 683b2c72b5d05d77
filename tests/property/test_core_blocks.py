"""However the samples are cut into blocks, the passages are the same to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.conditioning import Baseline
from edge.core.extremes import CHUNK, looks
from edge.core.modes import PRIOR
from edge.core.pulses import TouchFinder
from edge.core.scales import Scale
from edge.core.weigh import Cut, weigh_all
from edge.records import Flag, Passage, Row, SampleBlock
from tests.unit.core_signals import Lorry, Scene, cut, gains, plate_lane, strip_lane

ARRAYS = (
    *("load_kg", "u_load_kg", "left_kg", "right_kg", "spacing_m", "u_spacing_m"),
    *("row_load_kg", "row_sample", "wheel_kg", "flags"),
)


def bits(passages: list[Passage]) -> list[tuple[object, ...]]:
    return [
        (
            *(getattr(p.axles, name).tobytes() for name in ARRAYS),
            (p.groups, p.u_speed_mps, p.speed_change),
            (p.gross_kg, p.u_gross_kg, p.speed_mps, p.first_wheel_sample, p.last_wheel_sample),
            (p.closed_sample, p.flags, p.clip.first_sample, p.clip.edges, p.clip.gaps),
            p.clip.counts.tobytes(),
        )
        for p in passages
    ]


@cache
def scenes() -> list[tuple[Scene, SampleBlock, list[tuple[object, ...]]]]:
    """Tail-gating on strips with and without separator, plates with a missing pulse."""
    close = Lorry(0.8 + 1.05, 15.0, skip=((1, 2),))
    alone = Lorry(0.6, 4.0, (6_000.0, 9_000.0), (4.0,))
    made = []
    for scene in (
        Scene(strip_lane(), [Lorry(0.8, 15.0), close], 3.5, drift_n=60.0),
        Scene(strip_lane(False), [Lorry(0.8, 15.0)], 3.0, hum_n=30.0),
        Scene(plate_lane(), [alone], 4.0, channels=4, rate_hz=1_000.0),
    ):
        block = scene.block()
        pipeline = scene.pipeline()
        made.append((scene, block, bits(pipeline.step(block, scene.edges) + pipeline.flush())))
    return made


@settings(max_examples=25, deadline=None)
@given(
    which=st.integers(0, 2),
    sizes=st.lists(st.one_of(st.integers(1, 200), st.integers(200, 3_000)), max_size=40),
    early=st.integers(0, 500),
)
def test_block_size_never_matters(which: int, sizes: list[int], early: int) -> None:
    scene, block, whole = scenes()[which]
    pipeline = scene.pipeline()
    passages, waiting = [], list(scene.edges)
    for piece in cut(block, sizes):
        due = [e for e in waiting if e.sample < piece.end_sample + early]
        waiting = waiting[len(due) :]
        passages += pipeline.step(piece, due)
    assert bits(passages + pipeline.flush()) == whole
    assert whole


@settings(max_examples=15, deadline=None)
@given(lost=st.integers(1, 600), at=st.integers(200, 6_000), split=st.integers(1, 900))
def test_gaps_are_the_same_in_any_blocks(lost: int, at: int, split: int) -> None:
    scene, block, _ = scenes()[0]
    head, rest = cut(block, [at])
    tail = replace(rest, first_sample=at + lost, counts=rest.counts[lost:], lost_before=lost)
    results = []
    for pieces in ([head, tail], [*cut(head, [split]), *cut(tail, [split, 77])]):
        pipeline = scene.pipeline()
        edges = scene.edges
        passages = []
        for piece in pieces:
            passages += pipeline.step(piece, edges)
            edges = []
        results.append(bits(passages + pipeline.flush()))
    assert results[0] == results[1]


@cache
def cuts() -> dict[str, list[Cut]]:
    """Clips of vehicles of all sorts by lane, one of which is none."""
    seen = [
        Scene(strip_lane(), [Lorry(0.8 + 0.1 * k, 8.0 + 2 * k, axles, steps, skip=skip)], 5.0)
        for k, (axles, steps, skip) in enumerate(
            [
                ((6_000.0, 9_000.0), (4.0,), ()),
                ((6_000.0, 9_000.0, 8_000.0), (4.0, 1.3), ((1, 2),)),
                ((6_000.0, 10_000.0, 8_000.0, 8_000.0, 8_000.0), (3.6, 6.0, 1.31, 1.31), ()),
                ((900.0, 700.0), (2.6,), ((0, 0),)),
            ]
        )
    ]
    plates = [
        Scene(plate_lane(), [Lorry(0.6, v, (6e3, 9e3), (4.0,))], 7.0, channels=4, rate_hz=1_000.0)
        for v in (2.0, 4.0, 6.5)
    ]
    made = {
        name: [
            Cut(p.clip, Scale(scene.lane, gains(scene.channels)), p.flags, p.closed_sample)
            for scene in own
            for p in scene.passages()
        ]
        for name, own in (("strip", seen), ("plate", plates))
    }
    idle = replace(made["strip"][0].clip, counts=np.zeros((900, 8), np.int32))
    made["strip"].append(made["strip"][0]._replace(clip=idle, known=Flag.NONE, closed_sample=900))
    made["lanes"] = [*lanes_alike()]
    return made


def lanes_alike() -> Iterator[Cut]:
    """Vehicles on lanes of one build with other channels, signs, certificates and dynamics."""
    lively = [[replace(c, bounce=2 * c.bounce, hop=3 * c.hop) for c in row] for row in PRIOR.cells]
    known = replace(PRIOR, cells=tuple(map(tuple, lively)))
    sure = replace(gains(16, 0.9), u_rel_common=0.001, speed_mps={"3": (5.0, 9.0)})
    for name, first, worth, dynamics in (
        ("1", 0, gains(16), PRIOR),
        ("2", 8, gains(16, 1.1, sign=-1.0), known),
        ("3", 8, sure, PRIOR),
        ("4", 0, replace(sure, certificate_id=""), known),
    ):
        lane = strip_lane(first_channel=first, name=name)
        scene = Scene(lane, [Lorry(0.8, 9.0 + first / 4)], 5.0, channels=16)
        (passage,) = scene.passages()
        sign = np.int32(np.sign(worth.newton_per_count[0]))
        clip = replace(passage.clip, counts=sign * passage.clip.counts)
        yield Cut(clip, Scale(lane, worth, (), dynamics), Flag.NONE, passage.closed_sample)


def test_lanes_alike_are_weighed_together_and_each_with_its_own_scale() -> None:
    every = cuts()["lanes"]
    assert len({cut.scale.build for cut in every}) == 1
    passages = [p for p in weigh_all(every) if p]
    assert [p.lane for p in passages] == ["1", "2", "3", "4"]
    gross_kg = np.array([p.gross_kg for p in passages])
    assert gross_kg / gross_kg[0] == pytest.approx([1.0, 1.1, 0.9, 0.9], rel=0.01)
    assert [Flag.UNCALIBRATED in p.flags for p in passages] == [False, False, False, True]
    assert [Flag.SPEED_OUT_OF_RANGE in p.flags for p in passages] == [False, False, True, False]


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from(["strip", "plate", "lanes"]), data=st.data())
def test_a_vehicle_weighs_the_same_alone_and_among_others(kind: str, data: st.DataObject) -> None:
    every = cuts()[kind]
    order = data.draw(st.lists(st.integers(0, len(every) - 1), min_size=1, max_size=9))
    together = weigh_all([every[i] for i in order])
    alone = [weigh_all([every[i]])[0] for i in order]
    assert [p is None for p in together] == [p is None for p in alone]
    assert bits([p for p in together if p]) == bits([p for p in alone if p])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    rate_hz=st.sampled_from([1_000.0, 2_000.0, 3_000.0, 4_000.0]),
)
def test_touches_of_a_millisecond_are_those_of_a_loop(
    seed: int, sizes: list[int], rate_hz: float
) -> None:
    chance = np.random.default_rng(seed)
    n = sum(sizes) * CHUNK
    wave = np.convolve(chance.standard_normal(n), np.ones(12) / 12, "same") * 2_000
    counts = np.stack([wave, np.roll(wave, 5)], axis=1).astype(np.int32)
    level, release = np.zeros((1, 2)), np.full((1, 2), 300.0)
    finder = TouchFinder([Row(0.0, 0.1, "strip", 0, 1)], np.ones(2))
    found, at = [], 0
    for size in sizes:
        part = counts[at * CHUNK : (at + size) * CHUNK]
        pressed = (part.reshape(-1, CHUNK, 2)[:, looks(rate_hz)] > 300).any(axis=1)
        line = np.zeros(size, np.int64)
        found += finder.step(at * CHUNK, part, pressed, level, release, line).tolist()
        at += size
    ended = [(enter, leave) for _, _, enter, leave in found if leave >= 0]
    slow = _slow_touches(counts.max(axis=1).tolist(), 300.0, 480.0)
    assert set(ended) <= set(slow)
    assert all(leave - enter < rate_hz / 1_000 for enter, leave in set(slow) - set(ended))


def _slow_touches(signal: list[int], low: float, high: float) -> list[tuple[int, int]]:
    touches, start, sure = [], -1, False
    for i, value in enumerate(signal):
        if value > low:
            start, sure = (i if start < 0 else start), sure or value > high
        else:
            touches += [(start, i)] if start >= 0 and sure else []
            start, sure = -1, False
    return touches


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    cuts=st.lists(st.integers(1, 199), max_size=6, unique=True),
)
def test_baseline_is_the_same_in_any_blocks(seed: int, cuts: list[int]) -> None:
    chance = np.random.default_rng(seed)
    middle = np.cumsum(chance.integers(-20, 21, (200, 3)), axis=0)
    middle[60:150, 1] += 4_000
    spread = chance.integers(10, 60, middle.shape)
    highest, lowest = (middle + spread).astype(np.int32), (middle - spread).astype(np.int32)
    floor, partner = np.full(3, 200.0), np.array([1, 0, 2])
    *whole, line = Baseline(1_000.0, floor, partner).step(highest, lowest)
    tracker = Baseline(1_000.0, floor, partner)
    bounds = [0, *sorted(cuts), 200]
    parts = [tracker.step(highest[a:b], lowest[a:b]) for a, b in pairwise(bounds)]
    for i in (0, 1):
        assert np.concatenate([p[i][p[2]] for p in parts]).tobytes() == whole[i][line].tobytes()
