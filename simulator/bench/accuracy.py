"""How well vehicles are weighed, against the truth and against the bound that physics sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.core.modes import Dynamics
from simulator.bench import adversarial, free_flow
from simulator.bench.adversarial import Outcome
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
_LESSONS_A_SPEED = 12
_FREE_A_JOB = 250
_LIMIT_A_JOB = 100
_FREE_COST, _HARD_COST, _ALONE_COST = 0.8, 1.8, 5.0
_SLOW_KMH = 6.0
"""Costs are in vehicles of a fast cell, 30 ms; at this speed one costs twice as much."""


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

    def vehicles_of(self, cell: Cell) -> int:
        """Vehicles of one cell."""
        special = cell.spacing_m is not None or cell == ANCHOR
        return self.vehicles * (self.anchor_times if special else 1)


FULL = Size()
QUICK = Size(_QUICK_CELLS, (), _QUICK_CONDITIONS, 40, 1, hard=40, free=250, limit=100, learnt=False)


@dataclass(frozen=True, slots=True)
class Report:
    """All that the bench found: rows of cells, outcomes of conditions, flat figures."""

    rows: tuple[Row, ...]
    outcomes: tuple[Outcome, ...]
    figures: Figures
    spaced: tuple[Row, ...] = ()


def run(size: Size = FULL, *, seed: int = SEED, progress: Progress = lambda _: None) -> Report:
    """Measure all that ``size`` names.

    Worlds are spread over the machine's processors; the figures do not depend on how. Lessons,
    cells, hard traffic, free flow and limits all drive on seeds of their own.
    """
    cells = (*size.cells, *size.spaced)
    lessons = _lessons(cells, seed) if size.learnt else {}
    groups = {"cells": _cell_jobs(size, cells, seed, {}), **_other_jobs(size, seed)}
    learning = _cost(lessons.values())
    share = learning / (learning + sum(map(_cost, groups.values())))
    lessons_learnt = together(list(lessons.values()), part(progress, 0.0, share))
    learnt = dict(zip(lessons, lessons_learnt, strict=True))
    groups["cells"] = _cell_jobs(size, cells, seed, learnt)
    every = [job for group in groups.values() for job in group]
    results = iter(together(every, part(progress, share, 1.0)))
    done = {name: [next(results) for _ in group] for name, group in groups.items()}
    rows = tuple(row_of(cell, sample) for cell, sample in zip(cells, done["cells"], strict=True))
    told = tuple(outcome for world in done["hard"] for outcome in world)
    over, judged = (sum(numbers) for numbers in zip(*done["limit"], strict=True))
    own, spaced = rows[: len(size.cells)], rows[len(size.cells) :]
    free = sum(done["free"], Counted())
    figures = figures_of(own, spaced, told, free, (over, judged))
    return Report(own, told, figures, spaced)


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
    a_world = min(adversarial.VEHICLES_A_WORLD, size.hard)
    return {
        "hard": [
            Job(
                adversarial.outcomes,
                (name, _SEEDS_A_RUN * seed + world, a_world),
                a_world * (_ALONE_COST if CONDITIONS[name].alone else _HARD_COST),
            )
            for name in size.conditions
            for world in range(-(-size.hard // a_world))
        ],
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
