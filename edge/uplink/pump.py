"""From the outbox to the broker: blobs first, then the record, then wait for the receipt.

An entry leaves the outbox by its receipt only. What gets none is sent again under the same id,
later each time, while the others go on; what the broker or the centre will never take is put
aside with an alarm.

======================================  =====================================================
no receipt within ``receipt_timeout_s``  attempt noted, the entry rests, longer each time
several in a row without a receipt       the centre is silent: one entry at a time goes on asking
the line breaks under an entry, often    the entry rests first on the next connection
too large, or its bytes are gone         poisoned
======================================  =====================================================
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from edge.config import UplinkSection
from edge.errors import IntegrityError, Text
from edge.health import Health, Level
from edge.store.queries import OutboxEntry
from edge.store.store import Store
from edge.uplink.mqtt import Link, MessageTooLarge
from edge.uplink.topics import CHUNK_BYTES, Topics, chunks

_LONGEST_REST_S = 300.0
_MOST_RESTING = 5_000
"""Beyond this all are asked again: the centre must have been away for days."""
_BREAKS_BEFORE_REST = 3
_SILENT_AFTER = 3
_DRAIN_S = 2.0


class Pump:
    """Keeps up to ``section.window`` records on their way."""

    def __init__(
        self,
        store: Store,
        section: UplinkSection,
        topics: Topics,
        health: Health,
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._section = section
        self._topics = topics
        self._health = health
        self._mono_s = mono_s
        self._wake = asyncio.Event()
        self._settled: dict[int, asyncio.Event] = {}
        self._sending: dict[int, asyncio.Task[None]] = {}
        self._resting: dict[int, float] = {}
        self._misses: Counter[int] = Counter()
        self._breaks: Counter[int] = Counter()
        self._unanswered = 0
        self._blob_turn = asyncio.Lock()

    def settle(self, index: int) -> None:
        """The centre has answered for this record."""
        if self._unanswered >= _SILENT_AFTER:
            self._resting.clear()  # it was the centre's silence, not theirs
        self._unanswered = 0
        for memory in (self._resting, self._misses, self._breaks):
            memory.pop(index, None)
        if index in self._settled:
            self._settled[index].set()
        self._wake.set()

    async def run(self, link: Link, stopping: asyncio.Event) -> None:
        """Deliver over one connection until told to stop; then give what is on its way a moment.

        Raises
        ------
        LinkDown, StoreError
            The connection or the store failed; what was on its way goes again on the next.
        """
        self._rest_the_breakers()
        watchers = [
            asyncio.create_task(self._watch_store(), name="uplink-appended"),
            asyncio.create_task(self._watch_stop(stopping), name="uplink-stop"),
        ]
        try:
            while not stopping.is_set():
                self._wake.clear()
                await self._take_more(link)
                await self._wait()
                self._reap(watchers[0])
            if self._sending:
                await asyncio.wait(self._sending.values(), timeout=_DRAIN_S)
        finally:
            # Forgotten before it is awaited: a second cancellation may cut the waiting short.
            unfinished, self._sending = self._sending, {}
            self._breaks.update(list(unfinished))
            await _end([*watchers, *unfinished.values()])

    # ------------------------------------------------------------------------------------------
    # What is sent next

    async def _take_more(self, link: Link) -> None:
        room = self._room() - len(self._sending)
        if room <= 0:
            return
        busy = {*self._sending, *self._still_resting()}
        for entry in await self._store.outbox(room, exclude=busy):
            task = asyncio.create_task(self._deliver(link, entry), name=f"uplink-{entry.index}")
            task.add_done_callback(lambda _: self._wake.set())
            self._sending[entry.index] = task

    def _room(self) -> int:
        return 1 if self._unanswered >= _SILENT_AFTER else self._section.window

    def _still_resting(self) -> set[int]:
        now_s = self._mono_s()
        if len(self._resting) > _MOST_RESTING:
            self._resting.clear()
        for index in [i for i, until_s in self._resting.items() if until_s <= now_s]:
            del self._resting[index]
        return set(self._resting)

    def _rest(self, index: int, times: int) -> None:
        """Rest ``index``, longer each time, spread so that they do not all come back at once."""
        longest_s = min(_LONGEST_REST_S, self._section.receipt_timeout_s * 2.0 ** min(times, 16))
        self._resting[index] = self._mono_s() + longest_s * random.uniform(0.5, 1.0)

    def _rest_the_breakers(self) -> None:
        self._resting.clear()
        for index, breaks in self._breaks.items():
            if breaks >= _BREAKS_BEFORE_REST:
                self._rest(index, breaks - _BREAKS_BEFORE_REST)

    # ------------------------------------------------------------------------------------------
    # One record

    async def _deliver(self, link: Link, entry: OutboxEntry) -> None:
        settled = self._settled[entry.index] = asyncio.Event()
        started_s = self._mono_s()
        try:
            await self._send(link, entry)
            async with asyncio.timeout(self._section.receipt_timeout_s):
                await settled.wait()
            self._health.gauge("uplink.delivery_ms", (self._mono_s() - started_s) * 1e3)
        except (MessageTooLarge, IntegrityError) as error:
            await self.poison(entry.index, str(error.what))
        except FileNotFoundError as error:
            name = Path(error.filename).name
            await self.poison(entry.index, f"附件丢失：{name} / a file is gone: {name}")
        except OSError:  # no receipt in time (TimeoutError), or the disk gave no blob this time
            await self._miss(entry.index)
        finally:
            if self._settled.get(entry.index) is settled:
                del self._settled[entry.index]

    async def _send(self, link: Link, entry: OutboxEntry) -> None:
        for blob in await self._store.deliverable_blobs(entry.index):
            data = await asyncio.to_thread(self._store.blob_path(blob.sha256).read_bytes)
            async with self._blob_turn:  # one large message on a slow line, not a window of them
                await self._send_blob(link, blob.sha256, data)
        await link.publish(self._topics.record, await self._store.envelope(entry.index))
        self._health.count("uplink.resends" if entry.attempts else "uplink.records_sent")

    async def _send_blob(self, link: Link, sha256: str, data: bytes) -> None:
        overhead = link.overhead_bytes(self._topics.blob(sha256, 99_999, 99_999))
        pieces = chunks(data, max(1, min(CHUNK_BYTES, link.max_packet_bytes - overhead)))
        for number, piece in enumerate(pieces):
            await link.publish(self._topics.blob(sha256, number, len(pieces)), piece)
        self._health.count("uplink.blobs_sent")

    async def _miss(self, index: int) -> None:
        self._unanswered += 1
        self._misses[index] += 1
        self._rest(index, self._misses[index])
        self._health.count("uplink.receipts_missed")
        if self._unanswered >= _SILENT_AFTER:
            self._health.state(
                "uplink.receipts",
                Level.WARNING,
                "中心已连接，但没有回执；证据仍保存在本站，会继续重发",
                "connected, but the centre sends no receipts; the records stay here and go again",
            )
        await self._store.note_attempt(index)

    async def poison(self, index: int, reason: str) -> None:
        """Take a record out of the way with an alarm; it stays in the store."""
        await self._store.poison(index, reason)
        self._health.count("uplink.poisoned")
        self._health.state(
            "uplink.poisoned",
            Level.WARNING,
            f"第 {index} 号记录送不出去，已搁置：{reason}",
            f"record {index} cannot be delivered and was put aside: {reason}",
            next_step=Text("记录仍在本站；通知维护人员", "it is kept here; call the maintainer"),
        )

    # ------------------------------------------------------------------------------------------
    # Waiting

    async def _wait(self) -> None:
        """Until something changes: a receipt, a new record, a failure, the end of a rest."""
        now_s = self._mono_s()
        due_s = min(self._resting.values(), default=now_s + _LONGEST_REST_S)
        try:
            async with asyncio.timeout(max(1.0, due_s - now_s)):
                await self._wake.wait()
        except TimeoutError:
            return

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
        self._sending = {index: task for index, task in self._sending.items() if not task.done()}


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
