"""Clips of vehicles looked at together: extremes of their blocks, baselines, counts of stretches.

All clips of a batch are cut into blocks of equal length, so that what is asked of every block is
asked of all at once; single samples are fetched only where wheels are. Sums of counts are integers
and exact; every other number of a clip is computed in an order that its own samples fix. A clip
therefore gives the same bits alone and among others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.core.extremes import SLAB_SAMPLES, side_by_side
from edge.core.ground import Ground, find_ground
from edge.core.scales import Scales
from edge.records import Bools, Floats, Indices, Int32s, RawClip

__all__ = ["ROOM_AFTER_S", "ROOM_BEFORE_S", "Signals", "condition"]

ROOM_BEFORE_S = 0.25
"""A clip begins this long before its vehicle's first contact; weighing relies on it."""

ROOM_AFTER_S = 0.1
"""A clip ends this long after its vehicle's last release; weighing relies on it."""

_STEP = 16
_BLOCK_S = 0.016
_MOST_STEPS = 12
"""A longer block of 24-bit counts could pass 32 bits with its sum."""


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """The rows' channels in all clips, left and right of each row, wheels upwards.

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
    counts : int32 array (n, n_channels of the digitiser)
        All clips in one, as they came.
    begin : int64 array (n_clips,)
        Where each begins in it.
    channels : int64 array (n_clips, n_rows, 2)
    falling : bool array (n_clips, n_rows, 2)
        Which channels press downwards.
    highest, lowest : int32 arrays (n_blocks, n_rows, 2)
    ground : Ground
    """

    rate_hz: float
    block: int
    n_samples: Indices
    first_block: Indices
    counts: Int32s
    begin: Indices
    channels: Indices
    falling: Bools
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
        terms = self.ground.level[clip, :, row]
        flat, slope, bend = (terms[..., k, :] for k in range(3))
        return np.asarray(flat + u * (slope + u * bend))

    def release(self, clip: Indices, row: Indices) -> Floats:
        """Threshold above the baseline, in counts."""
        return np.asarray(self.ground.release[clip, row])

    def noise(self, clip: Indices, row: Indices) -> Floats:
        """Standard deviation of a mean of a quiet block, scaled to one sample."""
        return np.asarray(self.ground.noise[clip, row])

    def stretches(
        self, clip: Indices, row: Indices, start: Indices, length: Indices
    ) -> tuple[Int32s, Indices]:
        """Counts of stretches (n,) of samples within their clips, and a little around each.

        Returns
        -------
        counts : int32 array (2, n_counts)
            Left and right.
        place : int64 array (n,)
            A clip's sample ``s`` of the stretch is at ``place + s``.
        """
        # In halves of a block: a clip's end is the end of a piece at the latest.
        piece = self.block // 2
        pieces, begin = -(-length // piece), self.begin[clip]
        first = np.minimum(begin + start, len(self.counts) - pieces * piece)
        ahead = _ahead(pieces) * piece
        sample = (first - ahead).repeat(pieces)
        sample += np.arange(0, piece * len(sample), piece)
        channels = self.channels[clip, row].repeat(pieces, axis=0)
        found = self._pieces(piece)[sample[:, None], channels]
        self._turn(found, clip, row, pieces)
        return found.transpose(1, 0, 2).reshape(2, -1), ahead + begin - first

    def blocks(self, clip: Indices, row: Indices, start: Indices) -> Int32s:
        """Counts of stretches (n,) of a block's length: left and right, (n, 2, block)."""
        sample = self.begin[clip] + start
        found: Int32s = self._pieces(self.block)[sample[:, None], self.channels[clip, row]]
        self._turn(found, clip, row, 1)
        return found

    def _pieces(self, length: int) -> Int32s:
        """Pieces that begin at each sample: (n_samples, n_channels, length).

        Left and right are asked of it together: they lie in the same lines of the cache.
        """
        (n, width), (step, next_channel) = self.counts.shape, self.counts.strides
        shape, strides = (n - length + 1, width, length), (step, next_channel, step)
        return np.ndarray(shape, np.int32, self.counts, 0, strides)

    def _turn(self, found: Int32s, clip: Indices, row: Indices, times: Indices | int) -> None:
        """Turn the channels that press downwards in pieces, so many of each clip and row."""
        if self.falling.any():
            found[self.falling[clip, row].repeat(times, axis=0)] *= -1


def condition(clips: Sequence[RawClip], scales: Scales) -> Signals:
    """Find extremes and baselines of the rows' channels in clips.

    Parameters
    ----------
    clips : sequence of RawClip
        All of one rate, each at least a block long.
    scales : Scales
        One a clip. Of the gains only the signs are used: a channel of negative gain presses
        downwards.

    Raises
    ------
    ValueError
        A clip is shorter than a block.
    """
    rate_hz = clips[0].rate_hz
    falling = scales.of_each(lambda scale: scale.falling)
    floor = scales.of_each(lambda scale: scale.floor)
    block = _STEP * min(max(round(_BLOCK_S * rate_hz / _STEP), 1), _MOST_STEPS)
    blocks = np.array([len(clip.counts) // block for clip in clips])
    if blocks.min() < 1:
        raise ValueError(f"a clip of less than {block} samples")
    first = _ahead(blocks)
    counts, begin = _in_one(clips)
    channels = scales.channels.reshape(len(clips), -1)
    lines, line, step = _lines(clips, counts, begin, channels)
    at = (line - first * block * step).repeat(blocks)
    at += np.arange(0, len(at) * block * step, block * step)
    highest, lowest, total = _summaries(lines, at, step, block)
    if falling.any():
        turned = np.repeat(falling.reshape(len(clips), -1), blocks, axis=0)
        highest, lowest = np.where(turned, (-lowest, -highest), (highest, lowest))
        np.negative(total, out=total, where=turned)
    whole = _whole(clips, first, blocks, block)
    floor = floor.reshape(len(clips), -1)
    ground = find_ground(total, highest, lowest, block, floor, whole, first)
    return Signals(
        rate_hz,
        block,
        blocks * block,
        first,
        counts,
        begin,
        scales.channels,
        falling,
        highest.reshape(len(highest), -1, 2),
        lowest.reshape(len(lowest), -1, 2),
        ground.by_row(),
    )


def _in_one(clips: Sequence[RawClip]) -> tuple[Int32s, Indices]:
    """Counts of all clips in one array, not copied where they lie in one, and where each begins."""
    arrays = [clip.counts for clip in clips]
    base = arrays[0].base
    if len(arrays) == 1:
        return np.ascontiguousarray(arrays[0]), np.zeros(1, np.int64)
    if isinstance(base, np.ndarray) and all(_is_part(counts, base) for counts in arrays):
        address = np.array([counts.__array_interface__["data"][0] for counts in [base, *arrays]])
        begin, amiss = np.divmod(address[1:] - address[0], base.strides[0])
        if not amiss.any():
            return base, begin
    return np.concatenate(arrays), _ahead(np.array([len(counts) for counts in arrays]))


def _ahead(lengths: Indices) -> Indices:
    """How much lies before each, end to end."""
    return np.asarray(lengths.cumsum() - lengths)


def _is_part(counts: Int32s, base: NDArray[Any]) -> bool:
    """Whether counts are some of the lines of an array."""
    alike = counts.dtype == base.dtype and counts.shape[1:] == base.shape[1:]
    lines = base.flags.c_contiguous and counts.strides == base.strides
    return counts.base is base and alike and lines


def _summaries(lines: Int32s, begin: Indices, step: int, block: int) -> Int32s:
    """Highest, lowest and sum of blocks: (3, n_blocks, width).

    ``begin`` tells the line at which each begins, and every ``step``-th from there is of it.
    """
    found = np.empty((3, len(begin), lines.shape[1]), np.int32)
    into, at_once = np.arange(0, block * step, step)[:, None], SLAB_SAMPLES // block
    for first in range(0, len(begin), at_once):
        part = slice(first, first + at_once)
        laid = side_by_side(lines, begin[part] + into)
        for kind, own in zip((np.maximum, np.minimum, np.add), found, strict=True):
            kind.reduce(laid, axis=0, dtype=np.int32, out=own[part].reshape(-1))
    return found


def _lines(
    clips: Sequence[RawClip], counts: Int32s, begin: Indices, channels: Indices
) -> tuple[Int32s, Indices, int]:
    """The clips' own channels, line by line: the lines, where each clip begins, how far to go on.

    Not copied where they are one and the same part of all lines of a digitiser.
    """
    n_own = channels.shape[1]
    step, rest = divmod(counts.shape[1], n_own)
    number, place = np.divmod(channels, n_own)
    if not rest and (place == np.arange(n_own)).all() and (number == number[:, :1]).all():
        return counts.reshape(-1, n_own), begin * step + number[:, 0], step
    own = [clip.counts.take(chosen, axis=1) for clip, chosen in zip(clips, channels, strict=True)]
    return np.concatenate(own), _ahead(np.array([len(counts) for counts in own])), 1


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
