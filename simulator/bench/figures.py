"""The flat figures of the accuracy bench, for machines; each of chance with its standard error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from simulator.bench import adversarial
from simulator.bench.adversarial import Outcome
from simulator.bench.cells import Cell
from simulator.bench.free_flow import Counted
from simulator.bench.rows import Row

__all__ = ["ANCHOR", "EXTREMES", "Extreme", "Figures", "figures_of"]

Figures = dict[str, float | str]

ANCHOR = Cell("strips_4", "A", 79.0)
"""The cell of a target of its own."""
_SEEN_CYCLES = 0.6
_MANY_ROWS = 3
_BEYOND_CHANCE = 2.0


@dataclass(frozen=True, slots=True)
class Extreme:
    """The largest of a figure of the cells that it is about, or the least."""

    figure: str
    field: str
    applies: Callable[[Row], bool]
    least: bool = False

    def value(self, row: Row) -> float:
        """The figure of one cell."""
        return float(getattr(row, self.field))


def _strips(row: Row) -> bool:
    return not row.cell.plate and row.cell.rows >= _MANY_ROWS


def _plates(row: Row) -> bool:
    return row.cell.plate


def _seen_long(row: Row) -> bool:
    return row.cell.plate and row.cycles >= _SEEN_CYCLES


def _intervals(row: Row) -> bool:
    return not row.cell.single


EXTREMES = (
    Extreme("strip_sd_over_bound_max", "ratio", _strips),
    Extreme("strip_sd_over_joint_bound_max", "joint_ratio", _strips),
    Extreme("strip_sd_over_kind_max", "kind_ratio", _strips),
    Extreme("strip_sd_over_mean_max", "mean_ratio", _strips),
    Extreme("plate_sd_over_bound_max", "ratio", _seen_long),
    Extreme("plate_sd_over_joint_bound_max", "joint_ratio", _seen_long),
    Extreme("plate_sd_over_mean_max", "mean_ratio", _plates),
    Extreme("coverage95_cell_min_pct", "coverage", _intervals, least=True),
    Extreme("coverage95_cell_max_pct", "coverage", _intervals),
)


def figures_of(
    rows: Sequence[Row],
    spaced: Sequence[Row],
    told: Sequence[Outcome],
    free: Counted,
    limits: tuple[int, int],
) -> Figures:
    """All figures that this run can tell.

    ``*_se`` is the standard error of the figure before it, by chance of the vehicles alone; of a
    largest value it is that of its cell, which ``*_cell`` names: the largest of many lies above
    what each is expected to be.
    """
    figures: Figures = {
        "vehicles": sum(r.vehicles for r in rows),
        "cell_vehicles_wrong_axles": sum(r.wrong_axles for r in rows),
        **_free(free),
        **_hard(told),
        **{name: value for e in EXTREMES for name, value in _extreme(e, rows).items()},
        **_above_mean("strip", [r for r in rows if _strips(r)]),
        **_above_mean("plate", [r for r in rows if _plates(r)]),
        **_anchor(rows),
        **_coverage([r for r in rows if _intervals(r)]),
        **_limit(*limits),
        **_spacing(spaced),
    }
    told_figures = {f"accuracy.{name}": value for name, value in figures.items()}
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in told_figures.items()
        if isinstance(value, str) or math.isfinite(value)
    }


def _free(free: Counted) -> Figures:
    right = free.right_pct / 100.0
    return {
        "axle_count_right_pct": 100.0 * right,
        "axle_count_right_se": 100.0 * _share_se(1.0 - right, free.vehicles),
        "axle_count_vehicles": free.vehicles,
        "axle_count_wrong": free.wrong,
        "axle_count_missed": free.missed,
        "axle_count_doubled": free.doubled,
        "axle_count_ghosts": free.ghosts,
        "free_flow_flagged_pct": 100.0 * free.flagged / max(free.vehicles, 1),
    }


def _hard(told: Sequence[Outcome]) -> Figures:
    cases = adversarial.table(told)
    worst = max(cases, key=lambda case: case.wrong_pct)
    return {
        "adversarial_vehicles": sum(c.vehicles for c in cases),
        "adversarial_vehicles_a_condition": min(c.vehicles for c in cases),
        "adversarial_wrong_unflagged": sum(c.wrong for c in cases),
        "adversarial_wrong_unflagged_max_pct": worst.wrong_pct,
        "adversarial_wrong_unflagged_max_se": 100.0
        * _share_se(worst.wrong_pct / 100.0, worst.vehicles),
        "adversarial_wrong_unflagged_max_vehicles": worst.vehicles,
        "adversarial_wrong_unflagged_max_cell": worst.condition if worst.wrong else "",
        "adversarial_conditions_wrong": sum(c.wrong > 0 for c in cases),
        "adversarial_missed": sum(c.missed for c in cases),
        "adversarial_bold": sum(c.bold for c in cases),
    }


def _extreme(extreme: Extreme, rows: Sequence[Row]) -> Figures:
    """The worst of some cells, its standard error, which it is, and of how many vehicles."""
    told = [r for r in rows if extreme.applies(r) and math.isfinite(extreme.value(r))]
    if not told:
        return {}
    worst = (min if extreme.least else max)(told, key=extreme.value)
    bare = extreme.figure.removesuffix("_pct")
    return {
        extreme.figure: extreme.value(worst),
        f"{bare}_se": worst.se.get(extreme.field, math.nan),
        f"{bare}_cell": worst.cell.name,
        f"{bare}_vehicles": worst.vehicles,
    }


def _above_mean(name: str, rows: Sequence[Row]) -> Figures:
    above = [r for r in rows if r.mean_ratio - 1 > _BEYOND_CHANCE * r.se.get("mean_ratio", 0.0)]
    proven = [r for r in above if r.mean_ratio > 1.0]
    return {f"{name}_cells": len(rows), f"{name}_cells_above_mean_by_2se": len(proven)}


def _anchor(rows: Sequence[Row]) -> Figures:
    row = next((r for r in rows if r.cell == ANCHOR), None)
    if row is None:
        return {}
    return {
        "gain_over_mean_4rows_79kmh_pct": row.gain("axle_sd"),
        "gain_over_mean_4rows_79kmh_se": 100.0 * row.se.get("mean_ratio", math.nan),
        "gain_over_mean_4rows_79kmh_vehicles": row.vehicles,
        "bound_gain_over_mean_4rows_79kmh_pct": row.gain("axle_alone_sd"),
        "kind_gain_over_mean_4rows_79kmh_pct": row.gain("axle_kind_sd"),
        "joint_bound_gain_over_mean_4rows_79kmh_pct": row.gain("axle_oracle_sd"),
    }


def _coverage(rows: Sequence[Row]) -> Figures:
    """Means over the cells."""
    if not rows:
        return {}
    return {
        "coverage95_pct": _mean(r.coverage for r in rows),
        "coverage95_se": _of_mean(r.se.get("coverage", math.nan) for r in rows),
        "coverage95_gross_pct": _mean(r.gross_coverage for r in rows),
        "coverage95_gross_se": _of_mean(r.se.get("gross_coverage", math.nan) for r in rows),
        "coverage95_cells_outside_90_99": sum(not 90.0 <= r.coverage <= 99.0 for r in rows),
        "coverage95_gross_cell_min_pct": min(r.gross_coverage for r in rows),
    }


def _limit(over: int, judged: int) -> Figures:
    share = over / max(judged, 1)
    return {
        "at_limit_vehicles": judged,
        "false_over_at_limit_pct": 100.0 * share,
        "false_over_at_limit_se": 100.0 * _share_se(share, judged),
    }


def _spacing(rows: Sequence[Row]) -> Figures:
    """What weights gain at each distance of the rows; the widest at which 12 % are passed."""
    figures: Figures = {}
    for row in rows:
        figures[f"gain_over_mean_at_{row.cell.spacing_m:g}m_pct"] = row.gain("axle_sd")
        figures[f"gain_over_mean_at_{row.cell.spacing_m:g}m_se"] = 100.0 * row.se.get(
            "mean_ratio", math.nan
        )
        figures[f"joint_bound_gain_at_{row.cell.spacing_m:g}m_pct"] = row.gain("axle_oracle_sd")
    return figures


def _share_se(share: float, n: int) -> float:
    """Standard error of a share; of none it is a third of the upper 95 % limit (rule of three)."""
    if n < 1:
        return math.nan
    return math.sqrt(share * (1.0 - share) / n) or 1.0 / n


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _of_mean(errors: Iterable[float]) -> float:
    """Standard error of a mean of independent values."""
    listed = list(errors)
    return math.sqrt(sum(e * e for e in listed)) / len(listed)
