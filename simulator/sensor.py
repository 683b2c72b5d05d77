"""What the sensors in the road see of a wheel.

A wheel presses with its contact patch: the share of it that stands on a sensor follows from the
pressure along the patch, ``p(u) ~ 1 - u^4`` on ``|u| <= 1``, full in the middle and falling at the
ends. A strip narrower than the patch never sees the whole wheel; a plate does, between two ramps.
Across the lane the tyre's width decides how much of it stands on the left and right sensor, and
how much beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge.records import Floats, LaneLayout
from simulator.dynamics import TyreForces
from simulator.fleet import SimVehicle
from simulator.scenario import SensorSection
from simulator.seeds import stream
from simulator.traffic import Passing
from simulator.wheels import wheel_ends

_TWIN_TYRES_M = 0.60


def pressed_share(distance_m: Floats, contact_m: Floats | float, width_m: float) -> Floats:
    """Share of a wheel's load on a sensor of ``width_m`` whose middle is ``distance_m`` away."""
    ahead = _pressure_below((distance_m + width_m / 2) / (contact_m / 2))
    return np.asarray(ahead - _pressure_below((distance_m - width_m / 2) / (contact_m / 2)))


def _pressure_below(u: Floats) -> Floats:
    """Integral of the pressure from the patch's end to ``u``, 0 to 1."""
    u = np.clip(u, -1.0, 1.0)
    square = u * u
    return np.asarray(0.5 + u * (0.625 - 0.125 * square * square))


def covered_share(vehicle: SimVehicle, axle: int, lateral_m: Floats, length_m: float) -> Floats:
    """Share (2 sensors, 2 wheels, ...) of the left and right wheel on the left and right sensor.

    ``lateral_m`` (...) is the vehicle's middle against that of the lane, each sensor is
    ``length_m`` long.
    """
    chassis = vehicle.chassis
    half_m = (_TWIN_TYRES_M if vehicle.twin[axle] else chassis.tyre_width_m) / 2
    middle_m = np.stack([lateral_m - chassis.track_m / 2, lateral_m + chassis.track_m / 2])
    edges_m = np.array([-length_m, 0.0, length_m]).reshape(3, *(1,) * middle_m.ndim)
    below = np.clip((edges_m - (middle_m - half_m)) / (2 * half_m), 0.0, 1.0)
    return np.diff(below, axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class Pulse:
    """Force on one channel while a wheel passes, from sample ``first`` on."""

    channel: int
    first: int
    force_n: Floats

    @property
    def end(self) -> int:
        """Sample one past the last."""
        return self.first + len(self.force_n)


@dataclass(frozen=True, slots=True, eq=False)
class LaneSensors:
    """The sensors of one lane as they really lie; ``skew_m`` (2, n_rows) along the lane."""

    layout: LaneLayout
    length_m: float
    skew_m: Floats

    @classmethod
    def install(cls, layout: LaneLayout, section: SensorSection, seed: int) -> LaneSensors:
        """Lay them into the road, not quite straight: left and right are off by opposite halves."""
        chance = stream(seed, "skew", layout.lane)
        half_m = section.skew_sd_m / 2 * chance.standard_normal(len(layout.rows))
        return cls(layout, section.length_m, np.stack([-half_m, half_m]))

    def pulses(
        self, passing: Passing, forces: TyreForces, rate_hz: float, aside_m: float = 0.0
    ) -> list[Pulse]:
        """All pulses of one vehicle on the rows of the lane, sampled at the true ``rate_hz``.

        ``aside_m`` is the middle of the vehicle's own lane against the middle of this one.
        """
        contacts_m = wheel_ends(passing.vehicle).contact_m
        at_m = np.array([row.position_m for row in self.layout.rows])
        covered = [self.covered(passing, axle, at_m, aside_m) for axle in range(len(contacts_m))]
        return [
            pulse
            for axle, contact_m in enumerate(contacts_m)
            for row in range(len(at_m))
            if covered[axle].any()
            for pulse in self._row_pulses(
                passing, forces, axle, row, contact_m, rate_hz, covered[axle][..., [row]], aside_m
            )
        ]

    def covered(self, passing: Passing, axle: int, at_m: Floats, aside_m: float = 0.0) -> Floats:
        """Share (2 sensors, 2 wheels, n) of an axle's wheels at positions on the road."""
        lateral_m = passing.lateral_m(at_m) + aside_m
        return covered_share(passing.vehicle, axle, lateral_m, self.length_m)

    def _row_pulses(
        self,
        passing: Passing,
        forces: TyreForces,
        axle: int,
        number: int,
        contact_m: Floats,
        rate_hz: float,
        covered: Floats,
        aside_m: float,
    ) -> Iterator[Pulse]:
        """Left and right pulse of one axle on one row, once for each time it rolls over it."""
        row, motion = self.layout.rows[number], passing.motion
        behind_m = passing.vehicle.axle_behind_m[axle]
        skew_m = self.skew_m[:, number]
        reach_m = (row.width_m + contact_m.max()) / 2 + np.abs(skew_m).max()
        middle_m = behind_m + row.position_m
        for span_s in motion.within(middle_m - reach_m, middle_m + reach_m):
            first, end = np.ceil(np.array(span_s) * rate_hz).astype(int).tolist()
            time_s = np.arange(first, end) / rate_hz
            at_m = motion.position_m(time_s) - behind_m
            distance_m = at_m - row.position_m - skew_m[:, None, None]
            shares = pressed_share(distance_m, contact_m[:, None], row.width_m)
            if passing.shift:
                covered = self.covered(passing, axle, at_m, aside_m)
            shares *= covered
            pressed_n = np.einsum("swn,wn->sn", shares, forces.at(axle, time_s))
            for side, channel in enumerate((row.left, row.right)):
                if pressed_n[side].any():
                    yield Pulse(channel, first, pressed_n[side])
