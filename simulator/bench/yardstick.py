"""A plain NumPy weigher to compare with: what one writes in an afternoon, knowing the signals.

It is given each lorry's window, takes the median of both ends as the baseline, smooths with a box,
cuts pulses at a low fixed threshold and sums them. No stream, no drift, no doubt, no uncertainty,
no missed or extra pulse: a floor for speed, not a fair rival (facts: peers C.5).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.records import STANDARD_GRAVITY_MPS2, Floats, Int32s, Row

__all__ = ["weigh_window"]

_ENDS = 0.05
_BOX = 9
_THRESHOLD_N = 600.0


def weigh_window(
    counts: Int32s, rows: Sequence[Row], rate_hz: float, newton_per_count: float
) -> Floats:
    """Axle loads in kilograms of the one lorry in ``counts`` (n, n_channels), (n_axles,)."""
    force_n = counts * newton_per_count
    end = max(1, int(len(counts) * _ENDS))
    force_n -= np.median(np.concatenate([force_n[:end], force_n[-end:]]), axis=0)
    sums = np.cumsum(np.concatenate([np.zeros((1, force_n.shape[1])), force_n]), axis=0)
    smooth = (sums[_BOX:] - sums[:-_BOX]) / _BOX
    centres, areas = [], []
    for row in rows:
        over = smooth[:, row.left] + smooth[:, row.right] > _THRESHOLD_N
        edges = np.flatnonzero(np.diff(over.astype(np.int8), prepend=0, append=0))
        start, stop = np.maximum(edges[::2] - _BOX, 0), np.minimum(edges[1::2] + _BOX, len(counts))
        pair = sums[:, row.left] + sums[:, row.right]
        areas.append((pair[stop] - pair[start]) / rate_hz / row.width_m)
        centres.append((start + stop) / 2 / rate_hz)
    n_axles = min(len(c) for c in centres)
    took_s = centres[-1][:n_axles] - centres[0][:n_axles]
    speed_mps = (rows[-1].position_m - rows[0].position_m) / took_s
    area = np.mean([a[:n_axles] for a in areas], axis=0)
    return np.asarray(area * speed_mps / STANDARD_GRAVITY_MPS2)
