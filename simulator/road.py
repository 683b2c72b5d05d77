"""The road under the wheels: an ISO 8608 surface, one profile a wheel track, with sensor steps.

A profile is kept as a spectrum: ``h(x) = Re sum(S_i exp(2 pi j n_i x))`` in metres, over a road of
512 m that repeats, and as its integral, whose differences are the means under contact patches.
The tracks of one lane follow each other at long waves and differ at short ones as on an isotropic
surface (Dodds and Robson, J. Sound Vib. 31 (1973) 175): the coherence of two lines at a distance
``d`` is ``z K1(z)`` with ``z = 2 pi n d`` where the slope of the PSD is -2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import k1

from edge.records import Floats, LaneLayout
from simulator.scenario import RoadSection
from simulator.seeds import stream

Spectrum = NDArray[np.complex128]

LENGTH_M = 512.0
GRID = 8_192
"""Points that resolve every wave of a profile: 62.5 mm apart, 16 a metre."""
FINE = 4 * GRID
"""Points of an integrated profile, close enough to be joined by lines."""
TRACK_M = 1.9
"""Distance between the middles of the left and right wheel tracks of a lorry."""

GD_N0_M3 = {"A": 16e-6, "B": 64e-6, "C": 256e-6, "D": 1024e-6, "E": 4096e-6}
"""Geometric means of ISO 8608:2016, displacement PSD at n0 = 0.1 cycles/m (``smooth`` is 0)."""

_BAND_PER_M = (0.011, 2.83)
WAVE_PER_M: Floats = np.arange(GRID // 2 + 1) / LENGTH_M
"""Spatial frequencies of every spectrum, cycles/m."""
_IN_BAND = slice(
    int(np.searchsorted(WAVE_PER_M, _BAND_PER_M[0])),
    int(np.searchsorted(WAVE_PER_M, _BAND_PER_M[1], "right")),
)


def roughness(road_class: str) -> float:
    """Displacement PSD at n0 in m^3 of an ISO 8608 class, 0 for ``smooth``."""
    return 0.0 if road_class == "smooth" else GD_N0_M3[road_class]


def random_profile(gd_n0_m3: float, chance: np.random.Generator) -> Spectrum:
    """A profile with the PSD ``gd_n0 (n / 0.1)^-2`` in the band of ISO 8608, random phases."""
    spectrum = np.zeros(len(WAVE_PER_M), np.complex128)
    psd_m3 = gd_n0_m3 * (WAVE_PER_M[_IN_BAND] / 0.1) ** -2
    phase = chance.uniform(0, 2 * np.pi, len(psd_m3))
    spectrum[_IN_BAND] = np.sqrt(2 * psd_m3 / LENGTH_M) * np.exp(1j * phase)
    return spectrum


def coherence(distance_m: float, wave_per_m: Floats = WAVE_PER_M) -> Floats:
    """Coherence of two lines along an isotropic surface of slope -2, at each wave."""
    z = 2 * np.pi * wave_per_m * abs(distance_m)
    return np.where(z > 1e-6, z * k1(np.maximum(z, 1e-6)), 1.0)


def beside(profile: Spectrum, other: Spectrum, distance_m: float) -> Spectrum:
    """A line ``distance_m`` beside ``profile``; ``other`` gives what the two do not share."""
    shared = coherence(distance_m, WAVE_PER_M[_IN_BAND])
    found = np.zeros_like(profile)
    found[..., _IN_BAND] = shared * profile[..., _IN_BAND]
    found[..., _IN_BAND] += np.sqrt(np.maximum(1 - shared**2, 0)) * other[..., _IN_BAND]
    return found


def along(spectra: Spectrum) -> Floats:
    """Spectra (..., n) as values on the grid of ``GRID`` points from x = 0, in their own unit."""
    return np.fft.irfft(spectra, GRID, axis=-1) * (GRID / 2)


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """The road under one vehicle's two wheel tracks, kept as its integral along the road.

    ``integral_m2`` is (2, ``FINE``): the integral of the height from x = 0 on, over ``LENGTH_M``.
    """

    integral_m2: Floats

    def height_m(self, track: int, position_m: Floats, contact_m: float) -> Floats:
        """Mean height under a contact patch whose middle is at the given positions."""
        half_m, values = contact_m / 2, self.integral_m2[track]
        ahead_m2 = _joined(values, position_m + half_m)
        return np.asarray((ahead_m2 - _joined(values, position_m - half_m)) / contact_m)


def _joined(values: Floats, position_m: Floats) -> Floats:
    """Values (FINE,) of the road joined by lines, at positions on the road, which repeats."""
    scaled = position_m * (FINE / LENGTH_M)
    index = np.floor(scaled).astype(np.int64)
    low = values[index & (FINE - 1)]
    return np.asarray(low + (values[(index + 1) & (FINE - 1)] - low) * (scaled - index))


def surface_of(tracks: Spectrum) -> Surface:
    """A surface from the spectra (2, n) of its tracks."""
    integral = np.zeros_like(tracks)
    integral[:, 1:] = tracks[:, 1:] / (2j * np.pi * WAVE_PER_M[1:])
    return Surface(np.fft.irfft(integral, FINE, axis=-1) * (FINE / 2))


class LaneRoad:
    """The surface of one lane: a left and a right track, the same for every vehicle.

    Sensors stand above or below the surface by some tenths of a millimetre; each such step is a
    feature of the road that every wheel meets, part of the real error of a site.
    """

    def __init__(self, lane: LaneLayout, section: RoadSection, skew_m: Floats, seed: int) -> None:
        chance = stream(seed, "road", lane.lane)
        self._gd, self._fresh = roughness(section.road_class), section.fresh_for_each
        left = random_profile(self._gd, chance)
        right = beside(left, random_profile(self._gd, chance), TRACK_M)
        self.tracks: Spectrum = np.stack([left, right])
        heights_m = chance.normal(0, section.receptor_step_mm * 1e-3, len(lane.rows))
        self._steps_m2 = np.zeros((2, FINE))
        for number, (row, height_m) in enumerate(zip(lane.rows, heights_m, strict=True)):
            for side in (0, 1):
                middle_m = row.position_m + skew_m[side, number]
                self._steps_m2[side] += _step_m2(middle_m, row.width_m, height_m)

    def under(self, lateral_m: float, chance: np.random.Generator) -> Surface:
        """The surface under a vehicle that runs ``lateral_m`` beside the wheel tracks."""
        own = np.stack([random_profile(self._gd, chance) for _ in range(2)])
        if self._fresh:
            own[1] = beside(own[0], own[1], TRACK_M)
            tracks = own
        else:
            tracks = beside(self.tracks, own, lateral_m)
        return Surface(surface_of(tracks).integral_m2 + self._steps_m2)


def _step_m2(middle_m: float, width_m: float, height_m: float) -> Floats:
    """Integral of a sensor that stands ``height_m`` above the road; even where the road repeats."""
    at_m = np.arange(FINE) * (LENGTH_M / FINE)
    at_m -= LENGTH_M * (at_m >= LENGTH_M / 2)
    level_m2 = np.clip(at_m - (middle_m - width_m / 2), 0.0, width_m)
    return np.asarray(height_m * (level_m2 - width_m * (at_m / LENGTH_M + 0.5)))
