"""What the core costs while the station runs: four lanes of dense traffic, over loopback sockets.

The station's own path from the socket to the passage: its reader threads, the stream's codec, the
lanes and the core, in one process, in real time. The digitisers speak from another process.
A step is what the lanes and the core did for 100 ms of all four lanes together: following each
digitiser's block, and weighing, in the moments after them, what closed with these.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge.errors import LinkDown
from edge.health import Health
from edge.lanes import GATHER_NS, Lanes
from edge.memory import settle_memory
from edge.records import Flag, Floats, SampleBlock
from edge.sources.digitiser import DigitiserSource
from edge.sources.ports import SourceItem
from simulator.bench.jobs import part
from simulator.bench.sender import LANES, RATE_HZ, sending, station

__all__ = ["BLOCK_S", "run", "traced"]

BLOCK_S = 0.1
_BLOCK = round(BLOCK_S * RATE_HZ)
_WATCH_S = 0.1
_HEARD_S = 60.0
_RELEASE_S = 0.02
_WARM_S = 60.0
_WARM_PART = 3.0
_MIDDLE_S = 5.0
_LEAST_PIECES = 4
_MAKING = 0.1
"""Part of the time that making the traffic takes."""
_TOP = 8
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Progress = Callable[[float], None]


class _Seen:
    """What was noted while the lanes ran; times in seconds.

    Its room is taken, and touched, before the warm-up ends: what grows after it is the station's.
    """

    def __init__(self, seconds: float) -> None:
        self.warm_s = min(_WARM_S, seconds / _WARM_PART)
        looks, steps = round(seconds / _WATCH_S), round((seconds + _HEARD_S) / BLOCK_S)
        self.at_s, self.rss_mb, self.window_s = np.full((3, looks), np.nan)
        self.step_s, self.step_cpu_s = np.full((2, steps), 0.0)
        self.cpu_s = self.wall_s = 0.0
        self.step = -1
        self.began = asyncio.Event()
        self.vehicles = self.clean = 0
        self.held: list[tracemalloc.Snapshot] = []

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Add what is done meanwhile to the step of the newest block."""
        begin_s, begin_cpu_s = time.perf_counter(), time.thread_time()
        yield
        if self.step >= 0:
            self.step_s[self.step] += time.perf_counter() - begin_s
            self.step_cpu_s[self.step] += time.thread_time() - begin_cpu_s


def run(
    seconds: float = 600.0,
    *,
    block_s: float = BLOCK_S,
    seed: int = 1,
    progress: Progress = lambda _: None,
) -> dict[str, float]:
    """Weigh ``seconds`` of traffic in real time: share of a core, step time, memory.

    ``live.rss_growth_mb`` is the growth of the resident set from the end of the warm-up (60 s, or
    a third of a shorter run) to the end of the run, each the median of five seconds.
    """
    seen, counters = _watched(seconds, block_s, seed, progress, trace=False)
    whole = np.flatnonzero(seen.step_s)[1:-1]
    step_ms, step_cpu_ms = 1e3 * seen.step_s[whole], 1e3 * seen.step_cpu_s[whole]
    figures = {
        "live.seconds": seconds,
        "live.lanes": LANES,
        "live.block_ms": 1e3 * block_s,
        "live.vehicles": seen.vehicles,
        "live.vehicles_unflagged": seen.clean,
        "live.lost_samples": _counted(counters, "lost_samples", "overflows", "before_hello"),
        "live.core_share_pct": 100 * seen.cpu_s / seen.wall_s,
        "live.step_ms_p50": float(np.percentile(step_ms, 50)),
        "live.step_ms_p99": float(np.percentile(step_ms, 99)),
        "live.step_ms_max": float(step_ms.max()),
        "live.step_cpu_ms_p50": float(np.percentile(step_cpu_ms, 50)),
        "live.step_cpu_ms_p99": float(np.percentile(step_cpu_ms, 99)),
        "live.all_cpu_ms_p50": 1e3 * float(np.percentile(seen.window_s, 50)),
        "live.all_cpu_ms_p99": 1e3 * float(np.percentile(seen.window_s, 99)),
        **_memory(seen),
    }
    return {name: round(float(value), 3) for name, value in figures.items()}


def traced(
    seconds: float = 600.0,
    *,
    block_s: float = BLOCK_S,
    seed: int = 1,
    progress: Progress = lambda _: None,
) -> tuple[dict[str, float], list[str]]:
    """Growth of what Python holds after the warm-up, in kB, and the lines that hold most more.

    A run of its own: to follow every allocation costs too much time for the other figures.
    """
    seen, _ = _watched(seconds, block_s, seed, progress, trace=True)
    first, last = seen.held
    lines = last.compare_to(first, "lineno")
    growth = sum(line.size_diff for line in lines)
    grown = [f"{x.size_diff / 1e3:+10.1f} kB  {_place(x.traceback)}" for x in lines[:_TOP]]
    return {"live.traced_growth_kb": round(growth / 1e3, 1)}, grown


def _place(where: tracemalloc.Traceback) -> str:
    return f"{'/'.join(Path(where[0].filename).parts[-3:])}:{where[0].lineno}"


def _counted(counters: dict[str, int], *names: str) -> int:
    return sum(n for name, n in counters.items() if name.rpartition(".")[2] in names)


def _memory(seen: _Seen) -> dict[str, float]:
    """Resident set in MB: at start and end, what it grew by, and how fast it still does."""
    at_s, rss_mb = seen.at_s, seen.rss_mb
    warm = at_s >= seen.warm_s
    late = at_s >= (seen.warm_s + at_s[-1]) / 2
    start_mb = _middle(at_s, rss_mb, seen.warm_s)
    end_mb = _middle(at_s, rss_mb, float(at_s[-1]) - _MIDDLE_S)
    return {
        "live.rss_start_mb": start_mb,
        "live.rss_end_mb": end_mb,
        "live.rss_max_mb": float(rss_mb[warm].max()),
        "live.rss_growth_mb": end_mb - start_mb,
        "live.rss_u_growth_mb": _u_growth_mb(at_s[warm], rss_mb[warm]),
        "live.rss_slope_late_mb_per_h": 3_600 * _slope(at_s[late], rss_mb[late]),
    }


def _middle(at_s: Floats, rss_mb: Floats, from_s: float) -> float:
    return float(np.median(rss_mb[(at_s >= from_s) & (at_s <= from_s + _MIDDLE_S)]))


def _u_growth_mb(at_s: Floats, rss_mb: Floats) -> float:
    """Standard deviation of a difference of two such medians, about a steady growth."""
    pieces = max(round((at_s[-1] - at_s[0]) / _MIDDLE_S), _LEAST_PIECES)
    parts = zip(np.array_split(at_s, pieces), np.array_split(rss_mb, pieces), strict=True)
    mean_s, middle_mb = np.array([(np.mean(t), np.median(mb)) for t, mb in parts]).T
    left_mb = middle_mb - np.polyval(np.polyfit(mean_s, middle_mb, 1), mean_s)
    return float(np.sqrt(2) * left_mb.std(ddof=2))


def _slope(x: Floats, y: Floats) -> float:
    return float(np.polyfit(x, y, 1)[0])


def _watched(
    seconds: float, block_s: float, seed: int, progress: Progress, *, trace: bool
) -> tuple[_Seen, dict[str, int]]:
    seen = _Seen(seconds)
    health = Health(time.monotonic_ns)
    settle_memory()
    making, watching = part(progress, 0.0, _MAKING), part(progress, _MAKING, 1.0)
    with sending(seconds, block_s, seed, making) as urls:
        asyncio.run(_station(seconds, urls, health, seen, watching, trace=trace))
    return seen, dict(health.snapshot().counters)


async def _station(
    seconds: float,
    urls: dict[str, str],
    health: Health,
    seen: _Seen,
    progress: Progress,
    *,
    trace: bool,
) -> None:
    """Sources and lanes as the station joins them, until ``seconds`` have passed."""
    config = station(urls)
    lanes = Lanes(config, health, gather_ns=GATHER_NS)

    async def listen(source: DigitiserSource) -> None:
        def deliver(item: SourceItem) -> None:
            if isinstance(item, SampleBlock):
                seen.step = max(seen.step, item.first_sample // _BLOCK)
                seen.began.set()
            with seen.counting():
                lanes.take(item, source.clock, time.monotonic_ns())

        await source.run(deliver)

    async def release() -> None:
        while True:
            with seen.counting():
                released = lanes.release(time.monotonic_ns())
            for vehicle in released:
                seen.vehicles += 1
                seen.clean += not vehicle.flags & ~(Flag.UNCALIBRATED | Flag.CLOCK_UNSURE)
            await asyncio.sleep(_RELEASE_S)

    tasks = [
        asyncio.create_task(listen(DigitiserSource(section, health, time.time_ns)))
        for section in config.model.digitiser
    ]
    tasks.append(asyncio.create_task(release()))
    watch = asyncio.create_task(_watch(seen, progress, trace=trace))
    done, _ = await asyncio.wait({watch, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in (watch, *tasks):
        task.cancel()
    await asyncio.gather(watch, *tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _watch(seen: _Seen, progress: Progress, *, trace: bool) -> None:
    """Note memory and processor time every 100 ms from the first samples on."""
    try:
        async with asyncio.timeout(_HEARD_S):
            await seen.began.wait()
    except TimeoutError:
        raise LinkDown("模拟数采没有送来采样", "the simulated digitisers sent no samples") from None
    if trace:
        tracemalloc.start()
    begin_s, begin_cpu_s = time.monotonic(), time.process_time()
    before_s = begin_cpu_s
    now_s = 0.0
    for look in range(len(seen.at_s)):
        await asyncio.sleep((look + 1) * _WATCH_S - now_s)
        now_s, cpu_s = time.monotonic() - begin_s, time.process_time()
        seen.at_s[look], seen.rss_mb[look] = now_s, _rss_mb()
        seen.window_s[look], before_s = cpu_s - before_s, cpu_s
        if trace and not seen.held and now_s >= seen.warm_s:
            seen.held.append(_held())
        progress((look + 1) / len(seen.at_s))
    seen.wall_s, seen.cpu_s = now_s, time.process_time() - begin_cpu_s
    if trace:
        seen.held.append(_held())
        tracemalloc.stop()


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE_BYTES / 1e6


def _held() -> tracemalloc.Snapshot:
    gc.collect()
    hidden = (tracemalloc.Filter(False, tracemalloc.__file__),)
    return tracemalloc.take_snapshot().filter_traces(hidden)
