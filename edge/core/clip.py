"""Clips of vehicles laid out together: their counts, sums over any stretch, and their baselines.

All clips of a batch are cut into blocks of equal length whose samples lie beside each other, so
that what is asked of every block is asked of all at once. Sums of counts are integers and exact;
every other number of a clip is computed in an order that its own samples fix. A clip therefore
gives the same bits alone and among others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.core.extremes import side_by_side
from edge.core.ground import Ground, find_ground
from edge.records import ADC_FULL_SCALE, Bools, Floats, Gains, Indices, Int32s, RawClip, Row

__all__ = ["ROOM_AFTER_S", "ROOM_BEFORE_S", "Signals", "condition"]

ROOM_BEFORE_S = 0.25
"""A clip begins this long before its vehicle's first contact; weighing relies on it."""

ROOM_AFTER_S = 0.1
"""A clip ends this long after its vehicle's last release; weighing relies on it."""

_PART = 16
_INTO_PART = np.arange(_PART)
_BLOCK_S = 0.016
_MOST_PARTS = 12
"""More would let the sum of a block of 24-bit counts pass 32 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """Counts of the rows' channels in all clips, left and right of each row, wheels upwards.

    In all methods ``clip``, ``row`` and ``sample`` are integer arrays that broadcast together to
    some shape; results have it with left and right appended. Samples count from the clip's first.

    Attributes
    ----------
    rate_hz : float
    block : int
        Samples in a block.
    n_samples : int64 array (n_clips,)
        A clip's whole blocks.
    first_block : int64 array (n_clips,)
    pairs : int64 array (n_samples of all clips and a part of nothing, n_rows)
        Left and right count of a row side by side, as one number that one look-up fetches.
    before : int64 array (n_rows, n_parts + 1, 2)
        Sum of the counts of all parts of blocks before.
    highest, lowest : int32 arrays (n_blocks, n_rows, 2)
    ground : Ground
    """

    rate_hz: float
    block: int
    n_samples: Indices
    first_block: Indices
    pairs: Indices
    before: Indices
    highest: Int32s
    lowest: Int32s
    ground: Ground

    @property
    def clip_of_block(self) -> Indices:
        """The clip of each block."""
        return np.repeat(np.arange(len(self.n_samples)), self.n_samples // self.block)

    def level_at(self, clip: Indices, row: Indices, sample: Floats) -> Floats:
        """Baseline in counts; ``sample`` may be a fraction."""
        u = (2 * sample / self.n_samples[clip] - 1)[..., None]
        flat, slope, bend = (self.ground.level[clip, k, row] for k in range(3))
        return np.asarray(flat + u * (slope + u * bend))

    def release(self, clip: Indices, row: Indices) -> Floats:
        """Threshold above the baseline, in counts."""
        return np.asarray(self.ground.release[clip, row])

    def noise(self, clip: Indices, row: Indices) -> Floats:
        """Standard deviation of a mean of a quiet block, scaled to one sample."""
        return np.asarray(self.ground.noise[clip, row])

    def at(self, clip: Indices, row: Indices, sample: Indices) -> Int32s:
        """Counts of samples."""
        return _apart(self.pairs[self.first_block[clip] * self.block + sample, row])

    def stretches(self, clip: Indices, row: Indices, start: Indices, length: Indices) -> Int32s:
        """Counts of stretches (n,) of samples, one after the other: (length.sum(), 2)."""
        n_rows = self.pairs.shape[1]
        ahead = np.cumsum(length) - length
        begin = (self.first_block[clip] * self.block + start - ahead) * n_rows + row
        place = np.repeat(begin, length) + np.arange(int(length.sum())) * n_rows
        return _apart(self.pairs.ravel()[place])

    def blocks(self, block: Indices, row: Indices) -> tuple[Int32s, Int32s]:
        """Counts of whole blocks (n,), numbered over all clips: left and right, (n, block)."""
        n_blocks = len(self.pairs) // self.block
        laid = self.pairs[: n_blocks * self.block].reshape(n_blocks, self.block, -1)
        both = _apart(laid[block, :, row])
        return both[..., 0], both[..., 1]

    def sum_before(self, clip: Indices, row: Indices, sample: Indices) -> Indices:
        """Sum of the clip's counts before a sample."""
        origin = self.first_block[clip] * (self.block // _PART)
        part = origin + sample // _PART
        n_rows = self.pairs.shape[1]
        place = (part * (_PART * n_rows) + row)[..., None] + _INTO_PART * n_rows
        rest = self.pairs.reshape(-1)[place]
        rest *= (sample % _PART)[..., None] > _INTO_PART
        halves = rest.view(np.int32)
        # The first half of the pairs onto the second, until one is left: left and right.
        while halves.shape[-1] > 2:
            middle = halves.shape[-1] // 2
            halves = halves[..., :middle] + halves[..., middle:]
        return np.asarray(self.before[row, part] - self.before[row, origin] + halves)

    def saturated(self, clip: Indices, row: Indices, start: Indices, end: Indices) -> Bools:
        """Whether a converter stood at its end in ``start <= sample < end``, on either side."""
        hit = np.zeros(np.broadcast(clip, row, start).shape, np.bool_)
        if self.highest.max() < ADC_FULL_SCALE and self.lowest.min() > -ADC_FULL_SCALE:
            return hit
        full = (self.highest >= ADC_FULL_SCALE) | (self.lowest <= -ADC_FULL_SCALE)
        block, full_row = np.nonzero(full.any(axis=2))
        place = block[:, None] * self.block + np.arange(self.block)
        counts = _apart(self.pairs[place, full_row[:, None]]).astype(np.int64)
        number, into = np.nonzero((np.abs(counts) >= ADC_FULL_SCALE).any(axis=2))
        at = np.sort(full_row[number] * len(self.pairs) + place[number, into])
        origin = row * len(self.pairs) + self.first_block[clip] * self.block
        return np.asarray(np.searchsorted(at, origin + end) > np.searchsorted(at, origin + start))


def _apart(pairs: Indices) -> Int32s:
    """Left and right counts of pairs, on a last axis."""
    return np.ascontiguousarray(pairs).view(np.int32).reshape(*pairs.shape, 2)


def condition(
    clips: Sequence[RawClip], rows: Sequence[Row], gains: Gains, floor: Floats
) -> Signals:
    """Lay out the clips of a lane's rows and find their baselines.

    Parameters
    ----------
    clips : sequence of RawClip
        All of one rate, each at least a block long.
    rows : sequence of Row
    gains : Gains
        Only their signs are used: a channel of negative gain presses downwards.
    floor : float array (n_channels,)
        Least threshold in counts, from :func:`edge.core.conditioning.floor_counts`.

    Raises
    ------
    ValueError
        A clip is shorter than a block.
    """
    rate_hz = clips[0].rate_hz
    channels = np.array([(row.left, row.right) for row in rows]).ravel()
    parts = min(max(round(_BLOCK_S * rate_hz / _PART), 1), _MOST_PARTS)
    block = parts * _PART
    blocks = np.array([len(clip.counts) // block for clip in clips])
    if blocks.min() < 1:
        raise ValueError(f"a clip of less than {block} samples")
    first = np.cumsum(blocks) - blocks
    counts = _laid_out(clips, blocks * block, channels, gains.newton_per_count[channels] < 0)
    highest, lowest, total, sums = _summaries(counts[:-_PART], block)
    whole = _whole(clips, first, blocks, block)
    ground = find_ground(total, highest, lowest, block, floor[channels], whole, first)
    return Signals(
        rate_hz,
        block,
        blocks * block,
        first,
        counts.view(np.int64),
        _before(sums.reshape(len(rows), 2, -1)),
        highest.reshape(len(highest), -1, 2),
        lowest.reshape(len(lowest), -1, 2),
        ground.by_row(),
    )


def _laid_out(
    clips: Sequence[RawClip], n_samples: Indices, channels: Indices, falling: Bools
) -> Int32s:
    """The channels of all clips one after the other, wheels upwards, and a part of nothing."""
    own = [_chosen(c.counts[:n], channels) for c, n in zip(clips, n_samples.tolist(), strict=True)]
    counts = np.concatenate([*own, np.zeros((_PART, len(channels)), np.int32)])
    if falling.any():
        counts[:, falling] *= -1
    return counts


def _summaries(counts: Int32s, block: int) -> tuple[Int32s, Int32s, Int32s, Int32s]:
    """Highest, lowest and sum of each block, and sums of its parts.

    The former are (n_blocks, n_channels), the latter (n_channels, n_blocks, n_parts).
    """
    n_blocks, n_channels, parts = len(counts) // block, counts.shape[1], block // _PART
    highest, lowest, total = (np.empty((n_blocks, n_channels), np.int32) for _ in range(3))
    sums = np.empty((n_channels, n_blocks, parts), np.int32)
    for slab, laid in side_by_side(counts, block):
        laid.max(axis=0, out=highest[slab].reshape(-1))
        laid.min(axis=0, out=lowest[slab].reshape(-1))
        of_parts = np.add.reduce(laid.reshape(parts, _PART, -1), axis=1, dtype=np.int32)
        of_parts.sum(axis=0, dtype=np.int32, out=total[slab].reshape(-1))
        sums[:, slab] = of_parts.reshape(parts, -1, n_channels).T
    return highest, lowest, total, sums


def _before(sums: Int32s) -> Indices:
    """Sum of all parts before each, and of all: (n_rows, n_parts + 1, 2)."""
    before = np.zeros((len(sums), sums.shape[2] + 1, 2), np.int64)
    np.cumsum(sums, axis=2, dtype=np.int64, out=before[:, 1:].transpose(0, 2, 1))
    return before


def _chosen(counts: Int32s, channels: Indices) -> Int32s:
    """Columns of the channels, not copied where they follow each other."""
    first, n = int(channels[0]), len(channels)
    if (channels == np.arange(first, first + n)).all():
        return counts[:, first : first + n]
    return counts[:, channels]


def _whole(clips: Sequence[RawClip], first: Indices, n_blocks: Indices, block: int) -> Bools:
    """Blocks of all clips that no gap touches; all of a clip in which none is left."""
    whole = np.ones(int(n_blocks.sum()), np.bool_)
    for number, clip in enumerate(clips):
        if clip.gaps:
            own = whole[first[number] : first[number] + n_blocks[number]]
            for sample, lost in clip.gaps:
                begin = sample - clip.first_sample
                own[max(begin // block, 0) : max(-(-(begin + lost) // block), 0)] = False
            if not own.any():
                own[:] = True
    return whole
