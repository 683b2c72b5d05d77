"""The covariance of the readings of a moving axle: modes over time, and the lie of the road."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edge.core.modes import DAMPING, lie_correlation, load_scale, oscillation
from edge.core.swing import Swing
from edge.records import Bools, Floats, Indices, read_only

__all__ = ["UNSEEN_KG", "Observations", "covariance_kg2", "doubted_kg2", "parts"]

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
    seen: Observations, valid: Bools, rough_kg: Floats, swing: Swing, speed_mps: Floats
) -> Floats:
    """Covariance of an axle's observations about its static load.

    Parameters
    ----------
    seen : Observations
    valid : bool array (n_axles, m)
        Which of the readings count.
    rough_kg : float array (n_axles,)
        The loads, about.
    swing : Swing
    speed_mps : float array (n_axles,)

    Returns
    -------
    float array (n_axles, m, m)
        Positive definite; a reading that does not count is apart, with ``UNSEEN_KG``.
    """
    time = np.where(valid, seen.time_s, 0.0)
    length = np.where(valid, seen.length_s, 0.0)
    alike = _correlations(time, swing, speed_mps)
    # A mean over a while sees less of a mode, the faster that is.
    half_turn = np.pi * np.maximum(swing.hz[:, :, None] * length, _TINY)
    part = np.sin(half_turn) / half_turn
    variance = swing.variance[:, :, None, None]
    modes = variance * part[:, :, :, None] * part[:, :, None, :] * alike[:-1]
    lie = swing.lie[:, None, None] * alike[-1]
    kg = load_scale(rough_kg) * np.maximum(rough_kg, 1.0)
    both = valid[:, :, None] & valid[:, None, :]
    system = np.where(both, modes[0] + modes[1] + modes[2] + lie, 0.0) * kg[:, None, None] ** 2
    # Twelve digits are the same on every processor; transcendental functions are to the last only.
    system = system.round(6)
    i = np.arange(system.shape[1])
    alone = parts(valid, seen.row) == 1
    apart = _APART * _swings_kg2(rough_kg, swing)[:, None] * alone
    system[:, i, i] += np.where(valid, seen.u_noise_kg, UNSEEN_KG) ** 2 + apart
    return np.asarray(system)


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
    system: Floats, seen: Observations, valid: Bools, rough_kg: Floats, swing: Swing
) -> Floats:
    """The covariance by which parts of plateaus are weighed; strips are taken as they are.

    A plateau that holds a small part of a bounce says little of the rest of it, and that little
    hangs on the model: its parts are doubted the more, until they weigh as in a plain mean.
    """
    if len(seen.row) == count_rows(seen.row):
        return system
    in_row = parts(valid, seen.row)
    if in_row.max(initial=1) == 1:
        return system
    bounce_s = np.where(valid, seen.length_s, 1.0) * np.maximum(in_row, 1)
    cycles = np.maximum(swing.hz[0][:, None] * bounce_s, 0.01)
    doubt = _APART * (1 + (_FEW_CYCLES / cycles) ** 4) * (in_row > 1)
    i = np.arange(system.shape[1])
    doubted = system.copy()
    doubted[:, i, i] += doubt * _swings_kg2(rough_kg, swing)[:, None]
    return doubted


def parts(valid: Bools, row: Indices) -> Indices:
    """How many readings the row of each reading gave of that axle; 0 for one that is missing."""
    if len(row) == count_rows(row):
        return valid.astype(np.int64)
    same_row = (row[:, None] == row[None, :]).astype(np.int64)
    return np.asarray((valid.astype(np.int64) @ same_row) * valid)


def count_rows(row: Indices) -> int:
    """How many rows the readings are of."""
    return int(max(row.tolist())) + 1


def _swings_kg2(rough_kg: Floats, swing: Swing) -> Floats:
    """Variance of the force of each axle."""
    modes = swing.variance[0] + swing.variance[1] + swing.variance[2]
    return np.asarray(modes * (load_scale(rough_kg) * rough_kg) ** 2)
