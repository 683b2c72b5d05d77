"""A plate camera as the station reads it: plates on the station's clock, with their pictures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edge.config import CameraSection
from edge.errors import NO_STEP, Text
from edge.health import Health, Level
from edge.records import PlateRead
from edge.sources.pictures import WAIT_S, PictureFolder
from edge.sources.plate_read import CLOCK_WARNING_NS, CameraClock, plate_read
from edge.sources.ports import bad_line, link_down
from firmware_bridge.anpr import PlateDecoder, PlateFrame
from firmware_bridge.transports import BadLine, PortLost, PortReader

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
    """

    def __init__(
        self,
        section: CameraSection,
        picture_dir: Path,
        health: Health,
        now_ns: Callable[[], int],
        ahead_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self._section = section
        self._health = health
        self._now_ns = now_ns
        self._ahead_ns = ahead_ns
        self._part = f"camera.{section.id}"
        self._name = Text(f"车牌相机 {section.id}", f"plate camera {section.id}")
        self._pictures = PictureFolder(picture_dir, self._count)
        self._clock = CameraClock()
        self._last: PlateFrame | None = None

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
        self._state(Level.WAITING, Text("正在连接", "connecting"))
        try:
            async with PortReader(
                section.url, baud=section.baud, name=self._part, now_ns=self._now_ns
            ) as port:
                self._state(Level.OK, Text("已连接", "connected"))
                await self._serve(port, deliver)
        except PortLost as error:
            raise link_down(self._name, error) from error
        except BadLine as error:
            raise bad_line(self._name, error) from error

    async def _serve(self, port: PortReader, deliver: Callable[[PlateRead], None]) -> None:
        """Hand readings on one after the other: each waits for its picture only until its own
        deadline, so none waits longer for those before it."""
        waiting: asyncio.Queue[_Pending | None] = asyncio.Queue()
        listening = asyncio.create_task(self._listen(port, waiting), name=f"{self._part}.listen")
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
        decoder = PlateDecoder()
        counted: Counter[str] = Counter()
        overflows = 0
        try:
            while True:
                chunk = await port.read()
                for frame in decoder.feed(chunk.data):
                    read = self._accept(frame, chunk.received_ns)
                    if read is not None:
                        deadline_s = loop.time() + WAIT_S
                        waiting.put_nowait(_Pending(read, frame.picture_ref, deadline_s))
                self._tell(decoder.counters - counted)
                self._count("overflows", port.overflows - overflows)
                counted, overflows = decoder.counters.copy(), port.overflows
        finally:
            waiting.put_nowait(None)

    def _accept(self, frame: PlateFrame, received_ns: int) -> PlateRead | None:
        """The reading of a frame; None, and counted, where it can't be used."""
        if frame == self._last:
            self._count("repeated")
            return None
        self._count_lost(frame)
        if frame.lane not in self._section.lanes:
            self._count("foreign_lane")
            self._state(
                Level.WARNING,
                Text(f"收到未知车道 {frame.lane}", f"names an unknown lane {frame.lane}"),
                Text("核对相机和站点文件的车道编号", "check the lanes of camera and station file"),
            )
            return None
        time_ns = self._clock.station_ns(frame.camera_time_ns, received_ns)
        self._watch_clock()
        if time_ns is None:
            self._count("untimed")
            return None
        read = plate_read(frame, self._section.id, received_ns, time_ns)
        self._count("reads" if read.text else "unread")
        return read

    def _count_lost(self, frame: PlateFrame) -> None:
        if self._last is not None:
            ahead = (frame.sequence - self._last.sequence) % _SEQUENCE_RANGE
            if 1 < ahead <= _LOST_MOST:
                self._count("lost", ahead - 1)
        self._last = frame

    def _watch_clock(self) -> None:
        offset_ns = self._clock.offset_ns + self._ahead_ns()
        self._health.gauge(f"{self._part}.clock_offset_ms", offset_ns / 1e6)
        if abs(offset_ns) <= CLOCK_WARNING_NS:
            self._state(Level.OK, Text("正在接收", "receiving"))
            return
        off_s = round(offset_ns / 1e9)
        self._state(
            Level.WARNING,
            Text(
                f"相机时钟偏差约 {-off_s:+d} 秒（已自动修正）",
                f"its clock is off by {-off_s:+d} s (allowed for)",
            ),
            Text("校准相机时钟（NTP 对时）", "set the camera's clock (NTP)"),
        )

    def _tell(self, fresh: Counter[str]) -> None:
        """Count what the decoder met; bytes without one good reading are worth a look."""
        for name, number in fresh.items():
            self._count(name, number)
        if self._last is None and (fresh["damaged"] or fresh["malformed"] or fresh["noise_bytes"]):
            self._state(
                Level.WARNING,
                Text("收到的数据无法识别", "what arrives cannot be read"),
                Text(
                    "核对 baud、接线和相机协议", "check baud, the wiring and the camera's protocol"
                ),
            )

    def _count(self, name: str, by: int = 1) -> None:
        self._health.count(f"{self._part}.{name}", by)

    def _state(self, level: Level, what: Text, next_step: Text = NO_STEP) -> None:
        self._health.state(self._part, level, what.zh, what.en, next_step=next_step)
