"""What a certificate tells of its runs: the table of errors, the summary, the remarks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

from calibration.certificate import LaneSummary, Run
from calibration.classes import best_class
from calibration.fit import SPLIT_PRIOR_REL
from calibration.passes import MIN_CONDITIONS, MIN_RUNS, FittedLane, Pass, conditions
from edge.errors import Text

__all__ = ["remarks", "summary", "table"]

OUTLIER_WEIGHT = 0.1
"""A run with less weight is named an outlier: some 3.9 standard deviations off."""

_SPLIT_KNOWN = 0.5
"""The split of a row counts as known where the passes halved the doubt of its prior."""


def table(lane: FittedLane) -> Iterator[Run]:
    """Every pass of a reference vehicle over a lane, the unusable ones last.

    Parameters
    ----------
    lane : FittedLane

    Yields
    ------
    Run
        Loads with the corrected gains; errors in per cent of the reference.
    """
    for i, one in enumerate(lane.used):
        n = len(one.passage.axles)
        loads_kg, references_kg = lane.fit.axle_kg[i, :n], lane.fit.reference_kg[i, :n]
        gross_kg, weight = math.fsum(loads_kg), float(lane.fit.weight[i])
        yield _run(
            one,
            "outlier" if weight < OUTLIER_WEIGHT else "used",
            weight,
            gross_kg,
            _error_pct(gross_kg, one.reference.gross_kg),
            tuple(round(float(kg), 1) for kg in loads_kg),
            tuple(map(_error_pct, loads_kg, references_kg)),
        )
    for one in lane.excluded:
        yield _run(one, "excluded", 0.0)


def _run(
    one: Pass,
    status: str,
    weight: float,
    gross_kg: float | None = None,
    error_pct: float | None = None,
    axle_kg: tuple[float, ...] = (),
    axle_error_pct: tuple[float, ...] = (),
) -> Run:
    return Run(
        device=one.passage.device,
        lane=one.passage.lane,
        vehicle=one.reference.vehicle_name,
        first_wheel_sample=math.floor(one.passage.first_wheel_sample),
        speed_kmh=round(one.passage.speed_mps * 3.6, 2),
        status=status,
        why=one.why,
        weight=round(weight, 3),
        gross_kg=None if gross_kg is None else round(gross_kg, 1),
        gross_error_pct=error_pct,
        axle_kg=axle_kg,
        axle_error_pct=axle_error_pct,
    )


def _error_pct(load_kg: float, reference_kg: float) -> float:
    return round(float(100 * (load_kg / reference_kg - 1)), 3)


def summary(runs: Sequence[Run]) -> tuple[LaneSummary, ...]:
    """Bias, scatter and classes of the gross mass, by lane and vehicle.

    Parameters
    ----------
    runs : sequence of Run

    Returns
    -------
    tuple of LaneSummary
        In the order of first appearance; outliers count (OIML R 134-1 allows none).
    """
    errors: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        if run.gross_error_pct is not None:
            errors.setdefault((run.lane, run.vehicle), []).append(run.gross_error_pct)
    return tuple(_summary(lane, vehicle, e) for (lane, vehicle), e in errors.items())


def _summary(lane: str, vehicle: str, errors_pct: list[float]) -> LaneSummary:
    initial, in_service = best_class(errors_pct), best_class(errors_pct, in_service=True)
    return LaneSummary(
        lane=lane,
        vehicle=vehicle,
        runs=len(errors_pct),
        bias_pct=round(statistics.fmean(errors_pct), 3),
        sd_pct=round(statistics.stdev(errors_pct), 3) if len(errors_pct) > 1 else 0.0,
        worst_pct=max(errors_pct, key=abs),
        initial_class=initial.name if initial else "",
        initial_verified=initial is not None and initial.initial_verified,
        in_service_class=in_service.name if in_service else "",
        in_service_verified=in_service is not None and in_service.in_service_verified,
    )


_STANDING = (
    Text(
        "本证书是站点自行标定的结果，不代替强制检定证书（计量法第九条）。",
        "This is the site's own calibration; it does not replace the compulsory verification "
        "(Metrology Law, art. 9).",
    ),
    Text(
        "有效期一年依惯例填写，未经核对。",
        "The validity of one year follows custom and was not checked against the text.",
    ),
    Text(
        "等级只按总重误差判断，轴重没有评定等级；"
        "标明 verified = false 的等级限值凭记忆录入，未与标准核对。",
        "Classes rest on the gross mass alone, axle loads are not classed; limits of a class with "
        "verified = false are from memory and were not checked against the standard.",
    ),
    Text(
        "误差由参与拟合的同一批通过算得；验收须另做独立的通过。",
        "Errors are those of the runs that were fitted; an acceptance needs runs of its own.",
    ),
)


def remarks(lanes: Sequence[FittedLane]) -> tuple[Text, ...]:
    """What the reader must know: what every calibration lacks, then what this one lacks.

    Parameters
    ----------
    lanes : sequence of FittedLane

    Returns
    -------
    tuple of Text
    """
    return (*_STANDING, *(remark for lane in lanes for remark in _lane_remarks(lane)))


def _lane_remarks(lane: FittedLane) -> Iterator[Text]:
    yield from _of_vehicles(lane.layout.lane, lane)
    yield from _of_fit(lane.layout.lane, lane)
    yield from _of_outliers(lane.layout.lane, lane)


def _of_vehicles(name: str, lane: FittedLane) -> Iterator[Text]:
    vehicles = {one.reference for one in lane.used}
    if not any(vehicle.absolute_axles for vehicle in vehicles):
        yield Text(
            f"车道 {name}：没有二轴刚性基准车，轴重没有绝对基准。",
            f"Lane {name}: no two-axle rigid vehicle, so axle loads have no absolute reference.",
        )
    if len(vehicles) < 2:
        yield Text(
            f"车道 {name}：只有一种基准车，不同车辆之间的差别未知。",
            f"Lane {name}: only one reference vehicle; how others differ is unknown.",
        )
    for vehicle in sorted(vehicles, key=lambda v: v.vehicle_name):
        runs = sum(one.reference == vehicle for one in lane.used)
        if runs < MIN_RUNS:
            yield Text(
                f"车道 {name}：{vehicle.vehicle_name} 只通过 {runs} 次，少于 {MIN_RUNS} 次。",
                f"Lane {name}: {vehicle.vehicle_name} passed {runs} times, fewer than {MIN_RUNS}.",
            )


def _of_fit(name: str, lane: FittedLane) -> Iterator[Text]:
    if (known := len(set(conditions(lane.used)))) < MIN_CONDITIONS:
        yield Text(
            f"车道 {name}：不同车辆和车速的组合只有 {known} 种，少于 {MIN_CONDITIONS} 种，"
            "不确定度可能偏小；请用不同车速补做。",
            f"Lane {name}: only {known} different vehicles and speeds, fewer than "
            f"{MIN_CONDITIONS}; the uncertainty may be too small: add runs at other speeds.",
        )
    if (lane.fit.u_split_rel > _SPLIT_KNOWN * SPLIT_PRIOR_REL).any():
        yield Text(
            f"车道 {name}：左右轮的分配无法由这些通过确定，左右通道按相近的修正系数处理；"
            "轴重和总重不受影响。",
            f"Lane {name}: these passes do not tell left from right; both channels of a row are "
            "held near equal corrections. Axle loads and gross are not affected.",
        )


def _of_outliers(name: str, lane: FittedLane) -> Iterator[Text]:
    for i, one in enumerate(lane.used):
        if lane.fit.weight[i] < OUTLIER_WEIGHT:
            sample = math.floor(one.passage.first_wheel_sample)
            yield Text(
                f"车道 {name}：{one.reference.vehicle_name} 在采样 {sample} 处的通过偏离过大，"
                "几乎未计入。",
                f"Lane {name}: the pass of {one.reference.vehicle_name} at sample {sample} lies "
                "far off the others and hardly counts.",
            )
