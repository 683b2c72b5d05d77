"""Touches of one vehicle that do not fall into place by themselves: which of them are one axle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.records import Floats, Indices

__all__ = ["untangle"]

_MATCH_M = 0.45
"""Half of the least axle spacing: a touch farther from where it was due is another axle's."""

_UNLIKELY, _WRONG_WAY = 0.4, 0.8
"""What a speed at the edge of belief, and driving the wrong way, weigh against a matched touch."""


def untangle(
    centre_s: Sequence[Floats], position_m: Floats, rough_mps: float, trust: float
) -> tuple[Indices, bool, bool]:
    """Touches of one vehicle's axles (n_axles, n_rows), -1 where unseen; reversed; doubtful."""
    speed_mps, doubtful = _vote(centre_s, position_m, rough_mps, trust)
    touch = _chain(centre_s, position_m, speed_mps)
    if len({len(c) for c in centre_s}) == 1 and (touch < 0).any():
        ordered = np.stack(centre_s, axis=1)
        if (np.diff(ordered, axis=1) > 0).all():
            # It crept or stood: no one speed explains it, but each axle met the rows in order.
            return np.repeat(np.arange(len(ordered))[:, None], len(centre_s), axis=1), False, False
    return touch, speed_mps < 0, doubtful


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
