"""Vehicles that are decided many at once are those that would be decided touch by touch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.course import Pace
from edge.core.plain import Plain, PlainFinder
from edge.core.pulses import Touch
from edge.core.separator import Beam
from edge.core.vehicles import LaneTracker, Window
from edge.records import Flag, Indices, InputEdge, LaneLayout, Separator
from tests.unit.core_signals import RATE_HZ, plate_lane, strip_lane

OVERHANG_M = 1.2
END = round(900 * RATE_HZ)
Traffic = tuple[list[Touch], list[InputEdge]]


def traffic(lane: LaneLayout, chance: np.random.Generator, faults: float) -> Traffic:
    """Some vehicles; so many of them in a hundred have a fault of one kind or another."""
    touches, edges, begin_s = list[Touch](), list[InputEdge](), 5.0
    for _ in range(8):
        speed_mps = float(chance.choice([0.9, 3.0, 14.0, 25.0]) * chance.uniform(0.9, 1.1))
        steps_m = chance.choice([1.3, 3.6, 6.0, 11.0], chance.integers(1, 6))
        behind_m, patch_m = np.append(0.0, np.cumsum(steps_m)), float(chance.choice([0.1, 0.25]))
        own, gone_m = _wheels(lane, begin_s, speed_mps, behind_m, patch_m)
        assert lane.separator is not None
        at_m = lane.separator.position_m + np.array([-OVERHANG_M, gone_m + OVERHANG_M])
        on, off = (round((begin_s + m / speed_mps) * RATE_HZ) for m in at_m)
        seen = [(on, True), (off, False)]
        if chance.uniform(0, 100) < faults:
            _spoil(own, seen, chance)
        touches += own
        edges += [InputEdge("D1", sample, 0, active) for sample, active in seen]
        gap_m = chance.choice([2.5, 6.0, 60.0]) + 2 * OVERHANG_M
        begin_s += (gone_m + gap_m) / speed_mps
    lines = [Touch(t.enter_sample + 5, t.row, t.enter_sample, -1) for t in touches] + touches
    return sorted(lines), edges


def _wheels(
    lane: LaneLayout, begin_s: float, speed_mps: float, behind_m: np.ndarray, patch_m: float
) -> tuple[list[Touch], float]:
    own = []
    for number, row in enumerate(lane.rows):
        for at_m in behind_m + row.position_m:
            enter = round((begin_s + at_m / speed_mps) * RATE_HZ)
            leave = enter + round((row.width_m + patch_m) / speed_mps * RATE_HZ)
            own.append(Touch(leave, number, enter, leave))
    return own, float(behind_m[-1])


def _spoil(own: list[Touch], seen: list[tuple[int, bool]], chance: np.random.Generator) -> None:
    """A wheel unseen, a blow, one that drags, an edge lost, late, early or bouncing."""
    k = int(chance.integers(len(own)))
    match chance.integers(8):
        case 0:
            del own[k]
        case 1:
            at = own[k].leave_sample + int(chance.integers(20, 900))
            own.append(Touch(at + 7, own[k].row, at, at + 7))
        case 2:
            late = own[k].leave_sample + int(chance.integers(1, 3_000))
            own[k] = own[k]._replace(sample=late, leave_sample=late)
        case 3:
            del seen[int(chance.integers(2))]
        case 4:
            seen[1] = (seen[1][0] + int(chance.integers(1, 9_000)), False)
        case 5:
            seen[1] = (max(seen[0][0] + 1, seen[1][0] - int(chance.integers(1, 9_000))), False)
        case 6:
            seen[0] = (min(seen[1][0] - 1, seen[0][0] + int(chance.integers(1, 9_000))), True)
        case _:
            middle = (seen[0][0] + seen[1][0]) // 2
            seen[1:1] = [(middle, False), (middle + int(chance.integers(1, 300)), True)]


def lines(touches: list[Touch]) -> Indices:
    return np.array(touches, np.int64).reshape(-1, 4)


def told(
    lane: LaneLayout, whole: Traffic, cuts: list[int]
) -> tuple[list[Window], int, list[Window]]:
    """Windows and strays, in calls up to each cut and the end, and what is closed after it."""
    tracker, windows, begin = LaneTracker(lane, RATE_HZ, 0), list[Window](), 0
    for until in [*sorted(cuts), END]:
        now = [t for t in whole[0] if begin <= t.sample < until]
        edges = [e for e in whole[1] if begin <= e.sample < until]
        windows += tracker.advance(lines(now), edges, until)
        begin = until
    return windows, tracker.stray, tracker.close(END)


def lane_with(kind: str, beam_m: float) -> LaneLayout:
    lane = strip_lane() if kind == "strip" else plate_lane()
    return replace(lane, separator=Separator(0, beam_m))


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["strip", "plate"]),
    beam_m=st.sampled_from([-0.5, 0.7, 3.3, 5.0]),
    seed=st.integers(0, 1 << 32),
    faults=st.sampled_from([0.0, 15.0, 60.0]),
    cuts=st.lists(st.integers(1, END - 1), max_size=4),
)
def test_all_at_once_are_those_of_one_edge_after_the_other(
    kind: str, beam_m: float, seed: int, faults: float, cuts: list[int]
) -> None:
    lane = lane_with(kind, beam_m)
    whole = traffic(lane, np.random.default_rng(seed), faults)
    # With one edge a call no vehicle comes whole.
    careful = told(lane, whole, [e.sample + 1 for e in whole[1]])
    assert told(lane, whole, []) == careful
    assert told(lane, whole, cuts) == careful


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    faults=st.sampled_from([0.0, 15.0, 60.0]),
    few=st.lists(st.integers(0, 11), max_size=40),
)
def test_the_present_speed_does_not_hang_on_how_many_touches_come_at_once(
    seed: int, faults: float, few: list[int]
) -> None:
    """Few are followed in plain numbers, many in arrays; the same bits."""
    lane = lane_with("strip", 3.3)
    touches, _ = traffic(lane, np.random.default_rng(seed), faults)
    every = lines(sorted(touches + [Touch(t[2] + 5, t[1], t[2], -1) for t in touches]))
    whole, parts = (Pace(lane.rows, RATE_HZ, lane.speed_min_mps) for _ in range(2))
    told = whole.follow(every)
    pieces = [parts.follow(piece) for piece in np.split(every, np.cumsum(few))]
    assert told.late.tolist() == [late for piece in pieces for late in piece.late.tolist()]
    known = [told.known[:1], *(piece.known[1:] for piece in pieces)]
    assert told.known.tobytes() == np.concatenate(known).tobytes()


def test_a_plain_vehicle_is_found_as_such() -> None:
    lane = lane_with("strip", 3.3)
    own, gone_m = _wheels(lane, 1.0, 15.0, np.array([0.0, 3.6, 9.6]), 0.25)
    on, off = (round((1.0 + m / 15.0) * RATE_HZ) for m in (2.1, 3.3 + gone_m + OVERHANG_M))
    touches = lines(sorted(own + [Touch(t[2] + 5, t[1], t[2], -1) for t in own]))
    edges = [InputEdge("D1", on, 0, True), InputEdge("D1", off, 0, False)]
    assert lane.separator is not None
    beam = Beam(lane.separator, RATE_HZ)
    finder = PlainFinder(lane, beam, RATE_HZ)
    course = Pace(lane.rows, RATE_HZ, lane.speed_min_mps).follow(touches)
    ahead = np.searchsorted(touches[:, 0], [on, off])
    first, last = min(t.enter_sample for t in own), max(t.leave_sample for t in own)
    closed = max(off + beam.debounce_samples, last)
    expected = Plain(0, len(touches), 0, int(touches[0, 0]), first, last, closed)
    assert finder.find(course, edges, ahead, closed + 1) == [expected]
    assert finder.find(course, edges, ahead, closed) == []
    windows = LaneTracker(lane, RATE_HZ, 0).advance(touches, edges, closed + 1)
    assert windows == [Window(first, last, closed, Flag.NONE)]
