"""What crossed the lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from edge.records.devices import InputEdge
from edge.records.flags import Flag
from edge.records.values import FlagBits, Floats, Int32s

__all__ = ["AxleGroup", "AxleTable", "Passage", "PassageKey", "RawClip"]


@dataclass(frozen=True, slots=True, eq=False)
class AxleTable:
    """Axles of one vehicle, front to rear, one entry an axle in every array.

    ``row_load_kg`` and ``row_sample`` are (n_axles, n_rows), NaN where a row did not see the axle;
    ``wheel_kg`` is (n_axles, n_rows, 2): left and right of each row, NaN where missing;
    ``wheel_area_s`` are the areas of those pulses in count seconds, before any gain or speed.
    ``spacing_m[i]`` is the distance from axle ``i`` to axle ``i + 1``: (n_axles - 1,).
    """

    load_kg: Floats
    u_load_kg: Floats
    left_kg: Floats
    right_kg: Floats
    spacing_m: Floats
    u_spacing_m: Floats
    row_load_kg: Floats
    row_sample: Floats
    wheel_kg: Floats
    wheel_area_s: Floats
    flags: FlagBits

    def __len__(self) -> int:
        return len(self.load_kg)


@dataclass(frozen=True, slots=True)
class AxleGroup:
    """Axles that share a load: a single axle, a tandem, a tridem."""

    first: int
    count: int
    load_kg: float
    u_load_kg: float


@dataclass(frozen=True, slots=True, eq=False)
class RawClip:
    """The samples from which a passage is weighed; with layout and gains it gives it again.

    ``counts`` is int32 (n_samples, n_channels) of the whole digitiser; ``edges`` are the input
    edges inside it; ``gaps`` lists (sample, lost) of holes, filled in ``counts`` with the last
    value before the hole.
    """

    device: str
    first_sample: int
    rate_hz: float
    counts: Int32s
    edges: tuple[InputEdge, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def end_sample(self) -> int:
        """Index one past the last sample."""
        return self.first_sample + len(self.counts)


PassageKey: TypeAlias = tuple[str, str, int]
"""Digitiser, lane and first sample of the clip of a passage."""


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """One vehicle as the sensors of one lane saw it, with the uncertainty of every number.

    ``first_wheel_sample`` and ``last_wheel_sample`` are the first contact with any row and the
    last release; ``configuration`` names the axle groups front to rear by their axles (``1+2+3``).
    Standard uncertainties (coverage factor 1) carry the prefix ``u_``.
    """

    device: str
    lane: str
    first_wheel_sample: float
    last_wheel_sample: float
    closed_sample: int
    speed_mps: float
    u_speed_mps: float
    speed_change: float
    """Relative change of speed from the first row to the last."""
    axles: AxleTable
    groups: tuple[AxleGroup, ...]
    configuration: str
    gross_kg: float
    u_gross_kg: float
    flags: Flag
    clip: RawClip
    astride: tuple[str, ...] = ()
    """The two lanes, left to right, that a vehicle over their line pressed on; weighed as one."""
    perhaps_with: str = ""
    """Lane of which another passage may be the other half of this vehicle."""

    @property
    def key(self) -> PassageKey:
        """What names it without holding its samples."""
        return self.device, self.lane, self.clip.first_sample

    @property
    def lanes(self) -> tuple[str, ...]:
        """All lanes that bore the vehicle."""
        return self.astride or (self.lane,)

    @property
    def wheelbase_m(self) -> float:
        """Distance from the first axle to the last."""
        return float(self.axles.spacing_m.sum())
