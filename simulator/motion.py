"""How a vehicle moves along its lane: front axle against time, and back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edge.records import Floats, read_only

_KNOTS = 200
_BRAKE_MPS2 = 1.2
_START_MPS2 = 0.7


@dataclass(frozen=True, slots=True)
class Stop:
    """The vehicle halts with its front axle at ``position_m`` for ``hold_s``."""

    position_m: float
    hold_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Position of the front axle over time, as knots close enough to be joined by lines."""

    time_s: Floats
    front_m: Floats

    def position_m(self, time_s: Floats | float) -> Floats:
        """Where the front axle is at the given times."""
        return np.asarray(np.interp(time_s, self.time_s, self.front_m))

    def time_at_s(self, front_m: Floats | float) -> Floats:
        """When the front axle passes the given positions."""
        return np.asarray(np.interp(front_m, self.front_m, self.time_s))

    def later(self, by_s: float) -> Motion:
        """The same motion, begun later."""
        return replace(self, time_s=read_only(self.time_s + by_s))

    def mean_speed_mps(self, from_m: float, to_m: float) -> float:
        """Distance over time between two positions of the front axle."""
        return (to_m - from_m) / float(self.time_at_s(to_m) - self.time_at_s(from_m))


def drive(
    speed_mps: float, change_rel: float, from_m: float, to_m: float, stop: Stop | None = None
) -> Motion:
    """From one position to another at a mean speed that changes evenly by ``change_rel``.

    With a ``stop`` the vehicle cruises, brakes, stands, starts again and cruises on.
    """
    first_mps = speed_mps / (1 + change_rel / 2)
    if stop is None:
        duration_s = (to_m - from_m) / speed_mps
        return _phases(first_mps, from_m, [(duration_s, first_mps * change_rel / duration_s)])
    brake_s, start_s = speed_mps / _BRAKE_MPS2, speed_mps / _START_MPS2
    cruise_m = stop.position_m - speed_mps * brake_s / 2 - from_m
    rest_m = to_m - stop.position_m - speed_mps * start_s / 2
    return _phases(
        speed_mps,
        from_m,
        [
            (max(cruise_m, 0.0) / speed_mps, 0.0),
            (brake_s, -_BRAKE_MPS2),
            (stop.hold_s, 0.0),
            (start_s, _START_MPS2),
            (max(rest_m, 0.0) / speed_mps, 0.0),
        ],
    )


def _phases(speed_mps: float, front_m: float, phases: list[tuple[float, float]]) -> Motion:
    times, fronts, time_s = [np.zeros(1)], [np.full(1, front_m)], 0.0
    for duration_s, acceleration_mps2 in phases:
        t = np.linspace(0, duration_s, _KNOTS)[1:]
        times.append(time_s + t)
        fronts.append(front_m + speed_mps * t + acceleration_mps2 * t**2 / 2)
        time_s, front_m = float(times[-1][-1]), float(fronts[-1][-1])
        speed_mps = max(speed_mps + acceleration_mps2 * duration_s, 0.0)
    return Motion(read_only(np.concatenate(times)), read_only(np.concatenate(fronts)))
