"""Recordings as the station would have read them live: the same items in order of time."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from edge.config import StationFile
from edge.errors import InputError, why_zh
from edge.records import ClockReading, InputEdge, Int32s, PlateRead, SampleBlock
from edge.sources.plate_read import CameraClock, plate_read
from edge.sources.ports import DeviceHello, SourceItem
from firmware_bridge.recording import Recording, RecordingError, find_recordings

BLOCK_S = 0.02
"""Length of a block, as a digitiser sends them."""

_UNSURE_NS = 50_000_000
_UNSURE_PPM = 100.0
"""Doubt of a recording's time: where it was begun, and an oscillator that nobody compared."""

ReplayItem: TypeAlias = SourceItem | PlateRead


class _Timed(NamedTuple):
    time_ns: int
    item: ReplayItem
    recording: Recording


class Replay:
    """One or more recordings of a station.

    Parameters
    ----------
    recordings : list of Recording
    model : StationFile
        Its digitisers must have the recordings' channels; its cameras name the plates' cameras.
    """

    def __init__(self, recordings: list[Recording], model: StationFile) -> None:
        self._parts: defaultdict[str, list[Recording]] = defaultdict(list)
        for recording in sorted(recordings, key=lambda r: (r.start_utc_ns, str(r.directory))):
            _check(recording, model)
            self._parts[recording.device].append(recording)
        self._camera_of = {lane: (c.id, c.country) for c in model.camera for lane in c.lanes}
        self._clocks = {device: _clock_of(parts[0]) for device, parts in self._parts.items()}

    @classmethod
    def open(cls, path: Path, model: StationFile) -> Replay:
        """The recording at ``path``, or all directly below it.

        Raises
        ------
        InputError
            There is none, it can't be read, or it does not fit the station file.
        """
        try:
            return cls([Recording.open(found) for found in find_recordings(path)], model)
        except RecordingError as error:
            raise unreadable(error) from error

    def clock(self, device: str) -> ClockReading:
        """How a digitiser's counter maps to UTC in the part that is being played."""
        return self._clocks[device]

    @property
    def parts(self) -> list[Recording]:
        """All recordings, by digitiser and begin."""
        return [part for parts in self._parts.values() for part in parts]

    @property
    def seconds(self) -> float:
        """Length of the longest part."""
        return max(part.n_samples / part.rate_hz for part in self.parts)

    def items(
        self, progress: Callable[[float], None] = lambda _: None, *, signal: bool = True
    ) -> Iterator[ReplayItem]:
        """All items by the time at which they would have come in; twice the same in the same order.

        Without ``signal`` the blocks hold zeros and no file of samples is read.

        Raises
        ------
        InputError
            A signal ends early or its checksum is wrong.
        """
        streams = [_signal(parts, read=signal) for parts in self._parts.values()]
        total = sum(part.n_samples for part in self.parts)
        done = 0
        try:
            for _, item, recording in heapq.merge(*streams, self._plates(), key=itemgetter(0)):
                if isinstance(item, DeviceHello):
                    self._clocks[item.device] = _clock_of(recording)
                yield item
                if isinstance(item, SampleBlock):
                    done += len(item.counts)
                    progress(done / total)
        except RecordingError as error:
            raise unreadable(error) from error

    def _plates(self) -> Iterator[_Timed]:
        """Readings in the order in which they came in, set right by one clock a camera."""
        clocks: defaultdict[str, CameraClock] = defaultdict(CameraClock)
        seen = [
            (received_ns, frame, part)
            for parts in self._parts.values()
            for part in parts
            for frame, received_ns in part.plates
        ]
        for received_ns, frame, part in sorted(seen, key=itemgetter(0)):
            camera, country = self._camera_of.get(frame.lane, ("", "cn"))
            time_ns = clocks[camera].station_ns(frame.camera_time_ns, received_ns)
            if time_ns is not None:
                read = plate_read(frame, camera, received_ns, time_ns, country)
                yield _Timed(received_ns, read, part)


def hello_of(part: Recording) -> DeviceHello:
    """How the digitiser of a recording introduces itself."""
    return DeviceHello(
        part.device,
        "",
        "recording",
        "",
        part.rate_hz,
        part.newton_per_count,
        len(part.channels),
    )


def block_samples(part: Recording) -> int:
    """Samples in a full block of a recording."""
    return max(1, round(BLOCK_S * part.rate_hz))


def _signal(parts: list[Recording], *, read: bool) -> Iterator[_Timed]:
    """Hello, edges and blocks of one digitiser; a later part begins to count anew."""
    for number, part in enumerate(parts):
        yield _Timed(part.start_utc_ns, hello_of(part), part)
        edges = sorted(part.edges, reverse=True)
        restarted = number > 0
        for first_sample, counts, lost in (
            part.blocks(block_samples(part)) if read else _empty(part)
        ):
            block = SampleBlock(part.device, first_sample, counts, part.rate_hz, lost, restarted)
            end_ns = part.utc_ns(block.end_sample)
            while edges and edges[-1][0] < block.end_sample:
                yield _Timed(end_ns, InputEdge(part.device, *edges.pop()), part)
            yield _Timed(end_ns, block, part)
            restarted = False


def _empty(part: Recording) -> Iterator[tuple[int, Int32s, int]]:
    nothing = np.zeros((1, 1), np.int32)
    for first_sample, rows, lost in part.pieces(block_samples(part)):
        yield first_sample, np.broadcast_to(nothing, (rows, len(part.channels))), lost


def _clock_of(part: Recording) -> ClockReading:
    ns_per_sample = 1e9 / part.rate_hz
    rows = part.n_samples + sum(lost for _, lost in part.gaps)
    bound_ns = _UNSURE_NS + round(rows * ns_per_sample * _UNSURE_PPM * 1e-6)
    return ClockReading(
        ref_sample=part.first_sample,
        ref_utc_ns=part.start_utc_ns,
        ns_per_sample=ns_per_sample,
        bound_ns=bound_ns,
        rate_error_ppm=0.0,
        settled=True,
    )


def _check(recording: Recording, model: StationFile) -> None:
    channels = {d.id: tuple(d.channels) for d in model.digitiser}.get(recording.device)
    if channels == recording.channels:
        return
    raise InputError(
        f"录像 {recording.directory} 与站点文件不符：数字化仪 {recording.device}，"
        f"通道 {', '.join(recording.channels)}",
        f"the recording {recording.directory} does not fit the station file: digitiser "
        f"{recording.device} with channels {', '.join(recording.channels)}",
        next_zh="用录制时的站点文件（--station）",
        next_en="give the station file with which it was recorded (--station)",
    )


def unreadable(error: RecordingError) -> InputError:
    """What to tell of a recording that can't be read."""
    return InputError(
        f"录像读不了{why_zh(error)}",
        f"the recording cannot be read: {error}",
        next_zh="核对路径；若文件被截断，请重新复制",
        next_en="check the path; if a file was cut off, copy it again",
    )
