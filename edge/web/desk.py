"""Keeps the floor: sees sealed vehicles, seals what was done and what nobody did in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from edge.errors import SteelyardError
from edge.health import Level
from edge.inspection.floor import NO_SHOW_NS, Floor
from edge.records import Draft, Record
from edge.web.messages import Messages
from edge.web.status import bytes_per_hour
from edge.web.view import StationView

_MEASURED_OVER = 200
_RETRY_S = 5.0
_TRAFFIC_S = 60.0
_MESSAGES_S = 1.0


class Desk:
    """The operator's desk: the floor, and the traffic that the disk must hold."""

    def __init__(self, station: StationView) -> None:
        self.floor = Floor()
        self.messages = Messages(station)
        self.bytes_per_hour: float | None = None
        self.open = asyncio.Event()
        """Set once the floor was rebuilt, or could not be at the first try."""
        self._station = station
        # Two clicks on one button must not seal one guidance twice.
        self._sealing = asyncio.Lock()

    async def run(self) -> None:
        """Rebuild the floor from the store, then keep it until cancelled."""
        try:
            await self._keep()
        finally:
            self.open.set()

    async def _keep(self) -> None:
        with self._station.feed.subscribe() as news:
            await self._until_done(self._rebuild)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._every(1.0, self._seal_no_shows), name="desk no-shows")
                group.create_task(self._every(_TRAFFIC_S, self._measure), name="desk traffic")
                group.create_task(
                    self._every(_MESSAGES_S, self.messages.refresh), name="desk messages"
                )
                async for event, data in news:
                    if missed := news.missed():
                        self._station.health.count("web.news_missed", missed)
                        await self._until_done(self._rebuild)
                    elif event == "vehicle":
                        self.floor.see(data["record_id"], data, self._station.mono_ns())

    async def guided(self, index: int) -> Record:
        """Seal that the operator guided a vehicle.

        Raises
        ------
        InputError
            It does not wait.
        StoreError
            It could not be kept; nothing changed.
        """
        async with self._sealing:
            return await self._seal(self.floor.guided(index, *self._now()))

    async def _seal_no_shows(self) -> None:
        async with self._sealing:
            for draft in self.floor.no_shows(*self._now()):
                await self._seal(draft)

    async def _seal(self, draft: Draft) -> Record:
        record = await self._station.store.append(draft)
        self.floor.settle(record.body)
        self._station.feed.publish("case", record.body)
        return record

    async def _rebuild(self) -> None:
        """Who still waited when the station stopped passed within the last wait before that."""
        store = self._station.store
        newest = await store.latest(kind="vehicle", limit=1)
        if not newest:
            return
        since_us = newest[0].body["time_us"] - NO_SHOW_NS // 1_000
        mono_ns, utc_us = self._now()
        for record in await store.since("vehicle", since_us, but_verdict="within"):
            age_ns = max(0, utc_us - record.body["time_us"]) * 1_000
            self.floor.see(record.record_id, record.body, mono_ns - age_ns)
        for record in await store.since("case", since_us, but_verdict="within"):
            self.floor.settle(record.body)

    async def _measure(self) -> None:
        newest = await self._station.store.latest(kind="vehicle", limit=_MEASURED_OVER)
        self.bytes_per_hour = bytes_per_hour(newest, self._station.utc_ns() // 1_000)

    def _now(self) -> tuple[int, int]:
        return self._station.mono_ns(), self._station.utc_ns() // 1_000

    async def _every(self, period_s: float, job: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._until_done(job)
            await asyncio.sleep(period_s)

    async def _until_done(self, job: Callable[[], Awaitable[None]]) -> None:
        """Do a job; where the store refuses, say so on the page and try again."""
        while True:
            try:
                await job()
            except SteelyardError as error:
                self._station.health.state("floor", Level.DOWN, error.what.zh, error.what.en)
                self.open.set()
                await asyncio.sleep(_RETRY_S)
            else:
                self._station.health.state("floor", Level.OK, "正常", "works")
                self.open.set()
                return
