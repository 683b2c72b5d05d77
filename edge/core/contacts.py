"""Touches of wheels in clips: found on every row of every clip at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.core.clip import Signals
from edge.core.pulses import HYSTERESIS, runs
from edge.records import Bools, Floats, Indices

__all__ = ["Contacts", "centres", "find_contacts"]


_OUTWARD = np.array([[-1], [1]])
"""The sample beyond a run's first, and beyond its last."""


@dataclass(frozen=True, slots=True, eq=False)
class Contacts:
    """Touches in order of clip, row and time, (n_touches,) each; samples from the clip's first.

    ``enter`` and ``leave`` are interpolated crossings of the threshold; ``start`` and ``end`` are
    the bounds within which the pulse's whole area lies.
    """

    clip: Indices
    row: Indices
    enter: Floats
    leave: Floats
    start: Indices
    end: Indices

    def only(self, chosen: Bools) -> Contacts:
        """Some of the touches."""
        if chosen.all():
            return self
        return Contacts(
            self.clip[chosen],
            self.row[chosen],
            self.enter[chosen],
            self.leave[chosen],
            self.start[chosen],
            self.end[chosen],
        )


def find_contacts(signals: Signals) -> Contacts:
    """Touches of each row: the left or the right channel is over its threshold."""
    ground = signals.ground
    of_clip = signals.clip_of_block
    release = ground.release[of_clip]
    # Whole counts compare fast: a count passes a bound where it passes the whole part of it.
    low = np.floor(ground.base + release).astype(np.int32)
    high = np.floor(ground.base + HYSTERESIS * release).astype(np.int32)
    pressed = signals.highest > low
    block, row = np.nonzero(pressed[:, :, 0] | pressed[:, :, 1])
    clip = of_clip[block]
    order = np.argsort(clip * low.shape[1] + row, kind="stable")
    block, row, clip = block[order], row[order], clip[order]
    left, right = signals.blocks(block, row)
    over, surely = (
        (left > bound[:, :1]) | (right > bound[:, 1:])
        for bound in (low[block, row], high[block, row])
    )
    joined = np.zeros(len(block), np.bool_)
    joined[1:] = (block[1:] - block[:-1] == 1) & (row[1:] == row[:-1]) & (clip[1:] == clip[:-1])
    found = runs(over, surely, joined)
    sure = found.sure >= 0
    start, last = found.start[sure], found.end[sure] - 1
    piece = start // signals.block
    clip, row = clip[piece], row[piece]
    first = (block - signals.first_block[of_clip[block]]) * signals.block
    start = first[piece] + start % signals.block
    end = first[last // signals.block] + last % signals.block + 1
    enter, leave = _crossings(signals, clip, row, start, end)
    return Contacts(clip, row, enter, leave, *_bounds(signals, clip, row, start, end))


def _crossings(
    signals: Signals, clip: Indices, row: Indices, start: Indices, end: Indices
) -> Floats:
    """Where the stronger side crossed its threshold, into the run and out of it: (2, n_runs)."""
    inside = np.array([start, end - 1])
    beyond = np.maximum(inside + _OUTWARD, 0)
    outside = np.minimum(beyond, signals.n_samples[clip] - 1)
    block = signals.first_block[clip] + inside // signals.block
    bound = signals.ground.base[block, row] + signals.release(clip, row)
    above = signals.at(clip, row, inside) - bound
    below = np.minimum(signals.at(clip, row, outside) - bound, 0.0)
    side = above[..., 1] > above[..., 0]
    top = np.where(side, above[..., 1], above[..., 0])
    rise = top - np.where(side, below[..., 1], below[..., 0])
    return np.asarray(inside + _OUTWARD * top / np.maximum(rise, 1e-9))


def _bounds(
    signals: Signals, clip: Indices, row: Indices, start: Indices, end: Indices
) -> tuple[Indices, Indices]:
    """Widen runs to hold the feet below the threshold, half way to the next run at most."""
    margin = (end - start) * 3 // 10 + 2
    lower, upper = np.zeros_like(start), signals.n_samples[clip]
    same = (clip[1:] == clip[:-1]) & (row[1:] == row[:-1])
    middle = (start[1:] + end[:-1]) // 2
    lower[1:] = np.where(same, middle, lower[1:])
    upper[:-1] = np.where(same, middle, upper[:-1])
    return np.maximum(start - margin, lower), np.minimum(end + margin, upper)


def centres(signals: Signals, contacts: Contacts, plate: Bools) -> Floats:
    """When the middle of the patch was over the middle of the row, in samples of the clip.

    On a plate the two edges tell it, for the load may change in between; on a strip the centre of
    the area, which noise moves least.

    Parameters
    ----------
    signals : Signals
    contacts : Contacts
    plate : bool array (n_rows,)
    """
    middle = (contacts.enter + contacts.leave) / 2
    strips = contacts.only(~plate[contacts.row])
    if not len(strips.row):
        return middle
    a, length = strips.start, strips.end - strips.start
    first = np.cumsum(length) - length
    into = np.arange(int(length.sum())) - np.repeat(first, length)
    both = signals.stretches(strips.clip, strips.row, a, length)
    counts = both[:, 0] + both[:, 1]
    level = signals.level_at(strips.clip, strips.row, (strips.start + strips.end) / 2).sum(axis=1)
    area = np.add.reduceat(counts, first, dtype=np.int64) - level * length
    moment = np.add.reduceat(counts * into, first) - level * (length * (length - 1) / 2)
    sound = area > 0
    balance = a + moment / np.where(sound, area, 1.0)
    middle[~plate[contacts.row]] = np.where(
        sound,
        np.clip(balance, strips.enter, strips.leave),
        (strips.enter + strips.leave) / 2,
    )
    return middle
