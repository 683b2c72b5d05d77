"""Where the idle road lies in each clip: a parabola through its quiet blocks, and their noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge.core.conditioning import NOISE_FACTOR, range_per_sigma
from edge.records import Bools, Floats, Indices, Int32s

__all__ = ["Ground", "find_ground"]

_TERMS = 3
_LOWEST = 8
_LEAST_BLOCKS = 4
_PULL = 1e-3
"""A faint pull of the bends towards zero keeps clips with few quiet blocks solvable."""


class Ground(NamedTuple):
    """Baseline, threshold and noise of every clip's channels.

    ``level`` (n_clips, 3, n_channels) are coefficients of ``1, u, u**2`` with ``u`` from -1 to 1
    over the clip; ``release`` and ``noise`` are (n_clips, n_channels), ``base`` is the baseline at
    the blocks' middles, (n_blocks, n_channels).
    """

    level: Floats
    release: Floats
    noise: Floats
    base: Floats

    def by_row(self) -> Ground:
        """The same with left and right of each row on an axis of their own."""
        return Ground(*(values.reshape(*values.shape[:-1], -1, 2) for values in self))


def find_ground(
    total: Int32s,
    highest: Int32s,
    lowest: Int32s,
    block: int,
    floor: Floats,
    whole: Bools,
    first: Indices,
) -> Ground:
    """Parabola through the quiet blocks of each channel, threshold and noise per channel.

    The start is among the lowest blocks: wheels only press, and one that stands may press for
    most of the clip. Two rounds let the quiet blocks, the parabola and the noise agree.

    Parameters
    ----------
    total, highest, lowest : int32 arrays (n_blocks, n_channels)
        Sums and extremes of blocks of all clips.
    block : int
        Samples in a block.
    floor : float array (n_channels,)
        Least threshold.
    whole : bool array (n_blocks,)
        Blocks to be used.
    first : int64 array (n_clips,)
        First block of each clip.
    """
    n_blocks = np.diff(np.append(first, len(total)))
    clip = np.repeat(np.arange(len(first)), n_blocks)
    # Channel after channel: a block's own numbers then lie beside those of the next.
    total, highest, lowest = (np.ascontiguousarray(x.T) for x in (total, highest, lowest))
    u = (np.arange(len(clip)) - first[clip] + 0.5) * 2 / n_blocks[clip] - 1
    powers = np.stack([np.ones_like(u), u, u * u, u * u * u, u * u * u * u])
    means, spread = total / block, highest - lowest
    usable = np.add.reduceat(whole, first, dtype=np.int64)
    start = _ranked(total, whole, clip, first, np.minimum(_LOWEST, usable // 10)) / block
    typical = _ranked(spread, whole, clip, first, usable // 4)
    per_sigma = range_per_sigma(block)
    release = np.maximum(floor[:, None], NOISE_FACTOR * typical / per_sigma)
    noise, level = release, np.zeros((_TERMS, *start.shape))
    level[0] = start
    base = start[:, clip]
    for _ in range(2):
        bound = release[:, clip]
        quiet = (highest - base <= bound) & (base - lowest <= 2 * bound) & whole
        level, seen = _parabola(means, quiet, powers, level, clip, first, n_blocks)
        base = _levels(level, clip, powers)
        left = np.where(quiet, means - base, 0.0)
        seen = np.maximum(seen, 1)
        sigma = np.add.reduceat(spread * quiet, first, axis=1, dtype=np.float64) / seen / per_sigma
        scatter = np.add.reduceat(left * left, first, axis=1) / seen
        noise = np.maximum(sigma, np.sqrt(scatter * block))
        release = np.maximum(floor[:, None], NOISE_FACTOR * sigma)
    level = np.ascontiguousarray(level.transpose(2, 0, 1))
    return Ground(level, *(np.ascontiguousarray(x.T) for x in (release, noise, base)))


def _ranked(values: Int32s, whole: Bools, clip: Indices, first: Indices, rank: Indices) -> Floats:
    """The value of a rank among each clip's usable blocks: (n_channels, n_clips)."""
    into = np.arange(len(clip)) - first[clip]
    shape = (len(values), len(first), int(into.max()) + 1)
    laid = np.full(shape, np.iinfo(np.int32).max, np.int32)
    laid[:, clip[whole], into[whole]] = values[:, whole]
    laid.sort(axis=2)
    return np.asarray(laid[:, np.arange(len(first)), rank], np.float64)


def _levels(level: Floats, clip: Indices, powers: Floats) -> Floats:
    """Baseline at the blocks' middles: (n_channels, n_blocks)."""
    flat, slope, bend = (coefficient[:, clip] for coefficient in level)
    return np.asarray(flat + slope * powers[1] + bend * powers[2])


def _parabola(
    means: Floats,
    quiet: Bools,
    powers: Floats,
    before: Floats,
    clip: Indices,
    first: Indices,
    n_blocks: Indices,
) -> tuple[Floats, Floats]:
    """Least squares through the quiet blocks; a channel with too few keeps what it had.

    Returns
    -------
    level : float array (3, n_channels, n_clips)
    seen : float array (n_channels, n_clips)
        How many blocks were quiet.
    """
    held = np.where(quiet, means - before[0][:, clip], 0.0)
    left = np.add.reduceat(quiet * powers[:, None], first, axis=2)
    right = np.add.reduceat(held * powers[:_TERMS, None], first, axis=2)
    terms = np.add.outer(np.arange(_TERMS), np.arange(_TERMS))
    normal = left[terms].transpose(2, 3, 0, 1)
    normal = normal + np.diag([0.0, 1.0, 1.0]) * (_PULL * n_blocks[:, None, None])
    enough = left[0] >= _LEAST_BLOCKS
    normal[~enough] = np.eye(_TERMS)
    solved = np.linalg.solve(normal, right.transpose(1, 2, 0)[..., None])[..., 0]
    solved = np.ascontiguousarray(solved.transpose(2, 0, 1))
    solved[0] += before[0]
    return np.where(enough, solved, before), left[0]
