"""From an event of a network camera to a reading of the station."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge.config import CameraSection
from edge.records import Picture, PlateRead
from edge.sources.camera_report import CameraReport
from edge.sources.pictures import MESSAGE_SUFFIX, WAIT_S, lay_down
from edge.sources.plate_read import plate_read
from edge.sources.second_opinion import SecondOpinion
from firmware_bridge.anpr import PlateFrame
from firmware_bridge.cameras.event import CameraEvent, CameraPicture
from firmware_bridge.standstill import slices_s

log = logging.getLogger("steelyard")

COARSE_NS = 100_000_000
"""A camera that states its time in larger steps is timed by arrival."""

END_S = 1.0
REMEMBERED = 64
"""Events that are known again when a camera repeats them."""

_ORDER = {"scene": 0, "plate": 1, "other": 2}


class CameraIntake:
    """Lane, time, repetitions and files of one camera's events.

    Parameters
    ----------
    section : CameraSection
    directory : Path
        Where its pictures and messages are laid down, under names of ours.
    report : CameraReport
    ahead_ns : callable
        How far UTC is ahead of the station's time.
    opinion : SecondOpinion or None
        Another reader of plates, where there is one.
    """

    def __init__(
        self,
        section: CameraSection,
        directory: Path,
        report: CameraReport,
        ahead_ns: Callable[[], int],
        opinion: SecondOpinion | None = None,
    ) -> None:
        self._section = section
        self._directory = directory
        self._report = report
        self._ahead_ns = ahead_ns
        self._opinion = opinion
        self._seen: deque[tuple[str, str, str]] = deque(maxlen=REMEMBERED)
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun_ns = 0

    @property
    def in_hand(self) -> int:
        """Events that are being brought to their end."""
        return len(self._tasks)

    def begin(
        self, event: CameraEvent, received_ns: int, deliver: Callable[[PlateRead], None]
    ) -> None:
        """Bring an event to its end, and deliver its reading, beside what else goes on."""
        # Events of one message arrive at one moment, and files are named by it.
        self._begun_ns = max(received_ns, self._begun_ns + 1)
        finishing = self._finish(event, self._begun_ns, deliver)
        task = asyncio.create_task(finishing, name=f"{self._report.part}.event")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def end(self) -> None:
        """Finish what is in hand, and let go of what takes long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_S)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (defect := task.exception()) is not None:
            self._report.count("defects")
            log.error("%s: defect in the program", self._report.part, exc_info=defect)

    async def _finish(
        self, event: CameraEvent, received_ns: int, deliver: Callable[[PlateRead], None]
    ) -> None:
        """Of two events that are one, the fuller follows and is waited for."""
        if event.more_to_come:
            for slice_s in slices_s(WAIT_S):
                await asyncio.sleep(slice_s)
        read = self.take(event, received_ns)
        if read is None:
            return
        deliver(await self._with_files(read, event))

    def take(self, event: CameraEvent, received_ns: int) -> PlateRead | None:
        """The reading of an event, without its files; None, and counted, if it can't be used.

        What a camera sends late, out of its memory, has no vehicle any more that it could be
        joined to.
        """
        lane = self._lane(event.lane)
        named = event.event_id or str(event.camera_time_ns or "")
        key = (named, event.plate, lane)
        if named and key in self._seen:
            self._report.count("repeated")
            return None
        if event.resent:
            self._report.count("resent")
            return None
        if not self._report.knows(lane):
            return None
        self._seen.append(key)
        return self._timed(event, lane, received_ns)

    def _timed(self, event: CameraEvent, lane: str, received_ns: int) -> PlateRead | None:
        arrival_ns = received_ns + self._ahead_ns()
        said_ns = arrival_ns if event.camera_time_ns is None else event.camera_time_ns
        time_ns = self._report.time_ns(said_ns, received_ns)
        self._report.watch_clock()
        if time_ns is None:
            return None
        if event.camera_time_ns is None or event.time_step_ns > COARSE_NS:
            time_ns, said_ns = received_ns, arrival_ns
        frame = PlateFrame(
            0, lane, event.plate, event.colour, event.confidence, event.direction, said_ns, ""
        )
        read = plate_read(frame, self._section.id, received_ns, time_ns, self._section.country)
        self._report.count("reads" if read.text else "unread")
        return read

    def _lane(self, said: str) -> str:
        """The station's name of a lane; a camera of one lane need not name it."""
        section = self._section
        if section.lane_names:
            return section.lane_names.get(said, said)
        return section.lanes[0] if len(section.lanes) == 1 else said

    async def _with_files(self, read: PlateRead, event: CameraEvent) -> PlateRead:
        """The reading with its pictures and message on the disk; without what it refuses."""
        stem = f"{self._section.id}-{read.received_ns}"
        pictures = sorted(event.pictures, key=lambda p: _ORDER[p.role])
        try:
            kept = await asyncio.to_thread(self._lay_down, stem, pictures, event)
        except OSError:
            self._report.count("pictures_refused_by_disk")
            return read
        self._report.count("pictures", len(pictures))
        read = replace(read, picture=kept[0] if pictures else None, files=kept[len(pictures[:1]) :])
        close_up = next(
            (k for k, p in zip(kept, pictures, strict=False) if p.role == "plate"), None
        )
        if self._opinion is None or close_up is None:
            return read
        return await self._opinion.on(read, close_up.path, self._report.count)

    def _lay_down(
        self, stem: str, pictures: list[CameraPicture], event: CameraEvent
    ) -> tuple[Picture, ...]:
        kept = [
            lay_down(self._directory, f"{stem}-{number}.jpg", picture.data, "image/jpeg")
            for number, picture in enumerate(pictures)
        ]
        if event.document:
            name = f"{stem}{MESSAGE_SUFFIX}"
            kept.append(lay_down(self._directory, name, event.document, event.media_type))
        return tuple(kept)
