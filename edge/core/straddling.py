"""One vehicle on two lanes: wheels of one side here, the other side there, at one moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.core.clip import Signals, condition
from edge.core.conditioning import floor_counts
from edge.records import Bools, Floats, Gains, LaneLayout, RawClip

__all__ = ["straddles"]

_ONE_SIDED = 0.15
_SHARE_OF_AXLES = 0.5


def straddles(
    clip: RawClip,
    others: Sequence[LaneLayout],
    gains: Gains,
    begin_s: Floats,
    end_s: Floats,
) -> bool:
    """Whether a vehicle that pressed on one side only had its other wheels on another lane.

    Parameters
    ----------
    clip : RawClip
    others : sequence of LaneLayout
        The other lanes of the digitiser.
    gains : Gains
    begin_s, end_s : float arrays (n_axles,)
        When each axle was on the array of its own lane, in seconds of the clip.

    Returns
    -------
    bool
        At least half the axles meet a one-sided touch of one other lane.
    """
    for lane in others:
        signals = condition(clip, lane.rows, gains, floor_counts((lane,), gains))
        met = np.zeros(len(begin_s), np.bool_)
        for r, touches in enumerate(signals.touches):
            enter_s, leave_s = touches.enter / clip.rate_hz, touches.leave / clip.rate_hz
            alone = _one_sided(signals, r)
            together = (enter_s < end_s[:, None]) & (leave_s > begin_s[:, None]) & alone
            met |= together.any(axis=1)
        if met.mean() >= _SHARE_OF_AXLES:
            return True
    return False


def _one_sided(signals: Signals, row: int) -> Bools:
    """Which touches of a row pressed on one side only."""
    touches = signals.touches[row]
    a, b = touches.start, touches.end
    level = signals.level_at(((a + b) / 2)[:, None, None])[:, row].T
    area = signals.total[row][:, b] - signals.total[row][:, a] - level * (b - a)
    return np.asarray(area.min(axis=0) < _ONE_SIDED * area.max(axis=0))
