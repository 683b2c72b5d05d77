"""Wheel ends: what hangs between the road and the body at each wheel of a vehicle.

Sets of values: Cebon's loaded wheel end (steel), a soft air set, scaled with load and tyres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.records import STANDARD_GRAVITY_MPS2, Floats
from simulator.fleet import SimVehicle

_CONTACT_OF_CHORD = 0.65
"""The contact patch is shorter than the chord at the tyre's deflection: the tread curls up."""


@dataclass(frozen=True, slots=True, eq=False)
class WheelEnds:
    """Wheel ends of one vehicle; every array is (n_axles, 2), left and right."""

    sprung_kg: Floats
    unsprung_kg: Floats
    spring_npm: Floats
    damper_nspm: Floats
    tyre_npm: Floats
    tyre_damping_nspm: Floats
    tyre_radius_m: float = 0.5

    @property
    def static_n(self) -> Floats:
        """Weight on each wheel in newtons."""
        return (self.sprung_kg + self.unsprung_kg) * STANDARD_GRAVITY_MPS2

    @property
    def contact_m(self) -> Floats:
        """Length of the contact patch from the tyre's deflection under the static load."""
        chord_m = 2 * np.sqrt(2 * self.tyre_radius_m * self.static_n / self.tyre_npm)
        return _CONTACT_OF_CHORD * chord_m


def wheel_ends(vehicle: SimVehicle) -> WheelEnds:
    """The wheel ends of a vehicle under its static loads."""
    right = np.array(vehicle.right_share)
    wheel_kg = np.array(vehicle.axle_kg)[:, None] * np.stack([1 - right, right], axis=1)
    kind = vehicle.chassis
    twin = np.array(vehicle.twin)[:, None] & np.ones(2, bool)
    air = np.array(vehicle.air)[:, None]
    unsprung_kg = np.where(twin, kind.twin_unsprung_kg, kind.unsprung_kg)
    unsprung_kg = np.minimum(unsprung_kg, 0.45 * wheel_kg)
    load = wheel_kg / kind.rated_wheel_kg
    tyres = np.where(twin, 2.0, 1.0)
    return WheelEnds(
        wheel_kg - unsprung_kg,
        unsprung_kg,
        # Air bags hold their natural frequency: stiffness follows load. Leaf springs do not.
        np.where(air, 0.35e6 * load, np.where(twin, kind.twin_spring_npm, kind.spring_npm)),
        np.where(air, 20e3 * np.sqrt(load), kind.damper_nspm),
        tyres * kind.tyre_npm * (0.3 + 0.7 * vehicle.pressure_rel),
        tyres * kind.tyre_damping_nspm,
        kind.tyre_radius_m,
    )
