"""Synthetic lanes and signals for the core's tests: simple physics with known truth.

A tyre's patch presses evenly; a sensor carries the share of the patch that lies on it. Wheels roll
with constant acceleration. Everything is a plain function of time: no code of the core is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edge.core.pipeline import Pipeline
from edge.records import (
    Gains,
    InputEdge,
    LaneLayout,
    Passage,
    Row,
    SampleBlock,
    Separator,
    read_only,
)

NEWTON_PER_COUNT = 0.02
RATE_HZ = 2_000.0
GRAVITY = 9.80665


def strip_lane(
    separator: bool = True, first_channel: int = 0, name: str = "1", rows: int = 4
) -> LaneLayout:
    """Four strips, 2.2 m apart, with a light curtain in the middle."""
    return LaneLayout(
        name,
        tuple(
            Row(2.2 * r, 0.07, "strip", first_channel + 2 * r, first_channel + 2 * r + 1)
            for r in range(rows)
        ),
        Separator(first_channel, 3.0) if separator else None,
        15 / 3.6,
        90 / 3.6,
    )


def plate_lane(separator: bool = True) -> LaneLayout:
    """Two plates of 0.8 m."""
    return LaneLayout(
        "2",
        (Row(0.0, 0.8, "plate", 0, 1), Row(2.0, 0.8, "plate", 2, 3)),
        Separator(0, 1.0) if separator else None,
        4 / 3.6,
        30 / 3.6,
    )


def gains(channels: int, factor: float = 1.0, sign: float = 1.0) -> Gains:
    """Certified gains, all alike."""
    return Gains(
        read_only(np.full(channels, NEWTON_PER_COUNT * factor * sign)),
        read_only(np.full(channels, 0.004)),
        0.002,
        certificate_id="C-1",
    )


@dataclass(frozen=True)
class Lorry:
    """Truth: ``left`` is the left wheel's part of each axle."""

    start_s: float
    speed_mps: float
    axle_kg: Sequence[float] = (6_000.0, 10_000.0, 8_000.0, 8_000.0, 8_000.0)
    spacing_m: Sequence[float] = (3.6, 6.0, 1.31, 1.31)
    acceleration_mps2: float = 0.0
    contact_m: float = 0.22
    left: float = 0.5
    overhang_m: float = 1.2
    bounce_rel: float = 0.0
    bounce_hz: float = 2.5
    skip: tuple[tuple[int, int], ...] = ()
    """(axle, row) pairs at which the sensors see nothing."""
    one_sided: tuple[int, ...] = ()
    """Axles whose right wheel presses beside the sensors."""
    pause_s: tuple[float, float] = (0.0, 0.0)
    """When it stops, and for how long."""
    from_m: float = 0.0
    """Where the front axle is at ``start_s``."""

    def way_m(self, time_s: np.ndarray) -> np.ndarray:
        """Position of the front axle."""
        at_s, for_s = self.pause_s
        t = time_s - self.start_s - np.clip(time_s - at_s, 0.0, for_s)
        return self.from_m + self.speed_mps * t + self.acceleration_mps2 * t * t / 2

    def behind_m(self, axle: int) -> float:
        """How far an axle stands behind the front axle."""
        return float(sum(self.spacing_m[:axle]))


@dataclass
class Scene:
    """Signals of one digitiser under a few lorries."""

    lane: LaneLayout
    lorries: Sequence[Lorry]
    seconds: float
    channels: int = 8
    rate_hz: float = RATE_HZ
    noise_n: float = 15.0
    hum_n: float = 0.0
    hum_hz: float = 50.2
    drift_n: float = 0.0
    offset_n: float = 400.0
    seed: int = 1
    edges: list[InputEdge] = field(default_factory=list)

    def counts(self) -> np.ndarray:
        """int32 (n, channels); also fills ``edges``."""
        n = round(self.seconds * self.rate_hz)
        time_s = np.arange(n) / self.rate_hz
        force = np.zeros((n, self.channels))
        self.edges = []
        for lorry in self.lorries:
            self._press(force, time_s, lorry)
            self._shade(time_s, lorry)
        self.edges.sort(key=lambda e: e.sample)
        chance = np.random.default_rng(self.seed)
        force += self.noise_n * chance.standard_normal(force.shape)
        force += self.hum_n * np.sin(2 * np.pi * self.hum_hz * time_s + 0.3)[:, None]
        force += self.offset_n + self.drift_n * np.sin(2 * np.pi * time_s / 17)[:, None]
        return np.round(force / NEWTON_PER_COUNT).astype(np.int32)

    def _press(self, force: np.ndarray, time_s: np.ndarray, lorry: Lorry) -> None:
        way_m = lorry.way_m(time_s)
        bounce = 1 + lorry.bounce_rel * np.sin(2 * np.pi * lorry.bounce_hz * time_s)
        for axle, load_kg in enumerate(lorry.axle_kg):
            for r, row in enumerate(self.lane.rows):
                if (axle, r) in lorry.skip:
                    continue
                at = way_m - lorry.behind_m(axle) - row.position_m
                share = _overlap(at, lorry.contact_m, row.width_m)
                newton = load_kg * GRAVITY * share * bounce
                force[:, row.left] += newton * lorry.left
                if axle not in lorry.one_sided:
                    force[:, row.right] += newton * (1 - lorry.left)

    def _shade(self, time_s: np.ndarray, lorry: Lorry) -> None:
        if self.lane.separator is None:
            return
        way_m = lorry.way_m(time_s) - self.lane.separator.position_m
        length_m = lorry.behind_m(len(lorry.axle_kg) - 1) + 2 * lorry.overhang_m
        on = (way_m > -lorry.overhang_m) & (way_m < length_m - lorry.overhang_m)
        for sample in np.flatnonzero(np.diff(on, prepend=False)):
            self.edges.append(
                InputEdge("D1", int(sample), self.lane.separator.input, bool(on[sample]))
            )

    def block(self) -> SampleBlock:
        """Everything as one block."""
        return SampleBlock("D1", 0, read_only(self.counts()), self.rate_hz)

    def pipeline(self, worth: Gains | None = None) -> Pipeline:
        """A pipeline for this scene."""
        worth = worth or gains(self.channels)
        return Pipeline("D1", self.rate_hz, self.channels, (self.lane,), worth)

    def passages(self, worth: Gains | None = None) -> list[Passage]:
        """The passages, signals fed as one block."""
        pipeline = self.pipeline(worth)
        block = self.block()
        return pipeline.step(block, self.edges) + pipeline.flush()


def _overlap(at_m: np.ndarray, contact_m: float, width_m: float) -> np.ndarray:
    """Share of an even patch, its middle at ``at_m``, on a sensor around zero."""
    front = np.minimum(at_m + contact_m / 2, width_m / 2)
    rear = np.maximum(at_m - contact_m / 2, -width_m / 2)
    return np.maximum(front - rear, 0.0) / contact_m


def cut(block: SampleBlock, sizes: Sequence[int]) -> list[SampleBlock]:
    """The block in pieces of these sizes, the rest at the end."""
    pieces, at = [], 0
    for size in [*sizes, len(block.counts)]:
        part = block.counts[at : at + size]
        if len(part):
            pieces.append(replace(block, first_sample=block.first_sample + at, counts=part))
        at += size
    return pieces
