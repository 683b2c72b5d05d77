"""What a load is worth: the moving axle, noise, speed and calibration, combined after the GUM.

A wheel bounces (1.5 to 4 Hz) and hops (8 to 15 Hz); rows see it at a few moments. The dynamic part
of the force is taken as a stationary process of those two modes with spread frequencies, so rows
that see the same half wave agree with each other and not with the truth, and the covariance says
so. Its variance begins with a prior of speed and is scaled by how far the rows of this vehicle in
fact scatter. (Facts: metrology 6.1 to 6.3; JCGM 100:2008, 5.2 for correlated inputs.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.records import Bools, Floats, Indices

__all__ = ["Fusion", "Observations", "covariance", "dynamic_prior_rel", "fuse"]

BOUNCE_HZ, U_BOUNCE_HZ = 2.4, 0.8
HOP_HZ, U_HOP_HZ = 11.0, 2.0
HOP_SHARE = 0.25
"""Part of the dynamic variance that is axle hop."""

ROW_SPREAD_REL = 0.006
"""What one row differs from the next by lateral position and lie, part of the load."""

_PRIOR_PER_ROOT_KMH = 0.012
_PRIOR_WEIGHT = 6.0
"""Degrees of freedom that the prior of speed is worth against the scatter of the rows."""

_LEAST_SCALE = 0.35
"""The scatter never speaks for less: a bounce that all rows share does not show in it."""

_GROUP_CORRELATION = 0.4
_AXLE_CORRELATION = 0.25
"""Dynamic errors of axles of one group, and of one vehicle: bodies pitch and roll as one."""

_UNSEEN_KG = 1e9


def dynamic_prior_rel(speed_mps: float) -> float:
    """Dynamic load coefficient (rms over static) expected at a speed.

    Quarter lorries on ISO 8608 roads give about ``0.86 % * sqrt(v in km/h)`` for steel springs on
    class A and for air springs on class B (facts: metrology 6.1); 1.2 % leaves room for the
    sensor's own step in the road.
    """
    return _PRIOR_PER_ROOT_KMH * float(np.sqrt(max(speed_mps, 0.1) * 3.6))


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


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """Best linear estimate of the axles: loads, dynamic and noise uncertainty, weights.

    ``load_kg``, ``u_kg`` are (n_axles,), ``weight`` (n_axles, n_observations), rows sum to 1.
    """

    load_kg: Floats
    u_kg: Floats
    weight: Floats


def _modes(lag_s: Floats, length_s: Floats) -> Floats:
    """Correlation of the dynamic force over lags (n, m, m), each seen as a mean over a length."""
    value = np.zeros_like(lag_s)
    for hz, u_hz, share in (
        (BOUNCE_HZ, U_BOUNCE_HZ, 1 - HOP_SHARE),
        (HOP_HZ, U_HOP_HZ, HOP_SHARE),
    ):
        seen = np.sinc(hz * length_s)
        fade = np.exp(-2 * (np.pi * u_hz * lag_s) ** 2)
        wave = np.cos(2 * np.pi * hz * lag_s) * fade
        value += share * seen[:, :, None] * seen[:, None, :] * wave
    return value


def fuse(seen: Observations, speed_mps: float) -> Fusion:
    """Weigh the rows against each other (generalised least squares) and measure their scatter.

    Each axle has at least one observation.

    Parameters
    ----------
    seen : Observations
    speed_mps : float

    Returns
    -------
    Fusion
        Uncertainties hold the moving axle, the rows' spread and the noise.
    """
    valid = ~np.isnan(seen.load_kg)
    load = np.where(valid, seen.load_kg, 0.0)
    rough = load.sum(axis=1) / valid.sum(axis=1)
    system = _covariance_kg2(seen, valid, rough, dynamic_prior_rel(speed_mps))
    m = load.shape[1]
    right = np.stack([np.ones_like(load), load], axis=2)
    solved = np.linalg.solve(system, right)
    information = np.where(valid, solved[:, :, 0], 0.0)
    weight = information / information.sum(axis=1, keepdims=True)
    fused = (weight * load).sum(axis=1)
    left = np.where(valid, load - fused[:, None], 0.0)
    whitened = np.where(valid, solved[:, :, 1] - solved[:, :, 0] * fused[:, None], 0.0)
    freedom = float(valid.sum() - len(load)) if m > 1 else 0.0
    scale = (_PRIOR_WEIGHT + float((left * whitened).sum())) / (_PRIOR_WEIGHT + freedom)
    u_kg = np.sqrt(max(scale, _LEAST_SCALE) / information.sum(axis=1))
    return Fusion(fused, u_kg, weight)


def _covariance_kg2(seen: Observations, valid: Bools, rough_kg: Floats, sill_rel: float) -> Floats:
    """Covariance of an axle's observations about its static load: (n_axles, m, m)."""
    time = np.where(valid, seen.time_s, 0.0)
    length = np.where(valid, seen.length_s, 0.0)
    both = valid[:, :, None] & valid[:, None, :]
    modes = np.where(both, _modes(time[:, :, None] - time[:, None, :], length), 0.0)
    same_row = seen.row[:, None] == seen.row[None, :]
    relative = sill_rel**2 * modes + ROW_SPREAD_REL**2 * (same_row & both)
    noise = np.where(valid, seen.u_noise_kg, _UNSEEN_KG) ** 2
    # A little of each reading stands alone: modes are no exact law of how a wheel moves.
    alone = np.where(valid, (0.1 * sill_rel * rough_kg[:, None]) ** 2, 0.0)
    system = relative * np.maximum(rough_kg, 1.0)[:, None, None] ** 2
    # Twelve digits are the same on every processor; transcendental functions are to the last only.
    system = np.round(system, 6)
    i = np.arange(system.shape[1])
    system[:, i, i] += noise + alone
    return np.asarray(system)


def covariance(
    fusion: Fusion,
    group: Indices,
    share_kg: Floats,
    u_gain_rel: Floats,
    u_common_rel: float,
    speed_kg: Floats,
    u_speed_rel: float,
) -> Floats:
    """Covariance of the axle loads, kg² (n_axles, n_axles): every sum of axles follows from it.

    Parameters
    ----------
    fusion : Fusion
    group : int array (n_axles,)
        Number of each axle's group.
    share_kg : float array (n_axles, n_channels)
        Part of the axle's load that came through a channel.
    u_gain_rel : float array (n_channels,)
        Independent relative uncertainty of each channel's gain.
    u_common_rel : float
        What all gains share: fully correlated.
    speed_kg : float array (n_axles,)
        Part of the load that scales with the speed (strips); fully correlated.
    u_speed_rel : float
    """
    same = group[:, None] == group[None, :]
    correlation = np.where(same, _GROUP_CORRELATION, _AXLE_CORRELATION)
    np.fill_diagonal(correlation, 1.0)
    moving = correlation * np.outer(fusion.u_kg, fusion.u_kg)
    through = share_kg * u_gain_rel
    gains = (through[:, None, :] * through[None, :, :]).sum(axis=2)
    common = u_common_rel**2 * np.outer(fusion.load_kg, fusion.load_kg)
    speed = u_speed_rel**2 * np.outer(speed_kg, speed_kg)
    return np.asarray(moving + gains + common + speed)
