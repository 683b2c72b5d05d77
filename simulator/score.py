"""Figures of a run: what really passed against what the case system holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.core.weigh import GROUP_SPACING_M
from edge.records import Flag, VerdictKind
from edge.rules.judge import judge_measurement
from edge.rules.pack import RulePack
from firmware_bridge.recording import Truth

MATCH_NS = 1_000_000_000
"""A record belongs to a vehicle of its lane if their last wheels lie within a second."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One vehicle with the body of its record, where there is one."""

    truth: Truth
    body: Mapping[str, Any] | None

    @property
    def gross_error_pct(self) -> float:
        """Relative error of the gross weight, NaN without a record or a weight."""
        if self.body is None or self.body["gross_kg"] is None:
            return float("nan")
        true_kg = sum(self.truth.axle_kg)
        return 100.0 * (float(self.body["gross_kg"]) - true_kg) / true_kg

    @property
    def has_right_axles(self) -> bool:
        """Whether the record has as many axles as the vehicle."""
        return self.body is not None and len(self.body["axles"]) == len(self.truth.axle_kg)

    @property
    def has_right_plate(self) -> bool:
        """Whether the record names the vehicle's plate."""
        return self.body is not None and self.body["plate"]["text"] == self.truth.plate

    @property
    def is_flagged_over(self) -> bool:
        """Whether the verdict is over."""
        return self.body is not None and self.body["verdict"]["kind"] == "over"


def pair(truth: Sequence[Truth], bodies: Sequence[Mapping[str, Any]]) -> list[Scored]:
    """Each true vehicle with the nearest record of its lane; a record serves one vehicle."""
    left = {id(body): body for body in bodies}
    scored = []
    for vehicle in sorted(truth, key=lambda v: v.time_ns):
        near = min(
            (b for b in left.values() if vehicle.lane in b.get("lanes", [b["lane"]])),
            key=lambda b: abs(b["time_us"] * 1000 - vehicle.time_ns),
            default=None,
        )
        if near is not None and abs(near["time_us"] * 1000 - vehicle.time_ns) <= MATCH_NS:
            del left[id(near)]
        else:
            near = None
        scored.append(Scored(vehicle, near))
    return scored


def figures(
    scored: Sequence[Scored],
    *,
    is_over: Callable[[Truth], bool],
    receipted_ns: Mapping[int, int],
    records: int,
    duplicates: int,
) -> dict[str, float | int | None]:
    """The report of a run, flat.

    ``latency_ms`` runs from the true release of the last wheel to the receipt at the station.
    ``is_over`` judges the true load by the station's own pack.
    """
    found = [s for s in scored if s.body is not None]
    errors = np.array([s.gross_error_pct for s in found])
    errors = errors[np.isfinite(errors)]
    latency = np.array(
        [
            (receipted_ns[s.body["index"]] - s.truth.time_ns) / 1e6
            for s in found
            if s.body is not None and s.body["index"] in receipted_ns
        ]
    )
    return {
        "vehicles_true": len(scored),
        "vehicles_recorded": len(found),
        "axle_count_right": sum(s.has_right_axles for s in scored),
        "gvw_error_pct_rms": _rounded(np.sqrt(np.mean(errors**2)) if errors.size else None),
        "gvw_error_pct_max": _rounded(np.abs(errors).max() if errors.size else None),
        "over_true": sum(is_over(s.truth) for s in scored),
        "over_flagged": sum(s.is_flagged_over for s in scored),
        "over_false": sum(s.is_flagged_over and not is_over(s.truth) for s in scored),
        "plates_right": sum(s.has_right_plate for s in scored),
        "records": records,
        "receipts": len(receipted_ns),
        "duplicates": duplicates,
        "latency_ms_p50": _rounded(np.percentile(latency, 50) if latency.size else None),
        "latency_ms_p99": _rounded(np.percentile(latency, 99) if latency.size else None),
        "vehicles_covered_95": sum(_covers(s) for s in found),
    }


def is_over(vehicle: Truth, pack: RulePack) -> bool:
    """What the station's own pack says of the true load."""
    verdict = judge_measurement(
        round(sum(vehicle.axle_kg)),
        0,
        _configuration(vehicle.spacing_m),
        Flag.NONE,
        vehicle.time_ns,
        pack,
    )
    return verdict.kind is VerdictKind.OVER


def _configuration(spacing_m: Sequence[float]) -> str:
    """Axle groups front to rear, as the core names them."""
    groups = [1]
    for spacing in spacing_m:
        if spacing > GROUP_SPACING_M:
            groups.append(1)
        else:
            groups[-1] += 1
    return "+".join(map(str, groups))


def _covers(scored: Scored) -> bool:
    """Whether the true gross lies within two standard uncertainties of the record."""
    body = scored.body
    if body is None or body["gross_kg"] is None or body["u_gross_kg"] is None:
        return False
    return abs(float(body["gross_kg"]) - sum(scored.truth.axle_kg)) <= 2 * float(body["u_gross_kg"])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 3)
