"""One vehicle on two lanes: wheels of one side here, the other side there, at one moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.core.clip import Signals, condition
from edge.core.contacts import Contacts, find_contacts
from edge.core.scales import Scale, Scales
from edge.records import Bools, Flag, FlagBits, Floats, Indices, RawClip

__all__ = ["straddling"]

_ONE_SIDED = 0.15
_SHARE_OF_AXLES = 0.5


def straddling(
    clips: Sequence[RawClip],
    vehicle: Indices,
    flags: FlagBits,
    scales: Sequence[Scale],
    begin_s: Floats,
    end_s: Floats,
) -> FlagBits:
    """Of the vehicles that pressed on one side only, those whose other wheels were elsewhere."""
    found = np.zeros(len(clips), np.uint32)
    for v in (flags & np.uint32(Flag.WHEEL_OFF)).nonzero()[0].tolist():
        own = vehicle == v
        if _straddles(clips[v], scales[v], begin_s[own], end_s[own]):
            found[v] = Flag.STRADDLING
    return found


def _straddles(clip: RawClip, scale: Scale, begin_s: Floats, end_s: Floats) -> bool:
    """Whether a vehicle that pressed on one side only had its other wheels on another lane.

    Parameters
    ----------
    clip : RawClip
    scale : Scale
        With the lanes of the digitiser that lie directly beside it.
    begin_s, end_s : float arrays (n_axles,)
        When each axle was on the array of its own lane, in seconds of the clip.

    Returns
    -------
    bool
        At least half the axles meet a one-sided touch of one other lane.
    """
    for lane in scale.others:
        signals = condition([clip], Scales([Scale(lane, scale.gains)]))
        touches = find_contacts(signals)
        enter_s, leave_s = touches.enter / clip.rate_hz, touches.leave / clip.rate_hz
        together = (enter_s < end_s[:, None]) & (leave_s > begin_s[:, None])
        met = (together & _one_sided(signals, touches)).any(axis=1)
        if met.mean() >= _SHARE_OF_AXLES:
            return True
    return False


def _one_sided(signals: Signals, touches: Contacts) -> Bools:
    """Which touches pressed on one side only."""
    where, a, b = (touches.clip, touches.row), touches.start, touches.end
    level = signals.level_at(*where, (a + b) / 2)
    area = touches.sums().T - level * (b - a)[:, None]
    return np.asarray(area.min(axis=1) < _ONE_SIDED * area.max(axis=1))
