"""What a vehicle cannot be: doubt from the pattern of its axles and from its two sides.

Sensors that see loads alone can be fooled: by half a vehicle, by two that look like one, by wheels
that are partly beside the sensors. Each rule here names a pattern that no whole vehicle makes.
"""

from __future__ import annotations

import numpy as np

from edge.core.axles import first_axles
from edge.core.leaning import Pressed, beside
from edge.core.parting import LEAST_BETWEEN_M, LEAST_STEER_M
from edge.core.quality import bits
from edge.records import Bools, Flag, FlagBits, Floats, Indices

__all__ = ["doubts"]

_OFF_SHARE = 0.15
_DRIFT_SHARE, _DRIFT_OF_U = 0.15, 6.0
"""So much of the load never moves from side to side between two rows; on a rough road it is more,
by so many relative uncertainties of the axle loads."""

_AXLE_SHARE = 0.30
"""Least part of an axle's load on one side that is believed."""


def doubts(
    pressed: Pressed,
    spacing_m: Floats,
    vehicle: Indices,
    known: FlagBits,
    apart: bool,
) -> FlagBits:
    """Flags of vehicles that can't be what they seem: (n_vehicles,).

    Parameters
    ----------
    pressed : Pressed
    spacing_m : float array (n_axles - 1,)
        Between axles that follow each other; between two vehicles it means nothing.
    vehicle : int array (n_axles,)
        Number of each axle's vehicle, rising from 0 without a hole.
    known : uint32 array (n_vehicles,)
        What is known already; with ``SEPARATOR_FAULT`` only distance parted the vehicle.
    apart : bool
        Whether the lane has a separator.
    """
    first, count = first_axles(vehicle, len(known)), np.bincount(vehicle)
    fault = (known & np.uint32(Flag.SEPARATOR_FAULT)) > 0
    alone = fault | np.bool_(not apart)
    ambiguous = count == 1
    if alone.any():
        ambiguous |= alone & (_headless(spacing_m, first, count) | _two(spacing_m, vehicle, first))
    u_mean_rel = np.add.reduceat(pressed.u_load_rel, first) / count
    off = _one_sided(pressed, first)
    off |= _drifts(pressed.wheel_kg, first, u_mean_rel)
    off |= beside(pressed, first, count, u_mean_rel)
    return bits({Flag.AMBIGUOUS: ambiguous, Flag.WHEEL_OFF: off})


def _headless(spacing_m: Floats, first: Indices, count: Indices) -> Bools:
    """Vehicles that begin with a bogie: the front of a vehicle is missing."""
    padded = np.concatenate([spacing_m, [np.inf]])
    return np.asarray((count > 1) & (padded[first] < LEAST_STEER_M))


def _two(spacing_m: Floats, vehicle: Indices, first: Indices) -> Bools:
    """Vehicles in which a second one may begin: a wide gap, a lone axle, another axle behind it."""
    found = np.zeros(len(first), np.bool_)
    third = vehicle[2:-1]
    same = (vehicle[:-3] == third) & (vehicle[3:] == third)
    begins = (spacing_m[1:-1] > LEAST_BETWEEN_M) & (spacing_m[2:] > LEAST_STEER_M)
    found[third[same & begins]] = True
    return found


def _one_sided(pressed: Pressed, first: Indices) -> Bools:
    """Vehicles of which a side pressed too little, on a row or of an axle."""
    one, other = pressed.wheel_kg[:, :, 0], pressed.wheel_kg[:, :, 1]
    off = (np.minimum(one, other) < _OFF_SHARE * np.maximum(one, other)).any(axis=1)
    left, right = pressed.side_kg[:, 0], pressed.side_kg[:, 1]
    off |= np.minimum(left, right) < _AXLE_SHARE * (left + right)
    return np.asarray(np.logical_or.reduceat(off, first))


def _drifts(wheel_kg: Floats, first: Indices, u_mean_rel: Floats) -> Bools:
    """Vehicles of which a side pressed ever less, from row to row."""
    rows = np.add.reduceat(wheel_kg, first)
    left = rows[:, :, 0]
    share = left / np.maximum(left + rows[:, :, 1], 1.0)
    drift = share.max(axis=1) - share.min(axis=1)
    return np.asarray(drift > np.maximum(_DRIFT_SHARE, _DRIFT_OF_U * u_mean_rel))
