"""Tells the log what happens to the station itself: devices, lost samples, the clock.

It listens, gathers (``edge.gathering``) and seals. When the disk refuses, statements wait here with
the time at which they were made (bounded; what does not fit is counted).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from edge.clock import HostClock, Sync
from edge.errors import StoreError, Text
from edge.evidence.events import (
    clock_lost_draft,
    clock_stepped_draft,
    clock_synchronised_draft,
    device_draft,
    gap_draft,
)
from edge.gathering import DeviceEvent, Gap, Gaps, Outages
from edge.health import Health, Level, State
from edge.records import Draft, Record, SampleBlock
from edge.store.store import Store

__all__ = ["Chronicle"]

WATCHED = ("digitiser.", "camera.", "modbus.", "scale.", "rows.")
"""Parts whose failing is a statement of its own; records and receipts tell of the others."""

TICK_S = 0.5
ASK_EVERY = 32
"""Ticks between two questions to the time service."""

WAITING_DRAFTS = 5_000
LOOSE_US = 100_000
"""A bound of the clock's error above which somebody should look: a vehicle at 100 km/h is 3 m
further on, and may be the next one."""

_SEARCHED = 500

_WHAT_TO_DO = Text(
    "称重照常。记录会注明时间未核准，对时恢复后自动补正。当班期间打电话叫网络维护：对时服务没有应答。",
    "Go on weighing. Records say that nobody vouches for their time, and are set right when "
    "somebody does. Call the network people during the shift: the time service is silent.",
)


class Chronicle:
    """The station's diary.

    Parameters
    ----------
    health : Health
        Gets the state ``clock``.
    clock : HostClock
    lanes : mapping
        Lanes of each digitiser.
    """

    def __init__(
        self, health: Health, clock: HostClock, lanes: Mapping[str, Sequence[str]]
    ) -> None:
        self._health = health
        self._clock = clock
        self._lanes = lanes
        self._heard: deque[tuple[str, State]] = deque()
        self._outages = Outages()
        self._gaps = Gaps()
        self._drafts: deque[Draft] = deque()
        self._sealing = asyncio.Lock()
        self._unsure_from: int | None = None
        self._size_before = 0

    def hear(self, part: str, state: State) -> None:
        """Take a change of health; from any thread."""
        if part.startswith(WATCHED):
            self._heard.append((part, state))

    def missed(self, block: SampleBlock, mono_ns: int) -> None:
        """Take a block that does not continue the one before it."""
        for gap in self._gaps.take(block, mono_ns):
            self._say_gap(gap)

    async def begin(self, store: Store) -> None:
        """Find out what stands in the log of this boot's clock, and what vouches for it now."""
        self._size_before = store.size
        self._unsure_from = await unsure_from(store, self._clock.boot_id)
        if self._clock.sync.synchronised and self._unsure_from is not None:
            await self._synchronised(store)
        self._show_clock()
        await self._seal(store)

    async def run(self, store: Store) -> None:
        """Watch and tell until cancelled."""
        tick = 0
        while True:
            await asyncio.sleep(TICK_S)
            tick += 1
            stepped = self._watch_steps()
            if stepped or tick % ASK_EVERY == 0:
                await self._ask(store)
            self._gather()
            await self._seal(store)
            self._size_before = store.size

    async def end(self, store: Store) -> None:
        """Say what is still being gathered, and what was lost if the disk refuses."""
        self._gather(all_of_them=True)
        await self._seal(store)

    # ------------------------------------------------------------------------------ devices

    def _gather(self, *, all_of_them: bool = False) -> None:
        now_ns = self._clock.mono_ns()
        while self._heard:
            part, state = self._heard.popleft()
            for event in self._outages.hear(part, state.level, state.text, state.since_mono_ns):
                self._say_device(event)
        for event in self._outages.due(now_ns):
            self._say_device(event)
        for gap in self._gaps.due(now_ns, all_of_them=all_of_them):
            self._say_gap(gap)

    def _say_device(self, event: DeviceEvent) -> None:
        self.say(
            device_draft(
                self._clock.utc_at(event.mono_ns),
                event.part,
                event.event,
                level=event.level.value,
                text=event.text,
                outages=event.outages,
                bad_us=event.bad_ns // 1000,
            )
        )

    def _say_gap(self, gap: Gap) -> None:
        self.say(
            gap_draft(
                self._clock.utc_at(gap.mono_ns),
                gap.device,
                self._lanes.get(gap.device, ()),
                first_sample=gap.first_sample,
                end_sample=gap.end_sample,
                lost=gap.lost,
                gaps=gap.gaps,
                restarted=gap.restarted,
            )
        )

    # -------------------------------------------------------------------------------- clock

    def _watch_steps(self) -> bool:
        step_ns = self._clock.take_step()
        if not step_ns:
            return False
        if self._unsure_from is None:
            self._unsure_from = self._size_before  # made since somebody last looked
        self._health.count("clock.steps")
        offset_us = self._clock.offset_us()
        self.say(clock_stepped_draft(self._clock.utc_ns(), step_ns // 1000, offset_us))
        return True

    async def _ask(self, store: Store) -> None:
        before = await self._clock.refresh()
        self._watch_steps()  # what set it may have vouched for it at once
        now = self._clock.sync
        if before.synchronised and not now.synchronised:
            if self._unsure_from is None:
                self._unsure_from = self._size_before
            self.say(clock_lost_draft(self._clock.utc_ns(), self._clock.offset_us()))
        elif now.synchronised and self._unsure_from is not None:
            await self._synchronised(store)
        self._show_clock()

    async def _synchronised(self, store: Store) -> None:
        """Somebody vouches for the time: records of this boot that were made without are right."""
        await self._seal(store)  # those that wait belong to the range
        first, size = self._unsure_from, store.size
        self._unsure_from = None
        self.say(
            clock_synchronised_draft(
                self._clock.utc_ns(),
                self._clock.offset_us(),
                self._clock.sync.bound_us,
                (first, size - 1) if first is not None and first < size else None,
            )
        )

    def _show_clock(self) -> None:
        sync = self._clock.sync
        level, text = clock_words(sync)
        step = _WHAT_TO_DO if level is Level.WARNING else Text("", "")
        self._health.state("clock", level, text.zh, text.en, next_step=step)
        if sync.bound_us is not None:
            self._health.gauge("clock.bound_ms", sync.bound_us / 1e3)

    # ------------------------------------------------------------------------------ sealing

    def say(self, draft: Draft) -> None:
        """Seal a statement soon, with the clock of this moment."""
        if len(self._drafts) >= WAITING_DRAFTS:
            self._health.count("chronicle.statements_lost")
            return
        provenance = self._clock.provenance(draft.body["time_us"])
        self._drafts.append(replace(draft, body=provenance | draft.body))

    async def _seal(self, store: Store) -> None:
        """Seal what waits, in order; what the disk refuses stays for the next time."""
        async with self._sealing:
            while self._drafts:
                try:
                    await store.append(self._drafts[0])
                except StoreError:
                    self._health.count("chronicle.store_refused")
                    return
                self._drafts.popleft()


def clock_words(sync: Sync) -> tuple[Level, Text]:
    """How the clock is doing, for people."""
    if not sync.synchronised:
        return Level.WARNING, Text("时钟没有对时", "nothing vouches for the clock")
    if sync.bound_us is None:
        return Level.OK, Text(f"已对时（{sync.source}）", f"synchronised ({sync.source})")
    bound_ms = -(-sync.bound_us // 1000)
    zh = f"已对时（{sync.source}），误差不超过 {bound_ms:,} 毫秒"
    en = f"synchronised ({sync.source}), good to {bound_ms:,} ms"
    loose = sync.bound_us > LOOSE_US
    return Level.WARNING if loose else Level.OK, Text(zh, en)


async def unsure_from(store: Store, boot_id: str) -> int | None:
    """Index of the first record of this boot that no clock statement has set right yet.

    Walks back over starts and clock statements; None where the last of them was vouched for.
    """
    found: list[Record] = []
    for kind in ("start", "clock"):
        found += await store.latest(kind=kind, limit=_SEARCHED)
    first = None
    for record in sorted(found, key=lambda one: -one.index):
        body = record.body
        if body.get("boot_id") != boot_id or body.get("event") == "synchronised":
            break
        if not body["clock_host"]["synchronised"] or body.get("event") == "stepped":
            first = record.index
    return first
