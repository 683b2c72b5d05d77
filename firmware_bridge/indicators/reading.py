"""What a weighing indicator said, whatever it speaks: one reading, in kilograms."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["gross", "net", "tare", "unknown"]
Range: TypeAlias = Literal["over", "under", "error"]

UNITS_KG = {
    "kg": Decimal(1),
    "g": Decimal("0.001"),
    "t": Decimal(1000),
    "lb": Decimal("0.45359237"),
    "oz": Decimal("0.028349523125"),
}
"""What a unit is in kilograms; pound and ounce exactly, by the agreement of 1959."""

_NUMBER = re.compile(r" *([+-]?) *([0-9]+(?:\.[0-9]*)?|\.[0-9]+) *", re.ASCII)


@dataclass(frozen=True, slots=True)
class IndicatorReading:
    """One reading of an indicator.

    Attributes
    ----------
    weight_kg : float or None
        Signed; None where the indicator shows no weight (``out_of_range`` says why).
    raw : bytes
        The frame as it was read, parity bits taken off.
    unit : str
        As sent (``"kg"``, ``"t"``, ``"lb"`` ...), or as set where the format sends none.
    mode : {"gross", "net", "tare", "unknown"}
        What ``weight_kg`` is.
    stable : bool or None
        Whether the indicator calls itself at rest; None where the format does not say, and the
        reader has to judge it (`firmware_bridge.scale`).
    tare_kg, division_kg : float or None
        None where the format does not say.
    centre_of_zero : bool or None
        Within a quarter of a division of zero; None where the format does not say.
    out_of_range : {"over", "under", "error"} or None
        Why there is no weight; None where there is one.
    """

    weight_kg: float | None
    raw: bytes
    unit: str
    mode: Mode = "unknown"
    stable: bool | None = None
    tare_kg: float | None = None
    division_kg: float | None = None
    centre_of_zero: bool | None = None
    out_of_range: Range | None = None


def kilograms(number: str, unit: str) -> float | None:
    """A number as an indicator shows it, in kilograms; None if it is no number or no known unit.

    Computed in decimal, so that 0.1 t is 100 kg to the last bit; minus zero is zero.
    """
    found, factor = _NUMBER.fullmatch(number), UNITS_KG.get(unit)
    if found is None or factor is None:
        return None
    return float(Decimal(found[1] + found[2]) * factor) + 0.0


def scaled_kilograms(digits: str, exponent: int, unit: str) -> float | None:
    """Whole ``digits`` times ten to the power ``exponent``, in kilograms; None as `kilograms`.

    Only leading zeros may be blanks: a blank behind the digits would leave their place open.
    """
    if not digits.lstrip(" ").isdigit() or not digits.isascii() or unit not in UNITS_KG:
        return None
    return float(Decimal(int(digits)).scaleb(exponent) * UNITS_KG[unit])


def outside(raw: bytes, unit: str, why: Range, mode: Mode = "unknown") -> IndicatorReading:
    """A reading without a weight."""
    return IndicatorReading(None, raw, unit, mode, stable=False, out_of_range=why)
