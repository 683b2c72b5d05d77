"""Wheels that bounce: quarter cars solved in the frequency domain.

Each wheel end is a sprung mass on spring and damper over an unsprung mass on its tyre. At a steady
speed a wave of ``n`` cycles/m shakes it with ``n v`` hertz, so the tyre force along the road is the
spectrum of the profile times the receptance of the wheel: no time stepping, all wheels at once.
Sets of values: Cebon's loaded wheel end (steel), a soft air set, scaled with load and tyres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.records import STANDARD_GRAVITY_MPS2, Floats
from simulator.fleet import SimVehicle
from simulator.road import WAVE_PER_M, Spectrum, along

_RATED_WHEEL_KG = 5_000.0
"""Static load of the wheel end for which the sets below are given."""
_TYRE_NPM = 0.875e6
"""Vertical stiffness of one lorry tyre at its rated pressure."""
_TYRE_DAMPING_NSPM = 3e3
_TYRE_RADIUS_M = 0.5
_CONTACT_OF_CHORD = 0.65
"""The contact patch is shorter than the chord at the tyre's deflection: the tread curls up."""


@dataclass(frozen=True, slots=True, eq=False)
class WheelEnds:
    """Quarter cars of one vehicle; every array is (n_axles, 2), left and right."""

    sprung_kg: Floats
    unsprung_kg: Floats
    spring_npm: Floats
    damper_nspm: Floats
    tyre_npm: Floats
    tyre_damping_nspm: Floats

    @property
    def static_n(self) -> Floats:
        """Weight on each wheel in newtons."""
        return (self.sprung_kg + self.unsprung_kg) * STANDARD_GRAVITY_MPS2

    @property
    def contact_m(self) -> Floats:
        """Length of the contact patch from the tyre's deflection under the static load."""
        chord_m = 2 * np.sqrt(2 * _TYRE_RADIUS_M * self.static_n / self.tyre_npm)
        return _CONTACT_OF_CHORD * chord_m


def wheel_ends(vehicle: SimVehicle, wheel_kg: Floats) -> WheelEnds:
    """The quarter cars of a vehicle whose wheels weigh ``wheel_kg`` (n_axles, 2)."""
    twin = np.array(vehicle.twin)[:, None] & np.ones(2, bool)
    unsprung_kg = np.minimum(np.where(twin, 420.0, 300.0), 0.45 * wheel_kg)
    sprung_kg = wheel_kg - unsprung_kg
    air = np.array(vehicle.air)[:, None]
    load = wheel_kg / _RATED_WHEEL_KG
    steel_npm = np.where(twin, 1.0e6, 0.4e6)
    tyres = np.where(twin, 2.0, 1.0)
    return WheelEnds(
        sprung_kg,
        unsprung_kg,
        # Air bags hold their natural frequency: stiffness follows load. Leaf springs do not.
        np.where(air, 0.35e6 * load, steel_npm),
        np.where(air, 20e3 * np.sqrt(load), 15e3),
        tyres * _TYRE_NPM * (0.3 + 0.7 * vehicle.pressure_rel),
        tyres * _TYRE_DAMPING_NSPM,
    )


def receptance(ends: WheelEnds, frequency_hz: Floats) -> Spectrum:
    """Tyre force per metre of road height, N/m, complex (n_axles, 2, n_frequencies)."""
    w: Floats = 2 * np.pi * frequency_hz
    ms, mu = ends.sprung_kg[..., None], ends.unsprung_kg[..., None]
    k = ends.spring_npm[..., None] + 1j * w * ends.damper_nspm[..., None]
    t = ends.tyre_npm[..., None] + 1j * w * ends.tyre_damping_nspm[..., None]
    body = ms * w**2
    # K(1 - K/(K - ms w^2)): the suspension as the axle feels it, the body eliminated.
    suspension = -k * body / (k - body)
    return np.asarray(t * (1 - t / (t - mu * w**2 + suspension)), np.complex128)


def tyre_forces(ends: WheelEnds, profiles: Spectrum, speed_mps: float) -> Floats:
    """Static plus dynamic force along the road in newtons, (n_axles, 2, GRID), never negative.

    ``profiles`` (2, n) lie under the left and right wheels; the tyre averages over its patch.
    """
    patch = np.sinc(WAVE_PER_M * ends.contact_m[..., None])
    dynamic = along(receptance(ends, WAVE_PER_M * speed_mps) * patch * profiles)
    return np.maximum(ends.static_n[..., None] + dynamic, 0.0)


def load_transfer_kg(vehicle: SimVehicle, acceleration_mps2: float) -> Floats:
    """What braking or accelerating moves between axles, kg (n_axles,); the sum is zero.

    ``m a h / (g L)`` spread linearly about the middle of the axles.
    """
    behind_m = np.array(vehicle.axle_behind_m)
    arm_m = behind_m - behind_m.mean()
    moment_kgm = vehicle.gross_kg * acceleration_mps2 * vehicle.centre_height_m
    shift: Floats = moment_kgm / STANDARD_GRAVITY_MPS2 * arm_m / (arm_m**2).sum()
    return shift
