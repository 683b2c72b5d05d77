"""What the core costs while the station runs: four lanes of dense traffic, block after block.

Four digitisers of eight channels at 4 kHz give a block of 100 ms each in turn, as their lines do.
The blocks come as fast as they are taken; the share of a core is the time that a whole stretch
took over the time that it stands for.
"""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.core.pipeline import Pipeline
from edge.records import Floats, InputEdge, Int32s, SampleBlock
from simulator.bench.speed import RATE_HZ, pipeline, signals

__all__ = ["run"]

_LANES = 4
_BLOCK = 400
_LOOP_S = 60.0
"""Signals repeat after this; no vehicle is on the array then."""

Loops = list[tuple[Int32s, list[InputEdge]]]
Piece = tuple[SampleBlock, list[InputEdge]]


def run(seconds: float = 600.0, json_path: Path | None = None, seed: int = 1) -> dict[str, float]:
    """Measure and, where a path is given, write the figures as JSON.

    Memory is what Python holds after the first loop of the signals and at the end, both after a
    collection, in a second run of its own: counting every allocation costs time.
    """
    loops = [signals(_LOOP_S, seed + lane) for lane in range(_LANES)]
    step_ms, cpu_ms, found = _timed(seconds, loops)
    figures = {
        "live.seconds": seconds,
        "live.lanes": _LANES,
        "live.vehicles_found": found,
        "live.core_share_pct": round(float(cpu_ms.sum()) / seconds / 10, 2),
        "live.step_ms_p50": round(float(np.percentile(step_ms, 50)), 3),
        "live.step_ms_p99": round(float(np.percentile(step_ms, 99)), 3),
        "live.step_cpu_ms_p99": round(float(np.percentile(cpu_ms, 99)), 3),
        "live.step_ms_max": round(float(step_ms.max()), 2),
    }
    growth = _growth_bytes(seconds, loops)
    figures["live.memory_growth_bytes"] = growth
    figures["live.rss_growth_mb"] = round(growth / 1e6, 3)
    if json_path is not None:
        json_path.write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def _timed(seconds: float, loops: Loops) -> tuple[Floats, Floats, int]:
    """Milliseconds and processor milliseconds of each step of all lanes, vehicles found."""
    lanes = [pipeline() for _ in range(_LANES)]
    steps: list[float] = []
    spent: list[float] = []
    found = 0
    for blocks in _blocks(seconds, loops):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        found += _step(lanes, blocks)
        spent.append(time.process_time() - begin_cpu)
        steps.append(time.perf_counter() - begin)
    return np.array(steps) * 1e3, np.array(spent) * 1e3, found


def _growth_bytes(seconds: float, loops: Loops) -> int:
    lanes = [pipeline() for _ in range(_LANES)]
    settled = 0
    tracemalloc.start()
    try:
        for number, blocks in enumerate(_blocks(seconds, loops)):
            _step(lanes, blocks)
            if (number + 1) * _BLOCK == round(_LOOP_S * RATE_HZ):
                settled = _held_bytes()
        return _held_bytes() - settled
    finally:
        tracemalloc.stop()


def _held_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _step(lanes: list[Pipeline], blocks: list[Piece]) -> int:
    pairs = zip(lanes, blocks, strict=True)
    return sum(len(lane.step(block, edges)) for lane, (block, edges) in pairs)


def _blocks(seconds: float, loops: Loops) -> Iterator[list[Piece]]:
    """Blocks and edges of all lanes; the same signals again and again, copied as a line would."""
    per_loop = len(loops[0][0])
    for first in range(0, round(seconds * RATE_HZ), _BLOCK):
        at = first % per_loop
        now = []
        for counts, edges in loops:
            block = SampleBlock("bench", first, counts[at : at + _BLOCK].copy(), RATE_HZ)
            due = [
                replace(e, sample=e.sample - at + first)
                for e in edges
                if at <= e.sample < at + _BLOCK
            ]
            now.append((block, due))
        yield now
