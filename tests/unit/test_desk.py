"""The desk: plates wait for vehicles, vehicles for plates, doubt for both."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from edge.config import CameraSection
from edge.desk import HALF_WAIT_NS, MEMORY_NS, READS_KEPT, SETTLE_NS, Desk
from edge.records import (
    ClockReading,
    Flag,
    Gains,
    JoinKind,
    LaneLayout,
    PlateRead,
    Row,
)
from tests.unit.test_joining import halves

S = 1_000_000_000
CAMERA = CameraSection(id="C1", url="x", lanes=["1"], position_m=1.3, wait_s=0.8, tolerance_s=0.4)
LANE = LaneLayout("1", (Row(0.0, 0.07, "strip", 0, 1), Row(2.0, 0.07, "strip", 2, 3)))
CLOCK = ClockReading(0, 0, 1e6, 0, 0.0, settled=True)
"""One sample a millisecond, from 1970 on: times below are samples times a million."""
GAINS = Gains(np.ones(4), np.full(4, 0.01), certificate_id="K1", valid_until_ns=10 * S)


@dataclass(frozen=True)
class Crossing:
    """As much of a passage as the desk looks at."""

    first_wheel_sample: float
    last_wheel_sample: float
    speed_mps: float = 15.0
    u_speed_mps: float = 0.1
    flags: Flag = Flag.NONE
    lanes: tuple[str, ...] = ("1",)

    @property
    def key(self) -> tuple[str, str, int]:
        return "D1", "1", round(self.first_wheel_sample)


def crossing(first_ms: float, **fields: Any) -> Crossing:
    return Crossing(first_ms, first_ms + 800, **fields)


def plate(text: str, time_ms: float) -> PlateRead:
    time_ns = round(time_ms * 1e6)
    return PlateRead("C1", "1", text, text, "yellow", 0.9, "", time_ns, time_ns, time_ns)


@pytest.fixture
def desk() -> Desk:
    return Desk("ST", LANE, CAMERA)


def test_a_vehicle_takes_its_plate_as_soon_as_it_has_settled(desk: Desk) -> None:
    desk.read(plate("京A12345", 1_020))
    desk.arrive(crossing(1_000), GAINS, CLOCK, 2 * S)
    assert desk.release(2 * S + SETTLE_NS - 1) == []
    (vehicle,) = desk.release(2 * S + SETTLE_NS)
    assert vehicle.plate == "京A12345"
    assert vehicle.time_ns == 1_800_000_000


def test_a_vehicle_without_a_plate_goes_when_the_wait_is_over(desk: Desk) -> None:
    desk.arrive(crossing(1_000), GAINS, CLOCK, 2 * S)
    assert desk.release(2 * S + 799_000_000) == []
    (vehicle,) = desk.release(2 * S + 800_000_000)
    assert vehicle.join.kind is JoinKind.MISSING


def test_a_late_plate_still_finds_its_waiting_vehicle(desk: Desk) -> None:
    desk.arrive(crossing(1_000), GAINS, CLOCK, 2 * S)
    desk.read(plate("京A12345", 1_020))
    (vehicle,) = desk.release(2 * S + 500_000_000)
    assert vehicle.join.kind is JoinKind.READ


def test_a_plate_between_two_waiting_vehicles_goes_to_neither(desk: Desk) -> None:
    desk.arrive(crossing(1_000), GAINS, CLOCK, 2 * S)
    desk.arrive(crossing(1_500), GAINS, CLOCK, 2 * S)
    desk.read(plate("京A12345", 1_250))
    first, second = desk.release(3 * S)
    assert first.join.kind is second.join.kind is JoinKind.AMBIGUOUS
    assert first.plate == second.plate == ""
    assert [c.text for c in first.join.candidates] == ["京A12345"]


def test_a_plate_that_was_given_away_comes_into_doubt_with_the_next_vehicle(desk: Desk) -> None:
    desk.read(plate("京A12345", 1_250))
    desk.arrive(crossing(1_000), GAINS, CLOCK, 2 * S)
    (first,) = desk.release(3 * S)
    assert first.join.kind is JoinKind.READ
    assert desk.doubts() == []

    desk.arrive(crossing(1_500), GAINS, CLOCK, 3 * S)
    (doubt,) = desk.doubts()
    assert doubt.passage == first.passage.key
    assert doubt.join.kind is JoinKind.AMBIGUOUS
    assert desk.doubts() == []
    (second,) = desk.release(4 * S)
    assert second.join.kind is JoinKind.AMBIGUOUS


def test_order_is_kept_although_the_second_has_its_plate_first(desk: Desk) -> None:
    desk.arrive(crossing(1_000), GAINS, CLOCK, 2 * S)
    desk.arrive(crossing(3_000), GAINS, CLOCK, 2 * S)
    desk.read(plate("沪B67890", 3_010))
    assert desk.release(2 * S + SETTLE_NS) == []
    assert [v.plate for v in desk.release(3 * S)] == ["", "沪B67890"]


def test_without_a_speed_the_vehicle_waits_in_vain_but_is_not_lost(desk: Desk) -> None:
    desk.arrive(crossing(1_000, speed_mps=float("nan")), GAINS, CLOCK, 2 * S)
    assert len(desk.release(3 * S)) == 1


def test_without_a_camera_nobody_waits() -> None:
    desk = Desk("ST", LANE, None)
    desk.arrive(crossing(1_000), GAINS, CLOCK, 2 * S)
    (vehicle,) = desk.release(2 * S)
    assert vehicle.join.reason == "no-camera"


def test_old_plates_are_forgotten(desk: Desk) -> None:
    memory_ms = MEMORY_NS / 1e6
    desk.read(plate("京A12345", 1_020))
    for n in range(1, 40):
        desk.arrive(crossing(1_000 + n * memory_ms), GAINS, CLOCK, n * 100 * S)
        desk.release(n * 100 * S + S)
    assert len(desk._reads) == 0
    assert len(desk._released) <= 2


def test_a_passage_that_has_left_is_held_by_its_taker_alone(desk: Desk) -> None:
    desk.arrive(crossing(1_000), GAINS, CLOCK, 2 * S)
    (vehicle,) = desk.release(3 * S)
    passage = weakref.ref(vehicle.passage)
    del vehicle
    assert passage() is None


def test_plates_without_a_digitiser_are_not_gathered_for_ever(desk: Desk) -> None:
    for n in range(3 * READS_KEPT):
        desk.read(plate(f"京A{n:05}", 1_000 + 5_000 * n))
    assert len(desk._reads) == READS_KEPT
    desk.arrive(crossing(1_000 + 5_000 * n), GAINS, CLOCK, 2 * S)
    (vehicle,) = desk.release(3 * S)
    assert vehicle.plate == f"京A{n:05}"


def test_a_clock_that_has_not_settled_is_flagged() -> None:
    desk = Desk("ST", LANE, None)
    unsure = ClockReading(0, 0, 1e6, 0, 0.0, settled=False)
    desk.arrive(crossing(1_000), GAINS, unsure, 0)
    (vehicle,) = desk.release(0)
    assert Flag.CLOCK_UNSURE in vehicle.flags


@pytest.mark.parametrize(("first_ms", "expired"), [(9_199, False), (9_201, True)])
def test_an_expired_certificate_takes_away_the_legal_result(first_ms: float, expired: bool) -> None:
    desk = Desk("ST", LANE, None)
    desk.arrive(crossing(first_ms), GAINS, CLOCK, 0)
    (vehicle,) = desk.release(0)
    assert (Flag.UNCALIBRATED in vehicle.flags) == expired


def beside(number: int, camera: CameraSection | None = None) -> Desk:
    """A desk of one of two lanes side by side."""
    lane = replace(LANE, lane=str(number), beside=(str(3 - number),))
    return Desk("ST", lane, camera)


def two_desks(camera: CameraSection | None, *, abroad: bool = False) -> list[Desk]:
    desks = [beside(1, camera), beside(2, camera)]
    for desk in desks:
        desk.stand_beside(desks, desks if abroad else [])
    return desks


def test_a_vehicle_astride_takes_the_plate_that_was_read_in_either_lane() -> None:
    left, right = two_desks(CAMERA)
    left.arrive(crossing(1_000, lanes=("1", "2")), GAINS, CLOCK, 2 * S)
    right.read(replace(plate("京A12345", 1_020), lane="2"))
    (vehicle,) = left.release(2 * S + SETTLE_NS)
    assert vehicle.plate == "京A12345"
    assert right.release(4 * S) == []


def test_a_plate_that_fits_one_astride_and_one_beside_it_goes_to_neither() -> None:
    left, right = two_desks(CAMERA)
    right.read(replace(plate("京A12345", 1_020), lane="2"))
    right.arrive(crossing(1_040, lanes=("2",)), GAINS, CLOCK, 2 * S)
    left.arrive(crossing(1_000, lanes=("1", "2")), GAINS, CLOCK, 2 * S)
    found = [*left.release(3 * S), *right.release(3 * S)]
    assert [v.join.kind for v in found] == [JoinKind.AMBIGUOUS] * 2


def test_plates_of_the_next_lane_are_no_business_of_other_vehicles() -> None:
    left, right = two_desks(CAMERA)
    left.arrive(crossing(1_000), GAINS, CLOCK, 2 * S)
    right.read(replace(plate("京A12345", 1_020), lane="2"))
    (vehicle,) = left.release(3 * S)
    assert vehicle.join.kind is JoinKind.MISSING


def test_halves_of_two_digitisers_name_each_other() -> None:
    clock = ClockReading(0, 0, 5e5, 2_000_000, 0.0, settled=True)
    one, other = (replace(p, flags=Flag.WHEEL_OFF) for p in halves())
    far = replace(other, device="D2", closed_sample=other.closed_sample + 300)
    left, right = two_desks(None, abroad=True)
    left.arrive(one, GAINS, clock, 5 * S)
    assert left.release(5 * S) == []
    right.arrive(far, GAINS, clock, 6 * S)
    found = [
        *left.release(5 * S + HALF_WAIT_NS),
        *right.release(6 * S + HALF_WAIT_NS),
    ]
    assert [v.passage.perhaps_with for v in found] == ["2", "1"]
    assert all(Flag.STRADDLING in v.flags for v in found)


def test_half_a_vehicle_goes_alone_when_the_other_half_is_another_one() -> None:
    clock = ClockReading(0, 0, 5e5, 2_000_000, 0.0, settled=True)
    one, other = (replace(p, flags=Flag.WHEEL_OFF) for p in halves())
    faster = replace(other, device="D2", speed_mps=1.2 * other.speed_mps)
    left, right = two_desks(None, abroad=True)
    left.arrive(one, GAINS, clock, 5 * S)
    right.arrive(faster, GAINS, clock, 5 * S)
    found = [*left.release(9 * S), *right.release(9 * S)]
    assert [(v.passage.perhaps_with, v.flags) for v in found] == [("", Flag.WHEEL_OFF)] * 2
