"""Doubt, found and named: checks that put flags on axles and vehicles. Nothing is dropped here."""

from __future__ import annotations

import numpy as np

from edge.core.axles import rolling_speeds
from edge.core.motion import Motion
from edge.core.scales import Scales
from edge.records import Bools, Flag, FlagBits, Floats, Indices, LaneLayout

__all__ = [
    "STOP_SHARE",
    "axle_flags",
    "beyond",
    "bits",
    "contact_m",
    "of_motion",
    "plausible_wheel",
    "restless",
    "united",
]

_WHEEL_OFF_SHARE = 0.15
_LEAST_CONTACT_M, _LONGEST_CONTACT_M = 0.04, 0.60
_UNEVEN_M = 0.15
"""A motion that misses the rows by more than this was no smooth motion."""

STOP_SHARE = 0.4
"""Below this part of the lane's lowest speed a wheel stood rather than rolled."""

_COVERAGE_FACTOR = 2.0
"""Expanded uncertainty of a speed that is compared with a limit."""

_DOUBLE_M = 0.8
"""A touch whose tyre patch would be longer than this was two axles at once."""


_RESTLESS, _RESTLESS_KG = 8.0, 15.0
"""Noise of a channel against its fellows', and the least that matters."""


def contact_m(width_m: Floats, duration_s: Floats, speed_mps: Floats) -> Floats:
    """Length of the tyre's patch from how long it was on a row of that width."""
    return np.asarray(duration_s * speed_mps - width_m)


def plausible_wheel(contact: Floats) -> Bools:
    """Whether a patch may be a tyre's: all else is a blow or a disturbance."""
    return np.asarray((contact > _LEAST_CONTACT_M) & (contact < _LONGEST_CONTACT_M))


def axle_flags(
    load_kg: Floats,
    side_kg: Floats,
    contact: Floats,
    lane: LaneLayout,
    saturated: Bools,
    in_gap: Bools,
    left_out: Bools,
) -> FlagBits:
    """Flags of each axle.

    Parameters
    ----------
    load_kg : float array (n_axles,)
    side_kg : float array (n_axles, 2)
    contact : float array (n_axles, n_rows)
        Patch lengths, NaN where a row did not see the axle.
    lane : LaneLayout
    saturated, in_gap : bool array (n_axles,)
    left_out : bool array (n_axles,)
        A row contradicted all others, and has no part in the load.
    """
    left, right = side_kg[:, 0], side_kg[:, 1]
    lighter, heavier = np.minimum(left, right), np.maximum(left, right)
    checks = {
        Flag.WHEEL_OFF: lighter < _WHEEL_OFF_SHARE * heavier,
        Flag.ROW_MISSING: np.isnan(contact).any(axis=1) | left_out,
        Flag.LOAD_OUT_OF_RANGE: (load_kg < lane.axle_min_kg) | (load_kg > lane.axle_max_kg),
        Flag.AMBIGUOUS: np.asarray((contact > _DOUBLE_M).any(axis=1)),
        Flag.SATURATED: saturated,
        Flag.GAP: in_gap,
    }
    return bits(checks)


def restless(noise_kg: Floats) -> Bools:
    """Clips in which a channel at rest is far noisier than its fellows: (n_clips,).

    What it says under a wheel can be right and is supported by nothing: the sensor or its cable is
    failing, and a stronger disturbance would look like a load.

    Parameters
    ----------
    noise_kg : float array (n_clips, n_rows, 2)
        Standard deviation of a sample of the idle road.
    """
    flat = noise_kg.reshape(len(noise_kg), -1)
    ranked = flat.copy()
    ranked.sort(axis=1)
    usual_kg = ranked[:, flat.shape[1] // 2]
    return np.asarray(ranked[:, -1] > np.maximum(_RESTLESS_KG, _RESTLESS * usual_kg))


def of_motion(
    scales: Scales,
    motion: Motion,
    speed_mps: Floats,
    change: Floats,
    durations_s: Floats,
    first: Indices,
) -> dict[Flag, Bools]:
    """What is wrong with how vehicles moved: (n_vehicles,) of each flag.

    Parameters
    ----------
    scales : Scales
    motion : Motion
    speed_mps, change : float arrays (n_vehicles,)
        ``change`` is relative, from the first wheel on the array to the last one off.
    durations_s : float array (n_axles, n_rows)
        NaN where unseen.
    first : int64 array (n_vehicles,)
        Each vehicle's first axle.
    """
    lane = scales.lane
    uneven = motion.residual_m > _UNEVEN_M
    longest_s = np.fmax.reduceat(durations_s, first, axis=0)
    rolling = rolling_speeds(scales.width_m, np.fmax(longest_s, 0.0)).min(axis=1)
    return {
        Flag.SPEED_CHANGE: (np.abs(change) > lane.speed_change_max) | uneven,
        Flag.STOPPED: (rolling < STOP_SHARE * lane.speed_min_mps)
        | (uneven & (speed_mps < lane.speed_min_mps)),
    }


def beyond(covered_mps: Floats, speed_mps: Floats, u_speed_mps: Floats) -> Bools:
    """Vehicles whose speed may lie outside what lane and certificate cover: (n_vehicles,).

    All of the coverage interval (k = 2) has to be inside: what may lie outside is not certified.

    Parameters
    ----------
    covered_mps : float array (n_vehicles, 2)
        Lowest and highest.
    speed_mps, u_speed_mps : float arrays (n_vehicles,)
    """
    reach_mps = _COVERAGE_FACTOR * u_speed_mps
    slow, fast = speed_mps - reach_mps, speed_mps + reach_mps
    return ~((slow >= covered_mps[:, 0]) & (fast <= covered_mps[:, 1]))


def bits(checks: dict[Flag, Bools]) -> FlagBits:
    """Flags of each line, from what was found of each flag: (n,)."""
    found = np.array([*checks.values()])
    if not found.any():
        return np.zeros(found.shape[1], np.uint32)
    return np.asarray(np.array([*checks], np.uint32) @ found)


def united(flags: FlagBits, first: Indices) -> FlagBits:
    """All flags of each vehicle's axles together; ``first`` is each vehicle's first axle."""
    return np.asarray(np.bitwise_or.reduceat(flags, first), np.uint32)
