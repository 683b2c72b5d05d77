"""Axles in a row parted into vehicles without a separator: by distance, and by their speeds.

Axles of one vehicle move together. Where two vehicles are so near that their distance could be
that of two axles, they still differ in speed: it jumps from one pair of axles to the next, while
each pair is steady within itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.core.lineup import Axle, step_m

__all__ = ["LEAST_BETWEEN_M", "LEAST_STEER_M", "by_distance", "by_speed"]

LEAST_STEER_M = 1.6
"""Twin steering axles stand farther apart than this, axles of a bogie nearer (GB 1589 types)."""

LEAST_BETWEEN_M = 3.0
"""Last axle to the next vehicle's first: two overhangs and some clear road."""

_STEADY, _JUMP = 0.015, 0.03
"""Relative: a wheel's speed is seen to some tenths of a per cent."""


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
