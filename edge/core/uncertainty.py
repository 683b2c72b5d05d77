"""What a load is worth: the moving axle, noise, speed and calibration, combined after the GUM.

A wheel bounces and hops; rows see it at a few moments, and a plate over a short while. The static
load is common to all readings of an axle, so its best estimate is the mean by kriging: generalised
least squares with the covariance of ``edge.core.modes``, in which readings that see the same half
wave agree with each other and not with the truth. The variance begins with what is known of the
lane, and is scaled by how far the readings of this vehicle in fact scatter.

All axles of many vehicles go through together; each vehicle's numbers are the same, bit for bit,
whichever others it came with. (Sources: G. Matheron, Principles of geostatistics, Econ. Geol. 58
(1963) 1246; N. Cressie, Statistics for Spatial Data (1993), 3.2 and 3.4.5; D. Cebon and C. Winkler,
Transp. Res. Rec. 1311 (1991); JCGM 100:2008, 5.2 for correlated inputs.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.core.axles import first_axles
from edge.core.consensus import contradicting, filled, mean_along, sum_along
from edge.core.kernel import (
    UNSEEN_KG,
    Observations,
    count_rows,
    covariance_kg2,
    diagonals,
    doubted_kg2,
    parts,
)
from edge.core.modes import PRIOR, Dynamics, kind_of, load_scale
from edge.core.swing import Swing
from edge.records import Bools, Floats, Indices, read_only

__all__ = ["Fusion", "Observations", "axle_variance", "fuse", "sum_variance"]

_LEAST_SCALE = 0.35
"""The scatter never speaks for less: a bounce that all rows share does not show in it."""

_UNLIKE = 1.25
"""Vehicles of a kind differ, and what was learned of them is not sure: errors have longer tails
than the normal law of the same variance. Squared, Student's factor for some ten degrees of freedom
less that of his variance (JCGM 100:2008, G.3), so that an interval of 1.96 u holds 95 %."""

_DOUBTED_GAIN = 0.02
"""A gain in variance of which half is believed: so much may be lost by frequencies that are wrong
or learned of few vehicles. At half of it some arrays scatter more than the plain mean, by 0.1 %."""

_SLOWEST_MPS = 0.1
_TRAIN_AXLES = 6
_TRAIN_ALIKE = 0.8
"""Trains of more axles ride on many equal ones, and each meets the same rise of the road under a
row: what one axle reads too low, all read too low, and the rows do not show it."""
_TRAIN_STIFFNESS = 1.4
"""Their springs are made for 12 t and more on an axle, against some 9 t of other lorries."""
_TINY = 1e-30
_FIRST: Indices = read_only(np.zeros(1, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """Best linear estimate of the axles: loads, dynamic and noise uncertainty, weights.

    Attributes
    ----------
    load_kg, u_kg : float array (n_axles,)
    weight : float array (n_axles, n_observations)
        Sums to 1 for each axle.
    group_correlation, axle_correlation : float array (n_axles,)
        Of the errors of two axles of one group, and of two groups of that vehicle.
    left_out : bool array (n_axles, n_observations)
        Readings of rows that contradict all others: they have no weight.
    """

    load_kg: Floats
    u_kg: Floats
    weight: Floats
    group_correlation: Floats
    axle_correlation: Floats
    left_out: Bools


def fuse(
    seen: Observations,
    speed_mps: Floats,
    vehicle: Indices,
    dynamics: Sequence[Dynamics] = (PRIOR,),
    number: Indices = _FIRST,
) -> Fusion:
    """Weigh the readings of each axle against each other, and measure their scatter.

    Parameters
    ----------
    seen : Observations
        Each axle has at least one.
    speed_mps : float array (n_axles,)
        The same for all axles of a vehicle.
    vehicle : int array (n_axles,)
        Number of each axle's vehicle, from 0 on without holes.
    dynamics : sequence of Dynamics
        What is known of the lanes.
    number : int array (n_axles,) or (1,)
        Which of them is each axle's.

    Returns
    -------
    Fusion
        Uncertainties hold the moving axle, the rows' spread and the noise.
    """
    unseen = np.isnan(seen.load_kg)
    holes = unseen if unseen.any() else None
    rough = mean_along(seen.load_kg, holes)
    n_axles = np.bincount(vehicle)
    mean_kg = np.bincount(vehicle, rough) / n_axles
    kind = kind_of(n_axles, mean_kg)[vehicle]
    n_axles_of, n_rows = n_axles[vehicle], count_rows(seen.row)
    rolling_mps = np.maximum(speed_mps, _SLOWEST_MPS)
    swing = Swing.of(dynamics, number, rolling_mps, kind, n_rows, rough, mean_kg[vehicle])
    swing = _alike_in_trains(swing, n_axles_of)
    biased = bool(swing.row_bias.any())
    if biased:
        bias = load_scale(rough)[:, None] * swing.row_bias[:, seen.row]
        seen = replace(seen, load_kg=seen.load_kg / (1 + bias))
    left_out = contradicting(seen.load_kg, seen.row, ~unseen, swing, vehicle)
    contradicted = bool(left_out.any())
    if contradicted:
        holes = unseen | left_out
    if biased or contradicted:
        rough = mean_along(seen.load_kg, holes)
    load = filled(seen.load_kg, holes)
    system = covariance_kg2(seen, holes, rough, swing, speed_mps)
    doubted = doubted_kg2(system, seen, holes, rough, swing)
    solved = np.linalg.solve(doubted, np.ones((*load.shape, 1)))[:, :, 0]
    information = filled(np.asarray(solved, np.float64), holes)
    best = information / _or_nan(sum_along(information))[:, None]
    weight = _cautious(best, _plain(seen.row, holes), doubted)
    fused = sum_along(weight * load)
    scatter = _scatter(system, load, holes, seen.row)
    scale = _scale(*scatter, swing, vehicle, n_axles_of)
    u_kg = np.sqrt(scale * _variance(weight, system))
    correlations = swing.group_correlation, swing.axle_correlation
    return Fusion(fused, u_kg, weight, *correlations, left_out)


def _alike_in_trains(swing: Swing, n_axles: Indices) -> Swing:
    """Correlations of long trains at least ``_TRAIN_ALIKE``, and their stiffer springs."""
    train = n_axles > _TRAIN_AXLES
    if not train.any():
        return swing
    least = np.where(train, _TRAIN_ALIKE, -1.0)
    return replace(
        swing,
        lie=swing.lie * np.where(train, _TRAIN_STIFFNESS**2, 1.0),
        group_correlation=np.maximum(swing.group_correlation, least),
        axle_correlation=np.maximum(swing.axle_correlation, least),
    )


def _cautious(best: Floats, plain: Floats, system: Floats) -> Floats:
    """Weights between the plain mean's and the best by the model: (n_axles, m).

    The model's frequencies are not known for sure, so its weights do not gain all they promise,
    and may lose. They are gone for in so far as they promise more than such doubt may cost: the
    way from the plain weights is shortened as James and Stein (1961) do, which bounds the loss.
    """
    promised = 1 - _variance(best, system) / _variance(plain, system)
    trust = promised / (promised + _DOUBTED_GAIN)
    return np.asarray(plain + trust[:, None] * (best - plain))


def _variance(weight: Floats, system: Floats) -> Floats:
    """Of the weighted mean: (n_axles,)."""
    return sum_along(weight * np.matvec(system, weight))


def _plain(row: Indices, holes: Bools | None) -> Floats:
    """Weights of the plain mean of the rows that saw an axle, of each the mean of its parts.

    Without holes they are the same for all axles: (m,), else (n_axles, m).
    """
    in_row = parts(row, holes)
    if holes is None:
        each = 1 / in_row
        return np.asarray(each / sum_along(each))
    each = filled(1 / np.maximum(in_row, 1), holes)
    return np.asarray(each / _or_nan(sum_along(each))[:, None])


def _or_nan(total: Floats) -> Floats:
    """An axle that no row can speak for has no weight: NaN, and without a warning."""
    return np.where(total == 0.0, np.nan, total)


def _scatter(
    system: Floats, load: Floats, holes: Bools | None, row: Indices
) -> tuple[Floats, Floats]:
    """Squares of the rows about their best mean, against the expected ones, and their freedom.

    The parts of a plate's plateau are taken together: its course is smooth, whatever the plate as
    a whole is off by, and would speak for more certainty than there is.
    """
    seen, rows = np.ones(load.shape, np.bool_) if holes is None else ~holes, system
    n_rows = count_rows(row)
    if n_rows < len(row):
        into = (np.arange(n_rows)[:, None] == row) & seen[:, None, :]
        seen = into.any(axis=2)
        mean = into / np.maximum(into.sum(axis=2, keepdims=True), 1)
        rows = mean @ system @ mean.transpose(0, 2, 1)
        diagonals(rows)[:] += np.where(seen, 0.0, UNSEEN_KG**2)
        load = np.asarray((mean @ load[:, :, None])[:, :, 0], np.float64)
    ones_and_load = np.empty((*load.shape, 2))
    ones_and_load[..., 0], ones_and_load[..., 1] = seen, load
    solved = np.asarray(np.linalg.solve(rows, ones_and_load), np.float64)
    best = sum_along(solved[:, :, 0] * load) / np.maximum(sum_along(solved[:, :, 0] * seen), _TINY)
    left = np.where(seen, load - best[:, None], 0.0)
    whitened = np.asarray(solved[:, :, 1] - solved[:, :, 0] * best[:, None], np.float64)
    return sum_along(left * whitened), np.maximum(seen.sum(axis=1) - 1.0, 0.0)


def _scale(
    scatter: Floats, freedom: Floats, swing: Swing, vehicle: Indices, n_axles: Indices
) -> Floats:
    """Variance of each axle's vehicle against the expected one: a Bayesian mean, (n_axles,).

    Axles that swing alike repeat each other, so their degrees of freedom count for less (the
    variance of a sum of correlated squares).
    """
    worth = 1 / (1 + (n_axles - 1) * swing.axle_correlation**2)
    known = worth * np.bincount(vehicle, freedom)[vehicle]
    shown = worth * np.bincount(vehicle, scatter)[vehicle]
    return _UNLIKE * np.maximum((swing.weight + shown) / (swing.weight + known), _LEAST_SCALE)


def sum_variance(fusion: Fusion, shared_kg: Floats, group: Indices, part: Indices) -> Floats:
    """Variance of sums of axle loads, kg^2, one for each number in ``part``.

    Parameters
    ----------
    fusion : Fusion
    shared_kg : float array (n_axles, n_causes)
        What one standard uncertainty of each further cause (a channel's gain, the reference mass,
        the speed) does to each axle; the causes are independent, each acts on all axles at once.
    group : int array (n_axles,)
        Number of each axle's group, rising from 0; no group reaches over two vehicles.
    part : int array (n_axles,)
        Which sum an axle belongs to, rising from 0: its group or its vehicle.

    Returns
    -------
    float array (n_parts,)
        JCGM 100:2008, equation 16: the moving axles with their correlations, and the causes.
    """
    u, alike, between = fusion.u_kg, fusion.group_correlation, fusion.axle_correlation
    whole_2 = inside = np.bincount(part, u) ** 2
    first = first_axles(part, len(whole_2))
    if part is not group:
        own_2 = np.bincount(group, u) ** 2
        inside = np.bincount(part[first_axles(group, len(own_2))], own_2)
    single = np.bincount(part, (1 - alike) * u**2)
    moving = single + (alike - between)[first] * inside + between[first] * whole_2
    n_causes = shared_kg.shape[1]
    place = part[:, None] * n_causes + np.arange(n_causes)
    causes = np.asarray(np.bincount(place.ravel(), shared_kg.ravel()), np.float64)
    return np.asarray(moving + sum_along(causes.reshape(-1, n_causes) ** 2))


def axle_variance(fusion: Fusion, shared_kg: Floats) -> Floats:
    """Variance of each axle load, kg^2: what :func:`sum_variance` gives of sums of one."""
    alike, between = fusion.group_correlation, fusion.axle_correlation
    square = fusion.u_kg**2
    moving = (1 - alike) * square + (alike - between) * square + between * square
    return np.asarray(moving + sum_along(shared_kg**2))
