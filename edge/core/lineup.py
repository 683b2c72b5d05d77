"""Axles in the making: the touches of a lane that no vehicle has claimed yet, put in line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.core.axles import axle_speeds, find_axles, spans
from edge.core.pulses import Touch
from edge.records import Bools, Floats, Row

__all__ = ["LineUp", "line_up"]


@dataclass(frozen=True, slots=True, eq=False)
class LineUp:
    """Axles in order of their time at row 0, one entry an axle in every field.

    ``touches`` are those of each axle, ``at_row_0_s`` and ``speed_mps`` (negative if reversed)
    are (n_axles,), ``span`` (n_axles, 2) is from when to when it is on the array, in samples.
    """

    touches: list[list[Touch]]
    at_row_0_s: Floats
    speed_mps: Floats
    span: Floats

    def __len__(self) -> int:
        return len(self.touches)

    def steps_m(self, chosen: Bools) -> Floats:
        """Distances between chosen axles that follow each other."""
        speed = np.abs(self.speed_mps[chosen])
        return np.asarray(np.diff(self.at_row_0_s[chosen]) * (speed[1:] + speed[:-1]) / 2)


def line_up(touches: Sequence[Touch], rows: Sequence[Row], rate_hz: float) -> LineUp:
    """Put touches of a lane's rows, in order of time on each row, together to axles."""
    laid = sorted(touches, key=lambda t: t.row)
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
    order = np.argsort(at_0_s, kind="stable")
    of_axle = [[laid[k] for k in found.touch[i].tolist() if k >= 0] for i in order]
    return LineUp(of_axle, at_0_s[order], speed[order], span[order])
