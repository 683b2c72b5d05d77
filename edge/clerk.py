"""Vehicle to sealed record: judge, keep the raw signal and the pictures, append, tell.

Order matters: blobs are durable before the record that names them, the record is durable before
anybody is told. While the database is recovered, statements wait on the disk; when the disk
refuses, vehicles wait here (bounded) and are tried again; what does not fit is counted and shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from edge.config import StationConfig
from edge.errors import StoreError, Text
from edge.evidence.statement import plate_correction_draft, vehicle_draft
from edge.frozen import known_dynamics
from edge.health import Health, Level
from edge.records import (
    Blob,
    Draft,
    Gains,
    PassageKey,
    Picture,
    PlateDoubt,
    PlateRead,
    Record,
    Vehicle,
    VerdictKind,
)
from edge.rules.judge import judge
from edge.rules.pack import RulePack
from edge.store.signal import encode_clip
from edge.store.store import Store

log = logging.getLogger("steelyard")

WAITING_VEHICLES = 2_000
"""About half an hour of a busy station; each holds its raw signal in memory."""
RETRY_S = 2.0
CORRECTABLE = 256
"""Sealed vehicles that are remembered; the desk doubts a plate within seconds."""


class Clerk:
    """Judges and seals vehicles, one after the other, in the order in which they came."""

    def __init__(
        self,
        config: StationConfig,
        store: Store,
        pack: RulePack,
        health: Health,
        *,
        software: dict[str, Any],
        gains: Callable[[str], Gains],
        on_sealed: Callable[[Record], None],
    ) -> None:
        self._config = config
        self._store = store
        self._pack = pack
        self._health = health
        self._software = software
        self._gains = gains
        self._dynamics = known_dynamics(config)
        self._on_sealed = on_sealed
        self._queue: asyncio.Queue[Vehicle | PlateDoubt | None] = asyncio.Queue()
        self._sealed: deque[tuple[PassageKey, Record]] = deque(maxlen=CORRECTABLE)
        self._aside: deque[PassageKey | None] = deque([None] * len(store.waiting))
        self._doubts: deque[PlateDoubt] = deque()
        self.log_is_open = True
        """Whether the log says already how this run began; no vehicle is sealed before."""

    def hand(self, statement: Vehicle | PlateDoubt) -> None:
        """Take a vehicle, or a doubt about one that was sealed; never blocks."""
        if self._queue.qsize() >= WAITING_VEHICLES:
            self._health.count("clerk.vehicles_lost")
            return
        self._queue.put_nowait(statement)
        self._health.gauge("clerk.waiting", self._queue.qsize())

    def end(self) -> None:
        """No more vehicles will come; ``run`` returns when all are sealed."""
        self._queue.put_nowait(None)

    async def run(self) -> None:
        """Seal vehicles until ``end``."""
        while (statement := await self._next()) is not None:
            try:
                await self._keep(statement)
            except Exception as error:  # one vehicle must not take those with it that wait behind
                log.exception("clerk: defect in the program")
                self._tell_defect(error)
            self._health.gauge("clerk.waiting", self._queue.qsize())

    def _tell_defect(self, error: Exception) -> None:
        self._health.count("clerk.defects")
        self._health.state(
            "clerk",
            Level.DOWN,
            f"有车辆未能封存，程序缺陷（技术细节：{error!r}）",
            f"a vehicle could not be sealed, program defect: {error!r}",
            next_step=Text("通知维护人员，附上日志", "send the log to the maintainer"),
        )

    async def _next(self) -> Vehicle | PlateDoubt | None:
        """The next statement; those that wait on the disk are sealed before."""
        while self._aside:
            if self._may_seal and await self._tried(self._take_in):
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    return await self._queue.get()
        return self._doubts.popleft() if self._doubts else await self._queue.get()

    @property
    def _may_seal(self) -> bool:
        return self.log_is_open and self._store.is_ready

    async def _keep(self, statement: Vehicle | PlateDoubt) -> None:
        """Seal a statement, or have it wait on the disk; neither may fail for ever."""
        while True:
            keep = self._seal if self._may_seal and not self._aside else self._set_aside
            if await self._tried(partial(keep, statement)):
                return
            await asyncio.sleep(RETRY_S)

    async def _tried(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except StoreError as error:
            self._health.count("clerk.store_refused")
            if self._may_seal:  # otherwise the store itself says what is wrong
                self._health.state("store", Level.DOWN, *error.what, next_step=error.next_step)
            return False
        return True

    async def _seal(self, statement: Vehicle | PlateDoubt) -> None:
        if isinstance(statement, PlateDoubt):
            draft = self._correction(statement)
            if draft is not None:
                self._on_sealed(await self._store.append(draft))
        else:
            self._told(await self.seal(statement), statement.passage.key)
        self._health.state("store", Level.OK, "证据库正常", "evidence store works")

    async def _set_aside(self, statement: Vehicle | PlateDoubt) -> None:
        if isinstance(statement, PlateDoubt):
            self._doubts.append(statement)
            return
        await self._store.set_aside(await self._draft(statement))
        self._aside.append(statement.passage.key)
        self._health.gauge("clerk.waiting_on_disk", len(self._aside))

    async def _take_in(self) -> None:
        """Seal the oldest statement that waits on the disk."""
        record, key = await self._store.take_next_aside(), self._aside.popleft()
        self._health.gauge("clerk.waiting_on_disk", len(self._aside))
        if record is not None:
            self._told(record, key)

    def _told(self, record: Record, key: PassageKey | None) -> None:
        if key is not None:
            self._sealed.append((key, record))
        self._on_sealed(record)

    def _correction(self, doubt: PlateDoubt) -> Draft | None:
        """That a sealed plate is in doubt; None if its vehicle was sealed too long ago."""
        record = next((r for key, r in self._sealed if key == doubt.passage), None)
        self._health.count("clerk.plates_doubted" if record else "clerk.doubts_too_late")
        return plate_correction_draft(doubt, record) if record else None

    async def seal(self, vehicle: Vehicle) -> Record:
        """Judge one vehicle and commit it with its blobs.

        Raises
        ------
        StoreError
            The disk or the database refused; nothing half done is left.
        """
        return await self._store.append(await self._draft(vehicle))

    async def _draft(self, vehicle: Vehicle) -> Draft:
        """The statement of one vehicle; its blobs are on the disk."""
        verdict = judge(
            vehicle, self._pack, penalty_by_record=self._config.model.rules.penalty_by_record
        )
        is_case = verdict.kind is not VerdictKind.WITHIN
        has_room = is_case or self._store.has_room
        blobs = await self._keep_blobs(vehicle, deliver=is_case) if has_room else ()
        draft = vehicle_draft(
            vehicle,
            verdict,
            gains=self._gains(vehicle.passage.device),
            dynamics=self._dynamics[vehicle.passage.lane].name,
            channels=self._channels(vehicle.passage.device),
            config_sha256=self._config.sha256,
            software=self._software,
            blobs=blobs,
        )
        if not has_room:
            self._health.count("clerk.blobs_dropped")
            draft = replace(draft, body=draft.body | {"blobs_dropped": ["signal", "picture"]})
        return draft

    async def _keep_blobs(self, vehicle: Vehicle, *, deliver: bool) -> tuple[Blob, ...]:
        signals = await self._keep_signal(vehicle, deliver=deliver)
        return (*signals, *await self._keep_pictures(vehicle, deliver=deliver))

    async def _keep_signal(self, vehicle: Vehicle, *, deliver: bool) -> list[Blob]:
        clip = vehicle.passage.clip
        files = await asyncio.to_thread(encode_clip, clip, self._channels(clip.device))
        return [
            await self._store.put_blob(data, "signal", "audio/flac", deliver=deliver)
            for data in files
        ]

    async def _keep_pictures(self, vehicle: Vehicle, *, deliver: bool) -> list[Blob]:
        blobs = []
        for file in (file for read in vehicle.join.candidates for file in _files(read)):
            data = await asyncio.to_thread(self._picture_bytes, file)
            if data is not None:
                blob = await self._store.put_blob(data, "picture", file.media_type, deliver=deliver)
                blobs.append(blob)
        return blobs

    def _picture_bytes(self, picture: Picture) -> bytes | None:
        """A file as it lay on arrival; one that changed or went away since is not evidence."""
        try:
            data = Path(picture.path).read_bytes()
        except OSError:
            self._health.count("clerk.pictures_gone")
            return None
        if hashlib.sha256(data).hexdigest() != picture.sha256:
            self._health.count("clerk.pictures_changed")
            return None
        return data

    def _channels(self, device: str) -> list[str]:
        return next(list(d.channels) for d in self._config.model.digitiser if d.id == device)


def _files(read: PlateRead) -> tuple[Picture, ...]:
    """The picture of a reading, and what else came with it."""
    return (read.picture, *read.files) if read.picture else read.files
