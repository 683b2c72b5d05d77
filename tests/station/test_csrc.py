"""The device side in C: held against the host's codec, and weighed with over a pseudo-terminal."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from cobs import cobs

from edge.config import DigitiserSection, StationConfig
from edge.health import Health
from edge.lanes import Lanes
from edge.records import Int32s, Vehicle
from edge.sources.digitiser import DigitiserSource
from firmware_bridge.session import BlockSeen, DigitiserSession, EdgesSeen, Event, HelloSeen
from firmware_bridge.stream import Stop, StreamDecoder, Zero, encode
from firmware_bridge.transports import PortReader
from simulator.csrc import LARGE, SANITIZED, build, running_device
from simulator.digitiser import Edge
from simulator.layouts import strips
from simulator.scenario import ElectronicsSection, Scenario, TrafficSection
from simulator.twins import Filter, compare, record
from simulator.world import World
from tests.unit.test_stream_vectors import BAD, GOOD, message

pytestmark = [pytest.mark.compiler, pytest.mark.slow]

Kind = TypeVar("Kind", bound=Event)

RATE_HZ = 2_000.0
NEWTON_PER_COUNT = 0.02


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csrc")


@pytest.fixture(scope="module")
def codec(folder: Path) -> Filter:
    return Filter(build("filter", folder, (*SANITIZED, *LARGE)))


@pytest.fixture(scope="module")
def device(folder: Path) -> Path:
    return build("host_demo", folder, SANITIZED)


# -------------------------------------------------------------------------------- the codec


def test_the_vectors_are_made_and_read(codec: Filter) -> None:
    records = b"".join(record(message(said)) for said, _ in GOOD)
    wire = b"".join(wire for _, wire in GOOD)
    assert codec.encode(records) == wire
    assert codec.decode(wire)[0] == records


def test_the_bad_vectors_are_counted_by_name(codec: Filter) -> None:
    records, counters = codec.decode(b"".join(wire for _, wire in BAD))
    assert records == b""
    names = [said.split(":")[0] for said, _ in BAD]
    assert counters == {name: names.count(name) for name in counters}


def test_random_frames_go_both_ways(codec: Filter) -> None:
    found = compare(codec, 4_000, seed=5)
    assert found.encoded == 4_000
    assert found.judged > 3_900
    assert found.differing_batches == 0


def test_noise_and_an_endless_frame_end_at_the_next_zero(codec: Filter) -> None:
    noise = np.random.default_rng(3).bytes(200_000)
    said, good = GOOD[0]
    line = noise + b"\0" + good + b"\x55" * 300_000 + good
    ours = StreamDecoder()
    assert len(ours.feed(line)) == 2
    records, counters = codec.decode(line)
    assert records == 2 * record(message(said))
    assert counters == ours.counters
    assert counters["oversize"] == 1


def test_a_small_receiver_takes_the_hosts_words_and_counts_what_is_too_long(folder: Path) -> None:
    (folder / "small").mkdir()
    small = Filter(build("filter", folder / "small", (*SANITIZED, "-DSY_RECEIVE_BYTES=28u")))
    _, counters = small.decode(b"".join(wire for _, wire in GOOD))
    short = [said for said, wire in GOOD if len(cobs.decode(wire[1:-1])) <= 28]
    assert {"Start", "Stop", "Zero", "Time"} <= {said.split("(")[0] for said in short}
    assert counters["frames"] == len(short)
    assert counters["oversize"] == len(GOOD) - len(short)


# ------------------------------------------------------------------------------- the device


class Host:
    """Reads the device as a station does and keeps what it hears."""

    def __init__(self, port: PortReader) -> None:
        self.port = port
        self.session = DigitiserSession(1)
        self.events: list[Event] = []

    async def listen(self, seconds: float) -> list[Event]:
        """What is heard from now on."""
        heard = len(self.events)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.until(lambda: False)
        return self.events[heard:]

    async def until(self, enough: Callable[[], bool]) -> None:
        """Listen until that is enough."""
        async with asyncio.timeout(60):
            while not enough():
                chunk = await self.port.read()
                self.events += self.session.receive(chunk.data, chunk.received_ns)

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]


@contextlib.asynccontextmanager
async def greeted(line: Path) -> AsyncIterator[Host]:
    async with PortReader(str(line), baud=921_600) as port:
        host = Host(port)
        port.write(host.session.greeting())
        yield host


def signals(events: list[Event]) -> Int32s:
    blocks = [event.counts for event in events if isinstance(event, BlockSeen)]
    return np.concatenate(blocks) if blocks else np.zeros((0, 3), np.int32)


RAMP = (np.arange(2_000, dtype=np.int32)[:, None] * [1, -3, 0] + [5, 7, 1 << 23]).clip(
    -(1 << 23), (1 << 23) - 1
)
EDGES = [(300, 2, True), (450, 2, False), (450, 5, True)]


@pytest.fixture
def line(device: Path, tmp_path: Path) -> Iterator[Path]:
    with running_device(
        device,
        tmp_path,
        RAMP.astype(np.int32),
        edges=EDGES,
        rate_hz=RATE_HZ,
        newton_per_count=NEWTON_PER_COUNT,
    ) as found:
        yield found


def test_the_recording_comes_whole_with_its_edges_before_it(line: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with greeted(line) as host:
            await host.until(
                lambda: len(host.of(HelloSeen)) > 1 and len(signals(host.events)) > 1_000
            )
        hellos = host.of(HelloSeen)
        assert [e.first for e in hellos[:2]] == [True, False]
        assert (hellos[0].hello.model, hellos[0].hello.channels) == ("steelyard-csrc", 3)
        counts = signals(host.events)
        assert len(counts) > 1_000
        repeats = -(-len(counts) // len(RAMP))
        assert np.array_equal(counts, np.tile(RAMP, (repeats, 1))[: len(counts)])
        for name in ("lost_samples", "lost_frames", "damaged", "malformed", "inputs_mended"):
            assert not host.session.counters.get(name), name
        assert_edges_come_first(host.events)

    asyncio.run(scenario())
    told = re.findall(r"time (\d+)", (tmp_path / "device.log").read_text())
    assert abs(int(told[0]) - time.time_ns()) < 60 * 10**9


def assert_edges_come_first(events: list[Event]) -> None:
    begin = next(e.first_sample for e in events if isinstance(e, BlockSeen))
    reached, found = begin, []
    for event in events:
        if isinstance(event, BlockSeen):
            reached = event.first_sample + len(event.counts)
        elif isinstance(event, EdgesSeen):
            assert event.edges[0][0] >= reached
            found += [(at - begin, *rest) for at, *rest in event.edges]
    assert found[: len(EDGES)] == EDGES


def test_stop_stops_and_start_goes_on_without_moving_the_counter_back(line: Path) -> None:
    async def scenario() -> None:
        async with greeted(line) as host:
            await host.until(lambda: len(host.of(BlockSeen)) > 10)
            host.port.write(encode(Stop(1, 9, 0)))
            async with asyncio.timeout(60):
                while signals(await host.listen(0.5)).size:
                    pass
            *_, last = before = host.of(BlockSeen)
            host.port.write(host.session.greeting())
            await host.until(lambda: len(host.of(BlockSeen)) > len(before))
            first = host.of(BlockSeen)[len(before)]
            assert first.lost_before >= 0.4 * RATE_HZ
            assert first.first_sample > last.first_sample
            assert not first.restarted

    asyncio.run(scenario())


def test_zero_takes_the_level_of_the_channels_in_its_mask(line: Path) -> None:
    async def scenario() -> None:
        async with greeted(line) as host:

            def taken_away() -> Int32s:
                """From the newest block, against what was recorded."""
                first, newest = host.of(BlockSeen)[0], host.of(BlockSeen)[-1]
                at = newest.first_sample - first.first_sample + np.arange(len(newest.counts))
                return RAMP.astype(np.int32)[at % len(RAMP)] - newest.counts

            await host.until(lambda: len(host.of(BlockSeen)) > 10)
            assert not taken_away().any()
            host.port.write(encode(Zero(1, 9, 0, 0b010)))
            await host.until(lambda: taken_away().any())
            blocks = len(host.of(BlockSeen))
            await host.until(lambda: len(host.of(BlockSeen)) > blocks)
            none, level, other = taken_away().T
            assert not none.any()
            assert not other.any()
            assert set(level.tolist()) == {level[0]}
            assert RAMP[:, 1].min() <= level[0] < RAMP[:, 1].max()

    asyncio.run(scenario())


def test_another_devices_words_are_not_obeyed(line: Path) -> None:
    async def scenario() -> None:
        async with greeted(line) as host:
            await host.until(lambda: bool(host.of(BlockSeen)))
            host.port.write(encode(Stop(2, 9, 0)))
            await host.listen(0.5)
            heard = len(host.of(BlockSeen))
            await host.until(lambda: len(host.of(BlockSeen)) > heard + 10)

    asyncio.run(scenario())


# ------------------------------------------------------------------------------ the station


def test_a_station_weighs_with_the_device(device: Path, tmp_path: Path) -> None:
    world = World(
        strips(4),
        Scenario(
            lane=(TrafficSection(flow_per_h=1_800.0, speed_kmh=(50.0, 60.0), mix={"12": 1.0}),),
            electronics=ElectronicsSection(rate_hz=RATE_HZ),
            lead_in_s=1.0,
        ),
        seed=4,
    )
    (section,) = world.station.model.digitiser
    seconds = 11.0
    digitiser = world.digitiser(section.id)
    counts = digitiser.block(0, round(seconds * RATE_HZ))
    edges: list[Edge] = world.edges(section.id, 0, len(counts))
    truth = world.truth(0.0, seconds - 3.0)
    assert len(truth) >= 2
    with running_device(
        device,
        tmp_path,
        counts,
        edges=edges,
        rate_hz=RATE_HZ,
        newton_per_count=digitiser.newton_per_count,
        device_id=section.device_id,
    ) as line:
        vehicles = asyncio.run(weighed(world.station, section, str(line), len(truth)))
    for true, vehicle in zip(truth, vehicles, strict=True):
        assert len(vehicle.passage.axles.load_kg) == len(true.axle_kg)
        assert vehicle.gross_kg == pytest.approx(sum(true.axle_kg), rel=0.06)


async def weighed(
    config: StationConfig, section: DigitiserSection, url: str, enough: int
) -> list[Vehicle]:
    """The first vehicles, as soon as there are enough."""
    health = Health(time.monotonic_ns)
    lanes = Lanes(config, health)
    source = DigitiserSource(section.model_copy(update={"url": url}), health, time.time_ns)
    task = asyncio.create_task(
        source.run(lambda item: lanes.take(item, source.clock, time.monotonic_ns()))
    )
    found: list[Vehicle] = []
    async with asyncio.timeout(60):
        while len(found) < enough:
            await asyncio.sleep(0.05)
            found += lanes.release(time.monotonic_ns())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return found[:enough]
