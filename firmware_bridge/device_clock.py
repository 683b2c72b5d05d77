"""UTC over a device's sample counter, from nothing but the times at which its blocks arrived.

A block can arrive late (wire, adapter, scheduler) and never early, so the true line lies under all
points, at a distance that every block shares. The clock keeps the earliest point of each second,
takes the lower convex hull of the last two minutes, and reads the hull's edge under their middle:
of all lines below every point, the one nearest to them.

The delay that *every* block shares, conversion to receipt, can't be seen from this side. It is
the caller's to state as ``hidden_delay_ns``; the bound carries it and the fit doesn't hide it.

Sources
-------
S. B. Moon, P. Skelly, D. Towsley, "Estimation and Removal of Clock Skew from Network Delay
Measurements", IEEE INFOCOM 1999 (line below all delays). D. L. Mills, RFC 5905 section 10
(minimum-delay clock filter).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

WINDOW_NS = 1_000_000_000
"""One earliest point is kept for each such span of receive time."""

KEPT_WINDOWS = 120
SETTLED_WINDOWS = 10
"""Windows until the oscillator's own rate is used; before that, the nominal rate."""

UNSETTLED_BOUND_NS = 50_000_000
"""Doubt until settled: the first blocks may all be late by a scheduler's stall."""

UNKNOWN_BOUND_NS = 1 << 62
"""Doubt before any block: the time is not known."""

LEAST_BOUND_NS = 100_000
"""Receive times are stamped after a thread woke up; a fit can't be better than that."""

LEAST_STEP_NS = 5_000_000
"""Smaller jumps of the host clock are followed as delay, larger ones begin a new fit."""

STEP_WINDOWS = 3
"""So many windows in a row must be late, and alike, before a step is believed: stalls differ."""

Point: TypeAlias = tuple[float, float]
"""Nanoseconds since the fit began by the nominal rate, and lateness against it."""


@dataclass(frozen=True, slots=True)
class ClockFit:
    """UTC of a sample counter; the fields mean what they mean in ``edge.records.ClockReading``.

    ``utc_ns(s) = ref_utc_ns + (s - ref_sample) * ns_per_sample``, wrong by at most ``bound_ns``
    (95 %). ``stepped`` stands from a step until the new fit has settled.
    """

    ref_sample: int
    ref_utc_ns: int
    ns_per_sample: float
    bound_ns: int
    rate_error_ppm: float
    settled: bool
    stepped: bool


class DeviceClock:
    """Running fit of UTC over the sample counter of one device.

    Parameters
    ----------
    rate_hz : float
        Nominal sample rate, positive.
    hidden_delay_ns : int
        Largest delay from conversion to receipt that all blocks may share; added to the bound.

    Attributes
    ----------
    steps : int
        Steps of the host clock found so far.
    """

    def __init__(self, rate_hz: float, hidden_delay_ns: int = 0) -> None:
        self._nominal_ns = 1e9 / rate_hz
        self._hidden_delay_ns = hidden_delay_ns
        self._fit: _Fit | None = None
        self._stepped = False
        self.steps = 0

    def restart(self) -> None:
        """The device counts anew: begin a new fit, flagged until it has settled."""
        self._stepped = self._stepped or self._fit is not None
        self._fit = None

    def observe(self, sample_end: int, received_ns: int) -> None:
        """Take in that the block ending before ``sample_end`` was received at ``received_ns``.

        Parameters
        ----------
        sample_end : int
            Device counter one past the last sample of the block.
        received_ns : int
            UTC of the receipt, nanoseconds, from the host's clock.
        """
        if self._fit is not None and not self._fit.observe(sample_end, received_ns):
            # Before it has settled, a fit that began with late blocks just begins better.
            self.steps += self._fit.settled
            self._stepped = self._stepped or self._fit.settled
            self._fit = None
        if self._fit is None:
            self._fit = _Fit(self._nominal_ns, sample_end, received_ns)
        self._stepped = self._stepped and not self._fit.settled

    def reading(self) -> ClockFit:
        """The present fit, referred to the newest sample; before any block, a time not known."""
        fit = self._fit
        if fit is None:
            return ClockFit(0, 0, self._nominal_ns, UNKNOWN_BOUND_NS, 0.0, False, self._stepped)
        return ClockFit(
            ref_sample=fit.latest_sample,
            ref_utc_ns=fit.utc_ns(fit.latest_sample),
            ns_per_sample=self._nominal_ns * (1.0 + fit.slope),
            bound_ns=round(fit.bound_ns) + self._hidden_delay_ns,
            rate_error_ppm=(1.0 / (1.0 + fit.slope) - 1.0) * 1e6,
            settled=fit.settled,
            stepped=self._stepped,
        )


class _Fit:
    """One unbroken stretch: points counted from its first block, the line under them."""

    def __init__(self, nominal_ns: float, sample: int, received_ns: int) -> None:
        self._nominal_ns = nominal_ns
        self._origin_sample = self.latest_sample = sample
        self._origin_ns = received_ns
        self._window_end_ns = received_ns + WINDOW_NS
        self._earliest: Point | None = (0.0, 0.0)
        self._windows: deque[Point] = deque(maxlen=KEPT_WINDOWS)
        self._late_ns: deque[float] = deque(maxlen=STEP_WINDOWS)
        self.offset_ns = 0.0
        self.slope = 0.0
        self.bound_ns = float(UNSETTLED_BOUND_NS)
        self._usual_ns = 0.0
        self.settled = False

    def observe(self, sample: int, received_ns: int) -> bool:
        """Take a point in; false if it doesn't fit, because the host's clock stepped."""
        if received_ns >= self._window_end_ns:
            self._close_window(received_ns)
        point = self._point(sample, received_ns)
        if self._lateness_ns(point) < -self._step_ns or self._all_late:
            return False
        self.latest_sample = max(self.latest_sample, sample)
        if self._earliest is None or point[1] < self._earliest[1]:
            self._earliest = point
        if not self.settled:
            self.offset_ns = min(self.offset_ns, point[1])
        return True

    def utc_ns(self, sample: int) -> int:
        elapsed_ns = (sample - self._origin_sample) * self._nominal_ns
        return self._origin_ns + round(elapsed_ns + self.offset_ns + self.slope * elapsed_ns)

    def _point(self, sample: int, received_ns: int) -> Point:
        elapsed_ns = (sample - self._origin_sample) * self._nominal_ns
        return elapsed_ns, received_ns - self._origin_ns - elapsed_ns

    def _lateness_ns(self, point: Point) -> float:
        return point[1] - self.offset_ns - self.slope * point[0]

    @property
    def _step_ns(self) -> float:
        return max(LEAST_STEP_NS, 3.0 * self._usual_ns) if self.settled else UNSETTLED_BOUND_NS

    @property
    def _all_late(self) -> bool:
        if len(self._late_ns) < STEP_WINDOWS:
            return False
        least, most = min(self._late_ns), max(self._late_ns)
        return least > self._step_ns and most - least < self._step_ns

    def _close_window(self, received_ns: int) -> None:
        # Windows go by receive time: however long a stall was, its burst falls into one of them.
        self._window_end_ns = received_ns + WINDOW_NS
        if self._earliest is None:
            return
        self._late_ns.append(self._lateness_ns(self._earliest))
        self._windows.append(self._earliest)
        self._earliest = None
        if len(self._windows) >= SETTLED_WINDOWS:
            self._settle()

    def _settle(self) -> None:
        self.offset_ns, self.slope = line_below(self._windows)
        lateness_ns = sorted(self._lateness_ns(point) for point in self._windows)
        self.bound_ns = max(LEAST_BOUND_NS, lateness_ns[int(0.95 * (len(lateness_ns) - 1))])
        # The bound tells of windows that end in a stall; a step must not hide behind those.
        self._usual_ns = lateness_ns[len(lateness_ns) // 2]
        self.settled = True


def line_below(points: Iterable[Point]) -> tuple[float, float]:
    """The line under all points that is nearest to them in the mean.

    Parameters
    ----------
    points : iterable of (float, float)
        At least one point, abscissae rising.

    Returns
    -------
    offset, slope : float
        Ordinate at abscissa 0, and rise.
    """
    hull: list[Point] = []
    total, n = 0.0, 0
    for point in points:
        while len(hull) > 1 and not _turns_up(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
        total, n = total + point[0], n + 1
    for left, right in pairwise(hull):
        if right[0] >= total / n:
            slope = (right[1] - left[1]) / (right[0] - left[0])
            return left[1] - slope * left[0], slope
    return hull[0][1], 0.0


def _turns_up(a: Point, b: Point, c: Point) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])
