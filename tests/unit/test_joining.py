"""Astride two lanes: two halves are one vehicle where they fit, and name each other where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from edge.core.joining import WAIT_S, Joiner, alike, pressed_side, seam
from edge.core.modes import PRIOR
from edge.core.pipeline import Pipeline
from edge.core.weigh import weigh
from edge.records import Flag, InputEdge, LaneLayout, Passage, SampleBlock, read_only
from tests.unit.core_signals import RATE_HZ, Lorry, Scene, gains, strip_lane

LORRY = Lorry(0.8, 15.0)
LEFT = replace(strip_lane(name="1"), beside=("2",))
RIGHT = replace(strip_lane(name="2", first_channel=8), beside=("1", "3"))
FAR = replace(strip_lane(name="3", first_channel=16), beside=("2",))
LANES = (LEFT, RIGHT, FAR)
CHANNELS = 24


def half(lorry: Lorry, *, left: float, share: float = 0.5) -> Lorry:
    """Those wheels of a lorry that press on one side of a lane."""
    return replace(lorry, left=left, axle_kg=tuple(share * kg for kg in lorry.axle_kg))


def signals(
    *pressed: tuple[LaneLayout, Sequence[Lorry]], seconds: float = 5.0
) -> tuple[SampleBlock, list[InputEdge]]:
    """What lorries press on the lanes of one digitiser."""
    scenes = [
        Scene(lane, own, seconds, CHANNELS, noise_n=8.0, offset_n=100.0, seed=k)
        for k, (lane, own) in enumerate(pressed)
    ]
    counts = sum((scene.counts() for scene in scenes), np.int32(0))
    edges = sorted((e for scene in scenes for e in scene.edges), key=lambda e: e.sample)
    return SampleBlock("D1", 0, read_only(np.asarray(counts)), RATE_HZ), edges


def pipeline(lanes: tuple[LaneLayout, ...] = LANES) -> Pipeline:
    return Pipeline("D1", RATE_HZ, CHANNELS, lanes, gains(CHANNELS))


def astride(
    lorry: Lorry = LORRY, lanes: tuple[LaneLayout, ...] = LANES, share: float = 0.5
) -> list[Passage]:
    """A lorry over the line between the first two lanes."""
    left, right = half(lorry, left=0.0, share=share), half(lorry, left=1.0, share=1 - share)
    block, edges = signals((lanes[0], [left]), (lanes[1], [right]))
    line = pipeline(lanes)
    return line.step(block, edges) + line.flush()


@pytest.fixture(scope="module")
def whole() -> Passage:
    (passage,) = astride()
    return passage


def test_both_halves_are_one_vehicle(whole: Passage) -> None:
    assert (whole.lane, whole.astride, whole.lanes) == ("1", ("1", "2"), ("1", "2"))
    assert whole.axles.load_kg == pytest.approx(LORRY.axle_kg, rel=3e-3)
    assert whole.axles.spacing_m == pytest.approx(LORRY.spacing_m, abs=0.02)
    assert whole.flags == Flag.STRADDLING
    assert whole.perhaps_with == ""


def test_sides_are_those_of_the_vehicle() -> None:
    (passage,) = astride(share=0.46)
    assert passage.axles.left_kg == pytest.approx(0.46 * np.array(LORRY.axle_kg), rel=5e-3)


def test_it_is_as_sure_as_a_vehicle_within_its_lane(whole: Passage) -> None:
    within = Scene(LEFT, [LORRY], 5.0, CHANNELS, noise_n=8.0, offset_n=100.0)
    line = pipeline()
    (plain,) = line.step(within.block(), within.edges) + line.flush()
    assert whole.u_gross_kg == pytest.approx(plain.u_gross_kg, rel=0.02)
    assert whole.axles.u_load_kg == pytest.approx(plain.axles.u_load_kg, rel=0.05)


def test_its_clip_gives_the_same_bits_again(whole: Passage) -> None:
    layout = seam(LEFT, RIGHT)
    assert layout is not None
    again = weigh(whole.clip, layout, gains(CHANNELS), known=whole.flags)
    assert again.axles.load_kg.tobytes() == whole.axles.load_kg.tobytes()
    assert (again.gross_kg, again.u_gross_kg) == (whole.gross_kg, whole.u_gross_kg)
    assert (again.flags, again.configuration) == (whole.flags, whole.configuration)
    assert whole.clip.counts.shape[1] == CHANNELS


def test_lanes_mirrored_give_the_mirrored_vehicle(whole: Passage) -> None:
    """The order of lanes in the file does not tell which is left: the wheels do."""
    mirrored = (replace(RIGHT, beside=("1",)), replace(LEFT, beside=("2",)))
    left, right = half(LORRY, left=0.0), half(LORRY, left=1.0)
    block, edges = signals((RIGHT, [left]), (LEFT, [right]))
    line = pipeline(mirrored)
    (passage,) = line.step(block, edges) + line.flush()
    assert passage.astride == ("2", "1")
    assert passage.gross_kg == pytest.approx(whole.gross_kg, rel=2e-3)


def test_halves_of_other_axles_stay_two_and_name_each_other() -> None:
    other = replace(LORRY, axle_kg=(6_000.0, 9_000.0), spacing_m=(5.2,))
    block, edges = signals((LEFT, [half(LORRY, left=0.0)]), (RIGHT, [half(other, left=1.0)]))
    line = pipeline()
    passages = line.step(block, edges) + line.flush()
    assert {p.lane: p.perhaps_with for p in passages} == {"1": "2", "2": "1"}
    assert all(Flag.STRADDLING in p.flags and p.lanes == (p.lane,) for p in passages)


def test_rows_that_do_not_lie_side_by_side_are_not_weighed_as_one() -> None:
    shifted = replace(
        RIGHT, rows=tuple(replace(r, position_m=r.position_m + 0.4) for r in RIGHT.rows)
    )
    assert seam(LEFT, shifted) is None
    passages = astride(lanes=(LEFT, shifted, FAR))
    assert {p.lane: p.perhaps_with for p in passages} == {"1": "2", "2": "1"}


def test_lanes_that_are_no_neighbours_have_no_vehicle_in_common() -> None:
    block, edges = signals((LEFT, [half(LORRY, left=0.0)]), (FAR, [half(LORRY, left=1.0)]))
    line = pipeline()
    passages = line.step(block, edges) + line.flush()
    assert [p.lane for p in passages] == ["1", "3"]
    assert not any(Flag.STRADDLING in p.flags or p.perhaps_with for p in passages)


def test_whole_vehicles_side_by_side_stay_two() -> None:
    block, edges = signals((LEFT, [LORRY]), (RIGHT, [LORRY]))
    line = pipeline()
    passages = line.step(block, edges) + line.flush()
    assert [(p.lane, p.flags) for p in passages] == [("1", Flag.NONE), ("2", Flag.NONE)]


def halves() -> list[Passage]:
    """Both halves, before they are joined: lane 2 alone knows of a neighbour."""
    left = half(LORRY, left=0.0), half(LORRY, left=1.0)
    block, edges = signals((LEFT, [left[0]]), (RIGHT, [left[1]]))
    found = []
    for lane in (LEFT, RIGHT):
        line = pipeline((lane,))
        (passage,) = line.step(block, edges) + line.flush()
        found.append(replace(passage, flags=passage.flags | Flag.STRADDLING))
    return found


def joiner() -> Joiner:
    return Joiner(LANES, gains(CHANNELS), {lane.lane: PRIOR for lane in LANES})


def test_the_order_of_closing_does_not_matter(whole: Passage) -> None:
    for order in permutations(halves()):
        closed = [replace(p, closed_sample=9_000 + 500 * k) for k, p in enumerate(order)]
        (one,) = joiner().step(closed, 9_500)
        assert (one.lane, one.astride) == ("1", ("1", "2"))
        assert one.gross_kg == whole.gross_kg
        assert one.closed_sample == 9_500


def test_a_half_waits_a_fixed_time_and_its_lane_behind_it() -> None:
    one, other = halves()
    follower = replace(one, flags=Flag.NONE, closed_sample=one.closed_sample + 1)
    beside = replace(other, flags=Flag.NONE, closed_sample=one.closed_sample + 2)
    end = one.closed_sample + round(WAIT_S * RATE_HZ)
    waiting = joiner()
    assert waiting.step([one, follower, beside], end - 1) == [beside]
    assert waiting.step([], end) == [one, follower]
    assert waiting.step([replace(other, closed_sample=end + 1)], end + 1) == []
    assert [p.lane for p in waiting.flush()] == ["2"]


def test_what_pressed_on_both_sides_is_no_half(whole: Passage) -> None:
    one, other = halves()
    assert (pressed_side(one), pressed_side(other), pressed_side(whole)) == ("right", "left", "")
    assert alike(one, other)
    assert not alike(one, replace(other, speed_mps=1.1 * other.speed_mps))
