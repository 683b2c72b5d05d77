"""Hard traffic through the core in blocks of any length: what is live must be what is replayed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from edge.core.pipeline import Pipeline
from edge.records import InputEdge, SampleBlock, read_only
from simulator.bench.drive import true_gains
from simulator.conditions import CONDITIONS
from simulator.layouts import mixed
from simulator.world import World

_TAIL_S = 30.0


def fields(value: object) -> Iterator[object]:
    """Everything that a passage holds, down to the bits of its arrays."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from fields(getattr(value, field.name))
    elif isinstance(value, np.ndarray):
        yield value.dtype.str, value.shape, value.tobytes()
    elif isinstance(value, tuple):
        yield len(value)
        for one in value:
            yield from fields(one)
    else:
        yield value if value == value else "nan"


def passages(world: World, device: str, blocks_s: list[float]) -> list[list[list[object]]]:
    """Fields of every passage, once for each length of the blocks."""
    digitiser = world.digitiser(device)
    rate_hz = digitiser.rate_hz
    end = int((world.last_leave_s() + _TAIL_S) * rate_hz)
    counts = read_only(digitiser.block(0, end))
    edges = [InputEdge(device, *edge) for edge in digitiser.edges(0, end)]
    lanes, gains = world.station.lanes_of(device), true_gains(world, device)
    found = []
    for block_s in blocks_s:
        n = round(block_s * rate_hz)
        pipeline = Pipeline(device, rate_hz, counts.shape[1], lanes, gains)
        told = []
        for first in range(0, end, n):
            now = [edge for edge in edges if first <= edge.sample < first + n]
            told += pipeline.step(
                SampleBlock(device, first, counts[first : first + n], rate_hz), now
            )
        found.append([list(fields(one)) for one in told + pipeline.flush()])
    return found


@pytest.mark.parametrize(
    ("name", "seed", "vehicles"),
    [("stop_and_go", 4242, 10), ("reverse_off", 99, 4), ("lane_change", 99, 4)],
)
def test_passages_of_hard_traffic_are_the_same_in_any_blocks(
    name: str, seed: int, vehicles: int
) -> None:
    """One that creeps closes late and needs samples from long before its first touch."""
    world = CONDITIONS[name].world(mixed(), seed, vehicles)
    for device in (one.id for one in world.station.model.digitiser):
        whole, *others = passages(world, device, [600.0, 8.192, 0.1, 0.02])
        assert whole
        for other in others:
            assert other == whole
