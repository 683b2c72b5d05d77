"""The raw signal of a vehicle as lines for paper: least and greatest count of each stretch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.records import Int32s, LaneLayout, RawClip
from edge.web.waveform import thin

WIDTH, HEIGHT = 1_000, 110
"""Of one panel, in units of its drawing."""
_STRETCHES = 420
_SIDES = ("left", "right")


@dataclass(frozen=True, slots=True)
class Line:
    """One channel: the side of the lane that it lies on, and its path."""

    channel: str
    side: str
    path: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One row of sensors with what its channels said."""

    row: int
    position_m: float | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Waveform:
    """All rows over one span of time and of counts."""

    panels: tuple[Panel, ...]
    seconds: float
    low: int
    high: int
    ticks: tuple[tuple[float, str], ...]
    """Place along the width, and the time in seconds."""


def waveform(clip: RawClip, channels: Sequence[str], lane: LaneLayout | None) -> Waveform:
    """The channels that a lane uses, row by row; all of them where the lane is not known."""
    rows = _rows(channels, lane)
    used = sorted({column for _, columns in rows for column in columns})
    low, high = int(clip.counts[:, used].min()), int(clip.counts[:, used].max())
    seconds = len(clip.counts) / clip.rate_hz
    panels = tuple(
        Panel(
            number,
            position_m,
            tuple(
                Line(channels[column], side, _path(clip.counts[:, column], low, high))
                for column, side in zip(columns, _SIDES, strict=False)
            ),
        )
        for number, (position_m, columns) in enumerate(rows, 1)
    )
    return Waveform(panels, seconds, low, high, _ticks(seconds))


def _rows(
    channels: Sequence[str], lane: LaneLayout | None
) -> list[tuple[float | None, tuple[int, ...]]]:
    if lane is None:
        return [(None, (column,)) for column in range(len(channels))]
    return [(row.position_m, (row.left, row.right)) for row in lane.rows]


def _path(counts: Int32s, low: int, high: int) -> str:
    """Up and down through every stretch, so that no peak is lost."""
    least, greatest = thin(counts, _STRETCHES)
    scale = HEIGHT / max(high - low, 1)
    x = np.linspace(0, WIDTH, len(least)).round().astype(int).tolist()
    points = (
        f"{at} {round((high - top) * scale)}V{round((high - bottom) * scale)}"
        for at, bottom, top in zip(x, least, greatest, strict=True)
    )
    return "M" + "L".join(points)


def _ticks(seconds: float) -> tuple[tuple[float, str], ...]:
    steps = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
    step = next((s for s in steps if seconds / s <= 10), 300.0)
    times = np.arange(0, seconds, step).tolist()
    return tuple(
        (round(t / seconds * WIDTH, 1), f"{t:g}" if step >= 1 else f"{t:.2f}") for t in times
    )
