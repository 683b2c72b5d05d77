"""A simulated network camera that posts to the station, in the words of its maker."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import urlsplit

from edge.config import CameraSection
from simulator.camera import PlateEvent, draw_picture
from simulator.network_cameras import SPEAKERS, Message, Shown
from simulator.world import World

_TRIES_S = (0.0, 0.3, 1.0)


class PostingCamera:
    """One camera of the station file; it knows the token of that file, not digest."""

    def __init__(self, section: CameraSection, world: World) -> None:
        self._section, self._world = section, world
        parts = urlsplit(section.url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._token = _token(world, section.token_file)
        self._sent_s = 0.0
        self._number = 0
        self._posting: set[asyncio.Task[None]] = set()
        self._one_by_one = asyncio.Lock()

    @property
    def url(self) -> str:
        """Where it posts to."""
        return f"http://{self._host}:{self._port}/camera/{self._section.id}"

    def tick(self, time_s: float) -> None:
        """Post the readings that are due."""
        for event in self._world.plate_events(self._sent_s, time_s, self._section.id):
            self._number += 1
            task = asyncio.create_task(
                self._post(SPEAKERS[self._section.format](self._shown(event)))
            )
            self._posting.add(task)
            task.add_done_callback(self._posting.discard)
        self._sent_s = time_s

    async def close(self) -> None:
        """End what is being posted."""
        for task in self._posting:
            task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=True)

    def _shown(self, event: PlateEvent) -> Shown:
        taken_ns = self._world.utc_ns(event.taken_s)
        offset_ms = self._world.scenario.plate.clock_offset_ms
        pictures = (draw_picture(event, taken_ns),) if self._world.scenario.plate.pictures else ()
        return Shown(
            event.text,
            event.vehicle.colour if event.text else "unknown",
            round(event.confidence * 100),
            taken_ns // 1_000_000 + round(offset_ms),
            self._section.lanes.index(event.lane) + 1,
            self._number,
            pictures=pictures,
        )

    async def _post(self, message: Message) -> None:
        """Post until the station takes it, a few times at most, as cameras do."""
        async with self._one_by_one:
            for pause_s in _TRIES_S:
                await asyncio.sleep(pause_s)
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(5):
                        if await self._once(message):
                            return

    async def _once(self, message: Message) -> bool:
        content_type, body = message
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            head = (
                f"POST /camera/{self._section.id}?token={self._token} HTTP/1.1\r\n"
                f"Host: {self._host}:{self._port}\r\nContent-Type: {content_type}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
            return b" 200 " in await reader.readline()
        finally:
            writer.close()


def _token(world: World, file: Path | None) -> str:
    return world.station.resolve(file).read_text("utf-8").strip() if file else ""
