"""How fast the core is: bulk and in live blocks, against one pass over the same memory."""

from __future__ import annotations

import json
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

__all__ = ["run"]

_RATE_HZ = 4_000.0
_CHANNELS = 8
_VEHICLES_PER_H = 1_000
_NEWTON_PER_COUNT = 0.02
_CONTACT_M = 0.22
_LIVE_BLOCK = 80
_PASSES = 5
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
    is ``counts.max()`` over the same array in the same run, the median of five; so is the core's.
    """
    counts, edges = _signals(seconds, seed)
    block = SampleBlock("bench", 0, counts, _RATE_HZ)
    memory_s = _median_s(lambda: int(counts.max()))
    found = 0

    def bulk() -> int:
        nonlocal found
        pipeline = _pipeline()
        found = len(pipeline.step(block, edges) + pipeline.flush())
        return found

    bulk_s = _median_s(bulk)
    live_s, slowest_s = _live(counts, edges)
    vehicles = _starts_s(seconds, seed)
    figures = {
        "speed.core_samples_per_s": round(counts.size / bulk_s),
        "speed.memory_pass_samples_per_s": round(counts.size / memory_s),
        "speed.ratio": round(memory_s / bulk_s, 4),
        "speed.live_samples_per_s": round(counts.size / live_s),
        "speed.live_slowest_step_ms": round(slowest_s * 1e3, 2),
        "speed.live_share_of_real_time": round(live_s / seconds, 5),
        "speed.vehicles": len(vehicles),
        "speed.vehicles_found": found,
    }
    if json_path is not None:
        json_path.write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def _pipeline() -> Pipeline:
    gains = Gains(
        read_only(np.full(_CHANNELS, _NEWTON_PER_COUNT)),
        read_only(np.full(_CHANNELS, 0.005)),
        0.002,
        certificate_id="bench",
    )
    return Pipeline("bench", _RATE_HZ, _CHANNELS, (_LANE,), gains)


def _median_s(work: Callable[[], int]) -> float:
    taken = []
    for _ in range(_PASSES):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken))


def _live(counts: Int32s, edges: list[InputEdge]) -> tuple[float, float]:
    """Whole time, and that of the slowest step, in blocks of 20 ms."""
    pipeline = _pipeline()
    waiting = sorted(edges, key=lambda e: e.sample, reverse=True)
    whole_s = slowest_s = 0.0
    for first in range(0, len(counts), _LIVE_BLOCK):
        block = SampleBlock("bench", first, counts[first : first + _LIVE_BLOCK], _RATE_HZ)
        now = []
        while waiting and waiting[-1].sample < block.end_sample:
            now.append(waiting.pop())
        begin = time.perf_counter()
        pipeline.step(block, now)
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


def _signals(seconds: float, seed: int) -> tuple[Int32s, list[InputEdge]]:
    """Counts (n, 8) and separator edges."""
    chance = np.random.default_rng(seed + 1)
    n = round(seconds * _RATE_HZ)
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
            edges.append(InputEdge("bench", round(at_s * _RATE_HZ), 0, active))
    return read_only(counts), sorted(edges, key=lambda e: e.sample)


def _press(counts: Int32s, start_s: float, speed_mps: float) -> None:
    """Trapezoids of an even patch over each strip."""
    for row in _LANE.rows:
        reach_m = (row.width_m + _CONTACT_M) / 2
        for behind_m, load_kg in zip(_BEHIND_M, _AXLE_KG, strict=True):
            middle_s = start_s + (row.position_m + behind_m) / speed_mps
            first = int((middle_s - reach_m / speed_mps) * _RATE_HZ)
            last = int((middle_s + reach_m / speed_mps) * _RATE_HZ) + 2
            at_m = (np.arange(first, last) / _RATE_HZ - middle_s) * speed_mps
            share = np.clip(reach_m - np.abs(at_m), 0.0, row.width_m) / _CONTACT_M
            newton = load_kg / 2 * STANDARD_GRAVITY_MPS2 * share
            for channel in (row.left, row.right):
                counts[first:last, channel] += (newton / _NEWTON_PER_COUNT).astype(np.int32)
