"""What a vehicle cannot be: doubt from the pattern of its axles and from its two sides.

Sensors that see loads alone can be fooled: by half a vehicle, by two that look like one, by wheels
that are partly beside the sensors. Each rule here names a pattern that no whole vehicle makes.
"""

from __future__ import annotations

import numpy as np

from edge.records import Bools, Flag, FlagBits, Floats, Indices

__all__ = ["doubts"]

_LEAST_STEER_M = 1.6
"""Twin steering axles stand farther apart than this, axles of a bogie nearer (GB 1589 types)."""

_LEAST_BETWEEN_M = 3.0
"""Last axle to the next vehicle's first: two overhangs and some clear road."""

_COASTING_MPS = 6.0
"""A slower vehicle may stop within the longest spacing: time no longer tells distance."""

_OFF_SHARE = 0.15
_DRIFT_SHARE = 0.15
"""So much of the load never moves from side to side between two rows."""

_AXLE_SHARE = 0.30
"""Least part of an axle's load on one side that is believed."""

_FRONT_ASKEW, _REAR_ASKEW = 0.055, 0.045
"""How far the sides' shares of the first axle, and of the rear half, may lie from one half.

A wheel that is partly beside its sensor loses load on that side while the other one may reach over
the seam in the middle and make up for it; narrow steering tyres and wide twins do so at different
places, so that either the first axle or the rear lies askew (by 0.05 at least, wherever it is).
"""


def doubts(
    wheel_kg: Floats,
    spacing_m: Floats,
    vehicle: Indices,
    speed_mps: Floats,
    known: FlagBits,
    apart: bool,
) -> FlagBits:
    """Flags of vehicles that can't be what they seem: (n_vehicles,).

    Parameters
    ----------
    wheel_kg : float array (n_axles, n_rows, 2)
        Left and right of every row, NaN where unseen; axles of all vehicles, one after the other.
    spacing_m : float array (n_axles - 1,)
        Between axles that follow each other; between two vehicles it means nothing.
    vehicle : int array (n_axles,)
        Number of each axle's vehicle, rising from 0 without a hole.
    speed_mps : float array (n_vehicles,)
    known : uint32 array (n_vehicles,)
        What is known already; with ``SEPARATOR_FAULT`` only distance parted the vehicle.
    apart : bool
        Whether the lane has a separator.
    """
    first = np.flatnonzero(np.diff(vehicle, prepend=-1))
    count = np.diff(np.append(first, len(vehicle)))
    fault = (known & Flag.SEPARATOR_FAULT) > 0
    alone = fault | (not apart)
    checks = {
        Flag.AMBIGUOUS: (count == 1)
        | (fault & (speed_mps < _COASTING_MPS))
        | (alone & (_headless(spacing_m, first, count) | _two(spacing_m, vehicle, first))),
        Flag.WHEEL_OFF: _one_sided(wheel_kg, vehicle, first),
    }
    flags = np.zeros(len(first), np.uint32)
    for flag, found in checks.items():
        flags |= np.where(found, np.uint32(flag), np.uint32(0))
    return flags


def _headless(spacing_m: Floats, first: Indices, count: Indices) -> Bools:
    """Vehicles that begin with a bogie: the front of a vehicle is missing."""
    padded = np.append(spacing_m, np.inf)
    return np.asarray((count > 1) & (padded[first] < _LEAST_STEER_M))


def _two(spacing_m: Floats, vehicle: Indices, first: Indices) -> Bools:
    """Vehicles in which a second one may begin: a wide gap, a lone axle, another axle behind it."""
    n = len(vehicle)
    found = np.zeros(len(first), np.bool_)
    i = np.arange(2, n - 1)
    same = (vehicle[i - 2] == vehicle[i]) & (vehicle[i + 1] == vehicle[i])
    begins = (spacing_m[i - 1] > _LEAST_BETWEEN_M) & (spacing_m[i] > _LEAST_STEER_M)
    found[vehicle[i[same & begins]]] = True
    return found


def _one_sided(wheel_kg: Floats, vehicle: Indices, first: Indices) -> Bools:
    """Vehicles of which a side pressed too little, on a row, of an axle, or in all."""
    lighter, heavier = np.fmin(*_sides(wheel_kg)), np.fmax(*_sides(wheel_kg))
    off = (lighter < _OFF_SHARE * heavier).any(axis=1)
    left, right = (np.nansum(side, axis=1) for side in _sides(wheel_kg))
    off |= np.minimum(left, right) < _AXLE_SHARE * (left + right)
    row_left, row_right = (np.add.reduceat(np.nan_to_num(s), first) for s in _sides(wheel_kg))
    drifts = np.ptp(row_left / np.maximum(row_left + row_right, 1.0), axis=1) > _DRIFT_SHARE
    return np.asarray(
        np.logical_or.reduceat(off, first) | drifts | _askew(left, right, vehicle, first)
    )


def _askew(left_kg: Floats, right_kg: Floats, vehicle: Indices, first: Indices) -> Bools:
    """Vehicles whose first axle and rear half lean to a side more than loads do."""
    place = np.arange(len(vehicle)) - first[vehicle]
    count = np.diff(np.append(first, len(vehicle)))
    terms = (
        (place == 0, _FRONT_ASKEW),
        (place >= ((count + 1) // 2)[vehicle], _REAR_ASKEW),
    )
    far = np.zeros(len(first))
    for part, most in terms:
        whole_kg = np.add.reduceat(np.where(part, left_kg + right_kg, 0.0), first)
        lean_kg = np.add.reduceat(np.where(part, left_kg - right_kg, 0.0), first)
        far += (lean_kg / np.maximum(2 * whole_kg, 1.0) / most) ** 2
    return np.asarray(far > 1)


def _sides(wheel_kg: Floats) -> tuple[Floats, Floats]:
    return wheel_kg[:, :, 0], wheel_kg[:, :, 1]
