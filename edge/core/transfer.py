"""Load that braking, pulling away and a slope move between the axles of one vehicle.

The inertia of a vehicle acts at its middle, above the road: ``m a h`` tilts it, and the axles take
that up in proportion to their distance from their middle. A slope tilts it as an acceleration of
``g`` times its rise does. The height of the middle is not seen; it is known for lorries to about a
fifth. The sum over the axles does not change, so gross weight has no part in this.
"""

from __future__ import annotations

import numpy as np

from edge.records import STANDARD_GRAVITY_MPS2, Floats, Indices

__all__ = ["load_transfer"]

_HEIGHT_M, _LOW_HEIGHT_M = 1.6, 0.6
_LOW_KG = 3_000.0
"""Lighter vehicles are cars and vans."""
_U_HEIGHT_REL = 0.35
"""Of the height, and of how the springs share what it moves."""
_SIGNIFICANT = 3.0
_STEADY_MPS2 = 0.1
"""Nobody drives more evenly than this, and who is not seen to differ from it does not brake."""


def load_transfer(
    load_kg: Floats,
    behind_m: Floats,
    vehicle: Indices,
    acceleration_mps2: Floats,
    u_acceleration_mps2: Floats,
    grade: float,
) -> tuple[Floats, Floats]:
    """What the axles carry beyond their static loads on level ground.

    Parameters
    ----------
    load_kg, behind_m : float array (n_axles,)
        Measured loads, and how far each axle stands behind its vehicle's first.
    vehicle : int array (n_axles,)
        Number of each axle's vehicle, from 0 on.
    acceleration_mps2, u_acceleration_mps2 : float array (n_axles,)
        Of the vehicle along the lane. One that is not significant counts as none; it adds to the
        uncertainty as far as drivers do vary.
    grade : float
        Rise of the lane over its length, positive uphill.

    Returns
    -------
    transfer_kg : float array (n_axles,)
        To be taken off the loads; each vehicle's sum is zero.
    u_transfer_kg : float array (n_axles, 2)
        What one standard uncertainty of the acceleration, and of the height, does to each axle.
    """
    n_axles = np.bincount(vehicle)
    gross_kg = np.bincount(vehicle, load_kg)
    arm_m = behind_m - (np.bincount(vehicle, behind_m) / n_axles)[vehicle]
    square_m2 = np.maximum(np.bincount(vehicle, arm_m**2), 1e-6)
    height_m = np.where(gross_kg < _LOW_KG, _LOW_HEIGHT_M, _HEIGHT_M)
    per_mps2 = (gross_kg * height_m / square_m2)[vehicle] * arm_m / STANDARD_GRAVITY_MPS2
    significant = np.abs(acceleration_mps2) > _SIGNIFICANT * u_acceleration_mps2
    u_mps2 = np.where(
        significant, u_acceleration_mps2, np.minimum(u_acceleration_mps2, _STEADY_MPS2)
    )
    moved_mps2 = np.where(significant, acceleration_mps2, 0.0) + STANDARD_GRAVITY_MPS2 * grade
    transfer_kg = per_mps2 * moved_mps2
    causes = np.array([per_mps2 * u_mps2, _U_HEIGHT_REL * transfer_kg])
    return transfer_kg, causes.T
