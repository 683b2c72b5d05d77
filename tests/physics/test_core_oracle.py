"""A slow, obvious weigher with a loop for everything, against the core on simulated lorries.

It is told where each vehicle begins and ends, and nothing else that the core found: one sample
after the other it looks for wheels, sums them up, and does the arithmetic of a strip or a plate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from edge.records import STANDARD_GRAVITY_MPS2, Flag, LaneLayout, Passage, Row
from tests.physics.test_core_relations import NEWTON_PER_COUNT, gains_of, signals, weighed

WHEEL_N = 400.0
"""An axle presses a row by more than this; noise and hum do not."""
ROOM_S = 0.008
"""The soft ends of a pulse lie below the threshold for no longer."""
QUIET_S = 0.02


@dataclass
class Touch:
    """One axle on one row: middle in seconds, area in N s, mean of the plateau in N."""

    middle_s: float
    area_ns: float
    plateau_n: float


def touches(newton: list[float], rate_hz: float, first: int, end: int) -> list[Touch]:
    """Axles on a row between two samples, one sample after the other."""
    quiet = sorted(newton[first : first + round(QUIET_S * rate_hz)])
    ground_n = quiet[len(quiet) // 2]
    room = round(ROOM_S * rate_hz)
    found: list[Touch] = []
    begin = None
    for i in range(first, end):
        on = newton[i] - ground_n > WHEEL_N
        if on and begin is None:
            begin = i
        if not on and begin is not None:
            found.append(touch(newton, rate_hz, begin, i, room))
            begin = None
    return found


def touch(newton: list[float], rate_hz: float, begin: int, end: int, room: int) -> Touch:
    """Sum over a pulse above the straight line between what lies before and behind it."""
    n_quiet = round(QUIET_S * rate_hz)
    before = sum(newton[begin - room - n_quiet : begin - room]) / n_quiet
    behind = sum(newton[end + room : end + room + n_quiet]) / n_quiet
    area = 0.0
    for i in range(begin - room, end + room):
        part = (i - begin + room) / (end - begin + 2 * room)
        area += (newton[i] - before - part * (behind - before)) / rate_hz
    inner = newton[begin + (end - begin) * 2 // 5 : end - (end - begin) * 2 // 5]
    plateau = sum(inner) / len(inner) - (before + behind) / 2
    return Touch((begin + end) / 2 / rate_hz, area, plateau)


def slope(x: list[float], y: list[float]) -> float:
    """Least squares line."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    top = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return top / sum((a - mean_x) ** 2 for a in x)


def load_kg(row: Row, seen: Touch, speed_mps: float) -> float:
    """What a row says of an axle."""
    if row.kind == "plate":
        return seen.plateau_n / STANDARD_GRAVITY_MPS2
    return seen.area_ns * speed_mps / row.width_m / STANDARD_GRAVITY_MPS2


def slow_loads(
    counts: np.ndarray, lane: LaneLayout, rate_hz: float, passage: Passage
) -> tuple[list[list[float]], list[float]]:
    """Loads of each axle on each row in kilograms, and each axle's speed."""
    first = int(passage.first_wheel_sample) - round((QUIET_S + 2 * ROOM_S) * rate_hz)
    end = int(passage.last_wheel_sample) + round((QUIET_S + 2 * ROOM_S) * rate_hz)
    by_row = []
    for row in lane.rows:
        newton = [
            (int(sample[row.left]) + int(sample[row.right])) * NEWTON_PER_COUNT
            for sample in counts[: end + 500]
        ]
        by_row.append(touches(newton, rate_hz, first, end))
    assert {len(own) for own in by_row} == {len(passage.axles)}
    at_m = [row.position_m for row in lane.rows]
    loads, speeds = [], []
    for axle in range(len(passage.axles)):
        speed_mps = 1 / slope(at_m, [own[axle].middle_s for own in by_row])
        pairs = zip(lane.rows, by_row, strict=True)
        loads.append([load_kg(row, own[axle], speed_mps) for row, own in pairs])
        speeds.append(speed_mps)
    return loads, speeds


@pytest.mark.parametrize(("layout", "near"), [("strips_4", 2.5e-3), ("plates_2", 1.2e-2)])
def test_the_core_weighs_as_plain_loops_do(layout: str, near: float) -> None:
    counts, edges, lane, rate_hz = signals(layout)
    every = weighed(counts, edges, lane, rate_hz, gains_of(counts.shape[1]))
    passages = [passage for passage in every if Flag.INCOMPLETE not in passage.flags]
    assert len(passages) >= 2
    for passage in passages:
        loads, speeds = slow_loads(counts, lane, rate_hz, passage)
        assert np.array(speeds) == pytest.approx(passage.speed_mps, rel=3e-3)
        np.testing.assert_allclose(passage.axles.row_load_kg, loads, rtol=near)
        mean_kg = sum(sum(own) / len(own) for own in loads)
        assert passage.gross_kg == pytest.approx(mean_kg, rel=5e-3)
