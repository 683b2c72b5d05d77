"""Line plots as SVG: a few curves over one axis, readable in a page of documentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Curve", "plot"]

_WIDTH, _HEIGHT = 690, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 215, 40, 52
_COLOURS = ("#0b5fa5", "#c2410c", "#15803d", "#7c3aed", "#475569", "#b91c1c", "#0f766e", "#a16207")
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TICKS = 5
_ROOM = 1.05
_FONT = "font-family='sans-serif' font-size='12'"


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot; points that are not finite are left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False

    @property
    def points(self) -> list[tuple[float, float]]:
        """The points that can be drawn."""
        pairs = zip(self.x, self.y, strict=True)
        return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


def plot(title: str, x_label: str, y_label: str, curves: Sequence[Curve]) -> str:
    """An SVG picture of the curves; both axes begin at 0."""
    points = [point for curve in curves for point in curve.points]
    if not points:
        raise ValueError("nothing to draw")
    frame = _Frame(
        _ROOM * max(x for x, _ in points) or 1.0, _ROOM * max(y for _, y in points) or 1.0
    )
    body = [
        f"<rect width='{_WIDTH}' height='{_HEIGHT}' fill='#ffffff'/>",
        f"<text x='{_LEFT}' y='22' {_FONT} font-weight='bold'>{escape(title)}</text>",
        *frame.axes(x_label, y_label),
        *(part for number, curve in enumerate(curves) for part in frame.curve(number, curve)),
    ]
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img'>"
    return "\n".join([head, f"<title>{escape(title)}</title>", *body, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _Frame:
    """The field of a plot, from 0 to the highest values."""

    x_max: float
    y_max: float

    def x(self, value: float) -> float:
        return _LEFT + value / self.x_max * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.y_max * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, x_label: str, y_label: str) -> list[str]:
        """Grid, numbers and names."""
        low, high, left, right = self.y(0), self.y(self.y_max), self.x(0), self.x(self.x_max)
        parts = []
        for value in _ticks(self.x_max):
            at = f"{self.x(value):.1f}"
            parts.append(_line(at, f"{low:.1f}", at, f"{high:.1f}"))
            parts.append(_text(at, f"{low + 17:.1f}", f"{value:g}", "middle"))
        for value in _ticks(self.y_max):
            at = f"{self.y(value):.1f}"
            parts.append(_line(f"{left:.1f}", at, f"{right:.1f}", at))
            parts.append(_text(f"{left - 7:.1f}", f"{self.y(value) + 4:.1f}", f"{value:g}", "end"))
        parts.append(_text(f"{(left + right) / 2:.1f}", f"{_HEIGHT - 12}", x_label, "middle"))
        turn = f" transform='rotate(-90 16 {(low + high) / 2:.1f})'"
        parts.append(_text("16", f"{(low + high) / 2:.1f}", y_label, "middle", turn))
        return parts

    def curve(self, number: int, curve: Curve) -> list[str]:
        """The line, its points, and its name beside the field."""
        colour = _COLOURS[number % len(_COLOURS)]
        dash = " stroke-dasharray='6 4'" if curve.dashed else ""
        style = f"fill='none' stroke='{colour}' stroke-width='2'{dash}"
        at = [(f"{self.x(x):.1f}", f"{self.y(y):.1f}") for x, y in curve.points]
        parts = [f"<polyline points='{' '.join(f'{x},{y}' for x, y in at)}' {style}/>"]
        if not curve.dashed:
            parts += [f"<circle cx='{x}' cy='{y}' r='3' fill='{colour}'/>" for x, y in at]
        left, height = _WIDTH - _RIGHT + 14, _TOP + 10 + 20 * number
        parts.append(f"<line x1='{left}' y1='{height}' x2='{left + 26}' y2='{height}' {style}/>")
        parts.append(_text(str(left + 33), str(height + 4), curve.name, "start"))
        return parts


def _ticks(highest: float) -> list[float]:
    size = 10.0 ** math.floor(math.log10(highest / _TICKS))
    step = next(size * part for part in _STEPS if size * part * _TICKS >= highest / _ROOM)
    return [step * i for i in range(int(highest / step) + 1)]


def _line(x1: str, y1: str, x2: str, y2: str) -> str:
    return f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='#e2e8f0'/>"


def _text(x: str, y: str, text: str, anchor: str, extra: str = "") -> str:
    return f"<text x='{x}' y='{y}' {_FONT} text-anchor='{anchor}'{extra}>{escape(text)}</text>"
