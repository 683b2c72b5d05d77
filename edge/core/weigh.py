"""A vehicle's weight from its clip: a pure function, so the stored clip gives it again.

Force over time is taken from the counts with the clip's own baseline. A strip sees the part of a
wheel that its width covers: load = area * speed / width. A plate carries the whole wheel for a
while: load = mean of the plateau. Rows are fused by how a moving axle correlates over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.core import quality
from edge.core.axles import Association, Motion, associate, axle_speeds, follow, spans
from edge.core.clip import ROOM_AFTER_S, ROOM_BEFORE_S, Signals, Touches, condition
from edge.core.conditioning import floor_counts
from edge.core.straddling import straddles
from edge.core.uncertainty import Observations, covariance, fuse
from edge.records import (
    AxleGroup,
    AxleTable,
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

_PLATE_PARTS = 4
"""A plateau is read in this many parts: its course tells of the bounce."""

_GUARD = 0.2
"""Part of the tyre's patch by which the plateau is taken shorter at each end."""

_LEAST_SPEED_MPS = 0.05
_WINDOW_M = 0.6
_DIGITS = 6
"""Loads are rounded to a milligram: nobody's processor rounds the last bits alike."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sight:
    """Axles of the vehicle on the rows: arrays (n_axles, n_rows), NaN where unseen, in seconds.

    ``start`` and ``end`` are sample indices in the clip, 0 where unseen.
    """

    seen: Floats
    enter_s: Floats
    leave_s: Floats
    centre_s: Floats
    start: Indices
    end: Indices
    reversed: bool
    doubtful: bool

    def only(self, chosen: Indices) -> _Sight:
        """Some of the axles."""
        return _Sight(
            *(getattr(self, name)[chosen] for name in ("seen", "enter_s", "leave_s", "centre_s")),
            self.start[chosen],
            self.end[chosen],
            self.reversed,
            self.doubtful,
        )


def weigh(
    clip: RawClip,
    lane: LaneLayout,
    gains: Gains,
    *,
    known: Flag = Flag.NONE,
    closed_sample: int | None = None,
    others: Sequence[LaneLayout] = (),
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

    Returns
    -------
    Passage
        Loads in kilograms with standard uncertainties (k = 1), flags of all doubts.

    Raises
    ------
    ValueError
        No axle of the clip was seen by two rows: there is no speed, so there is no weight.
    """
    floor = floor_counts((lane,), gains)
    signals = condition(clip, lane.rows, gains, floor)
    sight = _in_window(_sight(signals, lane, clip.rate_hz), clip, lane)
    position_m = np.array([row.position_m for row in lane.rows])
    sight, extra = _without_extras(sight, lane, position_m)
    motion = follow(sight.centre_s, position_m, 0.3 / clip.rate_hz)
    table = _Weighing(clip, lane, gains, signals, sight, motion)
    return table.passage(known | extra, closed_sample, others)


def _sight(signals: Signals, lane: LaneLayout, rate_hz: float) -> _Sight:
    centres = [
        _centres(signals, touches, r, lane.rows[r].kind) / rate_hz
        for r, touches in enumerate(signals.touches)
    ]
    durations = [(t.leave - t.enter) / rate_hz for t in signals.touches]
    found = associate(centres, durations, lane.rows)
    return _Sight(
        (found.touch >= 0).astype(float),
        found.of([t.enter / rate_hz for t in signals.touches]),
        found.of([t.leave / rate_hz for t in signals.touches]),
        found.of(centres),
        _laid(found, [t.start for t in signals.touches]),
        _laid(found, [t.end for t in signals.touches]),
        found.reversed,
        found.doubtful,
    )


def _laid(found: Association, values: Sequence[Indices]) -> Indices:
    return np.nan_to_num(found.of([v.astype(float) for v in values])).astype(np.int64)


def _centres(signals: Signals, touches: Touches, row: int, kind: str) -> Floats:
    """When the middle of the patch was over the middle of the row, in samples of the clip.

    On a plate the two edges tell it, for the load may change in between; on a strip the centre of
    the area, which noise moves least.
    """
    middle = (touches.enter + touches.leave) / 2
    if kind == "plate" or not len(middle):
        return middle
    a, b = touches.start, touches.end
    total, moment = signals.total[:, row], signals.moment[:, row]
    length = (b - a)[:, None]
    level = signals.level_at(((a + b) / 2)[:, None, None])[:, row]
    area = total[b] - total[a] - level * length
    # Sum of s * counts over [a, b) from sums of sums, less what the baseline adds to it.
    first = (b[:, None] - 1) * total[b] - a[:, None] * total[a] - (moment[b] - moment[a + 1])
    first = first - level * length * ((a + b - 1) / 2)[:, None]
    both, moments = area.sum(axis=1), first.sum(axis=1)
    sound = both > 0
    centre = np.where(sound, moments / np.where(sound, both, 1.0), middle)
    return np.clip(centre, touches.enter, touches.leave)


def _in_window(sight: _Sight, clip: RawClip, lane: LaneLayout) -> _Sight:
    """The axles whose whole way over the array lies in the clip's window."""
    position_m = np.array([row.position_m for row in lane.rows])
    rough = np.nanmedian(sight.leave_s - sight.enter_s) if sight.enter_s.size else 0.0
    found = Association(sight.start, sight.reversed, sight.doubtful, 1.0 / max(rough, 1e-3))
    speed = axle_speeds(sight.centre_s, position_m, found)
    span = spans(sight.enter_s, sight.leave_s, position_m, speed)
    slack_s = np.minimum(_WINDOW_M / np.maximum(np.abs(speed), _LEAST_SPEED_MPS), 0.2)
    begin_s = round(ROOM_BEFORE_S * clip.rate_hz) / clip.rate_hz
    end_s = len(clip.counts) / clip.rate_hz - round(ROOM_AFTER_S * clip.rate_hz) / clip.rate_hz
    inside = (span[:, 0] > begin_s - slack_s) & (span[:, 1] < end_s + slack_s)
    return sight.only(np.flatnonzero(inside))


def _without_extras(sight: _Sight, lane: LaneLayout, position_m: Floats) -> tuple[_Sight, Flag]:
    """Leave out touches of a single row that are no axle; one that looks like a wheel is doubt."""
    seen = sight.seen.sum(axis=1)
    if not (seen < 2).any() or not (seen >= 2).any():
        return sight, Flag.NONE
    motion = follow(sight.centre_s[seen >= 2], position_m, 1e-3)
    speed = np.maximum(np.abs(motion.speed_mps(np.nan_to_num(sight.centre_s))), _LEAST_SPEED_MPS)
    width_m = np.array([row.width_m for row in lane.rows])
    contact = quality.contact_m(width_m, sight.leave_s - sight.enter_s, speed)
    wheel = (seen < 2) & quality.plausible_wheel(contact).any(axis=1)
    kept = (seen >= 2) | (wheel & (len(lane.rows) == 2))
    return sight.only(np.flatnonzero(kept)), Flag.AMBIGUOUS if wheel.any() else Flag.NONE


class _Weighing:
    """The loads of one vehicle once its axles and its motion are known."""

    def __init__(
        self,
        clip: RawClip,
        lane: LaneLayout,
        gains: Gains,
        signals: Signals,
        sight: _Sight,
        motion: Motion,
    ) -> None:
        self._clip, self._lane, self._gains = clip, lane, gains
        self._signals, self._sight, self._motion = signals, sight, motion
        self._channels = np.array([(row.left, row.right) for row in lane.rows])
        self._kg_per_count = np.abs(gains.newton_per_count[self._channels]) / gains.gravity_mps2
        self._width_m = np.array([row.width_m for row in lane.rows])
        self._plate = np.array([row.kind == "plate" for row in lane.rows])
        self._on = sight.seen > 0
        speed = np.abs(motion.speed_mps(np.nan_to_num(sight.centre_s)))
        self._speed_mps = np.maximum(speed, _LEAST_SPEED_MPS)
        self._contact_m = self._contacts()

    def _contacts(self) -> Floats:
        """Patch lengths (n_axles, n_rows); the crossing's height above the baseline is allowed for.

        The edges of a pulse rise over the shorter of patch and width; at the height ``f`` of the
        peak they stand ``2 f`` of that nearer together.
        """
        duration_s = self._sight.leave_s - self._sight.enter_s
        reach_m = quality.contact_m(self._width_m, duration_s, self._speed_mps)
        height = self._height()
        ramp_m = np.where(self._plate, np.maximum(reach_m, 0.0), self._width_m)
        return np.asarray(reach_m + 2 * height * ramp_m)

    def _height(self) -> Floats:
        """Threshold over the mean height of the pulse, at most 0.4."""
        mean = self._mean_counts(self._sight.enter_s, self._sight.leave_s).sum(axis=2)
        release = self._signals.release.min(axis=1)
        return np.clip(release / np.maximum(mean, 1.0), 0.0, 0.4)

    def _mean_counts(self, from_s: Floats, to_s: Floats) -> Floats:
        """Mean counts above the baseline between two times: (n_axles, n_rows, 2)."""
        # A sample stands for the time from half before it to half after it.
        a = np.nan_to_num(from_s * self._clip.rate_hz) + 0.5
        b = np.maximum(np.nan_to_num(to_s * self._clip.rate_hz) + 0.5, a + 1)
        total = self._sum_before(b) - self._sum_before(a)
        mean = total / (b - a)[:, :, None]
        return np.asarray(mean - self._signals.level_at((a + b)[:, :, None] / 2))

    def _sum_before(self, sample: Floats) -> Floats:
        """Sum of counts before a sample, between samples in proportion."""
        whole = np.clip(np.floor(sample).astype(np.int64), 0, self._signals.n_samples - 1)
        rows = np.arange(sample.shape[1])
        before = self._signals.total[whole, rows]
        part = np.clip(sample - whole, 0.0, 1.0)[:, :, None]
        return np.asarray(before + part * (self._signals.total[whole + 1, rows] - before))

    # ------------------------------------------------------------------------------------------
    # loads of each row

    def _strip_kg(self) -> Floats:
        """Wheel loads from pulse areas and the speed over that row: (n_axles, n_rows, 2)."""
        start, end = self._sight.start, self._sight.end
        rows = np.arange(start.shape[1])
        counts = self._signals.total[end, rows] - self._signals.total[start, rows]
        length = (end - start)[:, :, None]
        level = self._signals.level_at((start + end)[:, :, None] / 2)
        area_s = (counts - level * length) / self._clip.rate_hz
        across = (self._speed_mps / self._width_m)[:, :, None]
        return np.asarray(area_s * across * self._kg_per_count)

    def _plateau_s(self) -> Floats:
        """Length of the time in which the whole patch is on a plate; (n_axles, n_rows)."""
        patch = np.clip(self._contact_m, 0.08, 0.5)
        return (self._width_m - patch * (1 + 2 * _GUARD)) / self._speed_mps

    def _observations(self) -> tuple[Observations, Floats]:
        """Each row's readings of each axle, and wheel loads (n_axles, n_rows, 2)."""
        wheel_kg = self._strip_kg()
        length_s = (self._width_m + np.nan_to_num(self._contact_m)) / self._speed_mps
        plateau_s = self._plateau_s()
        short = 2 * _PLATE_PARTS / self._clip.rate_hz
        level = self._plate & self._on & (np.nan_to_num(plateau_s) > short)
        parts = _PLATE_PARTS if self._plate.any() else 1
        loads, times, lengths = [], [], []
        for p in range(parts):
            a = self._sight.centre_s + plateau_s * (p / parts - 0.5)
            b = a + plateau_s / parts
            part_kg = (self._mean_counts(a, b) * self._kg_per_count).sum(axis=2)
            whole = wheel_kg.sum(axis=2) if p == 0 else np.full(level.shape, np.nan)
            loads.append(np.where(level, part_kg, whole))
            times.append(np.where(level, (a + b) / 2, self._sight.centre_s))
            lengths.append(np.where(level, plateau_s / parts, length_s))
        half_s = plateau_s / 2
        plates = self._mean_counts(self._sight.centre_s - half_s, self._sight.centre_s + half_s)
        wheel_kg = np.where(level[:, :, None], plates * self._kg_per_count, wheel_kg)
        wheel_kg[~self._on] = np.nan
        load = np.concatenate(loads, axis=1)
        load[~np.tile(self._on, parts)] = np.nan
        length = np.concatenate(lengths, axis=1)
        return (
            Observations(
                load,
                np.concatenate(times, axis=1),
                length,
                self._noise_kg(np.tile(level, parts), length, parts),
                np.tile(np.arange(len(self._lane.rows), dtype=float), parts),
            ),
            wheel_kg,
        )

    def _noise_kg(self, level: np.ndarray, length_s: Floats, parts: int) -> Floats:
        """Standard uncertainty from electrical noise; a mean of n samples has sigma/sqrt(n)."""
        noise_kg = np.sqrt(((self._signals.noise * self._kg_per_count) ** 2).sum(axis=1))
        samples = np.maximum(length_s * self._clip.rate_hz, 1.0)
        mean = np.tile(noise_kg, parts) / np.sqrt(samples)
        across = np.tile(self._speed_mps / self._width_m, (1, parts))
        return np.asarray(np.where(level, mean, mean * 1.6 * length_s * across))

    # ------------------------------------------------------------------------------------------
    # the vehicle

    def passage(
        self, known: Flag, closed_sample: int | None, others: Sequence[LaneLayout]
    ) -> Passage:
        """All numbers with their uncertainties and flags."""
        sight, motion, clip = self._sight, self._motion, self._clip
        spacing_m = np.abs(np.diff(motion.behind_m))
        number = np.concatenate([[0], np.cumsum(spacing_m > GROUP_SPACING_M)])
        middle_s = float(np.nanmean(sight.centre_s))
        speed_mps = abs(float(motion.speed_mps(np.array(middle_s))))
        seen, wheel_kg = self._observations()
        fusion = fuse(seen, speed_mps)
        load_kg = np.round(fusion.load_kg, _DIGITS)
        side_kg = self._sides(load_kg, wheel_kg)
        u2 = self._covariance(fusion, number, wheel_kg, speed_mps)
        change = self._change(speed_mps)
        durations_s = sight.leave_s - sight.enter_s
        flags = quality.axle_flags(
            load_kg, side_kg, self._contact_m, self._lane, self._saturated(), self._in_gap()
        )
        moved = quality.vehicle_flags(self._lane, motion, speed_mps, change, durations_s)
        union = quality.united(flags) | moved | known | self._doubts()
        if Flag.WHEEL_OFF in union and self._straddles(others):
            union |= Flag.STRADDLING
        groups = _groups(number, load_kg, u2)
        return Passage(
            clip.device,
            self._lane.lane,
            clip.first_sample + float(np.nanmin(sight.enter_s)) * clip.rate_hz,
            clip.first_sample + float(np.nanmax(sight.leave_s)) * clip.rate_hz,
            clip.end_sample if closed_sample is None else closed_sample,
            speed_mps,
            motion.u_speed_mps,
            change,
            AxleTable(
                read_only(load_kg),
                read_only(np.sqrt(np.diag(u2))),
                read_only(side_kg[:, 0].copy()),
                read_only(side_kg[:, 1].copy()),
                read_only(spacing_m),
                read_only(motion.u_spacing_m),
                read_only(np.round(wheel_kg.sum(axis=2), _DIGITS)),
                read_only(clip.first_sample + sight.centre_s * clip.rate_hz),
                read_only(np.round(wheel_kg, _DIGITS)),
                read_only(flags),
            ),
            groups,
            "+".join(str(g.count) for g in groups),
            float(load_kg.sum()),
            float(np.sqrt(u2.sum())),
            union,
            clip,
        )

    def _sides(self, load_kg: Floats, wheel_kg: Floats) -> Floats:
        """The fused load shared between left and right as the rows saw it: (n_axles, 2)."""
        sides = np.nanmean(wheel_kg, axis=1)
        whole = sides.sum(axis=1, keepdims=True)
        return np.round(load_kg[:, None] * sides / np.where(whole == 0, 1.0, whole), _DIGITS)

    def _covariance(
        self, fusion: object, number: Indices, wheel_kg: Floats, speed_mps: float
    ) -> Floats:
        gains, motion = self._gains, self._motion
        by_row = np.nansum(self._row_weight(fusion)[:, :, None] * wheel_kg, axis=2)
        share_kg = np.zeros((len(wheel_kg), len(gains.newton_per_count)))
        through = np.nan_to_num(self._row_weight(fusion)[:, :, None] * wheel_kg)
        np.add.at(share_kg, (slice(None), self._channels), through)
        own = np.sqrt(np.maximum(gains.u_rel**2 - gains.u_rel_common**2, 0.0))
        speed_kg = np.nan_to_num(by_row)[:, ~self._plate].sum(axis=1)
        u_speed_rel = motion.u_speed_mps / max(speed_mps, _LEAST_SPEED_MPS)
        return covariance(fusion, number, share_kg, own, gains.u_rel_common, speed_kg, u_speed_rel)

    def _row_weight(self, fusion: object) -> Floats:
        n_rows = len(self._lane.rows)
        return fusion.weight.reshape(len(fusion.weight), -1, n_rows).sum(axis=1)

    def _change(self, speed_mps: float) -> float:
        """Relative change of speed from the first row to the last, of the middle axle."""
        ends = self._motion.speed_mps(
            self._motion.t0_s
            + np.array([-0.5, 0.5])
            * (self._lane.rows[-1].position_m - self._lane.rows[0].position_m)
            / max(speed_mps, _LEAST_SPEED_MPS)
        )
        return float((abs(ends[1]) - abs(ends[0])) / max(speed_mps, _LEAST_SPEED_MPS))

    def _straddles(self, others: Sequence[LaneLayout]) -> bool:
        begin_s = np.nanmin(self._sight.enter_s, axis=1)
        end_s = np.nanmax(self._sight.leave_s, axis=1)
        return straddles(self._clip, others, self._gains, begin_s, end_s)

    def _saturated(self) -> np.ndarray:
        counted = self._signals.saturated
        if counted is None:
            return np.zeros(len(self._on), np.bool_)
        rows = np.arange(self._on.shape[1])
        return (counted[self._sight.end, rows] > counted[self._sight.start, rows]).any(axis=(1, 2))

    def _in_gap(self) -> np.ndarray:
        first, rate = self._clip.first_sample, self._clip.rate_hz
        hit = np.zeros(len(self._on), np.bool_)
        for sample, lost in self._clip.gaps:
            a, b = (sample - first) / rate, (sample - first + lost) / rate
            hit |= ((self._sight.enter_s < b) & (self._sight.leave_s > a)).any(axis=1)
        return hit

    def _doubts(self) -> Flag:
        sight, clip = self._sight, self._clip
        flags = Flag.AMBIGUOUS if sight.doubtful else Flag.NONE
        flags |= Flag.REVERSED if sight.reversed else Flag.NONE
        flags |= Flag.NONE if self._gains.calibrated else Flag.UNCALIBRATED
        begin, end = np.nanmin(sight.enter_s), np.nanmax(sight.leave_s)
        for sample, lost in clip.gaps:
            at_s = (sample - clip.first_sample) / clip.rate_hz
            if at_s < end and at_s + lost / clip.rate_hz > begin:
                flags |= Flag.GAP
        return flags


def _groups(number: Indices, load_kg: Floats, u2: Floats) -> tuple[AxleGroup, ...]:
    groups = []
    for g in range(int(number[-1]) + 1):
        inside = np.flatnonzero(number == g)
        part = slice(int(inside[0]), int(inside[-1]) + 1)
        u_kg = float(np.sqrt(u2[part, part].sum()))
        groups.append(AxleGroup(part.start, len(inside), float(load_kg[part].sum()), u_kg))
    return tuple(groups)
