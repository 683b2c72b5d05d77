"""The desk of a lane: its passages wait for plates, and for other halves of another digitiser.

Lanes side by side share a vehicle that drove over their line: it may own a plate of either, and
where two digitisers read the two lanes its halves stay two passages, each of which names the other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edge.config import CameraSection
from edge.core.joining import alike, pressed_side
from edge.core.plates import Expected, join
from edge.records import (
    ClockReading,
    Flag,
    Gains,
    JoinKind,
    LaneLayout,
    Passage,
    PassageKey,
    PlateDoubt,
    PlateJoin,
    PlateRead,
    Vehicle,
)

__all__ = ["HALF_WAIT_NS", "MEMORY_NS", "READS_KEPT", "SETTLE_NS", "Desk"]

FRONT_OVERHANG_M = 1.3
"""From bumper to first axle: the camera fires on the bumper, the sensors on the axle. Trucks of
GB 1589 lie between 0.8 m and 1.6 m (own estimate); the spread goes into ``u_time_ns``."""
U_FRONT_OVERHANG_M = 0.4
SETTLE_NS = 250_000_000
"""A fitting plate waits this long for a second one, which would make it ambiguous."""
MEMORY_NS = 10_000_000_000
"""Plates and vehicles older than this can no longer belong to a new one."""
READS_KEPT = 64
"""Plates are kept while nothing is weighed, but not for ever: the digitiser may be off for a day,
and no vehicle stands on the array while so many others are read."""
HALF_WAIT_NS = 2_000_000_000
"""Half a vehicle waits this long for the other half, if another digitiser reads that lane."""
_HALVES_APART_NS = 1_000_000_000
"""Halves close within this time on their own clocks: less, so that late data change nothing."""


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
    half: str
    """The side on which all its wheels pressed, where that can be told; else empty."""

    def is_due(self, found: PlateJoin, mono_ns: int) -> bool:
        waited = mono_ns - self.closed_mono_ns
        if self.half:
            return waited >= max(self.wait_ns, HALF_WAIT_NS)
        settled = found.kind is JoinKind.READ and waited >= SETTLE_NS
        return settled or waited >= self.wait_ns

    def may_be_one_with(self, other: _Arrival) -> bool:
        """Whether the other is half a vehicle, and this may be its other half."""
        one, two = self.passage, other.passage
        if {self.half, other.half} != {"left", "right"} or not alike(one, two):
            return False
        bound_ns = self.clock.bound_ns + other.clock.bound_ns
        begin_ns, end_ns = (
            [a.clock.utc_ns(sample) for a, sample in pair]
            for pair in (
                ((self, one.first_wheel_sample), (other, two.first_wheel_sample)),
                ((self, one.last_wheel_sample), (other, two.last_wheel_sample)),
            )
        )
        closed_ns = self.clock.utc_ns(one.closed_sample) - other.clock.utc_ns(two.closed_sample)
        return max(begin_ns) < min(end_ns) + bound_ns and abs(closed_ns) <= _HALVES_APART_NS

    def released(self, found: PlateJoin) -> _Released:
        """What to remember of it, now that it leaves with this plate."""
        passage, had_plate = self.passage, found.kind is JoinKind.READ
        return _Released(self.time_ns, passage.key, passage.lanes, self.expected, had_plate)

    def named(self, other: _Arrival) -> _Arrival:
        """The same, with the lane of its other half."""
        passage = replace(
            self.passage,
            flags=self.passage.flags | Flag.STRADDLING,
            perhaps_with=other.passage.lane,
        )
        return replace(self, passage=passage)


@dataclass(slots=True)
class _Released:
    """What is remembered of a passage that left the desk: its samples are let go.

    With a plate, that plate may still come into doubt.
    """

    time_ns: int
    passage: PassageKey
    lanes: tuple[str, ...]
    expected: Expected
    had_plate: bool


class Desk:
    """Joins plates to the passages of one lane, in order, and releases vehicles.

    A released passage is remembered for a while. When its plate turns out to fit the next vehicle
    too, the next one is ambiguous at once, and the earlier one gets a doubt: a statement that
    follows its record.
    """

    def __init__(
        self,
        station: str,
        lane: LaneLayout,
        camera: CameraSection | None,
        utc_of: Callable[[int], int] = lambda time_ns: time_ns,
    ) -> None:
        self._station = station
        self._utc_of = utc_of
        self._lane = lane
        self._camera = camera
        self._waiting: list[_Arrival] = []
        self._released: list[_Released] = []
        self._reads: deque[PlateRead] = deque(maxlen=READS_KEPT)
        self._joins: list[PlateJoin] = []
        self._doubts: list[PlateDoubt] = []
        self._beside: list[Desk] = []
        self._abroad: list[Desk] = []

    def stand_beside(self, desks: Sequence[Desk], abroad: Sequence[Desk]) -> None:
        """Tell the desks of all lanes, and those of the lanes that other digitisers read."""
        self._beside = [desk for desk in desks if desk._lane.lane in self._lane.beside]
        self._abroad = [desk for desk in abroad if desk in self._beside]

    def arrive(self, passage: Passage, gains: Gains, clock: ClockReading, mono_ns: int) -> None:
        """A passage was weighed with these gains."""
        wait_s = self._camera.wait_s if self._camera else 0.0
        time_ns = clock.utc_ns(passage.last_wheel_sample)
        alone = Flag.WHEEL_OFF in passage.flags and Flag.STRADDLING not in passage.flags
        self._waiting.append(
            _Arrival(
                passage,
                clock,
                time_ns,
                self._expect(passage, clock),
                mono_ns,
                round(wait_s * 1e9),
                gains.expired(self._utc_of(time_ns)),
                pressed_side(passage) if alone and self._abroad else "",
            )
        )
        if self._waiting[-1].half:
            self._find_other_half()
        self._told()

    def read(self, plate: PlateRead) -> None:
        """A camera read a plate in this lane."""
        self._reads.append(plate)
        self._told()

    def release(self, mono_ns: int, *, all_of_them: bool = False) -> list[Vehicle]:
        """Vehicles that have their plate, or have waited long enough for it."""
        vehicles = []
        while self._waiting and (all_of_them or self._waiting[0].is_due(self._joins[0], mono_ns)):
            arrival, found = self._waiting.pop(0), self._joins.pop(0)
            self._released.append(arrival.released(found))
            vehicles.append(self._vehicle(arrival, found))
        if vehicles:
            self._forget(vehicles[-1].time_ns - MEMORY_NS)
        return vehicles

    def doubts(self) -> list[PlateDoubt]:
        """Released plates that came into doubt since the last call."""
        doubts, self._doubts = self._doubts, []
        return doubts

    def _find_other_half(self) -> None:
        """Let the newest, and what may be its other half, name each other."""
        for desk in self._abroad:
            for k, other in enumerate(desk._waiting):
                newest = self._waiting[-1]
                if other.may_be_one_with(newest):
                    self._waiting[-1], desk._waiting[k] = newest.named(other), other.named(newest)

    def _told(self) -> None:
        for desk in (self, *self._sharing()):
            desk._join()

    def _sharing(self) -> list[Desk]:
        """Desks beside this one with which it has a vehicle in common."""
        return [desk for desk in self._beside if self._has_astride() or desk._has_astride()]

    def _has_astride(self) -> bool:
        left = [released.lanes for released in self._released]
        here = [arrival.passage.lanes for arrival in self._waiting]
        return any(len(lanes) > 1 for lanes in left + here)

    def _expected(self) -> list[Expected]:
        left = [released.expected for released in self._released]
        return left + [arrival.expected for arrival in self._waiting]

    def _join(self) -> None:
        """Join anew: something came that may fit what is waiting, or what has left."""
        if self._camera is None:
            missing = PlateJoin(JoinKind.MISSING, None, reason="no-camera")
            self._joins = [missing for _ in self._waiting]
            return
        sharing = self._sharing()
        others = [vehicle for desk in sharing for vehicle in desk._expected()]
        reads = [read for desk in (self, *sharing) for read in desk._reads]
        tolerance_ns = round(self._camera.tolerance_s * 1e9)
        joins = join(others + self._expected(), reads, tolerance_ns)[len(others) :]
        self._joins = joins[len(self._released) :]
        for released, found in zip(self._released, joins, strict=False):
            if released.had_plate and found.kind is JoinKind.AMBIGUOUS:
                released.had_plate = False
                self._doubts.append(PlateDoubt(released.time_ns, released.passage, found))

    def _expect(self, passage: Passage, clock: ClockReading) -> Expected:
        """When the bumper should have stood before the camera."""
        first_ns = clock.utc_ns(passage.first_wheel_sample)
        camera_m = self._camera.position_m if self._camera else 0.0
        way_m = camera_m - self._lane.rows[0].position_m - FRONT_OVERHANG_M
        speed = passage.speed_mps
        if not (math.isfinite(speed) and speed > 0):
            return Expected(passage.lanes, first_ns, clock.bound_ns)
        u_way_ns = math.hypot(U_FRONT_OVERHANG_M, way_m * passage.u_speed_mps / speed) / speed * 1e9
        return Expected(
            passage.lanes,
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
        self._released = [r for r in self._released if r.time_ns >= before_ns]
        kept = [read for read in self._reads if read.time_ns >= before_ns]
        self._reads = deque(kept, READS_KEPT)
