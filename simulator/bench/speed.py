"""How fast the core is: bulk and in live blocks, against one pass over the same memory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.core.pipeline import Pipeline
from edge.records import (
    STANDARD_GRAVITY_MPS2,
    Floats,
    Gains,
    InputEdge,
    Int32s,
    LaneLayout,
    Row,
    SampleBlock,
    Separator,
    read_only,
)
from simulator.bench.yardstick import weigh_window
from simulator.hour import make_traffic

__all__ = ["RATE_HZ", "pipeline", "run", "run_hour", "signals"]

RATE_HZ = 4_000.0
_CHANNELS = 8
_VEHICLES_PER_H = 1_000
_NEWTON_PER_COUNT = 0.02
_CONTACT_M = 0.22
_LIVE_BLOCK = 80
_PASSES, _FIRST = 17, 2
"""The first are not counted: in them the process gets its memory, which it then keeps."""
PEER_SAMPLES_PER_S = 1.6e6
"""The best that the best known open system showed, pywim of the OpenWIM project (commit 5d8b1ca)
on Python 3.11: two strips, 400 lorries (facts: peers C.5, case F)."""
_WINDOW_S = 0.3
_AXLE_KG = np.array([6_000.0, 10_000.0, 8_000.0, 8_000.0, 8_000.0])
_BEHIND_M = np.array([0.0, 3.6, 9.6, 10.91, 12.22])
_OVERHANG_M = 1.2

_LANE = LaneLayout(
    "bench",
    tuple(Row(2.2 * r, 0.07, "strip", 2 * r, 2 * r + 1) for r in range(_CHANNELS // 2)),
    Separator(0, 3.3),
)


def run(seconds: float = 600.0, json_path: Path | None = None, seed: int = 1) -> dict[str, float]:
    """Measure and, where a path is given, write the figures as JSON.

    Signals: 8 channels at 4 kHz under 1,000 five-axle lorries an hour, with noise. The memory pass
    is ``counts.max()`` over the same array in the same run; it, the core and the yardstick take
    turns, and the median of each counts; the best of each stands beside it, for a machine that has
    other work. The yardstick is given the windows of the lorries: its
    samples are those in them.
    """
    counts, edges = signals(seconds, seed)
    block = SampleBlock("bench", 0, counts, RATE_HZ)
    windows = _windows(edges, len(counts))
    found = 0

    def bulk() -> int:
        nonlocal found
        core = pipeline()
        found = len(core.step(block, edges) + core.flush())
        return found

    def yardstick() -> int:
        cut = (counts[a:b] for a, b in windows)
        return sum(len(weigh_window(c, _LANE.rows, RATE_HZ, _NEWTON_PER_COUNT)) for c in cut)

    taken_s = _taken_s(lambda: int(counts.max()), bulk, yardstick)
    memory_s, bulk_s, yardstick_s = np.median(taken_s, axis=1).tolist()
    best_s = taken_s.min(axis=1).tolist()
    in_windows = sum(b - a for a, b in windows) * _CHANNELS
    live_s, slowest_s = _live(counts, edges)
    vehicles = _starts_s(seconds, seed)
    figures = {
        "speed.core_samples_per_s": round(counts.size / bulk_s),
        "speed.memory_pass_samples_per_s": round(counts.size / memory_s),
        "speed.ratio": round(memory_s / bulk_s, 4),
        "speed.core_best_samples_per_s": round(counts.size / best_s[1]),
        "speed.memory_pass_best_samples_per_s": round(counts.size / best_s[0]),
        "speed.ratio_of_best": round(best_s[0] / best_s[1], 4),
        "speed.yardstick_samples_per_s": round(in_windows / yardstick_s),
        "speed.vs_yardstick": round(counts.size / bulk_s / (in_windows / yardstick_s), 2),
        "speed.peer_published_samples_per_s": round(PEER_SAMPLES_PER_S),
        "speed.vs_peer": round(counts.size / bulk_s / PEER_SAMPLES_PER_S, 1),
        "speed.live_samples_per_s": round(counts.size / live_s),
        "speed.live_slowest_step_ms": round(slowest_s * 1e3, 2),
        "speed.live_share_of_real_time": round(live_s / seconds, 5),
        "speed.vehicles": len(vehicles),
        "speed.vehicles_found": found,
    }
    if json_path is not None:
        json_path.write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def run_hour() -> dict[str, float]:
    """How long all samples of an hour take to make: four lanes, 1,000 vehicles an hour each."""
    made = make_traffic(jobs=os.cpu_count() or 1)
    return {"speed.simulate_hour_s": round(made.wall_s, 1), "speed.hour_samples": made.samples}


def pipeline() -> Pipeline:
    """A core for the lane of :func:`signals`."""
    gains = Gains(
        read_only(np.full(_CHANNELS, _NEWTON_PER_COUNT)),
        read_only(np.full(_CHANNELS, 0.005)),
        0.002,
        certificate_id="bench",
    )
    return Pipeline("bench", RATE_HZ, _CHANNELS, (_LANE,), gains)


def _taken_s(*works: Callable[[], int]) -> Floats:
    """Times of each, (n_works, n_counted); they take turns, so that all meet the same machine."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(_PASSES):
        for work, own in zip(works, taken, strict=True):
            begin = time.perf_counter()
            work()
            own.append(time.perf_counter() - begin)
    return np.array(taken)[:, _FIRST:]


def _windows(edges: list[InputEdge], n_samples: int) -> list[tuple[int, int]]:
    """Where each lorry is, with room for the rows before and behind the separator."""
    room = round(_WINDOW_S * RATE_HZ)
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [(max(0, on.sample - room), min(n_samples, off.sample + room)) for on, off in pairs]


def _live(counts: Int32s, edges: list[InputEdge]) -> tuple[float, float]:
    """Whole time, and that of the slowest step, in blocks of 20 ms."""
    core = pipeline()
    waiting = sorted(edges, key=lambda e: e.sample, reverse=True)
    whole_s = slowest_s = 0.0
    for first in range(0, len(counts), _LIVE_BLOCK):
        block = SampleBlock("bench", first, counts[first : first + _LIVE_BLOCK], RATE_HZ)
        now = []
        while waiting and waiting[-1].sample < block.end_sample:
            now.append(waiting.pop())
        begin = time.perf_counter()
        core.step(block, now)
        step_s = time.perf_counter() - begin
        whole_s += step_s
        slowest_s = max(slowest_s, step_s)
    return whole_s, slowest_s


def _starts_s(seconds: float, seed: int) -> Floats:
    """Moments at which front axles meet the first row: random gaps, two seconds at least."""
    mean_s = 3_600 / _VEHICLES_PER_H
    chance = np.random.default_rng(seed)
    gaps_s = 2.0 + chance.exponential(mean_s - 2.0, int(seconds / 2) + 1)
    starts_s = np.cumsum(gaps_s)
    return np.asarray(starts_s[starts_s < seconds - 5.0])


def signals(seconds: float, seed: int) -> tuple[Int32s, list[InputEdge]]:
    """Counts (n, 8) of lorries at 1,000 an hour, and the separator's edges."""
    chance = np.random.default_rng(seed + 1)
    n = round(seconds * RATE_HZ)
    counts = np.empty((n, _CHANNELS), np.int32)
    noise = chance.normal(500.0, 400.0, (1 << 16, _CHANNELS)).astype(np.int32)
    for first in range(0, n, len(noise)):
        counts[first : first + len(noise)] = noise[: n - first]
    edges = []
    for start_s in _starts_s(seconds, seed):
        speed_mps = chance.uniform(12.0, 22.0)
        _press(counts, start_s, speed_mps)
        for at_m, active in ((-_OVERHANG_M, True), (_BEHIND_M[-1] + _OVERHANG_M, False)):
            at_s = start_s + (3.3 + at_m) / speed_mps
            edges.append(InputEdge("bench", round(at_s * RATE_HZ), 0, active))
    return read_only(counts), sorted(edges, key=lambda e: e.sample)


def _press(counts: Int32s, start_s: float, speed_mps: float) -> None:
    """Trapezoids of an even patch over each strip."""
    for row in _LANE.rows:
        reach_m = (row.width_m + _CONTACT_M) / 2
        for behind_m, load_kg in zip(_BEHIND_M, _AXLE_KG, strict=True):
            middle_s = start_s + (row.position_m + behind_m) / speed_mps
            first = int((middle_s - reach_m / speed_mps) * RATE_HZ)
            last = int((middle_s + reach_m / speed_mps) * RATE_HZ) + 2
            at_m = (np.arange(first, last) / RATE_HZ - middle_s) * speed_mps
            share = np.clip(reach_m - np.abs(at_m), 0.0, row.width_m) / _CONTACT_M
            newton = load_kg / 2 * STANDARD_GRAVITY_MPS2 * share
            for channel in (row.left, row.right):
                counts[first:last, channel] += (newton / _NEWTON_PER_COUNT).astype(np.int32)
