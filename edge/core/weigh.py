"""A vehicle's weight from its clip: a pure function, so the stored clip gives it again.

Force over time is taken from the counts with the clip's own baseline. A strip sees the part of a
wheel that its width covers: load = area * speed / width. A plate carries the whole wheel for a
while: load = mean of the plateau. Rows are fused by how a moving axle correlates over them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.core import quality
from edge.core.clip import Signals, condition
from edge.core.conditioning import floor_counts
from edge.core.loads import LEAST_SPEED_MPS, RowLoads
from edge.core.modes import PRIOR, Dynamics
from edge.core.motion import Motion, follow
from edge.core.sight import Sight, look
from edge.core.straddling import straddles
from edge.core.transfer import load_transfer
from edge.core.uncertainty import Fusion, fuse, sum_variance
from edge.records import (
    AxleGroup,
    AxleTable,
    Bools,
    Flag,
    Floats,
    Gains,
    Indices,
    LaneLayout,
    Passage,
    RawClip,
    read_only,
)

__all__ = ["GROUP_SPACING_M", "weigh"]

GROUP_SPACING_M = 2.2
"""Axles closer than this share a load and count as a group."""

_U_CENTRE_SAMPLES = 0.3
_DIGITS = 6
"""Loads are rounded to a milligram: no two processors round the last bits alike."""


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
        Further lanes of the digitiser, watched for straddling.
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
    signals = condition(clip, lane.rows, gains, floor_counts((lane,), gains))
    sight, extra = look(signals, clip, lane)
    position_m = np.array([row.position_m for row in lane.rows])
    motion = follow(sight.centre_s, position_m, _U_CENTRE_SAMPLES / clip.rate_hz)
    rows = RowLoads(signals, sight, motion, lane, gains, clip.rate_hz)
    contact_m = rows.contact_m()
    wheel_kg, readings = rows.wheels_and_readings(contact_m)
    speed_mps = max(abs(float(motion.speed_mps(np.array(motion.t0_s)))), LEAST_SPEED_MPS)
    change = _change(motion, position_m, speed_mps)
    vehicle = np.zeros(len(wheel_kg), np.int64)
    fusion = fuse(readings, np.full(len(vehicle), speed_mps), vehicle, dynamics)
    spacing_m = np.abs(np.diff(motion.behind_m))
    group = np.concatenate([[0], np.cumsum(spacing_m > GROUP_SPACING_M)])
    shared_kg = _shared_kg(fusion, wheel_kg, rows, motion.u_speed_mps / speed_mps)
    each = np.ones(len(vehicle))
    transfer_kg, u_transfer_kg = load_transfer(
        fusion.load_kg,
        motion.behind_m,
        vehicle,
        each * motion.acceleration_mps2,
        each * motion.u_acceleration_mps2,
        lane.grade,
    )
    shared_kg = np.concatenate([shared_kg, u_transfer_kg], axis=1)
    u_axle, u_group, u_gross = (
        np.sqrt(sum_variance(fusion, shared_kg, group, part))
        for part in (np.arange(len(group)), group, vehicle)
    )
    load_kg = np.round(fusion.load_kg - transfer_kg, _DIGITS)
    side_kg = _sides(load_kg, wheel_kg)
    axle_flags = quality.axle_flags(
        load_kg, side_kg, contact_m, lane, _saturated(signals, sight), _in_gap(clip, sight)
    )
    flags = known | extra | quality.united(axle_flags) | _doubts(clip, sight, gains)
    durations_s = sight.leave_s - sight.enter_s
    flags |= quality.vehicle_flags(lane, motion, speed_mps, change, durations_s)
    begin_s, end_s = np.nanmin(sight.enter_s, axis=1), np.nanmax(sight.leave_s, axis=1)
    if Flag.WHEEL_OFF in flags and straddles(clip, others, gains, begin_s, end_s):
        flags |= Flag.STRADDLING
    u_spacing_m = np.maximum(motion.u_spacing_m, spacing_m if Flag.STOPPED in flags else 0.0)
    groups = _groups(group, load_kg, u_group)
    return Passage(
        device=clip.device,
        lane=lane.lane,
        first_wheel_sample=clip.first_sample + float(begin_s.min()) * clip.rate_hz,
        last_wheel_sample=clip.first_sample + float(end_s.max()) * clip.rate_hz,
        closed_sample=clip.end_sample if closed_sample is None else closed_sample,
        speed_mps=speed_mps,
        u_speed_mps=motion.u_speed_mps,
        speed_change=change,
        axles=AxleTable(
            load_kg=read_only(load_kg),
            u_load_kg=read_only(u_axle),
            left_kg=read_only(side_kg[:, 0].copy()),
            right_kg=read_only(side_kg[:, 1].copy()),
            spacing_m=read_only(spacing_m),
            u_spacing_m=read_only(u_spacing_m),
            row_load_kg=read_only(np.round(wheel_kg.sum(axis=2), _DIGITS)),
            row_sample=read_only(clip.first_sample + sight.centre_s * clip.rate_hz),
            wheel_kg=read_only(np.round(wheel_kg, _DIGITS)),
            flags=read_only(axle_flags),
        ),
        groups=groups,
        configuration="+".join(str(g.count) for g in groups),
        gross_kg=float(load_kg.sum()),
        u_gross_kg=float(u_gross[0]),
        flags=flags,
        clip=clip,
    )


def _change(motion: Motion, position_m: Floats, speed_mps: float) -> float:
    """Relative change of speed from the first row to the last, for the middle of the vehicle."""
    half_s = (position_m[-1] - position_m[0]) / speed_mps / 2
    first, last = np.abs(motion.speed_mps(motion.t0_s + np.array([-half_s, half_s])))
    return float(last - first) / speed_mps


def _sides(load_kg: Floats, wheel_kg: Floats) -> Floats:
    """The fused load shared between left and right as the rows saw it: (n_axles, 2)."""
    sides = np.nansum(wheel_kg, axis=1)
    whole = sides.sum(axis=1)
    share = sides / np.where(whole == 0, 1.0, whole)[:, None]
    return np.asarray(np.round(load_kg[:, None] * share, _DIGITS))


def _shared_kg(fusion: Fusion, wheel_kg: Floats, rows: RowLoads, u_speed_rel: float) -> Floats:
    """What each cause that axles share does to them: channels' gains, reference mass, speed."""
    n_axles, n_rows = wheel_kg.shape[:2]
    weight = fusion.weight.reshape(n_axles, -1, n_rows).sum(axis=1)
    through_kg = np.where(np.isnan(wheel_kg), 0.0, weight[:, :, None] * wheel_kg)
    share_kg = np.zeros((n_axles, len(rows.gains.newton_per_count)))
    for r, row in enumerate(rows.lane.rows):
        share_kg[:, row.left] += through_kg[:, r, 0]
        share_kg[:, row.right] += through_kg[:, r, 1]
    common = rows.gains.u_rel_common
    own = np.sqrt(np.maximum(rows.gains.u_rel**2 - common**2, 0.0))
    speed_kg = through_kg[:, ~rows.plate].sum(axis=(1, 2))
    whole = np.stack([common * fusion.load_kg, u_speed_rel * speed_kg], axis=1)
    return np.concatenate([share_kg * own, whole], axis=1)


def _saturated(signals: Signals, sight: Sight) -> Bools:
    """Which axles have a pulse in which a converter stood at its end: (n_axles,)."""
    if signals.saturated is None:
        return np.zeros(len(sight.start), np.bool_)
    rows = np.arange(sight.start.shape[1])
    hit = signals.saturated[rows, :, sight.end] > signals.saturated[rows, :, sight.start]
    return np.asarray(hit.any(axis=(1, 2)))


def _gaps_s(clip: RawClip) -> list[tuple[float, float]]:
    """Begin and end of each gap in seconds of the clip."""
    first = clip.first_sample
    return [((s - first) / clip.rate_hz, (s - first + n) / clip.rate_hz) for s, n in clip.gaps]


def _in_gap(clip: RawClip, sight: Sight) -> Bools:
    hit = np.zeros(len(sight.start), np.bool_)
    for begin_s, end_s in _gaps_s(clip):
        hit |= ((sight.enter_s < end_s) & (sight.leave_s > begin_s)).any(axis=1)
    return hit


def _doubts(clip: RawClip, sight: Sight, gains: Gains) -> Flag:
    """Doubts of the vehicle as a whole."""
    flags = Flag.AMBIGUOUS if sight.doubtful else Flag.NONE
    flags |= Flag.REVERSED if sight.reversed else Flag.NONE
    flags |= Flag.NONE if gains.calibrated else Flag.UNCALIBRATED
    first_s, last_s = np.nanmin(sight.enter_s), np.nanmax(sight.leave_s)
    if any(begin_s < last_s and end_s > first_s for begin_s, end_s in _gaps_s(clip)):
        flags |= Flag.GAP
    return flags


def _groups(group: Indices, load_kg: Floats, u_kg: Floats) -> tuple[AxleGroup, ...]:
    count, total_kg = np.bincount(group), np.bincount(group, load_kg)
    first = np.cumsum(count) - count
    return tuple(map(AxleGroup, first.tolist(), count.tolist(), total_kg.tolist(), u_kg.tolist()))
