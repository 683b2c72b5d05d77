"""The station's diary in a real store: clocks that are wrong, devices that fail, samples lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import chronicle as module
from edge.chronicle import Chronicle, unsure_from
from edge.clock import UNKNOWN, HostClock, Sync
from edge.config import load_station
from edge.errors import StoreError
from edge.evidence.statement import other_draft
from edge.health import Health, Level
from edge.opening import open_log
from edge.records import Draft, Record, SampleBlock
from edge.rules.pack import RulePack
from edge.store.store import Store
from edge.store.verify import verify_store
from tests.evidence.sample import opened
from tests.unit.test_clock import Hands
from tests.unit.test_config import GOOD

YEAR_NS = 365 * 86_400 * 1_000_000_000
NOW_NS = 1_795_000_000_000_000_000
SOFTWARE = {"name": "steelyard", "version": "1", "sha256": "0a" * 32}
CHRONY = Sync(True, "chrony 10.0.0.1", 1_500)


class Life:
    """One run of a station without its devices, on clocks that are set by hand."""

    def __init__(self, directory: Path, hands: Hands, boot_id: str = "boot-1") -> None:
        self.directory, self.hands = directory, hands
        self.clock: HostClock = hands.clock(boot_id)
        self.health = Health(
            lambda: hands.mono_ns, lambda part, state: self.diary.hear(part, state)
        )
        self.diary = Chronicle(self.health, self.clock, {"D1": ["1", "2"]})
        self.software = SOFTWARE
        self.store: Store

    @asynccontextmanager
    async def lived(self) -> AsyncIterator[Life]:
        file = self.directory / "station.toml"
        if not file.exists():
            file.write_text(GOOD)
        config = load_station(file)
        pack = RulePack.parse(config.pack_bytes())
        async with opened(
            self.directory, now_ns=self.clock.utc_ns, provenance=self.clock.provenance
        ) as self.store:
            await self.clock.refresh()
            await open_log(config, self.store, pack, self.software, self.clock)
            await self.diary.begin(self.store)
            yield self
            await self.diary.end(self.store)

    async def watch(self) -> None:
        """One look at the clock and at what was heard, as ``run`` does every half second."""
        if self.diary._watch_steps():
            await self.diary._ask(self.store)
        await self.diary._ask(self.store)
        self.diary._gather()
        await self.diary._seal(self.store)
        self.diary._size_before = self.store.size

    async def stop(self) -> Record:
        return await self.store.append(other_draft("stop", time_ns=self.clock.utc_ns(), fields={}))

    async def told(self, kind: str) -> list[dict[str, Any]]:
        return [r.body for r in reversed(await self.store.latest(kind=kind, limit=100))]


def corrected_us(body: dict[str, Any], statements: list[dict[str, Any]]) -> int:
    """The time of a record as a reader sets it right by the log alone."""
    for one in statements:
        ranged = one.get("sets_right")
        same_boot = one["boot_id"] == body["boot_id"]
        if ranged and same_boot and ranged["first"] <= body["index"] <= ranged["last"]:
            return int(body["mono_us"] + one["offset_us"])
    return int(body["time_us"])


def test_a_boot_in_1970_is_set_right_by_a_later_statement(tmp_path: Path) -> None:
    hands = Hands(3_000_000_000, 1_000_000_000)

    async def scenario() -> None:
        async with Life(tmp_path, hands).lived() as life:
            early = await life.stop()
            hands.pass_ns(60_000_000_000)
            assert (early.body["time_us"], early.body["clock_host"]["synchronised"]) == (
                3_000_000, False,
            )  # fmt: skip
            hands.wall_ns, hands.sync = NOW_NS, CHRONY
            await life.watch()
            late = await life.stop()
            clock = await life.told("clock")
            assert [one["event"] for one in clock] == ["boot", "stepped", "synchronised"]
            assert clock[1]["step_us"] == (NOW_NS - 63_000_000_000) // 1000
            assert corrected_us(early.body, clock) == NOW_NS // 1000 - 60_000_000
            assert corrected_us(late.body, clock) == late.body["time_us"] == NOW_NS // 1000
            assert life.health.snapshot().states["clock"].level is Level.OK

    asyncio.run(scenario())
    assert all(step.ok for step in verify_store(tmp_path, None, lambda *_: None))


@pytest.mark.parametrize("hours", [1, -1])
def test_a_step_by_an_hour_is_told_and_loses_nothing(tmp_path: Path, hours: int) -> None:
    hands = Hands(NOW_NS, 5_000)
    hands.sync = CHRONY

    async def scenario() -> None:
        async with Life(tmp_path, hands).lived() as life:
            before = await life.stop()
            hands.wall_ns += hours * 3_600_000_000_000
            between = await life.stop()  # sealed before anybody saw that the clock was set
            hands.sync = UNKNOWN
            await life.watch()
            after = await life.stop()
            hands.wall_ns -= hours * 3_600_000_000_000
            hands.sync = CHRONY
            await life.watch()
            clock = await life.told("clock")
            assert [one["event"] for one in clock] == [
                "boot", "stepped", "lost", "stepped", "synchronised",
            ]  # fmt: skip
            assert clock[1]["step_us"] == hours * 3_600_000_000
            for record in (before, between, after):
                assert corrected_us(record.body, clock) == NOW_NS // 1000

    asyncio.run(scenario())
    assert all(step.ok for step in verify_store(tmp_path, None, lambda *_: None))


def test_a_restart_within_a_boot_sets_right_what_an_earlier_run_sealed(tmp_path: Path) -> None:
    hands = Hands(NOW_NS - YEAR_NS, 9_000_000)

    async def scenario() -> None:
        async with Life(tmp_path, hands).lived() as life:
            first = await life.stop()
        hands.pass_ns(1_000_000_000)
        hands.wall_ns, hands.sync = NOW_NS, CHRONY
        async with Life(tmp_path, hands).lived() as life:
            clock = await life.told("clock")
            assert [one["event"] for one in clock] == ["boot", "stepped", "synchronised"]
            assert corrected_us(first.body, clock) == NOW_NS // 1000 - 1_000_000
            assert await unsure_from(life.store, "boot-1") is None
            starts = await life.told("start")
            assert [one["after"] for one in starts] == ["first", "stop"]

    asyncio.run(scenario())


def test_another_boot_sets_nothing_right_and_says_how_far_it_is_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Life(tmp_path, Hands(NOW_NS, 5_000)).lived() as life:
            await life.store.append(other_draft("operator", time_ns=NOW_NS, fields={}))
        hands = Hands(4_000_000_000, 1)
        hands.sync = CHRONY
        async with Life(tmp_path, hands, "boot-2").lived() as life:
            *_, boot = await life.told("clock")
            assert (boot["event"], boot["before_boot_id"]) == ("boot", "boot-1")
            assert boot["behind_us"] == (NOW_NS - 4_000_000_000) // 1000
            start = (await life.told("start"))[-1]
            assert start["after"] == "no-stop"

    asyncio.run(scenario())


def test_settings_are_sealed_with_their_files_when_they_change_and_only_then(
    tmp_path: Path,
) -> None:
    hands = Hands(NOW_NS, 5_000)

    async def one_run(software: dict[str, str] = SOFTWARE) -> list[dict[str, Any]]:
        life = Life(tmp_path, hands)
        life.software = software
        async with life.lived():
            return await life.told("configuration")

    async def scenario() -> None:
        (first,) = await one_run()
        assert first["previous"] is None
        assert len(await one_run()) == 1
        station_file = tmp_path / "station.toml"
        station_file.write_text(GOOD + "\n# a line more\n")
        _, second = await one_run()
        assert (second["changed"], second["previous"]) == (["station_file"], first["index"])
        kept = {blob["role"]: blob for blob in second["blobs"]}
        path = tmp_path / "blobs" / kept["station_file"]["sha256"][:2]
        assert (path / kept["station_file"]["sha256"]).read_bytes() == station_file.read_bytes()
        assert kept["rule_pack"]["sha256"] == second["rule_pack"]["sha256"]
        *_, third = await one_run(SOFTWARE | {"version": "2"})
        assert third["changed"] == ["software"]
        async with opened(tmp_path) as store:
            (software,) = await store.latest(kind="software")
            assert software.body["before"] == SOFTWARE

    asyncio.run(scenario())


def test_a_fault_and_lost_samples_stand_in_the_log(tmp_path: Path) -> None:
    hands = Hands(NOW_NS, 5_000)
    hands.sync = CHRONY

    async def scenario() -> None:
        async with Life(tmp_path, hands).lived() as life:
            life.health.state("camera.C1", Level.DOWN, "线断", "line lost")
            life.health.state("uplink", Level.DOWN, "断", "down")
            block = SampleBlock("D1", 5_000, np.zeros((1, 1), np.int32), 1e3, 70, False)
            life.diary.missed(block, hands.mono_ns)
            await life.watch()
            hands.pass_ns(7_000_000_000)
            life.health.state("camera.C1", Level.OK, "好", "well")
            hands.pass_ns(11_000_000_000)
            await life.watch()
            fault, recovered = await life.told("device")
            assert (fault["part"], fault["event"], fault["text"]["en"]) == (
                "camera.C1", "fault", "line lost",
            )  # fmt: skip
            assert fault["time_us"] == NOW_NS // 1000
            assert (recovered["event"], recovered["bad_us"]) == ("recovered", 7_000_000)
            assert recovered["time_us"] == NOW_NS // 1000 + 7_000_000
            (gap,) = await life.told("gap")
            assert (gap["device"], gap["lanes"], gap["first_sample"], gap["lost"]) == (
                "D1", ["1", "2"], 4_930, 70,
            )  # fmt: skip

    asyncio.run(scenario())


def test_what_is_still_gathered_is_told_at_the_stop(tmp_path: Path) -> None:
    hands = Hands(NOW_NS, 5_000)

    async def scenario() -> None:
        async with Life(tmp_path, hands).lived() as life:
            block = SampleBlock("D1", 5_000, np.zeros((1, 1), np.int32), 1e3, 70, False)
            life.diary.missed(block, hands.mono_ns)
        async with opened(tmp_path) as store:
            assert len(await store.latest(kind="gap")) == 1

    asyncio.run(scenario())


def test_a_disk_that_refuses_keeps_statements_waiting_with_their_own_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands(NOW_NS, 5_000)

    async def scenario() -> None:
        async with Life(tmp_path, hands).lived() as life:
            append = life.store.append

            async def full(_draft: Draft) -> Record:
                raise StoreError("磁盘满", "disk full")

            monkeypatch.setattr(life.store, "append", full)
            life.health.state("camera.C1", Level.DOWN, "线断", "line lost")
            await life.watch()
            hands.pass_ns(60_000_000_000)
            hands.wall_ns += 3_600_000_000_000
            monkeypatch.setattr(life.store, "append", append)
            await life.watch()
            (fault,) = await life.told("device")
            assert fault["time_us"] == NOW_NS // 1000
            assert fault["mono_us"] == 5
            assert life.health.snapshot().counters["chronicle.store_refused"] >= 1

    asyncio.run(scenario())


def test_more_statements_than_can_wait_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_DRAFTS", 3)
    life = Life(tmp_path, Hands(NOW_NS, 5_000))
    for _ in range(5):
        life.diary.say(other_draft("gap", time_ns=NOW_NS, fields={}))
    assert life.health.snapshot().counters["chronicle.statements_lost"] == 2
