"""How a weight is made of registers: sign, decimal point, unit, state, range, of one moment.

Transmitters send the digits of their display as a whole number and say elsewhere where the point
stands, in codes that differ from maker to maker and from model to model. A code that the map does
not know makes no weight: a wrong point is a weight ten times too large.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from firmware_bridge.indicators.reading import UNITS_KG, IndicatorReading, Range
from firmware_bridge.modbus_map import BitOf, Register, Words

__all__ = ["MOST_DECIMALS", "Codes", "WeightRule"]

MOST_DECIMALS = 6
"""No display has more places after its point."""


@dataclass(frozen=True, slots=True)
class Codes:
    """A table of codes in some bits of a register."""

    register: str
    shift: int
    mask: int
    table: dict[int, str]

    def of(self, words: Words) -> str | None:
        """What the register says; None for a code that is not in the table."""
        return self.table.get(words[self.register][0] >> self.shift & self.mask)


@dataclass(frozen=True, slots=True)
class WeightRule:
    """The weight of a device.

    Attributes
    ----------
    register : Register
        Where it stands; gross.
    net : Register or None
        Where the net weight stands, in the same form; gives the tare.
    unit : str or Codes
    division : str, Register, Codes or None
        The step of the display, in its unit.
    decimals : int, Register or None
        Places after the point of a whole number; None: those of the division.
    stable, moving, zero : BitOf or None
    over, under, error : tuple of BitOf
        Any of them set means that there is no weight.
    """

    register: Register
    net: Register | None
    unit: str | Codes
    division: str | Register | Codes | None
    decimals: int | Register | None
    stable: BitOf | None
    moving: BitOf | None
    zero: BitOf | None
    over: tuple[BitOf, ...]
    under: tuple[BitOf, ...]
    error: tuple[BitOf, ...]

    @property
    def moment(self) -> set[str]:
        """Registers that must be of one moment with the weight."""
        bits = (self.stable, self.moving, self.zero, *self.over, *self.under, *self.error)
        named = (self.register, self.net)
        signs = (r.sign for r in named if r is not None)
        return {r.name for r in named if r is not None} | {
            bit.register for bit in (*bits, *signs) if bit is not None
        }

    @property
    def uses(self) -> set[str]:
        """All registers that go into the weight."""
        tables = (self.unit, self.division, self.decimals)
        settings = {t.register for t in tables if isinstance(t, Codes)}
        return self.moment | settings | {t.name for t in tables if isinstance(t, Register)}

    def reading(self, words: Words) -> IndicatorReading:
        """The weight in kilograms, gross, with what the device says of it."""
        unit = self.unit.of(words) if isinstance(self.unit, Codes) else self.unit
        division = self._division(words)
        gross_kg = self._kilograms(self.register, words, unit, division)
        net_kg = None if self.net is None else self._kilograms(self.net, words, unit, division)
        why = self._outside(words) or ("error" if gross_kg is None else None)
        return IndicatorReading(
            weight_kg=None if why else gross_kg,
            raw=_bytes(words.values()),
            unit=unit or "?",
            mode="gross",
            stable=self._stable(words) if why is None else False,
            tare_kg=None if net_kg is None or gross_kg is None else _difference(gross_kg, net_kg),
            division_kg=_kg(division, unit),
            centre_of_zero=None if self.zero is None else self.zero.of(words),
            out_of_range=why,
        )

    def _division(self, words: Words) -> Decimal | None:
        if isinstance(self.division, Register):
            step = _decimal(self.division, words)
            return step if step is not None and step > 0 else None
        told = self.division.of(words) if isinstance(self.division, Codes) else self.division
        return None if told is None else Decimal(told)

    def _kilograms(
        self, register: Register, words: Words, unit: str | None, division: Decimal | None
    ) -> float | None:
        number = _decimal(register, words)
        if number is None or register.type == "f32":
            return _kg(number, unit)
        places = self._places(words, division)
        return None if places is None else _kg(number.scaleb(-places), unit)

    def _places(self, words: Words, division: Decimal | None) -> int | None:
        if isinstance(self.decimals, Register):
            told = _decimal(self.decimals, words)
            return int(told) if told is not None and 0 <= told <= MOST_DECIMALS else None
        if self.decimals is not None or division is None:
            return self.decimals
        places = max(0, -int(division.normalize().as_tuple().exponent))
        return places if places <= MOST_DECIMALS else None

    def _stable(self, words: Words) -> bool | None:
        if self.moving is not None:
            return not self.moving.of(words)
        return None if self.stable is None else self.stable.of(words)

    def _outside(self, words: Words) -> Range | None:
        ranges: tuple[tuple[Range, tuple[BitOf, ...]], ...] = (
            ("error", self.error),
            ("over", self.over),
            ("under", self.under),
        )
        return next((why for why, bits in ranges if any(bit.of(words) for bit in bits)), None)


def _decimal(register: Register, words: Words) -> Decimal | None:
    number = register.number(words)
    if not math.isfinite(number):
        return None
    # Seven digits are what a binary32 holds: 38.02 comes back as 38.02.
    return Decimal(f"{number:.7g}" if register.type == "f32" else int(number))


def _kg(number: Decimal | None, unit: str | None) -> float | None:
    factor = UNITS_KG.get(unit or "")
    return None if number is None or factor is None else float(number * factor) + 0.0


def _difference(gross_kg: float, net_kg: float) -> float:
    return float(Decimal(str(gross_kg)) - Decimal(str(net_kg)))


def _bytes(words: Iterable[Iterable[int]]) -> bytes:
    return b"".join(word.to_bytes(2, "big") for value in words for word in value)
