"""The head of a station: devices are read, vehicles weighed and handed on with their time in UTC.

Everything up to the desk is timed by the steady time of ``edge.clock``; UTC is given to a vehicle
when it leaves, with what vouches for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.chronicle import Chronicle
from edge.clerk import Clerk
from edge.clock import HostClock
from edge.config import (
    CameraSection,
    DigitiserSection,
    ModbusSection,
    ScaleSection,
    StationConfig,
)
from edge.firmware_orders import Mailbox
from edge.health import Health
from edge.keeping import DeviceKeeper
from edge.lanes import GATHER_NS, Lanes
from edge.lessons import Lessons
from edge.records import (
    ClockReading,
    Flag,
    Gains,
    Measurement,
    PlateRead,
    SampleBlock,
    ScaleReading,
    Vehicle,
)
from edge.scale_orders import ScaleOrders
from edge.sources.camera import CameraSource
from edge.sources.camera_http import HttpCameraSource, HttpDoors
from edge.sources.camera_stream import StreamCamera
from edge.sources.digitiser import DigitiserSource
from edge.sources.modbus import ModbusBuses, ModbusSource
from edge.sources.modbus_scale import ModbusScaleSource, Weights
from edge.sources.pictures import keep_swept
from edge.sources.ports import DeviceHello, SourceItem
from edge.sources.recorder import SideRecorder
from edge.sources.scale import Companions, ScaleSource
from edge.sources.second_opinion import SecondOpinion
from edge.sources.taps import Taps
from edge.supervise import end_tasks, supervise
from edge.updating import Updating
from firmware_bridge.tap_format import TapHeader
from firmware_bridge.transports import Tap

__all__ = ["Head"]

_Run = Callable[[], Coroutine[Any, Any, None]]

RELEASE_PERIOD_S = 0.02
"""How often the desk looks whether a vehicle has its plate or has waited long enough."""


class Head:
    """Sources, lanes and desks of a station.

    Parameters
    ----------
    record_to : Path or None
        A directory into which everything the devices say is recorded as well.
    """

    def __init__(
        self,
        config: StationConfig,
        health: Health,
        clock: HostClock,
        chronicle: Chronicle,
        *,
        record_to: Path | None,
    ) -> None:
        self._config = config
        self._model = config.model
        self._health = health
        self._clock = clock
        self._chronicle = chronicle
        self._lanes = Lanes(config, health, utc_of=clock.utc_of, gather_ns=GATHER_NS)
        self._lessons = Lessons(config, health)
        self.taps = Taps(clock.steady_ns, clock.utc_ns)
        self._buses = ModbusBuses(self._bus_tap)
        self.orders = ScaleOrders(chronicle.say, clock.utc_ns)
        self._weights = Weights()
        self._recorder = SideRecorder(record_to, self._model, health)
        self._keepers = self._keep_programs()
        self.updating = Updating(
            self._keepers, {name: Mailbox(config.data_dir, name) for name in self._keepers}
        )
        self._digitisers = {
            section.id: DigitiserSource(
                section,
                health,
                clock.steady_ns,
                self._tap("digitiser", section),
                self._keepers[section.id],
            )
            for section in self._model.digitiser
        }
        self._companions = Companions()
        self._doors = HttpDoors(health)
        self._opinion = SecondOpinion() if SecondOpinion.is_there() else None
        self._gains: dict[str, Gains] = {
            section.id: config.gains_of(section.id, 1.0) for section in self._model.digitiser
        }

    def _keep_programs(self) -> dict[str, DeviceKeeper]:
        lanes = self._config.lane_names()
        return {
            section.id: DeviceKeeper(
                section,
                lanes[section.id],
                self._health,
                self._chronicle.say,
                self._clock.utc_ns,
                self._clock.steady_ns,
            )
            for section in self._model.digitiser
        }

    def gains_of(self, device: str) -> Gains:
        """What the channels of a digitiser are worth now."""
        return self._gains[device]

    async def learn(self) -> None:
        """Keep what passages teach, until cancelled."""
        await self._lessons.run()

    async def close(self) -> None:
        """End the recording and keep what was learned."""
        self._recorder.close()
        await self._lessons.save()

    async def run(self, clerk: Clerk, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Read the devices until the station is told to stop, then clear the lanes."""
        async with asyncio.TaskGroup() as group:
            tasks = [self._supervised(group, part, run) for part, run in self._parts().items()]
            tasks += [
                group.create_task(self._release(clerk), name="desk"),
                group.create_task(self._keep_swept(), name="pictures"),
            ]
            on_ready()
            await stop.wait()
            await end_tasks(tasks)
            if self._opinion:
                await self._opinion.close()
        for vehicle in self._lanes.finish(self._clock_of, time.monotonic_ns()):
            self._pass_on(vehicle, clerk)

    def _parts(self) -> dict[str, _Run]:
        """What is begun anew when it fails, by the names that people are told."""
        model = self._model
        return {
            **{f"digitiser.{name}": self._reading(name, s) for name, s in self._digitisers.items()},
            **{f"camera.{section.id}": self._watching(section) for section in model.camera},
            **{f"modbus.{section.id}": self._polling(section) for section in model.modbus},
            **{f"scale.{section.id}": self._weighing(section) for section in model.scale},
            "updating": self.updating.run,
        }

    def _supervised(self, group: asyncio.TaskGroup, part: str, run: _Run) -> asyncio.Task[None]:
        return group.create_task(supervise(part, run, self._health), name=part)

    def _reading(self, name: str, source: DigitiserSource) -> _Run:
        def deliver(item: SourceItem) -> None:
            if isinstance(item, DeviceHello):
                self._gains[name] = self._config.gains_of(name, item.newton_per_count)
            self._recorder.take(item, source.clock)
            if isinstance(item, SampleBlock) and (item.lost_before or item.restarted):
                self._chronicle.missed(item, time.monotonic_ns())
            self._lanes.take(item, source.clock, time.monotonic_ns())

        async def read() -> None:
            try:
                await source.run(deliver)
            finally:
                self._lanes.interrupt(name, source.clock, time.monotonic_ns())
                self._recorder.interrupt(name)

        return read

    def _watching(self, section: CameraSection) -> _Run:
        source = self._camera(self._config.with_files(section))

        def deliver(plate: PlateRead) -> None:
            self._recorder.plate(plate)
            self._lanes.read(plate)

        return lambda: source.run(deliver)

    def _camera(self, section: CameraSection) -> CameraSource | HttpCameraSource | StreamCamera:
        pictures = self._config.picture_dir(section)
        health, now_ns = self._health, self._clock.steady_ns
        if section.listens:
            return HttpCameraSource(
                section, pictures, health, now_ns, self._doors, self._ahead_ns, self._opinion
            )
        if section.pulls:
            return StreamCamera(section, pictures, health, now_ns, self._ahead_ns, self._opinion)
        tap = self._tap("camera", section)
        return CameraSource(section, pictures, health, now_ns, self._ahead_ns, tap)

    def _ahead_ns(self) -> int:
        """How far UTC is ahead of the steady time."""
        return self._clock.utc_of(0)

    def _polling(self, section: ModbusSection) -> _Run:
        section = self._config.with_map(section)
        source = ModbusSource(section, self._health, time.time_ns, self._buses, self._weights.put)
        self.orders.reach(section.id, source.command)

        def deliver(measured: Measurement) -> None:
            self._health.gauge(f"measured.{measured.device}.{measured.name}", measured.value)

        return lambda: source.run(deliver)

    def _weighing(self, section: ScaleSection) -> _Run:
        shared = (section, self._health, self._clock.steady_ns, self._companions)
        source: ScaleSource | ModbusScaleSource = (
            ModbusScaleSource(*shared, self._weights)
            if section.over_modbus
            else ScaleSource(
                *shared, self._tap("scale", section, section.data_bits, section.parity)
            )
        )

        if isinstance(source, ScaleSource):
            self.orders.reach(f"scale.{section.id}", source.command)

        def deliver(reading: ScaleReading) -> None:
            if reading.load_kg is not None:
                self._health.gauge(f"scale.{reading.device}.load_kg", reading.load_kg)

        return lambda: source.run(deliver)

    async def _keep_swept(self) -> None:
        directories = {c.id: self._config.picture_dir(c) for c in self._model.camera}
        await keep_swept(directories, self._clock.offset_us, self._health)

    def _tap(
        self,
        kind: str,
        section: DigitiserSection | CameraSection | ScaleSection,
        data_bits: int = 8,
        parity: str = "none",
    ) -> Tap:
        header = TapHeader(section.url, 0, section.baud, data_bits, parity)
        return self.taps.of(f"{kind}.{section.id}", header)

    def _bus_tap(self, url: str) -> Callable[[bool, bytes], None]:
        """Both directions of a bus, by the name of the first device that is on it."""
        first = next(section.id for section in self._model.modbus if section.url == url)
        take = self.taps.of(f"modbus.{first}", TapHeader(url, 0))

        def heard(sending: bool, data: bytes) -> None:
            take("sent" if sending else "heard", self._clock.steady_ns(), data)

        return heard

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
        if self._keepers[vehicle.passage.device].bars(vehicle.time_ns):
            flags |= Flag.SEAL_BROKEN
        return replace(vehicle, time_ns=utc_ns, host=host, flags=flags)
