"""An hour of dense four-lane traffic, made in bulk: how long that takes, and that it repeats.

Every sample is made and summed into a checksum, digitiser by digitiser, by as many processes as
there are processors; the checksums do not depend on how many.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from firmware_bridge.recording_format import crc_of, joined_crc
from simulator.electronics import CHUNK
from simulator.layouts import strips
from simulator.scenario import Scenario
from simulator.world import World

__all__ = ["Made", "make_traffic"]

LANES, ROWS, RATE_HZ, VEHICLES_PER_H = 4, 4, 4_000.0, 1_000.0
_CHUNKS = 16

_SCENARIO = {
    "name": "bulk",
    "lane": [{"flow_per_h": VEHICLES_PER_H, "speed_kmh": [40, 90]}],
    "road": {"road_class": "A", "receptor_step_mm": 0.2},
    "sensor": {"skew_sd_m": 0.005},
    "electronics": {
        "rate_hz": RATE_HZ, "pink_n": 8.0, "measured": "force-1", "cross_talk_rel": 0.0005,
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """Traffic that was made: what it took, and what it was.

    ``crc`` are checksums of each digitiser's samples.
    """

    wall_s: float
    samples: int
    vehicles: int
    crc: dict[str, int]


def make_traffic(seconds: float = 3_600.0, seed: int = 1, jobs: int = 1) -> Made:
    """Make all samples of four lanes of eight channels at 4 kHz, 1,000 vehicles an hour each.

    With ``jobs`` processes digitisers are made side by side, and in slices of time if there are
    more processes than digitisers.
    """
    begin_s = time.perf_counter()
    devices = [digitiser.id for digitiser in strips(ROWS, LANES).model.digitiser]
    end = math.floor(seconds * RATE_HZ)
    cuts = np.linspace(0, end, math.ceil(jobs / len(devices)) + 1).astype(int).tolist()
    tasks = [(seed, device, first, last) for device in devices for first, last in pairwise(cuts)]
    if jobs == 1:
        made = [_make(*task) for task in tasks]
    else:
        spawned = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(jobs, len(tasks)), spawned) as pool:
            made = list(pool.map(_make, *zip(*tasks, strict=True)))
    crc: defaultdict[str, int] = defaultdict(int)
    for (_, device, _, _), (own_crc, size, _) in zip(tasks, made, strict=True):
        crc[device] = joined_crc(crc[device], own_crc, 4 * size)
    sizes, vehicles = [size for _, size, _ in made], [n for _, _, n in made]
    return Made(time.perf_counter() - begin_s, sum(sizes), sum(vehicles), dict(crc))


def _make(seed: int, device: str, first: int, last: int) -> tuple[int, int, int]:
    """Checksum and number of the samples of a slice, and how many vehicles left in it."""
    world = World(strips(ROWS, LANES), Scenario.model_validate(_SCENARIO), seed)
    digitiser = world.digitiser(device)
    crc = size = 0
    step = _CHUNKS * CHUNK
    for begin in range(first, last, step):
        counts = digitiser.block(begin, min(step, last - begin))
        crc, size = crc_of(counts, crc), size + counts.size
    span_s = digitiser.time_s(first), digitiser.time_s(last)
    left_s = [
        passing.last_wheel_s
        for lane in world.station.lanes_of(device)
        for passing in world.traffic[lane.lane].between(*span_s)
    ]
    return crc, size, sum(span_s[0] <= time_s < span_s[1] for time_s in left_s)
