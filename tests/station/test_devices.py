"""Simulated devices on real pseudo-terminals and sockets, read with the station's own codecs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.config import StationConfig, load_station
from edge.errors import LinkDown
from firmware_bridge.anpr import PlateDecoder, PlateFrame
from firmware_bridge.modbus import ModbusBus, ModbusDevice
from firmware_bridge.modbus_toml import load_map
from firmware_bridge.stream import (
    Hello,
    Inputs,
    Message,
    Samples,
    Start,
    Status,
    Stop,
    StreamDecoder,
    Zero,
    encode,
)
from firmware_bridge.transports import PortLost, PortReader
from simulator.devices import READY, DeviceBench, read_truth, run_devices
from simulator.scenario import Scenario
from simulator.world import World

STATION = """
[station]
id = "SIM"
[[digitiser]]
id = "D1"
url = "run/d1"
channels = ["a", "b", "c", "d", "e", "f", "g", "h"]
[[digitiser]]
id = "D2"
device_id = 2
url = "socket://127.0.0.1:0"
channels = ["a", "b", "c", "d"]
[[lane]]
id = "1"
digitiser = "D1"
direction = "east"
separator = { input = 0, position_m = -0.5 }
row = [
    { position_m = 0.0, width_m = 0.07, kind = "strip", left = "a", right = "b" },
    { position_m = 2.1, width_m = 0.07, kind = "strip", left = "c", right = "d" },
]
[[lane]]
id = "2"
digitiser = "D2"
row = [
    { position_m = 0.0, width_m = 0.8, kind = "plate", left = "a", right = "b" },
    { position_m = 2.4, width_m = 0.8, kind = "plate", left = "c", right = "d" },
]
[[camera]]
id = "C1"
url = "run/c1"
lanes = ["1", "2"]
picture_dir = "pictures"
[[modbus]]
id = "M1"
url = "tcp://127.0.0.1:0"
map = "cabinet"
"""

BRISK = {
    "seed": 3,
    "lead_in_s": 0.1,
    "lane": [{"flow_per_h": 3_600, "speed_kmh": [60, 80], "mix": {"12": 1}}],
    "plate": {"miss_rate": 0, "misread_rate": 0},
}


def in_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run an asynchronous test in a loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: object) -> None:
        asyncio.run(test(**fixtures))

    return run


@pytest.fixture
def station(tmp_path: Path) -> StationConfig:
    path = tmp_path / "station.toml"
    path.write_text(STATION)
    return load_station(path)


def world(station: StationConfig, **changes: object) -> World:
    return World(station, Scenario.model_validate(BRISK | changes))


@dataclass
class Host:
    """Reads a digitiser as a station does, and keeps everything."""

    port: PortReader
    device_id: int
    decoder: StreamDecoder = field(default_factory=StreamDecoder)
    messages: list[Message] = field(default_factory=list)

    def tell(self, message: type[Start | Stop]) -> None:
        self.port.write(encode(message(self.device_id, 0, 0)))

    async def until(self, enough: Callable[[], bool], timeout_s: float = 60.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not enough():
                for message in self.decoder.feed((await self.port.read()).data):
                    joined = isinstance(message, Samples)
                    self.messages += message.apart() if joined else [message]

    async def listen(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: False, seconds)

    def of(self, kind: type[Message]) -> list:
        return [message for message in self.messages if type(message) is kind]

    @property
    def n_samples(self) -> int:
        return sum(len(message.counts) for message in self.of(Samples))


@contextlib.asynccontextmanager
async def host(bench: DeviceBench, name: str, device_id: int) -> AsyncIterator[Host]:
    async with PortReader(bench.urls[name], baud=921_600, name=name) as port:
        yield Host(port, device_id)


@in_loop
async def test_two_seconds_on_pty_and_tcp_lose_nothing(station: StationConfig) -> None:
    simulated = world(station)
    async with (
        DeviceBench(simulated) as bench,
        host(bench, "D1", 1) as d1,
        host(bench, "D2", 2) as d2,
    ):
        began_s = time.monotonic()
        for each in (d1, d2):
            each.tell(Start)
        await asyncio.gather(
            *(each.until(lambda e=each: e.n_samples >= 4_000) for each in (d1, d2))
        )
        elapsed_s = time.monotonic() - began_s
    assert elapsed_s > 1.9
    for name, each in (("D1", d1), ("D2", d2)):
        assert each.decoder.counters["damaged"] == 0
        sequence = [message.sequence for message in each.messages]
        assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
        blocks = each.of(Samples)
        counts = np.concatenate([block.counts for block in blocks])
        clean = World(station, simulated.scenario).digitiser(name)
        assert np.array_equal(counts, clean.block(blocks[0].sample, len(counts)))
        assert len(each.of(Hello)) >= 2
        assert len(each.of(Status)) >= 2
        assert each.of(Status)[-1].lost_samples == 0


@in_loop
async def test_edges_come_before_the_samples_they_lie_in(station: StationConfig) -> None:
    async with (
        DeviceBench(world(station)) as bench,
        host(bench, "D1", 1) as d1,
        host(bench, "D2", 2) as d2,
    ):
        d1.tell(Start)
        d2.tell(Start)
        await d1.until(lambda: len(d1.of(Inputs)) >= 2)
        await d1.listen(0.1)
    sampled_until = 0
    for message in d1.messages:
        if isinstance(message, Samples):
            sampled_until = message.sample + len(message.counts)
        if isinstance(message, Inputs):
            assert message.edges[0][0] >= sampled_until
    edges = [edge for message in d1.of(Inputs) for edge in message.edges]
    assert edges == World(station, Scenario.model_validate(BRISK)).edges("D1", 0, edges[-1][0] + 1)


@in_loop
async def test_nothing_streams_before_start_nor_after_stop(station: StationConfig) -> None:
    async with DeviceBench(world(station)) as bench, host(bench, "D1", 1) as d1:
        # Opening flushes the host's input, and the first HELLO may go with it.
        await d1.until(lambda: bool(d1.of(Hello)))
        assert not d1.of(Samples)
        greeted = len(d1.of(Hello))
        d1.tell(Start)
        await d1.until(lambda: len(d1.of(Hello)) > greeted)
        await d1.until(lambda: bool(d1.of(Samples)))
        d1.tell(Stop)

        def hellos_since_samples() -> int:
            kinds = [type(m) for m in reversed(d1.messages) if isinstance(m, Hello | Samples)]
            return (*kinds, Samples).index(Samples)

        await d1.until(lambda: hellos_since_samples() >= 2)  # it lives, and a second is over


@in_loop
async def test_zero_takes_the_level_away(station: StationConfig) -> None:
    async with DeviceBench(world(station, lead_in_s=9.0)) as bench, host(bench, "D2", 2) as d2:
        d2.tell(Start)
        async with host(bench, "D1", 1) as d1:
            d1.tell(Start)

            def level() -> np.ndarray:
                return d2.of(Samples)[-1].counts.mean(axis=0)

            await d2.until(lambda: d2.n_samples > 400)
            before = level()
            d2.port.write(encode(Zero(2, 0, 0, 0b0101)))
            await d2.until(lambda: np.abs(level()[[0, 2]]).max() < 1_500)
        after = level()
    assert np.abs(before[[0, 2]]).max() > 1_500
    assert after[[1, 3]] == pytest.approx(before[[1, 3]], abs=1_500)


@in_loop
async def test_a_host_that_comes_back_finds_the_stream_with_its_hole_told(
    station: StationConfig,
) -> None:
    async with DeviceBench(world(station)) as bench:
        for name, device_id in (("D1", 1), ("D2", 2)):
            async with host(bench, name, device_id) as first:
                first.tell(Start)
                await first.until(lambda h=first: bool(h.of(Hello)))
        async with asyncio.timeout(60):
            while not bench.time_s:
                await asyncio.sleep(0.05)
        for name, device_id in (("D1", 1), ("D2", 2)):
            async with host(bench, name, device_id) as again:
                again.tell(Start)
                await again.until(lambda h=again: h.n_samples > 200 and bool(h.of(Status)))
                assert again.decoder.counters["frames"] == len(again.messages)
                before = again.of(Samples)[0].sample
            await asyncio.sleep(0.4)
            async with host(bench, name, device_id) as last:
                last.tell(Start)
                await last.until(lambda h=last: h.n_samples > 200 and bool(h.of(Status)))
                assert last.of(Samples)[0].sample >= before + 600
                assert last.of(Status)[-1].lost_samples > 600


@in_loop
async def test_a_host_that_does_not_read_loses_samples_and_is_told(station: StationConfig) -> None:
    async with DeviceBench(world(station)) as bench, host(bench, "D2", 2) as d2:
        d2.tell(Start)
        terminal = os.open(os.path.realpath(bench.urls["D1"]), os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(terminal, encode(Start(1, 0, 0)))
            await asyncio.sleep(1.8)
            decoder, messages = StreamDecoder(), []
            os.set_blocking(terminal, False)
            async with asyncio.timeout(60):
                while not (lost := _lost_as_told(messages)):
                    with contextlib.suppress(BlockingIOError):
                        messages += decoder.feed(os.read(terminal, 65_536))
                    await asyncio.sleep(0.01)
        finally:
            os.close(terminal)
    assert lost > 0
    assert decoder.counters["damaged"] == 0


def _lost_as_told(messages: list[Message]) -> int:
    """What a STATUS says was lost, once the holes before it come to just as much."""
    blocks: list[Samples] = []
    for message in messages:
        if isinstance(message, Samples):
            blocks.append(message)
        elif isinstance(message, Status) and message.lost_samples:
            holes = (b.sample - a.sample - len(a.counts) for a, b in pairwise(blocks))
            if sum(holes) == message.lost_samples:
                return message.lost_samples
    return 0


@in_loop
async def test_a_pulled_cable_is_lost_and_comes_back_at_the_same_place(
    station: StationConfig,
) -> None:
    cut = [{"kind": "cut", "device": "D1", "from_s": 0.4, "to_s": 10.0}]
    ahead_s = 0.0

    def mono_s() -> float:
        return time.monotonic() + ahead_s

    simulated = world(station, fault=cut)
    async with DeviceBench(simulated, mono_s=mono_s) as bench, host(bench, "D2", 2) as d2:
        d2.tell(Start)
        async with host(bench, "D1", 1) as d1:
            d1.tell(Start)
            with pytest.raises(PortLost, match="lost"):
                await d1.until(lambda: False)
        with pytest.raises(PortLost, match="missing"):
            await host(bench, "D1", 1).__aenter__()
        ahead_s = 10.0
        while not Path(bench.urls["D1"]).is_symlink():
            await asyncio.sleep(0.01)
        async with host(bench, "D1", 1) as d1:
            d1.tell(Start)
            await d1.until(lambda: d1.n_samples > 100)
        assert d1.of(Samples)[0].sample >= 10 * 2_000


@in_loop
async def test_a_restart_counts_anew_under_another_boot(station: StationConfig) -> None:
    restart = [{"kind": "restart", "device": "D1", "from_s": 0.5}]
    async with DeviceBench(world(station, fault=restart)) as bench, host(bench, "D2", 2) as d2:
        d2.tell(Start)
        async with host(bench, "D1", 1) as d1:
            d1.tell(Start)
            await d1.until(lambda: len({hello.boot_id for hello in d1.of(Hello)}) == 2)
            before = d1.of(Samples)[-1].sample
            d1.tell(Start)
            await d1.until(lambda: d1.of(Samples)[-1].sample < before)
    assert d1.of(Hello)[-1].sample <= d1.of(Samples)[-1].sample


@in_loop
async def test_damage_on_the_line_costs_frames_and_nothing_more(station: StationConfig) -> None:
    noisy = [{"kind": "flip", "device": "D1", "size": 1e-4}]
    async with DeviceBench(world(station, fault=noisy)) as bench, host(bench, "D2", 2) as d2:
        d2.tell(Start)
        async with host(bench, "D1", 1) as d1:
            d1.tell(Start)
            await d1.until(lambda: d1.n_samples > 2_000 and d1.decoder.counters["damaged"] > 0)
    clean = World(station, Scenario.model_validate(BRISK)).digitiser("D1")
    for block in d1.of(Samples):
        assert np.array_equal(block.counts, clean.block(block.sample, len(block.counts)))


@in_loop
async def test_plates_come_with_their_pictures(station: StationConfig) -> None:
    simulated = world(station)
    frames: list[PlateFrame] = []
    decoder = PlateDecoder()
    async with (
        DeviceBench(simulated) as bench,
        host(bench, "D1", 1) as d1,
        host(bench, "D2", 2) as d2,
        PortReader(bench.urls["C1"], name="C1") as camera,
        asyncio.timeout(60),
    ):
        d1.tell(Start)
        d2.tell(Start)
        while len(frames) < 2:
            frames += decoder.feed((await camera.read()).data)
    events = {event.vehicle.plate: event for event in simulated.plate_events(0, 20)}
    for frame in frames:
        picture = station.resolve(Path("pictures")) / frame.picture_ref
        assert picture.read_bytes()[-2:] == b"\xff\xd9"
        assert frame.camera_time_ns == simulated.utc_ns(events[frame.plate].taken_s)


@in_loop
async def test_the_cabinet_answers_over_modbus(station: StationConfig) -> None:
    simulated = world(station)
    async with DeviceBench(simulated) as bench:
        register_map = load_map("cabinet")
        async with ModbusDevice(ModbusBus(bench.urls["M1"]), 1, register_map, 1.0) as device:
            values = {value.name: value.value for value in (await device.read()).values}
    assert set(values) == {register.name for register in register_map.registers}
    assert values["road_temperature"] == pytest.approx(simulated.temperature_c(0), abs=0.06)
    assert values["ups_on_mains"] == 1.0
    assert values["door_open"] == 0.0
    assert values["uptime"] == pytest.approx(86_400, abs=5)


@in_loop
async def test_several_modbus_devices_stand_on_one_simulated_bus(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "stations" / "modbus.toml").read_text()
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "platform-3.toml").write_text(
        'like = "dini-dgt4x"\n[weight]\ndecimals = 0'
    )
    text = text.replace("/dev/serial/by-id/usb-rs485-if00-port0", f"{tmp_path}/bus")
    path = tmp_path / "station.toml"
    path.write_text(text.replace("tcp://192.0.2.30:502", "tcp://127.0.0.1:0"))
    station = load_station(path)
    async with DeviceBench(world(station), urls={"D1": "socket://127.0.0.1:0"}) as bench:
        assert bench.urls["W1"] == bench.urls["M1"] == f"rtu://{tmp_path}/bus?baud=115200"
        bus = ModbusBus(bench.urls["W1"])
        for section in station.model.modbus[:4]:
            register_map = load_map(station.with_map(section).map)
            async with ModbusDevice(bus, section.unit, register_map, 1.0) as device:
                reading = await device.read()
                assert (reading.weight is None) == (section.id == "M1")
    assert not (tmp_path / "bus").is_symlink()


@in_loop
async def test_run_devices_writes_the_truth_and_ends_with_its_traffic(
    station: StationConfig, tmp_path: Path
) -> None:
    said: list[str] = []
    scenario = tmp_path / "brisk.toml"
    scenario.write_text(
        "seed = 3\nlead_in_s = 0.1\n[[lane]]\nflow_per_h = 3600\nspeed_kmh = [60, 80]\n"
        'mix = { "12" = 1 }\n'
    )
    truth = tmp_path / "truth.jsonl"
    running = asyncio.create_task(
        run_devices(
            station.path,
            scenario,
            stop=asyncio.Event(),
            announce=said.append,
            seconds=0.5,
            truth=truth,
        )
    )
    async with asyncio.timeout(60):
        while READY not in said:
            await asyncio.sleep(0.01)
        assert read_truth(truth) == []
        urls = dict(line.split(": ", 1) for line in said if ": " in line)
        async with (
            PortReader(urls["D1"], name="D1") as d1,
            PortReader(urls["D2"], name="D2") as d2,
        ):
            d1.write(encode(Start(1, 0, 0)))
            d2.write(encode(Start(2, 0, 0)))
            await running
    rows = read_truth(truth)
    assert {row.lane for row in rows} == {"1", "2"}
    assert all(len(row.axle_kg) == 2 and len(row.spacing_m) == 1 for row in rows)
    assert abs(rows[0].time_ns - time.time_ns()) < 120e9


@in_loop
async def test_a_taken_port_is_told_in_plain_words(station: StationConfig) -> None:
    async with DeviceBench(world(station)) as bench:
        taken = {"D2": bench.urls["D2"], "D1": "pty", "C1": "pty"}
        with pytest.raises(LinkDown, match="already in use"):
            async with DeviceBench(world(station), urls=taken):
                pass


@in_loop
async def test_the_bench_leaves_nothing_behind(station: StationConfig, tmp_path: Path) -> None:
    async with DeviceBench(world(station)):
        assert (tmp_path / "run" / "d1").is_symlink()
    assert list((tmp_path / "run").iterdir()) == []
