"""A stranger's recording against a stranger's truth: errors by lane and number of axles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.config import StationConfig
from edge.errors import InputError
from edge.records import LEGAL_BARRIERS, Flag, Vehicle
from edge.replay import replay_vehicles
from firmware_bridge.recording import Recording, RecordingError, Truth, find_recordings

__all__ = ["Line", "compare", "read_truth", "run", "text"]

_NEAR_NS = 1_000_000_000
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


def run(recording: Path, config: StationConfig, progress: Callable[[float], None]) -> list[Line]:
    """Weigh a recording with the station's file and compare it with its ``truth.csv``.

    Raises
    ------
    InputError
        The recording can't be read, does not fit the station file, or has no truth beside it.
    """
    truth = read_truth(recording)
    return compare(truth, list(replay_vehicles(recording, config, progress=progress)))


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
        raise InputError(f"录像读不了：{error}", f"cannot read the recording: {error}") from error
    if not found:
        raise InputError(
            f"{recording} 里没有 truth.csv，无法比较",
            f"{recording} has no truth.csv to compare with",
            next_zh="按 docs/wire.md 写入每辆车的静态轴重",
            next_en="write the static axle loads of every vehicle as docs/wire.md says",
        )
    return found


def compare(truth: Sequence[Truth], vehicles: Iterable[Vehicle]) -> list[Line]:
    """Errors by lane and true number of axles; a flagged weight is no error, but it is counted."""
    left: defaultdict[str, list[Vehicle]] = defaultdict(list)
    for vehicle in vehicles:
        left[vehicle.passage.lane].append(vehicle)
    pairs: defaultdict[tuple[str, int], list[tuple[Truth, Vehicle | None]]] = defaultdict(list)
    for row in sorted(truth, key=lambda row: row.time_ns):
        found = _nearest(row, left[row.lane])
        pairs[row.lane, len(row.axle_kg)].append((row, found))
    return [_line(lane, axles, own) for (lane, axles), own in sorted(pairs.items())]


def _nearest(row: Truth, candidates: list[Vehicle]) -> Vehicle | None:
    """The vehicle whose last wheel left at the true time; it serves one row of truth."""
    near = min(candidates, key=lambda v: abs(v.time_ns - row.time_ns), default=None)
    if near is None or abs(near.time_ns - row.time_ns) > _NEAR_NS:
        return None
    candidates.remove(near)
    return near


def _line(lane: str, axles: int, pairs: Sequence[tuple[Truth, Vehicle | None]]) -> Line:
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


def text(lines: Sequence[Line]) -> str:
    """The table for people."""
    head = (
        f"{'车道 lane':>9} {'轴 axles':>8} {'n':>5} {'missed':>6} {'axles≠':>6} {'flagged':>7} "
        f"{'gross bias %':>12} {'sd %':>6} {'worst %':>7} {'axle sd %':>9} {'95 % gross':>10}"
    )
    body = (
        f"{x.lane:>11} {x.axles:>9} {x.vehicles:>5} {x.missed:>6} {x.wrong_axles:>6} "
        f"{x.flagged:>7} {x.gross_bias:>12.2f} {x.gross_sd:>6.2f} {x.gross_worst:>7.2f} "
        f"{x.axle_sd:>9.2f} {x.gross_coverage:>10.1f}"
        for x in lines
    )
    return "\n".join([head, *body])
