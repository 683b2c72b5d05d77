"""Single vehicles: their true loads, how they stand on their wheels, and their plates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeVar

import numpy as np

from simulator.kinds import CHASSIS, TYPES, Chassis, Span, VehicleType
from simulator.plates import make_plate

_Any = TypeVar("_Any")


@dataclass(frozen=True, slots=True)
class SimVehicle:
    """One vehicle with its truth: static loads, dimensions, plate, how it stands on its wheels."""

    number: int
    code: str
    axle_kg: tuple[float, ...]
    spacing_m: tuple[float, ...]
    front_overhang_m: float
    rear_overhang_m: float
    twin: tuple[bool, ...]
    air: tuple[bool, ...]
    right_share: tuple[float, ...]
    """Part of each axle's load that its right wheels carry."""
    pressure_rel: float
    lateral_m: float
    """Middle of the lorry against the middle of the lane, right is positive."""
    centre_height_m: float
    plate: str
    colour: str
    limits_kg: tuple[int, int]
    load: str
    """``empty``, ``part``, ``legal``, ``over`` or ``front`` (an empty trailer behind)."""
    units: tuple[int, ...]
    """Axles of each rigid body, front to rear."""
    rides: bool = True
    """Whether each unit rides on the one before it, or is drawn by a bar."""
    chassis_kind: str = "lorry"

    @property
    def chassis(self) -> Chassis:
        """What it rolls on."""
        return CHASSIS[self.chassis_kind]

    @property
    def gross_kg(self) -> float:
        """Static gross mass."""
        return sum(self.axle_kg)

    @property
    def axle_behind_m(self) -> tuple[float, ...]:
        """Distance of each axle behind the first."""
        return (0.0, *accumulate(self.spacing_m))

    @property
    def wheelbase_m(self) -> float:
        """First axle to last."""
        return sum(self.spacing_m)

    @property
    def length_m(self) -> float:
        """Nose to tail."""
        return self.front_overhang_m + self.wheelbase_m + self.rear_overhang_m

    def beside(self, lateral_m: float) -> SimVehicle:
        """The same vehicle, driven ``lateral_m`` beside the middle of its lane."""
        return replace(self, lateral_m=lateral_m)

    def lifted(self, axle: int) -> SimVehicle:
        """The same vehicle with one axle drawn up: its unit's other axles carry the load.

        ``axle`` is neither the first nor the last; the truth knows only axles on the ground.
        """
        unit = int(np.searchsorted(np.cumsum(self.units), axle, "right"))
        first = sum(self.units[:unit])
        others = [i for i in range(max(first, 1), first + self.units[unit]) if i != axle]
        axle_kg = np.array(self.axle_kg)
        axle_kg[others] += axle_kg[axle] / len(others)
        ahead_m, behind_m = self.spacing_m[: axle - 1], self.spacing_m[axle + 1 :]
        joined_m = self.spacing_m[axle - 1] + self.spacing_m[axle]
        units = tuple(n - (i == unit) for i, n in enumerate(self.units))

        def rest(values: tuple[_Any, ...]) -> tuple[_Any, ...]:
            return values[:axle] + values[axle + 1 :]

        return replace(
            self,
            axle_kg=rest(tuple(axle_kg.tolist())),
            spacing_m=(*ahead_m, joined_m, *behind_m),
            twin=rest(self.twin),
            air=rest(self.air),
            right_share=rest(self.right_share),
            units=units,
        )


LOADS: dict[str, Span] = {
    "part": (0.45, 0.75),
    "legal": (0.75, 0.92),
    "over": (1.15, 1.60),
    "front": (0.40, 0.52),
}
"""Gross against the limit: the lower one for lawful vehicles, the higher one for ``over``."""


def make_vehicle(
    number: int,
    mix: Mapping[str, float],
    loads: Mapping[str, float],
    lateral_sd_m: float,
    chance: np.random.Generator,
) -> SimVehicle:
    """A lorry drawn from the weights of types (by axle code) and of load states."""
    kind = TYPES[_draw(mix, chance)]
    load = _draw(loads, chance)
    tare_kg = np.array(kind.tare_kg) * chance.uniform(0.95, 1.05)
    payload_kg = max(_gross_kg(kind, load, chance) - tare_kg.sum(), 0.0)
    uneven = chance.normal(1, 0.03, len(tare_kg))
    share = np.array(kind.share) * uneven
    if load == "front":
        share[kind.units[0] :] = 0.0
    axle_kg = tare_kg + payload_kg * share / share.sum()
    air = chance.random() < kind.air_rate
    plate, colour = make_plate(chance)
    return SimVehicle(
        number=number,
        code=kind.code,
        axle_kg=tuple(axle_kg.tolist()),
        spacing_m=_spacings_m(kind, chance),
        front_overhang_m=chance.uniform(*kind.front_overhang_m),
        rear_overhang_m=chance.uniform(*kind.rear_overhang_m),
        twin=kind.twin,
        air=tuple(bool(air and twin) for twin in kind.twin),
        right_share=tuple((0.5 + chance.normal(0, 0.015, len(tare_kg))).clip(0.4, 0.6).tolist()),
        pressure_rel=_within(chance.normal(1, 0.06), (0.75, 1.25)),
        lateral_m=_within(chance.normal(0, lateral_sd_m), (-0.45, 0.45)),
        centre_height_m=chance.uniform(1.2, 2.0) * (1.0 if kind.chassis == "lorry" else 0.4),
        plate=plate,
        colour=colour,
        limits_kg=kind.limits_kg,
        load=load,
        units=kind.units,
        rides=kind.rides,
        chassis_kind=kind.chassis,
    )


def reference_vehicle(
    number: int, code: str, lateral_m: float, chance: np.random.Generator
) -> SimVehicle:
    """A test lorry for calibration: always the same body and load, only its track wanders."""
    kind = TYPES[code]
    gross_kg = 0.95 * kind.limits_kg[0]
    tare_kg = np.array(kind.tare_kg)
    axle_kg = tare_kg + (gross_kg - tare_kg.sum()) * np.array(kind.share)
    n = len(tare_kg)
    return SimVehicle(
        number=number,
        code=code,
        # A control scale shows steps of 20 kg; the truth beside a run is what it showed.
        axle_kg=tuple((np.round(axle_kg / 20) * 20).tolist()),
        spacing_m=tuple((low + high) / 2 for low, high in kind.spacing_m),
        front_overhang_m=1.35,
        rear_overhang_m=1.5,
        twin=kind.twin,
        air=(False, *(True,) * (n - 1)),
        right_share=tuple((0.5 + chance.normal(0, 0.003, n)).tolist()),
        pressure_rel=1.0,
        lateral_m=lateral_m,
        centre_height_m=1.5,
        plate=f"REFERENCE-{code}",
        colour="white",
        limits_kg=kind.limits_kg,
        load="legal",
        units=kind.units,
        rides=kind.rides,
        chassis_kind=kind.chassis,
    )


def _draw(weights: Mapping[str, float], chance: np.random.Generator) -> str:
    p = np.array(list(weights.values()))
    return list(weights)[int(chance.choice(len(p), p=p / p.sum()))]


def _within(value: float, span: Span) -> float:
    return min(max(value, span[0]), span[1])


def _gross_kg(kind: VehicleType, load: str, chance: np.random.Generator) -> float:
    if load == "empty":
        return 0.0
    limit_kg = kind.limits_kg[1] if load == "over" else kind.limits_kg[0]
    return limit_kg * chance.uniform(*LOADS[load])


def _spacings_m(kind: VehicleType, chance: np.random.Generator) -> tuple[float, ...]:
    """Spacings of a group are equal: a tridem is one bogie."""
    drawn = {span: chance.uniform(*span) for span in dict.fromkeys(kind.spacing_m)}
    return tuple(drawn[span] for span in kind.spacing_m)
