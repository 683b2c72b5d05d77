"""Free flow of mixed lorries over the mixed site: are all of their axles counted, each once?

Types and loads are mixed; converters have white and pink noise, hum, cross-talk and drifting zeros;
strips and plates lie a little askew and not quite flush. Whether a weight was doubted is counted
beside, for what is flagged is right or wrong as well.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, replace
from functools import partial

import numpy as np

from edge.records import LEGAL_BARRIERS, Passage
from simulator.bench.adversarial import assigned
from simulator.conditions import CONDITIONS
from simulator.layouts import mixed
from simulator.traffic import Passing

__all__ = ["Counted", "count", "count_world"]

_VEHICLES_A_WORLD = 250
_FLOW_PER_H = 900.0
_TAIL_S = 8.0
_SEEDS_A_COUNT = 100_000


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of the vehicles; of one kind of traffic they may be added.

    ``right`` have one weight with the true number of axles, ``wrong`` one with another number,
    ``doubled`` several weights and ``missed`` none; ``ghosts`` are weights without a vehicle.
    ``flagged`` of the right ones bear a flag that bars a legal result.
    """

    vehicles: int = 0
    right: int = 0
    wrong: int = 0
    missed: int = 0
    doubled: int = 0
    ghosts: int = 0
    flagged: int = 0

    def __add__(self, other: Counted) -> Counted:
        """Both together."""
        return Counted(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def right_pct(self) -> float:
        """Right number of axles, per cent of the vehicles; a ghost takes one away."""
        return 100.0 * (self.right - self.ghosts) / max(self.vehicles, 1)


def count(
    vehicles: int,
    seed: int,
    jobs: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Counted:
    """Drive ``vehicles`` vehicles, in worlds of their own seeds, on ``jobs`` processors (all).

    The figures depend on ``vehicles`` and ``seed`` alone.
    """
    sizes = [_VEHICLES_A_WORLD] * (vehicles // _VEHICLES_A_WORLD)
    sizes += [vehicles % _VEHICLES_A_WORLD] if vehicles % _VEHICLES_A_WORLD else []
    seeds = [seed * _SEEDS_A_COUNT + k for k in range(len(sizes))]
    # One thread a process: the linear algebra's own threads would fight for the processors.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    total = Counted()
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs or os.cpu_count(), mp_context=fresh) as pool:
        for done, counted in enumerate(pool.map(count_world, sizes, seeds), start=1):
            total += counted
            progress(done / len(sizes))
    return total


def count_world(vehicles: int, seed: int) -> Counted:
    """One world, in this process."""
    flowing = replace(CONDITIONS["free_flow"], traffic={"flow_per_h": _FLOW_PER_H})
    world = flowing.world(mixed(), seed, vehicles)
    passings = world.left_between(0.0, np.inf)
    found, ghosts = assigned(world, passings, _TAIL_S)
    told = map(partial(_told, found), passings)
    return sum(told, Counted(ghosts=len(ghosts)))


def _told(found: dict[int, list[Passage]], passing: Passing) -> Counted:
    own = found[passing.vehicle.number]
    same = len(own) == 1 and len(own[0].axles) == len(passing.vehicle.axle_kg)
    barred = same and bool(own[0].flags & LEGAL_BARRIERS)
    return Counted(
        vehicles=1,
        right=int(same),
        wrong=int(len(own) == 1 and not same),
        missed=int(not own),
        doubled=int(len(own) > 1),
        flagged=int(barred),
    )
