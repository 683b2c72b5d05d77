"""How vehicles moved over the array, from the moments at which their axles met the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.core.axles import first_axles
from edge.core.consensus import filled, sum_along
from edge.records import Floats, Indices

__all__ = ["Motion", "follow"]

_POSITION_U_M = 0.002
"""Standard uncertainty of a row's surveyed position."""

_TERMS = 3
_SQUARE_FREEDOM, _CUBIC_FREEDOM = 3, 6
"""Degrees of freedom from which an acceleration, and a change of it, are fitted as well."""

_NUMBERS = np.arange(_TERMS)
_ONE = np.array([0, 1, 1, 2, 2, 2, 0, 1, 2])
_OTHER = np.array([0, 0, 1, 0, 1, 2, 3, 3, 3])
"""Products of columns that are summed: the lower half of the normal matrix, and the right side."""
_NORMAL = np.array([[0, 1, 3], [1, 2, 4], [3, 4, 5]])
_DIAGONAL = np.array([0, 2, 5])
_EYE = np.eye(_TERMS)


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
        c = self.coefficients.take(vehicle, axis=0)
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
    first = first_axles(vehicle, int(vehicle[-1]) + 1)
    unseen = np.isnan(centre_s)
    holes = unseen if unseen.any() else None
    per_axle = len(position_m) - unseen.sum(axis=1)
    freedom = np.add.reduceat(np.maximum(per_axle - 1, 0), first)
    if freedom.min() < 1:
        raise ValueError("no axle was seen by two rows")
    terms = 1 + (freedom >= _SQUARE_FREEDOM) + (freedom >= _CUBIC_FREEDOM)
    t0_s = np.add.reduceat(sum_along(filled(centre_s, holes)), first)
    t0_s /= np.add.reduceat(per_axle, first)
    # Powers of time and, last, the rows' positions: (n_axles, n_rows) each.
    columns = np.empty((_TERMS + 1, *centre_s.shape))
    t = np.subtract(centre_s, t0_s[vehicle][:, None], out=columns[0])
    np.multiply(np.multiply(t, t, out=columns[1]), t, out=columns[2])
    columns[_TERMS] = position_m
    columns = filled(columns, holes)
    means = sum_along(columns) / np.maximum(per_axle, 1)
    columns = filled(columns - means[:, :, None], holes)
    inverse, coefficients = _solved(columns, first, terms)
    of_axle = coefficients.take(vehicle, axis=0).T
    parts_m = columns[:_TERMS] * of_axle[:, :, None]
    left_m = columns[_TERMS] - (parts_m[0] + parts_m[1] + parts_m[2])
    floor_m = np.hypot(_POSITION_U_M, coefficients[:, 0] * u_time_s)
    spare = freedom - terms
    scatter_m2 = np.add.reduceat(sum_along(left_m * left_m), first)
    residual_m = np.where(spare > 0, np.sqrt(scatter_m2 / np.maximum(spare, 1)), 0.0)
    residual_m = np.maximum(residual_m, floor_m)
    way_m = means[:_TERMS] * of_axle
    return Motion(
        vehicle,
        t0_s,
        coefficients,
        inverse * (residual_m * residual_m)[:, None, None],
        way_m[0] + way_m[1] + way_m[2] - means[_TERMS],
        _u_spacing(means[:_TERMS], inverse, per_axle, residual_m, vehicle),
        residual_m,
    )


def _solved(columns: Floats, first: Indices, terms: Indices) -> tuple[Floats, Floats]:
    """Inverse of the normal matrix and coefficients of each vehicle; unused terms are zero."""
    products = np.add.reduceat(sum_along(columns[_ONE] * columns[_OTHER]), first, axis=1)
    normal, right = products[_NORMAL].transpose(2, 0, 1), products[len(_ONE) - _TERMS :].T
    used = terms[:, None] > _NUMBERS
    both = used[:, :, None] & used[:, None, :]
    scale = np.where(used, np.sqrt(products[_DIAGONAL].T), 1.0)
    outer = scale[:, :, None] * scale[:, None]
    inverse = np.linalg.inv(np.where(both, normal / outer, _EYE))
    inverse = np.where(both, inverse / outer, 0.0)
    return inverse, sum_along(inverse * right[:, None, :])


def _u_spacing(
    means: Floats, inverse: Floats, per_axle: Indices, residual_m: Floats, vehicle: Indices
) -> Floats:
    """Spacing is a difference of means of the way: from the motion, and from each axle's times."""
    step, own = means[:, 1:] - means[:, :-1], inverse.take(vehicle[1:], axis=0)
    outer = step[:, None] * own.transpose(1, 2, 0) * step[None]
    motion = sum_along(outer.reshape(_TERMS * _TERMS, -1).T)
    each = 1 / np.maximum(per_axle, 1)
    # Rounding may leave a hair less than nothing of a spacing that is hardly known to the motion.
    u2 = np.maximum(motion, 0.0) + each[1:] + each[:-1]
    return np.asarray(residual_m[vehicle[1:]] * np.sqrt(u2))
