"""Statements on money beside an "over": what the tariff would ask, and what may be asked of it."""

from __future__ import annotations

from edge.records import Verdict
from edge.rules.reasons import (
    PENALTY_BASIS,
    PENALTY_WITHHELD,
    PENALTY_YUAN,
    TARIFF_BASIS,
    TARIFF_YUAN,
    TARIFF_YUAN_LOWER,
)
from edge.rules.sections import Basis, RuleSet
from edge.rules.tariff import charge

Statements = tuple[tuple[str, str], ...]


def tariff_statements(verdict: Verdict, rules: RuleSet) -> Statements:
    """What the tariff asks for the measured mass and for the lower end of its interval.

    Parameters
    ----------
    verdict : Verdict
        An ``over`` with the limit that decides.
    rules : RuleSet
        The law of the day; without a tariff nothing is stated.

    Returns
    -------
    tuple of (key, value)
        Amounts in whole yuan (0 is a warning) and where the tariff stands written.
    """
    tariff, limit_kg = rules.tariff, verdict.limit_kg
    if tariff is None or limit_kg is None:
        return ()
    return (
        (TARIFF_YUAN, str(charge(tariff, verdict.measured_kg, limit_kg).yuan)),
        (TARIFF_YUAN_LOWER, str(charge(tariff, verdict.lower_kg, limit_kg).yuan)),
        (TARIFF_BASIS, f"{tariff.article}; verified={str(tariff.verified).lower()}"),
    )


def penalty_obstacles(verdict: Verdict, rules: RuleSet, basis: Basis | None) -> tuple[str, ...]:
    """Why no penalty may rest on this record alone.

    Parameters
    ----------
    verdict : Verdict
        The outcome on which it would rest.
    rules : RuleSet
        The law of the day.
    basis : Basis or None
        Who approved penalties by record, and on what ground.

    Returns
    -------
    tuple of str
        Some of ``no_basis``, ``no_tariff``, ``unverified_tariff``, ``unverified_limit``; empty
        where nothing stands against it.
    """
    found = {
        "no_basis": basis is None,
        "no_tariff": rules.tariff is None,
        "unverified_tariff": rules.tariff is not None and not rules.tariff.verified,
        "unverified_limit": not verdict.verified,
    }
    return tuple(key for key, stands in found.items() if stands)


def penalty_statements(verdict: Verdict, rules: RuleSet, basis: Basis | None) -> Statements:
    """The penalty for the excess that is proven (lower end), or why none is stated.

    Parameters
    ----------
    verdict : Verdict
        An ``over`` with the limit that decides.
    rules : RuleSet
        The law of the day.
    basis : Basis or None
        On what a penalty by record rests.
    """
    obstacles = penalty_obstacles(verdict, rules, basis)
    if obstacles or basis is None or rules.tariff is None or verdict.limit_kg is None:
        return ((PENALTY_WITHHELD, ",".join(obstacles)),)
    due = charge(rules.tariff, verdict.lower_kg, verdict.limit_kg)
    ground = f"{basis.law} {basis.article}; {basis.document}; {basis.approved_by}"
    return (
        (PENALTY_YUAN, str(due.yuan)),
        (PENALTY_BASIS, f"{ground}; {basis.approved_on.isoformat()}"),
    )
