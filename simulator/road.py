"""The road under the wheels: an ISO 8608 surface, one profile a wheel track, with sensor steps.

A profile is kept as a spectrum: ``h(x) = Re sum(S_i exp(2 pi j n_i x))`` in metres, over a road of
512 m that repeats. The tracks of one lane follow each other at long waves and differ at short ones
as on an isotropic surface (Dodds and Robson, J. Sound Vib. 31 (1973) 175): the coherence of two
lines at a distance ``d`` is ``z K1(z)`` with ``z = 2 pi n d`` where the slope of the PSD is -2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import k1

from edge.records import Floats, Row
from simulator.seeds import stream

Spectrum = NDArray[np.complex128]

LENGTH_M = 512.0
GRID = 8_192
"""Points of a profile or force along the road: 62.5 mm apart, 16 a metre."""
TRACK_M = 1.9
"""Distance between the middles of the left and right wheel tracks of a lorry."""

GD_N0_M3 = {"A": 16e-6, "B": 64e-6, "C": 256e-6, "D": 1024e-6, "E": 4096e-6}
"""Geometric means of ISO 8608:2016, displacement PSD at n0 = 0.1 cycles/m (``smooth`` is 0)."""

_BAND_PER_M = (0.011, 2.83)
WAVE_PER_M: Floats = np.arange(GRID // 2 + 1) / LENGTH_M
"""Spatial frequencies of every spectrum, cycles/m."""


def roughness(road_class: str) -> float:
    """Displacement PSD at n0 in m^3 of an ISO 8608 class, 0 for ``smooth``."""
    return 0.0 if road_class == "smooth" else GD_N0_M3[road_class]


def random_profile(gd_n0_m3: float, chance: np.random.Generator) -> Spectrum:
    """A profile with the PSD ``gd_n0 (n / 0.1)^-2`` in the band of ISO 8608, random phases."""
    low, high = _BAND_PER_M
    inside = (low <= WAVE_PER_M) & (high >= WAVE_PER_M)
    spectrum = np.zeros(len(WAVE_PER_M), np.complex128)
    psd_m3 = gd_n0_m3 * (WAVE_PER_M[inside] / 0.1) ** -2
    phase = chance.uniform(0, 2 * np.pi, np.count_nonzero(inside))
    spectrum[inside] = np.sqrt(2 * psd_m3 / LENGTH_M) * np.exp(1j * phase)
    return spectrum


def coherence(distance_m: float) -> Floats:
    """Coherence of two lines along an isotropic surface of slope -2, at each of ``WAVE_PER_M``."""
    z = 2 * np.pi * WAVE_PER_M * abs(distance_m)
    return np.where(z > 1e-6, z * k1(np.maximum(z, 1e-6)), 1.0)


def beside(profile: Spectrum, other: Spectrum, distance_m: float) -> Spectrum:
    """A line ``distance_m`` beside ``profile``; ``other`` gives what the two do not share."""
    shared = coherence(distance_m)
    return shared * profile + np.sqrt(np.maximum(1 - shared**2, 0)) * other


def along(spectra: Spectrum) -> Floats:
    """Spectra (..., n) as values on the grid of ``GRID`` points from x = 0, in their own unit."""
    return np.fft.irfft(spectra, GRID, axis=-1) * (GRID / 2)


class LaneRoad:
    """The surface of one lane: a left and a right track, the same for every vehicle.

    Sensors stand above or below the surface by some tenths of a millimetre; each such step is a
    feature of the road that every wheel meets, part of the real error of a site.
    """

    def __init__(
        self, lane: str, road_class: str, rows: Sequence[Row], receptor_step_mm: float, seed: int
    ) -> None:
        chance = stream(seed, "road", lane)
        self._gd = roughness(road_class)
        left = random_profile(self._gd, chance)
        right = beside(left, random_profile(self._gd, chance), TRACK_M)
        steps = sum(
            (_step(row, chance.normal(0, receptor_step_mm * 1e-3)) for row in rows),
            start=np.zeros_like(left),
        )
        self.tracks: Spectrum = np.stack([left + steps, right + steps])

    def under(self, lateral_m: float, chance: np.random.Generator) -> Spectrum:
        """Profiles (2, n) under a vehicle that runs ``lateral_m`` beside the wheel tracks."""
        own = np.stack([random_profile(self._gd, chance) for _ in range(2)])
        return beside(self.tracks, own, lateral_m)


def _step(row: Row, height_m: float) -> Spectrum:
    """A sensor that stands ``height_m`` above the road, over its width."""
    box = row.width_m * np.sinc(WAVE_PER_M * row.width_m)
    spectrum: Spectrum = box * np.exp(-2j * np.pi * WAVE_PER_M * row.position_m)
    return spectrum * (2 / LENGTH_M) * height_m
