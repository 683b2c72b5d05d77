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
    u = ((np.arange(len(total)) - first[clip] + 0.5) * 2 / n_blocks[clip] - 1)[:, None]
    powers = np.stack([np.ones_like(u), u, u * u, u * u * u, u * u * u * u], axis=1)
    means, spread = total / block, np.subtract(highest, lowest, dtype=np.int32)
    usable = np.add.reduceat(whole, first, dtype=np.int64)
    start = _ranked(total, whole, clip, first, np.minimum(_LOWEST, usable // 10)) / block
    typical = _ranked(spread, whole, clip, first, usable // 4)
    per_sigma = range_per_sigma(block)
    release = np.maximum(floor, NOISE_FACTOR * typical / per_sigma)
    noise, level = release, np.zeros((len(first), _TERMS, len(floor)))
    level[:, 0] = start
    base = start[clip]
    for _ in range(2):
        bound = release[clip]
        quiet = (highest - base <= bound) & (base - lowest <= 2 * bound) & whole[:, None]
        level, seen = _parabola(means, quiet, powers, level, clip, first, n_blocks)
        base = _levels(level, clip, powers)
        left = np.where(quiet, means - base, 0.0)
        both = np.concatenate([np.where(quiet, spread, 0.0), left * left], axis=1)
        of_spread, of_left = np.split(np.add.reduceat(both, first, axis=0), 2, axis=1)
        sigma = of_spread / np.maximum(seen, 1) / per_sigma
        noise = np.maximum(sigma, np.sqrt(of_left / np.maximum(seen, 1) * block))
        release = np.maximum(floor, NOISE_FACTOR * sigma)
    return Ground(level, release, noise, base)


def _ranked(values: Int32s, whole: Bools, clip: Indices, first: Indices, rank: Indices) -> Floats:
    """The value of a rank among each clip's usable blocks: (n_clips, n_channels)."""
    into = np.arange(len(values)) - first[clip]
    laid = np.full((len(first), values.shape[1], int(into.max()) + 1), np.iinfo(np.int32).max)
    laid = laid.astype(np.int32)
    laid[clip[whole], :, into[whole]] = values[whole]
    laid.sort(axis=2)
    return np.asarray(laid[np.arange(len(first)), :, rank], np.float64)


def _levels(level: Floats, clip: Indices, powers: Floats) -> Floats:
    """Baseline at the blocks' middles: (n_blocks, n_channels)."""
    flat, slope, bend = (level[:, k][clip] for k in range(_TERMS))
    return np.asarray(flat + slope * powers[:, 1] + bend * powers[:, 2])


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
    level : float array (n_clips, 3, n_channels)
    seen : float array (n_clips, n_channels)
        How many blocks were quiet.
    """
    n_channels = means.shape[1]
    held = np.where(quiet, means - before[:, 0][clip], 0.0)
    terms = np.empty((len(means), 2 * _TERMS - 1 + _TERMS, n_channels))
    np.multiply(quiet[:, None], powers, out=terms[:, : 2 * _TERMS - 1])
    np.multiply(held[:, None], powers[:, :_TERMS], out=terms[:, 2 * _TERMS - 1 :])
    sums = np.add.reduceat(terms.reshape(len(means), -1), first, axis=0)
    sums = sums.reshape(len(first), -1, n_channels).transpose(0, 2, 1)
    normal = sums[:, :, np.add.outer(np.arange(_TERMS), np.arange(_TERMS))]
    normal = normal + np.diag([0.0, 1.0, 1.0]) * (_PULL * n_blocks[:, None, None, None])
    seen = sums[:, :, 0]
    enough = seen >= _LEAST_BLOCKS
    normal[~enough] = np.eye(_TERMS)
    solved = np.linalg.solve(normal, sums[:, :, 2 * _TERMS - 1 :, None])[..., 0]
    solved = solved.transpose(0, 2, 1) + before * np.array([1.0, 0.0, 0.0])[:, None]
    return np.where(enough[:, None], solved, before), seen
