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

from edge.core.conditioning import side_by_side
from edge.core.ground import Ground, find_ground
from edge.records import ADC_FULL_SCALE, Bools, Floats, Gains, Indices, Int32s, RawClip, Row

__all__ = ["ROOM_AFTER_S", "ROOM_BEFORE_S", "Signals", "condition"]

ROOM_BEFORE_S = 0.25
"""A clip begins this long before its vehicle's first contact; weighing relies on it."""

ROOM_AFTER_S = 0.1
"""A clip ends this long after its vehicle's last release; weighing relies on it."""

_PART = 16
_BLOCK_S = 0.016
_MOST_PARTS = 12
"""More would let the sum of a block of 24-bit counts pass 32 bits."""

_SIDES = np.arange(2)


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """Counts of the rows' channels in all clips, left and right of each row, wheels upwards.

    In all methods ``clip``, ``row`` and ``sample`` are integer arrays that broadcast together to
    some shape; results have it with left and right appended. Samples count from the clip's first.

    Attributes
    ----------
    rate_hz : float
    n_samples : int64 array (n_clips,)
        A clip's whole blocks.
    first_block : int64 array (n_clips,)
    counts : int32 array (n_parts, part, n_blocks, 2 * n_rows)
        Sample within a part of a block, block of all clips, channel.
    before : int64 array (n_blocks, 2 * n_rows)
        Sum of the counts of all blocks before.
    within : int32 array (n_parts, n_blocks, 2 * n_rows)
        Sum of the block's parts before.
    highest, lowest : int32 arrays (n_blocks, 2 * n_rows)
    ground : Ground
    """

    rate_hz: float
    n_samples: Indices
    first_block: Indices
    counts: Int32s
    before: Indices
    within: Int32s
    highest: Int32s
    lowest: Int32s
    ground: Ground

    @property
    def block(self) -> int:
        """Samples in a block."""
        return int(self.counts.shape[0] * self.counts.shape[1])

    @property
    def clip_of_block(self) -> Indices:
        """The clip of each block."""
        return np.repeat(np.arange(len(self.n_samples)), self.n_samples // self.block)

    def level_at(self, clip: Indices, row: Indices, sample: Floats) -> Floats:
        """Baseline in counts; ``sample`` may be a fraction."""
        u = (2 * sample / self.n_samples[clip] - 1)[..., None]
        channel = 2 * np.asarray(row)[..., None] + _SIDES
        flat, slope, bend = (self.ground.level[clip[..., None], k, channel] for k in range(3))
        return np.asarray(flat + u * (slope + u * bend))

    def release(self, clip: Indices, row: Indices) -> Floats:
        """Threshold above the baseline, in counts."""
        return self._of_channel(self.ground.release, clip, row)

    def noise(self, clip: Indices, row: Indices) -> Floats:
        """Standard deviation of a mean of a quiet block, scaled to one sample."""
        return self._of_channel(self.ground.noise, clip, row)

    def _of_channel(self, values: Floats, clip: Indices, row: Indices) -> Floats:
        return np.asarray(values[clip[..., None], 2 * np.asarray(row)[..., None] + _SIDES])

    def at(self, clip: Indices, row: Indices, sample: Indices) -> Int32s:
        """Counts of samples."""
        block, into = self._block_of(clip, sample)
        part, rest = np.divmod(into[..., None], self.counts.shape[1])
        channel = 2 * np.asarray(row)[..., None] + _SIDES
        return np.asarray(self.counts[part, rest, block[..., None], channel])

    def sum_before(self, clip: Indices, row: Indices, sample: Indices) -> Indices:
        """Sum of the clip's counts before a sample."""
        block, into = self._block_of(clip, sample)
        part = np.minimum(into // _PART, self.counts.shape[0] - 1)
        rest = (into - part * _PART)[..., None, None]
        block, part = block[..., None], part[..., None]
        channel = 2 * np.asarray(row)[..., None] + _SIDES
        piece = self.counts[part, :, block, channel]
        inside = np.where(np.arange(_PART) < rest, piece, 0).sum(axis=-1, dtype=np.int64)
        origin = self.before[self.first_block[clip][..., None], channel]
        whole = self.before[block, channel] - origin
        return np.asarray(whole + self.within[part, block, channel] + inside)

    def _block_of(self, clip: Indices, sample: Indices) -> tuple[Indices, Indices]:
        """Block of each sample, and the sample within it; a clip's end belongs to its last."""
        own = np.minimum(sample, self.n_samples[clip] - 1) // self.block
        return self.first_block[clip] + own, sample - own * self.block

    def saturated(self, clip: Indices, row: Indices, start: Indices, end: Indices) -> Bools:
        """Whether a converter stood at its end in ``start <= sample < end``, on either side."""
        full = (self.highest >= ADC_FULL_SCALE) | (self.lowest <= -ADC_FULL_SCALE)
        block, channel = np.nonzero(full)
        hit = np.zeros(np.broadcast(clip, row, start).shape, np.bool_)
        if not len(block):
            return hit
        counts = self.counts[:, :, block, channel].reshape(self.block, -1).T
        number, into = np.nonzero(np.abs(counts.astype(np.int64)) >= ADC_FULL_SCALE)
        own = self.clip_of_block[block[number]]
        sample = (block[number] - self.first_block[own]) * self.block + into
        n_rows, length = self.counts.shape[3] // 2, int(self.n_samples.max()) + 1
        at = np.sort((own * n_rows + channel[number] // 2) * length + sample)
        origin = (clip * n_rows + row) * length
        return np.asarray(np.searchsorted(at, origin + end) > np.searchsorted(at, origin + start))


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
    falling = gains.newton_per_count[channels] < 0
    parts = min(max(round(_BLOCK_S * rate_hz / _PART), 1), _MOST_PARTS)
    block = parts * _PART
    blocks = np.array([len(clip.counts) // block for clip in clips])
    if blocks.min() < 1:
        raise ValueError(f"a clip of less than {block} samples")
    end = np.cumsum(blocks)
    first = end - blocks
    shape = (int(end[-1]), len(channels))
    counts = np.empty((block, *shape), np.int32)
    within = np.empty((parts, *shape), np.int32)
    total, highest, lowest = (np.empty(shape, np.int32) for _ in range(3))
    for clip, a, b in zip(clips, first.tolist(), end.tolist(), strict=True):
        laid = side_by_side(_chosen(clip.counts[: (b - a) * block], channels), block)
        if falling.any():
            laid *= np.tile(np.where(falling, -1, 1).astype(np.int32), b - a)
        laid.max(axis=0, out=highest[a:b].reshape(-1))
        laid.min(axis=0, out=lowest[a:b].reshape(-1))
        counts[:, a:b] = laid.reshape(block, b - a, len(channels))
        sums = np.add.reduce(laid.reshape(parts, _PART, -1), axis=1, dtype=np.int32)
        np.cumsum(sums, axis=0, dtype=np.int32, out=sums)
        within[0, a:b] = 0
        within[1:, a:b] = sums[:-1].reshape(parts - 1, b - a, len(channels))
        total[a:b] = sums[-1].reshape(b - a, len(channels))
    by_part = counts.reshape(parts, _PART, *shape)
    before = np.zeros(shape, np.int64)
    np.cumsum(total[:-1], axis=0, out=before[1:])
    whole = np.concatenate([_whole(clip, n, block) for clip, n in zip(clips, blocks, strict=True)])
    ground = find_ground(total, highest, lowest, block, floor[channels], whole, first)
    return Signals(rate_hz, blocks * block, first, by_part, before, within, highest, lowest, ground)


def _chosen(counts: Int32s, channels: Indices) -> Int32s:
    """Columns of the channels, not copied where they follow each other."""
    first, n = int(channels[0]), len(channels)
    if (channels == np.arange(first, first + n)).all():
        return counts[:, first : first + n]
    return np.ascontiguousarray(counts[:, channels])


def _whole(clip: RawClip, n_blocks: int, block: int) -> Bools:
    """Blocks that no gap touches."""
    whole = np.ones(n_blocks, np.bool_)
    for sample, lost in clip.gaps:
        first = sample - clip.first_sample
        whole[max(first // block, 0) : max(-(-(first + lost) // block), 0)] = False
    return whole if whole.any() else ~whole
