"""A station changes a digitiser's program while it weighs, and sees when somebody else does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge.cli import main
from edge.config import StationConfig, load_station
from edge.evidence.station_key import station_signer
from edge.firmware_orders import Mailbox
from edge.health import Level
from edge.station import Station
from firmware_bridge import update
from simulator import firmware_update
from simulator.broker import free_port
from simulator.devices import DeviceBench
from simulator.firmware_maker import VERIFIER_KEY, Behaviour, make_image
from simulator.scenario import Scenario
from simulator.world import World
from tests.evidence.sample import opened
from tests.station.test_devices import BRISK, in_loop
from tests.unit.test_update import NEW, OLD, Bench

FILE = f"""
[station]
id = "SIM"
[web]
port = 0
[uplink]
broker = "mqtt://127.0.0.1:{{broker}}"
[[digitiser]]
id = "D1"
url = "{{run}}/d1"
firmware_keys = ["{VERIFIER_KEY}"]
channels = ["a", "b", "c", "d"]
[[lane]]
id = "1"
digitiser = "D1"
row = [
    {{{{ position_m = 0.0, width_m = 0.07, kind = "strip", left = "a", right = "b" }}}},
    {{{{ position_m = 2.1, width_m = 0.07, kind = "strip", left = "c", right = "d" }}}},
]
"""
PART = "firmware.D1"


class Life:
    """A station with its devices; both may be started anew."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "station.toml"
        self.file.write_text(FILE.format(broker=free_port(), run=directory))
        self.config: StationConfig = load_station(self.file)
        self.mailbox = Mailbox(self.config.data_dir, "D1")
        self.bench: DeviceBench
        self.station: Station

    @contextlib.asynccontextmanager
    async def devices(self) -> AsyncIterator[None]:
        world = World(self.config, Scenario.model_validate(BRISK))
        async with DeviceBench(world) as self.bench:
            yield

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop, ready = asyncio.Event(), asyncio.Event()
        self.station = Station(load_station(self.file))
        task = asyncio.create_task(self.station.run(stop, on_ready=lambda _: ready.set()))
        try:
            await asyncio.wait(
                {task, asyncio.create_task(ready.wait())}, return_when="FIRST_COMPLETED"
            )
            yield
        finally:
            stop.set()
            await task

    def tamper(self, image: bytes) -> None:
        """Somebody opens the device and changes its program."""
        (device,) = self.bench._digitisers
        device._slots.install(image)
        device._power_up(int(self.bench.time_s * device._digitiser.true_rate_hz))

    @property
    def level(self) -> Level:
        return self.station._health.snapshot().states[PART].level

    def counter(self, name: str) -> int:
        return self.station._health.snapshot().counters.get(name, 0)

    async def until(self, enough: Callable[[], bool], timeout_s: float = 80.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not enough():
                await asyncio.sleep(0.02)

    async def weigh(self, n: int) -> None:
        before = self.counter("lane.1.passages")
        await self.until(lambda: self.counter("lane.1.passages") >= before + n)

    async def command(self, *arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, main, ["firmware", *arguments])

    async def update(self, image: bytes) -> Result:
        path = self.directory / "new.img"
        path.write_bytes(image)
        return await self.command("update", str(self.file), "D1", str(path), "--by", "tester")

    async def told(self) -> list[dict[str, Any]]:
        """All statements and vehicles, the oldest first."""
        async with opened(
            self.config.data_dir, station="SIM", signer=station_signer(self.config)
        ) as store:
            return [r.body for r in reversed(await store.latest(kind=None, limit=10_000))]


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    monkeypatch.setattr(update, "HEALTHY_S", 1.0)
    monkeypatch.setattr(firmware_update, "TRIAL_S", 30.0)
    return Life(tmp_path)


def events(told: list[dict[str, Any]], kind: str) -> list[str]:
    return [body["event"] for body in told if body["kind"] == kind]


def flagged(told: list[dict[str, Any]]) -> list[bool]:
    return ["SEAL_BROKEN" in body["flags"] for body in told if body["kind"] == "vehicle"]


@in_loop
async def test_an_update_is_carried_out_stated_and_weighed_through(life: Life) -> None:
    async with life.devices(), life.running():
        await life.until(lambda: life.level is Level.OK)
        await life.weigh(1)
        result = await life.update(make_image("1.1", rollback=2))
        assert result.exit_code == 0, result.output
        await life.weigh(2)
        shown = await life.command("status", str(life.file))
    assert "seal whole" in shown.output
    assert "1.1" in shown.output
    told = await life.told()
    assert events(told, "identity") == ["first", "updated"]
    steps = ["ordered", "offered", "received", "switching", "trial", "confirmed"]
    assert events(told, "firmware") == steps
    assert {body["signer"] for body in told if body["kind"] == "firmware"} == {
        "steelyard-simulator"
    }
    kinds = [body["kind"] + body.get("event", "") for body in told]
    flags = flagged(told)
    assert not flags[0]
    assert not flags[-1]
    assert kinds.index("firmwareconfirmed") < kinds.index("identityupdated")


@in_loop
@pytest.mark.parametrize("behaviour", ["mute", "no-samples", "crashes"])
async def test_a_program_that_does_not_work_is_gone_again(
    life: Life, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firmware_update, "TRIAL_S", 2.0)
    async with life.devices(), life.running():
        await life.until(lambda: life.level is Level.OK)
        result = await life.update(make_image("1.1", rollback=2, behaviour=behaviour))
        assert result.exit_code == 5, result.output
        await life.weigh(1)
        assert life.level is Level.WARNING
    told = await life.told()
    assert events(told, "firmware")[-1] == "rolled-back"
    assert events(told, "identity") == ["first"]
    assert not flagged(told)[-1]


@in_loop
async def test_an_order_outlives_the_station(life: Life) -> None:
    async with life.devices():
        async with life.running():
            await life.until(lambda: life.level is Level.OK)
            path = life.directory / "new.img"
            path.write_bytes(make_image("1.1", rollback=2, size_bytes=200_000))
            order = ["update", str(life.file), "D1", str(path), "--by", "tester", "--no-wait"]
            assert (await life.command(*order)).exit_code == 0
            await life.until(lambda: bool((life.mailbox.status().get("update") or {}).get("block")))
        assert life.mailbox.order() is not None
        async with life.running():
            await life.until(lambda: life.mailbox.order() is None)
    told = await life.told()
    assert events(told, "firmware").count("ordered") == 1
    assert events(told, "firmware")[-1] == "confirmed"
    resumed = next(b for b in told if b["kind"] == "firmware" and b["event"] == "resumed")
    assert 0 < resumed["block"] < resumed["blocks"]


@in_loop
async def test_a_device_that_changed_is_in_quarantine_until_a_person_accepts_it(life: Life) -> None:
    async with life.devices():
        async with life.running():
            await life.until(lambda: life.level is Level.OK)
            await life.weigh(1)
            life.tamper(make_image("1.0", rollback=1, size_bytes=5_000))
            await life.until(lambda: life.level is Level.DOWN)
            await life.weigh(2)
            life.tamper(make_image())
            await life.until(lambda: life.bench._digitisers[0].started)
            await life.weigh(1)
            assert life.level is Level.DOWN, "what was opened stays in question"
        async with life.running():
            await life.until(lambda: life.level is Level.DOWN)
            await life.weigh(1)
            result = await life.command(
                "accept", str(life.file), "D1", "--by", "chief", "--reason", "looked into it"
            )
            assert "accepted" in result.output, result.output
            assert life.level is Level.OK
            await life.weigh(2)
    told = await life.told()
    assert events(told, "identity") == ["first", "changed", "accepted"]
    flags = flagged(told)
    assert (flags[0], flags[-1]) == (False, False)
    assert sum(flags) >= 3
    for body in told:
        if body["kind"] == "vehicle" and "SEAL_BROKEN" in body["flags"]:
            assert body["verdict"]["kind"] == "indeterminate"


def test_the_power_may_fail_at_every_byte_of_an_update() -> None:
    whole = Bench()
    whole.slots.flash.cut_after = 1 << 30
    whole.run()
    changed_bytes = (1 << 30) - whole.slots.flash.cut_after
    for cut in range(changed_bytes):
        bench = Bench()
        bench.slots.flash.cut_after = cut
        bench.run()
        assert bench.host.ended == "confirmed", cut
        assert set(bench.ran) == {OLD, NEW}, cut
