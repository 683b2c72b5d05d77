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
_ROUNDS = 2
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
    floor : float array (n_clips, n_channels)
        Least threshold.
    whole : bool array (n_blocks,)
        Blocks to be used.
    first : int64 array (n_clips,)
        First block of each clip.
    """
    laid = _Laid.of(first, whole)
    # Channel after channel: a block's own numbers then lie beside those of the next.
    sums, tops, bottoms = (x.T.astype(np.float64, order="C") for x in (total, highest, lowest))
    spread = tops - bottoms
    usable = np.add.reduceat(whole, first, dtype=np.int64)
    lowest_total = laid.ranked(sums, np.minimum(_LOWEST, usable // 10))
    typical = laid.ranked(spread, usable // 4)
    parabola = _Parabola(sums - laid.over(lowest_total), laid)
    per_sigma = range_per_sigma(block)
    least = floor.T
    before: Bools | None = None
    release = noise = np.maximum(least, NOISE_FACTOR * typical / per_sigma)
    level = np.zeros((_TERMS, *typical.shape))
    level[0] = start = lowest_total / block
    base = laid.over(start)
    room = np.empty_like(sums)
    for _ in range(_ROUNDS):
        bound = laid.over(release)
        quiet = np.subtract(tops, base, out=room) <= bound
        quiet &= np.subtract(base, bottoms, out=room) <= 2 * bound
        quiet &= whole
        if before is not None and (before == quiet).all():
            break  # The same blocks give the same parabola.
        before = quiet
        counted = quiet.astype(np.float64)
        bends, seen = parabola.through(counted, block)
        bends[0] += start
        level = np.where(seen >= _LEAST_BLOCKS, bends, level)
        base = parabola.at_blocks(level)
        seen = np.maximum(seen, 1)
        np.multiply(spread, counted, out=room)
        sigma = np.add.reduceat(room, first, axis=1) / seen / per_sigma
        left = np.divide(sums, block, out=room)
        left -= base
        left *= counted
        left *= left
        scatter = np.add.reduceat(left, first, axis=1) / seen
        noise = np.maximum(sigma, np.sqrt(scatter * block))
        release = np.maximum(least, NOISE_FACTOR * sigma)
    return Ground(level.transpose(2, 0, 1).copy(), release.T.copy(), noise.T.copy(), base.T.copy())


class _Laid(NamedTuple):
    """Where the blocks of clips lie: end to end, or each clip's in a line of its own."""

    first: Indices
    n_blocks: Indices
    whole: Bools
    clip: Indices
    into: Indices

    @classmethod
    def of(cls, first: Indices, whole: Bools) -> _Laid:
        """Of clips that begin at such blocks."""
        n_blocks = np.concatenate([first[1:], [len(whole)]]) - first
        clip = np.arange(len(first)).repeat(n_blocks)
        return cls(first, n_blocks, whole, clip, np.arange(len(clip)) - first[clip])

    def over(self, values: Floats | Indices | Int32s) -> Floats:
        """Values of each clip (..., n_clips), to be met with those of its blocks."""
        alone = len(self.first) == 1
        return np.asarray(values if alone else values.repeat(self.n_blocks, axis=-1))

    def ranked(self, values: Floats, rank: Indices) -> Int32s:
        """The value of a rank among each clip's whole blocks: (n_channels, n_clips)."""
        n_clips, width = len(self.first), int(self.n_blocks.max())
        laid = np.full((len(values), n_clips * width), _BEYOND, np.int32)
        place = self.clip * width + self.into
        if self.whole.all():
            laid[:, place] = values
        else:
            laid[:, place[self.whole]] = values[:, self.whole]
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
    counts : float array (n_channels, n_blocks)
        Sums of blocks, above one of the lowest of the clip.
    laid : _Laid
    """

    def __init__(self, counts: Floats, laid: _Laid) -> None:
        self._counts, self._laid = counts, laid
        n_blocks = laid.n_blocks
        over_n = laid.over(n_blocks)
        # Half steps from the clip's middle.
        odd = (2 * laid.into + 1 - over_n).astype(np.float64)
        squares = odd * odd
        powers = [np.ones_like(odd), odd, squares, squares * odd, squares * squares]
        self._powers = np.array(powers).T.copy()
        bounds = [*laid.first.tolist(), len(odd)]
        self._slices = [slice(a, b) for a, b in pairwise(bounds)]
        self._u = odd / over_n
        step = 1.0 / n_blocks[:, None, None].astype(np.float64)
        square = step * step
        scales = [np.ones_like(step), step, square, square * step, square * square]
        self._scale = np.concatenate(scales, axis=2)
        self._pull = _PULLS * n_blocks[:, None, None, None]

    def through(self, quiet: Floats, block: int) -> tuple[Floats, Floats]:
        """Coefficients of ``1, u, u**2``, in counts a sample, and how many blocks were quiet.

        Parameters
        ----------
        quiet : float array (n_channels, n_blocks)
            1 for each quiet block, 0 for others.
        block : int

        Returns
        -------
        level : float array (3, n_channels, n_clips)
        seen : float array (n_channels, n_clips)
        """
        n_channels = len(quiet)
        both = np.empty((2 * n_channels, quiet.shape[1]))
        both[:n_channels] = quiet
        np.multiply(self._counts, quiet, out=both[n_channels:])
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
        return np.array(solved.transpose(2, 1, 0), order="C"), left[:, :, 0].T.copy()

    def at_blocks(self, level: Floats) -> Floats:
        """Baseline at the blocks' middles: (n_channels, n_blocks)."""
        flat, slope, bend = level
        base = self._u * self._laid.over(bend)
        base += self._laid.over(slope)
        base *= self._u
        base += self._laid.over(flat)
        return base
