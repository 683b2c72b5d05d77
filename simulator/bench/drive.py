"""Worlds through the core: what a station would have weighed, beside the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from edge.core.modes import Dynamics
from edge.core.pipeline import Pipeline
from edge.records import Flag, Gains, InputEdge, Passage, SampleBlock, read_only
from simulator.electronics import CHUNK
from simulator.world import World

__all__ = ["CERTIFICATE", "TAIL_S", "drive", "true_gains"]

CERTIFICATE = "bench"
TAIL_S = 90.0
"""One that stood on the array is waited for this long."""
_CHUNKS = 64
_U_GAIN_REL = 1e-4


def true_gains(world: World, device: str) -> Gains:
    """The channels' true worth: how well they can be calibrated is a question of its own."""
    newton_per_count = world.digitiser(device).electronics.newton_per_count
    u_rel = read_only(np.full(len(newton_per_count), _U_GAIN_REL))
    return Gains(newton_per_count, u_rel, _U_GAIN_REL, certificate_id=CERTIFICATE)


def drive(
    world: World,
    device: str,
    tail_s: float = TAIL_S,
    dynamics: Mapping[str, Dynamics] | None = None,
) -> Iterator[Passage]:
    """Everything that passes a world with an end, weighed by the core with true gains."""
    digitiser = world.digitiser(device)
    pipeline = Pipeline(
        device,
        digitiser.rate_hz,
        len(digitiser.channels),
        world.station.lanes_of(device),
        true_gains(world, device),
        dynamics,
    )
    end = int((world.last_leave_s() + tail_s) * digitiser.true_rate_hz)
    for first, last in pairwise([*range(0, end, _CHUNKS * CHUNK), end]):
        edges = [InputEdge(device, *edge) for edge in digitiser.edges(first, last)]
        counts = digitiser.block(first, last - first)
        yield from pipeline.step(SampleBlock(device, first, counts, digitiser.rate_hz), edges)
    yield from pipeline.flush()


def flag_names(flags: Flag) -> str:
    """Names of flags, for tables."""
    return " ".join(flag.name or "" for flag in flags)
