"""Scales on real ptys: every format of the catalogue, asked or not, with rest, range and damage."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from edge.config import ScaleSection
from edge.errors import ConfigError, DeviceFault, LinkDown
from edge.health import Health, Level
from edge.records import ScaleReading
from edge.sources import scale as scale_source
from edge.sources.scale import Companions, ScaleSource
from firmware_bridge.indicators.catalogue import CATALOGUE, FORMATS, Format
from simulator.indicators import Settings
from simulator.lines import PtyLine
from simulator.scales import Damage, IndicatorDevice, SimPlatform
from tests.standstill import stand_still

NEEDED: dict[str, Settings] = {"equals": {"mirrored": True}, "aed": {"kg_per_digit": 0.5}}


@dataclass
class Bench:
    """The station's side and the indicators' side of some lines."""

    health: Health = field(default_factory=lambda: Health(time.monotonic_ns))
    companions: Companions = field(default_factory=Companions)
    readings: list[ScaleReading] = field(default_factory=list)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.005)

    async def at_rest(self, name: str = "S1") -> ScaleReading:
        """The newest reading of a scale, as soon as it rests."""
        await self.until(lambda: bool(self.of(name)) and self.of(name)[-1].stable)
        return self.of(name)[-1]

    def of(self, name: str) -> list[ScaleReading]:
        return [r for r in self.readings if r.device == name]

    def counter(self, name: str) -> int:
        return self.health.snapshot().counters.get(f"scale.S1.{name}", 0)

    def level(self, name: str = "S1") -> Level:
        return self.health.snapshot().states[f"scale.{name}"].level

    @contextlib.asynccontextmanager
    async def scale(
        self, row: Format, platform: SimPlatform, damage: Damage | None = None, **keys: object
    ) -> AsyncIterator[asyncio.Task[None]]:
        """An indicator and the station's source for it, on one pty."""
        settings = NEEDED.get(row.name, {})
        line = PtyLine()
        device = IndicatorDevice(
            row.name,
            settings,
            platform,
            line,
            request=row.request(settings),
            parity=row.parity,
            rate_hz=50,
            damage=damage,
        )
        made = {
            "id": "S1", "url": line.url, "format": row.name, "settings": settings,
            "data_bits": row.data_bits, "parity": row.parity, "max_kg": 60_000,
            "division_kg": 20, "stable_for_s": 0.1, "poll_s": 0.02,
        }  # fmt: skip
        section = ScaleSection.model_validate(made | keys)
        source = ScaleSource(section, self.health, time.monotonic_ns, self.companions)
        ticking = asyncio.create_task(_tick(device))
        reading = asyncio.create_task(source.run(self.readings.append))
        try:
            yield reading
        finally:
            ticking.cancel()
            reading.cancel()
            await asyncio.gather(ticking, reading, return_exceptions=True)
            line.unplug()


async def _tick(device: IndicatorDevice) -> None:
    while True:
        device.tick(time.monotonic())
        await asyncio.sleep(0.005)


def loaded(load_kg: float, division_kg: float = 20.0) -> SimPlatform:
    platform = SimPlatform(division_kg=division_kg)
    platform.load_kg = platform._start_kg = load_kg
    return platform


def run(scenario: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario(Bench())

    asyncio.run(whole())


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.name)
def test_every_format_weighs_and_says_what_protects_it(row: Format) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.scale(row, loaded(49_180)):
            reading = await bench.at_rest()
        assert (reading.load_kg, reading.in_range) == (49_180, True)
        assert reading.protection == row.protection
        assert reading.carries_weight == (row.protection != "none")
        assert bench.level() is Level.OK

    run(scenario)


def test_a_load_put_on_is_at_rest_only_when_it_is() -> None:
    async def scenario(bench: Bench) -> None:
        platform = SimPlatform()
        async with bench.scale(FORMATS["yaohua"], platform, stable_for_s=0.5):
            await bench.at_rest()
            put_s = time.monotonic()
            platform.put(30_000, put_s)
            await bench.until(lambda: not bench.readings[-1].stable)
            reading = await bench.at_rest()
        assert reading.load_kg == pytest.approx(30_000, abs=20)
        moving = [r.load_kg for r in bench.readings if not r.stable]
        assert any(kg is not None and abs(kg - 30_000) > 1000 for kg in moving)

    run(scenario)


@pytest.mark.parametrize(("load_kg", "name"), [(61_000, "sics"), (-900, "toledo")])
def test_out_of_range_is_no_load(load_kg: float, name: str) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.scale(FORMATS[name], loaded(load_kg)):
            await bench.until(lambda: len(bench.readings) > 3)
            assert bench.level() is Level.WARNING
        assert {(r.load_kg, r.in_range, r.stable) for r in bench.readings} == {(None, False, False)}
        assert bench.counter("out_of_range") >= 3

    run(scenario)


def test_the_range_of_the_plate_holds_where_the_format_knows_none() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.scale(FORMATS["yaohua"], loaded(60_200)):
            await bench.until(lambda: len(bench.readings) > 3)
        assert {(r.load_kg, r.in_range) for r in bench.readings} == {(None, False)}

    run(scenario)


def test_two_unprotected_scales_vouch_for_one_another() -> None:
    async def scenario(bench: Bench) -> None:
        first, second = loaded(40_000), loaded(40_040)
        async with (
            bench.scale(FORMATS["sics"], first, check_with="S2"),
            bench.scale(FORMATS["st-gs"], second, id="S2", check_with="S1"),
        ):
            await bench.until(lambda: any(r.agrees for r in bench.of("S1")))
            assert bench.of("S1")[-1].carries_weight
            second.load_kg = second._start_kg = 41_000
            await bench.until(lambda: bench.of("S1")[-1].agrees is False)
            assert not bench.of("S1")[-1].carries_weight
            assert bench.level() is Level.WARNING

    run(scenario)


def test_a_damaged_line_costs_readings_and_brings_no_wrong_ones() -> None:
    async def scenario(bench: Bench) -> None:
        damage = Damage(flipped_bits=2e-3, lost_bytes=2e-3, noise=0.2)
        async with bench.scale(FORMATS["toledo"], loaded(49_180), damage):
            await bench.until(lambda: len(bench.readings) > 60)
        assert {r.load_kg for r in bench.readings} == {49_180}
        assert bench.counter("noise_bytes") > 0

    run(scenario)


def test_silence_and_babble_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_source, "SILENCE_S", 2.0)
    monkeypatch.setattr(scale_source, "ANSWER_S", 0.5)

    async def silent(bench: Bench) -> None:
        async with bench.scale(FORMATS["sics"], loaded(0), Damage(lost_bytes=1.0)) as reading:
            with pytest.raises(LinkDown):
                await reading
        assert bench.counter("unanswered") >= 1

    async def babbling(bench: Bench) -> None:
        async with bench.scale(FORMATS["toledo"], loaded(0), data_bits=7, parity="odd") as reading:
            with pytest.raises(DeviceFault):
                await reading

    run(silent)
    run(babbling)


@pytest.mark.parametrize(
    ("name", "answer", "told"),
    [
        ("sics", b"S I\r\n", "declines to give a weight"),
        ("sics", b"ES\r\n", "declines to give a weight"),
        ("yaohua-command", b"\x02BB+01234001F\x03", "another address"),
        ("sics", b"US,GS,+0011.120kg\r\n", "not of the format (sics)"),
    ],
)
def test_a_device_that_answers_without_a_weight_is_told_for_what_it_says(
    monkeypatch: pytest.MonkeyPatch, name: str, answer: bytes, told: str
) -> None:
    monkeypatch.setattr(scale_source, "SILENCE_S", 1.5)
    monkeypatch.setattr(scale_source, "ANSWER_S", 0.5)

    async def answering() -> None:
        line = PtyLine()
        section = ScaleSection(id="S1", url=line.url, format=name, max_kg=60_000, division_kg=20)
        source = ScaleSource(section, Health(time.monotonic_ns), time.monotonic_ns, Companions())
        reading = asyncio.create_task(source.run(lambda _: None))
        while not reading.done():
            if line.read():
                line.send(answer)
            await asyncio.sleep(0.005)
        line.unplug()
        with pytest.raises(DeviceFault) as fault:
            await reading
        assert told in fault.value.what.en

    asyncio.run(answering())


def test_a_seven_bit_line_is_asked_with_parity_and_protected_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scale_source, "ANSWER_S", 0.1)

    async def scenario(bench: Bench) -> None:
        row = replace(FORMATS["sics"], data_bits=7, parity="odd")
        async with bench.scale(row, loaded(49_180), Damage(flipped_bits=1e-3)):
            reading = await bench.at_rest()
            await bench.until(lambda: len(bench.readings) > 40)
        assert (reading.load_kg, reading.protection) == (49_180, "parity")
        assert {r.load_kg for r in bench.readings} == {49_180}

    run(scenario)


def test_a_pulled_cable_is_a_lost_line() -> None:
    async def scenario(bench: Bench) -> None:
        line = PtyLine()
        device = IndicatorDevice("yaohua", {}, loaded(20_000), line, rate_hz=50)
        section = ScaleSection.model_validate(
            {"id": "S1", "url": line.url, "format": "yaohua", "max_kg": 6e4, "division_kg": 20}
        )
        source = ScaleSource(section, bench.health, time.monotonic_ns, bench.companions)
        ticking = asyncio.create_task(_tick(device))
        task = asyncio.create_task(source.run(bench.readings.append))
        await bench.until(lambda: len(bench.readings) > 3)
        line.unplug()
        with pytest.raises(LinkDown):
            await task
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)

    run(scenario)


def test_a_late_answer_is_not_taken_for_one_to_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question is up after ANSWER_S; what comes then is dropped, and the next is in step."""

    async def scenario(bench: Bench) -> None:
        line = PtyLine()
        section = ScaleSection.model_validate(
            {
                "id": "S1", "url": line.url, "format": "sics", "max_kg": 100, "division_kg": 1,
                "poll_s": 0.8,
            }
        )  # fmt: skip
        source = ScaleSource(section, bench.health, time.monotonic_ns, bench.companions)
        late_s, in_time_s = 0.05, 60.0
        monkeypatch.setattr(scale_source, "ANSWER_S", late_s)
        task = asyncio.create_task(source.run(bench.readings.append))
        for late in (1, 2):
            await bench.until(lambda: line.read() == b"SI\r\n")
            monkeypatch.setattr(scale_source, "ANSWER_S", in_time_s)  # of the next question
            await bench.until(lambda n=late: bench.counter("unanswered") == n)
            line.send(b"S S %10d kg\r\n" % late)
            await bench.until(lambda: line.read() == b"SI\r\n")
            monkeypatch.setattr(scale_source, "ANSWER_S", late_s)
            line.send(b"S S %10d kg\r\n" % (10 * late))
            await bench.until(lambda n=late: len(bench.readings) == n)
        assert [r.load_kg for r in bench.readings] == [10, 20]
        assert (bench.counter("unanswered"), bench.counter("unasked")) == (2, 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        line.unplug()

    run(scenario)


def test_an_answer_that_came_while_the_machine_stood_still_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(bench: Bench) -> None:
        monkeypatch.setattr(scale_source, "ANSWER_S", 0.2)
        monkeypatch.setattr(scale_source, "SILENCE_S", 0.4)
        line = PtyLine()
        made = {"id": "S1", "url": line.url, "format": "sics", "max_kg": 100, "division_kg": 1}
        section = ScaleSection.model_validate(made)
        source = ScaleSource(section, bench.health, time.monotonic_ns, bench.companions)
        task = asyncio.create_task(source.run(bench.readings.append))
        await bench.until(lambda: line.read() == b"SI\r\n")
        line.send(b"S S         10 kg\r\n")
        stand_still(0.5)
        await bench.until(lambda: task.done() or bool(bench.readings))
        assert (task.done(), bench.counter("unanswered")) == (False, 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        line.unplug()

    run(scenario)


@pytest.mark.parametrize(
    "keys", [{"format": "toledoo"}, {"settings": {"mirrored": True}}, {"format": "equals"}]
)
def test_a_format_that_cannot_be_is_the_station_files_fault(keys: dict[str, object]) -> None:
    made = {"id": "S1", "url": "/dev/null", "format": "yaohua", "max_kg": 1e4, "division_kg": 5}
    section = ScaleSection.model_validate(made | keys)
    with pytest.raises(ConfigError, match="S1"):
        ScaleSource(section, Health(time.monotonic_ns), time.monotonic_ns, Companions())
