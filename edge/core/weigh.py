"""Vehicles' weights from their clips: a pure function, so a stored clip gives its weight again.

Force over time is taken from the counts with the clip's own baseline. A strip sees the part of a
wheel that its width covers: load = area * speed / width. A plate carries the whole wheel for a
while: load = mean of the plateau. Rows are fused by how a moving axle correlates over them.

Vehicles that are complete go through together, axle by axle in one table, whatever lanes built
alike they used; what comes out for one of them is the same, bit for bit, in any company.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from edge.core import quality
from edge.core.axles import first_axles
from edge.core.clip import Signals, condition
from edge.core.consensus import sum_along
from edge.core.doubt import doubts
from edge.core.leaning import Pressed
from edge.core.loads import LEAST_SPEED_MPS, RowLoads
from edge.core.lost import in_gap, saturated, torn
from edge.core.modes import PRIOR, Dynamics
from edge.core.motion import Motion, follow
from edge.core.passages import GROUP_SPACING_M, Weighed, passages
from edge.core.scales import Scale, Scales
from edge.core.sight import Sight, look
from edge.core.straddling import straddling
from edge.core.transfer import load_transfer
from edge.core.uncertainty import Fusion, axle_variance, fuse, sum_variance
from edge.records import (
    Flag,
    FlagBits,
    Floats,
    Gains,
    Indices,
    LaneLayout,
    Passage,
    RawClip,
)

__all__ = ["GROUP_SPACING_M", "Cut", "weigh", "weigh_all"]

_U_CENTRE_SAMPLES = 0.3
_BATCH_COUNTS = 1 << 23
"""Counts of the clips that are weighed together."""

_DIGITS = 6
"""Loads are rounded to a milligram: no two processors round the last bits alike."""


class Cut(NamedTuple):
    """A vehicle's clip and scale, what else is known, and the sample at which it was complete."""

    clip: RawClip
    scale: Scale
    known: Flag
    closed_sample: int


def weigh(
    clip: RawClip,
    lane: LaneLayout,
    gains: Gains,
    *,
    known: Flag = Flag.NONE,
    closed_sample: int | None = None,
    others: Sequence[LaneLayout] = (),
    dynamics: Dynamics = PRIOR,
) -> Passage:
    """Weigh the vehicle of a clip.

    The clip begins ``ROOM_BEFORE_S`` before the vehicle's first contact and ends ``ROOM_AFTER_S``
    after its last release; wheels of other vehicles in it are told apart by that.

    Parameters
    ----------
    clip : RawClip
        counts int32 (n_samples, n_channels) of the whole digitiser.
    lane : LaneLayout
        The lane that the vehicle used.
    gains : Gains
        Newtons per count; a negative gain is a sensor that presses downwards.
    known : Flag
        What is known beyond the clip, such as ``INCOMPLETE``.
    closed_sample : int, optional
        When the vehicle was known complete; the clip's end if not given.
    others : sequence of LaneLayout
        Lanes beside it on the digitiser, watched for straddling.
    dynamics : Dynamics
        How axles swing on this lane, as far as it is known.

    Returns
    -------
    Passage
        Loads in kilograms with standard uncertainties (k = 1), flags of all doubts.

    Raises
    ------
    ValueError
        No axle of the clip was seen by two rows: there is no speed, so there is no weight.
    """
    closed = clip.end_sample if closed_sample is None else closed_sample
    scale = Scale(lane, gains, tuple(others), dynamics)
    passage = weigh_all([Cut(clip, scale, known, closed)])[0]
    if passage is None:
        raise ValueError("no axle was seen by two rows")
    return passage


def weigh_all(cuts: Sequence[Cut]) -> list[Passage | None]:
    """Weigh the vehicles of many clips, of any lanes: those of one build and rate together.

    Returns
    -------
    list of (Passage or None)
        One a clip, each the same bit for bit as :func:`weigh` gives; None where no axle was seen
        by two rows.
    """
    found: list[Passage | None] = [None] * len(cuts)
    for batch in _batches(cuts):
        passages_of_batch = _weigh_alike([cuts[i] for i in batch])
        for i, passage in zip(batch, passages_of_batch, strict=True):
            found[i] = passage
    return found


def _batches(cuts: Sequence[Cut]) -> Iterator[list[int]]:
    """Numbers of clips of one build and rate, as many as memory holds with ease, one at least."""
    alike: defaultdict[tuple[str, float], list[int]] = defaultdict(list)
    room: defaultdict[tuple[str, float], int] = defaultdict(lambda: _BATCH_COUNTS)
    for i, cut in enumerate(cuts):
        key = cut.scale.build, cut.clip.rate_hz
        room[key] -= cut.clip.counts.size
        if alike[key] and room[key] < 0:
            yield alike.pop(key)
            room[key] = _BATCH_COUNTS - cut.clip.counts.size
        alike[key].append(i)
    yield from alike.values()


def _weigh_alike(cuts: Sequence[Cut]) -> Sequence[Passage | None]:
    """Weigh vehicles of scales of one build and one rate."""
    clips = [cut.clip for cut in cuts]
    scales = Scales([cut.scale for cut in cuts])
    signals = condition(clips, scales)
    sight, extra, moved = look(signals, clips, scales)
    if not moved.all():
        kept = np.flatnonzero(moved).tolist()
        rest = weigh_all([cuts[i] for i in kept])
        found = dict(zip(kept, rest, strict=True))
        return [found.get(i) for i in range(len(cuts))]
    known = np.array([int(cut.known) for cut in cuts], np.uint32) | extra
    return [*passages(_weighed(signals, sight, known, clips, scales), cuts)]


def _weighed(
    signals: Signals, sight: Sight, known: FlagBits, clips: Sequence[RawClip], scales: Scales
) -> Weighed:
    """Everything about the vehicles as arrays; each has an axle that two rows saw."""
    lane = scales.lane
    vehicle, first = sight.vehicle, first_axles(sight.vehicle, len(clips))
    u_centre_s = _U_CENTRE_SAMPLES / signals.rate_hz
    motion = follow(sight.centre_s, scales.position_m, u_centre_s, vehicle)
    rows = RowLoads(signals, sight, motion, scales)
    contact_m, area_s = rows.touched()
    wheel_kg, readings = rows.wheels_and_readings(contact_m, area_s)
    speed_mps = np.maximum(np.abs(motion.coefficients[:, 0]), LEAST_SPEED_MPS)
    dynamics = [scale.dynamics for scale in scales.different]
    fusion = fuse(readings, speed_mps[vehicle], vehicle, dynamics, scales.number[vehicle])
    spacing_m = np.abs(motion.behind_m[1:] - motion.behind_m[:-1])
    group = _group_numbers(spacing_m, vehicle)
    transfer_kg, u_transfer_kg = load_transfer(
        fusion.load_kg,
        motion.behind_m,
        vehicle,
        motion.acceleration_mps2[vehicle],
        motion.u_acceleration_mps2[vehicle],
        lane.grade,
    )
    u_speed_mps = motion.u_speed_mps
    u_speed_rel = (u_speed_mps / speed_mps)[vehicle]
    held_kg = wheel_kg if rows.holes is None else np.where(np.isnan(wheel_kg), 0.0, wheel_kg)
    seen_side_kg = held_kg.sum(axis=1)
    causes = _shared_kg(fusion, held_kg, vehicle, scales, u_speed_rel)
    shared_kg = np.concatenate([*causes, u_transfer_kg], axis=1)
    u_axle = np.sqrt(axle_variance(fusion, shared_kg))
    u_group, u_gross = (
        np.sqrt(sum_variance(fusion, shared_kg, group, part)) for part in (group, vehicle)
    )
    load_kg = (fusion.load_kg - transfer_kg).round(_DIGITS)
    side_kg = _sides(load_kg, seen_side_kg)
    axle_flags = quality.axle_flags(
        load_kg,
        side_kg,
        contact_m,
        lane,
        saturated(sight),
        in_gap(clips, sight),
        np.asarray(fusion.left_out.any(axis=1)),
    )
    begin_s = np.fmin.reduce(sight.enter_s, axis=1)
    end_s = np.fmax.reduce(sight.leave_s, axis=1)
    first_s, last_s = np.minimum.reduceat(begin_s, first), np.maximum.reduceat(end_s, first)
    durations_s = sight.leave_s - sight.enter_s
    change, faster = _changes(motion, scales.position_m, speed_mps, first_s, last_s)
    covered_mps = scales.of_each(attrgetter("speeds_mps"))
    checks = {
        Flag.AMBIGUOUS: sight.doubtful,
        Flag.REVERSED: sight.reversed,
        Flag.UNCALIBRATED: ~scales.of_each(attrgetter("gains.calibrated")),
        Flag.ROW_MISSING: quality.restless(signals.ground.noise * scales.kg_per_count),
        Flag.SPEED_OUT_OF_RANGE: quality.beyond(covered_mps, speed_mps, u_speed_mps),
        Flag.GAP: torn(clips, first_s, last_s),
        **quality.of_motion(scales, motion, speed_mps, faster, durations_s, first),
    }
    flags = known | quality.united(axle_flags, first) | quality.bits(checks)
    gross_kg = np.asarray(np.bincount(vehicle, load_kg), np.float64)
    u_rel = u_axle / np.maximum(load_kg, 1.0), u_gross / np.maximum(gross_kg, 1.0)
    pressed = Pressed(held_kg, seen_side_kg, contact_m, *u_rel)
    flags |= doubts(pressed, spacing_m, vehicle, flags, lane.separator is not None)
    flags |= straddling(clips, vehicle, flags, scales.each, begin_s, end_s)
    stopped = ((flags & np.uint32(Flag.STOPPED)) > 0)[vehicle[1:]]
    at_sample = np.array([clip.first_sample for clip in clips], np.float64)
    return Weighed(
        first=first,
        group_of_axle=group,
        load_kg=load_kg,
        u_load_kg=u_axle,
        side_kg=side_kg,
        spacing_m=spacing_m,
        u_spacing_m=np.maximum(motion.u_spacing_m, np.where(stopped, spacing_m, 0.0)),
        wheel_kg=wheel_kg.round(_DIGITS),
        wheel_area_s=area_s.round(_DIGITS),
        row_load_kg=(wheel_kg[:, :, 0] + wheel_kg[:, :, 1]).round(_DIGITS),
        row_sample=at_sample[vehicle][:, None] + sight.centre_s * signals.rate_hz,
        axle_flags=axle_flags,
        first_wheel_sample=at_sample + first_s * signals.rate_hz,
        last_wheel_sample=at_sample + last_s * signals.rate_hz,
        speed_mps=speed_mps,
        u_speed_mps=u_speed_mps,
        speed_change=change,
        u_group_kg=u_group,
        gross_kg=gross_kg,
        u_gross_kg=u_gross,
        flags=flags,
    )


def _changes(
    motion: Motion, position_m: Floats, speed_mps: Floats, first_s: Floats, last_s: Floats
) -> tuple[Floats, Floats]:
    """Relative changes of speed: from the first row to the last, for the middle of the vehicle;
    and from its first wheel on the array to its last one off.
    """
    half_s = (position_m[-1] - position_m[0]) / speed_mps / 2
    at_s = np.array([motion.t0_s - half_s, motion.t0_s + half_s, first_s, last_s])
    first_row, last_row, first, last = motion.speed_of(at_s, np.arange(len(speed_mps)))
    return (np.abs(last_row) - np.abs(first_row)) / speed_mps, (last - first) / speed_mps


def _group_numbers(spacing_m: Floats, vehicle: Indices) -> Indices:
    """Number of each axle's group, counted through all vehicles."""
    apart = (spacing_m > GROUP_SPACING_M) | (vehicle[1:] != vehicle[:-1])
    number = np.zeros(len(vehicle), np.int64)
    apart.cumsum(out=number[1:])
    return number


def _sides(load_kg: Floats, seen_kg: Floats) -> Floats:
    """The fused load shared between left and right as the rows saw it: (n_axles, 2)."""
    whole = seen_kg[:, 0] + seen_kg[:, 1]
    share = seen_kg / np.where(whole == 0, 1.0, whole)[:, None]
    return np.asarray((load_kg[:, None] * share).round(_DIGITS))


def _shared_kg(
    fusion: Fusion,
    wheel_kg: Floats,
    vehicle: Indices,
    scales: Scales,
    u_speed_rel: Floats,
) -> tuple[Floats, Floats]:
    """What causes that axles share do to them: channels' gains; reference mass and speed."""
    n_axles, n_rows = wheel_kg.shape[:2]
    weight = fusion.weight.reshape(n_axles, -1, n_rows).sum(axis=1)
    through_kg = weight[:, :, None] * wheel_kg
    own = scales.of_each(attrgetter("u_rel_own")).take(vehicle, axis=0)
    common = scales.of_each(attrgetter("gains.u_rel_common"))[vehicle]
    place = (np.arange(n_axles) * own.shape[1])[:, None, None] + scales.channels[vehicle]
    share_kg = np.bincount(place.ravel(), through_kg.ravel(), own.size).reshape(own.shape)
    by_speed_kg = np.where(scales.plate, 0.0, through_kg[:, :, 0] + through_kg[:, :, 1])
    whole = np.array([common * fusion.load_kg, u_speed_rel * sum_along(by_speed_kg)]).T
    return share_kg * own, whole
