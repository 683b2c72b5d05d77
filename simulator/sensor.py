"""What the sensors and their converter make of a wheel.

A wheel presses with its contact patch: the share of it that stands on a sensor follows from the
pressure along the patch, ``p(u) ~ 1 - u^4`` on ``|u| <= 1``, full in the middle and falling at the
ends. A strip narrower than the patch never sees the whole wheel; a plate does, between two ramps.
Across the lane the tyre's width decides how much of it stands on the left and right sensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.records import ADC_FULL_SCALE, Floats, Int32s, LaneLayout, Row, read_only
from simulator.dynamics import load_transfer_kg, tyre_forces, wheel_ends
from simulator.road import GRID, LENGTH_M, TRACK_M, LaneRoad
from simulator.scenario import ElectronicsSection, WeatherSection
from simulator.seeds import stream
from simulator.traffic import Passing

CHUNK = 1_024
"""Samples are made in chunks of this length, whatever blocks are asked for."""

_LANE_M = 3.5
"""A pair of sensors covers this width, half of it each."""
_SINGLE_TYRE_M, _TWIN_TYRES_M = 0.30, 0.60
_HUM_HZ = 50.0


def pressed_share(distance_m: Floats, contact_m: float, width_m: float) -> Floats:
    """Share of a wheel's load on a sensor of ``width_m`` whose middle is ``distance_m`` away."""
    ahead = _pressure_below((distance_m + width_m / 2) / (contact_m / 2))
    return ahead - _pressure_below((distance_m - width_m / 2) / (contact_m / 2))


def _pressure_below(u: Floats) -> Floats:
    """Integral of the pressure from the patch's end to ``u``, 0 to 1."""
    u = np.clip(u, -1.0, 1.0)
    return 0.5 + 0.625 * (u - u**5 / 5)


def covered_share(lateral_m: float, twin: bool) -> Floats:
    """Share (2 sensors, 2 wheels) of the left and right wheel on the left and right sensor."""
    half = (_TWIN_TYRES_M if twin else _SINGLE_TYRE_M) / 2
    middle = lateral_m + np.array([-TRACK_M / 2, TRACK_M / 2])
    edges = np.array([-_LANE_M / 2, 0.0, _LANE_M / 2])
    below = np.clip((edges[:, None] - (middle - half)) / (2 * half), 0.0, 1.0)
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


def wheel_pulses(
    passing: Passing, lane: LaneLayout, road: LaneRoad, rate_hz: float, seed: int
) -> list[Pulse]:
    """All pulses of one vehicle on the rows of its lane, sampled at the true ``rate_hz``."""
    vehicle = passing.vehicle
    axle_kg = np.array(vehicle.axle_kg) + load_transfer_kg(vehicle, passing.acceleration_mps2)
    right = np.array(vehicle.right_share)
    ends = wheel_ends(vehicle, axle_kg[:, None] * np.stack([1 - right, right], axis=1))
    profiles = road.under(vehicle.lateral_m, stream(seed, "track", vehicle.number))
    forces = tyre_forces(ends, profiles, passing.speed_mps)
    return [
        pulse
        for axle, contact_m in enumerate(ends.contact_m)
        for row in lane.rows
        for pulse in _row_pulses(passing, axle, row, forces[axle], contact_m, rate_hz)
    ]


def _row_pulses(
    passing: Passing, axle: int, row: Row, forces_n: Floats, contact_m: Floats, rate_hz: float
) -> list[Pulse]:
    """Left and right pulse of one axle on one row; ``forces_n`` (2, GRID) lie along the road."""
    vehicle, motion = passing.vehicle, passing.motion
    behind_m = vehicle.axle_behind_m[axle]
    reach_m = (row.width_m + contact_m.max()) / 2
    span_m = behind_m + row.position_m + np.array([-reach_m, reach_m])
    first, end = np.ceil(motion.time_at_s(span_m) * rate_hz).astype(int)
    at_m = motion.position_m(np.arange(first, end) / rate_hz) - behind_m
    distance_m = at_m - row.position_m
    shares = np.stack([pressed_share(distance_m, c, row.width_m) for c in contact_m])
    covered = covered_share(vehicle.lateral_m, vehicle.twin[axle])
    pressed_n = covered @ (_force_at(forces_n, at_m) * shares)
    return [
        Pulse(channel, int(first), pressed_n[side])
        for side, channel in enumerate((row.left, row.right))
        if covered[side].any()
    ]


def _force_at(forces_n: Floats, at_m: Floats) -> Floats:
    """Forces (2, n) at positions on the road, which repeats."""
    index, part = np.divmod(at_m * (GRID / LENGTH_M), 1.0)
    i = index.astype(int) % GRID
    return np.asarray(forces_n[:, i] * (1 - part) + forces_n[:, (i + 1) % GRID] * part)


class Electronics:
    """Cells, amplifier and converter of one digitiser: truth that no station may look at.

    Attributes
    ----------
    newton_per_count : float array (n_channels,)
        True worth of a count, some per cent off the nominal one.
    """

    def __init__(
        self,
        device: str,
        channels: int,
        section: ElectronicsSection,
        weather: WeatherSection,
        seed: int,
    ) -> None:
        chance = stream(seed, "electronics", device)
        self._seed, self._device, self._section, self._weather = seed, device, section, weather
        gain = 1 + section.gain_sd_rel * chance.standard_normal(channels)
        self.newton_per_count = read_only(section.newton_per_count / gain)
        self._zero_n = section.zero_n * chance.standard_normal(channels)
        self._hum_n = section.hum_n * chance.uniform(0.3, 1.0, channels)
        self._hum_phase = chance.uniform(0, 2 * np.pi)
        self._drift_n = section.drift_n * chance.standard_normal((3, channels))
        self._drift_s = np.array([120.0, 700.0, 3_600.0]) * chance.uniform(0.7, 1.4, 3)
        self._drift_phase = chance.uniform(0, 2 * np.pi, (3, channels))
        self._lateral_phase = chance.uniform(0, 2 * np.pi, channels)

    def lateral_gain(self, channel: int, lateral_m: float) -> float:
        """Sensitivity along the sensor's length: not quite the same wherever the wheel runs."""
        ripple = np.sin(2 * np.pi * lateral_m / 0.8 + self._lateral_phase[channel])
        return float(1 + self._section.lateral_rel * ripple)

    def counts(self, chunk: int, force_n: Floats, rate_hz: float) -> Int32s:
        """Converter counts of chunk number ``chunk`` for the force (CHUNK, n) on the cells."""
        time_s = (chunk * CHUNK + np.arange(len(force_n))) / rate_hz
        warm_k = self._weather.temperature_c(time_s[0]) - 20.0
        force_n *= 1 + self._section.span_ppm_per_k * 1e-6 * warm_k
        force_n += self._background_n(time_s) + self._section.zero_n_per_k * warm_k
        force_n += np.sin(2 * np.pi * _HUM_HZ * time_s + self._hum_phase)[:, None] * self._hum_n
        noise = stream(self._seed, "noise", self._device, chunk).standard_normal(
            force_n.shape, dtype=np.float32
        )
        force_n += self._section.noise_n * noise
        force_n /= self.newton_per_count
        np.clip(np.rint(force_n, out=force_n), -ADC_FULL_SCALE - 1, ADC_FULL_SCALE, out=force_n)
        return force_n.astype(np.int32)

    def _background_n(self, time_s: Floats) -> Floats:
        """Zero and slow drift: a line over the chunk, its ends on sums of slow waves."""
        ends_s = time_s[[0, -1]]
        angle = 2 * np.pi * ends_s[:, None, None] / self._drift_s[:, None] + self._drift_phase
        start, end = self._zero_n + (self._drift_n * np.sin(angle)).sum(axis=1)
        part = (time_s - ends_s[0]) / (ends_s[1] - ends_s[0])
        return np.asarray(start + part[:, None] * (end - start))
