"""Record what the devices of a station say; nothing is weighed, judged or sealed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from edge.config import StationConfig
from edge.errors import LinkDown, Text
from edge.health import Health
from edge.sources.camera import CameraSource
from edge.sources.digitiser import DigitiserSource
from edge.sources.ports import SourceItem
from edge.sources.recorder import Recorder
from edge.supervise import OutageLog, supervise


async def record_devices(
    config: StationConfig, directory: Path, stop: asyncio.Event, *, seconds: float | None
) -> list[Text]:
    """Record all digitisers and cameras until ``stop`` is set or the time is over.

    Returns
    -------
    list of Text
        A sentence for each digitiser of which nothing was recorded.

    Raises
    ------
    LinkDown
        Nothing was recorded of any.
    """
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
    missing = [
        _nothing_of(section.id, health)
        for section in config.model.digitiser
        if section.id not in recorder.recorded
    ]
    if not recorder.recorded:
        raise LinkDown(
            f"什么都没有录到：{'；'.join(text.zh for text in missing)}",
            f"nothing was recorded: {'; '.join(text.en for text in missing)}",
            next_zh="用 steelyard doctor 检查线路后重录",
            next_en="look at the lines with steelyard doctor, then record again",
        )
    return missing


def _nothing_of(name: str, health: Health) -> Text:
    """That a digitiser gave no samples, and how it was doing at the end."""
    last = health.snapshot().states.get(f"digitiser.{name}")
    zh, en = last.text if last else ("", "")
    return Text(f"{name} 没有采样数据（{zh}）", f"no samples of {name} ({en})")


async def _record(source: DigitiserSource, recorder: Recorder) -> None:
    def deliver(item: SourceItem) -> None:
        recorder.take(item, source.clock())

    await source.run(deliver)
