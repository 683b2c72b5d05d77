"""Axles in a row parted into vehicles without a separator: by distance, and by their speeds.

Axles of one vehicle move together. Where two vehicles are so near that their distance could be
that of two axles, they still differ in speed: it jumps from one pair of axles to the next, while
each pair is steady within itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from edge.core.course import MAX_SPACING_M
from edge.core.lineup import Axle, step_m
from edge.records import Flag

__all__ = [
    "LEAST_BETWEEN_M",
    "LEAST_STEER_M",
    "backwards",
    "by_distance",
    "by_speed",
    "doubts",
]

LEAST_STEER_M = 1.6
"""Twin steering axles stand farther apart than this, axles of a bogie nearer (GB 1589 types)."""

LEAST_BETWEEN_M = 3.0
"""Last axle to the next vehicle's first: two overhangs and some clear road."""

_STEADY, _JUMP = 0.015, 0.03
"""Relative: a wheel's speed is seen to some tenths of a per cent."""

_DOUBTFUL_SPACING_M = 9.0
"""Without a separator, a longer distance may as well lie between two vehicles."""

_COASTING_MPS = 6.0
"""A slower vehicle may stop within the longest spacing: time no longer tells distance."""
_CREEPING_MPS = 3.0
"""So slow a vehicle may stop, go back and come again: without a beam its pieces are no vehicles."""


def by_distance(axles: Sequence[Axle], longest_m: float) -> list[list[Axle]]:
    """Axles parted where they are farther apart than that."""
    parts: list[list[Axle]] = []
    for axle in axles:
        if parts and step_m(parts[-1][-1], axle) <= longest_m:
            parts[-1].append(axle)
        else:
            parts.append([axle])
    return parts


def by_speed(axles: Sequence[Axle]) -> list[list[Axle]]:
    """Axles of one or more vehicles parted where a second one begins at another speed.

    A vehicle begins with a lone axle, and has two at least.
    """
    cuts = [0]
    for k in range(2, len(axles) - 1):
        if k - cuts[-1] >= 2 and _begins(axles[k - 2 : k + 2]):
            cuts.append(k)
    return [list(axles[a:b]) for a, b in zip(cuts, [*cuts[1:], len(axles)], strict=True)]


def _begins(four: Sequence[Axle]) -> bool:
    """Whether the third of four axles is the first of another vehicle."""
    last, first, second = four[1:]
    if step_m(last, first) < LEAST_BETWEEN_M or step_m(first, second) < LEAST_STEER_M:
        return False
    speeds = [axle.speed_mps for axle in four]
    ahead, behind = sum(speeds[:2]) / 2, sum(speeds[2:]) / 2
    uneven = max(abs(speeds[0] - ahead) / abs(ahead), abs(speeds[2] - behind) / abs(behind))
    return uneven < _STEADY / 2 and abs(behind - ahead) > _JUMP * abs(ahead)


def doubts(part: Sequence[Axle], since_s: float, awake: bool) -> Flag:
    """Doubts of axles that distance alone put together.

    ``since_s`` is their time since the stream's begin; ``awake`` tells whether there is a
    separator that is not out of order.
    """
    far = any(step_m(*pair) > _DOUBTFUL_SPACING_M for pair in pairwise(part))
    cut = since_s * abs(part[0].speed_mps) < MAX_SPACING_M
    slowest_mps = min(abs(axle.speed_mps) for axle in part)
    halting = slowest_mps < (_COASTING_MPS if awake else _CREEPING_MPS)
    doubt = Flag.AMBIGUOUS if far or halting else Flag.NONE
    return doubt | (Flag.INCOMPLETE if cut else Flag.NONE)


def backwards(part: Sequence[Axle]) -> Flag:
    """Wheels that came to the last row first: whatever else is weighed there, something turned."""
    turned = any(axle.speed_mps < 0 for axle in part)
    return Flag.AMBIGUOUS if turned else Flag.NONE
