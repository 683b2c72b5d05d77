"""Work for all processors, with progress that knows how long each piece takes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

__all__ = ["Job", "Progress", "part", "together"]

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Job:
    """A call of a function of a module, and about how long it takes: any unit, the same for all."""

    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    cost: float = 1.0


def together(jobs: Sequence[Job], progress: Progress) -> list[Any]:
    """The results in the order of the jobs; costly ones begin first, so that none is waited for."""
    # One thread a process: the linear algebra's own threads would fight for the processors.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    order = sorted(range(len(jobs)), key=lambda number: -jobs[number].cost)
    total = sum(job.cost for job in jobs)
    done = 0.0
    fresh = multiprocessing.get_context("spawn")
    results: dict[int, Any] = {}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=fresh) as pool:
        running = {pool.submit(jobs[n].call, *jobs[n].arguments): n for n in order}
        try:
            for future in as_completed(running):
                number = running[future]
                results[number] = future.result()
                done += jobs[number].cost
                progress(done / total)
        except BaseException:  # nobody waits half an hour for what failed or was stopped
            pool.shutdown(cancel_futures=True)
            raise
    return [results[number] for number in range(len(jobs))]


def part(progress: Progress, begin: float, end: float) -> Progress:
    """Progress of a stretch of the whole."""
    return lambda done: progress(begin + done * (end - begin))
