"""The axles of one vehicle as the rows of its clip saw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.core.axles import Association, associate, axle_speeds, spans
from edge.core.clip import ROOM_AFTER_S, ROOM_BEFORE_S, Signals, Touches
from edge.core.motion import follow
from edge.core.quality import contact_m, plausible_wheel
from edge.records import Bools, Flag, Floats, Indices, LaneLayout, RawClip

__all__ = ["Sight", "look"]

_WINDOW_M = 0.6
_WINDOW_S = 0.2
"""How far an axle's way may reach out of the clip's window: far less than another vehicle's."""

_THRESHOLD_S = 0.03
"""How much the clip's own threshold may move a touch's ends against the stream's."""

_LEAST_SPEED_MPS = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """Axles front to rear on the rows of their lane; arrays are (n_axles, n_rows).

    ``enter_s``, ``leave_s`` and ``centre_s`` (of the tyre's patch over the row) are seconds of the
    clip, NaN where a row did not see the axle; ``start`` and ``end`` bound the pulse in samples
    of the clip, 0 where unseen.
    """

    enter_s: Floats
    leave_s: Floats
    centre_s: Floats
    start: Indices
    end: Indices
    reversed: bool
    doubtful: bool

    @property
    def seen(self) -> Bools:
        """Which rows saw which axles."""
        return ~np.isnan(self.centre_s)

    def only(self, chosen: Bools) -> Sight:
        """Some of the axles."""
        if chosen.all():
            return self
        return Sight(
            self.enter_s[chosen],
            self.leave_s[chosen],
            self.centre_s[chosen],
            self.start[chosen],
            self.end[chosen],
            self.reversed,
            self.doubtful,
        )


def look(signals: Signals, clip: RawClip, lane: LaneLayout) -> tuple[Sight, Flag]:
    """The axles of the clip's vehicle; wheels of others in the clip are left aside.

    Returns
    -------
    sight : Sight
    flags : Flag
        ``AMBIGUOUS`` where a touch that looks like a wheel fits no axle.
    """
    touches = [_inside(t, clip) for t in signals.touches]
    centres = [
        _centres(signals, r, row.kind, touches[r]) / clip.rate_hz for r, row in enumerate(lane.rows)
    ]
    enters = [t.enter / clip.rate_hz for t in touches]
    leaves = [t.leave / clip.rate_hz for t in touches]
    found = associate(centres, [b - a for a, b in zip(enters, leaves, strict=True)], lane.rows)
    sight = Sight(
        found.of(enters),
        found.of(leaves),
        found.of(centres),
        _samples(found, [t.start for t in touches]),
        _samples(found, [t.end for t in touches]),
        found.reversed,
        found.doubtful,
    )
    return _without_extras(_in_window(sight, found, clip, lane), lane)


def _window(clip: RawClip) -> tuple[int, int]:
    """First contact and last release of the vehicle, in samples of the clip."""
    begin, end = round(ROOM_BEFORE_S * clip.rate_hz), round(ROOM_AFTER_S * clip.rate_hz)
    return begin, len(clip.counts) - end


def _inside(touches: Touches, clip: RawClip) -> Touches:
    """Touches of a row without those that began before the vehicle or ended after it."""
    begin, end = _window(clip)
    slack = _THRESHOLD_S * clip.rate_hz
    own = (touches.enter > begin - slack) & (touches.leave < end + slack)
    return Touches(touches.enter[own], touches.leave[own], touches.start[own], touches.end[own])


def _samples(found: Association, values: Sequence[Indices]) -> Indices:
    laid = found.of([v.astype(np.float64) for v in values])
    return np.where(np.isnan(laid), 0.0, laid).astype(np.int64)


def _centres(signals: Signals, row: int, kind: str, touches: Touches) -> Floats:
    """When the middle of the patch was over the middle of the row, in samples of the clip.

    On a plate the two edges tell it, for the load may change in between; on a strip the centre of
    the area, which noise moves least.
    """
    middle = (touches.enter + touches.leave) / 2
    if kind == "plate" or not len(middle):
        return middle
    a, b = touches.start, touches.end
    total, moment = signals.total[row], signals.moment[row]
    length = b - a
    level = signals.level_at(((a + b) / 2)[:, None, None])[:, row].T
    area = total[:, b] - total[:, a] - level * length
    # Summation by parts: the sum of s * counts over [a, b) from sums of sums.
    first = (b - 1) * total[:, b] - a * total[:, a] - (moment[:, b] - moment[:, a + 1])
    moments = (first - level * length * (a + b - 1) / 2).sum(axis=0)
    both = area.sum(axis=0)
    sound = both > 0
    centre = np.where(sound, moments / np.where(sound, both, 1.0), middle)
    return np.clip(centre, touches.enter, touches.leave)


def _in_window(sight: Sight, found: Association, clip: RawClip, lane: LaneLayout) -> Sight:
    """The axles whose whole way over the array lies in the clip's window."""
    position_m = np.array([row.position_m for row in lane.rows])
    speed = axle_speeds(sight.centre_s, position_m, found)
    span = spans(sight.enter_s, sight.leave_s, position_m, speed)
    slack_s = np.minimum(_WINDOW_M / np.maximum(np.abs(speed), _LEAST_SPEED_MPS), _WINDOW_S)
    begin_s, end_s = (sample / clip.rate_hz for sample in _window(clip))
    return sight.only((span[:, 0] > begin_s - slack_s) & (span[:, 1] < end_s + slack_s))


def _without_extras(sight: Sight, lane: LaneLayout) -> tuple[Sight, Flag]:
    """Leave out touches of one row alone; one that looks like a wheel's is doubt.

    With two rows, one of them may as well have missed the axle: then it stays, in doubt.
    """
    alone = sight.seen.sum(axis=1) < 2
    if not alone.any() or alone.all():
        return sight, Flag.NONE
    position_m = np.array([row.position_m for row in lane.rows])
    width_m = np.array([row.width_m for row in lane.rows])
    motion = follow(sight.centre_s[~alone], position_m, 1e-3)
    at_s = np.where(sight.seen, sight.centre_s, motion.t0_s)
    speed = np.maximum(np.abs(motion.speed_mps(at_s)), _LEAST_SPEED_MPS)
    patch = contact_m(width_m, sight.leave_s - sight.enter_s, speed)
    wheel = alone & plausible_wheel(patch).any(axis=1)
    kept = ~alone | (wheel & (len(lane.rows) == 2))
    return sight.only(kept), Flag.AMBIGUOUS if wheel.any() else Flag.NONE
