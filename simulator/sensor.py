"""What the sensors in the road see of a wheel.

A wheel presses with its contact patch: the share of it that stands on a sensor follows from the
pressure along the patch, ``p(u) ~ 1 - u^4`` on ``|u| <= 1``, full in the middle and falling at the
ends. A strip narrower than the patch never sees the whole wheel; a plate does, between two ramps.
Across the lane the widths of a wheel's tyre, or of both of a pair, decide how much of it stands on
the left and right sensor, and how much beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.records import Floats, Indices, LaneLayout
from simulator.dynamics import TyreForces
from simulator.fleet import SimVehicle
from simulator.scenario import SensorSection
from simulator.seeds import stream
from simulator.traffic import Passing
from simulator.wheels import wheel_ends

_TWIN_TYRE_M, _TWIN_APART_M = 0.24, 0.34
"""Tread of each tyre of a pair, and between their middles: a gap of 0.1 m in a wheel 0.58 m wide
(11.00 R 20 and 295/80 R 22.5 on their usual rims)."""


def pressed_share(distance_m: Floats, contact_m: Floats | float, width_m: Floats | float) -> Floats:
    """Share of a wheel's load on a sensor of ``width_m`` whose middle is ``distance_m`` away."""
    ahead = _pressure_below((distance_m + width_m / 2) / (contact_m / 2))
    return np.asarray(ahead - _pressure_below((distance_m - width_m / 2) / (contact_m / 2)))


def _pressure_below(u: Floats) -> Floats:
    """Integral of the pressure from the patch's end to ``u``, 0 to 1."""
    u = np.clip(u, -1.0, 1.0)
    square = u * u
    return np.asarray(0.5 + u * (0.625 - 0.125 * square * square))


def covered_share(
    vehicle: SimVehicle, axle: int | Indices, lateral_m: Floats, length_m: float
) -> Floats:
    """Share (2 sensors, 2 wheels, ...) of the left and right wheel on the left and right sensor.

    ``lateral_m`` (...) is the vehicle's middle against that of the lane, each sensor is
    ``length_m`` long; ``axle`` may be one, or one for each of them.
    """
    chassis = vehicle.chassis
    twin = np.array(vehicle.twin)[axle]
    half_m = np.where(twin, _TWIN_TYRE_M, chassis.tyre_width_m) / 2
    apart_m = np.where(twin, _TWIN_APART_M / 2, 0.0)
    middle_m = np.stack([lateral_m - chassis.track_m / 2, lateral_m + chassis.track_m / 2])
    edges_m = np.array([-length_m, 0.0, length_m]).reshape(3, *(1,) * middle_m.ndim)
    below = [
        np.clip((edges_m - (middle_m + tyre_m - half_m)) / (2 * half_m), 0.0, 1.0)
        for tyre_m in (-apart_m, apart_m)
    ]
    return np.asarray(np.diff(below[0] + below[1], axis=0) / 2)


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
        contact_m = wheel_ends(passing.vehicle).contact_m
        windows = self._windows(passing, contact_m, rate_hz, aside_m)
        if not windows:
            return []
        axles, rows, firsts, ends = (np.array(column) for column in zip(*windows, strict=True))
        bounds = np.cumsum([0, *(ends - firsts)])
        of_window = np.repeat(np.arange(len(axles)), np.diff(bounds))
        sample = np.arange(bounds[-1]) + (firsts - bounds[:-1])[of_window]
        pressed_n = self._pressed_n(
            passing, forces, axles[of_window], rows[of_window], sample / rate_hz, contact_m, aside_m
        )
        return [
            Pulse(channel, first, own_n)
            for row, first, a, b in zip(
                rows.tolist(),
                firsts.tolist(),
                bounds[:-1].tolist(),
                bounds[1:].tolist(),
                strict=True,
            )
            for channel, own_n in zip(self._channels(row), pressed_n[:, a:b], strict=True)
            if own_n.any()
        ]

    def covered(
        self, passing: Passing, axle: int | Indices, at_m: Floats, aside_m: float = 0.0
    ) -> Floats:
        """Share (2 sensors, 2 wheels, n) of an axle's wheels at positions on the road."""
        lateral_m = passing.lateral_m(at_m) + aside_m
        return covered_share(passing.vehicle, axle, lateral_m, self.length_m)

    def _windows(
        self, passing: Passing, contact_m: Floats, rate_hz: float, aside_m: float
    ) -> list[tuple[int, int, int, int]]:
        """Axle, row, first sample and end: once for each time an axle rolls over a row."""
        row_m = np.array([row.position_m for row in self.layout.rows])
        axles = [
            axle
            for axle in range(len(contact_m))
            if self.covered(passing, axle, row_m, aside_m).any()
        ]
        if not axles:
            return []
        width_m = np.array([row.width_m for row in self.layout.rows])
        reach_m = (width_m + contact_m.max(axis=1, keepdims=True)) / 2
        reach_m += np.abs(self.skew_m).max(axis=0)
        middle_m = np.array(passing.vehicle.axle_behind_m)[:, None] + row_m
        pairs = [(axle, row) for axle in axles for row in range(len(row_m))]
        low_m, high_m = (
            edge_m[axles].ravel() for edge_m in (middle_m - reach_m, middle_m + reach_m)
        )
        return [
            (*pair, math.ceil(from_s * rate_hz), math.ceil(to_s * rate_hz))
            for pair, spans in zip(pairs, passing.motion.all_within(low_m, high_m), strict=True)
            for from_s, to_s in spans
        ]

    def _pressed_n(
        self,
        passing: Passing,
        forces: TyreForces,
        axle: Indices,
        row: Indices,
        time_s: Floats,
        contact_m: Floats,
        aside_m: float,
    ) -> Floats:
        """Force (2 sensors, n) of axles on rows of sensors at times, all (n,)."""
        row_m, width_m = np.array([(r.position_m, r.width_m) for r in self.layout.rows]).T
        behind_m = np.array(passing.vehicle.axle_behind_m)
        at_m = passing.motion.position_m(time_s) - behind_m[axle]
        distance_m = (at_m - row_m[row] - self.skew_m[:, row])[:, None]
        shares = pressed_share(distance_m, contact_m[axle].T, width_m[row])
        shares *= self.covered(passing, axle, at_m, aside_m)
        return np.asarray(np.einsum("swn,wn->sn", shares, forces.at(axle, time_s)))

    def _channels(self, row: int) -> tuple[int, int]:
        return self.layout.rows[row].left, self.layout.rows[row].right
