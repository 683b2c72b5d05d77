"""A line of the accuracy table: errors of one cell, and how far chance moves each of them.

Standard errors come from a bootstrap over vehicles: the axles of one lorry swing together, so
they are drawn together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.classes import MASS_CLASSES, sigma_to_pass
from edge.records import Floats
from simulator.bench.cells import Cell, Sample

__all__ = ["K95", "Row", "row_of"]

K95 = 1.96
_RUNS = 30
_BOUNCE_HZ = 3.0
_PATCH_M, _PLATE_M = 0.25, 0.8
_LEAST_VEHICLES = 20
_DRAWS = 400
_LOADS = ("load_kg", "mean_kg", "kind_kg", "alone_kg", "oracle_kg")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the accuracy table; errors in per cent of the true load.

    ``oracle``, ``alone`` and ``kind`` are the same readings under better weights: of one who knows
    each vehicle's springs, for all its axles together or for each axle from its own readings, and
    of one who knows the mean covariance of its type. ``bound`` and ``alone_bound`` are what the
    first two scatter by in theory. ``ratio`` and ``joint_ratio`` are the scatter over those two
    bounds, from the same readings where they are (strips), ``mean_ratio`` that over the plain
    mean's. Coverage is of intervals of ``1.96 u``. ``se`` holds standard errors by field.
    """

    cell: Cell
    vehicles: int
    wrong_axles: int
    flagged: int
    axle_bias: float
    axle_sd: float
    axle_mean_sd: float
    axle_kind_sd: float
    axle_alone_sd: float
    axle_oracle_sd: float
    axle_bound: float
    axle_alone_bound: float
    ratio: float
    joint_ratio: float
    kind_ratio: float
    mean_ratio: float
    gross_bias: float
    gross_sd: float
    gross_mean_sd: float
    gross_bound: float
    coverage: float
    gross_coverage: float
    mass_class: str
    se: dict[str, float]

    @property
    def cycles(self) -> float:
        """Bounce cycles of 3 Hz that one plate sees of an axle."""
        return (_PLATE_M - _PATCH_M) / (self.cell.speed_kmh / 3.6) * _BOUNCE_HZ

    def gain(self, field: str) -> float:
        """By how many per cent a scatter lies below the plain mean's."""
        return 100.0 * (1.0 - float(getattr(self, field)) / self.axle_mean_sd)


def row_of(cell: Cell, sample: Sample) -> Row:
    """The line of a cell."""
    sums = _Sums.of(sample)
    all_once = np.ones((1, len(sample.gross_kg)))
    figures = {name: float(values[0]) for name, values in _figures(sums, all_once, cell).items()}
    error_pct = 100.0 * (sample.gross_of(sample.load_kg) / sample.gross_kg - 1.0)
    return Row(
        cell=cell,
        vehicles=sample.passed,
        wrong_axles=sample.wrong_axles,
        flagged=sample.flagged,
        mass_class=_mass_class(error_pct),
        se=_standard_errors(sums, cell),
        **figures,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """What the figures are made of, summed over the axles of each vehicle: (n_vehicles,) each."""

    axles: Floats
    first: dict[str, Floats]
    """Sums of the errors in per cent, by estimate."""
    second: dict[str, Floats]
    """Sums of their squares."""
    bound: Floats
    alone_bound: Floats
    covered: Floats
    gross: Floats
    gross_mean: Floats
    gross_bound: Floats
    gross_covered: Floats

    @classmethod
    def of(cls, sample: Sample) -> _Sums:
        true_kg, gross_kg = sample.true_kg, sample.gross_kg
        error = {name: 100.0 * (getattr(sample, name) / true_kg - 1.0) for name in _LOADS}
        off_kg = sample.load_kg - true_kg
        gross_off_kg = sample.gross_of(off_kg)
        return cls(
            sample.gross_of(np.ones_like(true_kg)),
            {name: sample.gross_of(e) for name, e in error.items()},
            {name: sample.gross_of(e**2) for name, e in error.items()},
            sample.gross_of((100.0 * sample.u_bound_kg / true_kg) ** 2),
            sample.gross_of((100.0 * sample.u_alone_kg / true_kg) ** 2),
            sample.gross_of((np.abs(off_kg) <= K95 * sample.u_kg).astype(np.float64)),
            100.0 * gross_off_kg / gross_kg,
            100.0 * sample.gross_of(sample.mean_kg - true_kg) / gross_kg,
            (100.0 * sample.u_gross_bound_kg / gross_kg) ** 2,
            (np.abs(gross_off_kg) <= K95 * sample.u_gross_kg).astype(np.float64),
        )


def _figures(sums: _Sums, weight: Floats, cell: Cell) -> dict[str, Floats]:
    """All figures for each draw of vehicles; ``weight`` is (draws, n_vehicles)."""
    axles, vehicles = weight @ sums.axles, weight.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = {name: weight @ part / axles for name, part in sums.first.items()}
        sd = {
            name: np.sqrt(np.maximum(weight @ part / axles - mean[name] ** 2, 0.0))
            for name, part in sums.second.items()
        }
        bound = np.sqrt(weight @ sums.bound / axles)
        alone_bound = np.sqrt(weight @ sums.alone_bound / axles)
        gross = weight @ sums.gross / vehicles
        no_interval = np.nan if cell.single else 100.0
        return {
            "axle_bias": mean["load_kg"],
            "axle_sd": sd["load_kg"],
            "axle_mean_sd": sd["mean_kg"],
            "axle_kind_sd": sd["kind_kg"],
            "axle_alone_sd": sd["alone_kg"],
            "axle_oracle_sd": sd["oracle_kg"],
            "axle_bound": bound,
            "axle_alone_bound": alone_bound,
            "ratio": sd["load_kg"] / (alone_bound if cell.plate else sd["alone_kg"]),
            "joint_ratio": sd["load_kg"] / (bound if cell.plate else sd["oracle_kg"]),
            "kind_ratio": sd["load_kg"] / sd["kind_kg"],
            "mean_ratio": sd["load_kg"] / sd["mean_kg"],
            "gross_bias": gross,
            "gross_sd": _sd(weight, sums.gross, vehicles),
            "gross_mean_sd": _sd(weight, sums.gross_mean, vehicles),
            "gross_bound": np.sqrt(weight @ sums.gross_bound / vehicles),
            "coverage": no_interval * (weight @ sums.covered) / axles,
            "gross_coverage": no_interval * (weight @ sums.gross_covered) / vehicles,
        }


def _sd(weight: Floats, values: Floats, vehicles: Floats) -> Floats:
    mean = weight @ values / vehicles
    return np.asarray(np.sqrt(np.maximum(weight @ values**2 / vehicles - mean**2, 0.0)))


def _standard_errors(sums: _Sums, cell: Cell) -> dict[str, float]:
    n = len(sums.axles)
    if n < 2:
        return {}
    chance = np.random.default_rng(n)
    drawn = chance.multinomial(n, np.full(n, 1.0 / n), _DRAWS).astype(np.float64)
    se = {name: float(np.std(values)) for name, values in _figures(sums, drawn, cell).items()}
    # Where all are covered, or none, no draw differs; a share of n is not known to better than 1/n.
    return se | {name: se[name] or 100.0 / n for name in ("coverage", "gross_coverage")}


def _mass_class(error_pct: Floats) -> str:
    """The tightest class whose initial verification by 30 runs such errors would pass."""
    if len(error_pct) < _LEAST_VEHICLES:
        return "?"
    sd, bias = float(np.std(error_pct)), abs(float(np.mean(error_pct)))
    fits = (
        c.name
        for c in MASS_CLASSES
        if bias < c.initial_pct and sd <= sigma_to_pass(c.initial_pct - bias, _RUNS)
    )
    return next(fits, "-")
