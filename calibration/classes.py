"""Accuracy classes of the vehicle mass (OIML R 134-1:2006) as data, and what passes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["MASS_CLASSES", "MassClass", "best_class", "sigma_to_pass"]


@dataclass(frozen=True, slots=True)
class MassClass:
    """Error limits of the vehicle mass in motion, per cent of the conventional true value."""

    name: str
    initial_pct: float
    in_service_pct: float
    initial_verified: bool
    in_service_verified: bool
    source: str


_ANNEX = "SR 941.214 annex (after OIML R 134-1)"

MASS_CLASSES = (
    MassClass("0.2", 0.10, 0.20, True, False, _ANNEX),
    MassClass("0.5", 0.25, 0.50, True, False, _ANNEX),
    MassClass("1", 0.50, 1.00, True, False, _ANNEX),
    MassClass("2", 1.00, 2.00, True, False, _ANNEX),
    MassClass("5", 2.50, 5.00, True, False, _ANNEX),
    MassClass("10", 5.00, 10.00, True, True, f"{_ANNEX}; a maker's class 10"),
)
"""From the tightest to the widest. In-service limits but the last are twice the initial ones from
memory, so they are not verified."""


def best_class(error_pct: Iterable[float], *, in_service: bool = False) -> MassClass | None:
    """The tightest mass class whose limit every run keeps; there is no allowance for outliers.

    Parameters
    ----------
    error_pct : iterable of float
        Errors of the vehicle mass, run by run, in per cent.
    in_service : bool
        Take the limits in service, not those of the initial verification.

    Returns
    -------
    MassClass or None
        None where some error passes every limit, or there is no run.
    """
    worst = max(map(abs, error_pct), default=float("inf"))
    limits = ((c, c.in_service_pct if in_service else c.initial_pct) for c in MASS_CLASSES)
    return next((c for c, limit_pct in limits if worst <= limit_pct), None)


def sigma_to_pass(limit_pct: float, runs: int, probability: float = 0.95) -> float:
    """Largest standard deviation with which all runs keep a limit.

    Parameters
    ----------
    limit_pct : float
        Error limit in per cent.
    runs : int
        Number of runs, every one of which must keep it.
    probability : float
        Chance that they all do, for independent normal errors without bias.

    Returns
    -------
    float
        Standard deviation in per cent.

    Raises
    ------
    ValueError
        No run, or a probability outside 0 to 1.
    """
    if runs < 1 or not 0 < probability < 1:
        raise ValueError("runs must be at least 1, probability between 0 and 1")
    each = probability ** (1 / runs)
    return limit_pct / NormalDist().inv_cdf((1 + each) / 2)
