"""From what the devices said to vehicles: one pipeline a digitiser, and the desk for plates.

Holds no clock, port or disk: the caller hands in items and the moment. The live station and the
replay of a recording are the same code, so they give the same kilograms.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from edge.config import CameraSection, StationConfig
from edge.core.pipeline import Pipeline
from edge.core.plates import Expected, join
from edge.health import Health, Level
from edge.records import (
    ClockReading,
    Flag,
    Gains,
    InputEdge,
    JoinKind,
    LaneLayout,
    Passage,
    PlateJoin,
    PlateRead,
    SampleBlock,
    Vehicle,
)
from edge.sources.ports import DeviceHello, SourceItem

FRONT_OVERHANG_M = 1.3
"""From bumper to first axle: the camera fires on the bumper, the sensors on the axle. Trucks of
GB 1589 lie between 0.8 m and 1.6 m (own estimate); the spread goes into ``u_time_ns``."""
U_FRONT_OVERHANG_M = 0.4
SETTLE_NS = 250_000_000
"""A fitting plate waits this long for a second one, which would make it ambiguous."""
MEMORY_NS = 30_000_000_000
"""Plates and vehicles older than this can no longer belong to a new one."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A passage at the desk, waiting for its plate."""

    passage: Passage
    clock: ClockReading
    time_ns: int
    expected: Expected
    closed_mono_ns: int
    wait_ns: int

    def is_due(self, found: PlateJoin, mono_ns: int) -> bool:
        waited = mono_ns - self.closed_mono_ns
        settled = found.kind is JoinKind.READ and waited >= SETTLE_NS
        return settled or waited >= self.wait_ns


class Desk:
    """Joins plates to the passages of one lane, in order, and releases vehicles.

    A released passage is remembered for a while, so that a plate that fits it and the next
    vehicle too is seen as ambiguous.
    """

    def __init__(self, station: str, lane: LaneLayout, camera: CameraSection | None) -> None:
        self._station = station
        self._lane = lane
        self._camera = camera
        self._waiting: list[_Arrival] = []
        self._released: list[Expected] = []
        self._reads: list[PlateRead] = []

    def arrive(self, passage: Passage, clock: ClockReading, mono_ns: int) -> None:
        """A passage was weighed."""
        wait_s = self._camera.wait_s if self._camera else 0.0
        self._waiting.append(
            _Arrival(
                passage,
                clock,
                clock.utc_ns(passage.last_wheel_sample),
                self._expect(passage, clock),
                mono_ns,
                round(wait_s * 1e9),
            )
        )

    def read(self, plate: PlateRead) -> None:
        """A camera read a plate in this lane."""
        self._reads.append(plate)

    def release(self, mono_ns: int, *, all_of_them: bool = False) -> list[Vehicle]:
        """Vehicles that have their plate, or have waited long enough for it."""
        if not self._waiting:
            return []
        joins = self._joins()
        vehicles = []
        while self._waiting and (all_of_them or self._waiting[0].is_due(joins[0], mono_ns)):
            arrival = self._waiting.pop(0)
            self._released.append(arrival.expected)
            vehicles.append(self._vehicle(arrival, joins.pop(0)))
        if vehicles:
            self._forget(vehicles[-1].time_ns - MEMORY_NS)
        return vehicles

    def _joins(self) -> list[PlateJoin]:
        if self._camera is None:
            return [PlateJoin(JoinKind.MISSING, None, reason="no_camera") for _ in self._waiting]
        expected = self._released + [a.expected for a in self._waiting]
        tolerance_ns = round(self._camera.tolerance_s * 1e9)
        return join(expected, self._reads, tolerance_ns)[len(self._released) :]

    def _expect(self, passage: Passage, clock: ClockReading) -> Expected:
        """When the bumper should have stood before the camera."""
        first_ns = clock.utc_ns(passage.first_wheel_sample)
        camera_m = self._camera.position_m if self._camera else 0.0
        way_m = camera_m - self._lane.rows[0].position_m - FRONT_OVERHANG_M
        speed = passage.speed_mps
        if not (math.isfinite(speed) and speed > 0):
            return Expected(self._lane.lane, first_ns, clock.bound_ns)
        u_way_ns = math.hypot(U_FRONT_OVERHANG_M, way_m * passage.u_speed_mps / speed) / speed * 1e9
        return Expected(
            self._lane.lane,
            first_ns + round(way_m / speed * 1e9),
            round(math.hypot(u_way_ns, clock.bound_ns / 2)),
        )

    def _vehicle(self, arrival: _Arrival, found: PlateJoin) -> Vehicle:
        clock = arrival.clock
        unsure = clock.stepped or not clock.settled
        return Vehicle(
            self._station,
            arrival.time_ns,
            clock,
            arrival.passage,
            found,
            arrival.passage.flags | (Flag.CLOCK_UNSURE if unsure else Flag.NONE),
        )

    def _forget(self, before_ns: int) -> None:
        self._released = [e for e in self._released if e.time_ns >= before_ns]
        self._reads = [r for r in self._reads if r.time_ns >= before_ns]


class Lanes:
    """All lanes of a station: items of the devices in, vehicles out."""

    def __init__(self, config: StationConfig, health: Health) -> None:
        self._config = config
        self._health = health
        self._pipelines: dict[str, Pipeline] = {}
        self._hellos: dict[str, DeviceHello] = {}
        self._edges: defaultdict[str, list[InputEdge]] = defaultdict(list)
        model = config.model
        self._desks = {
            lane.lane: Desk(model.station.id, lane, _camera_of(config, lane.lane))
            for section in model.digitiser
            for lane in config.lanes_of(section.id)
        }

    def take(self, item: SourceItem, clock: Callable[[], ClockReading], mono_ns: int) -> None:
        """One item of a digitiser, in the order in which it spoke."""
        if isinstance(item, DeviceHello):
            self._greet(item, clock, mono_ns)
        elif isinstance(item, InputEdge):
            self._edges[item.device].append(item)
        else:
            self._weigh(item, clock, mono_ns)

    def read(self, plate: PlateRead) -> None:
        """A plate from a camera."""
        desk = self._desks.get(plate.lane)
        if desk is None:
            self._health.count(f"camera.{plate.camera}.unknown_lane")
            return
        desk.read(plate)

    def release(self, mono_ns: int) -> list[Vehicle]:
        """Vehicles of all lanes that are ready to be judged."""
        return [v for desk in self._desks.values() for v in desk.release(mono_ns)]

    def finish(self, clock: Callable[[str], ClockReading], mono_ns: int) -> list[Vehicle]:
        """The data ended: what stands on the array is closed as incomplete, the desk cleared."""
        for device in list(self._pipelines):
            self._close(device, lambda d=device: clock(d), mono_ns)
        return [v for desk in self._desks.values() for v in desk.release(mono_ns, all_of_them=True)]

    def interrupt(self, device: str, clock: Callable[[], ClockReading], mono_ns: int) -> None:
        """A digitiser is gone: close what it had begun; it says HELLO when it is back."""
        if device in self._pipelines:
            self._close(device, clock, mono_ns)

    def _greet(self, hello: DeviceHello, clock: Callable[[], ClockReading], mono_ns: int) -> None:
        """A device introduced itself; it does so every second, and only a change matters."""
        if hello.device in self._pipelines and self._hellos.get(hello.device) == hello:
            return
        self.interrupt(hello.device, clock, mono_ns)
        self._hellos[hello.device] = hello
        self._pipelines[hello.device] = self._build(hello)

    def _build(self, hello: DeviceHello) -> Pipeline:
        gains = self._config.gains_of(hello.device, hello.newton_per_count)
        _tell_calibration(hello.device, gains, self._health)
        return Pipeline(
            hello.device,
            hello.rate_hz,
            hello.channels,
            self._config.lanes_of(hello.device),
            gains,
        )

    def _weigh(self, block: SampleBlock, clock: Callable[[], ClockReading], mono_ns: int) -> None:
        pipeline = self._pipelines.get(block.device)
        if pipeline is None:  # samples before the first HELLO have no scale
            self._health.count(f"digitiser.{block.device}.before_hello")
            return
        edges = self._edges.pop(block.device, [])
        self._arrive(pipeline.step(block, edges), clock, mono_ns)

    def _close(self, device: str, clock: Callable[[], ClockReading], mono_ns: int) -> None:
        self._arrive(self._pipelines.pop(device).flush(), clock, mono_ns)
        self._edges.pop(device, None)

    def _arrive(
        self, passages: list[Passage], clock: Callable[[], ClockReading], mono_ns: int
    ) -> None:
        for passage in passages:
            self._health.count(f"lane.{passage.lane}.passages")
            self._desks[passage.lane].arrive(passage, clock(), mono_ns)


def _camera_of(config: StationConfig, lane: str) -> CameraSection | None:
    return next((c for c in config.model.camera if lane in c.lanes), None)


def _tell_calibration(device: str, gains: Gains, health: Health) -> None:
    part = f"calibration.{device}"
    if gains.calibrated:
        name = gains.certificate_id
        health.state(part, Level.OK, f"检定证书 {name}", f"certificate {name}")
    else:
        health.state(
            part, Level.WARNING, "没有检定证书，结果不作依据", "no certificate: no legal result"
        )
