"""The C device on a pseudo-terminal at the pace of a full serial line, read as a station reads it.

A pseudo-terminal has no baud rate: the device sends as many bytes a second as 8N1 at that rate
would carry, and the figures say how many came.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.config import DigitiserSection
from edge.errors import LinkDown
from edge.health import Health
from edge.records import SampleBlock
from edge.sources.digitiser import DigitiserSource
from edge.sources.ports import SourceItem
from simulator.csrc import build, compiler, running_device

__all__ = ["run"]

SECONDS, QUICK_SECONDS = 600.0, 5.0
_HEARD_S = 10.0
_SEED = 11
_NEWTON_PER_COUNT = 0.0125


@dataclass(frozen=True, slots=True)
class _Pace:
    """What fills a line: blocks of 20 ms, HELLO and STATUS once a second."""

    name: str
    baud: int
    channels: int
    rate_hz: float


_PACES = (_Pace("921600", 921_600, 8, 3_700.0), _Pace("3m", 3_000_000, 24, 4_100.0))


def run(*, quick: bool) -> dict[str, float]:
    """Lost samples of both paces, and the share of a core; nothing where there is no compiler."""
    if compiler() is None:
        return {}
    seconds = QUICK_SECONDS if quick else SECONDS
    figures: dict[str, float] = {"bridge.baud.seconds": seconds}
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        program = build("host_demo", Path(folder))
        for pace in _PACES:
            seen = _watched(program, Path(folder), pace, seconds)
            lost += seen.lost
            figures[f"bridge.core_share_{pace.name}_pct"] = 100 * seen.cpu_s / seen.wall_s
            figures[f"bridge.baud.bytes_per_s_{pace.name}"] = seen.bytes / seen.wall_s
            figures[f"bridge.baud.samples_{pace.name}"] = seen.samples
    figures["bridge.samples_lost"] = lost
    return {name: round(value, 2) for name, value in figures.items()}


class _Seen:
    """What came from the first block on; ``samples`` are conversions of all channels."""

    def __init__(self) -> None:
        self.samples = self.first = self.end = 0
        self.wall_s = self.cpu_s = self.bytes = 0.0
        self.began = asyncio.Event()

    def deliver(self, item: SourceItem) -> None:
        if isinstance(item, SampleBlock):
            self.first = self.first if self.samples else item.first_sample
            self.samples += len(item.counts)
            self.end = item.first_sample + len(item.counts)
            self.began.set()

    @property
    def lost(self) -> int:
        return self.end - self.first - self.samples


def _watched(program: Path, folder: Path, pace: _Pace, seconds: float) -> _Seen:
    chance = np.random.default_rng(_SEED)
    shape = round(2 * pace.rate_hz), pace.channels
    counts = chance.normal(20_000, 300, shape).astype(np.int32)
    with running_device(
        program, folder, counts, rate_hz=pace.rate_hz, newton_per_count=_NEWTON_PER_COUNT
    ) as link:
        return asyncio.run(_listen(str(link), pace, seconds))


async def _listen(url: str, pace: _Pace, seconds: float) -> _Seen:
    names = [f"c{i}" for i in range(pace.channels)]
    section = DigitiserSection(id="D", url=url, baud=pace.baud, channels=names)
    health, seen = Health(time.monotonic_ns), _Seen()
    source = DigitiserSource(section, health, time.time_ns)
    task = asyncio.create_task(source.run(seen.deliver))
    try:
        await _watch(seen, lambda: health.snapshot().counters["digitiser.D.bytes"], seconds)
    finally:
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
    if not isinstance(outcome, asyncio.CancelledError) and outcome is not None:
        raise outcome
    return seen


async def _watch(seen: _Seen, heard_bytes: Callable[[], int], seconds: float) -> None:
    try:
        async with asyncio.timeout(_HEARD_S):
            await seen.began.wait()
    except TimeoutError:
        raise LinkDown("C 设备没有送来采样", "the C device sent no samples") from None
    began_s, began_cpu_s, began_bytes = time.monotonic(), time.process_time(), heard_bytes()
    await asyncio.sleep(seconds)
    seen.wall_s = time.monotonic() - began_s
    seen.cpu_s = time.process_time() - began_cpu_s
    seen.bytes = heard_bytes() - began_bytes
