"""What the law of the day says of a vehicle: within, over, or indeterminate. Pure.

A weight is an interval, and what axle sensors see leaves several limits open. ``over`` is said
only where no limit that may hold and no value of the interval speaks against it; doubt is
``indeterminate`` with its reasons, never a violation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from edge.records import Flag, Limit, Vehicle, Verdict, VerdictKind
from edge.rules.groups import groups_over
from edge.rules.pack import RulePack, axle_count, candidate_limits
from edge.rules.penalty import penalty_statements, tariff_statements
from edge.rules.reasons import (
    LIMIT_DISPUTED,
    LIMIT_UNSEEN,
    NO_LAW,
    NO_LIMIT,
    NO_WEIGHT,
    WITHIN_UNCERTAINTY,
    barrier_keys,
)
from edge.rules.sections import GrossLimit


@dataclass(frozen=True, slots=True)
class _Weight:
    """A gross weight with both ends of its one-sided intervals, in whole kilograms."""

    measured_kg: int
    u_kg: int
    lower_kg: int
    upper_kg: int


def judge(vehicle: Vehicle, pack: RulePack, *, penalty_by_record: bool = False) -> Verdict:
    """Judge a vehicle by the law of its day.

    Parameters
    ----------
    vehicle : Vehicle
        Weight, axles, flags and time.
    pack : RulePack
        The law as data.
    penalty_by_record : bool
        Whether the station may state a penalty from the record alone. Even then it is stated
        only where the pack names its basis and every fact behind it is verified.

    Returns
    -------
    Verdict
        With axle groups, tariff and penalty as ``information`` where they apply.
    """
    passage = vehicle.passage
    if not (math.isfinite(passage.gross_kg) and 0 <= passage.u_gross_kg < math.inf):
        return _undecided(_Weight(0, 0, 0, 0), pack, (), (NO_WEIGHT,))
    verdict = judge_measurement(
        vehicle.gross_kg,
        vehicle.u_gross_kg,
        passage.configuration,
        vehicle.flags,
        vehicle.time_ns,
        pack,
    )
    rules = pack.at(vehicle.time_ns)
    if rules is None or barrier_keys(vehicle.flags):
        return verdict
    information = groups_over(passage, rules, _quantile(pack))
    if verdict.kind is VerdictKind.OVER:
        information += tariff_statements(verdict, rules)
        if penalty_by_record:
            information += penalty_statements(verdict, rules, pack.basis_at(vehicle.time_ns))
    return replace(verdict, information=information)


def judge_measurement(
    measured_kg: int,
    u_kg: int,
    configuration: str,
    flags: Flag,
    time_ns: int,
    pack: RulePack,
) -> Verdict:
    """Judge a gross weight.

    Parameters
    ----------
    measured_kg : int
        Measured gross weight.
    u_kg : int
        Its standard uncertainty (coverage factor 1), not negative.
    configuration : str
        Axle groups front to rear, such as ``"1+2+3"``.
    flags : Flag
        Doubts about the weighing; any of ``LEGAL_BARRIERS`` bars a legal result.
    time_ns : int
        UTC of the passage; the law of that day is applied.
    pack : RulePack
        The law as data.

    Returns
    -------
    Verdict
        ``over`` if ``measured - z * u``, rounded down, passes every limit that may hold;
        ``within`` if the measured value passes none; otherwise ``indeterminate``. Equal to a
        limit is legal. ``limit_kg`` is the highest of them, for ``within`` the lowest.

    Notes
    -----
    Order 62 of 2016 of the Ministry of Transport (amended 2021), art. 3: over is what exceeds the
    limit. The one-sided interval follows JCGM 106:2012, 8.3.3 (guarded rejection).
    """
    weight = _weight(measured_kg, u_kg, pack)
    rules = pack.at(time_ns)
    if rules is None:
        return _undecided(weight, pack, (), (NO_LAW,))
    candidates = candidate_limits(rules, configuration)
    if barriers := barrier_keys(flags & ~_forgiven(weight, configuration, pack)):
        return _undecided(weight, pack, candidates, barriers, pack.file.barriers.verified)
    if not candidates:
        return _undecided(weight, pack, (), (NO_LIMIT,))
    return _decide(weight, pack, candidates)


def _decide(weight: _Weight, pack: RulePack, candidates: tuple[GrossLimit, ...]) -> Verdict:
    """The one answer that every candidate gives, or none."""
    answers = {_answer(weight, entry.limit_kg) for entry in candidates}
    if len(answers) == 1 and VerdictKind.INDETERMINATE not in answers:
        kind = answers.pop()
        return _verdict(kind, weight, pack, candidates, (), True)
    reasons = [WITHIN_UNCERTAINTY] if VerdictKind.INDETERMINATE in answers else []
    if len(answers) > 1:
        reasons += _why_they_differ(weight, candidates)
    return _verdict(VerdictKind.INDETERMINATE, weight, pack, candidates, tuple(reasons), True)


def _why_they_differ(weight: _Weight, candidates: Sequence[GrossLimit]) -> list[str]:
    """Disputed texts, where they add an answer for one kind of vehicle; else what is not seen."""

    def answers(kind: str, *, settled: bool) -> set[VerdictKind]:
        entries = (c for c in candidates if c.vehicle == kind and not (settled and c.disputed))
        return {_answer(weight, entry.limit_kg) for entry in entries}

    kinds = {entry.vehicle for entry in candidates}
    settled = {kind: answers(kind, settled=True) for kind in kinds}
    disputed = any(len(answers(k, settled=False)) > max(1, len(settled[k])) for k in kinds)
    unseen = not disputed or len(set().union(*settled.values())) > 1
    return [LIMIT_DISPUTED] * disputed + [LIMIT_UNSEEN] * unseen


def _answer(weight: _Weight, limit_kg: int) -> VerdictKind:
    if weight.lower_kg > limit_kg:
        return VerdictKind.OVER
    return VerdictKind.WITHIN if weight.measured_kg <= limit_kg else VerdictKind.INDETERMINATE


def _undecided(
    weight: _Weight,
    pack: RulePack,
    candidates: tuple[GrossLimit, ...],
    reasons: tuple[str, ...],
    verified: bool = True,
) -> Verdict:
    """No limit was applied: the candidates are stated, none of them is named as deciding."""
    verdict = _verdict(VerdictKind.INDETERMINATE, weight, pack, candidates, reasons, verified)
    return replace(verdict, limit_kg=None, excess_kg=0, excess_pct=0.0, article="")


def _verdict(
    kind: VerdictKind,
    weight: _Weight,
    pack: RulePack,
    candidates: tuple[GrossLimit, ...],
    reasons: tuple[str, ...],
    verified: bool,
) -> Verdict:
    deciding = candidates[0 if kind is VerdictKind.WITHIN else -1] if candidates else None
    limit_kg = deciding.limit_kg if deciding else None
    excess_kg = max(0, weight.measured_kg - limit_kg) if limit_kg is not None else 0
    return Verdict(
        kind=kind,
        measured_kg=weight.measured_kg,
        u_kg=weight.u_kg,
        lower_kg=weight.lower_kg,
        level=pack.level,
        limit_kg=limit_kg,
        excess_kg=excess_kg,
        excess_pct=100 * excess_kg / limit_kg if limit_kg else 0.0,
        article=deciding.article if deciding else "",
        limits=_stated(candidates),
        reasons=reasons,
        pack=pack.label,
        pack_sha256=pack.sha256,
        verified=verified and all(entry.verified for entry in candidates),
    )


def _stated(candidates: Sequence[GrossLimit]) -> tuple[Limit, ...]:
    return tuple(Limit(c.limit_kg, c.article, c.source, c.verified, c.note) for c in candidates)


def _weight(measured_kg: int, u_kg: int, pack: RulePack) -> _Weight:
    margin_kg = _quantile(pack) * u_kg
    return _Weight(
        measured_kg,
        u_kg,
        math.floor(measured_kg - margin_kg),
        math.ceil(measured_kg + margin_kg),
    )


def _quantile(pack: RulePack) -> float:
    return NormalDist().inv_cdf(pack.level)


def _forgiven(weight: _Weight, configuration: str, pack: RulePack) -> Flag:
    """A car's axle lies under the scale's least load: no reason to call anyone for it."""
    light = pack.file.light
    is_light = axle_count(configuration) == light.axles and weight.upper_kg < light.below_kg
    return Flag.LOAD_OUT_OF_RANGE if is_light else Flag.NONE
