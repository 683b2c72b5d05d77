"""The composition root: builds the rooms of a station, starts tail first, stops head first.

::

    sources ──> lanes ──> clerk ──> store ──> uplink ──> centre
                              └───────┴──> feed ──> web

Stopping: the sources end, what stands on the array is closed as incomplete, every vehicle is
sealed, the uplink drains for a moment, the page and the store close.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from edge.chronicle import Chronicle
from edge.clerk import Clerk
from edge.clock import HostClock
from edge.config import StationConfig
from edge.errors import StoreError
from edge.evidence.identity import software_identity
from edge.evidence.note import NoteSigner
from edge.evidence.receipt import Receipt
from edge.evidence.statement import other_draft
from edge.evidence.station_key import station_signer
from edge.frozen import known_dynamics
from edge.head import Head
from edge.health import Health, Level, State
from edge.opening import open_log
from edge.records import Record
from edge.rules.pack import RulePack
from edge.seals import newest_identities
from edge.sources.local_door import LocalDoor
from edge.sources.port_watch import PortWatch
from edge.store.store import Store
from edge.supervise import OutageLog, end_tasks, notify_systemd, supervise
from edge.uplink.uplink import Uplink
from edge.web.app import create_app
from edge.web.feed import Feed
from edge.web.server import WebServer
from edge.web.view import StationView

_IDENTITIES = 1_000
"""Statements in which the newest of every device is looked for."""


class Station:
    """A running station.

    Parameters
    ----------
    config
        The validated station file.
    record_to
        A directory into which everything the devices say is recorded as well.
    clock
        The computer's clock, unless another is given.
    """

    def __init__(
        self,
        config: StationConfig,
        *,
        record_to: Path | None = None,
        clock: HostClock | None = None,
    ) -> None:
        self._config = config
        self._model = config.model
        self._clock = clock or HostClock()
        self._outage_log = OutageLog()
        self._health = Health(time.monotonic_ns, self._hear)
        self._chronicle = Chronicle(self._health, self._clock, config.lane_names())
        self.feed = Feed()
        self._pack = RulePack.parse(config.pack_bytes(), config.model.rules.pack)
        self._software = software_identity()
        known_dynamics(config)
        self._head = Head(config, self._health, self._clock, self._chronicle, record_to=record_to)
        self._door = LocalDoor(
            self._head.taps, config.data_dir, self._health, self._head.orders.carry_out
        )
        self._ports = PortWatch(config.model, self._health)
        self.url = ""

    async def run(self, stop: asyncio.Event, *, on_ready: Callable[[Station], None]) -> None:
        """Run until ``stop`` is set, then end in order.

        Raises
        ------
        SteelyardError
            What no retry can mend: the station file, the store, the key.
        """
        await self._clock.refresh()
        signer = station_signer(self._config)
        store = await Store.open(
            self._config.data_dir,
            station=self._model.station.id,
            signer=signer,
            health=self._health,
            now_ns=self._clock.utc_ns,
            provenance=self._clock.provenance,
            storage=self._model.storage,
            waits=False,
        )
        try:
            await self._run_rooms(store, signer, stop, on_ready)
        finally:
            await self._head.close()
            await store.close()

    async def _run_rooms(
        self,
        store: Store,
        signer: NoteSigner,
        stop: asyncio.Event,
        on_ready: Callable[[Station], None],
    ) -> None:
        clerk = Clerk(
            self._config,
            store,
            self._pack,
            self._health,
            software=self._software,
            gains=self._head.gains_of,
            on_sealed=self._tell_sealed,
        )
        clerk.log_is_open = False
        with contextlib.suppress(StoreError):  # if refused, it is tried again beside the weighing
            await self._open_log(store, clerk)
        view = self._view(store, signer)
        async with asyncio.TaskGroup() as tail:
            tasks = [
                self._supervised(tail, "web", lambda: self._serve(view)),
                self._supervised(tail, "uplink", self._uplink(store, signer).run),
                tail.create_task(notify_systemd(), name="systemd"),
                tail.create_task(self._head.learn(), name="lessons"),
                self._supervised(tail, "taps", self._door.run),
                self._supervised(tail, "ports", self._ports.run),
                self._supervised(tail, "chronicle", lambda: self._keep_log(store, clerk)),
            ]
            async with asyncio.TaskGroup() as middle:
                middle.create_task(clerk.run(), name="clerk")
                await self._head.run(clerk, stop, lambda: on_ready(self))
                clerk.end()
            if clerk.log_is_open:
                await self._close_log(store)
            await end_tasks(tasks)

    async def _open_log(self, store: Store, clerk: Clerk) -> None:
        """Say how this run begins; from then on vehicles are sealed."""
        await open_log(self._config, store, self._pack, self._software, self._clock)
        await self._chronicle.begin(store)
        told = await store.latest(kind="identity", limit=_IDENTITIES)
        await self._head.updating.load(newest_identities(told))
        clerk.log_is_open = True

    async def _keep_log(self, store: Store, clerk: Clerk) -> None:
        """Tell what happens; a store that is recovered or full is waited for."""
        if not clerk.log_is_open:
            await self._open_log(store, clerk)
            self._health.state("chronicle", Level.OK, "日志已开始", "the log is open")
        await self._chronicle.run(store)

    async def _close_log(self, store: Store) -> None:
        """Say that this run ends in order; a disk that refuses must not keep it from ending."""
        with contextlib.suppress(StoreError):
            await self._chronicle.end(store)
            await store.append(other_draft("stop", time_ns=self._clock.utc_ns(), fields={}))

    async def _serve(self, view: StationView) -> None:
        """The page; the station weighs on when its port is taken."""
        web = WebServer(create_app(view), self._model.web.host, self._model.web.port)
        self.url = web.url
        self._health.state("web", Level.OK, f"网页 {web.url}", f"page {web.url}")
        await web.run()

    def _hear(self, part: str, state: State) -> None:
        """A part of the station changed its level; from any thread."""
        self._outage_log(part, state)
        self._chronicle.hear(part, state)

    def _supervised(
        self, group: asyncio.TaskGroup, part: str, run: Callable[[], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        return group.create_task(supervise(part, run, self._health), name=part)

    # ------------------------------------------------------------------ tail: people and centre

    def _uplink(self, store: Store, signer: NoteSigner) -> Uplink:
        return Uplink(
            store,
            self._model.uplink,
            station=self._model.station.id,
            resolve=self._config.resolve,
            data_dir=self._config.data_dir,
            verifier_key=signer.verifier_key,
            health=self._health,
            clock=self._clock,
            on_receipt=self._tell_receipt,
            telemetry=self._telemetry,
        )

    def _view(self, store: Store, signer: NoteSigner) -> StationView:
        return StationView(
            config=self._config,
            health=self._health,
            store=store,
            feed=self.feed,
            pack=self._pack,
            software=self._software,
            verifier_key=signer.verifier_key,
            mono_ns=time.monotonic_ns,
            utc_ns=self._clock.utc_ns,
        )

    def _tell_sealed(self, record: Record) -> None:
        self.feed.publish(record.kind, {**record.body, "record_id": record.record_id})

    def _tell_receipt(self, receipt: Receipt) -> None:
        self.feed.publish(
            "receipt",
            {
                "index": receipt.index,
                "record_id": receipt.record_id,
                "status": receipt.status,
                "time_ns": time.time_ns(),
            },
        )

    def _telemetry(self) -> dict[str, Any]:
        snapshot = self._health.snapshot()
        return {
            "counters": snapshot.counters,
            "gauges": {k: round(v, 3) for k, v in snapshot.gauges.items()},
            "states": {part: s.level.value for part, s in snapshot.states.items()},
        }
