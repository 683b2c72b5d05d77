"""Keys of reasons and of information; their words stand in the packs."""

from __future__ import annotations

from edge.records import LEGAL_BARRIERS, Flag

WITHIN_UNCERTAINTY = "within_uncertainty"
"""A limit lies between the lower end of the interval and the measured value."""
LIMIT_DISPUTED = "limit_disputed"
"""The texts of the law contradict each other, and the answer depends on which one holds."""
LIMIT_UNSEEN = "limit_unseen"
"""The limit depends on what axle sensors do not see: drive axles, suspension, lorry or
combination, registration."""
NO_LIMIT = "no_limit"
"""The pack has no limit for this number of axles."""
NO_LAW = "no_law_for_date"
"""No set of the pack is in force on the day of the passage."""
NO_WEIGHT = "no_weight"
"""The passage has no finite gross weight or uncertainty."""

REASON_KEYS = (WITHIN_UNCERTAINTY, LIMIT_DISPUTED, LIMIT_UNSEEN, NO_LIMIT, NO_LAW, NO_WEIGHT)

GROUP_OVER = "axle_group_over"
TARIFF_YUAN = "tariff_yuan"
TARIFF_YUAN_LOWER = "tariff_yuan_lower_end"
TARIFF_BASIS = "tariff_basis"
PENALTY_YUAN = "penalty_yuan"
PENALTY_BASIS = "penalty_basis"
PENALTY_WITHHELD = "penalty_withheld"

INFORMATION_KEYS = (
    GROUP_OVER,
    TARIFF_YUAN,
    TARIFF_YUAN_LOWER,
    TARIFF_BASIS,
    PENALTY_YUAN,
    PENALTY_BASIS,
    PENALTY_WITHHELD,
)


def barrier_keys(flags: Flag) -> tuple[str, ...]:
    """Keys of the flags that bar a legal result, in the order of their bits."""
    return tuple(str(flag.name).lower() for flag in LEGAL_BARRIERS & flags)
