"""What the data lack: samples that were lost, and converters that stood at their end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.core.sight import Sight
from edge.records import Bools, Floats, RawClip

__all__ = ["in_gap", "saturated", "torn"]


def saturated(sight: Sight) -> Bools:
    """Which axles have a pulse in which a converter stood at its end: (n_axles,)."""
    hit = sight.pulses.saturated(sight.place + sight.start, sight.place + sight.end)
    return np.asarray(hit.any(axis=1))


def _gaps_s(clip: RawClip) -> list[tuple[float, float]]:
    """Begin and end of each gap in seconds of the clip."""
    first = clip.first_sample
    return [((s - first) / clip.rate_hz, (s - first + n) / clip.rate_hz) for s, n in clip.gaps]


def in_gap(clips: Sequence[RawClip], sight: Sight) -> Bools:
    """Which axles were on a row while samples were lost: (n_axles,)."""
    hit = np.zeros(len(sight.start), np.bool_)
    for v, clip in enumerate(clips):
        for begin_s, end_s in _gaps_s(clip):
            touched = ((sight.enter_s < end_s) & (sight.leave_s > begin_s)).any(axis=1)
            hit |= touched & (sight.vehicle == v)
    return hit


def torn(clips: Sequence[RawClip], first_s: Floats, last_s: Floats) -> Bools:
    """Which vehicles were on the array while samples were lost."""
    gaps = [_gaps_s(clip) for clip in clips]
    ends = zip(gaps, first_s.tolist(), last_s.tolist(), strict=True)
    return np.array([any(a < last and b > first for a, b in own) for own, first, last in ends])
