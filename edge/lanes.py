"""From what the devices said to vehicles: one pipeline a digitiser, and the desk for plates.

Holds no clock, port or disk: the caller hands in items and the moment. The live station and the
replay of a recording are the same code, so they give the same kilograms.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from edge.config import CameraSection, StationConfig
from edge.core.pipeline import Pipeline
from edge.core.plates import Expected, join
from edge.errors import Text
from edge.frozen import of_device
from edge.health import Health, Level
from edge.records import (
    ClockReading,
    Flag,
    Gains,
    InputEdge,
    JoinKind,
    LaneLayout,
    Passage,
    PlateDoubt,
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
MEMORY_NS = 10_000_000_000
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
    expired: bool
    """The certificate was out of date when the vehicle passed."""

    def is_due(self, found: PlateJoin, mono_ns: int) -> bool:
        waited = mono_ns - self.closed_mono_ns
        settled = found.kind is JoinKind.READ and waited >= SETTLE_NS
        return settled or waited >= self.wait_ns


@dataclass(slots=True)
class _Released:
    """A passage that left the desk; with a plate, that plate may still come into doubt."""

    arrival: _Arrival
    had_plate: bool


class Desk:
    """Joins plates to the passages of one lane, in order, and releases vehicles.

    A released passage is remembered for a while. When its plate turns out to fit the next vehicle
    too, the next one is ambiguous at once, and the earlier one gets a doubt: a statement that
    follows its record.
    """

    def __init__(self, station: str, lane: LaneLayout, camera: CameraSection | None) -> None:
        self._station = station
        self._lane = lane
        self._camera = camera
        self._waiting: list[_Arrival] = []
        self._released: list[_Released] = []
        self._reads: list[PlateRead] = []
        self._joins: list[PlateJoin] = []
        self._doubts: list[PlateDoubt] = []

    def arrive(self, passage: Passage, gains: Gains, clock: ClockReading, mono_ns: int) -> None:
        """A passage was weighed with these gains."""
        wait_s = self._camera.wait_s if self._camera else 0.0
        time_ns = clock.utc_ns(passage.last_wheel_sample)
        self._waiting.append(
            _Arrival(
                passage,
                clock,
                time_ns,
                self._expect(passage, clock),
                mono_ns,
                round(wait_s * 1e9),
                gains.expired(time_ns),
            )
        )
        self._join()

    def read(self, plate: PlateRead) -> None:
        """A camera read a plate in this lane."""
        self._reads.append(plate)
        self._join()

    def release(self, mono_ns: int, *, all_of_them: bool = False) -> list[Vehicle]:
        """Vehicles that have their plate, or have waited long enough for it."""
        vehicles = []
        while self._waiting and (all_of_them or self._waiting[0].is_due(self._joins[0], mono_ns)):
            arrival, found = self._waiting.pop(0), self._joins.pop(0)
            self._released.append(_Released(arrival, found.kind is JoinKind.READ))
            vehicles.append(self._vehicle(arrival, found))
        if vehicles:
            self._forget(vehicles[-1].time_ns - MEMORY_NS)
        return vehicles

    def doubts(self) -> list[PlateDoubt]:
        """Released plates that came into doubt since the last call."""
        doubts, self._doubts = self._doubts, []
        return doubts

    def _join(self) -> None:
        """Join anew: something came that may fit what is waiting, or what has left."""
        if self._camera is None:
            missing = PlateJoin(JoinKind.MISSING, None, reason="no-camera")
            self._joins = [missing for _ in self._waiting]
            return
        expected = [r.arrival.expected for r in self._released]
        expected += [arrival.expected for arrival in self._waiting]
        joins = join(expected, self._reads, round(self._camera.tolerance_s * 1e9))
        self._joins = joins[len(self._released) :]
        for released, found in zip(self._released, joins, strict=False):
            if released.had_plate and found.kind is JoinKind.AMBIGUOUS:
                released.had_plate = False
                arrival = released.arrival
                self._doubts.append(PlateDoubt(arrival.time_ns, arrival.passage, found))

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
        flags = arrival.passage.flags
        if clock.stepped or not clock.settled:
            flags |= Flag.CLOCK_UNSURE
        if arrival.expired:
            flags |= Flag.UNCALIBRATED
        return Vehicle(
            self._station,
            arrival.time_ns,
            clock,
            arrival.passage,
            found,
            flags,
        )

    def _forget(self, before_ns: int) -> None:
        self._released = [r for r in self._released if r.arrival.time_ns >= before_ns]
        self._reads = [r for r in self._reads if r.time_ns >= before_ns]


class Weigher(Protocol):
    """What makes passages of one digitiser's blocks: a pipeline, or what it said before."""

    @property
    def gains(self) -> Gains: ...

    @property
    def stray(self) -> int: ...

    def step(self, block: SampleBlock, edges: Sequence[InputEdge] = ()) -> list[Passage]: ...

    def flush(self) -> list[Passage]: ...


def pipeline_of(config: StationConfig, hello: DeviceHello) -> Pipeline:
    """The pipeline of a digitiser that introduced itself."""
    return Pipeline(
        hello.device,
        hello.rate_hz,
        hello.channels,
        config.lanes_of(hello.device),
        config.gains_of(hello.device, hello.newton_per_count),
        of_device(config, hello.device),
    )


class Lanes:
    """All lanes of a station: items of the devices in, vehicles out."""

    def __init__(
        self,
        config: StationConfig,
        health: Health,
        weigher_of: Callable[[StationConfig, DeviceHello], Weigher] = pipeline_of,
    ) -> None:
        self._config = config
        self._health = health
        self._weigher_of = weigher_of
        self._pipelines: dict[str, Weigher] = {}
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

    def doubts(self) -> list[PlateDoubt]:
        """Plates of released vehicles that came into doubt since the last call."""
        return [doubt for desk in self._desks.values() for doubt in desk.doubts()]

    def finish(self, clock: Callable[[str], ClockReading], mono_ns: int) -> list[Vehicle]:
        """The data ended: what stands on the array is closed as incomplete, the desk cleared."""
        for device in self._pipelines:
            self.interrupt(device, partial(clock, device), mono_ns)
        return [v for desk in self._desks.values() for v in desk.release(mono_ns, all_of_them=True)]

    def interrupt(self, device: str, clock: Callable[[], ClockReading], mono_ns: int) -> None:
        """The line of a digitiser ended: what stands on its lanes is closed as incomplete.

        Its pipeline stays: a device that was never off does not introduce itself anew.
        """
        self._edges.pop(device, None)
        if pipeline := self._pipelines.get(device):
            self._arrive(pipeline, pipeline.flush(), clock, mono_ns)

    def _greet(self, hello: DeviceHello, clock: Callable[[], ClockReading], mono_ns: int) -> None:
        """A device introduced itself; it does so every second, and only a change matters."""
        if hello.device in self._pipelines and self._hellos.get(hello.device) == hello:
            return
        self.interrupt(hello.device, clock, mono_ns)
        self._hellos[hello.device] = hello
        pipeline = self._pipelines[hello.device] = self._weigher_of(self._config, hello)
        _tell_calibration(hello.device, pipeline.gains, clock(), self._health)

    def _weigh(self, block: SampleBlock, clock: Callable[[], ClockReading], mono_ns: int) -> None:
        pipeline = self._pipelines.get(block.device)
        if pipeline is None:  # samples before the first HELLO have no scale
            self._health.count(f"digitiser.{block.device}.before_hello")
            return
        edges = self._edges.pop(block.device, [])
        self._arrive(pipeline, pipeline.step(block, edges), clock, mono_ns)
        self._health.gauge(f"digitiser.{block.device}.stray_touches", pipeline.stray)

    def _arrive(
        self,
        pipeline: Weigher,
        passages: list[Passage],
        clock: Callable[[], ClockReading],
        mono_ns: int,
    ) -> None:
        for passage in passages:
            self._health.count(f"lane.{passage.lane}.passages")
            self._desks[passage.lane].arrive(passage, pipeline.gains, clock(), mono_ns)
            _tell_calibration(passage.device, pipeline.gains, clock(), self._health)


def _camera_of(config: StationConfig, lane: str) -> CameraSection | None:
    return next((c for c in config.model.camera if lane in c.lanes), None)


def _tell_calibration(device: str, gains: Gains, clock: ClockReading, health: Health) -> None:
    part, name = f"calibration.{device}", gains.certificate_id
    if not gains.calibrated:
        health.state(
            part,
            Level.WARNING,
            "没有检定证书，称重结果不作依据",
            "no certificate: weights are no legal result",
            next_step=Text(
                "标定后填写 [calibration] file", "calibrate, then set [calibration] file"
            ),
        )
    elif gains.expired(clock.ref_utc_ns):
        health.state(
            part,
            Level.WARNING,
            f"检定证书 {name} 已过期，称重结果不作依据",
            f"certificate {name} has expired: weights are no legal result",
            next_step=Text("联系检定机构重新检定", "have the scale verified again"),
        )
    else:
        health.state(part, Level.OK, f"检定证书 {name} 有效", f"certificate {name} is valid")
