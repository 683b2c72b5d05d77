"""What misses a target in the first pass, and how a second, independent pass takes its place.

The largest of dozens of noisy cells is no estimate of any of them: it was chosen for its noise. So
cells and conditions that miss are measured again, with fresh vehicles and more of them, and the
second figure counts, be it better or worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from simulator.bench import adversarial
from simulator.bench.adversarial import Outcome
from simulator.bench.figures import EXTREMES, Extreme
from simulator.bench.rows import Row
from simulator.bench.targets import TARGETS

__all__ = ["conditions_that_miss", "later_of", "misses", "rows_that_miss"]

_TARGETS = {target.figure: target for target in TARGETS}
_WRONG = _TARGETS["accuracy.adversarial_wrong_unflagged_max_pct"]


def misses(row: Row) -> list[Extreme]:
    """The targets of single cells that a cell does not reach."""
    return [
        extreme
        for extreme in EXTREMES
        if extreme.applies(row)
        and (target := _TARGETS.get(f"accuracy.{extreme.figure}")) is not None
        and math.isfinite(value := extreme.value(row))
        and not target.least <= value <= target.most
    ]


def rows_that_miss(rows: Sequence[Row]) -> list[Row]:
    """Cells that miss any target."""
    return [row for row in rows if misses(row)]


def conditions_that_miss(told: Sequence[Outcome]) -> list[str]:
    """Conditions with more that is wrong and unflagged than is wanted."""
    return [c.condition for c in adversarial.table(told) if c.wrong_pct > _WRONG.most]


def later_of(
    rows: Sequence[Row], told: Sequence[Outcome], again: Sequence[Row], retold: Sequence[Outcome]
) -> tuple[tuple[Row, ...], tuple[Outcome, ...]]:
    """The first pass, with what was measured again in its place."""
    later = {row.cell: row for row in again}
    anew = {outcome.condition for outcome in retold}
    kept = (outcome for outcome in told if outcome.condition not in anew)
    return tuple(later.get(row.cell, row) for row in rows), (*kept, *retold)
