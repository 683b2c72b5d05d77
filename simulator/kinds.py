"""Kinds of vehicles on Chinese roads: axles, tares, loads, limits, and what they roll on.

Axle codes are those of the stations (dialect A: 1 single, 2 twin-tyred single, 5 twin tandem,
7 twin tridem). ``limits_kg`` is the span of gross limits that sources give for the type (order 62
of 2016 art. 3 and the annex of September 2016): a lawful lorry stays below the lower, an
overloaded one passes the higher. Trains of seven axles and more run on a permit for their load;
for them the span is that load. ``car``, ``van`` and ``motorcycle`` are no business of a station,
but they pass its sensors.
"""

from __future__ import annotations

from dataclasses import dataclass

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Chassis:
    """Wheel ends of a kind of vehicle, each at its rated load; lorries as in facts of Cebon."""

    rated_wheel_kg: float
    unsprung_kg: float
    twin_unsprung_kg: float
    spring_npm: float
    twin_spring_npm: float
    damper_nspm: float
    tyre_npm: float
    """Vertical stiffness of one tyre at its rated pressure."""
    tyre_damping_nspm: float
    tyre_radius_m: float
    tyre_width_m: float
    track_m: float
    """Between the middles of left and right wheels; 0 for a single track."""


CHASSIS = {
    "lorry": Chassis(5_000, 320, 540, 0.4e6, 1.0e6, 15e3, 0.875e6, 1e3, 0.5, 0.30, 1.9),
    "car": Chassis(400, 40, 40, 25e3, 25e3, 1.6e3, 0.21e6, 150, 0.31, 0.20, 1.55),
    # Both halves of its one track stand for one wheel.
    "motorcycle": Chassis(60, 8, 8, 8e3, 8e3, 0.5e3, 80e3, 60, 0.30, 0.12, 0.0),
}


@dataclass(frozen=True, slots=True)
class VehicleType:
    """A kind of vehicle. Tuples run front to rear, one entry an axle (spacings: one less)."""

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
    units: tuple[int, ...]
    """Axles of each rigid body, front to rear."""
    rides: bool
    """Whether each unit rides on the one before it (fifth wheel), or is drawn by a bar."""
    chassis: str = "lorry"


_TANDEM: Span = (1.30, 1.40)
_TRIDEM: Span = (1.30, 1.36)
_TWIN_STEER: Span = (1.80, 2.05)
_NOSE: Span = (1.20, 1.50)
_TAIL: Span = (0.9, 1.9)
_TRAILER_TAIL: Span = (1.2, 2.6)
_SHORT: Span = (0.6, 0.95)
_DRAWBAR: Span = (4.2, 5.0)
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
    units: tuple[int, ...] = (),
    rides: bool = True,
    chassis: str = "lorry",
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
        _NOSE if chassis == "lorry" else _SHORT,
        _SHORT if chassis != "lorry" else _TRAILER_TAIL if trailer else _TAIL,
        air_rate,
        units or (n,),
        rides,
        chassis,
    )


_TRI = (_TRIDEM, _TRIDEM)
_TWO_TRI: tuple[Span, ...] = ((1.5, 1.8), *_TRI, (1.5, 1.8), *_TRI)


def _long(
    code: str,
    name: str,
    behind_first: tuple[Span, ...],
    units: tuple[int, int],
    singles: int = 1,
) -> VehicleType:
    """A low loader of many axles: a tractor and lines of twins that share the load evenly."""
    spacing_m = behind_first if singles > 1 else ((3.1, 3.5), *behind_first)
    n = len(spacing_m) + 1
    tare_t = (4.8,) * singles + (2.9,) * (units[0] - singles) + (2.4,) * units[1]
    share = (6,) * singles + (17,) * (units[0] - singles) + (19,) * units[1]
    limit_t = 9.0 * n
    return _kind(
        code,
        name,
        spacing_m,
        tare_t,
        share,
        singles,
        (limit_t, limit_t),
        trailer=True,
        air_rate=0.5,
        units=units,
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
            units=(2, 1),
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
            units=(2, 2),
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
            units=(2, 3),
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
            units=(3, 2),
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
            units=(3, 3),
            air_rate=0.45,
        ),
        _kind(
            "1222",
            "四轴全挂列车",
            ((4.2, 5.2), _DRAWBAR, (3.6, 4.6)),
            (3.4, 3.2, 1.4, 1.4),
            (14, 36, 25, 25),
            1,
            (36, 36),
            trailer=True,
            units=(2, 2),
            rides=False,
        ),
        _long("1555", "七轴半挂列车", (_TANDEM, (5.5, 7.0), _TANDEM, (1.5, 1.8), _TANDEM), (3, 4)),
        _long("1557", "八轴半挂列车", (_TANDEM, (5.5, 7.0), _TANDEM, (2.0, 2.6), *_TRI), (3, 5)),
        _long("1577", "九轴半挂列车", (_TANDEM, (5.5, 7.0), *_TRI, (2.0, 2.6), *_TRI), (3, 6)),
        _long(
            "15557",
            "十轴平板列车",
            (_TANDEM, (5.5, 7.0), _TANDEM, (1.5, 1.8), _TANDEM, (1.5, 1.8), *_TRI),
            (3, 7),
        ),
        _long(
            "15577",
            "十一轴平板列车",
            (_TANDEM, (5.5, 7.0), _TANDEM, (1.5, 1.8), *_TRI, (1.5, 1.8), *_TRI),
            (3, 8),
        ),
        _long(
            "115577",
            "十二轴平板列车",
            (_TWIN_STEER, (2.4, 2.8), _TANDEM, (5.5, 7.0), _TANDEM, *_TWO_TRI),
            (4, 8),
            singles=2,
        ),
        _kind("car", "小客车", ((2.5, 2.9),), (0.80, 0.62), (40, 60), 2, (2, 2), chassis="car"),
        _kind("van", "轻型货车", ((2.8, 3.4),), (1.0, 0.8), (30, 70), 2, (3.5, 3.5), chassis="car"),
        _kind(
            "motorcycle",
            "摩托车",
            ((1.25, 1.5),),
            (0.09, 0.11),
            (35, 65),
            2,
            (0.4, 0.4),
            chassis="motorcycle",
        ),
    )
}
