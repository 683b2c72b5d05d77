"""``steelyard learn``: from what the lanes' traffic showed to dynamics that somebody freezes.

The running station gathers and never changes its weights. Here a person looks at what was
gathered, and by freezing it makes a new numbered file that the station file may name.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from edge.config import StationConfig
from edge.core.fitting import fit
from edge.core.learn import VEHICLES, Variogram
from edge.core.modes import CENTRES_KMH, KINDS, PRIOR, SPEED_EDGES_KMH, Dynamics
from edge.errors import InputError, Text, cannot_write, why_zh
from edge.frozen import Basis, Frozen
from edge.lessons import APART, CHANGED, gathered
from edge.records import Floats, LaneLayout, Vehicle
from edge.replay import replay_vehicles
from edge.sources.replay import unreadable
from firmware_bridge.recording import Recording, RecordingError, Truth, find_recordings

__all__ = ["Lesson", "freeze", "from_recordings", "from_station", "table"]

_NEAR_NS = 1_000_000_000
_KIND_NAMES = (
    Text("二轴轻车", "2 axles, light"),
    Text("二轴重车", "2 axles, laden"),
    Text("多轴轻车", "more axles, light"),
    Text("多轴重车", "more axles, laden"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What one lane showed, and the dynamics that follow from it."""

    layout: LaneLayout
    seen: Variogram
    dynamics: Dynamics

    def rows_apart(self, limit_rel: float) -> str:
        """Rows that read apart from their fellows, counted from 1 as people do; empty if none."""
        return ", ".join(str(row + 1) for row in self.seen.rows_off(limit_rel))


def from_station(config: StationConfig, lanes: Sequence[str]) -> list[Lesson]:
    """Lessons of what the running station gathered; of all lanes if none is named.

    Raises
    ------
    InputError
        A file can't be read, or nothing was gathered yet.
    """
    try:
        seen = gathered(config)
    except (OSError, ValueError) as error:
        raise InputError(
            f"读不了站点积累的数据{why_zh(error)}",
            f"cannot read what the station gathered: {error}",
            next_zh="重新启动站点：它会把坏文件另存并从头积累；或者用 --recording 从录像学",
            next_en="start the station again: it sets a damaged file aside and gathers anew; or "
            "learn from recordings with --recording",
        ) from error
    return _lessons(seen, lanes)


def from_recordings(
    config: StationConfig,
    recordings: Sequence[Path],
    lanes: Sequence[str],
    *,
    jobs: int,
    progress: Callable[[float], None],
) -> list[Lesson]:
    """Lessons of recordings; vehicles of known load are those of ``truth.csv``, if it is there.

    Raises
    ------
    InputError
        A recording can't be read or does not fit, or no clean passage is in any.
    """
    plain = config.without_dynamics()
    layouts = [x for d in config.model.digitiser for x in config.lanes_of(d.id)]
    seen = {layout.lane: Variogram.empty(layout) for layout in layouts}
    for number, recording in enumerate(recordings):

        def told(part: float, before: int = number) -> None:
            progress((before + part) / len(recordings))

        truth = _truth(recording)
        for vehicle in replay_vehicles(recording, plain, progress=told, jobs=jobs):
            passage = vehicle.passage
            seen[passage.lane].add(passage, _known_kg(vehicle, truth[passage.lane]))
    return _lessons(seen, lanes)


def _lessons(seen: dict[str, Variogram], lanes: Sequence[str]) -> list[Lesson]:
    wanted = {name: v for name, v in seen.items() if v.vehicles and name in (lanes or seen)}
    missing = [name for name in lanes if name not in wanted]
    if missing or not wanted:
        names = "、".join(missing) or "全部"
        raise InputError(
            f"车道 {names} 还没有可学的车辆：无疑问的通过才算，没有标定证书时全部不算",
            f"lane {', '.join(missing) or '(all)'} has no vehicle to learn from: only passages "
            "without any doubt count, and without a certificate there are none",
            next_zh="先标定（steelyard calibrate fit），让站点运行几小时，再运行 steelyard learn",
            next_en="calibrate first, let the station run for some hours, then learn again",
        )
    return [Lesson(v.lane, v, fit(v)) for v in wanted.values()]


def _truth(recording: Path) -> defaultdict[str, list[Truth]]:
    by_lane: defaultdict[str, list[Truth]] = defaultdict(list)
    try:
        for path in find_recordings(recording):
            for row in Recording.open(path).truth:
                by_lane[row.lane].append(row)
    except RecordingError as error:
        raise unreadable(error) from error
    return by_lane


def _known_kg(vehicle: Vehicle, truth: list[Truth]) -> Floats | None:
    """Known axle loads of a vehicle; a row of the truth serves one vehicle."""
    near = min(truth, key=lambda row: abs(row.time_ns - vehicle.time_ns), default=None)
    if near is None or abs(near.time_ns - vehicle.time_ns) > _NEAR_NS:
        return None
    truth.remove(near)
    same = len(near.axle_kg) == len(vehicle.passage.axles)
    return np.array(near.axle_kg, np.float64) if same else None


# ----------------------------------------------------------------------------------------------
# For people


def table(lesson: Lesson) -> str:
    """Vehicles by kind and speed, and what one row is expected to scatter, before and after."""
    lines = [
        f"车道 / lane {lesson.layout.lane}: {lesson.seen.vehicles} 辆 / vehicles, "
        f"{len(lesson.layout.rows)} 排 / rows",
        _line("车型 / kind", "km/h", "辆 / n", "出厂 prior %", "学后 learned %"),
    ]
    lines += [line for kind in range(KINDS) for line in _kind_lines(lesson, kind)]
    lines.append("单排、6 t 轴的预期散布 / expected scatter of one row, an axle of 6 t")
    if rows := lesson.rows_apart(CHANGED):
        lines.append(
            f"第 {rows} 排读数偏离其他各排，可能是传感器，也可能是路面 / "
            f"row {rows} reads apart from the others: the sensor, or the road"
        )
    return "\n".join(lines)


def _kind_lines(lesson: Lesson, kind: int) -> Iterable[str]:
    edges = [0.0, *SPEED_EDGES_KMH, np.inf]
    for number, (low, high) in enumerate(pairwise(edges)):
        vehicles = int(lesson.seen.whole[number * KINDS + kind, VEHICLES])
        if not vehicles:
            continue
        span = f"{low:.0f}-{high:.0f}" if np.isfinite(high) else f">{low:.0f}"
        before, after = (
            f"{100 * d.cells[number][kind].scatter(CENTRES_KMH[number]):.2f}"
            for d in (PRIOR, lesson.dynamics)
        )
        yield _line(str(_KIND_NAMES[kind]), span, str(vehicles), before, after)


def _line(kind: str, *cells: str) -> str:
    return _padded(kind, 34, left=True) + "".join(_padded(cell, 16) for cell in cells)


def _padded(text: str, width: int, *, left: bool = False) -> str:
    """Text to a width in a terminal, where Chinese characters take two places."""
    room = " " * (width - sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text))
    return text + room if left else room + text


# ----------------------------------------------------------------------------------------------
# Under seal


def freeze(
    config: StationConfig, lessons: Sequence[Lesson], who: str, now_ns: Callable[[], int]
) -> list[tuple[Path, Frozen]]:
    """Write the dynamics of each lane as a file of its own, numbered one higher than the last.

    Raises
    ------
    InputError
        A row reads so far apart from its fellows that it is no road, or the disk refuses.
    """
    for lesson in lessons:
        if rows := lesson.rows_apart(APART):
            raise _rows_first(lesson.layout.lane, rows)
    return [_freeze(config, lesson, who, now_ns()) for lesson in lessons]


def _freeze(config: StationConfig, lesson: Lesson, who: str, now_ns: int) -> tuple[Path, Frozen]:
    lane = lesson.layout.lane
    device = next(section.digitiser for section in config.model.lane if section.id == lane)
    frozen = Frozen(
        station=config.model.station.id,
        lane=lane,
        version=_last_version(config.path.parent, lane) + 1,
        basis=Basis.of(lesson.layout, config.gains_of(device, 1.0)),
        frozen_us=now_ns // 1000,
        frozen_by=who,
        vehicles=lesson.seen.vehicles,
        dynamics=lesson.dynamics,
    )
    path = config.path.parent / f"{lane}-v{frozen.version}.dynamics.json"
    try:
        with path.open("xb") as file:  # never over an older one: records name it
            file.write(frozen.to_json())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error
    return path, frozen


def _last_version(directory: Path, lane: str) -> int:
    """Highest number of the lane's files; that of the prior if there is none."""
    name = re.compile(rf"{re.escape(lane)}-v(\d+)\.dynamics\.json")
    found = (name.fullmatch(path.name) for path in directory.iterdir())
    return max([PRIOR.version, *(int(match[1]) for match in found if match)])


def _rows_first(lane: str, rows: str) -> InputError:
    return InputError(
        f"车道 {lane} 第 {rows} 排读数偏离其他各排，不能冻结",
        f"row {rows} of lane {lane} reads apart from the others: this cannot be frozen",
        next_zh="先检查、清理或修好这一排，重新标定，再积累数据",
        next_en="have that row looked at and mended, calibrate anew, then gather again",
    )
