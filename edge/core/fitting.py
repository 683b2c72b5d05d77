"""From the variogram of a lane to its dynamics: modes, row biases, correlations.

For each kind of vehicle modes are fitted: frequencies over all speeds together, since springs
do not know the speed, and variances speed by speed. The variogram cannot see what all rows share;
the modes' shape tells how much that is, and passes of vehicles of known load tell it directly.
The road lies still: what it adds on a row for all vehicles alike at a speed is a bias, and is
taken off as far as it stands out of the scatter (James and Stein 1961).

Few data shrink to the prior, which is scaled to the roughness of this road first. The same sums
give the same dynamics. (Cressie 1993, 2.6: fitting variograms by least squares; Lawson and Hanson,
Solving Least Squares Problems (1974), ch. 23: variances that are not negative.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import nnls

from edge.core.learn import (
    AXLE_DOT,
    AXLE_NORM,
    GROUP_DOT,
    GROUP_NORM,
    KNOWN,
    KNOWN_SQUARE,
    UNIT,
    VEHICLES,
    Variogram,
)
from edge.core.modes import (
    CENTRES_KMH,
    DAMPING,
    KINDS,
    PRIOR,
    Cell,
    Dynamics,
    Kind,
    lie_correlation,
    oscillation,
)
from edge.records import Floats, LaneLayout

__all__ = ["fit"]

_PATCH_M = 0.22
_ENOUGH = 20.0
"""So many vehicles of a kind at a speed outweigh the prior."""
_HOLD = 6.0
"""Vehicles against which the prior's variances, scaled to this road, are worth as much."""
_STIFFNESS = 0.02
"""What they are worth against any number of data: rows whose lags fall on whole swings of a mode
do not see it, whatever passes."""
_MOST_WEIGHT = 6.0
_MOST_ALIKE = 0.95

_BOUNCE_HZ = (1.6, 1.9, 2.2, 2.6, 3.0, 3.5)
_U_BOUNCE_HZ = (0.1, 0.3, 0.6)
_HOP_HZ = (9.0, 11.0, 13.0)
_U_LOG_BOUNCE, _U_LOG_FADE, _U_LOG_HOP = 0.12, 0.25, 0.1
"""How far a fleet's frequencies may be expected to be from the prior's."""


@dataclass(frozen=True, slots=True, eq=False)
class _Evidence:
    """What was seen of one kind at one speed, in variances per km/h of an axle at reference.

    ``half`` (n_pairs,) are half mean squares without the row biases ``bias`` (n_rows,), ``lag_s``
    (n_pairs,), ``seen_s`` (n_rows,) the time over which a row takes its mean; ``sill`` is NaN
    where no load was known.
    """

    vehicles: float
    kmh: float
    half: Floats
    lag_s: Floats
    seen_s: Floats
    bias: tuple[float, ...]
    sill: float
    group_alike: float
    axle_alike: float


def fit(variogram: Variogram, prior: Dynamics = PRIOR, *, one_road: bool = True) -> Dynamics:
    """The dynamics of a lane, as far as its traffic has shown them.

    Parameters
    ----------
    variogram : Variogram
    prior : Dynamics
        What holds where nothing was seen, and draws where little was.
    one_road : bool
        Whether all passages met the same road, so that it has a bias on each row.

    Returns
    -------
    Dynamics
        Equal to the prior without data.
    """
    kinds, columns = [], []
    for number in range(KINDS):
        seen = {
            s: _evidence(variogram, s, number, one_road)
            for s in range(len(CENTRES_KMH))
            if variogram.whole[s * KINDS + number, VEHICLES]
        }
        cells = [row[number] for row in prior.cells]
        kind = prior.kinds[number]
        road = _road(seen, kind, cells)
        rough = [_rougher(cell, road) for cell in cells]
        if seen:
            kind = _best_kind(seen, kind, rough)
        for s, evidence in seen.items():
            rough[s] = _cell(evidence, kind, rough[s])
        kinds.append(kind)
        columns.append(rough if seen else cells)
    return Dynamics(prior.version, tuple(kinds), tuple(zip(*columns, strict=True)))


def _evidence(variogram: Variogram, speed: int, kind: int, one_road: bool) -> _Evidence:
    cell = speed * KINDS + kind
    pairs, whole = variogram.pairs[cell], variogram.whole[cell].astype(np.float64)
    count = pairs[:, 0].astype(np.float64)
    mean, square, lag_s = (pairs[:, 1:].T * UNIT) / count
    n_rows = len(variogram.lane.rows)
    first, second = np.triu_indices(n_rows, 1)
    vehicles = whole[VEHICLES]
    row = np.zeros((n_rows, n_rows))
    row[first, second], row[second, first] = -mean, mean
    bias = row.mean(axis=1)
    # Axles of one vehicle repeat each other, so it is vehicles that count.
    chance = float(np.mean(square - mean**2)) / 2 / vehicles
    kept = max(0.0, 1 - chance / max(float(np.mean(bias**2)), 1e-12)) if n_rows > 1 else 0.0
    bias = kept * one_road * bias
    step = bias[second] - bias[first]
    known = whole[KNOWN]
    return _Evidence(
        vehicles,
        CENTRES_KMH[speed],
        (square - 2 * step * mean + step**2) / 2,
        lag_s,
        _seen_m(variogram.lane) / (CENTRES_KMH[speed] / 3.6),
        tuple(np.round(bias, 6).tolist()),
        whole[KNOWN_SQUARE] * UNIT / known if known else np.nan,
        whole[GROUP_DOT] / max(whole[GROUP_NORM], 1.0),
        whole[AXLE_DOT] / max(whole[AXLE_NORM], 1.0),
    )


def _seen_m(lane: LaneLayout) -> Floats:
    """Length over which a row takes the mean of the force: strip and patch, or the plateau."""
    width_m = np.array([row.width_m for row in lane.rows])
    plate = np.array([row.kind == "plate" for row in lane.rows])
    return np.asarray(
        np.where(plate, np.maximum(width_m - 1.4 * _PATCH_M, 0.1), width_m + _PATCH_M)
    )


def _design(evidence: _Evidence, kind: Kind) -> Floats:
    """Half mean squares (n_pairs, 4) and sill (last line) for unit variances of each part."""
    first, second = np.triu_indices(len(evidence.seen_s), 1)
    columns = []
    for hz, u_hz, damping in zip(kind.hz, kind.u_hz, DAMPING.tolist(), strict=True):
        part = np.sinc(hz * evidence.seen_s)
        wave = oscillation(evidence.lag_s, hz, u_hz, damping)
        half = (part[first] ** 2 + part[second] ** 2) / 2 - part[first] * part[second] * wave
        columns.append(np.append(half, np.mean(part**2)) * evidence.kmh)
    columns.append(np.append(1 - lie_correlation(evidence.lag_s * evidence.kmh / 3.6), 1.0))
    return np.stack(columns, axis=1)


def _variances(cell: Cell) -> Floats:
    return np.array([cell.bounce, cell.stiff, cell.hop, cell.lie])


def _solve(evidence: _Evidence, kind: Kind, cell: Cell) -> tuple[Floats, float]:
    """Variances of the parts, and how badly they fit (in variances of the half squares)."""
    design, target = _design(evidence, kind), np.append(evidence.half, evidence.sill)
    expected = _variances(cell)
    grows = np.array([evidence.kmh, evidence.kmh, evidence.kmh, 1.0])
    unit = float(grows @ expected)
    known = ~np.isnan(target)
    design, target = design[known], target[known]
    each = 1 / (unit * np.sqrt(len(target)))
    hold = np.sqrt(_STIFFNESS + _HOLD / evidence.vehicles) / np.maximum(expected, 1e-9)
    hold *= grows * expected / unit
    system = np.concatenate([design * each, np.diag(hold)])
    right = np.concatenate([target * each, hold * expected])
    found, left = nnls(system, right)
    return found, float(left**2) * evidence.vehicles


def _best_kind(seen: dict[int, _Evidence], prior: Kind, cells: list[Cell]) -> Kind:
    def badness(kind: Kind) -> float:
        fits = sum(_solve(evidence, kind, cells[s])[1] for s, evidence in seen.items())
        away = np.log([kind.bounce_hz, kind.u_bounce_hz, kind.hop_hz]) - np.log(
            [prior.bounce_hz, prior.u_bounce_hz, prior.hop_hz]
        )
        return fits + float(((away / [_U_LOG_BOUNCE, _U_LOG_FADE, _U_LOG_HOP]) ** 2).sum())

    grid = [Kind(*values) for values in product(_BOUNCE_HZ, _U_BOUNCE_HZ, _HOP_HZ)]
    return min([prior, *grid], key=badness)


def _road(seen: dict[int, _Evidence], kind: Kind, cells: list[Cell]) -> float:
    """How much rougher the road is than the prior's: ratio of variances, drawn to 1."""
    shown = expected = 1e-6
    for s, evidence in seen.items():
        half = (_design(evidence, kind) @ _variances(cells[s]))[:-1]
        weight = evidence.vehicles / max(float(half.mean()), 1e-12)
        shown += weight * float(evidence.half.mean())
        expected += weight * float(half.mean())
    vehicles = sum(evidence.vehicles for evidence in seen.values())
    return float((shown / expected) ** (vehicles / (vehicles + _ENOUGH / 4)))


def _rougher(cell: Cell, road: float) -> Cell:
    same = cell.group_correlation, cell.axle_correlation, cell.weight
    bounce, stiff, hop, lie = (_variances(cell) * road).tolist()
    return Cell(bounce, stiff, hop, lie, *same)


def _cell(evidence: _Evidence, kind: Kind, prior: Cell) -> Cell:
    found, _ = _solve(evidence, kind, prior)
    trust = evidence.vehicles / (evidence.vehicles + _ENOUGH)
    group = _alike(prior.group_correlation, evidence.group_alike, trust)
    axle = min(max(_alike(prior.axle_correlation, evidence.axle_alike, trust), 0.0), _MOST_ALIKE)
    bounce, stiff, hop, lie = np.maximum(found, 1e-9).tolist()
    return Cell(
        bounce,
        stiff,
        hop,
        lie,
        min(max(group, axle), _MOST_ALIKE),
        axle,
        prior.weight + trust * (_MOST_WEIGHT - prior.weight),
        evidence.bias,
    )


def _alike(prior: float, shown: float, trust: float) -> float:
    """Correlation of two axles' errors, from that of their contrasts.

    Axles share the slow bounce more than the hop; rows differ by the hop more than by the bounce.
    So where contrasts are less alike than expected, errors are so by half of that.
    """
    step = shown - prior
    return prior + trust * (step if step > 0 else step / 2)
