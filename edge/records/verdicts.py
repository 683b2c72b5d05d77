"""What the law says of a vehicle."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Limit", "Verdict", "VerdictKind"]


class VerdictKind(enum.StrEnum):
    """What the law says of a vehicle."""

    WITHIN = "within"
    OVER = "over"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class Limit:
    """A gross limit that may hold for a vehicle, with where it stands written."""

    limit_kg: int
    article: str
    source: str
    verified: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of a rule pack for one vehicle.

    ``over`` only if the lower end of the coverage interval passes the highest limit that may hold;
    ``within`` only if no limit that may hold is passed by the measured value. ``excess_kg`` is the
    measured gross less ``limit_kg``, 0 where it does not pass it.
    """

    kind: VerdictKind
    measured_kg: int
    u_kg: int
    lower_kg: int
    """Lower end of the one-sided coverage interval, rounded down."""
    level: float
    """Coverage of that interval, 0.975 unless the pack says otherwise."""
    limit_kg: int | None
    excess_kg: int
    excess_pct: float
    article: str
    limits: tuple[Limit, ...]
    reasons: tuple[str, ...]
    """Keys of why it is indeterminate or disputed; words for people stand in the pack."""
    pack: str
    pack_sha256: str
    verified: bool
    information: tuple[tuple[str, str], ...] = ()
    """Further keyed statements, such as the tariff of art. 43; no penalty by itself."""
