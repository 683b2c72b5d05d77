"""A plate camera on a line: plates on the station's clock, with their pictures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edge.config import CameraSection
from edge.errors import Text
from edge.health import Health, Level
from edge.records import PlateRead
from edge.sources.camera_intake import CameraIntake
from edge.sources.camera_report import CameraReport
from edge.sources.pictures import WAIT_S, PictureFolder
from edge.sources.plate_read import plate_read
from edge.sources.ports import bad_line, link_down
from firmware_bridge.anpr import PlateDecoder, PlateFrame
from firmware_bridge.cameras.event import CameraEvent
from firmware_bridge.cameras.tcp_text import TcpTextDecoder
from firmware_bridge.transports import BadLine, PortLost, PortReader, Tap, no_tap

_SEQUENCE_RANGE = 1 << 32
_LOST_MOST = 1000
"""A larger jump of the sequence is a camera that started anew, not a loss."""


class _Pending(NamedTuple):
    """A reading that waits for its picture until ``deadline_s`` of the loop's clock."""

    read: PlateRead
    reference: str
    deadline_s: float


class CameraSource:
    """One plate camera of the station file.

    Parameters
    ----------
    section : CameraSection
        Its part of the station file.
    picture_dir : Path
        Where its pictures arrive.
    health : Health
        Gets the state ``camera.<id>`` and counters and gauges under that name.
    now_ns : callable
        The station's time in nanoseconds; stamps what arrives.
    ahead_ns : callable
        How far UTC is ahead of that time: the camera's own clock is compared with UTC.
    tap : callable
        Sees all that the line carries.
    """

    def __init__(
        self,
        section: CameraSection,
        picture_dir: Path,
        health: Health,
        now_ns: Callable[[], int],
        ahead_ns: Callable[[], int] = lambda: 0,
        tap: Tap = no_tap,
    ) -> None:
        self._section = section
        self._now_ns = now_ns
        self._tap = tap
        self._name = Text(f"车牌相机 {section.id}", f"plate camera {section.id}")
        self._report = CameraReport(section.id, section.lanes, health, ahead_ns)
        self._intake = CameraIntake(section, picture_dir, self._report, ahead_ns)
        self._pictures = PictureFolder(picture_dir, self._report.count)
        self._last: PlateFrame | None = None
        self._heard = False

    async def run(self, deliver: Callable[[PlateRead], None]) -> None:
        """Deliver readings in the order of the line until cancelled.

        Raises
        ------
        LinkDown
            The port can't be had, or broke.
        ConfigError
            ``url`` of the station file is no line.
        """
        section = self._section
        self._report.state(Level.WAITING, Text("正在连接", "connecting"))
        try:
            async with PortReader(
                section.url,
                baud=section.baud,
                name=self._report.part,
                now_ns=self._now_ns,
                tap=self._tap,
            ) as port:
                self._report.state(Level.OK, Text("已连接", "connected"))
                await self._serve(port, deliver)
        except PortLost as error:
            raise link_down(self._name, error) from error
        except BadLine as error:
            raise bad_line(self._name, error) from error

    async def _serve(self, port: PortReader, deliver: Callable[[PlateRead], None]) -> None:
        """Hand readings on one after the other: each waits for its picture only until its own
        deadline, so none waits longer for those before it."""
        waiting: asyncio.Queue[_Pending | None] = asyncio.Queue()
        name = f"{self._report.part}.listen"
        listening = asyncio.create_task(self._listen(port, waiting), name=name)
        try:
            while (pending := await waiting.get()) is not None:
                deliver(await self._with_picture(pending))
            await listening
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _with_picture(self, pending: _Pending) -> PlateRead:
        if not pending.reference:
            return pending.read
        picture = await self._pictures.take(pending.reference, pending.deadline_s)
        return replace(pending.read, picture=picture)

    async def _listen(self, port: PortReader, waiting: asyncio.Queue[_Pending | None]) -> None:
        loop = asyncio.get_running_loop()
        decoder = self._decoder()
        counted: Counter[str] = Counter()
        overflows = 0
        try:
            while True:
                chunk = await port.read()
                for frame in decoder.feed(chunk.data):
                    read = self._accept(frame, chunk.received_ns)
                    if read is not None:
                        deadline_s = loop.time() + WAIT_S
                        reference = "" if isinstance(frame, CameraEvent) else frame.picture_ref
                        waiting.put_nowait(_Pending(read, reference, deadline_s))
                self._report.tell(decoder.counters - counted, heard=self._heard)
                self._report.count("overflows", port.overflows - overflows)
                counted, overflows = decoder.counters.copy(), port.overflows
        finally:
            waiting.put_nowait(None)

    def _decoder(self) -> PlateDecoder | TcpTextDecoder:
        if self._section.format == "tcp-text":
            return TcpTextDecoder(round(self._section.utc_offset_h * 3600))
        return PlateDecoder()

    def _accept(self, frame: PlateFrame | CameraEvent, received_ns: int) -> PlateRead | None:
        """The reading of a frame; None, and counted, where it can't be used."""
        if isinstance(frame, CameraEvent):
            self._heard = True
            return self._intake.take(frame, received_ns)
        if frame == self._last:
            self._report.count("repeated")
            return None
        self._count_lost(frame)
        if not self._report.knows(frame.lane):
            return None
        time_ns = self._report.time_ns(frame.camera_time_ns, received_ns)
        self._report.watch_clock()
        if time_ns is None:
            return None
        section = self._section
        read = plate_read(frame, section.id, received_ns, time_ns, section.country)
        self._report.count("reads" if read.text else "unread")
        return read

    def _count_lost(self, frame: PlateFrame) -> None:
        if self._last is not None:
            ahead = (frame.sequence - self._last.sequence) % _SEQUENCE_RANGE
            if 1 < ahead <= _LOST_MOST:
                self._report.count("lost", ahead - 1)
        self._last, self._heard = frame, True
