"""What the lanes' own traffic teaches while the station runs; it changes no weight by itself.

Clean passages are gathered window by window. A window in which a row reads apart from its fellows
is not kept: it says what is wrong with the row, not how axles swing, and it becomes a finding of
the lane for people. Files are named by the rows and gains they hold for, so that two layouts or
two calibrations never mix; one that cannot be read is set aside, kept, and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.config import StationConfig
from edge.core.learn import VEHICLES, Variogram
from edge.errors import Text, why_zh
from edge.health import Health, Level
from edge.lesson_files import lesson_files, read_lesson, to_json, write_all
from edge.records import LEGAL_BARRIERS, Flag, LaneLayout, Passage

__all__ = ["APART", "CHANGED", "SAVE_PERIOD_S", "WINDOW", "Lessons", "gathered"]

SAVE_PERIOD_S = 600.0
WINDOW = 50
"""Vehicles after which the rows are compared. A mean difference of 10 % of their loads is then
some seven times what swinging axles leave in it."""

CHANGED = 0.1
"""A row that differs by this from what it showed before, at the same speeds of the same kinds, part
of an axle of reference load: the road has not changed, so the row has."""
APART = 0.25
"""A row that differs by this from the others is no road, whatever it showed before. On a rough road
(ISO 8608 class B) at one speed the fixed profile alone can make a tenth."""
_KNOWN_VEHICLES = 10


class _Lane:
    """What was gathered of one lane: windows that were kept, and the one under way."""

    def __init__(self, layout: LaneLayout, kept: Variogram, fresh: Variogram) -> None:
        self.layout, self.kept, self.fresh = layout, kept, fresh
        self._silent = np.zeros(len(layout.rows), np.int64)
        self._unheard = 0

    @property
    def vehicles(self) -> int:
        """How many passages it holds."""
        return self.kept.vehicles + self.fresh.vehicles

    def take(self, passage: Passage, window: int) -> tuple[int, ...] | None:
        """Take in a passage; rows that read apart once a window is full, else None."""
        if not self.fresh.add(passage):
            self._note_missing(passage)
        if self.fresh.vehicles + self._unheard < window:
            return None
        apart = self._apart()
        if not apart:
            self.kept = self.kept + self.fresh
        self.fresh = Variogram.empty(self.layout)
        self._silent[:], self._unheard = 0, 0
        return apart

    def all(self) -> Variogram:
        """Everything gathered; of a window under way only if no row reads apart in it."""
        return self.kept if self._off() else self.kept + self.fresh

    def _note_missing(self, passage: Passage) -> None:
        """A passage in which nothing is wrong but a row: the row that is silent, or far off."""
        doubts = passage.flags & LEGAL_BARRIERS
        if not doubts & Flag.ROW_MISSING or doubts & ~(Flag.ROW_MISSING | Flag.WHEEL_OFF):
            return
        rows_kg = passage.axles.row_load_kg
        load_kg = np.maximum(passage.axles.load_kg, 1.0)[:, None]
        off = np.abs(np.nan_to_num(rows_kg / load_kg - 1, nan=np.inf))
        self._silent[int(off.mean(axis=0).argmax())] += 1
        self._unheard += 1

    def _apart(self) -> tuple[int, ...]:
        seen = self.fresh.vehicles + self._unheard
        silent = np.flatnonzero(2 * self._silent > seen).tolist()
        return tuple(sorted({*silent, *self._off()}))

    def _off(self) -> tuple[int, ...]:
        """Rows that read apart in the window: by themselves, or from what they showed before."""
        beyond = _beyond(self.fresh, self.kept)
        known = 2 * beyond.vehicles > self.fresh.vehicles
        return self.fresh.rows_off(APART) or (beyond.rows_off(CHANGED) if known else ())


def _beyond(fresh: Variogram, kept: Variogram) -> Variogram:
    """What was seen, less what the same speeds of the same kinds have shown before."""
    known = kept.whole[:, VEHICLES] >= _KNOWN_VEHICLES
    pairs, whole = fresh.pairs * known[:, None, None], fresh.whole * known[:, None]
    count, difference = kept.pairs[:, :, 0], kept.pairs[:, :, 1]
    pairs[:, :, 1] -= np.rint(pairs[:, :, 0] * (difference / np.maximum(count, 1))).astype(np.int64)
    return Variogram(fresh.lane, pairs, whole)


class Lessons:
    """Gathers what the lanes of a running station show, and keeps it over restarts.

    Parameters
    ----------
    config
        The station; its certificate names what is learned.
    health
        Hears which rows read apart, and what could not be read or written.
    window
        Vehicles after which the rows of a lane are compared.
    """

    def __init__(self, config: StationConfig, health: Health, *, window: int = WINDOW) -> None:
        self._health = health
        self._window = window
        self._paths: dict[str, Path] = {}
        self._lanes: dict[str, _Lane] = {}
        for layout, path in lesson_files(config):
            self._paths[layout.lane] = path
            self._lanes[layout.lane] = self._opened(layout, path)
        self._written: dict[Path, bytes] = {}

    def take(self, passage: Passage) -> None:
        """A passage of the station's traffic, as it was weighed."""
        lane = self._lanes[passage.lane]
        apart = lane.take(passage, self._window)
        self._health.gauge(f"lane.{passage.lane}.lessons", lane.vehicles)
        if apart is not None:
            self._tell_rows(lane.layout, apart)

    async def run(self) -> None:
        """Write what was gathered, at a calm pace, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_PERIOD_S)
            await self.save()

    async def save(self) -> None:
        """Bring what was gathered to the disk; a disk that refuses is told and tried again."""
        files = {
            path: to_json(path, self._lanes[name].kept, self._lanes[name].fresh)
            for name, path in self._paths.items()
            if self._lanes[name].vehicles
        }
        fresh = {path: data for path, data in files.items() if self._written.get(path) != data}
        try:
            await asyncio.to_thread(write_all, fresh)
        except OSError as error:
            self._health.count("lessons.refused")
            self._health.state(
                "lessons",
                Level.WARNING,
                f"学习数据写不进磁盘{why_zh(error)}",
                f"the disk refuses what was learned: {error.strerror}",
                next_step=Text("释放磁盘空间；之后自动继续", "free the disk; it goes on by itself"),
            )
        else:
            self._written = files
            self._health.state("lessons", Level.OK, "学习数据已保存", "what was learned is kept")

    def _opened(self, layout: LaneLayout, path: Path) -> _Lane:
        try:
            return _Lane(layout, *read_lesson(layout, path))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            self._set_aside(layout, path, error)
        return _Lane(layout, Variogram.empty(layout), Variogram.empty(layout))

    def _set_aside(self, layout: LaneLayout, path: Path, error: Exception) -> None:
        """Learning begins anew; the file stays, for whoever wants to know why."""
        aside = path.with_suffix(".damaged")
        try:
            path.replace(aside)
        except OSError:
            self._health.count("lessons.refused")
        self._health.count("lessons.set_aside")
        self._health.state(
            "lessons",
            Level.WARNING,
            f"车道 {layout.lane} 的学习数据读不了，已另存为 {aside.name}，从头学起{why_zh(error)}",
            f"what lane {layout.lane} had learned cannot be read; set aside as {aside.name}, "
            f"learning begins anew: {error}",
            next_step=Text(
                "称重照常；若再出现，检查磁盘", "weighing goes on; if it recurs check the disk"
            ),
        )

    def _tell_rows(self, layout: LaneLayout, apart: Sequence[int]) -> None:
        part, name = f"rows.{layout.lane}", layout.lane
        if not apart:
            self._health.state(
                part,
                Level.OK,
                f"车道 {name} 各排传感器读数一致",
                f"the rows of lane {name} agree",
            )
            return
        self._health.count(f"lane.{name}.windows_apart")
        rows = [str(row + 1) for row in apart]
        self._health.state(
            part,
            Level.WARNING,
            f"车道 {name} 第 {'、'.join(rows)} 排传感器的读数长期与其他各排不一致",
            f"over many vehicles row {', '.join(rows)} of lane {name} reads apart from the others",
            next_step=Text(
                "看这一排有没有积泥、松动、裂缝、进水；清理后仍不一致就停用该排并安排重新标定",
                "look at that row for dirt, looseness, cracks, water; if it still reads apart, "
                "have it mended and calibrated anew",
            ),
        )


def gathered(config: StationConfig) -> dict[str, Variogram]:
    """What the station has gathered with its present rows and certificate, by lane.

    Raises
    ------
    OSError, ValueError
        A file can't be read, or is not one of these.
    """
    found = {}
    for layout, path in lesson_files(config):
        if path.exists():
            found[layout.lane] = _Lane(layout, *read_lesson(layout, path)).all()
    return found
