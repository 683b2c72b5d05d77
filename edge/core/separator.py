"""The vehicle separator of a lane as intervals in which a vehicle stood before it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from edge.records import InputEdge, Separator

__all__ = ["Beam", "Interval"]

_DEBOUNCE_S = 0.03
"""A shorter free moment is bouncing: no vehicle follows another so closely."""

_VEHICLES_UNHEARD = 3
"""A vehicle that stops and goes on may look like as many, while the separator stays active."""


@dataclass(slots=True)
class Interval:
    """The separator was active from a sample to a sample, or still is."""

    start_sample: int
    end_sample: int | None = None


class Beam:
    """Intervals of one separator that no vehicle has claimed yet, and whether it is believed.

    Parameters
    ----------
    separator : Separator
    rate_hz : float
    """

    def __init__(self, separator: Separator, rate_hz: float) -> None:
        self.position_m = separator.position_m
        self.debounce_samples = round(_DEBOUNCE_S * rate_hz)
        self.intervals: list[Interval] = []
        self.trusted = True
        self._stuck = False
        self._unheard = 0

    @property
    def out_of_order(self) -> bool:
        """Whether so many vehicles passed since it last changed that no halt explains it."""
        return self._unheard > _VEHICLES_UNHEARD

    def missed(self, vehicles: int) -> None:
        """So many vehicles passed that it did not see."""
        self._unheard += vehicles

    @property
    def stays_active(self) -> bool:
        """Whether the only interval is one that has not ended."""
        return len(self.intervals) == 1 and self.intervals[0].end_sample is None

    def change(self, edge: InputEdge) -> None:
        """Take an edge; repeated states change nothing, short free moments are mended."""
        self._unheard = 0
        last = self.intervals[-1] if self.intervals else None
        is_open = last is not None and last.end_sample is None
        if edge.active and not is_open:
            if last is not None and edge.sample - (last.end_sample or 0) < self.debounce_samples:
                last.end_sample = None
            else:
                self.intervals.append(Interval(edge.sample))
        elif not edge.active:
            self._stuck = False
            if last is not None and is_open:
                last.end_sample = edge.sample

    def passed(self) -> None:
        """An interval came and went with its vehicle."""
        self._unheard = 0

    def distrust(self) -> None:
        """It contradicts the axles: believe the axles until it was free once."""
        self.trusted = False
        self._stuck = True
        self.intervals.clear()

    def renew_trust(self) -> None:
        """Between two vehicles: believe it again if it has been free since."""
        if not self.trusted and not self._stuck:
            self.trusted = True
            self.intervals = [i for i in self.intervals if i.end_sample is None]

    @property
    def reach(self) -> tuple[float, float]:
        """From when to when a crossing belongs to the oldest interval, which has ended."""
        first, end = self.intervals[0], self.intervals[0].end_sample
        early = first.start_sample - self.debounce_samples
        if end is None:
            return early, early
        if len(self.intervals) == 1:
            return early, end + self.debounce_samples
        return early, (end + self.intervals[1].start_sample) / 2

    def nearest(self, crossing_sample: float) -> tuple[int, float]:
        """Number of the interval nearest to a crossing, and how many samples that lies outside."""
        nearest, least = 0, inf
        for number, interval in enumerate(self.intervals):
            away = interval.start_sample - crossing_sample
            if away < 0.0:
                end_sample = interval.end_sample
                away = 0.0 if end_sample is None else max(crossing_sample - end_sample, 0.0)
            if away < least:
                nearest, least = number, away
        return nearest, least
