"""Touches of wheels in clips: found on every row of every clip at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.core.clip import Signals
from edge.core.pulses import over, runs
from edge.records import ADC_FULL_SCALE, Bools, Floats, Indices, Int32s

__all__ = ["Contacts", "Pulses", "centres", "find_contacts"]


_OUTWARD = np.array([[-1], [1]])
"""The sample beyond a run's first, and beyond its last."""


@dataclass(frozen=True, slots=True, eq=False)
class Pulses:
    """The samples of touches and a little more, touch after touch, left and right of the row.

    Attributes
    ----------
    counts : int32 array (2, n)
    sums : int64 array (2, n + 1)
        Sum of the counts before.
    """

    counts: Int32s
    sums: Indices

    def between(self, begin: Indices, end: Indices) -> Indices:
        """Sums of counts ``begin <= place < end`` of one touch, left and right: (2, ...).

        ``end`` may have more axes in front than ``begin``.
        """
        more = [1] * (end.ndim - begin.ndim)
        before = self.sums.take(begin, axis=1).reshape(2, *more, *begin.shape)
        return np.asarray(self.sums.take(end, axis=1) - before)

    def at(self, place: Indices) -> Int32s:
        """Counts, left and right: (2, ...)."""
        return self.counts.take(place, axis=1)

    def saturated(self, begin: Indices, end: Indices) -> Bools:
        """Whether a converter stood at its end in ``begin <= place < end``, on either side."""
        if (
            self.counts.max(initial=0) < ADC_FULL_SCALE
            and self.counts.min(initial=0) > -ADC_FULL_SCALE
        ):
            return np.zeros(begin.shape, np.bool_)
        full = (np.abs(self.counts) >= ADC_FULL_SCALE).any(axis=0)
        before = np.concatenate([[0], np.cumsum(full)])
        return np.asarray(before[end] > before[begin])


@dataclass(frozen=True, slots=True, eq=False)
class Contacts:
    """Touches in order of clip, row and time, (n_touches,) each; samples from the clip's first.

    ``enter`` and ``leave`` are interpolated crossings of the threshold; ``start`` and ``end`` are
    the bounds within which the pulse's whole area lies. A touch has its sample ``s`` in ``pulses``
    at ``place + s``.
    """

    clip: Indices
    row: Indices
    enter: Floats
    leave: Floats
    start: Indices
    end: Indices
    place: Indices
    pulses: Pulses

    def sums(self) -> Indices:
        """Sums of the counts from start to end, left and right: (2, n_touches)."""
        return self.pulses.between(self.place + self.start, self.place + self.end)

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
            self.place[chosen],
            self.pulses,
        )


def find_contacts(signals: Signals) -> Contacts:
    """Touches of each row: the left or the right channel is over its threshold."""
    clip, row, start, end = _found(signals)
    lower, upper = _bounds(signals, clip, row, start, end)
    place, pulses = _pulses(signals, clip, row, lower, upper)
    inside = np.array([start, end - 1])
    enter, leave = _crossings(signals, clip, row, inside, place, pulses)
    return Contacts(clip, row, enter, leave, lower, upper, place, pulses)


def _found(signals: Signals) -> tuple[Indices, Indices, Indices, Indices]:
    """Clip, row, first sample and end of each run over the threshold, (n_runs,) each."""
    clip, row, block = _pressed(signals)
    first = (block - signals.first_block[clip]) * signals.block
    base, release = signals.ground.base[block, row], signals.ground.release[clip, row]
    low, high = over(signals.blocks(clip, row, first), base, release)
    joined = np.zeros(len(block), np.bool_)
    joined[1:] = (block[1:] - block[:-1] == 1) & (row[1:] == row[:-1]) & (clip[1:] == clip[:-1])
    found = runs(low, high, joined)
    sure = found.sure >= 0
    start, last = found.start[sure], found.end[sure] - 1
    piece, last_piece = start // signals.block, last // signals.block
    end = first[last_piece] + last % signals.block + 1
    return clip[piece], row[piece], first[piece] + start % signals.block, end


def _pressed(signals: Signals) -> tuple[Indices, Indices, Indices]:
    """Clip, row and block where a channel is over its threshold, in this order."""
    of_clip = signals.clip_of_block
    bound = signals.ground.release[of_clip]
    bound += signals.ground.base
    pressed = signals.highest > bound
    block, row = (pressed[:, :, 0] | pressed[:, :, 1]).nonzero()
    clip = of_clip[block]
    order = (clip * pressed.shape[1] + row).argsort(kind="stable")
    return clip[order], row[order], block[order]


def _pulses(
    signals: Signals, clip: Indices, row: Indices, start: Indices, end: Indices
) -> tuple[Indices, Pulses]:
    """Fetch the touches, and so much behind each as a crossing between two samples needs."""
    length = np.minimum(end + 2, signals.n_samples[clip]) - start
    counts, place = signals.stretches(clip, row, start, length)
    sums = np.empty((2, counts.shape[1] + 1), np.int64)
    sums[:, 0] = 0
    sums[:, 1:] = counts
    np.add.accumulate(sums, axis=1, out=sums)
    return place, Pulses(counts, sums)


def _crossings(
    signals: Signals,
    clip: Indices,
    row: Indices,
    inside: Indices,
    place: Indices,
    pulses: Pulses,
) -> Floats:
    """Where the stronger side crossed its threshold, into the run and out of it: (2, n_runs).

    ``inside`` are the first and the last sample of each run, (2, n_runs).
    """
    beyond = np.maximum(inside + _OUTWARD, 0)
    outside = np.minimum(beyond, signals.n_samples[clip] - 1)
    block = signals.first_block[clip] + inside // signals.block
    bound = (signals.ground.base[block, row] + signals.release(clip, row)).transpose(2, 0, 1)
    left, right = pulses.at(place + inside) - bound
    outer_left, outer_right = np.minimum(pulses.at(place + outside) - bound, 0.0)
    stronger = right > left
    top = np.where(stronger, right, left)
    rise = top - np.where(stronger, outer_right, outer_left)
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
    strip = ~plate[contacts.row]
    strips = contacts.only(strip)
    if not len(strips.row):
        return middle
    a, length = strips.start, strips.end - strips.start
    level = signals.level_at(strips.clip, strips.row, (a + strips.end) / 2).sum(axis=1)
    left, right = strips.sums()
    area = left + right - level * length
    moment = _moments(strips) - level * (length * (length - 1) / 2)
    sound = area > 0
    balance = a + moment / np.where(sound, area, 1.0)
    balance = np.minimum(np.maximum(balance, strips.enter), strips.leave)
    middle[strip] = np.where(sound, balance, middle[strip])
    return middle


def _moments(contacts: Contacts) -> Indices:
    """Sums of both sides' counts times the samples since each touch's start."""
    begin, end = contacts.place + contacts.start, contacts.place + contacts.end
    left, right = contacts.pulses.sums
    before = left + right
    # Summed by parts: of k * count, (n * sum before n) less all sums before 1 to n. From each
    # start to its end, and from there to the next start, which nobody asks for.
    bounds = np.array([begin, end]).T.ravel() + 1
    passed = np.add.reduceat(before[: end[-1] + 1], bounds[:-1])[::2]
    return np.asarray((end - begin) * before[end] - passed)
