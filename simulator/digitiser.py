"""A digitiser as its bytes show it: counts for any span of samples, and the edges of its inputs.

Sample ``k`` is taken at ``k / rate`` seconds of the world's time, where the true rate is the
nominal one off by the oscillator's error. Samples are made in whole chunks and then cut, so that
every way of asking gives the same counts.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from edge.records import Int32s, LaneLayout, Separator, read_only
from simulator.electronics import CHUNK, Electronics
from simulator.planned_faults import spoil_samples
from simulator.scenario import Scenario
from simulator.seeds import stream
from simulator.sensor import Pulse
from simulator.site import Site
from simulator.traffic import Passing

_KEPT_CHUNKS = 4
_KEPT_VEHICLES = 64

Edge = tuple[int, int, bool]
"""Sample, number of the input, active."""


class SimDigitiser:
    """One digitiser with its lanes; its sample 0 is taken at world time 0."""

    def __init__(
        self,
        device: str,
        channels: Sequence[str],
        lanes: Sequence[LaneLayout],
        site: Site,
        scenario: Scenario,
        seed: int,
    ) -> None:
        section = scenario.electronics
        self.device, self.channels = device, tuple(channels)
        self.rate_hz = section.rate_hz
        self.newton_per_count = section.newton_per_count
        error_ppm = section.oscillator_sd_ppm * stream(seed, "clock", device).standard_normal()
        self.true_rate_hz = self.rate_hz * (1 + error_ppm * 1e-6)
        self.electronics = Electronics(device, len(channels), section, scenario.weather, seed)
        self._seed, self._lanes, self._site = seed, tuple(lanes), site
        self._faults = [fault for fault in scenario.fault if fault.device == device]
        self._chunks: OrderedDict[int, Int32s] = OrderedDict()
        self._kept_chunks = _KEPT_CHUNKS
        self._made_edges: list[Edge] = []
        self._made_until = 0
        self._pulses: OrderedDict[tuple[int, str], list[Pulse]] = OrderedDict()

    def time_s(self, sample: float) -> float:
        """World time at which a sample is taken."""
        return sample / self.true_rate_hz

    def make_until(self, sample: int) -> None:
        """Make all samples and edges before ``sample`` now, and keep them to be asked for."""
        chunks = -(-sample // CHUNK)
        self._kept_chunks = max(self._kept_chunks, chunks)
        for chunk in range(chunks):
            self._chunk(chunk)
        self._made_edges += self.edges(self._made_until, sample)
        self._made_until = max(self._made_until, sample)

    def block(self, first_sample: int, n: int) -> Int32s:
        """Counts of ``n`` samples, int32 (n, channels)."""
        end = first_sample + n
        parts = []
        for chunk in range(first_sample // CHUNK, -(-end // CHUNK)):
            base = chunk * CHUNK
            parts.append(self._chunk(chunk)[max(first_sample - base, 0) : end - base])
        return np.concatenate(parts) if parts else np.zeros((0, len(self.channels)), np.int32)

    def edges(self, from_sample: int, to_sample: int) -> list[Edge]:
        """Edges of the separators in ``[from_sample, to_sample)``, in order of time."""
        if to_sample <= self._made_until:
            made = self._made_edges
            return made[bisect_left(made, (from_sample,)) : bisect_left(made, (to_sample,))]
        silent = [f for f in self._faults if f.kind in ("separator_stuck", "separator_silent")]
        found = [
            edge
            for lane in self._lanes
            if lane.separator is not None
            for edge in self._separator_edges(lane.lane, lane.separator, from_sample, to_sample)
            if not any(fault.holds(self.time_s(edge[0])) for fault in silent)
        ]
        return sorted(found)

    def _separator_edges(
        self, lane: str, separator: Separator, from_sample: int, to_sample: int
    ) -> list[Edge]:
        """Ends of interruptions, but for those at which another body stands there still."""
        span_s = self.time_s(from_sample), self.time_s(to_sample)
        spans_s = self._site.interruptions_s(lane, separator.position_m, *span_s)
        edges = [
            (math.ceil(time_s * self.true_rate_hz), separator.input, active)
            for own_s in spans_s
            for time_s, active in zip(own_s, (True, False), strict=True)
            if not any(other[0] < time_s < other[1] for other in spans_s)
        ]
        return [edge for edge in edges if from_sample <= edge[0] < to_sample]

    def _chunk(self, chunk: int) -> Int32s:
        if chunk not in self._chunks:
            self._chunks[chunk] = self._make(chunk)
            if len(self._chunks) > self._kept_chunks:
                self._chunks.popitem(last=False)
        return self._chunks[chunk]

    def _make(self, chunk: int) -> Int32s:
        first = chunk * CHUNK
        span_s = (self.time_s(first), self.time_s(first + CHUNK))
        force_n = np.zeros((CHUNK, len(self.channels)))
        for lane in self._lanes:
            for passing, aside_m in self._site.over(lane.lane, *span_s):
                _add_pulses(force_n, first, self.pulses_of(passing, lane.lane, aside_m))
        counts = self.electronics.counts(chunk, force_n, self.true_rate_hz)
        if self._faults:
            time_s = (first + np.arange(CHUNK)) / self.true_rate_hz
            chance = stream(self._seed, "fault", self.device, chunk)
            spoil_samples(counts, time_s, self._faults, chance)
        return read_only(counts)

    def pulses_of(self, passing: Passing, lane: str, aside_m: float) -> list[Pulse]:
        """What a vehicle presses on a lane's sensors, with their sensitivity along their length."""
        key = passing.vehicle.number, lane
        if key not in self._pulses:
            pulses = self._site.pulses(passing, lane, aside_m, self.true_rate_hz)
            for pulse in pulses:
                lateral_m = passing.vehicle.lateral_m + aside_m
                pulse.force_n[:] *= self.electronics.lateral_gain(pulse.channel, lateral_m)
            self._pulses[key] = pulses
            if len(self._pulses) > _KEPT_VEHICLES:
                self._pulses.popitem(last=False)
        return self._pulses[key]


def _add_pulses(force_n: np.ndarray, first: int, pulses: Sequence[Pulse]) -> None:
    for pulse in pulses:
        start, end = max(pulse.first, first), min(pulse.end, first + len(force_n))
        if start < end:
            part = pulse.force_n[start - pulse.first : end - pulse.first]
            force_n[start - first : end - first, pulse.channel] += part
