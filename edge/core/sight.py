"""The axles of vehicles as the rows of their clips saw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.core.axles import Axles, axle_speeds, find_axles, first_axles, spans
from edge.core.clip import ROOM_AFTER_S, ROOM_BEFORE_S, Signals
from edge.core.contacts import Pulses, centres, find_contacts
from edge.core.motion import follow
from edge.core.quality import contact_m, plausible_wheel
from edge.core.scales import Scales
from edge.records import Bools, Flag, FlagBits, Floats, Indices, RawClip

__all__ = ["Sight", "look"]

_WINDOW_M = 0.6
_WINDOW_S = 0.2
"""How far an axle's way may reach out of the clip's window: far less than another vehicle's."""

_THRESHOLD_S = 0.03
"""How much the clip's own threshold may move a touch's ends against the stream's."""

_LEAST_SPEED_MPS = 0.05

_BLOW_SHARE = 0.5
"""A touch of less than this part of the shortest wheel's time on a row is no wheel."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """Axles of all vehicles, front to rear, on the rows of their lane.

    ``vehicle`` is (n_axles,), its clip's number; ``reversed`` and ``doubtful`` are (n_vehicles,);
    all else is (n_axles, n_rows): ``enter_s``, ``leave_s`` and ``centre_s`` (of the tyre's patch
    over the row) in seconds of the clip, NaN where a row did not see the axle; ``start`` and
    ``end`` bound the pulse in samples of the clip, which lie in ``pulses`` from ``place`` on, all 0
    where unseen.
    """

    vehicle: Indices
    enter_s: Floats
    leave_s: Floats
    centre_s: Floats
    start: Indices
    end: Indices
    place: Indices
    pulses: Pulses
    reversed: Bools
    doubtful: Bools

    @property
    def seen(self) -> Bools:
        """Which rows saw which axles."""
        return ~np.isnan(self.centre_s)

    def only(self, chosen: Bools) -> Sight:
        """Some of the axles."""
        if chosen.all():
            return self
        return Sight(
            self.vehicle[chosen],
            self.enter_s[chosen],
            self.leave_s[chosen],
            self.centre_s[chosen],
            self.start[chosen],
            self.end[chosen],
            self.place[chosen],
            self.pulses,
            self.reversed,
            self.doubtful,
        )


def look(
    signals: Signals, clips: Sequence[RawClip], scales: Scales
) -> tuple[Sight, FlagBits, Bools]:
    """The axles of each clip's vehicle; wheels of others in the clip are left aside.

    Returns
    -------
    sight : Sight
    flags : uint32 array (n_clips,)
        ``AMBIGUOUS`` where a touch that looks like a wheel fits no axle.
    moved : bool array (n_clips,)
        Whether there is an axle that two rows saw: without, there is no speed.
    """
    rate_hz = signals.rate_hz
    begin, until = _window(clips, rate_hz)
    slack = _THRESHOLD_S * rate_hz
    found = find_contacts(signals)
    own = (found.enter > begin - slack) & (found.leave < until[found.clip] + slack)
    touches = found.only(own)
    centre_s = centres(signals, touches, scales.plate) / rate_hz
    enter_s, leave_s = touches.enter / rate_hz, touches.leave / rate_hz
    window_s = begin / rate_hz, until / rate_hz
    axles = find_axles(
        touches.clip,
        touches.row,
        centre_s,
        leave_s - enter_s,
        len(clips),
        scales.lane.rows,
        window_s,
    )
    times_s = axles.of(np.array([enter_s, leave_s, centre_s]))
    inside = _in_window(times_s, axles, *window_s, scales)
    if not inside.all():
        axles, times_s = axles.only(inside), times_s.compress(inside, axis=1)
    enter_s, leave_s, centre_s = times_s
    start, end, place = axles.samples(np.array([touches.start, touches.end, touches.place]))
    sight = Sight(
        axles.vehicle,
        enter_s,
        leave_s,
        centre_s,
        start,
        end,
        place,
        touches.pulses,
        axles.reversed,
        axles.doubtful,
    )
    return _without_extras(sight, len(clips), scales)


def _window(clips: Sequence[RawClip], rate_hz: float) -> tuple[int, Indices]:
    """First contact and last release of the vehicles, in samples of their clips."""
    length = np.array([len(clip.counts) for clip in clips])
    return round(ROOM_BEFORE_S * rate_hz), length - round(ROOM_AFTER_S * rate_hz)


def _in_window(
    times_s: Floats, axles: Axles, begin_s: float, end_s: Floats, scales: Scales
) -> Bools:
    """The axles whose whole way over the array lies in their clip's window."""
    vehicle, (enter_s, leave_s, centre_s) = axles.vehicle, times_s
    position_m = scales.position_m
    speed = axle_speeds(centre_s, position_m, axles)
    front = first_axles(vehicle, len(end_s))[vehicle]
    from_s, to_s = spans(enter_s, leave_s, position_m, speed, speed[front] < 0).T
    slack_s = np.minimum(_WINDOW_M / np.maximum(np.abs(speed), _LEAST_SPEED_MPS), _WINDOW_S)
    inside = (from_s > begin_s - slack_s) & (to_s < end_s[vehicle] + slack_s)
    return np.asarray(inside)


def _without_extras(sight: Sight, n_clips: int, scales: Scales) -> tuple[Sight, FlagBits, Bools]:
    """Leave out touches of one row alone; one that looks like a wheel's is doubt.

    With two rows, one of them may as well have missed the axle: then it stays, in doubt.
    """
    flags = np.zeros(n_clips, np.uint32)
    alone = sight.seen.sum(axis=1) < 2
    moved = np.bincount(sight.vehicle[~alone], minlength=n_clips) > 0
    # What no speed is known for is left to the caller as it is.
    extra = alone & moved[sight.vehicle]
    if not extra.any():
        return sight, flags, moved
    kept = ~extra
    for v in set(sight.vehicle[extra].tolist()):
        own = sight.vehicle == v
        wheel = _wheels(sight, own & ~alone, own & alone, scales)
        if wheel.any():
            flags[v] = Flag.AMBIGUOUS
        if len(scales.width_m) == 2:
            kept[own & alone] = wheel
    return sight.only(kept), flags, moved


def _wheels(sight: Sight, rolling: Bools, alone: Bools, scales: Scales) -> Bools:
    """Which of the touches of one row alone may be a wheel's, as the rolling axles move."""
    duration_s = sight.leave_s - sight.enter_s
    # One that reversed rolled at another speed than those that two rows saw: blows are short.
    shortest_s = np.fmin.reduce(duration_s[rolling], axis=0)
    duration_s = duration_s[alone]
    rolled = (duration_s > _BLOW_SHARE * shortest_s).any(axis=1)
    if rolled.all():
        return np.asarray(rolled)
    one = np.zeros(int(rolling.sum()), np.int64)
    motion = follow(sight.centre_s[rolling], scales.position_m, 1e-3, one)
    at_s = np.where(sight.seen, sight.centre_s, motion.t0_s[0])[alone]
    speed = motion.speed_of(at_s, np.zeros(at_s.shape, np.int64))
    patch = contact_m(scales.width_m, duration_s, np.maximum(np.abs(speed), _LEAST_SPEED_MPS))
    return np.asarray(rolled | plausible_wheel(patch).any(axis=1))
