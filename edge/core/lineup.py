"""Axles in the making: the touches of a lane that no vehicle has claimed yet, put in line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.core.axles import associate, axle_speeds, spans
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
    by_row = [[t for t in touches if t.row == r] for r in range(len(rows))]
    times_s = [
        np.array([(t.enter_sample, t.leave_sample) for t in own], float).reshape(-1, 2) / rate_hz
        for own in by_row
    ]
    centre_s = [t.mean(axis=1) for t in times_s]
    found = associate(centre_s, [t[:, 1] - t[:, 0] for t in times_s], rows)
    at_s = found.of(centre_s)
    way_m = np.array([row.position_m - rows[0].position_m for row in rows])
    speed = axle_speeds(at_s, way_m, found)
    at_0_s = np.nanmean(at_s - way_m / speed[:, None], axis=1)
    enter_s, leave_s = (found.of([t[:, i] for t in times_s]) for i in (0, 1))
    span = spans(enter_s, leave_s, way_m, speed) * rate_hz
    order = np.argsort(at_0_s, kind="stable")
    of_axle = [
        [by_row[r][k] for r, k in enumerate(found.touch[i].tolist()) if k >= 0] for i in order
    ]
    return LineUp(of_axle, at_0_s[order], speed[order], span[order])
