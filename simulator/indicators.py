"""What an indicator sends, in every format of the catalogue.

Frames are built from the makers' tables here, not by the code that reads them, so that the two can
disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool
Settings: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a display shows, in kilograms; ``over`` and ``under`` instead of a number."""

    gross_kg: float
    division_kg: float = 0.5
    moving: bool = False
    tare_kg: float = 0.0
    over: bool = False
    under: bool = False

    @property
    def net_kg(self) -> float:
        """What the display shows with a tare."""
        return self.gross_kg - self.tare_kg

    @property
    def rounded_kg(self) -> float:
        """The net weight in whole divisions."""
        return round(self.net_kg / self.division_kg) * self.division_kg

    @property
    def state(self) -> str:
        """``over``, ``under``, ``moving`` or ``rest``."""
        return (
            "over" if self.over else "under" if self.under else "moving" if self.moving else "rest"
        )


Speaker: TypeAlias = Callable[[Shown, Settings], bytes]


def _yaohua_value(shown: Shown) -> str:
    kg = shown.rounded_kg
    return f"{'-' if kg < 0 else '+'}{round(abs(kg) * 10):06d}1"


def _xor(body: str) -> str:
    return f"{reduce(xor, body.encode()):02X}"


def _yaohua(shown: Shown, _: Settings) -> bytes:
    body = _yaohua_value(shown)
    return f"\x02{body}{_xor(body)}\x03".encode()


def _yaohua_command(shown: Shown, settings: Settings) -> bytes:
    letter = {"gross": "B", "tare": "C", "net": "D"}[str(settings.get("ask", "gross"))]
    body = f"{settings.get('address', 'A')}{letter}{_yaohua_value(shown)}"
    return f"\x02{body}{_xor(body)}\x03".encode()


def _equals(shown: Shown, settings: Settings) -> bytes:
    width = int(settings.get("characters", 9)) - 1
    text = f"{shown.rounded_kg:0{width}.1f}"
    return f"={text[::-1] if settings['mirrored'] else text}".encode()


def _a12(shown: Shown, _: Settings) -> bytes:
    if shown.over or shown.under:
        return b"         %s23\r\n" % (b"OL" if shown.over else b"LO")
    body = f"W{'N' if shown.tare_kg else 'G'}{shown.rounded_kg:07.1f}kg"
    return f"{body}{_xor(body)}\r\n".encode()


def _a12_dialect(shown: Shown, _: Settings) -> bytes:
    return f"w{'n' if shown.tare_kg else 'w'}{shown.rounded_kg:07.1f}kg".encode()


def _toledo_body(shown: Shown, settings: Settings) -> bytes:
    kg = shown.rounded_kg
    a = 0b0100011 | 3 << 3  # one decimal, increment 5
    b = 0b0110000 | (kg < 0) << 1 | (shown.over or shown.under) << 2 | shown.moving << 3
    b |= bool(shown.tare_kg) | shown.under << 1
    tare = "" if settings.get("short") else f"{round(shown.tare_kg * 10):06d}"
    return bytes([2, a, b, 0x20]) + f"{round(abs(kg) * 10):6d}{tare}\r".encode()


def _toledo(shown: Shown, settings: Settings) -> bytes:
    body = _toledo_body(shown, settings)
    return body + bytes([-sum(body) & 0x7F])


def _sics(shown: Shown, _: Settings) -> bytes:
    if shown.over or shown.under:
        return b"S +\r\n" if shown.over else b"S -\r\n"
    return f"S {'D' if shown.moving else 'S'} {shown.rounded_kg:10.1f} kg\r\n".encode()


def _rinstrum(shown: Shown, settings: Settings) -> bytes:
    kg = shown.rounded_kg
    sign, number = "-" if kg < 0 else " ", f"{abs(kg):7.1f}"
    kind, motion = "N" if shown.tare_kg else "G", "M" if shown.moving else " "
    bad = {"over": "O", "under": "U"}.get(shown.state, "")
    zero = "Z" if abs(shown.gross_kg) < shown.division_kg / 4 else " "
    unit = "   " if shown.moving else " kg"
    return {
        1: f"\x02{sign}{number}{bad or ('M' if shown.moving else kind)}\x03",
        2: f"\x02{sign}{number}{bad or kind}{motion}{zero}-{unit}\x03",
        3: f"\x02{sign}{number}{kind}{motion.replace(' ', 'S')}{bad or 'I'}{zero}  \x03",
        5: f"{sign}{number}K{kind}{'O' if bad else motion}\r\n",
    }[int(settings.get("form", 1))].encode()


def _st_gs(shown: Shown, _: Settings) -> bytes:
    state = {"over": "OL", "under": "OL", "moving": "US", "rest": "ST"}[shown.state]
    kg = -abs(shown.rounded_kg) if shown.under else shown.rounded_kg
    return f"{state},{'NT' if shown.tare_kg else 'GS'},{kg:+08.1f}kg\r\n".encode()


def _aed(shown: Shown, settings: Settings) -> bytes:
    digits = round(shown.rounded_kg / float(settings["kg_per_digit"]))
    if settings.get("form", 3) == 3:
        return f"{digits:+08d}\r\n".encode()
    status = (shown.over or shown.under) << 1 | (not shown.tare_kg) << 2 | (not shown.moving) << 3
    return f"{digits:+08d},{settings.get('address', 1):02d},{status:03d}\r\n".encode()


SPEAKERS: dict[str, Speaker] = {
    "yaohua": _yaohua,
    "yaohua-command": _yaohua_command,
    "equals": _equals,
    "a12": _a12,
    "a12-dialect": _a12_dialect,
    "toledo": _toledo,
    "toledo-plain": _toledo_body,
    "sics": _sics,
    "rinstrum": _rinstrum,
    "st-gs": _st_gs,
    "aed": _aed,
}
"""How each format of the bridge's catalogue shows a load."""


VARIANTS: tuple[tuple[str, Settings], ...] = (
    ("yaohua", {}),
    ("yaohua-command", {"address": "B", "ask": "net"}),
    ("equals", {"mirrored": True}),
    ("equals", {"mirrored": False}),
    ("equals", {"mirrored": True, "characters": 8}),
    ("a12", {}),
    ("a12-dialect", {}),
    ("toledo", {}),
    ("toledo", {"short": True}),
    ("toledo-plain", {}),
    ("toledo-plain", {"short": True}),
    ("sics", {}),
    ("rinstrum", {"form": 1}),
    ("rinstrum", {"form": 2}),
    ("rinstrum", {"form": 3}),
    ("rinstrum", {"form": 5}),
    ("st-gs", {}),
    ("aed", {"kg_per_digit": 0.5}),
    ("aed", {"kg_per_digit": 0.5, "form": 9, "address": 7}),
)
"""Every shape of frame in the catalogue: a format, and settings that make it."""


def with_parity(frame: bytes, parity: str) -> bytes:
    """Seven-bit characters with their parity bit, as eight bits on the line."""
    if parity == "none":
        return frame
    odd = parity == "odd"
    return bytes(b | ((b.bit_count() + odd) % 2) << 7 for b in frame)
