"""Axles in the making: the touches of a lane that no vehicle has claimed yet, put in line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from edge.core.axles import axle_speeds, find_axles, is_even, spans, trust
from edge.core.conditioning import TYPICAL_CONTACT_M
from edge.core.pulses import Touch
from edge.records import Row

__all__ = ["Axle", "in_rows", "line_up", "plain_axles", "step_m"]


class Axle(NamedTuple):
    """An axle that no vehicle has claimed; its speed is negative if it goes backward.

    ``first_sample`` and ``end_sample`` tell from when to when it is on the array.
    """

    at_row_0_s: float
    speed_mps: float
    first_sample: float
    end_sample: float
    touches: Sequence[Touch]


def step_m(ahead: Axle, behind: Axle) -> float:
    """Distance between two axles."""
    speed_mps = (abs(ahead.speed_mps) + abs(behind.speed_mps)) / 2
    return (behind.at_row_0_s - ahead.at_row_0_s) * speed_mps


def line_up(touches: Sequence[Touch], rows: Sequence[Row], rate_hz: float) -> list[Axle]:
    """Put touches of a lane's rows, in order of time on each row, together to axles.

    They come in order of their time at row 0.
    """
    by_row = in_rows(touches, len(rows))
    plain = plain_axles(by_row, rows, rate_hz)
    axles = _tangled(by_row, rows, rate_hz) if plain is None else plain
    return sorted(axles, key=itemgetter(0))


def in_rows(touches: Sequence[Touch], n_rows: int) -> list[list[Touch]]:
    """Touches of each row, in their order."""
    by_row: list[list[Touch]] = [[] for _ in range(n_rows)]
    for touch in touches:
        by_row[touch[1]].append(touch)
    return by_row


def plain_axles(
    by_row: Sequence[Sequence[Touch]], rows: Sequence[Row], rate_hz: float
) -> list[Axle] | None:
    """Axles that met every row in turn at even speed, as nearly all do; None where in doubt.

    With so few numbers plain floats are the fastest.
    """
    if len(rows) < 2 or not by_row[0] or any(len(own) != len(by_row[0]) for own in by_row):
        return None
    centre_s = [[(t[2] + t[3]) / 2 / rate_hz for t in own] for own in by_row]
    way_m = [row.position_m - rows[0].position_m for row in rows]
    slowness = []
    for (before, early), (after, late) in pairwise(zip(rows, centre_s, strict=True)):
        step = after.position_m - before.position_m
        slowness += [(b - a) / step for a, b in zip(early, late, strict=True)]
    backward = slowness[0] < 0
    if backward:
        slowness = [-s for s in slowness]
    if not is_even(min(slowness), max(slowness), _rough_mps(by_row, rows, rate_hz), trust(rows)):
        return None
    first, last = (-1, 0) if backward else (0, -1)
    axles = []
    for own, own_s in zip(zip(*by_row, strict=True), zip(*centre_s, strict=True), strict=True):
        speed = way_m[-1] / (own_s[-1] - own_s[0])
        at_0_s = sum([t - x / speed for t, x in zip(own_s, way_m, strict=True)]) / len(rows)
        axles.append(Axle(at_0_s, speed, own[first][2], own[last][3], own))
    return axles


def _rough_mps(by_row: Sequence[Sequence[Touch]], rows: Sequence[Row], rate_hz: float) -> float:
    """Median of the speeds from touches' lengths, on plates where there are any."""
    plates = any(row.kind == "plate" for row in rows)
    speeds = []
    for row, own in zip(rows, by_row, strict=True):
        if not plates or row.kind == "plate":
            reach = (row.width_m + TYPICAL_CONTACT_M) * rate_hz
            speeds += [reach / (t[3] - t[2] or 1) for t in own]
    speeds.sort()
    return speeds[len(speeds) // 2]


def _tangled(by_row: list[list[Touch]], rows: Sequence[Row], rate_hz: float) -> list[Axle]:
    laid = [touch for own in by_row for touch in own]
    table = np.array(laid, np.int64).reshape(-1, len(Touch._fields))
    row, enter_s, leave_s = table[:, 1], table[:, 2] / rate_hz, table[:, 3] / rate_hz
    centre_s = (enter_s + leave_s) / 2
    one = np.zeros(len(row), np.int64)
    found = find_axles(one, row, centre_s, leave_s - enter_s, 1, rows)
    at_s = found.of(centre_s)
    way_m = np.array([r.position_m - rows[0].position_m for r in rows])
    speed = axle_speeds(at_s, way_m, found)
    seen = found.touch >= 0
    at_0_s = np.where(seen, at_s - way_m / speed[:, None], 0.0).sum(axis=1) / seen.sum(axis=1)
    backward = np.full(len(speed), len(speed) > 0 and bool(speed[0] < 0))
    span = spans(found.of(enter_s), found.of(leave_s), way_m, speed, backward) * rate_hz
    of_axle = [[laid[k] for k in own if k >= 0] for own in found.touch.tolist()]
    values = (at_0_s.tolist(), speed.tolist(), *span.T.tolist())
    return list(map(Axle, *values, of_axle))
