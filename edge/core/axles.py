"""From touches to axles: which touches of the rows are one axle, for many vehicles at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from edge.core.conditioning import TYPICAL_CONTACT_M
from edge.core.tangle import untangle
from edge.records import Bools, Floats, Indices, Row

__all__ = [
    "Axles",
    "axle_speeds",
    "find_axles",
    "first_axles",
    "is_even",
    "rolling_speeds",
    "spans",
    "trust",
]

_EVEN = 1.35
"""Speeds of one vehicle's axles between rows differ by less than this factor."""

_PLAUSIBLE = {"strip": 2.5, "plate": 1.4}
"""Tyre patches differ: the speed from a touch's length is right to about this factor. On a plate
the patch is the smaller part of that length."""

_HASTE = 1.5
"""No vehicle is faster than this factor of the speed that touches' lengths tell on the whole."""
_TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Axles:
    """Axles of every vehicle, front to rear.

    Attributes
    ----------
    vehicle : int64 array (n_axles,)
    touch : int64 array (n_axles, n_rows)
        Number of the axle's touch of a row, -1 where unseen.
    reversed : bool array (n_vehicles,)
        The rows were crossed from the last to the first.
    doubtful : bool array (n_vehicles,)
        The touches fit more than one set of axles.
    rough_mps : float array (n_vehicles,)
        Speed from touches' lengths.
    """

    vehicle: Indices
    touch: Indices
    reversed: Bools
    doubtful: Bools
    rough_mps: Floats

    def of(self, values: Floats) -> Floats:
        """Values of touches (..., n_touches) laid out by axle, NaN where unseen.

        Returns
        -------
        float array (..., n_axles, n_rows)
        """
        return np.where(self.touch >= 0, values.take(self.touch, axis=-1), np.nan)

    def samples(self, values: Indices) -> Indices:
        """The same of whole numbers, 0 where unseen."""
        return np.where(self.touch >= 0, values.take(self.touch, axis=-1), 0)

    def only(self, chosen: Bools) -> Axles:
        """Some of the axles."""
        vehicle, touch = self.vehicle[chosen], self.touch[chosen]
        return Axles(vehicle, touch, self.reversed, self.doubtful, self.rough_mps)


def rolling_speeds(width_m: Floats, duration_s: Floats) -> Floats:
    """Rough speeds in m/s from the lengths of touches and a typical tyre patch."""
    return np.asarray((width_m + TYPICAL_CONTACT_M) / np.maximum(duration_s, 1e-6))


def trust(rows: Sequence[Row]) -> float:
    """Factor to which the speed from touches' lengths is right."""
    return min(_PLAUSIBLE[row.kind] for row in rows)


_Number = TypeVar("_Number", float, Floats)


def is_even(least: _Number, most: _Number, rough_mps: _Number, believed: float) -> bool | Bools:
    """Whether slownesses between rows (s/m) agree with each other and with a rough speed."""
    factor = rough_mps * (least + most) / 2
    return (least > 0) & (most <= _EVEN * least) & (factor > 1 / believed) & (factor < believed)


def find_axles(
    vehicle: Indices,
    row: Indices,
    centre_s: Floats,
    duration_s: Floats,
    n_vehicles: int,
    rows: Sequence[Row],
    window_s: tuple[float, Floats] | None = None,
) -> Axles:
    """Find the axles behind the touches of all rows of each vehicle.

    Equal counts with even speeds are taken as they come; where they are not, those of them that
    the vehicle itself can have made while it rolled through its window. Otherwise each speed that
    any two touches of neighbouring rows suggest is tried, and the one that explains most touches
    to within half an axle spacing wins; a touch that fits no axle starts one of its own.

    Parameters
    ----------
    vehicle, row : int64 arrays (n_touches,)
        Touches are in order of vehicle, row and time.
    centre_s, duration_s : float arrays (n_touches,)
    n_vehicles : int
    rows : sequence of Row
        In the lane's direction.
    window_s : float and float array (n_vehicles,), optional
        From when to when each vehicle was on the array; touches beyond are its neighbours'.
    """
    position_m = np.array([r.position_m for r in rows])
    believed = trust(rows)
    n_rows = len(rows)
    place = vehicle * n_rows + row
    count = np.bincount(place, minlength=n_vehicles * n_rows).reshape(n_vehicles, n_rows)
    first = (count.cumsum() - count.ravel()).reshape(n_vehicles, n_rows)
    rough_mps = _rough_speeds(vehicle, row, duration_s, n_vehicles, rows)
    how = centre_s, position_m, rough_mps, believed
    regular, backward = _even(count, first, *how)
    left = ~regular & count.any(axis=1)
    begin, n_axles = first, np.where(regular, count[:, 0], 0)
    if window_s is not None and left.any():
        early, late = _others(place, centre_s, position_m, rough_mps, *window_s)
        own, since = count - early - late, first + early
        regular, turned = _even(own, since, *how)
        alone = left & regular & ~turned
        begin, left = np.where(alone[:, None], since, first), left & ~alone
        n_axles = np.where(alone, own[:, 0], n_axles)
    doubtful, tangled = np.zeros(n_vehicles, np.bool_), {}
    for v in left.nonzero()[0].tolist():
        touches_s = [centre_s[a : a + n] for a, n in zip(first[v], count[v], strict=True)]
        tangled[v], backward[v], doubtful[v] = untangle(
            touches_s, position_m, rough_mps[v], believed
        )
        n_axles[v] = len(tangled[v])
    touch, of = _in_order(n_axles, begin)
    for v, own_touch in tangled.items():
        touch[of == v] = np.where(own_touch >= 0, own_touch + first[v], -1)
    return Axles(of, touch, backward, doubtful, rough_mps)


def _others(
    place: Indices,
    centre_s: Floats,
    position_m: Floats,
    rough_mps: Floats,
    begin_s: float,
    end_s: Floats,
) -> tuple[Indices, Indices]:
    """How many touches of each row, (n_vehicles, n_rows), came too early or too late for a vehicle
    that met the first row no sooner than its window began, and left the last one in time.
    """
    way_s = (position_m - position_m[0]) / np.maximum(_HASTE * rough_mps, _TINY)[:, None]
    early = centre_s < (begin_s + way_s).ravel()[place]
    late = ~early & (centre_s > (end_s[:, None] - way_s[:, -1:] + way_s).ravel()[place])
    counted = (np.bincount(place[x], minlength=way_s.size) for x in (early, late))
    before, behind = (x.reshape(way_s.shape) for x in counted)
    return before, behind


def _in_order(n_axles: Indices, first: Indices) -> tuple[Indices, Indices]:
    """The k-th touch of each row is axle k: touches (n_axles, n_rows), and each axle's vehicle."""
    of = np.arange(len(n_axles)).repeat(n_axles)
    number = np.arange(len(of)) - (n_axles.cumsum() - n_axles)[of]
    return first[of] + number[:, None], of


def first_axles(vehicle: Indices, n_vehicles: int) -> Indices:
    """Where each vehicle's axles begin."""
    return vehicle.searchsorted(np.arange(n_vehicles))


def axle_speeds(at_s: Floats, position_m: Floats, axles: Axles) -> Floats:
    """Mean speed of each axle over the rows that saw it, negative if reversed.

    Parameters
    ----------
    at_s : float array (n_axles, n_rows)
        When each axle was on each row, NaN where unseen; an axle that one row saw takes the
        median of its vehicle's others.
    position_m : float array (n_rows,)
    axles : Axles
    """
    first, last = _ends(~np.isnan(at_s))
    each = np.arange(len(at_s))
    time_s, way_m = at_s[each, last] - at_s[each, first], position_m[last] - position_m[first]
    known = (last > first) & (time_s != 0)
    if known.all():
        return np.asarray(way_m / time_s)
    speed = np.where(axles.reversed, -axles.rough_mps, axles.rough_mps)[axles.vehicle]
    speed[known] = way_m[known] / time_s[known]
    for v in set(axles.vehicle[~known].tolist()):
        own = axles.vehicle == v
        ranked = speed[own & known]
        if len(ranked):
            ranked.sort()
            middle = len(ranked) // 2
            speed[own & ~known] = (ranked[middle] + ranked[(len(ranked) - 1) // 2]) / 2
    return speed


def _ends(seen: Bools) -> tuple[Indices, Indices]:
    """First and last row that saw each axle."""
    return seen.argmax(axis=1), seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)


def spans(
    enter_s: Floats, leave_s: Floats, position_m: Floats, speed_mps: Floats, backward: Bools
) -> Floats:
    """From when to when each axle is on the array: (n_axles, 2).

    Where the first or the last row in the direction of travel did not see the axle, the time is
    projected from the nearest row that did. ``backward`` (n_axles,) tells the direction.
    """
    first, last = _ends(~np.isnan(enter_s))
    begin_m, end_m = position_m[:1], position_m[-1:]
    if backward.any():
        first, last = np.where(backward, (last, first), (first, last))
        begin_m, end_m = np.where(backward, (end_m, begin_m), (begin_m, end_m))
    each = np.arange(len(enter_s))
    start = enter_s[each, first] - (position_m[first] - begin_m) / speed_mps
    end = leave_s[each, last] + (end_m - position_m[last]) / speed_mps
    return np.array([start, end]).T


def _rough_speeds(
    vehicle: Indices, row: Indices, duration_s: Floats, n_vehicles: int, rows: Sequence[Row]
) -> Floats:
    """Median over the touches of the rows that tell it best; 0 where there is no touch."""
    width_m = np.array([r.width_m for r in rows])
    if len({r.kind for r in rows}) > 1:
        plate = np.array([r.kind == "plate" for r in rows])[row]
        has_plate = np.bincount(vehicle[plate], minlength=n_vehicles) > 0
        used = plate == has_plate[vehicle]
        vehicle, row, duration_s = vehicle[used], row[used], duration_s[used]
    speed = rolling_speeds(width_m[row], duration_s)
    ranked = speed[np.lexsort((speed, vehicle))]
    count = np.bincount(vehicle, minlength=n_vehicles)
    middle = count.cumsum() - count + count // 2
    if not len(ranked):
        return np.zeros(n_vehicles)
    return np.where(count > 0, ranked[np.minimum(middle, len(ranked) - 1)], 0.0)


def _even(
    count: Indices,
    first: Indices,
    centre_s: Floats,
    position_m: Floats,
    rough_mps: Floats,
    believed: float,
) -> tuple[Bools, Bools]:
    """Of which vehicles the k-th touches of all rows are axle k beyond doubt, and which of these
    reversed: (n_vehicles,) each.
    """
    even = (count == count[:, :1]).all(axis=1) & (count[:, 0] > 0)
    turned = np.zeros(len(even), np.bool_)
    if len(position_m) < 2:
        return turned, turned.copy()
    if even.any():
        touch, vehicle = _in_order(count[even, 0], first[even])
        at_s, begin = centre_s[touch], first_axles(vehicle, int(even.sum()))
        slowness = (at_s[:, 1:] - at_s[:, :-1]) / (position_m[1:] - position_m[:-1])
        back = slowness[begin, 0] < 0
        slowness = np.where(back[vehicle][:, None], -slowness, slowness)
        least = np.minimum.reduceat(slowness.min(axis=1), begin)
        most = np.maximum.reduceat(slowness.max(axis=1), begin)
        rolled = np.asarray(is_even(least, most, rough_mps[even], believed))
        turned[even] = rolled & (at_s[begin, -1] < at_s[begin, 0])
        even[even] = rolled
    return even, turned
