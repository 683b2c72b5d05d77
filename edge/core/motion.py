"""How vehicles moved over the array, from the moments at which their axles met the rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from edge.records import Floats, Indices

__all__ = ["Motion", "follow"]

_POSITION_U_M = 0.002
"""Standard uncertainty of a row's surveyed position."""

_TERMS = 3
_CUBIC_FREEDOM = 6
"""Degrees of freedom from which a change of acceleration is fitted as well."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """How vehicles moved over the array, and how far their axles stand behind the first.

    Attributes
    ----------
    vehicle : int64 array (n_axles,)
    t0_s : float array (n_vehicles,)
    coefficients : float array (n_vehicles, 3)
        The way is ``sum(c[k] * (t - t0_s)**(k+1))``; terms that were not fitted are zero.
    covariance : float array (n_vehicles, 3, 3)
    behind_m : float array (n_axles,)
    u_spacing_m : float array (n_axles - 1,)
        Of the distance to the next axle; without meaning where that is another vehicle's.
    residual_m : float array (n_vehicles,)
        Standard deviation of the fit.
    """

    vehicle: Indices
    t0_s: Floats
    coefficients: Floats
    covariance: Floats
    behind_m: Floats
    u_spacing_m: Floats
    residual_m: Floats

    def speed_mps(self, time_s: Floats) -> Floats:
        """Speed of each axle's vehicle at times (n_axles, n)."""
        return self.speed_of(time_s, self.vehicle[:, None])

    def speed_of(self, time_s: Floats, vehicle: Indices) -> Floats:
        """Speed of vehicles at times of the same shape."""
        t = time_s - self.t0_s[vehicle]
        c = self.coefficients[vehicle]
        return np.asarray(c[..., 0] + t * (2 * c[..., 1] + t * (3 * c[..., 2])))

    @property
    def u_speed_mps(self) -> Floats:
        """Standard uncertainty of the speed in the middle of the passage: (n_vehicles,)."""
        return np.asarray(np.sqrt(self.covariance[:, 0, 0]))

    @property
    def acceleration_mps2(self) -> Floats:
        """Acceleration in the middle of the passage, 0 where it was not fitted: (n_vehicles,)."""
        return np.asarray(2 * self.coefficients[:, 1])

    @property
    def u_acceleration_mps2(self) -> Floats:
        """Standard uncertainty of the acceleration, infinite where it was not fitted."""
        variance = self.covariance[:, 1, 1]
        return np.where(variance > 0, 2 * np.sqrt(variance), np.inf)


def follow(centre_s: Floats, position_m: Floats, u_time_s: float, vehicle: Indices) -> Motion:
    """Fit one motion to all axles and rows of each vehicle by least squares.

    A row at ``x`` is met by axle ``i`` when the way of the vehicle is ``x + behind[i]``. With the
    axles' means taken out, speed, acceleration and (with enough touches) its change are linear.
    Sums run in an order that the vehicle alone fixes.

    Parameters
    ----------
    centre_s : float array (n_axles, n_rows)
        NaN where a row did not see the axle; at least one axle of a vehicle seen by two rows.
    position_m : float array (n_rows,)
    u_time_s : float
        Standard uncertainty of one centre.
    vehicle : int64 array (n_axles,)
        Number of each axle's vehicle, from 0 on in order without holes.

    Raises
    ------
    ValueError
        No axle of a vehicle was seen by two rows: there is no speed in the data.
    """
    first = np.flatnonzero(np.diff(vehicle, prepend=-1))
    seen = ~np.isnan(centre_s)
    per_axle = seen.sum(axis=1)
    freedom = np.add.reduceat(np.maximum(per_axle - 1, 0), first)
    if freedom.min() < 1:
        raise ValueError("no axle was seen by two rows")
    terms = np.where(freedom < 3, 1, np.where(freedom < _CUBIC_FREEDOM, 2, _TERMS))
    number = np.maximum(per_axle, 1)
    t0_s = np.add.reduceat(_across(np.where(seen, centre_s, 0.0)), first)
    t0_s /= np.add.reduceat(per_axle, first)
    t = np.where(seen, centre_s - t0_s[vehicle][:, None], 0.0)
    powers = [t, t * t, t * t * t]
    means = np.stack([_across(p) / number for p in powers])
    mean_x = _across(np.where(seen, position_m, 0.0)) / number
    design = [np.where(seen, p - m[:, None], 0.0) for p, m in zip(powers, means, strict=True)]
    y = np.where(seen, position_m - mean_x[:, None], 0.0)
    inverse, coefficients = _solved(design, y, first, terms)
    of_axle = coefficients[vehicle].T
    left_m = y - sum(d * c[:, None] for d, c in zip(design, of_axle, strict=True))
    floor_m = np.hypot(_POSITION_U_M, coefficients[:, 0] * u_time_s)
    spare = freedom - terms
    scatter_m2 = np.add.reduceat(_across(left_m * left_m), first)
    residual_m = np.where(spare > 0, np.sqrt(scatter_m2 / np.maximum(spare, 1)), 0.0)
    residual_m = np.maximum(residual_m, floor_m)
    return Motion(
        vehicle,
        t0_s,
        coefficients,
        inverse * (residual_m**2)[:, None, None],
        np.asarray(sum(m * c for m, c in zip(means, of_axle, strict=True)) - mean_x),
        _u_spacing(means, inverse, per_axle, residual_m, vehicle),
        residual_m,
    )


def _across(values: Floats) -> Floats:
    """Sum over the rows from the first to the last: the same bits for any number of axles."""
    return reduce(np.add, values.T)


def _solved(
    design: list[Floats], y: Floats, first: Indices, terms: Indices
) -> tuple[Floats, Floats]:
    """Inverse of the normal matrix and coefficients of each vehicle; unused terms are zero."""
    n = len(first)
    normal, right = np.empty((n, _TERMS, _TERMS)), np.empty((n, _TERMS))
    for k in range(_TERMS):
        right[:, k] = np.add.reduceat(_across(design[k] * y), first)
        for j in range(k + 1):
            normal[:, k, j] = np.add.reduceat(_across(design[k] * design[j]), first)
            normal[:, j, k] = normal[:, k, j]
    used = np.arange(_TERMS) < terms[:, None]
    both = used[:, :, None] & used[:, None, :]
    scale = np.where(used, np.sqrt(normal[:, range(_TERMS), range(_TERMS)]), 1.0)
    outer = scale[:, :, None] * scale[:, None, :]
    inverse = np.linalg.inv(np.where(both, normal / outer, np.eye(_TERMS)))
    inverse = np.where(both, inverse / outer, 0.0)
    return inverse, np.stack([_across(inverse[:, k] * right) for k in range(_TERMS)], axis=1)


def _u_spacing(
    means: Floats, inverse: Floats, per_axle: Indices, residual_m: Floats, vehicle: Indices
) -> Floats:
    """Spacing is a difference of means of the way: from the motion, and from each axle's times."""
    step, own = np.diff(means, axis=1), inverse[vehicle[1:]]
    motion = np.zeros(len(vehicle) - 1)
    for k in range(_TERMS):
        for j in range(_TERMS):
            motion += step[k] * own[:, k, j] * step[j]
    each = 1 / np.maximum(per_axle, 1)
    # Rounding may leave a hair less than nothing of a spacing that is hardly known to the motion.
    u2 = np.maximum(motion, 0.0) + each[1:] + each[:-1]
    return np.asarray(residual_m[vehicle[1:]] * np.sqrt(u2))
