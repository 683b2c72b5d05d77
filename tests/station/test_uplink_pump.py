"""The pump's order, window, patience and fairness, on a real store and a line told what to do."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge.config import UplinkSection
from edge.errors import LinkDown
from edge.evidence.batch import JOINT_SCHEMA, SCHEMA, EnvelopeBatch
from edge.evidence.envelope import Envelope
from edge.evidence.note import NoteSigner
from edge.evidence.receipt import Receipt
from edge.health import Health
from edge.records import Draft, Record
from edge.store.store import Store
from edge.uplink.blobs import BlobState, Manifest
from edge.uplink.gate import Sizes
from edge.uplink.line import Line
from edge.uplink.paho_client import MQTT_5, MQTT_311
from edge.uplink.porter import Porter
from edge.uplink.pump import Pump
from edge.uplink.refusals import MessageTooLarge, PublishRefused
from edge.uplink.topics import CHUNK_BYTES, Topics, parse_up
from tests.station.uplinks import runs, until

TOPICS = Topics("S1")


@dataclass
class Centre:
    """A link with a centre behind it; ``answers`` and ``breaks_at`` say which records fare how."""

    answers: Callable[[int], bool] = lambda _index: True
    breaks_at: int = -1
    refusal: int = 0
    code: int = 0
    version: int = MQTT_5
    knows_blobs: bool = True
    max_packet_bytes: int = 1_000_000
    sent: list[tuple[str, Any]] = field(default_factory=list)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    chunks: dict[str, dict[int, bytes]] = field(default_factory=dict)
    schemas: list[str] = field(default_factory=list)
    subscriptions: int = 0
    pump: Pump | None = None
    porter: Porter | None = None
    store: Store | None = None

    def overhead_bytes(self, topic: str) -> int:
        return len(topic) + 64

    async def subscribe(self, _topic: str) -> None:
        self.subscriptions += 1

    async def publish(self, topic: str, payload: bytes, **_: Any) -> int:
        if self.overhead_bytes(topic) + len(payload) > self.max_packet_bytes:
            raise MessageTooLarge("太大", "too large")
        what = parse_up(topic)
        assert what
        if self.refusal:
            error = PublishRefused("满", "full")
            error.code = self.refusal
            raise error
        if what.what == "manifest":
            self.sent.append(("manifest", what.sha256))
            self.manifests[what.sha256] = Manifest.decode(payload)
            if self.knows_blobs:
                self.tell(what.sha256)
        elif what.what == "chunk":
            assert (
                hashlib.sha256(payload).hexdigest()
                == (self.manifests[what.sha256].chunks[what.number])
            )
            self.sent.append(("chunk", len(payload)))
            self.chunks.setdefault(what.sha256, {})[what.number] = payload
        else:
            await self._take_records(what.what, payload)
        return self.code

    def tell(self, sha256: str) -> None:
        """What is missing of a blob."""
        assert self.porter
        manifest = self.manifests.get(sha256)
        if manifest is None:
            self.porter.told(BlobState(sha256, "missing"))
            return
        held = self.chunks.get(sha256, {})
        lacking = (n for n in range(len(manifest.chunks)) if n not in held)
        self.porter.told(BlobState.lacking(sha256, lacking))

    async def _take_records(self, what: str, payload: bytes) -> None:
        assert self.pump
        assert self.store
        envelopes = (
            [Envelope.decode(payload)]
            if what == "record"
            else EnvelopeBatch.decode(payload).envelopes
        )
        indices = [envelope.index for envelope in envelopes]
        if self.breaks_at in indices:
            raise LinkDown("断", "broken")
        self.sent.append((what, tuple(indices)))
        self.schemas.append(json.loads(payload.partition(b"\n")[0])["schema"])
        receipts = [
            Receipt(e.record_id, e.index, "stored", "", 1, 1)
            for e in envelopes
            if self.answers(e.index)
        ]
        self.pump.settle(await self.store.acknowledge_many(receipts))

    @property
    def records(self) -> list[int]:
        return [i for what, some in self.sent if what in ("record", "records") for i in some]

    def bytes_of(self, sha256: str) -> bytes:
        return b"".join(piece for _, piece in sorted(self.chunks[sha256].items()))


@dataclass
class Bench:
    store: Store
    health: Health
    pump: Pump
    section: UplinkSection

    async def append(self, *blobs: bytes, urgent: bool = False) -> Record:
        kept = [await self.store.put_blob(blob, "picture", "image/jpeg") for blob in blobs]
        return await self.store.append(Draft("note", {"time_us": 1}, tuple(kept), urgent))

    @contextlib.asynccontextmanager
    async def pumping(self, centre: Centre) -> AsyncIterator[asyncio.Task[None]]:
        line = Line(centre, Sizes(256 * 1024))  # type: ignore[arg-type]
        porter = Porter(
            line,
            TOPICS,
            self.store.blob_path,
            self.health,
            answer_s=self.section.receipt_timeout_s,
            lacks=self.pump.lacks,
        )
        centre.pump, centre.porter, centre.store = self.pump, porter, self.store
        stopping = asyncio.Event()
        task = asyncio.create_task(self.pump.run(line, porter, stopping))
        try:
            yield task
        finally:
            stopping.set()
            await asyncio.gather(task, return_exceptions=True)
            await porter.close()

    def count(self, name: str) -> int:
        return self.health.snapshot().counters.get(f"uplink.{name}", 0)

    def told(self) -> str:
        state = self.health.snapshot().states.get("uplink.receipts")
        return state.text.en if state else ""

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
        yield Bench(store, health, Pump(store, section, TOPICS, health), section)
    finally:
        await store.close()


async def emptied(bench: Bench, but: int = 0) -> None:
    async def is_empty() -> bool:
        return await bench.waiting() <= but

    await until(is_empty)


@runs
async def test_cases_go_first_one_by_one_and_blobs_before_their_record(tmp_path: Path) -> None:
    async with bench(tmp_path, timeout_s=60) as b:
        for _ in range(3):
            await b.append()
        case = await b.append(b"three", urgent=True)
        line = Centre()
        async with b.pumping(line):
            await emptied(b)
        sha256 = case.blobs[0].sha256
        order = [what for what in line.sent if what[0] != "records"]
        assert order == [("manifest", sha256), ("chunk", 5), ("record", (3,))]
        assert ("records", (0, 1, 2)) in line.sent


@runs
async def test_a_case_overtakes_a_backlog_that_waits_for_the_line(tmp_path: Path) -> None:
    sealed = asyncio.Event()

    class Slow(Centre):
        async def publish(self, topic: str, payload: bytes, **more: Any) -> int:
            if self.sent:  # the line stands still until the case is there
                await sealed.wait()
            await asyncio.sleep(0.05)
            return await super().publish(topic, payload, **more)

    async with bench(tmp_path, timeout_s=60) as b:
        await b.store.append_many([Draft("note", {"time_us": 1, "t": "x" * 900})] * 2_000)
        line = Slow()
        async with b.pumping(line):
            await until(lambda: line.records)
            case = await b.append(urgent=True)
            sealed.set()
            await until(lambda: case.index in line.records)
            assert line.records.index(case.index) < 1_500
            await emptied(b)


@runs
async def test_a_record_that_comes_later_is_sent_at_once(tmp_path: Path) -> None:
    async with bench(tmp_path, timeout_s=60) as b, b.pumping(line := Centre()):
        for n in range(3):
            await b.append(urgent=n == 1)
            await until(lambda n=n: line.records == list(range(n + 1)))


@runs
async def test_no_more_cases_than_the_window_are_on_their_way(tmp_path: Path) -> None:
    async with bench(tmp_path, window=4, timeout_s=60) as b:
        for _ in range(10):
            await b.append(urgent=True)
        line = Centre(answers=lambda _: False)
        async with b.pumping(line) as task:
            await until(lambda: len(line.sent) == 4)
            await asyncio.sleep(0.05)
            task.cancel()
        assert sorted(line.records) == [0, 1, 2, 3]


@runs
async def test_a_long_backlog_goes_in_few_messages_and_never_all_at_once(tmp_path: Path) -> None:
    most = 0

    class Watched(Centre):
        async def publish(self, topic: str, payload: bytes, **more: Any) -> int:
            nonlocal most
            assert self.pump
            most = max(most, len(self.pump._parcel_of))
            return await super().publish(topic, payload, **more)

    async with bench(tmp_path, timeout_s=60) as b:
        await b.store.append_many([Draft("note", {"time_us": 1})] * 3_000)
        line = Watched()
        async with b.pumping(line):
            await emptied(b)
        assert sorted(line.records) == list(range(3_000))
        assert len(line.sent) <= 40
        assert most <= 1_500


@runs
async def test_a_record_without_receipt_is_sent_again_and_holds_nobody_up(tmp_path: Path) -> None:
    async with bench(tmp_path, window=2) as b:
        for n in range(6):
            await b.append(urgent=n < 2)
        line = Centre(answers=lambda index: index not in (0, 3))
        async with b.pumping(line) as task:
            await emptied(b, but=2)
            await until(lambda: line.records.count(0) >= 2 and line.records.count(3) >= 2)
            task.cancel()
        assert [line.records.count(n) for n in (1, 2, 4, 5)] == [1] * 4
        assert (await b.store.delivery(0)).attempts >= 1
        assert b.count("resends") >= 2


@runs
async def test_a_silent_centre_is_asked_by_one_record_at_a_time(tmp_path: Path) -> None:
    async with bench(tmp_path, window=8) as b:
        for n in range(30):
            await b.append(urgent=n % 2 == 0)
        heard = False
        line = Centre(answers=lambda _: heard)
        async with b.pumping(line):
            await until(lambda: b.count("receipts_missed") >= 8)
            before = len(line.records)
            await until(lambda: b.count("receipts_missed") >= 26)
            assert len(line.records) - before <= 14
            assert "sends no receipts" in b.told()
            assert line.subscriptions == 1
            heard = True
            await emptied(b)
        assert sorted(set(line.records)) == list(range(30))


@runs
async def test_a_broker_without_a_case_system_behind_it_is_told_apart(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        for _ in range(5):
            await b.append(urgent=True)
        line = Centre(answers=lambda _: False, code=16)
        async with b.pumping(line) as task:
            await until(lambda: "no case system is connected" in b.told())
            task.cancel()


@runs
async def test_a_broker_of_3_1_1_may_drop_what_it_forbids_and_that_is_said(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        for _ in range(5):
            await b.append(urgent=True)
        line = Centre(answers=lambda _: False, version=MQTT_311)
        async with b.pumping(line) as task:
            await until(lambda: "does not say so (MQTT 3.1.1)" in b.told())
            task.cancel()
        step = b.health.snapshot().states["uplink.receipts"].next_step
        assert "access list" in step.en


@pytest.mark.parametrize("code", [147, 150, 151])
def test_a_full_broker_is_asked_by_one_record_until_it_takes_more(
    tmp_path: Path, code: int
) -> None:
    @runs
    async def deliver() -> None:
        async with bench(tmp_path) as b:
            for _ in range(12):
                await b.append(urgent=True)
            line = Centre(refusal=code)
            async with b.pumping(line):
                await until(lambda: b.count("receipts_missed") >= 12)
                assert b.told().startswith("full")
                line.refusal = 0
                await emptied(b)
            assert b.count("poisoned") == 0

    deliver()


@runs
async def test_a_broker_that_does_not_authorise_ends_the_connection(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.append(urgent=True)
        async with b.pumping(Centre(refusal=135)) as task:
            with pytest.raises(PublishRefused):
                await task
        assert await b.waiting() == 1


@runs
async def test_a_record_whose_file_is_gone_is_put_aside(tmp_path: Path) -> None:
    async with bench(tmp_path, timeout_s=60) as b:
        lost = await b.append(b"lost")
        b.store.blob_path(lost.blobs[0].sha256).unlink()
        kept = await b.append(b"kept")
        async with b.pumping(line := Centre()):
            await emptied(b)
        assert line.records == [kept.index]
        assert (await b.store.outbox_summary()).poisoned == 1
        assert b.count("poisoned") == 1


@runs
async def test_a_file_that_rotted_is_found_and_its_record_put_aside(tmp_path: Path) -> None:
    """The centre keeps saying that it lacks the blob; then the file is looked at."""

    class Checking(Centre):
        async def _take_records(self, what: str, payload: bytes) -> None:
            for sha256 in self.manifests:
                if hashlib.sha256(self.bytes_of(sha256)).hexdigest() != sha256:
                    self.chunks.clear()
                    self.sent.append((what, ()))
                    asyncio.get_running_loop().call_soon(self.tell, sha256)
                    return
            await super()._take_records(what, payload)

    async with bench(tmp_path, timeout_s=60) as b:
        rotten = await b.append(os.urandom(300_000), urgent=True)
        path = b.store.blob_path(rotten.blobs[0].sha256)
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.seek(1_000)
            file.write(b"rot")
        async with b.pumping(Checking()):
            await emptied(b)
        assert "damaged" in ((await b.store.delivery(rotten.index)).poisoned or "")


@runs
async def test_a_record_whose_blob_the_centre_lacks_goes_again_after_it(tmp_path: Path) -> None:
    """The broker forgot the pieces; the centre says so when the record comes."""

    class Forgetful(Centre):
        async def _take_records(self, what: str, payload: bytes) -> None:
            [sha256] = self.manifests
            if not self.sent.count(("record", ())):
                self.chunks.clear()
                self.sent.append(("record", ()))
                asyncio.get_running_loop().call_soon(self.tell, sha256)
                return
            await super()._take_records(what, payload)

    async with bench(tmp_path, timeout_s=60) as b:
        data = os.urandom(300_000)
        record = await b.append(data, urgent=True)
        async with b.pumping(line := Forgetful()):
            await emptied(b)
        assert line.bytes_of(record.blobs[0].sha256) == data
        assert b.count("receipts_missed") == 0


@runs
async def test_only_the_missing_pieces_are_sent(tmp_path: Path) -> None:
    data = os.urandom(1_000_000)
    sha256 = hashlib.sha256(data).hexdigest()
    async with bench(tmp_path, timeout_s=60) as b:
        await b.append(data, urgent=True)
        size = CHUNK_BYTES
        held = {n: data[n * size : (n + 1) * size] for n in (0, 1, 2, 4)}
        async with b.pumping(line := Centre(chunks={sha256: held})):
            await emptied(b)
        assert sum(what == "chunk" for what, _ in line.sent) == 2
        assert line.bytes_of(sha256) == data


@runs
async def test_what_the_centre_has_from_elsewhere_is_not_sent(tmp_path: Path) -> None:
    data = b"the same picture"
    async with bench(tmp_path, timeout_s=60) as b:
        await b.append(data, urgent=True)
        held = {hashlib.sha256(data).hexdigest(): {0: data}}
        async with b.pumping(line := Centre(chunks=held)):
            await emptied(b)
            for _ in range(3):
                await b.append(data, urgent=True)
            await emptied(b)
        assert [what for what, _ in line.sent].count("manifest") == 1
        assert "chunk" not in [what for what, _ in line.sent]


@runs
async def test_an_empty_blob_has_no_pieces(tmp_path: Path) -> None:
    async with bench(tmp_path, timeout_s=60) as b:
        await b.append(b"", urgent=True)
        async with b.pumping(line := Centre()):
            await emptied(b)
        assert [what for what, _ in line.sent] == ["manifest", "record"]


@runs
async def test_a_centre_that_says_nothing_of_blobs_is_silent(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.append(b"blob", urgent=True)
        async with b.pumping(line := Centre(knows_blobs=False)) as task:
            await until(lambda: b.count("receipts_missed") >= 2)
            task.cancel()
        assert line.records == []


@runs
async def test_a_record_that_breaks_the_line_lets_the_others_go_first(tmp_path: Path) -> None:
    async with bench(tmp_path, window=1, timeout_s=60) as b:
        for _ in range(4):
            await b.append(urgent=True)
        line = Centre(breaks_at=0)
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

    class Slow(Centre):
        async def publish(self, topic: str, payload: bytes, **more: Any) -> int:
            try:
                await super().publish(topic, payload, **more)
                await asyncio.sleep(60)
                return 0
            finally:
                self.sent.append(("called back", 0))
                await asyncio.sleep(0.05)

    async with bench(tmp_path, window=3, timeout_s=60) as b:
        for _ in range(3):
            await b.append(urgent=True)
        slow = Slow(answers=lambda _: False, breaks_at=2)
        async with b.pumping(slow) as task:
            await until(lambda: sum(what == "called back" for what, _ in slow.sent) == 3)
            task.cancel()
        async with b.pumping(line := Centre()):
            await emptied(b)
        assert sorted(line.records) == [0, 1, 2]


@runs
async def test_pieces_are_as_small_as_the_broker_wants_and_what_never_fits_is_put_aside(
    tmp_path: Path,
) -> None:
    data = os.urandom(5_000)
    async with bench(tmp_path, timeout_s=60) as b:
        record = await b.append(data)
        await b.store.append(Draft("note", {"time_us": 1, "text": "long " * 1_000}))
        await b.append()
        async with b.pumping(line := Centre(max_packet_bytes=1_500)):
            await emptied(b)
        assert line.bytes_of(record.blobs[0].sha256) == data
        assert (await b.store.outbox_summary()).poisoned == 1
        assert sorted(line.records) == [0, 2]


@runs
async def test_one_proof_for_all_is_sent_to_who_reads_it_until_no_receipt_comes(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as b:
        line = Centre()
        async with b.pumping(line):
            await b.append()
            await emptied(b)
            b.pump.reads(["another", JOINT_SCHEMA])
            await b.append()
            await emptied(b)
            line.answers = lambda _: len(line.schemas) > 3
            await b.append()
            await emptied(b)
        assert line.schemas == [SCHEMA, JOINT_SCHEMA, JOINT_SCHEMA, SCHEMA]


@runs
async def test_a_refusal_of_the_whole_log_puts_nothing_aside(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        record = await b.append(urgent=True)
        line = Centre(answers=lambda _: False)
        async with b.pumping(line):
            await until(lambda: line.records)
            b.pump.hold(record.index)
            await until(lambda: line.records.count(0) == 2)
        assert b.count("poisoned") == 0


@runs
async def test_stopping_gives_what_is_on_its_way_a_moment(tmp_path: Path) -> None:
    async with bench(tmp_path, timeout_s=60) as b:
        record = await b.append()
        line = Centre(answers=lambda _: False)
        async with b.pumping(line) as running:
            await until(lambda: line.records == [0])
            asyncio.get_running_loop().call_later(0.1, b.pump.settle, [record.index])
        assert running.done()
        assert b.count("receipts_missed") == 0
