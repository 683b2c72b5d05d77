"""What may be asked of a correct station: for each vehicle, whether its weight may stand undoubted.

The reasons are those of physics and of the certificate (OIML R 134-1: rated conditions; grade as
in the rule packs), judged by what really happened, which no station can see.

=====================  =======================================================================
reason                 the vehicle
=====================  =======================================================================
``wheel_beside``       pressed beside the sensors with a part of its wheels
``straddling``         pressed on the sensors of two lanes
``lane_change``        left its track on the array so far that wheels missed their sensors
``single_track``       has no left and right wheels
``reversed``           left the array backward
``stopped``            stood on the array
``speed_out_of_range`` was slower or faster than the certificate covers
``speed_change``       changed its speed on the array by more than the lane allows
``load_out_of_range``  has an axle below Min or above Max
``saturated``          pressed more than a converter can show
``channel_fault``      was on a channel that was out of order
``gap``                was on a device whose line lost data
``too_close``          was so near another that axles alone don't tell them apart, and no
                       separator worked
=====================  =======================================================================
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from edge.records import STANDARD_GRAVITY_MPS2, Floats, LaneLayout
from simulator.planned_faults import Fault
from simulator.traffic import Passing
from simulator.world import World

_WHOLE = 0.98
_NEAR_M = 9.0
"""Axles of one vehicle may be this far apart: nearer ones of two vehicles look like one."""
_STANDING_MPS = 0.05
_NEARLY_FULL = 0.995
_DYNAMIC = 1.5
"""A wheel presses with less than an axle's load times this."""
_CHANNEL = ("dead", "stuck_high", "offset", "noisy")
_SEPARATOR = ("separator_stuck", "separator_silent")


def reasons(world: World, passing: Passing) -> tuple[str, ...]:
    """Why an undoubted weight of a vehicle would be unsupported; empty where it is not."""
    lane = world.site.sensors[passing.lane].layout
    found = {
        **_places(world, passing, lane),
        **_motions(passing, lane),
        "single_track": passing.vehicle.chassis.track_m == 0,
        "load_out_of_range": _load_out(passing, lane),
        "saturated": _saturates(world, passing, lane),
        "channel_fault": any(
            fault.kind in _CHANNEL and fault.channel in _channels(lane)
            for fault in _faults(world, passing)
        ),
        "gap": any(fault.kind not in (*_CHANNEL, *_SEPARATOR) for fault in _faults(world, passing)),
        "too_close": not _separated(world, passing, lane) and _near(world, passing, lane),
    }
    return tuple(reason for reason, holds in found.items() if holds)


def _places(world: World, passing: Passing, lane: LaneLayout) -> dict[str, bool]:
    missed = _weighed(world, passing, lane.lane).min() < _WHOLE
    elsewhere = any(
        _weighed(world, passing, other).max() > 1 - _WHOLE
        for other in world.site.sensors
        if other != lane.lane
    )
    return {
        "wheel_beside": bool(missed and not elsewhere),
        "straddling": bool(elsewhere),
        "lane_change": bool(missed and passing.shift is not None),
    }


def _weighed(world: World, passing: Passing, lane: str) -> Floats:
    """Share of each wheel that a lane's sensors carry, (n_axles, 2, n_rows)."""
    aside_m = world.site.aside_m(passing.lane, lane)
    sensors = world.site.sensors[lane]
    at_m = np.array([row.position_m for row in sensors.layout.rows])
    axles = range(len(passing.vehicle.axle_kg))
    if aside_m is None:
        return np.zeros((len(axles), 2, len(at_m)))
    return np.stack([sensors.covered(passing, a, at_m, aside_m).sum(axis=0) for a in axles])


def _motions(passing: Passing, lane: LaneLayout) -> dict[str, bool]:
    span_s = passing.first_wheel_s, passing.last_wheel_s
    motion = passing.motion
    between = (motion.start_s > span_s[0]) & (motion.start_s < span_s[1])
    speeds_mps = motion.speed_mps(np.array([*span_s, *motion.start_s[between]]))
    slowest, fastest = np.abs(speeds_mps).min(), np.abs(speeds_mps).max()
    return {
        "reversed": passing.backs_off,
        "stopped": bool(slowest < _STANDING_MPS),
        "speed_out_of_range": bool(slowest < lane.speed_min_mps or fastest > lane.speed_max_mps),
        "speed_change": bool(fastest - slowest > lane.speed_change_max * passing.speed_mps),
    }


def _load_out(passing: Passing, lane: LaneLayout) -> bool:
    axle_kg = passing.vehicle.axle_kg
    return min(axle_kg) < lane.axle_min_kg or max(axle_kg) > lane.axle_max_kg


def _saturates(world: World, passing: Passing, lane: LaneLayout) -> bool:
    digitiser = world.digitiser(world.device_of(lane.lane))
    least_n = min(digitiser.electronics.largest_n(channel) for channel in _channels(lane))
    if _DYNAMIC * STANDARD_GRAVITY_MPS2 * max(passing.vehicle.axle_kg) < least_n:
        return False
    return any(
        pulse.force_n.max() > _NEARLY_FULL * digitiser.electronics.largest_n(pulse.channel)
        for pulse in digitiser.pulses_of(passing, lane.lane, 0.0)
    )


def _channels(lane: LaneLayout) -> set[int]:
    return {channel for row in lane.rows for channel in (row.left, row.right)}


def _faults(world: World, passing: Passing) -> list[Fault]:
    """What was out of order on the vehicle's device while it pressed."""
    from_s, to_s = passing.pressed_s
    return [
        fault
        for fault in world.scenario.fault
        if fault.device == world.device_of(passing.lane)
        and fault.from_s <= to_s
        and fault.to_s >= from_s
    ]


def _separated(world: World, passing: Passing, lane: LaneLayout) -> bool:
    faulty = any(fault.kind in _SEPARATOR for fault in _faults(world, passing))
    return lane.separator is not None and not faulty


def _near(world: World, passing: Passing, lane: LaneLayout) -> bool:
    """Whether the axles of another vehicle come close to this one's on the first row."""
    at_m = lane.rows[0].position_m
    span_s = passing.first_wheel_s - 60.0, passing.last_wheel_s + 60.0
    row = world.traffic[lane.lane].between(*span_s)
    here = row.index(passing)
    beside = pairwise(row[max(here - 1, 0) : here + 2])
    return any(_axle_gap_m(ahead, behind, at_m) < _NEAR_M for ahead, behind in beside)


def _axle_gap_m(ahead: Passing, behind: Passing, at_m: float) -> float:
    """From the last axle of one to the first of the next, when that one is at ``at_m``."""
    when_s = behind.motion.time_at_s(at_m)
    return float(ahead.motion.position_m(when_s)) - ahead.vehicle.wheelbase_m - at_m
