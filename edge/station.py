"""The composition root: builds the rooms of a station, starts tail first, stops head first.

::

    sources ──> lanes ──> clerk ──> store ──> uplink ──> centre
                              └───────┴──> feed ──> web

Stopping: the sources end, what stands on the array is closed as incomplete, every vehicle is
sealed, the uplink drains for a moment, the page and the store close.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.chronicle import Chronicle
from edge.clerk import Clerk
from edge.clock import HostClock
from edge.config import CameraSection, ModbusSection, StationConfig
from edge.evidence.identity import software_identity
from edge.evidence.note import NoteSigner
from edge.evidence.receipt import Receipt
from edge.evidence.statement import other_draft
from edge.evidence.station_key import station_signer
from edge.frozen import known_dynamics
from edge.health import Health, Level, State
from edge.lanes import Lanes
from edge.lessons import Lessons
from edge.opening import open_log
from edge.records import (
    ClockReading,
    Flag,
    Gains,
    Measurement,
    PlateRead,
    Record,
    SampleBlock,
    Vehicle,
)
from edge.rules.pack import RulePack
from edge.sources.camera import CameraSource
from edge.sources.digitiser import DigitiserSource
from edge.sources.modbus import ModbusSource
from edge.sources.pictures import sweep_pictures
from edge.sources.ports import DeviceHello, SourceItem
from edge.sources.recorder import Recorder
from edge.store.store import Store
from edge.supervise import OutageLog, notify_systemd, supervise
from edge.uplink.uplink import Uplink
from edge.web.app import create_app
from edge.web.feed import Feed
from edge.web.server import WebServer
from edge.web.view import StationView

RELEASE_PERIOD_S = 0.02
"""How often the desk looks whether a vehicle has its plate or has waited long enough."""

PICTURE_AGE_S = 3_600.0
"""Pictures older than this are swept from the cameras' directories."""


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
        self._chronicle = Chronicle(self._health, self._clock, self._lanes_by_device())
        self.feed = Feed()
        self._pack = RulePack.parse(config.pack_bytes(), config.model.rules.pack)
        self._software = software_identity()
        known_dynamics(config)
        self._lanes = Lanes(config, self._health, utc_of=self._clock.utc_of)
        self._lessons = Lessons(config, self._health)
        self._recorder = Recorder(record_to, self._model) if record_to else None
        self._digitisers = {
            section.id: DigitiserSource(section, self._health, self._clock.steady_ns)
            for section in self._model.digitiser
        }
        self._gains: dict[str, Gains] = {
            section.id: config.gains_of(section.id, 1.0) for section in self._model.digitiser
        }
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
        )
        try:
            await self._run_rooms(store, signer, stop, on_ready)
        finally:
            if self._recorder:
                self._recorder.close()
            await self._lessons.save()
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
            gains=self._gains.__getitem__,
            on_sealed=self._tell_sealed,
        )
        await open_log(self._config, store, self._pack, self._software, self._clock)
        await self._chronicle.begin(store)
        view = self._view(store, signer)
        async with asyncio.TaskGroup() as tail:
            tasks = [
                self._supervised(tail, "web", lambda: self._serve(view)),
                self._supervised(tail, "uplink", self._uplink(store, signer).run),
                tail.create_task(notify_systemd(), name="systemd"),
                tail.create_task(self._lessons.run(), name="lessons"),
                self._supervised(tail, "chronicle", lambda: self._chronicle.run(store)),
            ]
            async with asyncio.TaskGroup() as middle:
                middle.create_task(clerk.run(), name="clerk")
                await self._run_sources(clerk, stop, on_ready)
                clerk.end()
            await self._chronicle.end(store)
            await store.append(other_draft("stop", time_ns=self._clock.utc_ns(), fields={}))
            for task in tasks:
                task.cancel()

    async def _serve(self, view: StationView) -> None:
        """The page; the station weighs on when its port is taken."""
        web = WebServer(create_app(view), self._model.web.host, self._model.web.port)
        self.url = web.url
        self._health.state("web", Level.OK, f"网页 {web.url}", f"page {web.url}")
        await web.run()

    async def _run_sources(
        self, clerk: Clerk, stop: asyncio.Event, on_ready: Callable[[Station], None]
    ) -> None:
        """Read the devices until the station is told to stop, then clear the lanes."""
        async with asyncio.TaskGroup() as head:
            tasks = [
                *(
                    self._supervised(head, f"digitiser.{name}", self._reading(name, source))
                    for name, source in self._digitisers.items()
                ),
                *(
                    self._supervised(head, f"camera.{section.id}", self._watching(section))
                    for section in self._model.camera
                ),
                *(
                    self._supervised(head, f"modbus.{section.id}", self._polling(section))
                    for section in self._model.modbus
                ),
                head.create_task(self._release(clerk), name="desk"),
                head.create_task(self._sweep_pictures(), name="pictures"),
            ]
            on_ready(self)
            await stop.wait()
            for task in tasks:
                task.cancel()
        for vehicle in self._lanes.finish(self._clock_of, time.monotonic_ns()):
            self._pass_on(vehicle, clerk)

    def _hear(self, part: str, state: State) -> None:
        """A part of the station changed its level; from any thread."""
        self._outage_log(part, state)
        self._chronicle.hear(part, state)

    def _lanes_by_device(self) -> dict[str, list[str]]:
        lanes: defaultdict[str, list[str]] = defaultdict(list)
        for lane in self._model.lane:
            lanes[lane.digitiser].append(lane.id)
        return lanes

    def _supervised(
        self, group: asyncio.TaskGroup, part: str, run: Callable[[], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        return group.create_task(supervise(part, run, self._health), name=part)

    # ------------------------------------------------------------------ head: devices

    def _reading(
        self, name: str, source: DigitiserSource
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        def deliver(item: SourceItem) -> None:
            if isinstance(item, DeviceHello):
                self._gains[name] = self._config.gains_of(name, item.newton_per_count)
            if self._recorder:
                self._recorder.take(item, source.clock())
            if isinstance(item, SampleBlock) and (item.lost_before or item.restarted):
                self._chronicle.missed(item, time.monotonic_ns())
            self._lanes.take(item, source.clock, time.monotonic_ns())

        async def read() -> None:
            try:
                await source.run(deliver)
            finally:
                self._lanes.interrupt(name, source.clock, time.monotonic_ns())
                if self._recorder:
                    self._recorder.interrupt(name)

        return read

    def _watching(self, section: CameraSection) -> Callable[[], Coroutine[Any, Any, None]]:
        pictures = self._config.picture_dir(section)
        clock = self._clock
        source = CameraSource(
            section, pictures, self._health, clock.steady_ns, lambda: clock.utc_of(0)
        )

        def deliver(plate: PlateRead) -> None:
            if self._recorder:
                self._recorder.plate(plate)
            self._lanes.read(plate)

        return lambda: source.run(deliver)

    def _polling(self, section: ModbusSection) -> Callable[[], Coroutine[Any, Any, None]]:
        source = ModbusSource(self._config.with_map(section), self._health, time.time_ns)

        def deliver(measured: Measurement) -> None:
            self._health.gauge(f"measured.{measured.device}.{measured.name}", measured.value)

        return lambda: source.run(deliver)

    def _clock_of(self, device: str) -> ClockReading:
        return self._digitisers[device].clock()

    async def _release(self, clerk: Clerk) -> None:
        while True:
            for vehicle in self._lanes.release(time.monotonic_ns()):
                self._pass_on(vehicle, clerk)
            for doubt in self._lanes.doubts():
                utc_ns = self._clock.utc_of(doubt.time_ns)
                clerk.hand(replace(doubt, time_ns=utc_ns, host=self._clock.stamp(utc_ns)))
            await asyncio.sleep(RELEASE_PERIOD_S)

    def _pass_on(self, vehicle: Vehicle, clerk: Clerk) -> None:
        clerk.hand(self._timed(vehicle))
        self._lessons.take(vehicle.passage)

    def _timed(self, vehicle: Vehicle) -> Vehicle:
        """The vehicle with UTC for its time, and where that comes from."""
        utc_ns = self._clock.utc_of(vehicle.time_ns)
        host = self._clock.stamp(utc_ns)
        flags = vehicle.flags if host.synchronised else vehicle.flags | Flag.CLOCK_UNSURE
        if self._gains[vehicle.passage.device].premature(utc_ns):
            flags |= Flag.UNCALIBRATED
        return replace(vehicle, time_ns=utc_ns, host=host, flags=flags)

    async def _sweep_pictures(self) -> None:
        """The cameras' directories are letter boxes: what belongs to a record is in the store."""
        while True:
            for section in self._model.camera:
                directory = self._config.picture_dir(section)
                swept = await asyncio.to_thread(
                    sweep_pictures, directory, time.time() - PICTURE_AGE_S
                )
                self._health.count(f"camera.{section.id}.pictures_swept", swept)
            await asyncio.sleep(PICTURE_AGE_S / 6)

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
