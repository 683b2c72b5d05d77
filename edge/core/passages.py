"""Passages from the tables of many vehicles: one record a vehicle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edge.records import (
    AxleGroup,
    AxleTable,
    Flag,
    FlagBits,
    Floats,
    Indices,
    Passage,
    read_only,
)

if TYPE_CHECKING:
    from edge.core.weigh import Cut

__all__ = ["GROUP_SPACING_M", "Weighed", "passages"]

GROUP_SPACING_M = 2.2
"""Axles closer than this share a load and count as a group."""


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """Vehicles as arrays, named as in ``Passage`` and ``AxleTable``.

    ``first`` is each vehicle's first axle and ``group_of_axle`` the number of each axle's group,
    counted through all vehicles. Spacings are (n_axles - 1,), without meaning between vehicles.
    """

    first: Indices
    group_of_axle: Indices
    load_kg: Floats
    u_load_kg: Floats
    side_kg: Floats
    spacing_m: Floats
    u_spacing_m: Floats
    wheel_kg: Floats
    wheel_area_s: Floats
    row_load_kg: Floats
    row_sample: Floats
    axle_flags: FlagBits
    first_wheel_sample: Floats
    last_wheel_sample: Floats
    speed_mps: Floats
    u_speed_mps: Floats
    speed_change: Floats
    u_group_kg: Floats
    gross_kg: Floats
    u_gross_kg: Floats
    flags: FlagBits


def passages(weighed: Weighed, cuts: Sequence[Cut]) -> Iterator[Passage]:
    """The record of each vehicle.

    Parameters
    ----------
    weighed : Weighed
    cuts : sequence of Cut
        One a vehicle.
    """
    bounds = [*weighed.first.tolist(), len(weighed.load_kg)]
    axles = _axles(weighed)
    groups = _groups(weighed)
    numbers = zip(
        weighed.first_wheel_sample.tolist(),
        weighed.last_wheel_sample.tolist(),
        weighed.speed_mps.tolist(),
        weighed.u_speed_mps.tolist(),
        weighed.speed_change.tolist(),
        weighed.gross_kg.tolist(),
        weighed.u_gross_kg.tolist(),
        weighed.flags.tolist(),
        strict=True,
    )
    for i, (cut, numbers_of_one) in enumerate(zip(cuts, numbers, strict=True)):
        first_wheel, last_wheel, speed, u_speed, change, gross, u_gross, flags = numbers_of_one
        own = groups[i]
        yield Passage(
            device=cut.clip.device,
            lane=cut.scale.lane.lane,
            first_wheel_sample=first_wheel,
            last_wheel_sample=last_wheel,
            closed_sample=cut.closed_sample,
            speed_mps=speed,
            u_speed_mps=u_speed,
            speed_change=change,
            axles=_part(axles, bounds[i], bounds[i + 1]),
            groups=own,
            configuration="+".join(str(g.count) for g in own),
            gross_kg=gross,
            u_gross_kg=u_gross,
            flags=Flag(flags),
            clip=cut.clip,
        )


def _axles(weighed: Weighed) -> AxleTable:
    """The axles of all vehicles in one table: what is cut from it can't be written either."""
    left_kg, right_kg = np.ascontiguousarray(weighed.side_kg.T)
    return AxleTable(
        load_kg=read_only(weighed.load_kg),
        u_load_kg=read_only(weighed.u_load_kg),
        left_kg=read_only(left_kg),
        right_kg=read_only(right_kg),
        spacing_m=read_only(weighed.spacing_m),
        u_spacing_m=read_only(weighed.u_spacing_m),
        row_load_kg=read_only(weighed.row_load_kg),
        row_sample=read_only(weighed.row_sample),
        wheel_kg=read_only(weighed.wheel_kg),
        wheel_area_s=read_only(weighed.wheel_area_s),
        flags=read_only(weighed.axle_flags),
    )


def _part(table: AxleTable, a: int, b: int) -> AxleTable:
    """The axles of one vehicle."""
    return AxleTable(
        table.load_kg[a:b],
        table.u_load_kg[a:b],
        table.left_kg[a:b],
        table.right_kg[a:b],
        table.spacing_m[a : b - 1],
        table.u_spacing_m[a : b - 1],
        table.row_load_kg[a:b],
        table.row_sample[a:b],
        table.wheel_kg[a:b],
        table.wheel_area_s[a:b],
        table.flags[a:b],
    )


def _groups(weighed: Weighed) -> list[tuple[AxleGroup, ...]]:
    """Groups of each vehicle; their axles are counted from its first."""
    group = weighed.group_of_axle
    count, load_kg = np.bincount(group), np.bincount(group, weighed.load_kg)
    first = count.cumsum() - count
    begin = group[weighed.first]
    vehicle = begin.searchsorted(np.arange(len(count)), "right") - 1
    into = (first - weighed.first[vehicle]).tolist()
    every = list(
        map(AxleGroup, into, count.tolist(), load_kg.tolist(), weighed.u_group_kg.tolist())
    )
    bounds = [*begin.tolist(), len(every)]
    return [tuple(every[a:b]) for a, b in pairwise(bounds)]
