"""The covariance of the readings of a moving axle: modes over time, and the lie of the road."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edge.core.consensus import filled
from edge.core.modes import DAMPING, lie_correlation, load_scale, oscillation
from edge.core.swing import Swing
from edge.records import Bools, Floats, Indices, read_only

__all__ = [
    "UNSEEN_KG",
    "Observations",
    "count_rows",
    "covariance_kg2",
    "diagonals",
    "doubted_kg2",
    "parts",
]

UNSEEN_KG = 1e9
"""Standard uncertainty of a reading that is missing."""

_APART = 0.12
"""Part of the variance that each reading has for itself."""
_FEW_CYCLES = 0.55
_TINY = 1e-20
_DAMPING = DAMPING[:, None, None]


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """What the rows say of each axle; (n_axles, n_observations), NaN where unseen.

    ``load_kg`` is a mean over ``length_s`` about ``time_s``; ``u_noise_kg`` its electrical noise;
    ``row`` (n_observations,) tells the row.
    """

    load_kg: Floats
    time_s: Floats
    length_s: Floats
    u_noise_kg: Floats
    row: Indices


def covariance_kg2(
    seen: Observations, holes: Bools | None, rough_kg: Floats, swing: Swing, speed_mps: Floats
) -> Floats:
    """Covariance of an axle's observations about its static load.

    Parameters
    ----------
    seen : Observations
    holes : bool array (n_axles, m), optional
        Which of the readings do not count, if any.
    rough_kg : float array (n_axles,)
        The loads, about.
    swing : Swing
    speed_mps : float array (n_axles,)

    Returns
    -------
    float array (n_axles, m, m)
        Positive definite; a reading that does not count is apart, with ``UNSEEN_KG``.
    """
    alike = _correlations(filled(seen.time_s, holes), swing, speed_mps)
    # A mean over a while sees less of a mode, the faster that is.
    half_turn = np.pi * np.maximum(swing.hz[:, :, None] * filled(seen.length_s, holes), _TINY)
    part = np.sin(half_turn) / half_turn
    variance = swing.variance[:, :, None, None]
    modes = variance * part[:, :, :, None] * part[:, :, None, :] * alike[:-1]
    lie = swing.lie[:, None, None] * alike[-1]
    scale = load_scale(rough_kg)
    kg = scale * np.maximum(rough_kg, 1.0)
    system = (modes[0] + modes[1] + modes[2] + lie) * kg[:, None, None] ** 2
    # Twelve digits are the same on every processor; transcendental functions are to the last only.
    system = np.asarray(system.round(6))
    swings_kg2 = swing.variance_of_all * (scale * rough_kg) ** 2
    own_kg2 = seen.u_noise_kg**2 + _APART * swings_kg2[:, None] * (parts(seen.row, holes) == 1)
    if holes is not None:
        system[holes[:, :, None] | holes[:, None, :]] = 0.0
        own_kg2[holes] = UNSEEN_KG**2
    diagonals(system)[:] += own_kg2
    return system


def diagonals(matrices: Floats) -> Floats:
    """The diagonal of each of many matrices, to be written to: (n, m) of (n, m, m)."""
    return np.asarray(np.einsum("nii->ni", matrices))


def _correlations(time_s: Floats, swing: Swing, speed_mps: Floats) -> Floats:
    """Of the modes and of the lie of the road between readings: (4, n_axles, m, m).

    They are the same for a pair of readings either way round, and 1 for one with itself.
    """
    one, other, place = _pairs(time_s.shape[1])
    lag_s = time_s.take(one, axis=1) - time_s.take(other, axis=1)
    alike = np.ones((len(swing.hz) + 1, len(lag_s), 1 + len(one)))
    hz, u_hz = swing.hz[:, :, None], swing.u_hz[:, :, None]
    alike[:-1, :, 1:] = oscillation(lag_s, hz, u_hz, _DAMPING)
    alike[-1, :, 1:] = lie_correlation(lag_s * speed_mps[:, None])
    return alike.take(place, axis=2)


@lru_cache(maxsize=64)
def _pairs(n_readings: int) -> tuple[Indices, Indices, Indices]:
    """Readings of each pair, and where of each two (m, m) that stands from 1 on; 0 for itself."""
    one, other = np.triu_indices(n_readings, 1)
    place = np.zeros((n_readings, n_readings), np.int64)
    place[one, other] = place[other, one] = np.arange(1, len(one) + 1)
    return read_only(one), read_only(other), read_only(place)


def doubted_kg2(
    system: Floats, seen: Observations, holes: Bools | None, rough_kg: Floats, swing: Swing
) -> Floats:
    """The covariance by which parts of plateaus are weighed; strips are taken as they are.

    A plateau that holds a small part of a bounce says little of the rest of it, and that little
    hangs on the model: its parts are doubted the more, until they weigh as in a plain mean.
    """
    if len(seen.row) == count_rows(seen.row):
        return system
    in_row = parts(seen.row, holes)
    if in_row.max(initial=1) == 1:
        return system
    length_s = seen.length_s if holes is None else np.where(holes, 1.0, seen.length_s)
    bounce_s = length_s * np.maximum(in_row, 1)
    cycles = np.maximum(swing.hz[0][:, None] * bounce_s, 0.01)
    doubt = _APART * (1 + (_FEW_CYCLES / cycles) ** 4) * (in_row > 1)
    swings_kg2 = swing.variance_of_all * (load_scale(rough_kg) * rough_kg) ** 2
    doubted = system.copy()
    diagonals(doubted)[:] += doubt * swings_kg2[:, None]
    return doubted


def parts(row: Indices, holes: Bools | None) -> Indices:
    """How many readings the row of each reading gave of that axle; 0 for one that is missing.

    Without holes they are the same for all axles: (n_observations,).
    """
    one_each = len(row) == count_rows(row)
    if holes is None:
        return np.ones(len(row), np.int64) if one_each else np.bincount(row)[row]
    valid = (~holes).astype(np.int64)
    return valid if one_each else np.asarray((valid @ (row[:, None] == row)) * valid)


def count_rows(row: Indices) -> int:
    """How many rows the readings are of."""
    return int(max(row.tolist())) + 1
