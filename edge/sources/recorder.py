"""Writes what the devices say into recordings while the station runs.

One directory a digitiser; a restart of its counter or an outage of its line begins the next one,
since the station too begins anew there. Plates go into the recording of their lane's digitiser.
"""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from edge.config import StationFile
from edge.errors import Text, why_zh
from edge.health import Health, Level
from edge.records import ClockReading, InputEdge, PlateRead, SampleBlock
from edge.sources.ports import DeviceHello, SourceItem
from firmware_bridge.anpr import PlateFrame
from firmware_bridge.recording import RecordingWriter

log = logging.getLogger("steelyard")


class Recorder:
    """Recordings of all digitisers of a station under one directory."""

    def __init__(self, directory: Path, model: StationFile) -> None:
        self._directory = directory
        self._channels = {d.id: d.channels for d in model.digitiser}
        self._digitiser_of = {lane.id: lane.digitiser for lane in model.lane}
        self._hellos: dict[str, DeviceHello] = {}
        self._writers: dict[str, RecordingWriter] = {}
        self._parts: dict[str, int] = {}
        self._edges: defaultdict[str, list[InputEdge]] = defaultdict(list)

    @property
    def recorded(self) -> set[str]:
        """The digitisers of which there are samples."""
        return set(self._parts)

    def take(self, item: SourceItem, clock: ClockReading) -> None:
        """One item of a digitiser, as the station got it."""
        if isinstance(item, DeviceHello):
            self._hellos[item.device] = item
        elif isinstance(item, SampleBlock):
            self._samples(item, clock)
        elif isinstance(item, InputEdge):
            self._edges[item.device].append(item)

    def plate(self, read: PlateRead) -> None:
        """One plate, as the camera sent it."""
        writer = self._writers.get(self._digitiser_of.get(read.lane, ""))
        if writer is None:
            return
        frame = PlateFrame(
            sequence=0,
            lane=read.lane,
            plate=read.raw_text,
            colour=read.colour,
            confidence=read.confidence,
            direction=read.direction,
            camera_time_ns=read.camera_time_ns,
            picture_ref=read.picture.reference if read.picture else "",
        )
        writer.plate(frame, read.received_ns)

    def interrupt(self, device: str) -> None:
        """The line ended; what comes next begins a part of its own, as the station weighs it."""
        self._edges.pop(device, None)
        if writer := self._writers.pop(device, None):
            writer.close()

    def close(self) -> None:
        """Finish all files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _samples(self, block: SampleBlock, clock: ClockReading) -> None:
        if block.restarted and block.device in self._writers:
            self._writers.pop(block.device).close()
        if block.device not in self._writers:
            if block.device not in self._hellos:
                return
            self._writers[block.device] = self._begin(block, clock)
        writer = self._writers[block.device]
        for edge in self._edges.pop(block.device, []):
            writer.edge(edge.sample, edge.input, edge.active)
        writer.samples(block.first_sample, block.counts)

    def _next_part(self, device: str) -> Path:
        """The first directory that holds no part yet, of this run or of one before it."""
        while True:
            part = self._parts[device] = self._parts.get(device, 0) + 1
            directory = self._directory / (device if part == 1 else f"{device}-{part}")
            if not directory.exists():
                return directory

    def _begin(self, block: SampleBlock, clock: ClockReading) -> RecordingWriter:
        hello = self._hellos[block.device]
        return RecordingWriter(
            self._next_part(block.device),
            device=block.device,
            rate_hz=hello.rate_hz,
            channels=self._channels[block.device],
            newton_per_count=hello.newton_per_count,
            start_utc_ns=clock.utc_ns(block.first_sample),
            first_sample=block.first_sample,
        )


class SideRecorder:
    """Recordings beside the weighing, if ``directory`` is given.

    Whatever fails ends the recording, and nothing else.
    """

    def __init__(self, directory: Path | None, model: StationFile, health: Health) -> None:
        self._recorder = Recorder(directory, model) if directory else None
        self._health = health

    def take(self, item: SourceItem, clock: Callable[[], ClockReading]) -> None:
        """As `Recorder.take`."""
        self._try(lambda recorder: recorder.take(item, clock()))

    def plate(self, read: PlateRead) -> None:
        """As `Recorder.plate`."""
        self._try(lambda recorder: recorder.plate(read))

    def interrupt(self, device: str) -> None:
        """As `Recorder.interrupt`."""
        self._try(lambda recorder: recorder.interrupt(device))

    def close(self) -> None:
        """As `Recorder.close`."""
        self._try(Recorder.close)

    def _try(self, step: Callable[[Recorder], None]) -> None:
        if (recorder := self._recorder) is None:
            return
        try:
            step(recorder)
        except Exception as error:  # most often a full disk
            log.exception("recording: ended")
            self._recorder = None
            self._health.state(
                "recording",
                Level.WARNING,
                f"录制已停止，称重照常{why_zh(error)}",
                f"the recording has ended, weighing goes on: {error}",
                next_step=Text("释放磁盘空间后重新启动", "free the disk, then start again"),
            )
            with contextlib.suppress(Exception):
                recorder.close()
