"""The passes of reference vehicles over a lane, and which of them repeat each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calibration.certificate import SPEED_FACTOR
from calibration.fit import LaneFit
from calibration.reference import Reference
from edge.records import LaneLayout, Passage

__all__ = ["MIN_CONDITIONS", "MIN_RUNS", "FittedLane", "Pass", "conditions"]

MIN_RUNS = 10
"""Fewest usable passes a lane, and a vehicle before it is remarked upon (OIML R 134-1:2006 asks
for ten runs a vehicle and condition; from memory)."""

MIN_CONDITIONS = 4
"""Fewest vehicles and speeds from which a scatter between them can be told."""


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """A passage of a reference vehicle; ``why`` names what makes it unusable, or is empty."""

    passage: Passage
    reference: Reference
    why: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class FittedLane:
    """The passes of one lane and the fit over the usable ones, in their order."""

    layout: LaneLayout
    used: Sequence[Pass]
    excluded: Sequence[Pass]
    fit: LaneFit


def conditions(passes: Sequence[Pass]) -> list[int]:
    """Number of the vehicle and speed of each pass.

    Parameters
    ----------
    passes : sequence of Pass

    Returns
    -------
    list of int
        Equal for passes of one vehicle whose speeds lie within a tenth of their slowest.
    """
    # By the reference itself: one lorry loaded twice may stand in the file under one name.
    number_of = {one.reference: n for n, one in enumerate(passes)}
    order = sorted(
        range(len(passes)),
        key=lambda i: (number_of[passes[i].reference], passes[i].passage.speed_mps),
    )
    found, number, begun = [0] * len(passes), -1, None
    for i in order:
        one = passes[i]
        if (
            begun is None
            or one.reference != begun.reference
            or one.passage.speed_mps > SPEED_FACTOR * begun.passage.speed_mps
        ):
            number, begun = number + 1, one
        found[i] = number
    return found
