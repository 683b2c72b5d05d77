"""How a vehicle moved over the array, from the moments at which its axles met the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.records import Floats, Indices

__all__ = ["Motion", "follow"]

_POSITION_U_M = 0.002
"""Standard uncertainty of a row's surveyed position."""

_CUBIC_FREEDOM = 6
"""Degrees of freedom from which a change of acceleration is fitted as well."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """How a vehicle moved over the array, and how far its axles stand behind the first.

    ``coefficients`` give the way ``sum(c[k] * (t - t0_s)**(k+1))``; ``behind_m`` is (n_axles,) and
    ``covariance`` covers the coefficients; ``residual_m`` is the standard deviation of the fit.
    """

    t0_s: float
    coefficients: Floats
    covariance: Floats
    behind_m: Floats
    u_spacing_m: Floats
    residual_m: float

    def way_m(self, time_s: Floats) -> Floats:
        """Way travelled at a time, from the time ``t0_s`` on."""
        t = time_s - self.t0_s
        return np.asarray(sum(c * t ** (k + 1) for k, c in enumerate(self.coefficients)))

    def speed_mps(self, time_s: Floats) -> Floats:
        """Speed at a time."""
        t = time_s - self.t0_s
        return np.asarray(sum((k + 1) * c * t**k for k, c in enumerate(self.coefficients)))

    @property
    def u_speed_mps(self) -> float:
        """Standard uncertainty of the speed in the middle of the passage."""
        return float(np.sqrt(self.covariance[0, 0]))

    @property
    def acceleration_mps2(self) -> float:
        """Acceleration in the middle of the passage, 0 where it was not fitted."""
        return 2 * float(self.coefficients[1]) if len(self.coefficients) > 1 else 0.0

    @property
    def u_acceleration_mps2(self) -> float:
        """Standard uncertainty of the acceleration, infinite where it was not fitted."""
        return 2 * float(np.sqrt(self.covariance[1, 1])) if len(self.coefficients) > 1 else np.inf


def follow(centre_s: Floats, position_m: Floats, u_time_s: float) -> Motion:
    """Fit one motion to all axles and rows by least squares.

    A row at ``x`` is met by axle ``i`` when the way of the vehicle is ``x + behind[i]``. With the
    axles' means taken out, speed, acceleration and (with enough touches) its change are linear.

    Parameters
    ----------
    centre_s : float array (n_axles, n_rows)
        NaN where a row did not see the axle; at least one axle seen by two rows.
    position_m : float array (n_rows,)
    u_time_s : float
        Standard uncertainty of one centre.

    Raises
    ------
    ValueError
        No axle was seen by two rows: there is no speed in the data.
    """
    seen = ~np.isnan(centre_s)
    per_axle = seen.sum(axis=1)
    freedom = int((per_axle[per_axle > 0] - 1).sum())
    if freedom < 1:
        raise ValueError("no axle was seen by two rows")
    terms = 1 if freedom < 3 else 2 if freedom < _CUBIC_FREEDOM else 3
    t0_s = float(np.nanmean(centre_s))
    powers = np.stack([(centre_s - t0_s) ** (k + 1) for k in range(terms)])
    means = np.nansum(powers, axis=2) / np.maximum(per_axle, 1)
    x = np.where(seen, position_m, np.nan)
    mean_x = np.nansum(x, axis=1) / np.maximum(per_axle, 1)
    A = (powers - means[:, :, None])[:, seen].T
    y = (x - mean_x[:, None])[seen]
    scale = np.sqrt((A**2).sum(axis=0))
    inverse = np.linalg.inv((A / scale).T @ (A / scale)) / np.outer(scale, scale)
    coefficients = inverse @ (A.T @ y)
    left_m = y - A @ coefficients
    floor_m = float(np.hypot(_POSITION_U_M, coefficients[0] * u_time_s))
    spare = freedom - terms
    residual_m = float(np.sqrt((left_m**2).sum() / spare)) if spare > 0 else 0.0
    residual_m = max(residual_m, floor_m)
    behind_m = (means * coefficients[:, None]).sum(axis=0) - mean_x
    return Motion(
        t0_s,
        coefficients,
        inverse * residual_m**2,
        behind_m,
        _u_spacing(means, inverse, per_axle, residual_m),
        residual_m,
    )


def _u_spacing(means: Floats, inverse: Floats, per_axle: Indices, residual_m: float) -> Floats:
    """Spacing is a difference of means of the way: from the motion, and from each axle's times."""
    step = np.diff(means, axis=1)
    motion = np.einsum("ki,kl,li->i", step, inverse, step)
    each = 1 / np.maximum(per_axle, 1)
    return np.asarray(residual_m * np.sqrt(motion + each[1:] + each[:-1]))
