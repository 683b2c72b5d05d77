"""A vehicle as a silhouette with its axles to scale: geometry for the template, no markup here.

Lengths are centimetres of the real vehicle, x from the front bumper to the rear, y downwards.
The body is a guess from the axle groups (the sensors see wheels, not bodies); wheels, spacings
and loads are what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

LIGHT_KG = 3_500
_FRONT, _REAR = 135.0, 115.0
_CAB_LENGTH, _CAB_TOP, _BOX_TOP, _FLOOR = 215.0, 290.0, 375.0, 95.0
_RADIUS, _LIGHT_RADIUS = 49.0, 33.0
_UNKNOWN_SPACING_CM = 200.0
_LABEL_PER_GAP = 0.4
"""Height of a letter at which "12.3" still fits between two axles."""
_NARROWEST = 1_050.0
"""Short vehicles are not blown up to the size of a lorry."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """An axle from the side, with the load that stands beneath it."""

    x: float
    load: str
    doubtful: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch between two axles with its label: a spacing, or a group and its load."""

    x0: float
    x1: float
    label: str

    @property
    def middle(self) -> float:
        """Where the label stands."""
        return (self.x0 + self.x1) / 2


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything that the template draws; ``text`` and ``load_text`` are heights of letters."""

    left: float
    width: float
    height: float
    ground: float
    radius: float
    text: float
    load_text: float
    group_y: float
    spacing_y: float
    bodies: tuple[str, ...]
    windows: tuple[str, ...]
    wheels: tuple[Wheel, ...]
    spacings: tuple[Span, ...]
    groups: tuple[Span, ...]


def draw(body: Mapping[str, Any]) -> Drawing:
    """The drawing of a vehicle record."""
    first = 90.0 if _is_light(body) else _FRONT
    axles_x = list(accumulate(map(_spacing_cm, body["spacings_mm"]), initial=first))
    length = axles_x[-1] + (85.0 if _is_light(body) else _REAR)
    width = max(length, _NARROWEST)
    ground = _BOX_TOP + 10
    bodies, windows = _bodies(body, axles_x, length, ground)
    text = width / 31
    group_y = ground + 1.55 * text
    spacing_y = group_y + (2.05 if _has_groups(body) else 0.35) * text
    return Drawing(
        left=-(width - length) / 2,
        width=width,
        height=spacing_y + 1.8 * text,
        ground=ground,
        radius=_LIGHT_RADIUS if _is_light(body) else _RADIUS,
        text=text,
        load_text=min(text, _LABEL_PER_GAP * min(_gaps(axles_x))),
        group_y=group_y,
        spacing_y=spacing_y,
        bodies=bodies,
        windows=windows,
        wheels=_wheels(body, axles_x),
        spacings=tuple(
            Span(a, b, _metres(mm, wide=b - a > 4.5 * text))
            for (a, b), mm in zip(pairwise(axles_x), body["spacings_mm"], strict=True)
        ),
        groups=tuple(_group(group, axles_x) for group in body["groups"] if group["count"] > 1),
    )


def _has_groups(body: Mapping[str, Any]) -> bool:
    return any(group["count"] > 1 for group in body["groups"])


def _gaps(axles_x: list[float]) -> list[float]:
    return [b - a for a, b in pairwise(axles_x)] or [_NARROWEST]


def _spacing_cm(spacing_mm: int | None) -> float:
    return _UNKNOWN_SPACING_CM if spacing_mm is None else spacing_mm / 10


def _metres(spacing_mm: int | None, *, wide: bool) -> str:
    if spacing_mm is None:
        return "?"
    return f"{spacing_mm / 1_000:.2f}" if wide else f"{spacing_mm / 1_000:.1f}"


def _tonnes(load_kg: int | None) -> str:
    return "?" if load_kg is None else f"{load_kg / 1_000:.1f}"


def _wheels(body: Mapping[str, Any], axles_x: list[float]) -> tuple[Wheel, ...]:
    # Axles of a group stand too close for a unit; the bracket beneath them carries it.
    single = {group["first"] for group in body["groups"] if group["count"] == 1}
    return tuple(
        Wheel(x, _tonnes(axle["load_kg"]) + (" t" if i in single else ""), bool(axle["flags"]))
        for i, (x, axle) in enumerate(zip(axles_x, body["axles"], strict=True))
    )


def _group(group: Mapping[str, Any], axles_x: list[float]) -> Span:
    last = group["first"] + group["count"] - 1
    return Span(axles_x[group["first"]], axles_x[last], _tonnes(group["load_kg"]))


def _is_light(body: Mapping[str, Any]) -> bool:
    return len(body["axles"]) == 2 and (body["gross_kg"] or 0) < LIGHT_KG


def _bodies(
    body: Mapping[str, Any], axles_x: list[float], length: float, ground: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if _is_light(body):
        return (_van(length, ground),), (_van_window(ground),)
    cab_end = min(_CAB_LENGTH, length * 0.45)
    boxes = [_box(a, b, ground) for a, b in _boxes(body["groups"], axles_x, cab_end, length)]
    chassis = _rectangle(20, length - 20, _FLOOR + 22, _FLOOR - 18, ground)
    return (_cab(cab_end, ground), chassis, *boxes), (_cab_window(ground),)


def _boxes(
    groups: list[Mapping[str, Any]], axles_x: list[float], cab_end: float, length: float
) -> list[tuple[float, float]]:
    """Where the load bodies stand: one on a lorry or semi-trailer, two on a trailer train."""
    firsts = [axles_x[group["first"]] for group in groups]
    if len(groups) >= 4:
        tail = axles_x[groups[2]["first"] - 1] + 75
        return [(cab_end + 18, tail), (max(tail + 45, firsts[2] - 85), length)]
    if len(groups) == 3:
        return [(max(cab_end + 40, firsts[1] - 75), length)]
    return [(cab_end + 18, length)]


def _rectangle(x0: float, x1: float, top: float, bottom: float, ground: float) -> str:
    return f"M{x0:.0f} {ground - top:.0f}H{x1:.0f}V{ground - bottom:.0f}H{x0:.0f}Z"


def _box(x0: float, x1: float, ground: float) -> str:
    return _rectangle(x0, max(x1, x0 + 60), _BOX_TOP, _FLOOR + 12, ground)


def _cab(end: float, ground: float) -> str:
    top, floor = ground - _CAB_TOP, ground - 45
    return (
        f"M6 {floor:.0f}V{ground - 165:.0f}L34 {top + 24:.0f}Q38 {top:.0f} 62 {top:.0f}"
        f"H{end:.0f}V{floor:.0f}Z"
    )


def _cab_window(ground: float) -> str:
    return (
        f"M30 {ground - 170:.0f}L48 {ground - 258:.0f}Q50 {ground - 266:.0f} 60 {ground - 266:.0f}"
        f"H140V{ground - 170:.0f}Z"
    )


def _van(length: float, ground: float) -> str:
    return (
        f"M8 {ground - 32:.0f}V{ground - 88:.0f}Q12 {ground - 104:.0f} 90 {ground - 112:.0f}"
        f"L150 {ground - 172:.0f}Q156 {ground - 178:.0f} 168 {ground - 178:.0f}"
        f"H{length - 30:.0f}Q{length - 8:.0f} {ground - 178:.0f} {length - 6:.0f} "
        f"{ground - 140:.0f}V{ground - 32:.0f}Z"
    )


def _van_window(ground: float) -> str:
    return f"M112 {ground - 116:.0f}L158 {ground - 164:.0f}H236V{ground - 116:.0f}Z"
