"""A plate camera on a real pty: plates, pictures, clocks, damage, a pulled cable."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
import time
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edge.config import CameraSection
from edge.errors import ConfigError, LinkDown
from edge.health import Health, Level
from edge.records import PlateRead
from edge.sources import camera as camera_source
from edge.sources.camera import CameraSource
from firmware_bridge.anpr import PlateFrame, encode_plate

JPEG = b"\xff\xd8" + bytes(5000) + b"\xff\xd9"


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    threads, descriptors = threading.active_count(), open_descriptors()
    yield
    assert threading.active_count() == threads
    assert open_descriptors() == descriptors


@dataclass
class Bench:
    """The station's side and the camera's side of one line."""

    folder: Path
    master: int
    health: Health = field(default_factory=lambda: Health(time.monotonic_ns))
    reads: list[PlateRead] = field(default_factory=list)
    now_ns: int = field(default_factory=time.time_ns)
    """The station's clock; it stands still until a test moves it, so that no delay is chance."""
    sequence: int = 0

    def frame(self, plate: str = "冀B12345", **rest: object) -> PlateFrame:
        self.sequence += 1
        frame = PlateFrame(
            self.sequence, "1", plate, "yellow", 0.95, "toward", self.now_ns - 100_000_000, ""
        )
        return replace(frame, **rest)  # type: ignore[arg-type]

    def send(self, *frames: PlateFrame) -> None:
        os.write(self.master, b"".join(map(encode_plate, frames)))

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.005)

    async def got(self, number: int) -> list[PlateRead]:
        await self.until(lambda: len(self.reads) >= number)
        return self.reads

    def counter(self, name: str) -> int:
        return self.health.snapshot().counters.get(f"camera.C1.{name}", 0)

    @property
    def level(self) -> Level | None:
        state = self.health.snapshot().states.get("camera.C1")
        return state.level if state else None


@contextlib.asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    master, line = os.openpty()
    tty.setraw(master)
    tty.setraw(line)
    side = Bench(folder, master)
    section = CameraSection(id="C1", url=os.ttyname(line), lanes=["1"])
    source = CameraSource(section, folder, side.health, lambda: side.now_ns)
    task = asyncio.create_task(source.run(side.reads.append))
    try:
        await side.until(lambda: side.level is Level.OK)
        yield side
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        os.close(line)
        os.close(master)


def on_bench(folder: Path, scenario: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        async with bench(folder) as side:
            await scenario(side)

    asyncio.run(run())


def test_plates_arrive_normalised_with_their_grammar(tmp_path: Path) -> None:
    async def scenario(side: Bench) -> None:
        frame = side.frame("冀b·12345")
        side.send(frame, side.frame(""), side.frame("晋K123B挂"), side.frame("HH-AB 123"))
        first, unread, trailer, foreign = await side.got(4)
        assert (first.text, first.raw_text, first.grammar) == (
            "冀B12345",
            "冀b·12345",
            "cn-ordinary",
        )
        assert (first.camera, first.lane, first.colour, first.confidence) == (
            "C1", "1", "yellow", 0.95,
        )  # fmt: skip
        assert first.camera_time_ns == frame.camera_time_ns
        assert (unread.text, unread.grammar) == ("", "")
        assert trailer.grammar == "cn-trailer"
        assert (foreign.text, foreign.grammar) == ("HHAB123", "")
        assert (side.counter("reads"), side.counter("unread")) == (3, 1)

    on_bench(tmp_path, scenario)


def test_i_and_o_are_mended_in_sight_of_what_was_read(tmp_path: Path) -> None:
    async def scenario(side: Bench) -> None:
        side.send(side.frame("冀BI2O45"))
        (read,) = await side.got(1)
        assert (read.text, read.raw_text) == ("冀B12045", "冀BI2O45")

    on_bench(tmp_path, scenario)


def test_a_plate_waits_for_its_picture_and_not_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(side: Bench) -> None:
        monkeypatch.setattr(camera_source, "WAIT_S", 60.0)
        side.send(side.frame(picture_ref="late.jpg"))
        await asyncio.sleep(0.15)
        assert side.reads == []
        (side.folder / "late.jpg").write_bytes(JPEG)
        await side.got(1)
        monkeypatch.setattr(camera_source, "WAIT_S", 0.3)
        begun = time.monotonic()
        side.send(
            side.frame(picture_ref="never.jpg"),
            side.frame(picture_ref="../escape.jpg"),
            side.frame(),
        )
        late, never, escape, without = await side.got(4)
        assert time.monotonic() - begun > 0.29
        assert late.picture is not None
        assert late.picture.sha256 == hashlib.sha256(JPEG).hexdigest()
        assert (never.picture, escape.picture, without.picture) == (None, None, None)
        assert [read.received_ns for read in side.reads] == sorted(
            r.received_ns for r in side.reads
        )
        assert side.counter("pictures_missing") == side.counter("pictures_refused") == 1

    on_bench(tmp_path, scenario)


@pytest.mark.parametrize("off_s", [-7_200.0, 0.0, 30.0])
def test_a_wrong_camera_clock_is_allowed_for_and_told(tmp_path: Path, off_s: float) -> None:
    async def scenario(side: Bench) -> None:
        off_ns = round(off_s * 1e9)
        moments = []
        for number, delay_ms in enumerate((50, 250, 80), 1):
            moments.append(side.now_ns)
            side.now_ns += delay_ms * 1_000_000
            side.send(side.frame(camera_time_ns=moments[-1] + off_ns))
            await side.got(number)
        # What differs from reading to reading is the delay alone, and it is taken out.
        late_ns = [r.time_ns - moment for r, moment in zip(side.reads, moments, strict=True)]
        assert late_ns == [50_000_000] * 3
        assert side.level is (Level.WARNING if off_s else Level.OK)

    on_bench(tmp_path, scenario)


def test_a_clock_that_jumps_gives_no_times_until_it_is_known_again(tmp_path: Path) -> None:
    async def scenario(side: Bench) -> None:
        side.send(*(side.frame() for _ in range(3)))
        await side.got(3)
        later = [side.frame(camera_time_ns=side.now_ns + 60_000_000_000 + i) for i in range(4)]
        side.send(*later)
        reads = await side.got(5)
        assert side.counter("untimed") == 2
        assert [read.camera_time_ns for read in reads[3:]] == [
            frame.camera_time_ns for frame in later[2:]
        ]
        assert all(abs(read.time_ns - read.received_ns) < 1_000_000_000 for read in reads)

    on_bench(tmp_path, scenario)


def test_repeats_losses_foreign_lanes_and_damage_are_counted(tmp_path: Path) -> None:
    async def scenario(side: Bench) -> None:
        first = side.frame()
        side.send(first, first)
        side.sequence += 4
        side.send(side.frame())
        side.send(side.frame(lane="9"))
        damaged = bytearray(encode_plate(side.frame("冀B99999")))
        damaged[20] ^= 1
        os.write(side.master, bytes(damaged))
        side.send(side.frame("冀B00001", sequence=0))
        reads = await side.got(3)
        assert [read.text for read in reads] == ["冀B12345", "冀B12345", "冀B00001"]
        counts = {
            name: side.counter(name) for name in ("repeated", "lost", "foreign_lane", "damaged")
        }
        assert counts == {"repeated": 1, "lost": 4, "foreign_lane": 1, "damaged": 1}

    on_bench(tmp_path, scenario)


def test_noise_alone_is_told(tmp_path: Path) -> None:
    async def scenario(side: Bench) -> None:
        os.write(side.master, bytes(range(3, 250)))
        await side.until(lambda: side.level is Level.WARNING)
        side.send(side.frame())
        await side.got(1)
        assert side.level is Level.OK

    on_bench(tmp_path, scenario)


def section(url: str) -> CameraSection:
    return CameraSection(id="C1", url=url, lanes=["1"])


def test_a_pulled_cable_is_a_link_down_and_keeps_the_last_plate(tmp_path: Path) -> None:
    async def scenario() -> None:
        master, line = os.openpty()
        tty.setraw(master)
        tty.setraw(line)
        reads: list[PlateRead] = []
        health = Health(time.monotonic_ns)
        source = CameraSource(section(os.ttyname(line)), tmp_path, health, time.time_ns)
        task = asyncio.create_task(source.run(reads.append))
        while health.snapshot().states.get("camera.C1") is None or (
            health.snapshot().states["camera.C1"].level is not Level.OK
        ):
            await asyncio.sleep(0.005)
        frame = PlateFrame(1, "1", "冀B12345", "blue", None, "", time.time_ns(), "none.jpg")
        os.write(master, encode_plate(frame))
        while not health.snapshot().counters.get("camera.C1.reads"):
            await asyncio.sleep(0.005)
        os.close(line)
        os.close(master)
        with pytest.raises(LinkDown, match="camera C1"):
            await asyncio.wait_for(task, 60)
        assert [read.text for read in reads] == ["冀B12345"]

    asyncio.run(scenario())


def test_a_missing_port_and_a_wrong_url_are_told_apart(tmp_path: Path) -> None:
    async def run(url: str) -> None:
        source = CameraSource(section(url), tmp_path, Health(time.monotonic_ns), time.time_ns)
        await source.run(lambda _: None)

    with pytest.raises(LinkDown) as missing:
        asyncio.run(run(str(tmp_path / "ttyNone")))
    assert "ttyNone" in missing.value.what.zh
    assert missing.value.next_step.zh
    with pytest.raises(ConfigError):
        asyncio.run(run("telnet://camera"))
