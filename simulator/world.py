"""The world of one station: road, traffic, digitisers, cameras and weather, with the truth beside.

Pure and deterministic: the same station file, scenario and seed give the same samples for ever,
in whatever order they are asked for. World time runs in seconds from ``start_utc_ns``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise, takewhile
from pathlib import Path

from edge.config import CameraSection, StationConfig
from edge.errors import InputError
from edge.records import LaneLayout
from firmware_bridge.anpr import PlateFrame
from firmware_bridge.recording import RecordingWriter, Truth
from simulator.camera import PlateEvent, read_plate
from simulator.digitiser import Edge, SimDigitiser
from simulator.electronics import CHUNK
from simulator.kinds import Span
from simulator.scenario import Scenario
from simulator.site import Site
from simulator.traffic import (
    LaneTraffic,
    Passing,
    Plan,
    Zone,
    reference_plans,
    traffic_plans,
)

DEFAULT_START_UTC_NS = 1_780_272_000_000_000_000
"""2026-06-01 00:00 UTC: where a world begins that is bound to no clock."""

_REFERENCE_TAIL_S = 10.0
_WRITE_CHUNKS = 16

PlansOf = Callable[[int, LaneLayout], Iterator[Plan]]


class World:
    """Everything outside the station's PC.

    Parameters
    ----------
    station : StationConfig
        Lanes, digitisers and cameras as the station file describes them.
    scenario : Scenario
    seed : int, optional
        In place of the scenario's own.
    start_utc_ns : int
        UTC of world time 0.
    until_s : float
        Nobody wants to enter after this time.
    plans : callable, optional
        Who drives over a lane, from its number and layout, in place of the scenario's traffic.

    Raises
    ------
    InputError
        A fault of the scenario names a device or channel that the station lacks, or its lanes
        across the road are fewer than the station's.
    """

    def __init__(
        self,
        station: StationConfig,
        scenario: Scenario,
        seed: int | None = None,
        start_utc_ns: int = DEFAULT_START_UTC_NS,
        *,
        until_s: float = math.inf,
        plans: PlansOf | None = None,
    ) -> None:
        self.station, self.scenario, self.start_utc_ns = station, scenario, start_utc_ns
        self._until_s = until_s
        self.seed = scenario.seed if seed is None else seed
        _check_faults(station, scenario)
        _check_lanes(station, scenario)
        self._device_of = {lane.id: lane.digitiser for lane in station.model.lane}
        self._directions = {lane.id: lane.direction for lane in station.model.lane}
        layouts = {
            lane.lane: lane for d in station.model.digitiser for lane in station.lanes_of(d.id)
        }
        plans = plans or self._traffic_plans
        rows_m = _rows_m(layouts.values())
        self.traffic = {
            lane.id: LaneTraffic(
                layouts[lane.id],
                self._zone(layouts[lane.id], rows_m),
                scenario.traffic_of(number).gap_m,
                plans(number, layouts[lane.id]),
            )
            for number, lane in enumerate(station.model.lane)
        }
        ordered = [layouts[lane.id] for lane in station.model.lane]
        self.site = Site(ordered, self.traffic, scenario, self.seed)
        self._digitisers = {
            d.id: SimDigitiser(
                d.id, d.channels, station.lanes_of(d.id), self.site, scenario, self.seed
            )
            for d in station.model.digitiser
        }

    def digitiser(self, device: str) -> SimDigitiser:
        """One of the station's digitisers, by its name."""
        return self._digitisers[device]

    def device_of(self, lane: str) -> str:
        """The digitiser that reads a lane's sensors."""
        return self._device_of[lane]

    def edges(self, device: str, from_sample: int, to_sample: int) -> list[Edge]:
        """Edges of the digital inputs of a digitiser in ``[from_sample, to_sample)``."""
        return self.digitiser(device).edges(from_sample, to_sample)

    def utc_ns(self, time_s: float) -> int:
        """World time as UTC."""
        return self.start_utc_ns + round(time_s * 1e9)

    def temperature_c(self, time_s: float) -> float:
        """Road temperature."""
        return self.scenario.weather.temperature_c(time_s)

    def plate_events(
        self, from_s: float, to_s: float, camera: str | None = None
    ) -> list[PlateEvent]:
        """Readings that come onto the line in ``[from_s, to_s)``, in that order."""
        latest_s = self.scenario.plate.delay_ms[1] / 1e3
        events = [
            self._read(section, passing)
            for section in self.station.model.camera
            if camera in (None, section.id)
            for lane in section.lanes
            for passing in self.traffic[lane].between(from_s - latest_s, to_s)
        ]
        inside = [event for event in events if from_s <= event.sent_s < to_s]
        return sorted(inside, key=lambda event: event.sent_s)

    def direction_of(self, lane: str) -> str:
        """The direction that a camera reports for a lane."""
        return self._directions[lane]

    def left_between(self, from_s: float, to_s: float) -> list[Passing]:
        """Vehicles whose last wheel leaves the last row in ``[from_s, to_s)``, in that order."""
        found = [
            passing
            for traffic in self.traffic.values()
            for passing in traffic.between(from_s, to_s)
            if from_s <= passing.last_wheel_s < to_s
        ]
        return sorted(found, key=lambda passing: passing.last_wheel_s)

    def last_leave_s(self) -> float:
        """When the last vehicle of a world with an end has left its array."""
        passings = [p for lane in self.traffic.values() for p in lane.between(0.0, math.inf)]
        return max((passing.last_wheel_s for passing in passings), default=0.0)

    def truth(self, from_s: float, to_s: float) -> list[Truth]:
        """What a perfect station would say of ``left_between``."""
        return [self.truth_of(passing) for passing in self.left_between(from_s, to_s)]

    def truth_of(self, passing: Passing) -> Truth:
        """A vehicle as it really was."""
        vehicle = passing.vehicle
        return Truth(
            vehicle.number,
            passing.lane,
            self.utc_ns(passing.last_wheel_s),
            passing.speed_mps,
            vehicle.axle_kg,
            vehicle.spacing_m,
            vehicle.plate,
        )

    def recording(self, directory: Path, seconds: float) -> list[Path]:
        """Write ``seconds`` of every digitiser as recordings, as fast as it goes."""
        return [
            self._record(directory / device, digitiser, seconds)
            for device, digitiser in self._digitisers.items()
        ]

    def reference_recording(self, directory: Path, passes: int = 10) -> list[Path]:
        """Write calibration runs: test lorries of known static loads over every lane.

        Each of ``REFERENCE_CODES`` passes ``passes`` times at three speeds of the lane's range;
        the sensors are the same as in this world's traffic.
        """
        world = World(
            self.station,
            self.scenario.model_copy(update={"fault": ()}),
            self.seed,
            self.start_utc_ns,
            plans=lambda number, lane: reference_plans(
                number, lane, passes, self._speeds_kmh(number), self.seed
            ),
        )
        return world.recording(directory, world.last_leave_s() + _REFERENCE_TAIL_S)

    def _traffic_plans(self, number: int, lane: LaneLayout) -> Iterator[Plan]:
        section = self.scenario.traffic_of(number)
        plans = traffic_plans(section, number, lane, self.scenario.lead_in_s, self.seed)
        return takewhile(lambda plan: plan.wanted_s < self._until_s, plans)

    def _speeds_kmh(self, lane_number: int) -> list[float]:
        low, high = self.scenario.traffic_of(lane_number).speed_kmh
        return [low + (high - low) * part for part in (0.0, 0.5, 1.0)]

    def _zone(self, lane: LaneLayout, all_rows_m: Span) -> Zone:
        """From the first device of a lane to the last: there vehicles keep their distance."""
        at_m = list(_rows_m([lane]))
        rows_m = all_rows_m if self.scenario.lane_lateral_m else _rows_m([lane])
        at_m += [lane.separator.position_m] if lane.separator else []
        at_m += [c.position_m for c in self.station.model.camera if lane.lane in c.lanes]
        return Zone((min(at_m) - 1.0, max(at_m) + 1.0), (rows_m[0] - 0.5, rows_m[1] + 0.5))

    def _read(self, camera: CameraSection, passing: Passing) -> PlateEvent:
        return read_plate(
            camera.id,
            passing.lane,
            passing.vehicle,
            passing.nose_s(camera.position_m),
            passing.speed_mps,
            self.scenario.plate,
            self.seed,
        )

    def _record(self, directory: Path, digitiser: SimDigitiser, seconds: float) -> Path:
        end = math.floor(seconds * digitiser.true_rate_hz)
        with RecordingWriter(
            directory,
            device=digitiser.device,
            rate_hz=digitiser.rate_hz,
            channels=digitiser.channels,
            newton_per_count=digitiser.newton_per_count,
            start_utc_ns=self.start_utc_ns,
        ) as writer:
            for first, last in pairwise([*range(0, end, CHUNK * _WRITE_CHUNKS), end]):
                for edge in digitiser.edges(first, last):
                    writer.edge(*edge)
                writer.samples(first, digitiser.block(first, last - first))
            for sequence, event in enumerate(self.plate_events(0.0, seconds)):
                if self._device_of[event.lane] == digitiser.device:
                    writer.plate(self.plate_frame(event, sequence, ""), self.utc_ns(event.sent_s))
            for row in self.truth(0.0, seconds):
                if self._device_of[row.lane] == digitiser.device:
                    writer.truth(row)
        return directory

    def plate_frame(self, event: PlateEvent, sequence: int, picture: str) -> PlateFrame:
        """A reading as the camera's line carries it, by the camera's own clock."""
        offset_ns = round(self.scenario.plate.clock_offset_ms * 1e6)
        camera_time_ns = self.utc_ns(event.taken_s) + offset_ns
        return event.frame(sequence, camera_time_ns, self.direction_of(event.lane), picture)


def _rows_m(lanes: Iterable[LaneLayout]) -> Span:
    """From the beginning of the first row of some lanes to the end of the last."""
    rows = [row for lane in lanes for row in lane.rows]
    starts_m = [row.position_m - row.width_m / 2 for row in rows]
    return min(starts_m), max(row.position_m + row.width_m / 2 for row in rows)


def _check_faults(station: StationConfig, scenario: Scenario) -> None:
    """A fault of a device that the station lacks would never happen: say so."""
    channels = {d.id: len(d.channels) for d in station.model.digitiser}
    for fault in scenario.fault:
        if fault.channel >= channels.get(fault.device, 0):
            raise InputError(
                f"场景里的故障 {fault.kind}：站点没有 {fault.device} 的通道 {fault.channel}",
                f"fault {fault.kind}: the station has no channel {fault.channel} of {fault.device}",
                next_zh="改正场景文件的 [[fault]]",
                next_en="mend [[fault]] in the scenario file",
            )


def _check_lanes(station: StationConfig, scenario: Scenario) -> None:
    """Either no lane has a place across the road, or every one."""
    given, wanted = len(scenario.lane_lateral_m), len(station.model.lane)
    if given and given != wanted:
        raise InputError(
            f"场景里的 lane_lateral_m 有 {given} 个车道位置，站点有 {wanted} 个车道",
            f"lane_lateral_m of the scenario has {given} lanes, the station has {wanted}",
            next_zh="每个车道给出一个位置，或删除该项",
            next_en="give a place for each lane, or none at all",
        )
