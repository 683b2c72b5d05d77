"""A clip's own baseline, noise and touches: all that weighing needs, from the clip alone.

Sums of counts are integers and exact, so the same clip gives the same sums everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.core.conditioning import NOISE_FACTOR, range_per_sigma
from edge.core.pulses import HYSTERESIS, runs
from edge.records import ADC_FULL_SCALE, Bools, Floats, Gains, Indices, Int32s, RawClip, Row

__all__ = ["ROOM_AFTER_S", "ROOM_BEFORE_S", "Signals", "Touches", "condition"]

ROOM_BEFORE_S = 0.25
"""A clip begins this long before its vehicle's first contact; weighing relies on it."""

ROOM_AFTER_S = 0.1
"""A clip ends this long after its vehicle's last release; weighing relies on it."""

_BLOCK = 16
_BASELINE_TERMS = 3
_LOWEST = 8


@dataclass(frozen=True, slots=True, eq=False)
class Touches:
    """Touches of one row in a clip; samples from the clip's first, (n_touches,) each.

    ``enter`` and ``leave`` are interpolated crossings of the threshold; ``start`` and ``end`` are
    the bounds within which the pulse's whole area lies.
    """

    enter: Floats
    leave: Floats
    start: Indices
    end: Indices


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """Counts of the rows' channels, left and right of each row, wheels upwards.

    Attributes
    ----------
    n_samples : int
    total : int64 array (n_rows, 2, n_samples + 1)
        Sum of the counts before each sample.
    moment : int64 array (n_rows, 2, n_samples + 1)
        Sum of ``total`` before each sample, from which centroids follow.
    level : float array (3, n_rows, 2)
        Baseline as coefficients of ``1, u, u**2`` with ``u`` from -1 to 1 over the clip.
    release : float array (n_rows, 2)
        Threshold above the baseline, in counts.
    noise : float array (n_rows, 2)
        Standard deviation of a mean of 16 quiet samples, scaled to one sample.
    touches : tuple of Touches, one a row
    saturated : int64 array (n_rows, 2, n_samples + 1) or None
        Number of saturated samples before each sample, None where there is none.
    """

    n_samples: int
    total: Indices
    moment: Indices
    level: Floats
    release: Floats
    noise: Floats
    touches: tuple[Touches, ...]
    saturated: Indices | None

    def level_at(self, sample: Floats) -> Floats:
        """Baseline at samples of shape (..., n_rows, 1): float array (..., n_rows, 2)."""
        u = 2 * sample / self.n_samples - 1
        return np.asarray(self.level[0] + u * (self.level[1] + u * self.level[2]))


def condition(clip: RawClip, rows: Sequence[Row], gains: Gains, floor: Floats) -> Signals:
    """Find baseline, noise and touches of a lane's rows.

    Parameters
    ----------
    clip : RawClip
    rows : sequence of Row
    gains : Gains
        Only their signs are used: a channel of negative gain presses downwards.
    floor : float array (n_channels,)
        Least threshold in counts, from :func:`edge.core.conditioning.floor_counts`.
    """
    channels = np.array([(row.left, row.right) for row in rows]).ravel()
    n = len(clip.counts) // _BLOCK * _BLOCK
    counts = clip.counts[:n].T[channels]
    falling = gains.newton_per_count[channels] < 0
    if falling.any():
        counts[falling] *= -1
    blocks = counts.reshape(len(channels), -1, _BLOCK)
    highest, lowest = blocks.max(axis=2), blocks.min(axis=2)
    total = _sums(counts)
    means = np.diff(total[:, ::_BLOCK]) / _BLOCK
    whole = _whole(clip, n)
    level, release, noise = _baseline(means, highest, lowest, floor[channels], whole)
    full = highest.max(initial=0) >= ADC_FULL_SCALE or lowest.min(initial=0) <= -ADC_FULL_SCALE
    pairs = (len(rows), 2)
    return Signals(
        n,
        total.reshape(*pairs, -1),
        _sums(total[:, :-1]).reshape(*pairs, -1),
        level.reshape(_BASELINE_TERMS, *pairs),
        release.reshape(pairs),
        noise.reshape(pairs),
        _touches(blocks, _levels(level, len(whole)), release),
        _sums(np.abs(counts) >= ADC_FULL_SCALE).reshape(*pairs, -1) if full else None,
    )


def _sums(values: NDArray[Any]) -> Indices:
    """Sums before each sample along the last axis, exact, one longer than the values."""
    sums = np.zeros((len(values), values.shape[1] + 1), np.int64)
    np.cumsum(values, axis=1, dtype=np.int64, out=sums[:, 1:])
    return sums


def _whole(clip: RawClip, n: int) -> Bools:
    """Blocks that no gap touches."""
    whole = np.ones(n // _BLOCK, np.bool_)
    for sample, lost in clip.gaps:
        first = sample - clip.first_sample
        whole[max(first // _BLOCK, 0) : max(-(-(first + lost) // _BLOCK), 0)] = False
    return whole


def _powers(n_blocks: int, terms: int) -> Floats:
    """Powers of ``u`` at the blocks' middles: (terms, n_blocks)."""
    u = (np.arange(n_blocks) + 0.5) * 2 / n_blocks - 1
    return np.asarray(u ** np.arange(terms)[:, None])


def _levels(level: Floats, n_blocks: int) -> Floats:
    """Baseline at the blocks' middles: (n_channels, n_blocks)."""
    _, u, u2 = _powers(n_blocks, _BASELINE_TERMS)
    return np.asarray(level[0][:, None] + level[1][:, None] * u + level[2][:, None] * u2)


def _baseline(
    means: Floats, highest: Int32s, lowest: Int32s, floor: Floats, whole: Bools
) -> tuple[Floats, Floats, Floats]:
    """Parabola through the quiet blocks of each channel, threshold and noise per channel.

    The start is among the lowest blocks: wheels only press, and one that stands may press for
    most of the clip. Two rounds let the quiet blocks, the parabola and the noise agree.
    """
    n_channels, n_blocks = means.shape
    spread = np.subtract(highest, lowest, dtype=np.float64)
    usable = np.flatnonzero(whole) if whole.any() else np.arange(n_blocks)
    level = np.zeros((_BASELINE_TERMS, n_channels))
    level[0] = np.sort(means[:, usable])[:, min(_LOWEST, len(usable) // 10)]
    typical = np.sort(spread[:, usable])[:, len(usable) // 4]
    release = np.maximum(floor, NOISE_FACTOR * typical / range_per_sigma(_BLOCK))
    noise = release
    for _ in range(2):
        base = _levels(level, n_blocks)
        bound = release[:, None]
        quiet = (highest - base <= bound) & (base - lowest <= 2 * bound) & whole
        seen = np.maximum(quiet.sum(axis=1), 1)
        level = _parabola(means, quiet, level)
        left = np.where(quiet, means - _levels(level, n_blocks), 0.0)
        sigma = np.where(quiet, spread, 0.0).sum(axis=1) / seen / range_per_sigma(_BLOCK)
        noise = np.maximum(sigma, np.sqrt((left**2).sum(axis=1) / seen * _BLOCK))
        release = np.maximum(floor, NOISE_FACTOR * sigma)
    return level, release, noise


def _parabola(means: Floats, quiet: Bools, before: Floats) -> Floats:
    """Least squares through the quiet blocks; a channel with too few keeps what it had."""
    n_blocks = means.shape[1]
    powers = _powers(n_blocks, 2 * _BASELINE_TERMS - 1)
    held = np.where(quiet, means - before[0][:, None], 0.0)
    sums = np.einsum("cb,kb->ck", quiet.astype(np.float64), powers)
    right = np.einsum("cb,kb->ck", held, powers[:_BASELINE_TERMS])
    normal = sums[:, np.add.outer(np.arange(_BASELINE_TERMS), np.arange(_BASELINE_TERMS))]
    # A faint pull of the bends towards zero keeps clips with few quiet blocks solvable.
    normal = normal + np.diag([0.0, 1.0, 1.0]) * (1e-3 * n_blocks)
    enough = quiet.sum(axis=1) >= 4
    normal[~enough] = np.eye(_BASELINE_TERMS)
    solved = np.linalg.solve(normal, right[:, :, None])[:, :, 0].T
    solved[0] += before[0]
    return np.where(enough, solved, before)


def _touches(blocks: Int32s, levels: Floats, release: Floats) -> tuple[Touches, ...]:
    """Touches of each row: the left or the right channel is over its threshold."""
    n_channels, n = len(blocks), blocks.shape[1] * _BLOCK
    bounds = levels + release[:, None]
    upper = levels + HYSTERESIS * release[:, None]
    # Whole counts compare fast: a count passes a bound where it passes the whole part of it.
    low = (blocks > np.floor(bounds).astype(np.int32)[:, :, None]).reshape(n_channels, n)
    high = (blocks > np.floor(upper).astype(np.int32)[:, :, None]).reshape(n_channels, n)
    counts = blocks.reshape(n_channels, n)
    found = []
    for left in range(0, n_channels, 2):
        pair = slice(left, left + 2)
        start, _, end = runs(low[left] | low[left + 1], high[left] | high[left + 1])
        enter = _crossing(counts[pair], bounds[pair], start, -1)
        leave = _crossing(counts[pair], bounds[pair], end - 1, 1)
        found.append(Touches(enter, leave, *_bounds(start, end, n)))
    return tuple(found)


def _crossing(counts: Int32s, bounds: Floats, inside: Indices, step: int) -> Floats:
    """Where the stronger side crossed its threshold, between ``inside`` and the sample beyond."""
    outside = np.clip(inside + step, 0, counts.shape[1] - 1)
    bound = bounds[:, inside // _BLOCK]
    above = counts[:, inside] - bound
    below = np.minimum(counts[:, outside] - bound, 0.0)
    side = above[1] > above[0]
    top = np.where(side, above[1], above[0])
    rise = top - np.where(side, below[1], below[0])
    return np.asarray(inside + step * top / np.maximum(rise, 1e-9))


def _bounds(start: Indices, end: Indices, n: int) -> tuple[Indices, Indices]:
    """Widen runs to hold the feet below the threshold, half way to the next run at most."""
    margin = (end - start) * 3 // 10 + 2
    middle = (start[1:] + end[:-1]) // 2
    return (
        np.maximum(start - margin, np.concatenate([[0], middle])[: len(start)]),
        np.minimum(end + margin, np.concatenate([middle, [n]])[-len(end) :] if len(end) else end),
    )
