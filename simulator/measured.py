"""Noise as real sensors have it: spectra of recordings at rest, kept in the project.

Source: monitoring of a bridge at Munich, github imcs-compsim/munich-bridge-data at f1057c1 (MIT;
Jaelani et al., Steel Construction 16 (2023) 215), ``ReferenceStateForceAt100Hz.csv.zip`` (two
force transducers under 220 and 260 kN) and ``ReferenceStateDMS_CNAt100Hz.csv.zip`` (a strain
gauge), 100 Hz, 600 s of 2022-03-07. Kept are levels by half octaves of what varies faster than
0.25 Hz, not the recordings. What a bridge does of itself at 1 to 4 Hz is in them: as near to the
sensors of a road, which bends too, as anything that may be had. Made, and made again, by

    python -m simulator.measured FILE.csv.zip COLUMN
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.signal import welch

from edge.records import Floats
from simulator.noise import Table, read_noise, residual, unit
from simulator.seeds import stream

_LENGTH = 1 << 19
_EDGES_HZ: Floats = 0.25 * 2.0 ** (np.arange(17) / 2)
_HIGHEST_HZ = 50.0
_WINDOW_S = 40.96

# fmt: off
LEVELS: dict[str, tuple[float, ...]] = {
    "force-1": (0.355, 0.414, 0.291, 0.0935, 0.166, 0.315, 0.22, 0.082,
                0.022, 0.00556, 0.0112, 0.0379, 0.00277, 0.00473, 0.00128, 0.00112),
    "force-2": (0.107, 0.11, 0.0566, 1.06, 0.736, 0.131, 0.0969, 0.0739,
                0.0272, 0.0149, 0.00738, 0.00342, 0.0019, 0.00111, 0.000721, 0.00058),
    "strain": (0.296, 0.271, 0.219, 0.129, 0.0914, 0.0727, 0.0502, 0.0397,
               0.0323, 0.0261, 0.0217, 0.0172, 0.0147, 0.0135, 0.0111, 0.00661),
}
# fmt: on
"""PSD in each half octave from 0.25 to 50 Hz, 1/Hz, of noise of unit variance. Before that was done
the forces' residuals had 37 and 110 N, 0.014 and 0.05 % of the load."""


def levels(values: Floats, rate_hz: float) -> tuple[float, ...]:
    """PSD of the residual of a recording in each half octave, as of ``LEVELS``."""
    hz, psd = welch(unit(residual(values, rate_hz)), rate_hz, nperseg=round(_WINDOW_S * rate_hz))
    bands = np.searchsorted(_EDGES_HZ, hz, "right") - 1
    return tuple(float(f"{psd[bands == band].mean():.3g}") for band in range(len(_EDGES_HZ) - 1))


@lru_cache(maxsize=4)
def measured_table(name: str, rate_hz: float) -> Table:
    """Noise of unit variance with the spectrum ``name`` of ``LEVELS``, sampled at ``rate_hz``."""
    hz = np.fft.rfftfreq(_LENGTH, 1 / rate_hz)
    middle_hz = np.sqrt(_EDGES_HZ[1:] * _EDGES_HZ[:-1])
    psd = np.exp(np.interp(np.log(np.maximum(hz, 1e-9)), np.log(middle_hz), np.log(LEVELS[name])))
    psd[(hz < _EDGES_HZ[0]) | (hz > _HIGHEST_HZ)] = 0.0
    phase = stream(0, "measured", name).uniform(0, 2 * np.pi, len(hz))
    return unit(np.fft.irfft(np.sqrt(psd) * np.exp(1j * phase)))


if __name__ == "__main__":
    read, at_hz = read_noise(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(f"{levels(read, at_hz)}\n")
