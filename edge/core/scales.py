"""What vehicles are weighed with: the scale of a lane, and the scales of many vehicles at once.

Lanes built alike, of one digitiser or of several, differ in their channels, in what these are
worth and in how axles swing; their vehicles are weighed together all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.core.conditioning import floor_counts
from edge.core.modes import PRIOR, Dynamics
from edge.records import Bools, Floats, Gains, Indices, LaneLayout, read_only

__all__ = ["Scale", "Scales"]


@dataclass(frozen=True, eq=False)
class Scale:
    """A lane as a scale.

    Parameters
    ----------
    lane : LaneLayout
    gains : Gains
        Of all channels of its digitiser.
    others : tuple of LaneLayout
        Lanes beside it on the digitiser, watched for straddling.
    dynamics : Dynamics
        How axles swing on this lane, as far as it is known.
    """

    lane: LaneLayout
    gains: Gains
    others: tuple[LaneLayout, ...] = ()
    dynamics: Dynamics = PRIOR

    @cached_property
    def build(self) -> str:
        """What scales must have in common for their vehicles to be weighed together."""
        lane = self.lane
        rows = tuple((row.position_m, row.width_m, row.kind) for row in lane.rows)
        speeds = lane.speed_min_mps, lane.speed_max_mps, lane.speed_change_max
        loads = lane.axle_min_kg, lane.axle_max_kg
        n_channels = len(self.gains.newton_per_count)
        # As a text, for it is looked up with every vehicle: a text knows its hash.
        return repr((rows, speeds, loads, lane.grade, lane.separator is None, n_channels))

    @cached_property
    def position_m(self) -> Floats:
        """Of each row, in the lane's direction."""
        return read_only(np.array([row.position_m for row in self.lane.rows]))

    @cached_property
    def width_m(self) -> Floats:
        """Sensing length of each row."""
        return read_only(np.array([row.width_m for row in self.lane.rows]))

    @cached_property
    def plate(self) -> Bools:
        """Which rows are plates."""
        return read_only(np.array([row.kind == "plate" for row in self.lane.rows]))

    @cached_property
    def channels(self) -> Indices:
        """Left and right of each row: (n_rows, 2)."""
        return np.array([(row.left, row.right) for row in self.lane.rows], np.int64)

    @cached_property
    def falling(self) -> Bools:
        """Which of them press downwards."""
        return np.asarray(self.gains.newton_per_count[self.channels] < 0)

    @cached_property
    def floor(self) -> Floats:
        """Least threshold of each in counts."""
        return np.asarray(floor_counts((self.lane,), self.gains)[self.channels])

    @cached_property
    def kg_per_count(self) -> Floats:
        """Worth of a count, (n_rows, 2); the sign is taken with the baseline."""
        newton = np.abs(self.gains.newton_per_count[self.channels])
        return np.asarray(newton / self.gains.gravity_mps2)

    @cached_property
    def u_rel_own(self) -> Floats:
        """Relative uncertainty of each gain without what all channels share: (n_channels,)."""
        u_rel, common = self.gains.u_rel, self.gains.u_rel_common
        return np.asarray(np.sqrt(np.maximum(u_rel**2 - common**2, 0.0)))

    @cached_property
    def speeds_mps(self) -> tuple[float, float]:
        """Lowest and highest speed that lane and certificate cover."""
        lowest, highest = self.gains.speed_mps.get(self.lane.lane, (0.0, np.inf))
        return max(self.lane.speed_min_mps, lowest), min(self.lane.speed_max_mps, highest)


class Scales:
    """The scales of many vehicles, all of one build.

    Parameters
    ----------
    each : sequence of Scale
        One a vehicle.

    Attributes
    ----------
    each : sequence of Scale
    lane : LaneLayout
        One of them: its rows' positions, widths and kinds and its limits are those of all.
    position_m, width_m : float arrays (n_rows,)
    plate : bool array (n_rows,)
        Of its rows.
    different : list of Scale
    number : int64 array (n_vehicles,)
        The place of each vehicle's scale among the different ones.
    channels : int64 array (n_vehicles, n_rows, 2)
        Left and right of each row.
    kg_per_count : float array (n_vehicles, n_rows, 2)
        Worth of a count.
    """

    def __init__(self, each: Sequence[Scale]) -> None:
        self.each = each
        self.lane = each[0].lane
        self.position_m, self.width_m = each[0].position_m, each[0].width_m
        self.plate = each[0].plate
        self.different = list(dict.fromkeys(each))
        place = {scale: number for number, scale in enumerate(self.different)}
        self.number = np.array([place[scale] for scale in each], np.int64)
        self.channels: Indices = self.of_each(attrgetter("channels"))
        self.kg_per_count: Floats = self.of_each(attrgetter("kg_per_count"))

    def of_each(self, what: Callable[[Scale], Any]) -> NDArray[Any]:
        """Something of every vehicle's scale, an array or a number: (n_vehicles, ...)."""
        if len(self.each) == 1:
            return np.asarray(what(self.each[0]))[None]
        return np.array([what(scale) for scale in self.different])[self.number]
