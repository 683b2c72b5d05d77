"""Rigid bodies over the wheels: bounce, pitch and roll of each unit of a vehicle.

The bodies' coordinates are ``q = (z_0, pitch_0, roll_0, pitch_1, roll_1, ...)``: the first unit's
height at its first axle and the angles of each unit. A semitrailer's kingpin is as high as the
fifth wheel below it, which is what couples tractor and trailer (a fifth wheel also turns the two
together in roll, through the tractor's soft frame); a unit that is drawn by a bar is a vehicle of
its own, with a height of its own. Masses and their middles follow from the static loads on the
axles, so that the model stands still under its own weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edge.records import Floats
from simulator.fleet import SimVehicle
from simulator.wheels import WheelEnds

_KERB_KG = 2_200.0
"""Sprung mass of a tractor by itself, for each of its axles."""
_KERB_OF_LOAD = 0.85
_FIFTH_WHEEL_AHEAD_M = 0.35
"""The fifth wheel lies so far ahead of the middle of the tractor's rear axles."""
_GYRATION_OF_LENGTH = 0.29
"""An even beam: 1 / sqrt(12) of its length."""
_ROLL_GYRATION_M = 1.0
_ROLL_ARM_OF_TRACK = 0.32
"""Springs and stabiliser act at this part of the track on either side of the middle."""
_BALANCE_M = 0.1
"""A single track has no arm; its rider balances it."""
_FRAME_NM_PER_RAD = 4e5
"""Stiffness in roll between a tractor and its trailer: frame and fifth wheel in series."""


@dataclass(frozen=True, slots=True, eq=False)
class Bodies:
    """The bodies of one vehicle; ``m`` coordinates, ``w = 2 n_axles`` wheels (left, right, ...).

    Attributes
    ----------
    mass : float array (m, m)
        In kg, kg m and kg m^2.
    reach : float array (w, m)
        Rise of each spring's upper end per unit of each coordinate.
    frame : float array (m, m)
        Stiffness between bodies.
    braking : float array (m,)
        Load on the coordinates per m/s^2 of acceleration: each unit is driven and braked in
        proportion to its weight, ``m h`` about its pitch axis.
    """

    mass: Floats
    reach: Floats
    frame: Floats
    braking: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """One rigid body: ``at`` gives z of a point ``x`` metres behind the first axle, on q."""

    mass_kg: float
    middle_m: float
    length_m: float
    height: Floats
    pitch: int
    from_m: float

    def rise(self, position_m: float) -> Floats:
        """Rise of a point on the middle line per unit of each coordinate."""
        row = self.height.copy()
        row[self.pitch] += position_m - self.from_m
        return row


def bodies_of(vehicle: SimVehicle, ends: WheelEnds) -> Bodies:
    """The bodies that stand on the given wheel ends."""
    units = _units(vehicle, ends.sprung_kg.sum(axis=1))
    n = len(units[0].height)
    behind_m = np.array(vehicle.axle_behind_m)
    mass, frame, braking = np.zeros((n, n)), np.zeros((n, n)), np.zeros(n)
    rises = []
    arm_m = max(_ROLL_ARM_OF_TRACK * vehicle.chassis.track_m, _BALANCE_M)
    unsprung_kg = [float(np.sum(ends.unsprung_kg[list(axles)])) for axles in _axles(vehicle)]
    for number, (unit, axles) in enumerate(zip(units, _axles(vehicle), strict=True)):
        middle = unit.rise(unit.middle_m)
        mass += unit.mass_kg * np.outer(middle, middle)
        pitch, roll = unit.pitch, unit.pitch + 1
        mass[pitch, pitch] += unit.mass_kg * (_GYRATION_OF_LENGTH * unit.length_m) ** 2
        mass[roll, roll] += unit.mass_kg * _ROLL_GYRATION_M**2
        # The tail goes down (pitch against the sense of x) when the vehicle gains speed.
        braking[pitch] -= (unit.mass_kg + unsprung_kg[number]) * vehicle.centre_height_m
        if number and vehicle.rides:
            ahead = units[number - 1].pitch + 1
            twist = np.zeros(n)
            twist[[ahead, roll]] = 1.0, -1.0
            frame += _FRAME_NM_PER_RAD * np.outer(twist, twist)
        for axle in axles:
            for side in (-1.0, 1.0):
                row = unit.rise(behind_m[axle])
                row[roll] += side * arm_m
                rises.append(row)
    return Bodies(mass, np.array(rises), frame, braking)


def _axles(vehicle: SimVehicle) -> list[range]:
    ends = np.cumsum([0, *vehicle.units]).tolist()
    return [range(a, b) for a, b in pairwise(ends)]


def _units(vehicle: SimVehicle, sprung_kg: Floats) -> list[_Unit]:
    """Bodies front to rear: what each weighs, where its middle lies, what its height hangs on."""
    behind_m = np.array(vehicle.axle_behind_m)
    axles = _axles(vehicle)
    n = 3 * len(axles) - (len(axles) - 1 if vehicle.rides else 0)
    units: list[_Unit] = []
    given_kg, given_at_m, used = 0.0, 0.0, 0
    for number, own in enumerate(axles):
        at_m, load_kg = behind_m[list(own)], sprung_kg[list(own)]
        hangs = vehicle.rides and number > 0
        height = units[-1].rise(given_at_m) if hangs else np.eye(n)[used]
        used += 0 if hangs else 1
        weight_kg = float(load_kg.sum()) + given_kg
        moment_kgm = float(load_kg @ at_m) + given_kg * given_at_m
        from_m = given_at_m if hangs else float(at_m[0])
        given_kg = 0.0
        if vehicle.rides and number < len(axles) - 1:
            given_at_m = float(at_m[1:].mean() if len(at_m) > 1 else at_m[0])
            given_at_m -= _FIFTH_WHEEL_AHEAD_M
            kerb_kg = min(_KERB_KG * len(own), _KERB_OF_LOAD * weight_kg)
            given_kg, weight_kg = weight_kg - kerb_kg, kerb_kg
            moment_kgm -= given_kg * given_at_m
        length_m = max(float(np.ptp(at_m)), 1.0) + (at_m[0] - from_m if hangs else 0.0) + 2.7
        units.append(_Unit(weight_kg, moment_kgm / weight_kg, length_m, height, used, from_m))
        used += 2
    return units
