"""Touches of one vehicle that do not fall into place by themselves: which of them are one axle."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
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
    """Touches of one vehicle's axles (n_axles, n_rows), -1 where unseen; reversed; doubtful.

    Those of each row are in order of time.
    """
    speed_mps, doubtful = _vote(centre_s, position_m, rough_mps, trust)
    touch = _chain(centre_s, position_m, speed_mps)
    if len({len(c) for c in centre_s}) == 1 and (touch < 0).any():
        ordered = np.stack(centre_s, axis=1)
        if (np.diff(ordered, axis=1) > 0).all():
            # It crept or stood: no one speed explains it, but each axle met the rows in order.
            # Where one speed does so too, without an axle that one row alone saw, it is in doubt.
            explained = bool(((touch >= 0).sum(axis=1) > 1).all())
            in_order = np.repeat(np.arange(len(ordered))[:, None], len(centre_s), axis=1)
            return in_order, False, explained
    return touch, speed_mps < 0, doubtful


def _vote(
    centre_s: Sequence[Floats], position_m: Floats, rough_mps: float, trust: float
) -> tuple[float, bool]:
    """Speed that explains most touches, negative if reversed; and whether another does as well."""
    steps_m = (position_m[1:] - position_m[:-1]).tolist()
    rows = zip(centre_s[:-1], centre_s[1:], steps_m, strict=True)
    pairs = [(a, b, dx) for a, b, dx in rows if len(a) and len(b)]
    if not pairs:
        return rough_mps, True
    slowness = np.concatenate([((b - a[:, None]) / dx).ravel() for a, b, dx in pairs])
    factor = np.abs(slowness) * rough_mps
    believed = (factor > 1 / trust) & (factor < trust)
    slowness, factor = slowness[believed], factor[believed]
    if not len(slowness):
        return rough_mps, True
    likely = np.log(factor) / np.log(trust)
    score = -_UNLIKELY * likely**2 - np.where(slowness < 0, _WRONG_WAY, 0.0)
    each = slowness[:, None]
    pace = np.abs(each)
    for a, b, dx in pairs:
        match = 1 - (_nearest_s(a + each * dx, b) / pace / _MATCH_M) ** 2
        score += np.add.reduce(np.maximum(match, 0.0, out=match), axis=1)
    best = int(score.argmax())
    length_m = position_m.max() - position_m.min()
    other = np.abs(slowness / slowness[best] - 1) * length_m > 2 * _MATCH_M
    rival = float(score[other].max(initial=0.0))
    return 1 / float(slowness[best]), rival > score[best] - 0.5


def _nearest_s(due_s: Floats, touches_s: Floats) -> Floats:
    """How far from each moment the nearest touch of a row is."""
    after = touches_s.searchsorted(due_s)
    known = np.concatenate([[-np.inf], touches_s, [np.inf]])
    return np.asarray(np.minimum(due_s - known[after], known[after + 1] - due_s))


def _chain(centre_s: Sequence[Floats], position_m: Floats, speed_mps: float) -> Indices:
    """Follow each axle from row to row; rows are met in the direction of ``speed_mps``."""
    n_rows, at_m = len(centre_s), position_m.tolist()
    order = range(n_rows) if speed_mps > 0 else range(n_rows - 1, -1, -1)
    axles: list[list[int]] = []
    seen: list[tuple[float, float]] = []
    for r in order:
        times, here_m = centre_s[r].tolist(), at_m[r]
        taken = _match(seen, times, here_m, speed_mps)
        for k, time in enumerate(times):
            if k in taken:
                axles[taken[k]][r], seen[taken[k]] = k, (here_m, time)
            else:
                axles.append([k if row == r else -1 for row in range(n_rows)])
                seen.append((here_m, time))
    at_first_s = np.array([t - (m - at_m[0]) / speed_mps for m, t in seen])
    return np.array(axles, np.int64)[at_first_s.argsort(kind="stable")]


def _match(
    seen: Sequence[tuple[float, float]], times_s: Sequence[float], at_m: float, speed_mps: float
) -> dict[int, int]:
    """Nearest first: the axle that takes each touch of a row at ``at_m``.

    ``seen`` tells where and when each axle was seen last.
    """
    # A hair wider than what is offered, for the rounding of moments.
    reach_s = 1.01 * _MATCH_M / abs(speed_mps)
    offers: list[tuple[float, int, int]] = []
    for axle, (last_m, t) in enumerate(seen):
        way_m = at_m - last_m
        due_s = t + way_m / speed_mps
        near = range(bisect_left(times_s, due_s - reach_s), bisect_right(times_s, due_s + reach_s))
        away = ((abs((times_s[k] - t) * speed_mps - way_m), axle, k) for k in near)
        offers += [offer for offer in away if offer[0] < _MATCH_M]
    taken: dict[int, int] = {}
    for _, axle, k in sorted(offers):
        if k not in taken and axle not in taken.values():
            taken[k] = axle
    return taken
