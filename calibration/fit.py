"""Gains of one lane's channels from reference passes: robust, weighted, with their uncertainty.

A pass of a vehicle of known mass gives, for each row of sensors, one equation: left and right
wheel times their gains make the reference. Dynamic load is the noise of that equation, so a row is
solved from the mean over passes and not from any single one. How a row's gain splits into left
and right shows only where the load moves between the sides; a prior holds the split near equal
corrections where it does not, and the answer says how much is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.records import Bools, Floats, Indices

__all__ = ["LaneFit", "LaneRuns", "fit_gains"]

SPLIT_PRIOR_REL = 0.03
"""Standard deviation, before any pass, of half the relative difference between the two gains of a
row: makers' scatter of sensitivity with mounting (an engineering estimate)."""

_TUKEY = 4.685
"""Biweight constant: 95 % efficient for normal errors (Holland and Welsch 1977)."""
_MAD_TO_SD = 1.4826
_SCALE_FLOOR = 0.002
"""Scatter below 0.2 % makes no run an outlier."""
_STILL_REL = 1e-6
"""A load that moves less between the sides, over its sum, is rounding and tells nothing."""
_ROUNDS = 40
_WEIGHING_ROUNDS = 12
"""After these the weights are held: medians make them jump, and the rest then settles."""
_SETTLED = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LaneRuns:
    """Reference passes over one lane, weighed with the gains that are to be corrected.

    Attributes
    ----------
    wheel_kg : float array (n_runs, n_axles, n_rows, 2)
        Left and right wheel of every axle on every row; NaN where missing, and beyond the axles
        of vehicles that have fewer.
    vehicle : int array (n_runs,)
        Number of the vehicle of each run.
    condition : int array (n_runs,)
        Number of the vehicle and speed of each run: what repeats by place is alike in these.
    gross_kg : float array (n_vehicles,)
        Reference gross mass.
    share : float array (n_vehicles, n_axles)
        Static axle loads as shares of the gross; all NaN where they are no reference.
    """

    wheel_kg: Floats
    vehicle: Indices
    condition: Indices
    gross_kg: Floats
    share: Floats


@dataclass(frozen=True, slots=True, eq=False)
class LaneFit:
    """Corrections of one lane, relative to the gains with which its runs were weighed.

    Attributes
    ----------
    correction : float array (n_rows, 2)
        Factor for the newton per count of each channel, left and right.
    u_row_rel : float array (n_rows,)
        Standard uncertainty of a row's level against the other rows.
    u_split_rel : float array (n_rows,)
        Standard uncertainty of half the difference between its two channels.
    u_lane_rel : float
        Standard uncertainty of the level of all rows together, without the reference masses.
    weight : float array (n_runs,)
        Share with which a run counted, 0 for an outlier.
    axle_kg : float array (n_runs, n_axles)
        Axle loads with the corrected gains, mean over rows.
    reference_kg : float array (n_runs, n_axles)
        Static axle load, or the corrected mean where there is none.
    """

    correction: Floats
    u_row_rel: Floats
    u_split_rel: Floats
    u_lane_rel: float
    weight: Floats
    axle_kg: Floats
    reference_kg: Floats


def fit_gains(runs: LaneRuns) -> LaneFit:
    """Correct the gains of a lane's channels by its reference passes.

    Parameters
    ----------
    runs : LaneRuns
        At least two runs; every row has seen at least one axle.

    Returns
    -------
    LaneFit
        Corrections with uncertainties, weights and the corrected loads of the runs.

    Raises
    ------
    ValueError
        Fewer than two runs, or a row or run in which no axle pressed on both sides.

    Notes
    -----
    Iterated to a fixed point: references (static axles of the two-axle rigid vehicle, corrected
    means of the others, OIML R 134-1:2006 as ``reference_loads`` states), biweight weights of
    runs and of rows in runs, row levels and splits. Uncertainties follow the GUM, type A. One
    vehicle at one speed bounces alike at the same place in every pass (spatial repeatability,
    Cole and Cebon 1992), so its runs do not average that out and count as one observation.
    """
    seen: Bools = np.all(np.isfinite(runs.wheel_kg), axis=-1)
    met: Bools = np.any(seen, axis=1)
    if len(met) < 2 or not (met.any(axis=0).all() and met.any(axis=1).all()):
        raise ValueError("two runs at least; no row and no run without any axle")
    correction, weight = _first_guess(runs), np.ones(len(runs.vehicle))
    for number in range(_ROUNDS):
        reference_kg = reference_loads(_axle_kg(runs, correction), runs, weight)
        sums, differences = _responses(runs, seen, reference_kg)
        if number < _WEIGHING_ROUNDS:
            weight, cell = _weights(_residuals(sums, differences, correction))
        before = correction
        correction, split_u = _solve(sums, differences, cell)
        if np.abs(correction / before - 1).max() < _SETTLED:
            break
    residual = np.where(cell > 0, _residuals(sums, differences, correction), np.nan)
    run_error = _mean(residual, cell, axis=1)
    apart = (residual - run_error[:, None]).T
    return LaneFit(
        correction=correction,
        u_row_rel=np.array([u_of_mean(row, runs.condition) for row in apart]),
        u_split_rel=split_u,
        u_lane_rel=u_of_mean(run_error, runs.condition),
        weight=weight,
        axle_kg=_axle_kg(runs, correction),
        reference_kg=reference_kg,
    )


def reference_loads(axle_kg: Floats, runs: LaneRuns, weight: Floats) -> Floats:
    """Reference load of every axle of every run.

    Parameters
    ----------
    axle_kg : float array (n_runs, n_axles)
        Measured axle loads.
    runs : LaneRuns
        The runs, with static shares where they are a reference.
    weight : float array (n_runs,)
        Weights of the runs in the means.

    Returns
    -------
    float array (n_runs, n_axles)
        Static load for a two-axle rigid vehicle; for the others the corrected mean
        ``mean_j * VMref / sum(mean)`` of OIML R 134-1:2006 (from memory; the same in the Polish
        order Dz.U. 2004/35/316, section 1(6)). NaN beyond a vehicle's axles.
    """
    reference = np.empty_like(axle_kg)
    for number, gross_kg in enumerate(runs.gross_kg):
        mine = runs.vehicle == number
        share = runs.share[number]
        if np.isnan(share).all() and mine.any():
            mean = _mean(axle_kg[mine], weight[mine, None], axis=0)
            share = mean / np.nansum(mean)
        reference[mine] = share * gross_kg
    return reference


def u_of_mean(error: Floats, condition: Indices) -> float:
    """Standard uncertainty of the mean of run errors that repeat by condition.

    Parameters
    ----------
    error : float array (n_runs,)
        Errors of the runs that count; NaN where a run has none.
    condition : int array (n_runs,)
        Runs of one number repeat each other; where all have one, each run stands for itself.

    Returns
    -------
    float
        Experimental standard deviation of the mean over the means of the conditions, widened for
        their small number as JCGM 101:2008, 6.4.9.4 does (as of four where there are fewer);
        infinite where fewer than two errors count.
    """
    counts = np.isfinite(error)
    error, condition = error[counts], condition[counts]
    present = np.unique(condition)
    means = np.array([error[condition == c].mean() for c in present]) if len(present) > 1 else error
    n = len(means)
    if n < 2:
        return float("inf")
    wider = (max(n, 4) - 1) / (max(n, 4) - 3)
    return float(np.sqrt(wider * means.var(ddof=1) / n))


def _first_guess(runs: LaneRuns) -> Floats:
    """One factor for each row: the median over runs of the reference mass over what it showed."""
    shown_kg = np.nansum(runs.wheel_kg, axis=(1, 3))
    shown_rel = np.where(shown_kg > 0, shown_kg, np.nan) / runs.gross_kg[runs.vehicle, None]
    return np.repeat(1 / np.nanmedian(shown_rel, axis=0)[:, None], 2, axis=1)


def _axle_kg(runs: LaneRuns, correction: Floats) -> Floats:
    rows = (runs.wheel_kg * correction).sum(axis=-1)
    return _mean(rows, np.ones_like(rows), axis=2)


def _responses(runs: LaneRuns, seen: Bools, reference_kg: Floats) -> tuple[Floats, Floats]:
    """Left plus right and left minus right of each run and row, per unit of reference load."""
    wheel = np.where(seen[..., None], runs.wheel_kg, 0.0)
    load = np.where(seen, reference_kg[:, :, None], 0.0).sum(axis=1)
    left, right = wheel[..., 0].sum(axis=1), wheel[..., 1].sum(axis=1)
    load = np.where(load > 0, load, np.nan)
    return (left + right) / load, (left - right) / load


def _residuals(sums: Floats, differences: Floats, correction: Floats) -> Floats:
    level, half = correction.mean(axis=1), (correction[:, 0] - correction[:, 1]) / 2
    residual: Floats = sums * level + differences * half - 1
    return residual


def _weights(residual: Floats) -> tuple[Floats, Floats]:
    """Biweights of the runs (n_runs,), and with those of rows in runs (n_runs, n_rows)."""
    run_error = np.nanmedian(residual, axis=1)
    cell = _biweight(residual - run_error[:, None], axis=0)
    run = _biweight(_mean(residual, cell, axis=1), axis=0)
    return run, cell * run[:, None]


def _biweight(error: Floats, axis: int) -> Floats:
    centred = error - np.nanmedian(error, axis=axis, keepdims=True)
    scale = _MAD_TO_SD * np.nanmedian(np.abs(centred), axis=axis, keepdims=True)
    apart = np.abs(centred) / (_TUKEY * np.maximum(scale, _SCALE_FLOOR))
    return np.where(apart < 1, (1 - np.minimum(apart, 1) ** 2) ** 2, 0.0)


def _solve(sums: Floats, differences: Floats, cell: Floats) -> tuple[Floats, Floats]:
    """Corrections (n_rows, 2) and the uncertainty of their split (n_rows,).

    With level ``c`` and split ``d`` a row obeys ``c * (sum + d * difference) = 1``, so the sums
    fall with the differences by the slope ``-d``. The sums carry the noise and stay on the left
    side, else the mean of their inverse would bias the level. The differences are noisy too;
    their part that the other rows confirm stands for them (an instrument), so that noise is not
    taken for a known split.
    """
    correction = np.empty((sums.shape[1], 2))
    split_u = np.empty(sums.shape[1])
    position = differences / sums
    for row in range(sums.shape[1]):
        good = np.isfinite(sums[:, row]) & (cell[:, row] > 0)
        others = _mean(np.delete(position, row, axis=1)[good], np.delete(cell, row, axis=1)[good])
        weight = cell[good, row]
        total, apart = sums[good, row], differences[good, row]
        split, split_u[row] = _split(total, apart, np.nan_to_num(others), weight)
        level = 1 / np.average(total + split * apart, weights=weight)
        correction[row] = level * (1 + split), level * (1 - split)
    return correction, split_u


def _split(total: Floats, apart: Floats, others: Floats, weight: Floats) -> tuple[float, float]:
    """Half the relative difference of a row's gains, and its standard uncertainty."""
    total, apart, others = (x - np.average(x, weights=weight) for x in (total, apart, others))
    spread = float((weight * others**2).sum())
    moves = spread > _STILL_REL**2 * weight.sum()
    follows = float((weight * others * apart).sum()) / spread if moves else 0.0
    known = follows * others
    noise = float((weight * total**2).sum() / weight.sum())
    strength = float((weight * known**2).sum()) / noise if noise > 0 else 0.0
    posterior = 1 / (strength + SPLIT_PRIOR_REL**-2)
    slope = float((weight * known * total).sum()) / noise if noise > 0 else 0.0
    return -slope * posterior, float(np.sqrt(posterior))


def _mean(values: Floats, weight: Floats, axis: int = -1) -> Floats:
    """Weighted mean of the finite values along an axis; NaN where none counts."""
    counts = np.isfinite(values)
    total = np.asarray(np.where(counts, weight, 0.0).sum(axis=axis))
    summed = np.where(counts, values * weight, 0.0).sum(axis=axis)
    mean: Floats = np.divide(summed, total, out=np.full_like(total, np.nan), where=total > 0)
    return mean
