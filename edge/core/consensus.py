"""A row that contradicts all others: found by its distance, of one vehicle at a time.

Axles of one vehicle swing together, so a row may well be far off for all of them; it is believed
broken only where no swing of that vehicle explains it and all other rows agree among themselves.
Smaller faults show over many vehicles (``edge.core.learn``).
"""

from __future__ import annotations

import math

import numpy as np

from edge.core.modes import load_scale
from edge.core.swing import Swing
from edge.records import Bools, Floats, Indices

__all__ = ["contradicting", "filled", "mean_along", "sum_along"]

_BAD_ROW_SIGMA = 10.0
"""A row this far off the others, all axles alike, does not measure."""
_BAD_TO_GOOD = 6.0
"""It is further off by this than any other row: else it is the vehicle that swings."""
_LEAST_ROWS = 3
"""Two rows that contradict each other do not say which of them is wrong."""


def sum_along(values: Floats) -> Floats:
    """Sum over the last axis from left to right, whatever the shape: the same bits always."""
    return np.asarray(np.add.accumulate(values, axis=-1)[..., -1])


def filled(values: Floats, holes: Bools | None) -> Floats:
    """Values, 0 in the holes; ``None`` tells that there are none."""
    return values if holes is None else np.where(holes, 0.0, values)


def mean_along(values: Floats, holes: Bools | None) -> Floats:
    """Mean along the last axis of what is no hole, 0 where all is."""
    count = values.shape[-1] if holes is None else np.maximum((~holes).sum(axis=1), 1)
    return np.asarray(sum_along(filled(values, holes)) / count)


def contradicting(
    load_kg: Floats, row: Indices, valid: Bools, swing: Swing, vehicle: Indices
) -> Bools:
    """Readings of a row that all axles of a vehicle contradict while all other rows agree.

    Parameters
    ----------
    load_kg : float array (n_axles, n_observations)
    row : int array (n_observations,)
    valid : bool array (n_axles, n_observations)
    swing : Swing
        What the axles may be expected to do.
    vehicle : int array (n_axles,)

    Returns
    -------
    bool array (n_axles, n_observations)
        One row of a vehicle at most, of three or more.
    """
    n_rows = int(row.max()) + 1
    if n_rows < _LEAST_ROWS:
        return np.zeros(valid.shape, np.bool_)
    if _plainly_agree(load_kg, swing, vehicle):
        return np.zeros(valid.shape, np.bool_)
    load, known = _rows(load_kg, row, valid, n_rows)
    middle = np.maximum(_median(load, known), 1.0)
    off = np.where(known, load / middle[:, None] - 1, 0.0)
    sums = _by_vehicle(np.concatenate([known, off], axis=1), vehicle)
    n_axles = np.maximum(sums[:, :n_rows], 1)
    mean_off = sums[:, n_rows:] / n_axles
    swings = (swing.variance_of_all + swing.lie)[:, None] * load_scale(middle)[:, None] ** 2
    together = swing.axle_correlation[:, None]
    alike = together + (1 - together) / n_axles
    far = np.abs(mean_off) / np.sqrt(swings * alike)
    bad = far > _BAD_ROW_SIGMA
    if not bad.any():
        return np.asarray(bad[:, row])
    ranked = np.sort(far, axis=1)
    single = (ranked[:, -1] > _BAD_TO_GOOD * ranked[:, -2]) & (known.sum(axis=1) >= _LEAST_ROWS)
    return np.asarray(valid & (bad & single[:, None])[:, row])


def _plainly_agree(load_kg: Floats, swing: Swing, vehicle: Indices) -> bool:
    """Whether no reading is far enough from any other for its row to contradict them.

    Nearly all vehicles are so, and this is sooner said: no median lies outside the readings, and
    what the widest of all is off by is held against the least that any axle swings.
    """
    lowest = np.fmin.reduce(load_kg, axis=1)
    if not lowest.min() >= 1.0:
        return False
    most_off = float((np.fmax.reduce(load_kg, axis=1) / lowest).max()) - 1
    together, n_axles = float(swing.axle_correlation.min()), int(np.bincount(vehicle).max())
    alike = together + (1 - together) / n_axles
    least = float((swing.variance_of_all + swing.lie).min())
    swings = least * float(load_scale(lowest.max() * (1 + most_off))) ** 2 * alike
    return most_off < 0.9 * _BAD_ROW_SIGMA * math.sqrt(swings)


def _rows(load_kg: Floats, row: Indices, valid: Bools, n_rows: int) -> tuple[Floats, Bools]:
    """What each row says of each axle, the mean of its readings, and whether it says anything."""
    if len(row) == n_rows:
        load, known = np.empty(load_kg.shape), np.empty(valid.shape, np.bool_)
        load[:, row], known[:, row] = np.where(valid, load_kg, 0.0), valid
        return load, known
    by_row = [(load_kg[:, row == r], valid[:, row == r]) for r in range(n_rows)]
    load = np.stack([mean_along(x, ~own) for x, own in by_row], axis=1)
    return load, np.stack([own.any(axis=1) for _, own in by_row], axis=1)


def _median(values: Floats, known: Bools) -> Floats:
    """Lower median over the known values of each line: half the rows would have to be wrong.

    A line without a known value has the median 0.
    """
    ranked = np.sort(np.where(known, values, np.inf), axis=1)
    middle = np.maximum(known.sum(axis=1) - 1, 0) // 2
    return np.where(known.any(axis=1), ranked[np.arange(len(values)), middle], 0.0)


def _by_vehicle(values: Floats, vehicle: Indices) -> Floats:
    """Sums (n_axles, n) over all axles of each axle's vehicle."""
    n = values.shape[1]
    place = vehicle[:, None] * n + np.arange(n)
    sums = np.asarray(np.bincount(place.ravel(), values.ravel()), np.float64)
    return np.asarray(sums.reshape(-1, n)[vehicle])
