"""The world on real ports in real time: digitisers, plate cameras, the cabinet, scales.

The bench speaks the same bytes as hardware, through ``firmware_bridge``. The world begins when the
host has started every digitiser, so that no lorry passes before somebody can see it.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from edge.config import CameraSection, load_station
from edge.errors import LinkDown, why_zh
from firmware_bridge.anpr import encode_plate
from firmware_bridge.recording import Truth
from simulator.cabinet import cabinet_values, modbus_lines
from simulator.camera import PlateEvent, draw_picture, write_picture
from simulator.firmware import BLOCK_S, DigitiserDevice
from simulator.lines import Line, PtyLine, TcpLine
from simulator.posting_camera import PostingCamera
from simulator.scales import ScaleDevice
from simulator.scenario import load_scenario
from simulator.world import World

READY = "模拟设备已就绪 / the simulated devices are ready"

_TICK_S = 0.012
_LONE_START_S = 3.0
"""The world begins this long after the first START, even if other digitisers stay unheard."""
_AFTER_LAST_S = 3.0


def _keep_quiet(truth: Truth) -> None:
    """Where nobody asked for the truth."""


class CameraDevice:
    """A plate camera on its serial line, with the directory where it lays down its pictures."""

    def __init__(self, section: CameraSection, world: World, line: Line) -> None:
        self._id, self._world, self._line = section.id, world, line
        wanted = section.picture_dir if world.scenario.plate.pictures else None
        self._directory = world.station.resolve(wanted) if wanted else None
        self._sequence = 0
        self._sent_s = 0.0

    def tick(self, time_s: float) -> None:
        """Send the readings that are due."""
        self._line.read()
        for event in self._world.plate_events(self._sent_s, time_s, self._id):
            self._sequence += 1
            picture = self._lay_down(event)
            frame = self._world.plate_frame(event, self._sequence, picture)
            self._line.send(encode_plate(frame))
        self._sent_s = time_s

    def _lay_down(self, event: PlateEvent) -> str:
        if self._directory is None:
            return ""
        taken_ns = self._world.utc_ns(event.taken_s)
        name = f"{self._id}-{taken_ns}-{event.lane}.jpg"
        write_picture(self._directory, name, draw_picture(event, taken_ns))
        return name


class DeviceBench:
    """All devices of a world in real time.

    Parameters
    ----------
    world : World
        Its ``start_utc_ns`` is set when it begins.
    urls : mapping, optional
        Lines by the device's name in place of those of the station file: ``pty`` or
        ``socket://127.0.0.1:port`` (0 for any).
    mono_s, utc_ns : callable
        The clocks.
    on_left : callable
        Gets the truth of each vehicle as it leaves its array.
    until_s : float
        World time at which the devices fall silent.
    block_s : float
        Length of the blocks that digitisers send.
    """

    def __init__(
        self,
        world: World,
        *,
        urls: Mapping[str, str] | None = None,
        mono_s: Callable[[], float] = time.monotonic,
        utc_ns: Callable[[], int] = time.time_ns,
        on_left: Callable[[Truth], None] = _keep_quiet,
        until_s: float = math.inf,
        block_s: float = BLOCK_S,
    ) -> None:
        self._world, self._wanted = world, urls or {}
        self._mono_s, self._utc_ns, self._on_left = mono_s, utc_ns, on_left
        self._until_s, self._block_s = until_s, block_s
        self._first_start_s: float | None = None
        self._begin_s: float | None = None
        self._told_s = 0.0
        self._lines: list[Line] = []
        self.urls: dict[str, str] = {}

    @property
    def time_s(self) -> float:
        """World time: 0 until the host has started the digitisers."""
        return 0.0 if self._begin_s is None else self._mono_s() - self._begin_s

    async def wait(self, stop: asyncio.Event) -> None:
        """Wait for ``stop``, for the end, or for a defect, which leaving the context raises."""
        halt = asyncio.create_task(stop.wait(), name="device-bench-stop")
        await asyncio.wait({self._task, halt}, return_when=asyncio.FIRST_COMPLETED)
        halt.cancel()

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        try:
            await self._open()
        except OSError as error:
            await self._close()
            raise LinkDown(
                f"模拟设备打不开线路{why_zh(error)}",
                f"a simulated device cannot open its line: {error}",
                next_zh="换一个端口，或停止占用它的程序",
                next_en="take another port, or stop the program that holds it",
            ) from error
        self._task = asyncio.create_task(self._run(), name="device-bench")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        await self._close()
        if not self._task.cancelled():
            self._task.result()

    async def _open(self) -> None:
        station = self._world.station.model
        self._digitisers = [
            DigitiserDevice(
                section, self._world, self._line(section.id, section.url), self._block_s
            )
            for section in station.digitiser
        ]
        self._cameras = [self._camera(section) for section in station.camera]
        self._scales = [
            ScaleDevice(section, self._line(section.id, section.url))
            for section in station.scale
            if not section.over_modbus
        ]
        for names, line in modbus_lines(self._world.station, self._wanted, self._cabinet_values):
            await self._stack.enter_async_context(line)
            self.urls.update(dict.fromkeys(names, line.url))

    async def _close(self) -> None:
        for line in self._lines:
            line.unplug()
        await self._stack.aclose()

    def _line(self, name: str, station_url: str) -> Line:
        """A line of the kind that the station file, or the given mapping, asks for."""
        url = self._wanted.get(name, station_url)
        line: Line
        if url.startswith("socket://"):
            line = TcpLine(urlsplit(url).port or 0)
        elif url == "pty" or url.startswith("/dev/"):
            line = PtyLine()
        else:
            path = Path(url)
            line = PtyLine(path if path.is_absolute() else self._world.station.path.parent / path)
        self._lines.append(line)
        self.urls[name] = line.url
        return line

    def _camera(self, section: CameraSection) -> CameraDevice | PostingCamera:
        if not section.listens:
            return CameraDevice(section, self._world, self._line(section.id, section.url))
        camera = PostingCamera(section, self._world)
        self._stack.push_async_callback(camera.close)
        self.urls[section.id] = camera.url
        return camera

    def _cabinet_values(self) -> dict[str, float]:
        return cabinet_values(self.time_s, self._world.temperature_c(self.time_s))

    async def _run(self) -> None:
        while self.time_s < self._until_s:
            self._begin_if_heard()
            time_s, clock_s = self.time_s, self._mono_s()
            for digitiser in self._digitisers:
                digitiser.tick(time_s, clock_s)
            for camera in self._cameras:
                camera.tick(time_s)
            for truth in self._world.truth(self._told_s, time_s):
                self._on_left(truth)
                for scale in self._scales:
                    scale.stand(truth, clock_s)
            for scale in self._scales:
                scale.tick(clock_s)
            self._told_s = time_s
            await asyncio.sleep(_TICK_S)

    def _begin_if_heard(self) -> None:
        started = [digitiser.started for digitiser in self._digitisers]
        if self._begin_s is not None or not any(started):
            return
        now_s = self._mono_s()
        self._first_start_s = self._first_start_s or now_s
        if all(started) or now_s - self._first_start_s > _LONE_START_S:
            self._begin_s, self._world.start_utc_ns = now_s, self._utc_ns()


async def run_devices(
    station_path: Path,
    scenario_path: Path,
    *,
    stop: asyncio.Event,
    announce: Callable[[str], None],
    seconds: float | None = None,
    seed: int | None = None,
    truth: Path | None = None,
) -> None:
    """Play the devices of a station file until ``stop``, or until ``seconds`` of traffic are over.

    ``announce`` gets a line for each device with its address, then ``READY``. What really passed
    goes to ``truth`` as JSON lines, each as its vehicle leaves.

    Raises
    ------
    ConfigError, InputError
        The station file or the scenario can't be used.
    """
    world = World(
        load_station(station_path), load_scenario(scenario_path), seed, until_s=seconds or math.inf
    )
    end_s = math.inf if seconds is None else world.last_leave_s() + _AFTER_LAST_S
    with ExitStack() as stack:
        tell = stack.enter_context(TruthFile(truth)).append if truth else _keep_quiet
        async with DeviceBench(world, on_left=tell, until_s=end_s) as bench:
            for name, url in bench.urls.items():
                announce(f"{name}: {url}")
            announce(READY)
            await bench.wait(stop)


class TruthFile:
    """The truth as JSON lines, each on the disk as soon as its vehicle has left."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", buffering=1)

    def append(self, row: Truth) -> None:
        """Write one vehicle."""
        self._file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def read_truth(path: Path) -> list[Truth]:
    """What a ``TruthFile`` holds; a last line that is still being written is left out."""
    rows = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    return [
        Truth(**row | {name: tuple(row[name]) for name in ("axle_kg", "spacing_m")}) for row in rows
    ]
