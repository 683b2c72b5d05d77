"""A stranger's recording against a stranger's truth: errors by lane and number of axles."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.config import StationConfig
from edge.errors import InputError, Text, why_zh
from edge.records import LEGAL_BARRIERS, Flag, Floats, Vehicle
from edge.replay import replay_vehicles
from firmware_bridge.recording import Recording, RecordingError, Truth, find_recordings

__all__ = ["Line", "compare", "read_truth", "run", "text"]

_NEAR_NS = 1_000_000_000
_SAME_NS = 200_000_000
_MOST = 0.5
_LEAST_ROWS = 5
_ROWS_FOR_SHIFT = 400
_LEAST_KG = 50.0
_OTHER_REL = 0.25
_SPEED_REL = 0.03
_AS_WIRE = {
    "next_zh": "按 docs/wire.md 第 5 节改正该文件",
    "next_en": "mend that file as docs/wire.md says in section 5",
}
_K95 = 1.96
_BARRIERS = LEGAL_BARRIERS & ~Flag.UNCALIBRATED
"""Who compares with truth may do so before there is a certificate."""


@dataclass(frozen=True, slots=True)
class Line:
    """Errors of one lane and number of axles; per cent of the truth, NaN where nothing is left."""

    lane: str
    axles: int
    vehicles: int
    missed: int
    wrong_axles: int
    flagged: int
    gross_bias: float
    gross_sd: float
    gross_worst: float
    axle_sd: float
    gross_coverage: float


def run(
    recording: Path, config: StationConfig, progress: Callable[[float], None]
) -> tuple[list[Line], list[Text]]:
    """Weigh a recording with the station's file and compare it with its ``truth.csv``.

    Returns the table and what a reader should know of it: times that are shifted as a whole (they
    are set right), vehicles that look like others, another array of rows.

    Raises
    ------
    InputError
        The recording can't be read, does not fit the station file, or has no truth beside it that
        fits its vehicles.
    """
    truth = read_truth(recording)
    _check(truth, config)
    weighed = replay_vehicles(recording, config, progress=progress, jobs=os.cpu_count() or 1)
    return compare(truth, list(weighed))


def read_truth(recording: Path) -> list[Truth]:
    """What really passed, of all recordings at a path.

    Raises
    ------
    InputError
        There is no recording, or no truth in any.
    """
    try:
        found = [row for path in find_recordings(recording) for row in Recording.open(path).truth]
    except RecordingError as error:
        raise InputError(
            f"录像读不了{why_zh(error)}", f"cannot read the recording: {error}", **_AS_WIRE
        ) from error
    if not found:
        raise InputError(
            f"{recording} 里没有 truth.csv，或其中没有车辆，无法比较",
            f"{recording} has no truth.csv to compare with, or it names no vehicle",
            next_zh="每个录像目录放一个 truth.csv，按 docs/wire.md 第 5 节写入每辆车的静态轴重",
            next_en="put a truth.csv with the static axle loads of every vehicle into each "
            "recording's directory, as docs/wire.md says in section 5",
        )
    return found


def _check(truth: Sequence[Truth], config: StationConfig) -> None:
    """Refuse what can't be compared, and say which row it is."""
    lanes = [lane.id for lane in config.model.lane]
    for row in truth:
        if row.lane not in lanes:
            raise InputError(
                f"truth.csv 车辆 {row.vehicle}：站点文件里没有车道 {row.lane}，"
                f"只有 {', '.join(lanes)}",
                f"truth.csv, vehicle {row.vehicle}: the station file has no lane {row.lane}, "
                f"only {', '.join(lanes)}",
                next_zh="用录制时的站点文件（--station），或改正 truth.csv 的 lane",
                next_en="give the station file of the recording (--station), or mend lane in "
                "truth.csv",
            )
        if not row.axle_kg or not all(_LEAST_KG <= kg < np.inf for kg in row.axle_kg):
            raise InputError(
                f"truth.csv 车辆 {row.vehicle}：axle_kg 要写每根轴的千克数，用空格分开，"
                f"每个不小于 {_LEAST_KG:g}",
                f"truth.csv, vehicle {row.vehicle}: axle_kg must be the kilograms of each axle, "
                f"parted by blanks, each at least {_LEAST_KG:g}",
                next_zh="若写的是吨，请乘以 1000",
                next_en="if they are tonnes, multiply by 1000",
            )


def compare(truth: Sequence[Truth], vehicles: Sequence[Vehicle]) -> tuple[list[Line], list[Text]]:
    """Errors by lane and true number of axles; a flagged weight is no error, but it is counted.

    Raises
    ------
    InputError
        Most of the truth fits no vehicle.
    """
    shift_ns = _shift_ns(truth, vehicles)
    left: defaultdict[str, list[Vehicle]] = defaultdict(list)
    for vehicle in vehicles:
        left[vehicle.passage.lane].append(vehicle)
    pairs: defaultdict[tuple[str, int], list[_Pair]] = defaultdict(list)
    for row in sorted(truth, key=lambda row: row.time_ns):
        found = _nearest(row.time_ns + shift_ns, left[row.lane])
        pairs[row.lane, len(row.axle_kg)].append((row, found))
    every = [pair for own in pairs.values() for pair in own]
    _check_found(every, len(vehicles))
    lines = [_line(lane, axles, own) for (lane, axles), own in sorted(pairs.items())]
    whole = [v for own in left.values() for v in own if not v.flags & Flag.INCOMPLETE]
    return lines, _remarks(every, shift_ns, len(whole))


_Pair = tuple[Truth, Vehicle | None]


def _shift_ns(truth: Sequence[Truth], vehicles: Sequence[Vehicle]) -> int:
    """By how much the vehicles' times lie behind the truth's as a whole, where that is plain.

    Of all pairs of a row and a vehicle of its lane, those that belong together are the same time
    apart; others are anything apart.
    """
    some = _some(truth)
    apart_ns = np.sort(np.concatenate([_apart_ns(row, vehicles) for row in some]))
    if np.count_nonzero(np.abs(apart_ns) < _SAME_NS) >= _MOST * len(some):
        return 0
    within = np.searchsorted(apart_ns, apart_ns + _SAME_NS) - np.arange(len(apart_ns))
    if not len(within) or within.max() < max(_MOST * len(some), _LEAST_ROWS):
        return 0
    best = int(within.argmax())
    return round(float(np.median(apart_ns[best : best + within[best]])))


def _some(truth: Sequence[Truth]) -> Sequence[Truth]:
    """So many rows, spread over all, that a shift shows."""
    return truth[:: -(-len(truth) // _ROWS_FOR_SHIFT)]


def _apart_ns(row: Truth, vehicles: Sequence[Vehicle]) -> Floats:
    times_ns = [v.time_ns - row.time_ns for v in vehicles if v.passage.lane == row.lane]
    return np.array(times_ns, np.float64)


def _nearest(time_ns: int, candidates: list[Vehicle]) -> Vehicle | None:
    """The vehicle whose last wheel left at the true time; it serves one row of truth."""
    near = min(candidates, key=lambda v: abs(v.time_ns - time_ns), default=None)
    if near is None or abs(near.time_ns - time_ns) > _NEAR_NS:
        return None
    candidates.remove(near)
    return near


def _check_found(pairs: Sequence[_Pair], vehicles: int) -> None:
    found = sum(vehicle is not None for _, vehicle in pairs)
    if found >= _MOST * len(pairs):
        return
    raise InputError(
        f"truth.csv 的 {len(pairs)} 辆车里只有 {found} 辆对得上；录像里称了 {vehicles} 辆",
        f"of {len(pairs)} vehicles of truth.csv {found} were found; the recording has {vehicles}",
        next_zh="核对 time_ns（UTC 纳秒，最后一个车轮离开最后一排的时刻）、车道和站点文件",
        next_en="check time_ns (UTC nanoseconds, when the last wheel leaves the last row), the "
        "lanes, and that it is the station file of this recording",
    )


def _remarks(pairs: Sequence[_Pair], shift_ns: int, unnamed: int) -> list[Text]:
    """What the table alone does not say."""
    seen = [(row, v) for row, v in pairs if v is not None]
    gross = np.array([v.passage.gross_kg / sum(row.axle_kg) for row, v in seen])
    speed = np.array([v.passage.speed_mps / row.speed_mps for row, v in seen if row.speed_mps > 0])
    other = int(np.count_nonzero(np.abs(gross - 1.0) > _OTHER_REL))
    told = []
    if shift_ns:
        seconds = shift_ns / 1e9
        told.append(
            Text(
                f"truth.csv 的时间整体偏移 {-seconds:+.2f} s，比较时已改正",
                f"the times of truth.csv are off by {-seconds:+.2f} s as a whole; this was set "
                f"right for the comparison",
            )
        )
    if other:
        told.append(
            Text(
                f"{other} 辆的总重差 {_OTHER_REL:.0%} 以上：可能对到了别的车，核对 time_ns",
                f"the gross of {other} differs by more than {_OTHER_REL:.0%}: perhaps they are "
                f"other vehicles; check time_ns",
            )
        )
    if len(speed) and abs(float(np.median(speed)) - 1.0) > _SPEED_REL:
        told.append(
            Text(
                f"车速是 truth.csv 的 {np.median(speed):.2f} 倍：站点文件的各排位置是这个站的吗？",
                f"speeds are {np.median(speed):.2f} of those in truth.csv: are the rows of the "
                f"station file those of this site?",
            )
        )
    if unnamed:
        told.append(
            Text(
                f"{unnamed} 辆称过的车不在 truth.csv 里",
                f"{unnamed} weighed vehicles are not in truth.csv",
            )
        )
    return told


def _line(lane: str, axles: int, pairs: Sequence[_Pair]) -> Line:
    seen = [(row, vehicle) for row, vehicle in pairs if vehicle is not None]
    right = [(row, v) for row, v in seen if len(v.passage.axles) == axles]
    clean = [(row, v) for row, v in right if not v.flags & _BARRIERS]
    true_kg = np.array([row.axle_kg for row, _ in clean]).reshape(-1, axles)
    load_kg = np.array([v.passage.axles.load_kg for _, v in clean]).reshape(-1, axles)
    u_kg = np.array([v.passage.u_gross_kg for _, v in clean])
    off_kg = load_kg.sum(axis=1) - true_kg.sum(axis=1)
    gross = 100 * off_kg / true_kg.sum(axis=1)
    some = len(clean) > 0
    return Line(
        lane,
        axles,
        vehicles=len(pairs),
        missed=len(pairs) - len(seen),
        wrong_axles=len(seen) - len(right),
        flagged=len(right) - len(clean),
        gross_bias=float(gross.mean()) if some else np.nan,
        gross_sd=float(gross.std()) if some else np.nan,
        gross_worst=float(np.abs(gross).max()) if some else np.nan,
        axle_sd=float(np.std(100 * (load_kg / true_kg - 1))) if some else np.nan,
        gross_coverage=float(np.mean(100.0 * (np.abs(off_kg) <= _K95 * u_kg))) if some else np.nan,
    )


def text(lines: Sequence[Line], remarks: Sequence[Text] = ()) -> str:
    """The table for people, and the remarks below it."""
    head = (
        f"{'车道 lane':>9} {'轴 axles':>8} {'n':>5} {'missed':>6} {'axles≠':>6} {'flagged':>7} "
        f"{'gross bias %':>12} {'sd %':>6} {'worst %':>7} {'axle sd %':>9} {'95 % gross':>10}"
    )
    body = (
        f"{x.lane:>11} {x.axles:>9} {x.vehicles:>5} {x.missed:>6} {x.wrong_axles:>6} "
        f"{x.flagged:>7} {_number(x.gross_bias, 12)} {_number(x.gross_sd, 6)} "
        f"{_number(x.gross_worst, 7)} {_number(x.axle_sd, 9)} {_number(x.gross_coverage, 10, 1)}"
        for x in lines
    )
    return "\n".join([head, *body, *(f"! {remark}" for remark in remarks)])


def _number(value: float, width: int, digits: int = 2) -> str:
    return f"{value:>{width}.{digits}f}" if np.isfinite(value) else f"{'-':>{width}}"
