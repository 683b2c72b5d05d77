"""The pump's order, window, patience and fairness, on a real store and a line told what to do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.config import UplinkSection
from edge.errors import LinkDown
from edge.evidence.envelope import Envelope
from edge.evidence.note import NoteSigner
from edge.evidence.receipt import Receipt
from edge.health import Health
from edge.records import Draft, Record
from edge.store.store import Store
from edge.uplink.pump import Pump
from edge.uplink.topics import Topics, parse_up
from tests.station.uplinks import runs, until

TOPICS = Topics("S1")


@dataclass
class Line:
    """Takes what is published; ``answers`` and ``breaks_at`` say which records fare how."""

    answers: Callable[[int], bool] = lambda _index: True
    breaks_at: int = -1
    max_packet_bytes: int = 1_000_000
    sent: list[tuple[str, int]] = field(default_factory=list)
    pump: Pump | None = None
    store: Store | None = None

    def overhead_bytes(self, topic: str) -> int:
        return len(topic) + 64

    async def publish(self, topic: str, payload: bytes) -> None:
        what = parse_up(topic)
        assert what
        if what.what == "blob":
            self.sent.append(("blob", len(payload)))
            return
        envelope = Envelope.decode(payload)
        if envelope.index == self.breaks_at:
            raise LinkDown("断", "broken")
        self.sent.append(("record", envelope.index))
        if self.answers(envelope.index):
            assert self.store
            assert self.pump
            receipt = Receipt(envelope.record_id, envelope.index, "stored", "", 1, 1)
            await self.store.acknowledge(receipt)
            self.pump.settle(envelope.index)

    @property
    def records(self) -> list[int]:
        return [index for what, index in self.sent if what == "record"]


@dataclass
class Bench:
    store: Store
    health: Health
    pump: Pump

    async def append(self, *blobs: bytes, urgent: bool = False) -> Record:
        kept = [await self.store.put_blob(blob, "picture", "image/jpeg") for blob in blobs]
        return await self.store.append(Draft("note", {"time_us": 1}, tuple(kept), urgent))

    @contextlib.asynccontextmanager
    async def pumping(self, line: Line) -> AsyncIterator[asyncio.Task[None]]:
        line.pump, line.store = self.pump, self.store
        stopping = asyncio.Event()
        task = asyncio.create_task(self.pump.run(line, stopping))  # type: ignore[arg-type]
        try:
            yield task
        finally:
            stopping.set()
            await asyncio.gather(task, return_exceptions=True)

    def count(self, name: str) -> int:
        return self.health.snapshot().counters.get(f"uplink.{name}", 0)

    async def waiting(self) -> int:
        return (await self.store.outbox_summary()).waiting


@contextlib.asynccontextmanager
async def bench(
    directory: Path, *, window: int = 20, timeout_s: float = 0.05
) -> AsyncIterator[Bench]:
    signer = NoteSigner.load_or_create(directory / "key", "steelyard/S1")
    health = Health(time.monotonic_ns)
    store = await Store.open(
        directory, station="S1", signer=signer, health=health, now_ns=time.time_ns
    )
    section = UplinkSection.model_construct(receipt_timeout_s=timeout_s, window=window)
    try:
        yield Bench(store, health, Pump(store, section, TOPICS, health))
    finally:
        await store.close()


async def emptied(bench: Bench, but: int = 0) -> None:
    async def is_empty() -> bool:
        return await bench.waiting() <= but

    await until(is_empty)


@runs
async def test_cases_go_before_everything_else_and_blobs_before_their_record(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path, window=1) as b:
        await b.append(b"one")
        await b.append()
        await b.append(b"three", b"third", urgent=True)
        line = Line()
        async with b.pumping(line):
            await emptied(b)
        assert line.sent == [
            ("blob", 5),
            ("blob", 5),
            ("record", 2),
            ("blob", 3),
            ("record", 0),
            ("record", 1),
        ]


@runs
async def test_a_record_that_comes_later_is_sent_at_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as b, b.pumping(line := Line()):
        for n in range(3):
            await b.append()
            await until(lambda n=n: line.records == list(range(n + 1)))


@runs
async def test_no_more_than_the_window_is_on_its_way(tmp_path: Path) -> None:
    async with bench(tmp_path, window=4, timeout_s=60) as b:
        for _ in range(10):
            await b.append()
        line = Line(answers=lambda _: False)
        async with b.pumping(line) as task:
            await until(lambda: len(line.sent) == 4)
            await asyncio.sleep(0.05)
            task.cancel()
        assert sorted(line.records) == [0, 1, 2, 3]


@runs
async def test_a_record_without_receipt_is_sent_again_and_holds_nobody_up(tmp_path: Path) -> None:
    async with bench(tmp_path, window=2) as b:
        for _ in range(6):
            await b.append()
        line = Line(answers=lambda index: index != 0)
        async with b.pumping(line) as task:
            await emptied(b, but=1)
            await until(lambda: line.records.count(0) >= 2)
            task.cancel()
        assert [line.records.count(n) for n in range(1, 6)] == [1] * 5
        assert (await b.store.delivery(0)).attempts >= 1


@runs
async def test_a_silent_centre_is_asked_by_one_record_at_a_time(tmp_path: Path) -> None:
    on_its_way: list[int] = []
    async with bench(tmp_path, window=8) as b:
        for _ in range(30):
            await b.append()
        heard = False
        line = Line(answers=lambda _: heard)
        async with b.pumping(line):
            await until(lambda: b.count("receipts_missed") >= 8)
            before = len(line.sent)
            await until(lambda: b.count("receipts_missed") >= 11)
            on_its_way.append(len(line.sent) - before)
            heard = True
            await emptied(b)
        assert on_its_way[0] <= 4
        assert sorted(set(line.records)) == list(range(30))


@runs
async def test_a_record_whose_file_is_gone_is_put_aside(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        lost = await b.append(b"lost")
        b.store.blob_path(lost.blobs[0].sha256).unlink()
        kept = await b.append(b"kept")
        async with b.pumping(line := Line()):
            await emptied(b)
        assert line.records == [kept.index]
        assert (await b.store.outbox_summary()).poisoned == 1
        assert b.count("poisoned") == 1


@runs
async def test_a_record_that_breaks_the_line_lets_the_others_go_first(tmp_path: Path) -> None:
    async with bench(tmp_path, window=1, timeout_s=60) as b:
        for _ in range(4):
            await b.append()
        line = Line(breaks_at=0)
        for _ in range(3):
            async with b.pumping(line) as task:
                with pytest.raises(LinkDown):
                    await task
        assert line.records == []
        async with b.pumping(line):
            await emptied(b, but=1)
        assert line.records == [1, 2, 3]


@runs
async def test_a_line_that_is_lost_twice_at_once_does_not_stop_the_next_one(
    tmp_path: Path,
) -> None:
    """The line breaks under a record, and again while the others are being called back."""

    class Slow(Line):
        async def publish(self, topic: str, payload: bytes) -> None:
            try:
                await super().publish(topic, payload)
                await asyncio.sleep(60)
            finally:
                self.sent.append(("called back", 0))
                await asyncio.sleep(0.05)

    async with bench(tmp_path, window=3, timeout_s=60) as b:
        for _ in range(3):
            await b.append()
        slow = Slow(answers=lambda _: False, breaks_at=2)
        async with b.pumping(slow) as task:
            await until(lambda: sum(what == "called back" for what, _ in slow.sent) == 3)
            task.cancel()
        async with b.pumping(line := Line()):
            await emptied(b)
        assert sorted(line.records) == [0, 1, 2]


@runs
async def test_pieces_are_as_small_as_the_broker_wants(tmp_path: Path) -> None:
    data = os.urandom(5_000)
    async with bench(tmp_path) as b:
        await b.append(data)
        line = Line(max_packet_bytes=1_000)
        async with b.pumping(line):
            await emptied(b)
        sizes = [size for what, size in line.sent if what == "blob"]
        assert sum(sizes) == len(data)
        assert max(sizes) + line.overhead_bytes(TOPICS.blob("0" * 64, 99_999, 99_999)) <= 1_000


@runs
async def test_stopping_gives_what_is_on_its_way_a_moment(tmp_path: Path) -> None:
    async with bench(tmp_path, timeout_s=60) as b:
        record = await b.append()
        line = Line(answers=lambda _: False)
        line.pump, line.store = b.pump, b.store
        stopping = asyncio.Event()
        running = asyncio.create_task(b.pump.run(line, stopping))  # type: ignore[arg-type]
        await until(lambda: line.records == [0])
        stopping.set()
        await asyncio.sleep(0.02)
        assert not running.done()
        await b.store.acknowledge(Receipt(record.record_id, 0, "stored", "", 1, 1))
        b.pump.settle(0)
        await asyncio.wait_for(running, 1)
