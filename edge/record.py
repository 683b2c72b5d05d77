"""Record what the devices of a station say; nothing is weighed, judged or sealed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from edge.config import StationConfig
from edge.health import Health
from edge.sources.camera import CameraSource
from edge.sources.digitiser import DigitiserSource
from edge.sources.ports import SourceItem
from edge.sources.recorder import Recorder
from edge.supervise import OutageLog, supervise


async def record_devices(
    config: StationConfig, directory: Path, stop: asyncio.Event, *, seconds: float | None
) -> None:
    """Record all digitisers and cameras until ``stop`` is set or the time is over."""
    health = Health(time.monotonic_ns, OutageLog())
    recorder = Recorder(directory, config.model)
    jobs: dict[str, Callable[[], Awaitable[None]]] = {}
    for section in config.model.digitiser:
        digitiser = DigitiserSource(section, health, time.time_ns)
        jobs[f"digitiser.{section.id}"] = partial(_record, digitiser, recorder)
    for watched in config.model.camera:
        camera = CameraSource(watched, config.picture_dir(watched), health, time.time_ns)
        jobs[f"camera.{watched.id}"] = partial(camera.run, recorder.plate)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(supervise(part, run, health)) for part, run in jobs.items()]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stop.wait()
            for task in tasks:
                task.cancel()
    finally:
        recorder.close()


async def _record(source: DigitiserSource, recorder: Recorder) -> None:
    def deliver(item: SourceItem) -> None:
        recorder.take(item, source.clock())

    await source.run(deliver)
