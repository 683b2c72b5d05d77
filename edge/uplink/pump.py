"""From the outbox to the centre: cases first and each by itself, all else in batches.

An entry leaves the outbox by its receipt only. What gets none is sent again under the same id,
later each time, while the others go on; what the broker or the centre will never take is put
aside with an alarm.

======================================  =====================================================
no receipt within ``receipt_timeout_s``  attempt noted, the records rest, longer each time
several in a row without a receipt       the centre is silent: one record at a time goes on asking
the broker is full                       the same, in its words
the line breaks under a record, often    it rests first on the next connection
too large, or its bytes are gone         poisoned
======================================  =====================================================
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from edge.config import UplinkSection
from edge.errors import IntegrityError, Text
from edge.evidence.batch import JOINT_SCHEMA
from edge.health import Health, Level
from edge.store.store import Store
from edge.uplink.gate import Turn
from edge.uplink.line import Line
from edge.uplink.paho_client import MQTT_5
from edge.uplink.parcels import Parcel, parcels_of
from edge.uplink.patience import Patience
from edge.uplink.porter import Porter
from edge.uplink.refusals import NO_SUBSCRIBER, NOT_AUTHORISED, MessageTooLarge, PublishRefused
from edge.uplink.silence import Silence
from edge.uplink.tasks import end, together
from edge.uplink.topics import Topics

_BATCH_BYTES = 256 * 1024
_BATCH_RECORDS = 200
_BATCHES = 6
"""Batches on their way or waiting for their receipt."""
_ROUNDS = 3
"""Times that a record is sent within one delivery because the centre lacks its blobs."""
_DRAIN_S = 2.0


class Pump:
    """Keeps up to ``section.window`` cases and a few batches on their way."""

    def __init__(
        self,
        store: Store,
        section: UplinkSection,
        topics: Topics,
        health: Health,
        *,
        mono_s: Callable[[], float] = time.monotonic,
        on_case: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._section = section
        self._topics = topics
        self._health = health
        self._mono_s = mono_s
        self._on_case = on_case
        self._wake = asyncio.Event()
        self._patience = Patience(section.receipt_timeout_s, mono_s)
        self._silence = Silence(health)
        self._parcel_of: dict[int, Parcel] = {}
        self._sending: dict[Parcel, asyncio.Task[None]] = {}
        self._joint = False

    # ------------------------------------------------------------------------------------------
    # What the centre says

    def settle(self, indices: Collection[int]) -> None:
        """The centre has answered for these records."""
        if indices:
            if self._silence.ended():
                self._patience.wake_all()  # it was the centre's silence, not theirs
            self._patience.forget(indices)
            self._let_go(indices)

    def hold(self, index: int) -> None:
        """The centre does not take a record now; it is offered again, later each time."""
        self._patience.missed([index])
        self._let_go([index])

    def _let_go(self, indices: Collection[int]) -> None:
        """These are under way no more."""
        for index in indices:
            if parcel := self._parcel_of.pop(index, None):
                parcel.settle(index)
        self._wake.set()

    def reads(self, schemas: Iterable[str]) -> None:
        """The centre has said which forms it reads; believed until a record gets no receipt."""
        self._joint = JOINT_SCHEMA in schemas

    def lacks(self, sha256: str) -> None:
        """The centre has a record whose blob is not there."""
        for parcel in self._sending:
            if any(blob.sha256 == sha256 for blob in parcel.blobs):
                parcel.send_again()

    def wake(self) -> None:
        """The outbox has changed."""
        self._patience.wake_all()
        self._wake.set()

    # ------------------------------------------------------------------------------------------
    # One connection

    async def run(self, line: Line, porter: Porter, stopping: asyncio.Event) -> None:
        """Deliver over one connection until told to stop; then give what is on its way a moment.

        Raises
        ------
        LinkDown, StoreError
            The connection or the store failed; what was on its way goes again on the next.
        """
        self._joint = False
        self._patience.on_new_line()
        watchers = [
            asyncio.create_task(self._watch_store(), name="uplink-appended"),
            asyncio.create_task(self._watch_stop(stopping), name="uplink-stop"),
        ]
        try:
            while not stopping.is_set():
                self._wake.clear()
                await self._take_more(line, porter)
                await self._wait()
                self._reap(watchers[0])
            if self._sending:
                await asyncio.wait(self._sending.values(), timeout=_DRAIN_S)
        finally:
            # Forgotten before it is awaited: a second cancellation may cut the waiting short.
            unfinished, self._sending = self._sending, {}
            self._parcel_of.clear()
            for parcel in unfinished:
                if not parcel.handed_over:
                    self._patience.broke(parcel.open)
            await end([*watchers, *unfinished.values()])

    # ------------------------------------------------------------------------------------------
    # What is sent next

    async def _take_more(self, line: Line, porter: Porter) -> None:
        await self._take_cases(line, porter)
        while self._has_room_for_batch() and (parcels := await self._next_batch(line)):
            for parcel in parcels:
                self._start(line, porter, parcel)

    async def _take_cases(self, line: Line, porter: Porter) -> None:
        under_way = {i for p in self._sending if p.is_case for i in p.open}
        room = self._silence.limit(self._section.window) - len(under_way)
        if self._silence.holds and self._sending:
            return
        busy = {*under_way, *self._patience.resting()}
        entries = await self._store.outbox(max(room, 0), exclude=busy)
        cases = [entry.index for entry in entries if entry.urgent]
        # Looked up at once, they leave together, and one commit of the centre serves them all.
        found = await asyncio.gather(*map(self._store.deliverable_blobs, cases))
        for index, blobs in zip(cases, found, strict=True):
            self._start(line, porter, Parcel((index,), blobs=tuple(blobs), is_case=True))
            self._on_case()

    def _has_room_for_batch(self) -> bool:
        batches = sum(not parcel.is_case for parcel in self._sending)
        return not self._sending if self._silence.holds else batches < _BATCHES

    async def _next_batch(self, line: Line) -> list[Parcel]:
        busy = {*self._parcel_of, *self._patience.resting()}
        limit = self._silence.limit(_BATCH_RECORDS)
        size = min(_BATCH_BYTES, line.room_bytes(self._topics.records), line.gate.budget_bytes // 2)
        joint = self._joint
        batch = await self._store.batch(limit, size, busy, joint=joint)
        return list(parcels_of(batch, is_joint=joint)) if batch else []

    def _start(self, line: Line, porter: Porter, parcel: Parcel) -> None:
        task = asyncio.create_task(self._deliver(line, porter, parcel), name=parcel.name)
        task.add_done_callback(lambda _: self._wake.set())
        self._sending[parcel] = task
        self._parcel_of.update(dict.fromkeys(parcel.open, parcel))

    # ------------------------------------------------------------------------------------------
    # One parcel

    async def _deliver(self, line: Line, porter: Porter, parcel: Parcel) -> None:
        started_s = self._mono_s()
        try:
            await self._send_until_answered(line, porter, parcel)
            self._health.gauge("uplink.delivery_ms", (self._mono_s() - started_s) * 1e3)
        except PublishRefused as refused:
            if refused.code == NOT_AUTHORISED:
                raise
            self._silence.refused(refused)
            await self._note_miss(parcel)
        except (MessageTooLarge, IntegrityError) as error:
            await self._poison_all(parcel, error.what)
        except FileNotFoundError as error:
            name = Path(error.filename).name
            await self._poison_all(parcel, Text(f"附件丢失：{name}", f"a file is gone: {name}"))
        except OSError:  # no answer in time (TimeoutError), or the disk gave no blob this time
            await self._miss(line, parcel)
        finally:
            for index in parcel.open:
                if self._parcel_of.get(index) is parcel:
                    del self._parcel_of[index]

    async def _send_until_answered(self, line: Line, porter: Porter, parcel: Parcel) -> None:
        for _ in range(_ROUNDS):
            answered = parcel.begin_round()
            await self._bring_blobs(porter, parcel)
            if not parcel.open:
                return
            topic, payload = await self._payload(parcel)
            parcel.goes_out()
            turn = Turn.CASE if parcel.is_case else Turn.RECORD
            code = await line.send(turn, topic, payload, answered=answered)
            parcel.handed_over = True
            self._count(parcel)
            self._silence.nobody_there = code == NO_SUBSCRIBER
            async with asyncio.timeout(self._section.receipt_timeout_s):
                if await answered:
                    return
        raise TimeoutError

    def _count(self, parcel: Parcel) -> None:
        again = self._patience.sent_before(parcel.indices)
        self._health.count("uplink.resends", again)
        self._health.count("uplink.records_sent", len(parcel.indices) - again)

    async def _bring_blobs(self, porter: Porter, parcel: Parcel) -> None:
        turn = Turn.CASE if parcel.is_case else Turn.BLOB
        await together(porter.bring(blob, turn) for blob in parcel.blobs)

    async def _payload(self, parcel: Parcel) -> tuple[str, bytes]:
        if batch := parcel.batch:
            return self._topics.records, batch.encode_joint() if parcel.is_joint else batch.encode()
        [index] = parcel.indices
        return self._topics.record, await self._store.envelope(index)

    async def _miss(self, line: Line, parcel: Parcel) -> None:
        await self._note_miss(parcel)
        if self._silence.missed(tells_refusals=line.link.version == MQTT_5):
            # The broker may have forgotten us; and a line that only seems to be open ends here.
            await line.link.subscribe(self._topics.all_down)

    async def _note_miss(self, parcel: Parcel) -> None:
        self._joint = False  # a record that is damaged spoils the proof of others
        missed = list(parcel.open)
        self._patience.missed(missed)
        self._health.count("uplink.receipts_missed", len(missed))
        await self._store.note_attempts(missed)

    async def _poison_all(self, parcel: Parcel, reason: Text) -> None:
        for index in sorted(parcel.open):
            await self.poison(index, reason)

    async def poison(self, index: int, reason: Text) -> None:
        """Take a record out of the way with an alarm; it stays in the store."""
        await self._store.poison(index, str(reason))
        self._health.count("uplink.poisoned")
        self._health.state(
            "uplink.poisoned",
            Level.WARNING,
            f"第 {index} 号记录送不出去，已搁置：{reason.zh}",
            f"record {index} cannot be delivered and was put aside: {reason.en}",
            next_step=Text("记录仍在本站；通知维护人员", "it is kept here; call the maintainer"),
        )

    # ------------------------------------------------------------------------------------------
    # Waiting

    async def _wait(self) -> None:
        """Until something changes: a receipt, a new record, a failure, the end of a rest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(1.0, self._patience.next_s())):
                await self._wake.wait()

    async def _watch_store(self) -> None:
        newest = -1
        while True:
            newest = await self._store.wait_appended(newest)
            self._wake.set()

    async def _watch_stop(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._wake.set()

    def _reap(self, watcher: asyncio.Task[None]) -> None:
        """Forget what has ended; raise what failed."""
        for task in (watcher, *self._sending.values()):
            if task.done():
                task.result()
        self._sending = {p: task for p, task in self._sending.items() if not task.done()}
