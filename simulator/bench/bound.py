"""The true covariance of what the rows see of a vehicle, and the bound that it sets.

The simulator's vehicles are linear and its roads are sums of waves with random phases, so the
covariance of the readings follows without drawing one road: receptance times PSD. No unbiased
linear estimate scatters less than generalised least squares with it (Gauss-Markov); the forces
being normal, it is the Cramér-Rao bound as well. A station cannot know a vehicle's springs: the
bound is that of an oracle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.records import STANDARD_GRAVITY_MPS2, Floats, Indices, LaneLayout
from simulator.bodies import bodies_of
from simulator.dynamics import Complexes, receptance
from simulator.fleet import SimVehicle
from simulator.road import LENGTH_M, TRACK_M, coherence, roughness
from simulator.scenario import Scenario
from simulator.wheels import wheel_ends

__all__ = ["Readings", "fused", "plate_readings", "strip_readings"]

_BAND_PER_M = (0.011, 2.83)
_HIGHEST_HZ = 120.0
_HIGHEST_PER_M = 8.0
_STEP_HZ = 0.04
"""Waves are summed so close together; the least damped mode is five times as wide."""
_PLATEAU_POINTS = 32
_RIPPLE_MEAN_SQUARE = 0.5
_GUARD = 1.0
"""Part of the patch by which a plate's plateau is shorter than the plate."""


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Readings of one vehicle: which axle each is of, and their covariance about its load, kg^2.

    ``axle`` is (p,), ``covariance_kg2`` (p, p); strips are laid axle by axle, row by row.
    """

    axle: Indices
    covariance_kg2: Floats

    def design(self) -> Floats:
        """Incidence of readings and axles, (p, n_axles)."""
        return np.asarray(self.axle[:, None] == np.unique(self.axle), np.float64)


def fused(readings: Readings) -> tuple[Floats, Floats]:
    """Weights (n_axles, p) of the best unbiased estimate of all axles, and its covariance."""
    X = readings.design()
    solved = np.linalg.solve(readings.covariance_kg2, X)
    covariance = np.linalg.inv(X.T @ solved)
    return covariance @ solved.T, covariance


def strip_readings(
    vehicle: SimVehicle, speed_mps: float, lane: LaneLayout, scenario: Scenario
) -> Readings:
    """One mean load for each axle and row, as the area under a pulse gives it."""
    response = _Response.of(vehicle, speed_mps)
    position_m = np.array([row.position_m for row in lane.rows])
    width_m = np.array([row.width_m for row in lane.rows])
    n_axles, n_rows = len(vehicle.axle_kg), len(lane.rows)
    axle = np.repeat(np.arange(n_axles), n_rows)
    row = np.tile(np.arange(n_rows), n_axles)
    at_m = position_m[row] + np.array(vehicle.axle_behind_m)[axle]
    seen = np.sinc(np.outer(response.wave_per_m, width_m[row])) * response.patch[:, axle]
    covariance = response.covariance(axle, at_m, seen, scenario.road.road_class)
    steps = response.steps(axle, at_m, seen, position_m, width_m)
    covariance += (scenario.road.receptor_step_mm * 1e-3) ** 2 * steps @ steps.T
    load_kg = np.array(vehicle.axle_kg)[axle]
    # Each channel's ripple along the sensor is one of its own; a row has two of them.
    ripple = scenario.electronics.lateral_rel**2 * _RIPPLE_MEAN_SQUARE / 2
    covariance += ripple * (row[:, None] == row) * np.outer(load_kg, load_kg)
    noise_kg = scenario.electronics.noise_n / STANDARD_GRAVITY_MPS2
    foot_m = 1.6 * (width_m[row] + response.contact_m[axle])
    area = np.sqrt(2 * foot_m * speed_mps / scenario.electronics.rate_hz) / width_m[row]
    covariance[np.diag_indices(len(axle))] += (noise_kg * area) ** 2
    return Readings(axle, covariance)


def plate_readings(
    vehicle: SimVehicle, speed_mps: float, lane: LaneLayout, scenario: Scenario
) -> Readings:
    """The plateaus of all plates of a lane in points of time, with the noise of each."""
    response = _Response.of(vehicle, speed_mps)
    axle, at_m, noise = [], [], []
    noise_kg = scenario.electronics.noise_n / STANDARD_GRAVITY_MPS2 * np.sqrt(2)
    for number, behind_m in enumerate(vehicle.axle_behind_m):
        for row in lane.rows:
            flat_m = max(row.width_m - _GUARD * response.contact_m[number], 0.02)
            part = (np.arange(_PLATEAU_POINTS) + 0.5) / _PLATEAU_POINTS - 0.5
            at_m.append(row.position_m + behind_m + part * flat_m)
            axle.append(np.full(_PLATEAU_POINTS, number))
            samples = flat_m / speed_mps * scenario.electronics.rate_hz / _PLATEAU_POINTS
            noise.append(np.full(_PLATEAU_POINTS, noise_kg / np.sqrt(max(samples, 1.0))))
    axles, ats_m = np.concatenate(axle), np.concatenate(at_m)
    seen = np.ones((len(response.wave_per_m), len(axles)))
    covariance = response.covariance(axles, ats_m, seen, scenario.road.road_class)
    covariance[np.diag_indices(len(axles))] += np.concatenate(noise) ** 2
    return Readings(axles, covariance)


@dataclass(frozen=True, slots=True, eq=False)
class _Response:
    """Axle loads in kg per metre of road, wave by wave, at one speed.

    ``tracks`` is complex (f, 2, n_axles): for a wave of unit height under the left or right track
    that is at phase 0 under the front axle. ``patch`` (f, n_axles) is what a strip's pulse sees of
    a wave of the force, by the pressure along the tyre's patch. Waves are ``step_per_m`` apart.
    """

    wave_per_m: Floats
    step_per_m: float
    tracks: Complexes
    patch: Floats
    contact_m: Floats

    @classmethod
    def of(cls, vehicle: SimVehicle, speed_mps: float) -> _Response:
        ends = wheel_ends(vehicle)
        step = max(round(_STEP_HZ / speed_mps * LENGTH_M), 1)
        most = int(min(_HIGHEST_HZ / speed_mps, _HIGHEST_PER_M) * LENGTH_M)
        wave_per_m = np.arange(step, most + 1, step) / LENGTH_M
        solved = receptance(ends, bodies_of(vehicle, ends), wave_per_m * speed_mps)
        behind_m = np.repeat(np.array(vehicle.axle_behind_m), 2)
        under = np.sinc(np.outer(wave_per_m, ends.contact_m.ravel())) * np.exp(
            -2j * np.pi * np.outer(wave_per_m, behind_m)
        )
        # Above the bodies' range each wheel answers for itself.
        tracks = (solved.own.T * under).reshape(len(under), -1, 2).transpose(0, 2, 1)
        low = len(solved.flexibility)
        wheels = solved.matrix().reshape(low, -1, 2, under.shape[1]).sum(axis=2)
        seen = wheels * under[:low, None, :]
        tracks[:low, 0], tracks[:low, 1] = seen[..., ::2].sum(axis=2), seen[..., 1::2].sum(axis=2)
        contact_m = ends.contact_m.mean(axis=1)
        patch = _pressure(wave_per_m, contact_m)
        tracks = tracks / STANDARD_GRAVITY_MPS2
        return cls(wave_per_m, step / LENGTH_M, tracks, patch, contact_m)

    def covariance(self, axle: Indices, at_m: Floats, seen: Floats, road_class: str) -> Floats:
        """Covariance of forces read with the front axle at ``at_m``, over all roads of a class."""
        low, high = _BAND_PER_M
        inside = (self.wave_per_m >= low) & (self.wave_per_m <= high)
        wave_per_m = self.wave_per_m[inside]
        psd_m3 = roughness(road_class) * (wave_per_m / 0.1) ** -2
        height_m = np.sqrt(psd_m3 * self.step_per_m)[:, None]
        shared = coherence(TRACK_M)[np.rint(wave_per_m * LENGTH_M).astype(int)][:, None]
        left, right = self.tracks[inside, 0] * height_m, self.tracks[inside, 1] * height_m
        waves = np.concatenate([left + shared * right, np.sqrt(1 - shared**2) * right])
        turn = np.exp(2j * np.pi * np.outer(wave_per_m, at_m)) * seen[inside]
        read = waves[:, axle] * np.tile(turn, (2, 1))
        return np.asarray((read.real.T @ read.real) + (read.imag.T @ read.imag))

    def steps(
        self, axle: Indices, at_m: Floats, seen: Floats, position_m: Floats, width_m: Floats
    ) -> Floats:
        """Readings (p, n_rows) per metre by which each row's sensors stand above the road."""
        both = self.tracks.sum(axis=1)[:, axle] * seen
        turn = both * np.exp(2j * np.pi * np.outer(self.wave_per_m, at_m))
        box = width_m * np.sinc(np.outer(self.wave_per_m, width_m)) * (2 * self.step_per_m)
        away = box * np.exp(-2j * np.pi * np.outer(self.wave_per_m, position_m))
        return np.asarray((turn.T @ away).real)


def _pressure(wave_per_m: Floats, contact_m: Floats) -> Floats:
    """Transform of the patch's pressure ``5/8 (1 - u^4)`` on ``|u| <= 1``: (f, n_axles)."""
    u, weight = np.polynomial.legendre.leggauss(8)
    turn = np.cos(np.pi * np.multiply.outer(np.outer(wave_per_m, contact_m), u))
    return np.asarray(turn @ (0.625 * (1 - u**4) * weight))
