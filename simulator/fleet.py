"""Lorries as they run on Chinese roads: axles, masses, tyres and plates.

Axle codes are those of the stations (dialect A: 1 single, 2 twin-tyred single, 5 twin tandem,
7 twin tridem). ``limits_kg`` is the span of gross limits that sources give for the type (order 62
of 2016 art. 3 and the annex of September 2016): a lawful lorry stays below the lower, an
overloaded one passes the higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from simulator.plates import make_plate

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class VehicleType:
    """A kind of lorry. Tuples run front to rear, one entry an axle (spacings: one less)."""

    code: str
    name: str
    spacing_m: tuple[Span, ...]
    tare_kg: tuple[float, ...]
    share: tuple[float, ...]
    """Part of the payload that each axle carries."""
    twin: tuple[bool, ...]
    limits_kg: tuple[int, int]
    front_overhang_m: Span
    rear_overhang_m: Span
    air_rate: float
    """How often its drive and trailer axles are air-sprung; a group shares one answer."""


@dataclass(frozen=True, slots=True)
class SimVehicle:
    """One lorry with its truth: static loads, dimensions, plate, how it stands on its wheels."""

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
    """``empty``, ``part``, ``legal`` or ``over``."""

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
        """The same lorry, driven ``lateral_m`` beside the middle of its lane."""
        return replace(self, lateral_m=lateral_m)


_TANDEM: Span = (1.30, 1.40)
_TRIDEM: Span = (1.30, 1.36)
_TWIN_STEER: Span = (1.80, 2.05)
_NOSE: Span = (1.20, 1.50)
_TAIL: Span = (0.9, 1.9)
_TRAILER_TAIL: Span = (1.2, 2.6)
_T, _S = True, False


def _kind(
    code: str,
    name: str,
    spacing_m: tuple[Span, ...],
    tare_t: tuple[float, ...],
    share: tuple[float, ...],
    singles: int,
    limits_t: Span,
    *,
    trailer: bool = False,
    air_rate: float = 0.15,
) -> VehicleType:
    """Row of the table below: tonnes and the number of single-tyred axles in front."""
    n = len(tare_t)
    return VehicleType(
        code,
        name,
        spacing_m,
        tuple(t * 1_000 for t in tare_t),
        tuple(s / sum(share) for s in share),
        (_S,) * singles + (_T,) * (n - singles),
        (round(limits_t[0] * 1_000), round(limits_t[1] * 1_000)),
        _NOSE,
        _TRAILER_TAIL if trailer else _TAIL,
        air_rate,
    )


TYPES: dict[str, VehicleType] = {
    kind.code: kind
    for kind in (
        _kind("12", "二轴载货汽车", ((3.8, 5.6),), (3.0, 2.9), (26, 74), 1, (18, 18)),
        _kind(
            "15", "三轴载货汽车", ((3.6, 4.9), _TANDEM), (4.5, 3.2, 3.1), (18, 41, 41), 1, (25, 25)
        ),
        _kind(
            "112",
            "双前桥三轴载货汽车",
            (_TWIN_STEER, (3.9, 5.1)),
            (3.2, 3.0, 3.6),
            (20, 20, 60),
            2,
            (25, 25),
        ),
        _kind(
            "122",
            "三轴半挂列车",
            ((3.2, 3.7), (5.2, 6.8)),
            (4.2, 3.4, 3.0),
            (10, 42, 48),
            1,
            (27, 27),
            trailer=True,
        ),
        _kind(
            "115",
            "四轴载货汽车",
            (_TWIN_STEER, (2.7, 3.4), _TANDEM),
            (3.9, 3.7, 3.1, 3.0),
            (15, 15, 35, 35),
            2,
            (31, 31),
        ),
        _kind(
            "125",
            "四轴半挂列车",
            ((3.2, 3.7), (5.6, 7.0), _TANDEM),
            (4.4, 3.5, 2.7, 2.7),
            (8, 33, 29.5, 29.5),
            1,
            (36, 37),
            trailer=True,
            air_rate=0.3,
        ),
        _kind(
            "127",
            "五轴半挂列车",
            ((3.4, 3.8), (5.6, 6.8), _TRIDEM, _TRIDEM),
            (4.6, 3.6, 2.3, 2.3, 2.3),
            (7, 27, 22, 22, 22),
            1,
            (42, 43),
            trailer=True,
            air_rate=0.4,
        ),
        _kind(
            "155",
            "五轴半挂列车",
            ((3.1, 3.5), _TANDEM, (5.8, 7.2), _TANDEM),
            (4.7, 2.8, 2.7, 2.8, 2.8),
            (6, 22, 22, 25, 25),
            1,
            (43, 43),
            trailer=True,
            air_rate=0.3,
        ),
        _kind(
            "157",
            "六轴半挂列车",
            ((3.1, 3.5), _TANDEM, (5.7, 7.4), _TRIDEM, _TRIDEM),
            (4.8, 2.8, 2.7, 2.2, 2.2, 2.2),
            (6, 17, 17, 20, 20, 20),
            1,
            (46, 49),
            trailer=True,
            air_rate=0.45,
        ),
    )
}

_LOADS: dict[str, Span] = {"part": (0.45, 0.75), "legal": (0.75, 0.92), "over": (1.15, 1.60)}
"""Gross against the limit: the lower one for lawful lorries, the higher one for ``over``."""


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
        centre_height_m=chance.uniform(1.2, 2.0),
        plate=plate,
        colour=colour,
        limits_kg=kind.limits_kg,
        load=load,
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
    return limit_kg * chance.uniform(*_LOADS[load])


def _spacings_m(kind: VehicleType, chance: np.random.Generator) -> tuple[float, ...]:
    """Spacings of a group are equal: a tridem is one bogie."""
    drawn = {span: chance.uniform(*span) for span in dict.fromkeys(kind.spacing_m)}
    return tuple(drawn[span] for span in kind.spacing_m)
