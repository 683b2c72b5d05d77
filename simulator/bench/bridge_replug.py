"""An adapter that falls out and comes back under another name, again and again.

A digitiser streams over a pseudo-terminal that the station knows by a lasting name, as udev makes
them. The terminal is destroyed, and after a while made anew under another number while the
digitiser counts on. It is right if samples flow again within two seconds of the plug, if the first
block says how many are missing, and if the samples before, missing and after add up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.config import DigitiserSection
from edge.health import Health
from edge.records import SampleBlock
from edge.sources.digitiser import DigitiserSource
from edge.sources.ports import SourceItem
from edge.supervise import supervise
from firmware_bridge import stream
from simulator.lines import PtyLine

TRIALS, QUICK_TRIALS = 100, 5
SEED = 20_262
AGAIN_S = 2.0
PULLED_S = (0.05, 4.0)
"""How long it lies on the floor; the longest outlast several tries of the supervisor."""

_RATE_HZ, _CHANNELS, _BLOCK = 1_000.0, 4, 20


@dataclass(frozen=True, slots=True)
class Replug:
    """One trial."""

    renamed: bool
    again_s: float
    gap_flagged: bool
    adds_up: bool

    @property
    def ok(self) -> bool:
        """Whether it was as it should be."""
        return self.renamed and self.again_s <= AGAIN_S and self.gap_flagged and self.adds_up


class _Device:
    """A digitiser that counts on whether or not anybody listens."""

    def __init__(self, line: PtyLine) -> None:
        self._line, self._begin_s = line, time.monotonic()
        self._decoder = stream.StreamDecoder()
        self._sequence = self._next = 0
        self._greet_s = 0.0

    async def run(self) -> None:
        """Stream until cancelled."""
        while True:
            self._decoder.feed(self._line.read())
            passed_s = time.monotonic() - self._begin_s
            if passed_s >= self._greet_s and self._send(self._hello()):
                self._greet_s = passed_s + 1.0
            while self._next + _BLOCK <= passed_s * _RATE_HZ:
                counts = np.zeros((_BLOCK, _CHANNELS), np.int32)
                self._send(stream.Samples(1, self._sequence, self._next, counts))
                self._next += _BLOCK
            await asyncio.sleep(0.01)

    def _hello(self) -> stream.Hello:
        told = ("BENCH", "replug", "1", _CHANNELS, _RATE_HZ, 0.01, 7)
        return stream.Hello(1, self._sequence, self._next, *told)

    def _send(self, message: stream.Message) -> bool:
        taken = self._line.send(stream.encode(message))
        self._sequence += 1  # also for what the line did not take: the host then sees a gap
        return taken


class _Heard:
    """What the station gets."""

    def __init__(self) -> None:
        self.blocks: list[SampleBlock] = []
        self._news = asyncio.Event()

    def take(self, item: SourceItem) -> None:
        """Keep blocks."""
        if isinstance(item, SampleBlock):
            self.blocks.append(item)
            self._news.set()

    async def first_after(self, count: int, within_s: float) -> SampleBlock | None:
        """The first block after ``count`` of them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(self.blocks) <= count:
                    self._news.clear()
                    await self._news.wait()
                return self.blocks[count]
        return None


def run(*, quick: bool) -> dict[str, float]:
    """Figures of all trials."""
    told = asyncio.run(measure(QUICK_TRIALS if quick else TRIALS, SEED))
    return {
        "bridge.replug_ok": sum(trial.ok for trial in told),
        "bridge.replug_tried": len(told),
        "bridge.replug_failed": sum(not trial.ok for trial in told),
        "bridge.replug_again_max_s": round(max(trial.again_s for trial in told), 3),
    }


async def measure(trials: int, seed: int) -> list[Replug]:
    """Pull and plug so many times, one after the other, on one running source."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        line = PtyLine(Path(directory) / "usb-adapter-port0")
        heard, health = _Heard(), Health(time.monotonic_ns)
        section = DigitiserSection(
            id="D1", url=line.url, channels=[f"c{n}" for n in range(_CHANNELS)]
        )
        source = DigitiserSource(section, health, time.time_ns)
        tasks = [
            asyncio.create_task(_Device(line).run(), name="device"),
            asyncio.create_task(
                supervise("digitiser.D1", lambda: source.run(heard.take), health), name="source"
            ),
        ]
        try:
            await heard.first_after(0, 5.0)
            return [await _trial(line, heard, chance.uniform(*PULLED_S)) for _ in range(trials)]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            line.unplug()


async def _trial(line: PtyLine, heard: _Heard, pulled_s: float) -> Replug:
    await asyncio.sleep(0.3)
    before = line.device
    line.unplug()
    await asyncio.sleep(pulled_s)
    count = len(heard.blocks)
    with _taken(before):
        line.plug()
    plugged_s = time.monotonic()
    block = await heard.first_after(count, 3 * AGAIN_S)
    again_s = time.monotonic() - plugged_s
    renamed = line.device != before
    if block is None:
        return Replug(renamed, again_s, False, False)
    last = heard.blocks[count - 1]
    end = last.first_sample + len(last.counts)
    missing = block.first_sample - end
    return Replug(renamed, again_s, block.lost_before > 0, missing == block.lost_before)


@contextlib.contextmanager
def _taken(name: str) -> Iterator[None]:
    """Somebody else's terminal has the kernel's name that has become free."""
    ends: list[int] = []
    try:
        while _number(name) not in {_number(os.ttyname(end)) for end in ends[1::2]}:
            ends += os.openpty()
            if _number(os.ttyname(ends[-1])) > _number(name):
                break
        yield
    finally:
        for end in ends:
            os.close(end)


def _number(name: str) -> int:
    return int(Path(name).name)
