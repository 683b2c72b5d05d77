"""From touches to axles: which touches of the rows are one axle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.core.conditioning import TYPICAL_CONTACT_M
from edge.records import Floats, Indices, Row

__all__ = ["Association", "associate", "axle_speeds", "rolling_speed", "spans"]

_MATCH_M = 0.45
"""Half of the least axle spacing: a touch farther from where it was due is another axle's."""

_EVEN = 1.35
"""Speeds of one vehicle's axles between rows differ by less than this factor."""

_PLAUSIBLE = {"strip": 2.5, "plate": 1.4}
"""Tyre patches differ: the speed from a touch's length is right to about this factor. On a plate
the patch is the smaller part of that length."""

_UNLIKELY, _WRONG_WAY = 0.4, 0.8
"""What a speed at the edge of belief, and driving the wrong way, weigh against a matched touch."""


@dataclass(frozen=True, slots=True, eq=False)
class Association:
    """Axles front to rear: ``touch[i, r]`` is axle ``i``'s touch of row ``r``, -1 where unseen.

    ``reversed`` tells that the rows were crossed from the last to the first, ``doubtful`` that
    the touches fit more than one set of axles; ``rough_mps`` is the speed from touches' lengths.
    """

    touch: Indices
    reversed: bool
    doubtful: bool
    rough_mps: float

    def of(self, values: Sequence[Floats]) -> Floats:
        """Values of each row's touches laid out by axle: (n_axles, n_rows), NaN where unseen."""
        laid = np.full(self.touch.shape, np.nan)
        for r, row_values in enumerate(values):
            seen = self.touch[:, r] >= 0
            laid[seen, r] = row_values[self.touch[seen, r]]
        return laid


def rolling_speed(row: Row, duration_s: float) -> float:
    """Rough speed in m/s from the length of a touch and a typical tyre patch."""
    return (row.width_m + TYPICAL_CONTACT_M) / max(duration_s, 1e-6)


def associate(
    centre_s: Sequence[Floats], duration_s: Sequence[Floats], rows: Sequence[Row]
) -> Association:
    """Find the axles behind the touches of all rows.

    Equal counts with even speeds are taken as they come. Otherwise each speed that any two
    touches of neighbouring rows suggest is tried, and the one that explains most touches to
    within half an axle spacing wins; a touch that fits no axle starts one of its own.

    Parameters
    ----------
    centre_s, duration_s : float arrays (n_touches of the row,), one pair a row
        Touches in order of time.
    rows : sequence of Row
        In the lane's direction.

    Returns
    -------
    Association
    """
    position_m = np.array([row.position_m for row in rows])
    rough_mps = _rough_speed(duration_s, rows)
    trust = min(_PLAUSIBLE[row.kind] for row in rows)
    counts = {len(c) for c in centre_s}
    if counts == {0}:
        return Association(np.empty((0, len(rows)), np.int64), False, False, 0.0)
    ordered = np.stack(centre_s, axis=1) if len(counts) == 1 else None
    if ordered is not None and _even(ordered, position_m, rough_mps, trust):
        backward = bool(ordered[0, -1] < ordered[0, 0])
        return Association(_in_order(*ordered.shape), backward, False, rough_mps)
    speed_mps, doubtful = _vote(centre_s, position_m, rough_mps, trust)
    touch = _chain(centre_s, position_m, speed_mps)
    if ordered is not None and (touch < 0).any() and (np.diff(ordered, axis=1) > 0).all():
        # It crept or stood: no one speed explains it, but each axle met the rows in their order.
        return Association(_in_order(*ordered.shape), False, False, rough_mps)
    return Association(touch, speed_mps < 0, doubtful, rough_mps)


def _in_order(n_axles: int, n_rows: int) -> Indices:
    return np.repeat(np.arange(n_axles)[:, None], n_rows, axis=1)


def axle_speeds(at_s: Floats, position_m: Floats, found: Association) -> Floats:
    """Mean speed of each axle over the rows that saw it, negative if reversed.

    Parameters
    ----------
    at_s : float array (n_axles, n_rows)
        When each axle was on each row, NaN where unseen; an axle that one row saw takes the
        others' median.
    position_m : float array (n_rows,)
    found : Association
    """
    n_axles, n_rows = at_s.shape
    seen = ~np.isnan(at_s)
    first = seen.argmax(axis=1)
    last = n_rows - 1 - seen[:, ::-1].argmax(axis=1)
    each = np.arange(n_axles)
    time_s = at_s[each, last] - at_s[each, first]
    known = (last > first) & (time_s != 0)
    speed = np.full(n_axles, -found.rough_mps if found.reversed else found.rough_mps)
    speed[known] = (position_m[last] - position_m[first])[known] / time_s[known]
    if known.any():
        speed[~known] = np.median(speed[known])
    return speed


def spans(enter_s: Floats, leave_s: Floats, position_m: Floats, speed_mps: Floats) -> Floats:
    """From when to when each axle is on the array: (n_axles, 2).

    Where the first or the last row in the direction of travel did not see the axle, the time is
    projected from the nearest row that did.
    """
    backward = bool(len(speed_mps)) and speed_mps[0] < 0
    seen = ~np.isnan(enter_s)
    if backward:
        seen, enter_s, leave_s = seen[:, ::-1], enter_s[:, ::-1], leave_s[:, ::-1]
        position_m = position_m[::-1]
    each = np.arange(len(seen))
    first = seen.argmax(axis=1)
    last = len(position_m) - 1 - seen[:, ::-1].argmax(axis=1)
    start = enter_s[each, first] - (position_m[first] - position_m[0]) / speed_mps
    end = leave_s[each, last] + (position_m[-1] - position_m[last]) / speed_mps
    return np.stack([start, end], axis=1)


def _rough_speed(duration_s: Sequence[Floats], rows: Sequence[Row]) -> float:
    """Median over the touches of the rows that tell it best; 0 where there is no touch."""
    by_kind: dict[str, list[float]] = {"plate": [], "strip": []}
    for row, durations in zip(rows, duration_s, strict=True):
        by_kind[row.kind] += [rolling_speed(row, d) for d in durations.tolist()]
    speeds = by_kind["plate"] or by_kind["strip"]
    return sorted(speeds)[len(speeds) // 2] if speeds else 0.0


def _even(centre_s: Floats, position_m: Floats, rough_mps: float, trust: float) -> bool:
    """Whether the k-th touches of all rows are axle k beyond doubt: (n_axles, n_rows)."""
    slowness = np.diff(centre_s, axis=1) / np.diff(position_m)
    if slowness[0, 0] < 0:
        slowness = -slowness
    least, most = float(slowness.min()), float(slowness.max())
    if least <= 0 or most > _EVEN * least:
        return False
    return 1 / trust < rough_mps * (least + most) / 2 < trust


def _vote(
    centre_s: Sequence[Floats], position_m: Floats, rough_mps: float, trust: float
) -> tuple[float, bool]:
    """Speed that explains most touches, negative if reversed; and whether another does as well."""
    pairs = [
        (a, b, float(dx))
        for a, b, dx in zip(centre_s[:-1], centre_s[1:], np.diff(position_m), strict=True)
        if len(a) and len(b)
    ]
    if not pairs:
        return rough_mps, True
    slowness = np.concatenate([((b[None, :] - a[:, None]) / dx).ravel() for a, b, dx in pairs])
    factor = np.abs(slowness) * rough_mps
    slowness = slowness[(factor > 1 / trust) & (factor < trust)]
    if not len(slowness):
        return rough_mps, True
    likely = np.log(np.abs(slowness) * rough_mps) / np.log(trust)
    score = -_UNLIKELY * likely**2 - np.where(slowness < 0, _WRONG_WAY, 0.0)
    for a, b, dx in pairs:
        due = a[None, :] + slowness[:, None] * dx
        miss_m = np.abs(due[:, :, None] - b[None, None, :]).min(axis=2) / np.abs(slowness)[:, None]
        score += np.maximum(0.0, 1 - (miss_m / _MATCH_M) ** 2).sum(axis=1)
    best = int(np.argmax(score))
    other = np.abs(slowness / slowness[best] - 1) * np.ptp(position_m) > 2 * _MATCH_M
    rival = float(score[other].max(initial=0.0))
    return 1 / float(slowness[best]), rival > score[best] - 0.5


def _chain(centre_s: Sequence[Floats], position_m: Floats, speed_mps: float) -> Indices:
    """Follow each axle from row to row; rows are met in the direction of ``speed_mps``."""
    n_rows = len(centre_s)
    order = range(n_rows) if speed_mps > 0 else range(n_rows - 1, -1, -1)
    axles: list[list[int]] = []
    seen: list[tuple[int, float]] = []
    for r in order:
        times = centre_s[r]
        taken = _match(seen, times, r, position_m, speed_mps)
        for axle, k in taken.items():
            axles[axle][r] = k
            seen[axle] = (r, float(times[k]))
        for k in sorted(set(range(len(times))) - set(taken.values())):
            axles.append([k if row == r else -1 for row in range(n_rows)])
            seen.append((r, float(times[k])))
    at_first_s = [t - (position_m[r] - position_m[0]) / speed_mps for r, t in seen]
    return np.array(axles, np.int64)[np.argsort(at_first_s, kind="stable")]


def _match(
    seen: Sequence[tuple[int, float]],
    times_s: Floats,
    r: int,
    position_m: Floats,
    speed_mps: float,
) -> dict[int, int]:
    """Nearest first: which axle takes which touch of row ``r``."""
    offers = sorted(
        (miss_m, axle, k)
        for axle, (last, t) in enumerate(seen)
        for k, time in enumerate(times_s.tolist())
        if (miss_m := abs((time - t) * speed_mps - (position_m[r] - position_m[last]))) < _MATCH_M
    )
    taken: dict[int, int] = {}
    for _, axle, k in offers:
        if axle not in taken and k not in taken.values():
            taken[axle] = k
    return taken
