"""What a tariff asks for an excess of gross mass. A statement of the law, no penalty by itself."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from edge.rules.sections import Tariff


class Charge(NamedTuple):
    """Outcome of a tariff: whether anything is due, and how much."""

    over: bool
    """False where the mass does not pass the limit."""
    yuan: int
    """Fine in whole yuan, rounded down; 0 with ``over`` is a warning."""


def charge(tariff: Tariff, mass_kg: int, limit_kg: int) -> Charge:
    """Apply a tariff to a mass.

    Parameters
    ----------
    tariff : Tariff
        Steps, unit, rounding and cap, as the pack states them.
    mass_kg, limit_kg : int
        The gross mass and the limit that holds for it.

    Returns
    -------
    Charge
        Every step is charged for the part of the excess that lies in it, in whole units begun
        (``ceil``), whole units full (``floor``) or in proportion; the sum is capped.

    Notes
    -----
    Order 62 of 2016 of the Ministry of Transport (amended 2021), art. 43: a warning up to
    1 000 kg, beyond that 500 yuan for each 1 000 kg over, at most 30 000 yuan. Whether a begun
    tonne and the first tonne count is not said there, so both are switches of the pack.
    """
    excess_kg = mass_kg - limit_kg
    if excess_kg <= 0:
        return Charge(False, 0)
    if excess_kg <= tariff.notice_to.of(limit_kg):
        return Charge(True, 0)
    starts = [min(step.start.of(limit_kg), excess_kg) for step in tariff.step]
    parts = [end - start for start, end in zip(starts, [*starts[1:], excess_kg], strict=True)]
    units = [_units(tariff, part) for part in parts]
    if not tariff.first_unit_counts:
        units[0] = max(units[0] - 1, Fraction(0))
    due = sum(n * step.yuan_per_unit for n, step in zip(units, tariff.step, strict=True))
    return Charge(True, min(int(due), tariff.cap_yuan))


def _units(tariff: Tariff, part_kg: int) -> Fraction:
    if tariff.rounding == "pro_rata":
        return Fraction(part_kg, tariff.unit_kg)
    begun = part_kg if tariff.rounding == "floor" else part_kg + tariff.unit_kg - 1
    return Fraction(begun // tariff.unit_kg)
