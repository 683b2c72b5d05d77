"""How well vehicles are weighed, against the truth and against the bound that physics sets.

What misses a target in the first pass is measured again (``simulator.bench.again``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge.core.modes import Dynamics
from simulator.bench import adversarial, free_flow
from simulator.bench.adversarial import Outcome
from simulator.bench.again import conditions_that_miss, later_of, rows_that_miss
from simulator.bench.cells import Cell, learn, measure
from simulator.bench.figures import ANCHOR, Figures, figures_of
from simulator.bench.free_flow import Counted
from simulator.bench.jobs import Job, Progress, part, together
from simulator.bench.limit import called_over
from simulator.bench.rows import Row, row_of
from simulator.conditions import CONDITIONS
from simulator.layouts import best_spacing_m

__all__ = ["CELLS", "FULL", "QUICK", "SPACED", "Report", "Row", "Size", "row_of", "run"]

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
SPACED = tuple(
    Cell("strips_4", "A", 79.0, spacing_m)
    for spacing_m in (0.5, 0.75, 1.0, 1.5, 2.0, round(best_spacing_m(4, 80.0), 2), 3.5, 4.0)
)
"""Four rows on road A at 79 km/h, at several distances."""

_QUICK_CELLS = (Cell("strips_3", "A", 40.0), ANCHOR, Cell("plates_2", "A", 10.0))
_QUICK_CONDITIONS = ("free_flow", "tailgate_1_5m", "wheel_beside")
SEED = 11
"""Rules and models were made while looking at other seeds."""
_SEEDS_A_RUN = 1_000
_SEEDS_AGAIN = 5_000
"""Further than any other seed, so that what is measured again meets other vehicles."""
_LESSONS_A_SPEED = 12
_FREE_A_JOB = 250
_LIMIT_A_JOB = 100
_FREE_COST, _HARD_COST, _ALONE_COST = 0.8, 1.8, 5.0
_SLOW_KMH = 6.0
"""Costs are in vehicles of a fast cell, 30 ms; at this speed one costs twice as much."""
_AGAIN_PART = 0.25
"""About so much of the time goes into what is measured again."""


@dataclass(frozen=True, slots=True)
class Size:
    """What is measured: cells with so many vehicles each, and so on."""

    cells: tuple[Cell, ...] = CELLS
    spaced: tuple[Cell, ...] = SPACED
    conditions: tuple[str, ...] = tuple(CONDITIONS)
    vehicles: int = 100
    anchor_times: int = 3
    """The cell of a target of its own gets so many times more vehicles, as the spaced ones do."""
    hard: int = 1_000
    free: int = 20_000
    limit: int = 2_000
    learnt: bool = True
    """Whether stations have learned before; otherwise they weigh with the prior."""
    again: int = 4
    """What misses a target is measured again with so many times the vehicles, if with any."""

    def vehicles_of(self, cell: Cell) -> int:
        """Vehicles of one cell."""
        special = cell.spacing_m is not None or cell == ANCHOR
        return self.vehicles * (self.anchor_times if special else 1)


FULL = Size()
QUICK = Size(
    _QUICK_CELLS, (), _QUICK_CONDITIONS, 40, 1, hard=40, free=250, limit=100, learnt=False, again=0
)


@dataclass(frozen=True, slots=True)
class Report:
    """All that the bench found: rows of cells, outcomes of conditions, flat figures.

    ``first`` and ``told_first`` are those of the first pass that were measured again; what counts
    is in ``rows`` and ``outcomes``.
    """

    rows: tuple[Row, ...]
    outcomes: tuple[Outcome, ...]
    figures: Figures
    spaced: tuple[Row, ...] = ()
    first: tuple[Row, ...] = ()
    told_first: tuple[Outcome, ...] = ()


def run(size: Size = FULL, *, seed: int = SEED, progress: Progress = lambda _: None) -> Report:
    """Measure all that ``size`` names.

    Worlds are spread over the machine's processors; the figures do not depend on how. Lessons,
    cells, hard traffic, free flow and limits all drive on seeds of their own.
    """
    begin_s = time.monotonic()
    cells = (*size.cells, *size.spaced)
    lessons = _lessons(cells, seed) if size.learnt else {}
    groups = {"cells": _cell_jobs(size, cells, seed, {}), **_other_jobs(size, seed)}
    learning = _cost(lessons.values())
    first_end = 1.0 - _AGAIN_PART if size.again else 1.0
    share = first_end * learning / (learning + sum(map(_cost, groups.values())))
    lessons_learnt = together(list(lessons.values()), part(progress, 0.0, share))
    learnt = dict(zip(lessons, lessons_learnt, strict=True))
    groups["cells"] = _cell_jobs(size, cells, seed, learnt)
    done = _done(groups, part(progress, share, first_end))
    rows, told = _told(cells, done)
    own, spaced = rows[: len(size.cells)], rows[len(size.cells) :]
    again, retold = _again(size, own, told, seed, learnt, part(progress, first_end, 1.0))
    counted, outcomes = later_of(own, told, again, retold)
    over, judged = (sum(numbers) for numbers in zip(*done["limit"], strict=True))
    free = sum(done["free"], Counted())
    figures = figures_of(counted, spaced, outcomes, free, (over, judged))
    figures["accuracy.cells_measured_again"] = len(again)
    figures["accuracy.conditions_measured_again"] = len({o.condition for o in retold})
    figures["accuracy.minutes"] = round((time.monotonic() - begin_s) / 60, 1)
    first = tuple(row for row, now in zip(own, counted, strict=True) if row is not now)
    told_first = tuple(o for o in told if o.condition in {r.condition for r in retold})
    return Report(counted, outcomes, figures, spaced, first, told_first)


def _done(groups: Mapping[str, Sequence[Job]], progress: Progress) -> dict[str, list[Any]]:
    """All jobs together, their results by group."""
    results = iter(together([job for group in groups.values() for job in group], progress))
    return {name: [next(results) for _ in group] for name, group in groups.items()}


def _told(
    cells: Sequence[Cell], done: Mapping[str, Sequence[Any]]
) -> tuple[tuple[Row, ...], tuple[Outcome, ...]]:
    rows = tuple(row_of(cell, sample) for cell, sample in zip(cells, done["cells"], strict=True))
    return rows, tuple(outcome for world in done["hard"] for outcome in world)


def _again(
    size: Size,
    rows: Sequence[Row],
    told: Sequence[Outcome],
    seed: int,
    learnt: Mapping[Any, Dynamics],
    progress: Progress,
) -> tuple[tuple[Row, ...], tuple[Outcome, ...]]:
    """What missed a target, with fresh vehicles; the stations know what they knew."""
    cells = tuple(row.cell for row in rows_that_miss(rows))
    conditions = tuple(conditions_that_miss(told))
    if not size.again or not (cells or conditions):
        progress(1.0)
        return (), ()
    vehicles, hard = size.again * size.vehicles, size.again * size.hard
    more = replace(size, vehicles=vehicles, hard=hard, conditions=conditions)
    fresh = seed + _SEEDS_AGAIN
    jobs = {"cells": _cell_jobs(more, cells, fresh, learnt), "hard": _hard_jobs(more, fresh)}
    return _told(cells, _done(jobs, progress))


def _cost(jobs: Iterable[Job]) -> float:
    return sum(job.cost for job in jobs)


def _lessons(cells: Sequence[Cell], seed: int) -> dict[Any, Job]:
    """What to learn before, by array and road: from all speeds at which it is judged."""
    return {
        cell.array: Job(
            learn,
            (cell.layout, cell.road, _speeds(cell), _LESSONS_A_SPEED, seed, cell.spacing_m),
            _LESSONS_A_SPEED * len(_speeds(cell)),
        )
        for cell in cells
        if not cell.single
    }


def _speeds(cell: Cell) -> tuple[float, ...]:
    return PLATE_KMH if cell.plate else STRIP_KMH


def _other_jobs(size: Size, seed: int) -> dict[str, list[Job]]:
    """Hard conditions, free flow, and vehicles at the limit."""
    return {
        "hard": _hard_jobs(size, seed),
        "free": [
            Job(
                free_flow.count_world,
                (_FREE_A_JOB, 100 * _SEEDS_A_RUN * seed + world),
                _FREE_COST * _FREE_A_JOB,
            )
            for world in range(-(-size.free // _FREE_A_JOB))
        ],
        "limit": [
            Job(called_over, (_LIMIT_A_JOB, _SEEDS_A_RUN * seed + world), _LIMIT_A_JOB)
            for world in range(-(-size.limit // _LIMIT_A_JOB))
        ],
    }


def _hard_jobs(size: Size, seed: int) -> list[Job]:
    a_world = min(adversarial.VEHICLES_A_WORLD, size.hard)
    return [
        Job(
            adversarial.outcomes,
            (name, _SEEDS_A_RUN * seed + world, a_world),
            a_world * (_ALONE_COST if CONDITIONS[name].alone else _HARD_COST),
        )
        for name in size.conditions
        for world in range(-(-size.hard // a_world))
    ]


def _cell_jobs(
    size: Size, cells: Sequence[Cell], seed: int, learnt: Mapping[Any, Dynamics]
) -> list[Job]:
    return [
        Job(
            measure,
            (cell, number, seed, learnt.get(cell.array)),
            number * (1 + _SLOW_KMH / cell.speed_kmh),
        )
        for cell in cells
        for number in [size.vehicles_of(cell)]
    ]
