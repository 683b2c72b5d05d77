"""How a vehicle moves along its lane: phases of even acceleration, solved in closed form.

A phase may stand still or run backward; the front axle's position is exact at any time, so that
the area under a pulse is not spoilt by how the motion is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.records import Floats, Indices, read_only
from simulator.kinds import Span

_BRAKE_MPS2 = 1.2
_START_MPS2 = 0.7


@dataclass(frozen=True, slots=True)
class Stop:
    """The vehicle halts with its front axle at ``position_m`` for ``hold_s``."""

    position_m: float
    hold_s: float


@dataclass(frozen=True, slots=True)
class Shift:
    """The vehicle moves ``by_m`` to the right between two positions of the road (a lane change)."""

    from_m: float
    to_m: float
    by_m: float

    def lateral_m(self, position_m: Floats) -> Floats:
        """How far it has moved when a wheel is at a position: a smooth step."""
        u = np.clip((position_m - self.from_m) / (self.to_m - self.from_m), 0.0, 1.0)
        return np.asarray(self.by_m * u * u * (3 - 2 * u))


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Front axle over time. Arrays are (n_phases,); before and after, the speed is kept."""

    start_s: Floats
    start_m: Floats
    start_mps: Floats
    acceleration_mps2: Floats
    end_s: float

    def position_m(self, time_s: Floats | float) -> Floats:
        """Where the front axle is at the given times."""
        phase, since_s, within_s = self._phase(time_s)
        gained_m = self.acceleration_mps2[phase] * within_s * (since_s - within_s / 2)
        return np.asarray(self.start_m[phase] + self.start_mps[phase] * since_s + gained_m)

    def speed_mps(self, time_s: Floats | float) -> Floats:
        """Speed at the given times, negative while it reverses."""
        phase, _, within_s = self._phase(time_s)
        return np.asarray(self.start_mps[phase] + self.acceleration_mps2[phase] * within_s)

    def acceleration_at(self, time_s: Floats | float) -> Floats:
        """Acceleration in m/s^2 at the given times, 0 outside the phases."""
        phase, _, _ = self._phase(time_s)
        inside = (np.asarray(time_s) >= self.start_s[0]) & (np.asarray(time_s) < self.end_s)
        return np.where(inside, self.acceleration_mps2[phase], 0.0)

    def time_at_s(self, front_m: Floats | float) -> Floats:
        """When the front axle first passes the given positions; infinite where it never does."""
        wanted_m = np.asarray(front_m, np.float64)
        times_s = self._crossings_s(wanted_m.ravel())
        return np.asarray(times_s.min(axis=1).reshape(wanted_m.shape))

    def within(self, low_m: float, high_m: float) -> list[Span]:
        """Spans of time in which the front axle is between two positions."""
        return self.all_within(np.array([low_m]), np.array([high_m]))[0]

    def all_within(self, low_m: Floats, high_m: Floats) -> list[list[Span]]:
        """Spans of time, as of ``within``, for each of many pairs of positions."""
        crossed_s = np.stack([self._crossings_s(edge_m) for edge_m in (low_m, high_m)])
        first_s, last_s = crossed_s.min(axis=2)
        once = (np.isfinite(crossed_s).sum(axis=2) == 1).all(axis=0) & (first_s < last_s)
        return [
            [(from_s, to_s)] if simple else self._between(crossed_s[:, i], low_m[i], high_m[i])
            for i, (simple, from_s, to_s) in enumerate(
                zip(once.tolist(), first_s.tolist(), last_s.tolist(), strict=True)
            )
        ]

    def _between(self, crossed_s: Floats, low_m: float, high_m: float) -> list[Span]:
        """Of the spans that crossings cut, those in which the front axle is between the two."""
        cuts_s = np.unique(crossed_s[np.isfinite(crossed_s)])
        middle_m = self.position_m((cuts_s[1:] + cuts_s[:-1]) / 2)
        inside = (middle_m > low_m) & (middle_m < high_m)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
        return [(float(cuts_s[a]), float(cuts_s[b])) for a, b in edges.reshape(-1, 2)]

    def way_m(self, from_s: float, to_s: float) -> float:
        """Metres gone between two times, forward and backward."""
        inside = self.start_s[(self.start_s > from_s) & (self.start_s < to_s)]
        at_m = self.position_m(np.array([from_s, *inside, to_s]))
        return float(np.abs(np.diff(at_m)).sum())

    def later(self, by_s: float) -> Motion:
        """The same motion, begun later."""
        return replace(self, start_s=read_only(self.start_s + by_s), end_s=self.end_s + by_s)

    @property
    def _durations_s(self) -> Floats:
        return np.append(self.start_s[1:], self.end_s) - self.start_s

    def _phase(self, time_s: Floats | float) -> tuple[Indices, Floats, Floats]:
        """Phase, time since its start, and the part of that time within the phase."""
        times_s = np.asarray(time_s, np.float64)
        phase = np.maximum(np.searchsorted(self.start_s, times_s, "right") - 1, 0)
        since_s = np.asarray(times_s - self.start_s[phase])
        return phase, since_s, np.clip(since_s, 0.0, self._durations_s[phase])

    def _crossings_s(self, wanted_m: Floats) -> Floats:
        """Times (n, 2 n_phases) at which positions are crossed in each phase, inf where not."""
        half, mps = self.acceleration_mps2 / 2, self.start_mps
        ahead_m = wanted_m[:, None] - self.start_m
        root = np.sqrt(np.maximum(mps**2 + 4 * half * ahead_m, 0.0))
        # The stable form of the quadratic's roots also holds where a phase does not accelerate.
        pivot = mps + np.where(mps >= 0, root, -root)
        with np.errstate(divide="ignore", invalid="ignore"):
            since_s = np.stack([2 * ahead_m / pivot, -pivot / (2 * half)], axis=-1)
        real = (mps**2 + 4 * half * ahead_m >= 0)[..., None]
        slack_s = 1e-9
        inside = real & (since_s >= -slack_s) & (since_s <= self._durations_s[:, None] + slack_s)
        return np.where(inside, since_s + self.start_s[:, None], np.inf).reshape(len(wanted_m), -1)


def drive(
    speed_mps: float,
    change_rel: float,
    from_m: float,
    to_m: float,
    stops: Sequence[Stop] = (),
    back_to_m: float | None = None,
) -> Motion:
    """From one position to another at a mean speed that changes evenly by ``change_rel``.

    With ``stops`` (in order of travel) the vehicle cruises, brakes, stands and starts again. With
    ``back_to_m`` it goes backward after its last stop, and ends there.
    """
    if not stops:
        first_mps = speed_mps / (1 + change_rel / 2)
        duration_s = (to_m - from_m) / speed_mps
        return _phases(first_mps, from_m, [(duration_s, first_mps * change_rel / duration_s)])
    phases: list[Span] = []
    at_m, now_mps = from_m, speed_mps
    for number, stop in enumerate(stops):
        phases += _halt(now_mps, speed_mps, stop, at_m)
        at_m, now_mps = stop.position_m, 0.0
        if back_to_m is not None and number == len(stops) - 1:
            return _phases(speed_mps, from_m, [*phases, *_start(-speed_mps, back_to_m - at_m)])
    return _phases(speed_mps, from_m, [*phases, *_start(speed_mps, to_m - at_m)])


def _halt(now_mps: float, cruise_mps: float, stop: Stop, at_m: float) -> list[Span]:
    """Phases up to the end of a stop, from a cruise or from standing."""
    way_m = max(stop.position_m - at_m, 0.05)
    up = 0.0 if now_mps else 1 / (2 * _START_MPS2)
    top_mps = min(cruise_mps, float(np.sqrt(way_m / (up + 1 / (2 * _BRAKE_MPS2)))))
    top_mps = now_mps or top_mps
    cruise_m = way_m - top_mps**2 * (up + 1 / (2 * _BRAKE_MPS2))
    start = [(top_mps / _START_MPS2, _START_MPS2)] if not now_mps else []
    cruise = [(max(cruise_m, 0.0) / top_mps, 0.0)]
    return [*start, *cruise, (top_mps / _BRAKE_MPS2, -_BRAKE_MPS2), (stop.hold_s, 0.0)]


def _start(speed_mps: float, way_m: float) -> list[Span]:
    """Phases from standing to a cruise over a way; both may be negative."""
    start_s = abs(speed_mps) / _START_MPS2
    rest_m = abs(way_m) - abs(speed_mps) * start_s / 2
    return [
        (start_s, float(np.copysign(_START_MPS2, speed_mps))),
        (max(rest_m, 0.0) / abs(speed_mps), 0.0),
    ]


def _phases(speed_mps: float, front_m: float, phases: Sequence[Span]) -> Motion:
    """Chain phases of (duration, acceleration); those without duration fall away."""
    starts, time_s = [], 0.0
    for duration_s, mps2 in phases:
        if duration_s <= 0:
            continue
        starts.append((time_s, front_m, speed_mps, mps2))
        front_m += speed_mps * duration_s + mps2 * duration_s**2 / 2
        speed_mps += mps2 * duration_s
        time_s += duration_s
        if abs(speed_mps) < 1e-9:
            speed_mps = 0.0
    start_s, start_m, start_mps, mps2 = (read_only(c.copy()) for c in np.array(starts).T)
    return Motion(start_s, start_m, start_mps, mps2, time_s)
