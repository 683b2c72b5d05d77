"""A calibration from end to end: passages and reference vehicles in, a certificate out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from calibration.certificate import Certificate, ChannelGain, Contribution, DigitiserGains
from calibration.fit import LaneRuns, fit_gains
from calibration.passes import MIN_RUNS, FittedLane, Pass, conditions
from calibration.reference import Reference, read_references
from calibration.report import remarks, summary, table
from edge.config import StationConfig
from edge.errors import InputError, Text, why_zh
from edge.gains import rows_as_stated
from edge.records import LEGAL_BARRIERS, Flag, Gains, LaneLayout, Passage

__all__ = ["Digitiser", "Reference", "calibrate", "read_digitisers", "read_references"]

_SAME_VEHICLE_REL = 0.25
"""A passage belongs to a reference of its axle count within this part of its mass: several times
the 5 % by which nominal scales are off."""

_TOLD_APART = 1.2
"""Two references whose masses differ by less are mixed up by a nominal scale that is off by 10 %,
twice what is usual: the gains would be wrong by as much, and their scatter would not tell."""

_WHEEL_UNEVENNESS = 0.1
"""Difference of the two wheels of an axle over their sum in traffic (engineering estimate): what
of the split's uncertainty enters a row."""

_BUDGET = (
    Contribution(
        Text("标定后漂移 ±0.3 %（矩形分布）", "drift since the calibration, ±0.3 % rectangular"),
        0.003 / math.sqrt(3),
        "engineering estimate",
        False,
    ),
    Contribution(
        Text("温度 ±10 K × 0.005 %/K（矩形分布）", "temperature, ±10 K x 0.005 %/K rectangular"),
        0.0005 / math.sqrt(3),
        "engineering estimate",
        False,
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Digitiser:
    """A digitiser as it was while the passages were weighed: channels, lanes and those gains."""

    device: str
    channels: tuple[str, ...]
    lanes: tuple[LaneLayout, ...]
    gains: Gains


def read_digitisers(recording: Path, config: StationConfig) -> list[Digitiser]:
    """The digitisers of a station with the nominal scales that a recording states.

    Parameters
    ----------
    recording : Path
        A recording, or a directory with several.
    config : StationConfig
        The station; its present certificate does not count.

    Raises
    ------
    InputError
        There is no recording of one of the digitisers, or it can't be read.
    """
    bare = config.without_certificate()
    scales = _scales(recording)
    found = []
    for section in bare.model.digitiser:
        if section.id not in scales:
            raise InputError(
                f"{recording} 里没有数采 {section.id} 的记录",
                f"there is no recording of the digitiser {section.id} in {recording}",
            )
        gains = bare.gains_of(section.id, scales[section.id])
        lanes = bare.lanes_of(section.id)
        found.append(Digitiser(section.id, tuple(section.channels), lanes, gains))
    return found


def _scales(recording: Path) -> dict[str, float]:
    try:
        heads = [json.loads(p.read_bytes()) for p in sorted(recording.rglob("recording.json"))]
        return {str(h["device"]): float(h["newton_per_count"]) for h in heads}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"读不到记录 {recording}{why_zh(error)}",
            f"cannot read the recording {recording}: {error}",
        ) from error


def calibrate(
    passages: Iterable[Passage],
    references: Sequence[Reference],
    digitisers: Sequence[Digitiser],
    *,
    station: str,
    now_ns: Callable[[], int] = time.time_ns,
) -> Certificate:
    """Fit a gain for every channel of a station and certify it.

    Parameters
    ----------
    passages : iterable of Passage
        Passes weighed with ``digitisers[...].gains``. One of other traffic is left aside: a
        passage belongs to the reference of its lane with its number of axles and nearest mass.
    references : sequence of Reference
        Vehicles of known mass.
    digitisers : sequence of Digitiser
        All digitisers of the station.
    station : str
        Its id, for the certificate.
    now_ns : callable
        UTC clock in nanoseconds, for the time of issue.

    Returns
    -------
    Certificate
        With every run, its errors and remarks on what the calibration lacks.

    Raises
    ------
    InputError
        Two references can't be told apart, a lane has fewer than ``MIN_RUNS`` usable passes, or a
        row of it saw none.
    """
    _check_told_apart(references)
    listed = list(passages)
    lanes = {
        d.device: [_lane(layout, d, listed, references) for layout in d.lanes] for d in digitisers
    }
    every = [lane for of_device in lanes.values() for lane in of_device]
    runs = [run for lane in every for run in table(lane)]
    return Certificate(
        station=station,
        issued_us=now_ns() // 1000,
        gravity_mps2=digitisers[0].gains.gravity_mps2,
        digitisers={d.device: _gains(d, lanes[d.device]) for d in digitisers},
        rows={x.lane: rows_as_stated(x, d.channels) for d in digitisers for x in d.lanes},
        references=tuple(asdict(reference) for reference in references),
        budget=_BUDGET,
        summary=summary(runs),
        runs=tuple(runs),
        remarks=remarks(every),
    )


def _lane(
    layout: LaneLayout,
    digitiser: Digitiser,
    passages: Iterable[Passage],
    references: Sequence[Reference],
) -> FittedLane:
    """Sort the passages of a lane and fit the usable ones."""
    used: list[Pass] = []
    excluded: list[Pass] = []
    for passage in passages:
        if (passage.device, passage.lane) != (digitiser.device, layout.lane):
            continue
        reference = _reference_of(passage, references)
        if reference is not None:
            why = _unusable(passage)
            (excluded if why else used).append(Pass(passage, reference, why))
    if len(used) < MIN_RUNS:
        raise _too_few(layout.lane, used, excluded)
    try:
        return FittedLane(layout, used, excluded, fit_gains(_lane_runs(used)))
    except ValueError as error:
        raise _too_few(layout.lane, used, excluded) from error


def _check_told_apart(references: Sequence[Reference]) -> None:
    """Which vehicle passed is told by lane, axles and a mass that is not calibrated yet."""
    for one, other in combinations(references, 2):
        met = one.lane == other.lane or "" in (one.lane, other.lane)
        alike = len(one.axle_kg) == len(other.axle_kg)
        light, heavy = sorted((one.gross_kg, other.gross_kg))
        same_kg = 2 * math.hypot(one.u_gross_kg, other.u_gross_kg)
        if met and alike and same_kg < heavy - light < (_TOLD_APART - 1) * light:
            raise _alike(one, other)


def _alike(one: Reference, other: Reference) -> InputError:
    names = one.vehicle_name, other.vehicle_name
    masses = f"{one.gross_kg:.0f} kg, {other.gross_kg:.0f} kg"
    return InputError(
        f"基准车 {'、'.join(names)} 轴数相同、总重相近（{masses}），标定前分不清",
        f"the reference vehicles {', '.join(names)} have as many axles and nearly the same mass "
        f"({masses}): uncalibrated sensors can't tell them apart",
        next_zh="总重相差两成以上，或各走各的车道（写明 lane），或只用其中一辆",
        next_en="let their masses differ by a fifth, give each its own lane, or take only one",
    )


def _reference_of(passage: Passage, references: Sequence[Reference]) -> Reference | None:
    """The reference that passed, by lane, axles and mass; None for other traffic."""
    mine = [
        (abs(passage.gross_kg / reference.gross_kg - 1), number)
        for number, reference in enumerate(references)
        if reference.lane in ("", passage.lane) and len(reference.axle_kg) == len(passage.axles)
    ]
    off_rel, number = min(mine, default=(math.inf, 0))
    return references[number] if off_rel < _SAME_VEHICLE_REL else None


def _unusable(passage: Passage) -> str:
    """Names of what makes a pass useless; that no certificate is loaded yet does not."""
    flags = passage.flags & LEGAL_BARRIERS & ~Flag.UNCALIBRATED
    if not np.isfinite(passage.axles.wheel_kg).all(axis=-1).any(axis=-1).all():
        flags |= Flag.ROW_MISSING
    return " ".join(str(flag.name) for flag in flags)


def _too_few(lane: str, used: list[Pass], excluded: list[Pass]) -> InputError:
    flags = " ".join(sorted({name for one in excluded for name in one.why.split()})) or "-"
    return InputError(
        f"车道 {lane}：可用的标定通过只有 {len(used)} 次，至少需要 {MIN_RUNS} 次"
        f"（另有 {len(excluded)} 次不可用：{flags}）",
        f"lane {lane}: only {len(used)} usable reference passes, {MIN_RUNS} are needed at least "
        f"({len(excluded)} more were unusable: {flags})",
        next_zh="让基准车再匀速通过几次，车轮压在传感器上；核对基准车的车道、轴数和总重",
        next_en="drive the reference vehicles again, evenly and on the sensors; check their lane, "
        "axles and mass in the references",
    )


def _lane_runs(used: Sequence[Pass]) -> LaneRuns:
    """Passes as arrays, padded with NaN to the vehicle with the most axles."""
    vehicles = list(dict.fromkeys(one.reference for one in used))
    axles = max(len(vehicle.axle_kg) for vehicle in vehicles)
    wheel_kg = np.full((len(used), axles, *used[0].passage.axles.wheel_kg.shape[1:]), np.nan)
    for run, one in enumerate(used):
        wheel_kg[run, : len(one.passage.axles)] = one.passage.axles.wheel_kg
    share = np.full((len(vehicles), axles), np.nan)
    for number, vehicle in enumerate(vehicles):
        if vehicle.absolute_axles:
            share[number, :2] = np.array(vehicle.axle_kg) / math.fsum(vehicle.axle_kg)
    return LaneRuns(
        wheel_kg=wheel_kg,
        vehicle=np.array([vehicles.index(one.reference) for one in used], dtype=np.int64),
        condition=np.array(conditions(used), dtype=np.int64),
        gross_kg=np.array([vehicle.gross_kg for vehicle in vehicles]),
        share=share,
    )


def _gains(digitiser: Digitiser, lanes: Sequence[FittedLane]) -> DigitiserGains:
    """Corrected gains of a digitiser; a channel of no lane keeps the maker's."""
    u_reference = max((one.reference.u_rel for lane in lanes for one in lane.used), default=0.0)
    u_lane = max((lane.fit.u_lane_rel for lane in lanes), default=0.0)
    common = math.hypot(u_reference, u_lane, *(c.u_rel for c in _BUDGET))
    nominal = digitiser.gains
    channels = [
        ChannelGain(name, float(nominal.newton_per_count[i]), float(nominal.u_rel[i]), 0.0, 0)
        for i, name in enumerate(digitiser.channels)
    ]
    for lane in lanes:
        for row, layout in enumerate(lane.layout.rows):
            for side, i in enumerate((layout.left, layout.right)):
                channels[i] = _channel(channels[i], lane, row, side, common)
    return DigitiserGains(common, tuple(channels))


def _channel(
    nominal: ChannelGain, lane: FittedLane, row: int, side: int, common: float
) -> ChannelGain:
    u_split = float(lane.fit.u_split_rel[row])
    u_row = math.hypot(float(lane.fit.u_row_rel[row]), _WHEEL_UNEVENNESS * u_split)
    return ChannelGain(
        nominal.name,
        nominal.newton_per_count * float(lane.fit.correction[row, side]),
        # Two channels taken as independent halve the variance of their row: hence the root.
        math.hypot(math.sqrt(2) * u_row, common),
        u_split,
        len(lane.used),
    )
