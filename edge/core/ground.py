"""Where the idle road lies in each clip: a parabola through its quiet blocks, and their noise."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from edge.core.conditioning import NOISE_FACTOR, range_per_sigma
from edge.records import Bools, Floats, Indices, Int32s

__all__ = ["Ground", "find_ground"]

_TERMS = 3
_BEYOND = np.iinfo(np.int32).max
_LOWEST = 8
_LEAST_BLOCKS = 4
_PULLS = 1e-3 * np.diag([0.0, 1.0, 1.0])
"""A faint pull of the bends towards zero keeps clips with few quiet blocks solvable."""

_HANKEL = np.add.outer(np.arange(_TERMS), np.arange(_TERMS))


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
    n_blocks = np.diff(first, append=len(total))
    clip = np.repeat(np.arange(len(first)), n_blocks)
    # Channel after channel: a block's own numbers then lie beside those of the next.
    total, highest, lowest = (np.ascontiguousarray(x.T) for x in (total, highest, lowest))
    into = np.arange(len(clip)) - np.repeat(first, n_blocks)
    odd = (2 * into + 1 - np.repeat(n_blocks, n_blocks)).astype(np.float64)
    means, spread = total / block, highest - lowest
    usable = np.add.reduceat(whole, first, dtype=np.int64)
    laid = _Laid(whole, clip * int(n_blocks.max()) + into, (len(first), int(n_blocks.max())))
    lowest_total = laid.ranked(total, np.minimum(_LOWEST, usable // 10))
    typical = laid.ranked(spread, usable // 4)
    parabola = _Parabola(total - np.repeat(lowest_total, n_blocks, axis=1), odd, first, n_blocks)
    per_sigma = range_per_sigma(block)
    release = np.maximum(floor[:, None], NOISE_FACTOR * typical / per_sigma)
    noise, level = release, np.zeros((_TERMS, *typical.shape))
    level[0] = start = lowest_total / block
    base = np.repeat(start, n_blocks, axis=1)
    for _ in range(2):
        bound = np.repeat(release, n_blocks, axis=1)
        quiet = (highest - base <= bound) & (base - lowest <= 2 * bound) & whole
        bends, seen = parabola.through(quiet, block)
        bends[0] += start
        level = np.where(seen >= _LEAST_BLOCKS, bends, level)
        base = parabola.at_blocks(level)
        left = np.where(quiet, means - base, 0.0)
        seen = np.maximum(seen, 1)
        sigma = np.add.reduceat(spread * quiet, first, axis=1, dtype=np.float64) / seen / per_sigma
        scatter = np.add.reduceat(left * left, first, axis=1) / seen
        noise = np.maximum(sigma, np.sqrt(scatter * block))
        release = np.maximum(floor[:, None], NOISE_FACTOR * sigma)
    level = np.ascontiguousarray(level.transpose(2, 0, 1))
    return Ground(level, *(np.ascontiguousarray(x.T) for x in (release, noise, base)))


class _Laid(NamedTuple):
    """Where blocks come to lie when each clip has a line of its own."""

    whole: Bools
    place: Indices
    shape: tuple[int, int]

    def ranked(self, values: Int32s, rank: Indices) -> Int32s:
        """The value of a rank among each clip's whole blocks: (n_channels, n_clips)."""
        n_clips, width = self.shape
        laid = np.full((len(values), n_clips * width), _BEYOND, np.int32)
        if self.whole.all():
            laid[:, self.place] = values
        else:
            laid[:, self.place[self.whole]] = values[:, self.whole]
        lines = laid.reshape(len(values), n_clips, width)
        lines.sort(axis=2)
        return lines[:, np.arange(n_clips), rank]


class _Parabola:
    """Least squares through the quiet blocks of each clip's channels.

    Sums are taken over whole numbers, of counts and of half steps from the clip's middle: they are
    exact for all but clips of minutes, whatever the order of summing, hence the plain products of
    matrices. Each clip has its own.

    Parameters
    ----------
    counts : int32 array (n_channels, n_blocks)
        Sums of blocks, above one of the lowest of the clip.
    odd : float array (n_blocks,)
        Half steps from the clip's middle.
    first, n_blocks : int64 arrays (n_clips,)
    """

    def __init__(self, counts: Int32s, odd: Floats, first: Indices, n_blocks: Indices) -> None:
        self._counts = counts
        self._n_blocks = n_blocks
        squares = odd * odd
        powers = [np.ones_like(odd), odd, squares, squares * odd, squares * squares]
        self._powers = np.array(powers).T.copy()
        bounds = [*first.tolist(), len(odd)]
        self._slices = [slice(a, b) for a, b in pairwise(bounds)]
        self._u = odd / np.repeat(n_blocks, n_blocks)
        step = 1.0 / n_blocks[:, None, None].astype(np.float64)
        square = step * step
        scales = [np.ones_like(step), step, square, square * step, square * square]
        self._scale = np.concatenate(scales, axis=2)
        self._pull = _PULLS * n_blocks[:, None, None, None]

    def through(self, quiet: Bools, block: int) -> tuple[Floats, Floats]:
        """Coefficients of ``1, u, u**2``, in counts a sample, and how many blocks were quiet.

        Returns
        -------
        level : float array (3, n_channels, n_clips)
        seen : float array (n_channels, n_clips)
        """
        n_channels = len(quiet)
        both = np.concatenate([quiet.astype(np.float64), np.where(quiet, self._counts, 0.0)])
        sums = np.empty((len(self._slices), len(both), self._powers.shape[1]))
        for own, out in zip(self._slices, sums, strict=True):
            np.matmul(both[:, own], self._powers[own], out=out)
        left = sums[:, :n_channels] * self._scale
        right = sums[:, n_channels:, :_TERMS] * (self._scale[:, :, :_TERMS] / block)
        normal = left[:, :, _HANKEL] + self._pull
        enough = left[:, :, 0] >= _LEAST_BLOCKS
        if not enough.all():
            normal[~enough] = np.eye(_TERMS)
        solved = np.linalg.solve(normal, right[..., None])[..., 0]
        return np.ascontiguousarray(solved.transpose(2, 1, 0)), np.ascontiguousarray(
            left[:, :, 0].T
        )

    def at_blocks(self, level: Floats) -> Floats:
        """Baseline at the blocks' middles: (n_channels, n_blocks)."""
        flat, slope, bend = np.repeat(level, self._n_blocks, axis=2)
        return np.asarray(flat + self._u * (slope + self._u * bend))
