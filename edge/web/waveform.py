"""The stored signal of a passage, thinned for a screen: least and greatest of each bucket.

A plot of min and max shows every peak that the samples hold, at any zoom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.records import Int32s, RawClip

MOST_BUCKETS = 1_600


@dataclass(frozen=True, slots=True)
class Trace:
    """One channel to plot: the row it belongs to, and its side."""

    channel: str
    row: int
    position_m: float | None
    side: str


def thin(counts: Int32s, buckets: int) -> tuple[list[int], list[int]]:
    """Least and greatest count of each of at most ``buckets`` equal stretches of a channel."""
    if len(counts) == 0:
        return [], []
    starts = np.unique(np.linspace(0, len(counts), min(buckets, len(counts)), False).astype(int))
    return np.minimum.reduceat(counts, starts).tolist(), np.maximum.reduceat(
        counts, starts
    ).tolist()


def signal_view(
    clip: RawClip,
    channels: Sequence[str],
    traces: Sequence[Trace],
    window: tuple[int, int],
    buckets: int,
) -> dict[str, Any]:
    """The samples ``window[0] <= s < window[1]`` of a clip, thinned, for the plotting script.

    Times in seconds count from the first sample of the clip, whatever the window.
    """
    begin = max(window[0], clip.first_sample)
    end = min(window[1], clip.end_sample)
    rows = slice(begin - clip.first_sample, max(begin, end) - clip.first_sample)
    columns = {name: number for number, name in enumerate(channels)}
    return {
        "rate_hz": clip.rate_hz,
        "clip": [clip.first_sample, clip.end_sample],
        "window": [begin, max(begin, end)],
        "gaps": [list(gap) for gap in clip.gaps],
        "traces": [
            {
                "channel": trace.channel,
                "row": trace.row,
                "position_m": trace.position_m,
                "side": trace.side,
                **dict(
                    zip(
                        ("min", "max"),
                        thin(clip.counts[rows, columns[trace.channel]], buckets),
                        strict=True,
                    )
                ),
            }
            for trace in traces
            if trace.channel in columns
        ],
    }
