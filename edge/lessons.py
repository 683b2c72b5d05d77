"""What the lanes' own traffic teaches while the station runs; it changes no weight by itself.

Clean passages are gathered window by window. A window in which a row reads apart from its fellows
is not kept: it says what is wrong with the row, not how axles swing, and it becomes a finding of
the lane for people. Files are named by the rows and gains they hold for, so that two layouts or
two calibrations never mix; one that cannot be read is set aside, kept, and counted.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.config import StationConfig
from edge.core.learn import Variogram
from edge.core.modes import PRIOR
from edge.errors import Text
from edge.frozen import Basis
from edge.health import Health, Level
from edge.records import LEGAL_BARRIERS, Flag, LaneLayout, Passage
from edge.store.blobs import sync_directory

__all__ = ["SAVE_PERIOD_S", "WINDOW", "Lessons", "gathered"]

SCHEMA = "steelyard-lessons/1"
SAVE_PERIOD_S = 600.0
WINDOW = 50
"""Vehicles after which the rows are compared. A mean difference of 10 % of their loads is then
some seven times what swinging axles leave in it."""


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
        return self.kept if self.fresh.rows_off() else self.kept + self.fresh

    def _note_missing(self, passage: Passage) -> None:
        """A passage in which nothing is wrong but a row: the row that is silent, or far off."""
        if passage.flags & LEGAL_BARRIERS != Flag.ROW_MISSING:
            return
        rows_kg = passage.axles.row_load_kg
        load_kg = np.maximum(passage.axles.load_kg, 1.0)[:, None]
        off = np.abs(np.nan_to_num(rows_kg / load_kg - 1, nan=np.inf))
        self._silent[int(off.mean(axis=0).argmax())] += 1
        self._unheard += 1

    def _apart(self) -> tuple[int, ...]:
        seen = self.fresh.vehicles + self._unheard
        silent = np.flatnonzero(2 * self._silent > seen).tolist()
        return tuple(sorted({*silent, *self.fresh.rows_off()}))


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
        self._directory = _directory(config)
        self._health = health
        self._window = window
        self._paths: dict[str, Path] = {}
        self._lanes: dict[str, _Lane] = {}
        for layout, path in _files(config):
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
            path: _to_json(self._lanes[name], path)
            for name, path in self._paths.items()
            if self._lanes[name].vehicles
        }
        fresh = {path: data for path, data in files.items() if self._written.get(path) != data}
        try:
            await asyncio.to_thread(_write_all, self._directory, fresh)
        except OSError as error:
            self._health.count("lessons.refused")
            self._health.state(
                "lessons",
                Level.WARNING,
                f"学习数据写不进磁盘：{error.strerror}",
                f"the disk refuses what was learned: {error.strerror}",
            )
        else:
            self._written = files
            self._health.state("lessons", Level.OK, "学习数据已保存", "what was learned is kept")

    def _opened(self, layout: LaneLayout, path: Path) -> _Lane:
        try:
            return _read(layout, path)
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
            f"车道 {layout.lane} 的学习数据读不了，已另存为 {aside.name}，从头学起：{error}",
            f"what lane {layout.lane} had learned cannot be read; set aside as {aside.name}, "
            f"learning begins anew: {error}",
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
    for layout, path in _files(config):
        if path.exists():
            found[layout.lane] = _read(layout, path).all()
    return found


def _directory(config: StationConfig) -> Path:
    return config.data_dir / "lessons"


def _files(config: StationConfig) -> list[tuple[LaneLayout, Path]]:
    """Layout and file of each lane."""
    found = []
    for section in config.model.digitiser:
        gains = config.gains_of(section.id, 1.0)
        for layout in config.lanes_of(section.id):
            key = _key(layout, Basis.of(layout, gains))
            found.append((layout, _directory(config) / f"{layout.lane}-{key[:16]}.json"))
    return found


def _key(layout: LaneLayout, basis: Basis) -> str:
    """Hash of all that must be the same for two sums to be added."""
    form = {name: sums.shape for name, sums in _sums(Variogram.empty(layout)).items()}
    text = json.dumps([dataclasses.asdict(basis), form, PRIOR.version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _sums(variogram: Variogram) -> dict[str, Any]:
    """Arrays of a variogram by their names: all that it holds but the lane."""
    names = [field.name for field in dataclasses.fields(variogram) if field.name != "lane"]
    return {name: getattr(variogram, name) for name in names}


def _to_json(lane: _Lane, path: Path) -> bytes:
    body: dict[str, Any] = {"schema": SCHEMA, "file": path.name}
    for name, variogram in (("kept", lane.kept), ("fresh", lane.fresh)):
        body[name] = {key: sums.tolist() for key, sums in _sums(variogram).items()}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return json.dumps([hashlib.sha256(text.encode()).hexdigest(), body]).encode()


def _read(layout: LaneLayout, path: Path) -> _Lane:
    """What was gathered of a lane.

    Raises
    ------
    OSError
        It can't be read.
    ValueError
        It is damaged, or of another lane, layout or calibration.
    """
    try:
        sha256, body = json.loads(path.read_bytes())
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        if hashlib.sha256(text.encode()).hexdigest() != sha256:
            raise ValueError("damaged: its checksum is wrong")
        if (body["schema"], body["file"]) != (SCHEMA, path.name):
            raise ValueError(f"foreign: {body['schema']} {body['file']}")
        return _Lane(layout, _variogram(layout, body["kept"]), _variogram(layout, body["fresh"]))
    except (KeyError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"damaged: {error!r}") from error


def _variogram(layout: LaneLayout, body: dict[str, Any]) -> Variogram:
    sums = {
        name: np.array(body[name], np.int64).reshape(empty.shape)
        for name, empty in _sums(Variogram.empty(layout)).items()
    }
    return Variogram(layout, **sums)


def _write_all(directory: Path, files: dict[Path, bytes]) -> None:
    """Write files whole, each under its name only when it is on the disk."""
    directory.mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        draft = path.with_suffix(".tmp")
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    if files:
        sync_directory(directory)
