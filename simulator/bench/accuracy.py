"""How well vehicles are weighed, against the truth and against the bound that physics sets."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.classes import MASS_CLASSES, sigma_to_pass
from edge.records import Floats
from simulator.bench import adversarial
from simulator.bench.adversarial import Outcome
from simulator.bench.cells import Cell, Sample, learn, measure
from simulator.bench.limit import called_over
from simulator.conditions import CONDITIONS

__all__ = ["CELLS", "QUICK", "Report", "Row", "row_of", "run"]

ROADS = ("A", "B")
STRIPS = tuple(f"strips_{rows}" for rows in (1, 2, 3, 4, 6, 8))
PLATES = ("plate_1", "plates_2")
STRIP_KMH = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 79.0, 90.0)
PLATE_KMH = (5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 90.0)

CELLS = tuple(
    Cell(layout, road, speed_kmh)
    for layouts, speeds in ((STRIPS, STRIP_KMH), (PLATES, PLATE_KMH))
    for layout in layouts
    for road in ROADS
    for speed_kmh in speeds
)
QUICK = tuple(
    Cell(layout, "A", speed_kmh)
    for layout, speed_kmh in (("strips_3", 40.0), ("strips_4", 79.0), ("plates_2", 10.0))
)
_QUICK_CONDITIONS = ("free_flow", "tailgate_1_5m", "wheel_beside")

K95 = 1.96
_RUNS = 30
_SEEN_CYCLES = 0.6
_BOUNCE_HZ = 3.0
_PATCH_M, _PLATE_M = 0.25, 0.8
_LEAST_VEHICLES = 20
_LESSONS_A_SPEED = 12
_LESSON_SHARE = 0.1

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the accuracy table; errors in per cent of the true load.

    ``oracle``, ``alone`` and ``kind`` are the same readings under better weights: of one who knows
    each vehicle's springs, for all its axles together or for each axle from its own readings, and
    of one who knows the mean covariance of its type. ``bound`` and ``alone_bound`` are what the
    first two scatter by in theory. Coverage is of intervals of ``1.96 u``.
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
    gross_bias: float
    gross_sd: float
    gross_mean_sd: float
    gross_bound: float
    coverage: float
    gross_coverage: float
    mass_class: str

    @property
    def ratio(self) -> float:
        """Scatter over the bound of each axle by itself, from the same readings where they are."""
        alone = self.axle_alone_sd
        return self.axle_sd / (alone if np.isfinite(alone) else self.axle_alone_bound)

    @property
    def joint_ratio(self) -> float:
        """Scatter over the bound of all axles of a vehicle together."""
        oracle = self.axle_oracle_sd
        return self.axle_sd / (oracle if np.isfinite(oracle) else self.axle_bound)

    @property
    def kind_ratio(self) -> float:
        """Scatter over that of the best weights without knowledge of the single vehicle."""
        return self.axle_sd / self.axle_kind_sd

    @property
    def cycles(self) -> float:
        """Bounce cycles of 3 Hz that one plate sees of an axle."""
        return (_PLATE_M - _PATCH_M) / (self.cell.speed_kmh / 3.6) * _BOUNCE_HZ


@dataclass(frozen=True, slots=True)
class Report:
    """All that the bench found: rows of cells, outcomes of conditions, flat figures."""

    rows: tuple[Row, ...]
    outcomes: tuple[Outcome, ...]
    figures: dict[str, float]


def run(
    vehicles: int = 100,
    hard_vehicles: int = 200,
    *,
    quick: bool = False,
    seed: int = 1,
    progress: Progress = lambda _: None,
) -> Report:
    """Measure all cells with ``vehicles`` each and all conditions with ``hard_vehicles`` each.

    Worlds are spread over the machine's processors; the figures do not depend on how.
    """
    cells, names = (QUICK, _QUICK_CONDITIONS) if quick else (CELLS, tuple(CONDITIONS))
    worlds = -(-hard_vehicles // adversarial.VEHICLES_A_WORLD)
    arrays = list(dict.fromkeys((cell.layout, cell.road) for cell in cells if not cell.single))
    lessons: list[tuple[Any, ...]] = [
        (learn, *array, _speeds(array[0]), _LESSONS_A_SPEED, seed) for array in arrays
    ]
    share = 0.0 if quick else _LESSON_SHARE
    learnt = (
        {}
        if quick
        else dict(zip(arrays, _together(lessons, _part(progress, 0, share)), strict=True))
    )
    jobs: list[tuple[Any, ...]] = [
        (measure, cell, vehicles, seed, learnt.get((cell.layout, cell.road))) for cell in cells
    ]
    jobs += [(adversarial.outcomes, name, seed + k) for name in names for k in range(worlds)]
    jobs += [(called_over, vehicles, seed + k) for k in range(1 if quick else 4)]
    done = list(_together(jobs, _part(progress, share, 1.0)))
    rows = tuple(row_of(c, s) for c, s in zip(cells, done, strict=False))
    told = tuple(o for part in done[len(cells) : -(1 if quick else 4)] for o in part)
    limits = done[-(1 if quick else 4) :]
    return Report(rows, told, _figures(rows, told, limits))


def _speeds(layout: str) -> tuple[float, ...]:
    return STRIP_KMH if layout in STRIPS else PLATE_KMH


def _part(progress: Progress, begin: float, end: float) -> Progress:
    return lambda done: progress(begin + done * (end - begin))


def _together(jobs: Sequence[tuple[Any, ...]], progress: Progress) -> Iterator[Any]:
    # One thread a process: the linear algebra's own threads would fight for the processors.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=fresh) as pool:
        for number, result in enumerate(pool.map(_call, jobs), start=1):
            progress(number / len(jobs))
            yield result


def _call(job: tuple[Any, ...]) -> Any:
    return job[0](*job[1:])


def row_of(cell: Cell, sample: Sample) -> Row:
    """The line of a cell."""
    true_kg, gross_kg = sample.true_kg, sample.gross_kg
    error = sample.load_kg - true_kg
    gross_error = sample.gross_of(error)
    covered = np.abs(error) <= K95 * sample.u_kg
    gross_covered = np.abs(gross_error) <= K95 * sample.u_gross_kg
    gross_pct = 100 * gross_error / gross_kg
    return Row(
        cell,
        sample.passed,
        sample.wrong_axles,
        sample.flagged,
        axle_bias=_mean(100 * error / true_kg),
        axle_sd=_sd_pct(sample.load_kg, true_kg),
        axle_mean_sd=_sd_pct(sample.mean_kg, true_kg),
        axle_kind_sd=_sd_pct(sample.kind_kg, true_kg),
        axle_alone_sd=_sd_pct(sample.alone_kg, true_kg),
        axle_oracle_sd=_sd_pct(sample.oracle_kg, true_kg),
        axle_bound=_rms(100 * sample.u_bound_kg / true_kg),
        axle_alone_bound=_rms(100 * sample.u_alone_kg / true_kg),
        gross_bias=_mean(gross_pct),
        gross_sd=_sd_pct(gross_kg + gross_error, gross_kg),
        gross_mean_sd=_sd_pct(sample.gross_of(sample.mean_kg), gross_kg),
        gross_bound=_rms(100 * sample.u_gross_bound_kg / gross_kg),
        coverage=np.nan if cell.single else 100 * _mean(covered.astype(np.float64)),
        gross_coverage=np.nan if cell.single else 100 * _mean(gross_covered.astype(np.float64)),
        mass_class=_mass_class(gross_pct),
    )


def _mean(values: Floats) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _rms(values: Floats) -> float:
    return float(np.sqrt(_mean(values**2)))


def _sd_pct(load_kg: Floats, true_kg: Floats) -> float:
    return float(np.std(100 * (load_kg / true_kg - 1))) if len(true_kg) else float("nan")


def _mass_class(error_pct: Floats) -> str:
    """The tightest class whose initial verification by 30 runs such errors would pass."""
    if len(error_pct) < _LEAST_VEHICLES:
        return "?"
    sd, bias = float(np.std(error_pct)), abs(_mean(error_pct))
    fits = (
        c.name
        for c in MASS_CLASSES
        if bias < c.initial_pct and sd <= sigma_to_pass(c.initial_pct - bias, _RUNS)
    )
    return next(fits, "-")


def _figures(
    rows: Sequence[Row], told: Sequence[Outcome], limits: Sequence[tuple[int, int]]
) -> dict[str, float]:
    """Flat figures for machines; those without a cell that tells them are left out."""
    strips = [r for r in rows if not r.cell.plate and not r.cell.single]
    many = [r for r in strips if int(r.cell.layout[-1]) >= 3]
    plates = [r for r in rows if r.cell.plate]
    seen = [r for r in plates if r.cycles >= _SEEN_CYCLES]
    covering = [r for r in rows if not r.cell.single]
    anchor = [r for r in rows if r.cell == Cell("strips_4", "A", 79.0)]
    passed = sum(r.vehicles for r in rows)
    cases = adversarial.table(told)
    over, judged = (sum(part) for part in zip(*limits, strict=True))
    figures = {
        "vehicles": passed,
        "axle_count_right_pct": 100 * (1 - sum(r.wrong_axles for r in rows) / passed),
        "adversarial_vehicles": sum(c.vehicles for c in cases),
        "adversarial_wrong_unflagged_max_pct": _most(c.wrong_pct for c in cases),
        "adversarial_missed": sum(c.missed for c in cases),
        "strip_sd_over_bound_max": _most(r.ratio for r in many),
        "strip_sd_over_joint_bound_max": _most(r.joint_ratio for r in many),
        "strip_sd_over_kind_max": _most(r.kind_ratio for r in many),
        "strip_sd_over_mean_max": _most(r.axle_sd / r.axle_mean_sd for r in many),
        "gain_over_mean_4rows_79kmh_pct": _most(
            100 * (1 - r.axle_sd / r.axle_mean_sd) for r in anchor
        ),
        "bound_gain_over_mean_4rows_79kmh_pct": _most(
            100 * (1 - r.axle_alone_sd / r.axle_mean_sd) for r in anchor
        ),
        "joint_bound_gain_over_mean_4rows_79kmh_pct": _most(
            100 * (1 - r.axle_oracle_sd / r.axle_mean_sd) for r in anchor
        ),
        "plate_sd_over_bound_max": _most(r.ratio for r in seen),
        "plate_sd_over_joint_bound_max": _most(r.joint_ratio for r in seen),
        "plate_sd_over_mean_max": _most(r.axle_sd / r.axle_mean_sd for r in plates),
        "coverage95_pct": _mean(np.array([r.coverage for r in covering])),
        "coverage95_gross_pct": _mean(np.array([r.gross_coverage for r in covering])),
        "coverage95_cell_min_pct": min((r.coverage for r in covering), default=np.nan),
        "coverage95_cell_max_pct": _most(r.coverage for r in covering),
        "at_limit_vehicles": judged,
        "false_over_at_limit_pct": 100 * over / judged,
    }
    return {
        f"accuracy.{name}": round(float(value), 4)
        for name, value in figures.items()
        if np.isfinite(value)
    }


def _most(values: Iterable[float]) -> float:
    return max(values, default=float("nan"))
