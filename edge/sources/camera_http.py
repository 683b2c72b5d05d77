"""Plate cameras that post what they read: each has a path of its own at a door of the station."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

from edge.config import CameraSection
from edge.errors import ConfigError, Text
from edge.health import Health, Level
from edge.records import PlateRead
from edge.sources.camera_intake import CameraIntake
from edge.sources.camera_report import CameraReport
from edge.sources.http_access import DigestAccess, TokenAccess, read_secret
from edge.sources.http_door import HttpDoor, Room
from edge.sources.http_line import Answer, Request
from edge.sources.second_opinion import SecondOpinion
from firmware_bridge.cameras.decoder import CameraDecoder
from firmware_bridge.cameras.dialect import BadDialect, Dialect, load_dialect

IN_HAND = 32
"""Readings that are being laid down; a camera that sends more is asked to come again."""


def dialect_of(section: CameraSection) -> Dialect:
    """The dialect that a station file names.

    Raises
    ------
    ConfigError
        There is none, or its file is wrong.
    """
    try:
        return load_dialect(section.format)
    except BadDialect as error:
        raise ConfigError(
            f"车牌相机 {section.id}：format 不正确（{section.format}）",
            f"plate camera {section.id}: format is wrong: {error}",
            next_zh="按 docs/instruments.md 改正站点文件，然后运行 steelyard check",
            next_en="mend the station file by docs/instruments.md, then run steelyard check",
        ) from error


def check_camera(section: CameraSection) -> None:
    """See that a camera's own files can be used.

    Raises
    ------
    ConfigError
        The dialect or a secret can't.
    """
    if section.listens or section.pulls:
        dialect_of(section)
        for file in filter(None, (section.token_file, section.password_file)):
            read_secret(file, _name(section))


class HttpDoors:
    """Doors by address, shared by the cameras that post to the same one."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._doors: dict[tuple[str, int], HttpDoor] = {}
        self._opening = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def room(self, host: str, port: int, path: str, room: Room) -> AsyncIterator[str]:
        """Open a path for as long as the context lasts; gives the address to set in the camera.

        Raises
        ------
        LinkDown, ConfigError
            As `HttpDoor.open`.
        """
        door = await self._open(host, port)
        door.rooms[path] = room
        try:
            yield f"http://{host}:{door.port}{path}"
        finally:
            del door.rooms[path]
            if not door.rooms:
                self._doors.pop((host, port), None)
                await door.close()

    async def _open(self, host: str, port: int) -> HttpDoor:
        async with self._opening:
            door = self._doors.get((host, port))
            if door is None:
                door = HttpDoor(host, port, lambda name: self._health.count(f"cameras.{name}"))
                await door.open()
                self._doors[host, port] = door
            return door


class HttpCameraSource:
    """One plate camera of the station file that posts to the station.

    Parameters
    ----------
    section : CameraSection
        Its part of the station file, with the paths of its files resolved.
    picture_dir : Path
        Where its pictures and messages are laid down.
    health, now_ns, ahead_ns
        As `edge.sources.camera.CameraSource`.
    doors : HttpDoors
        Shared by all cameras.
    opinion : SecondOpinion or None
        Another reader of plates, where there is one.

    Raises
    ------
    ConfigError
        The dialect or the secret can't be used.
    """

    def __init__(
        self,
        section: CameraSection,
        picture_dir: Path,
        health: Health,
        now_ns: Callable[[], int],
        doors: HttpDoors,
        ahead_ns: Callable[[], int] = lambda: 0,
        opinion: SecondOpinion | None = None,
    ) -> None:
        self._section = section
        self._now_ns = now_ns
        self._doors = doors
        self._dialect = dialect_of(section)
        self._access = _access(section)
        self._report = CameraReport(section.id, section.lanes, health, ahead_ns)
        self._intake = CameraIntake(section, picture_dir, self._report, ahead_ns, opinion)
        self._offset_s = round(section.utc_offset_h * 3600)
        self._heard = False

    async def run(self, deliver: Callable[[PlateRead], None]) -> None:
        """Deliver readings until cancelled.

        Raises
        ------
        LinkDown, ConfigError
            The address can't be listened at.
        """
        parts = urlsplit(self._section.url)
        path = f"/camera/{self._section.id}"

        async def handle(request: Request) -> Answer:
            return await self._handle(request, deliver)

        room = Room(self._gate, handle, self._report.count)
        async with self._doors.room(parts.hostname or "", parts.port or 0, path, room) as url:
            self._report.state(
                Level.WAITING,
                Text(f"等待相机推送到 {url}", f"waits for the camera to post to {url}"),
            )
            try:
                await asyncio.Event().wait()
            finally:
                await self._intake.end()

    def _gate(self, request: Request) -> Answer | None:
        refusal = self._access.refusal(request)
        if refusal is not None:
            return refusal
        takes = self._decoder().takes(request.headers.get("content-type", ""))
        return None if takes else Answer(415)

    def _decoder(self) -> CameraDecoder:
        return CameraDecoder(self._dialect, self._offset_s)

    async def _handle(self, request: Request, deliver: Callable[[PlateRead], None]) -> Answer:
        received_ns = self._now_ns()
        if self._intake.in_hand >= IN_HAND:
            self._report.count("too_busy")
            return Answer(503, headers=(("Retry-After", "1"),))
        decoder = self._decoder()
        content_type = request.headers["content-type"]
        events = await asyncio.to_thread(decoder.message, content_type, request.body)
        self._heard = self._heard or not decoder.counters["malformed"]
        self._report.tell(decoder.counters, heard=self._heard)
        for event in events:
            self._intake.begin(event, received_ns, deliver)
        return Answer(200, self._dialect.answer.encode(), media_type="application/json")


def _name(section: CameraSection) -> str:
    return f"车牌相机 / plate camera {section.id}"


def _access(section: CameraSection) -> TokenAccess | DigestAccess:
    if section.token_file is not None:
        return TokenAccess(read_secret(section.token_file, _name(section)))
    assert section.user is not None
    assert section.password_file is not None
    password = read_secret(section.password_file, _name(section))
    return DigestAccess(section.user, password, time.monotonic_ns)
