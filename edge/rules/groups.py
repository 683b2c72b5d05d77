"""Axle groups against their limits: information beside the verdict, never a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from edge.records import AxleGroup, Passage
from edge.rules.reasons import GROUP_OVER
from edge.rules.sections import GroupLimit, RuleSet


def groups_over(passage: Passage, rules: RuleSet, quantile: float) -> tuple[tuple[str, str], ...]:
    """Statements on the axle groups that surely pass every limit that may hold for them.

    Parameters
    ----------
    passage : Passage
        Groups with loads, spacings and their standard uncertainties.
    rules : RuleSet
        The law of the day.
    quantile : float
        Of the standard normal distribution, for the one-sided lower end of a load.

    Returns
    -------
    tuple of (key, value)
        One for each such group; the value is language-free: ``group=2 axles=3 load_kg=25900
        u_kg=310 limit_kg=24000 verified=false``.

    Notes
    -----
    GB 1589-2016 gives the limits. Order 62 has no tariff for an axle load alone, so it stays
    information. Tyres and suspension are not seen: the most generous limit is the one to pass.
    """
    stated = []
    for number, group in enumerate(passage.groups, start=1):
        limits = _limits(group, passage, rules.axle_group)
        lower_kg = group.load_kg - quantile * group.u_load_kg
        if limits and lower_kg > (highest := max(limits, key=lambda g: g.limit_kg)).limit_kg:
            stated.append((GROUP_OVER, _statement(number, group, highest)))
    return tuple(stated)


def _statement(number: int, group: AxleGroup, limit: GroupLimit) -> str:
    return (
        f"group={number} axles={group.count} load_kg={math.floor(group.load_kg + 0.5)} "
        f"u_kg={math.ceil(group.u_load_kg)} limit_kg={limit.limit_kg} "
        f"verified={str(limit.verified).lower()}"
    )


def _limits(
    group: AxleGroup, passage: Passage, entries: Iterable[GroupLimit]
) -> Sequence[GroupLimit]:
    """Entries of that number of axles whose band of spacings the measured ones may lie in."""
    if group.count == 1:
        return [entry for entry in entries if entry.axles == 1]
    inside = slice(group.first, group.first + group.count - 1)
    doubt_m = 2 * passage.axles.u_spacing_m[inside]
    least_mm = float((passage.axles.spacing_m[inside] - doubt_m).max()) * 1000
    greatest_mm = float((passage.axles.spacing_m[inside] + doubt_m).max()) * 1000
    return [
        entry
        for entry in entries
        if entry.axles == group.count
        and entry.spacing_mm
        and entry.spacing_mm[0] <= greatest_mm
        and least_mm <= entry.spacing_mm[1]
    ]
