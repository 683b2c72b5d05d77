"""What each row says of each axle: areas on strips, plateaus on plates, in kilograms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edge.core.clip import Signals
from edge.core.kernel import Observations
from edge.core.motion import Motion
from edge.core.quality import contact_m
from edge.core.scales import Scales
from edge.core.sight import Sight
from edge.records import Bools, Floats, Indices, LaneLayout

__all__ = ["LEAST_SPEED_MPS", "RowLoads"]

LEAST_SPEED_MPS = 0.05
"""No slower speed is believed: a wheel that stands has none."""

_PLATE_PARTS = 8
"""A plateau is read in this many parts: its course tells of the bounce."""

_GUARD = 0.08
"""Part of the tyre's patch by which the plateau is taken shorter at each end."""

_LEAST_PATCH_M, _LONGEST_PATCH_M = 0.08, 0.5


@dataclass(frozen=True, eq=False)
class RowLoads:
    """Readings of the rows for the axles of many vehicles.

    Parameters
    ----------
    signals : Signals
        The clips of the vehicles.
    sight : Sight
        Where their axles are in them.
    motion : Motion
    scales : Scales
        One a vehicle.
    """

    signals: Signals
    sight: Sight
    motion: Motion
    scales: Scales

    @property
    def lane(self) -> LaneLayout:
        """The rows of all vehicles, but for their channels."""
        return self.scales.lane

    @property
    def rate_hz(self) -> float:
        """Sample rate of all clips."""
        return self.signals.rate_hz

    @cached_property
    def _cell(self) -> tuple[Indices, Indices]:
        """Clip and row of each axle's reading, to be broadcast together."""
        return self.sight.vehicle[:, None], np.arange(len(self.lane.rows))

    @cached_property
    def width_m(self) -> Floats:
        """Sensing lengths of the rows."""
        return np.array([row.width_m for row in self.lane.rows], np.float64)

    @cached_property
    def plate(self) -> Bools:
        """Which rows are plates."""
        return np.array([row.kind == "plate" for row in self.lane.rows], np.bool_)

    @cached_property
    def kg_per_count(self) -> Floats:
        """Worth of a count, (n_axles, n_rows, 2); the sign was taken with the baseline."""
        return self.scales.kg_per_count[self.sight.vehicle]

    @cached_property
    def speed_mps(self) -> Floats:
        """Speed of each axle over each row: (n_axles, n_rows)."""
        at_s = np.where(
            self.sight.seen, self.sight.centre_s, self.motion.t0_s[self.sight.vehicle][:, None]
        )
        return np.maximum(np.abs(self.motion.speed_mps(at_s)), LEAST_SPEED_MPS)

    def contact_m(self) -> Floats:
        """Tyre patch lengths (n_axles, n_rows), NaN where unseen.

        The edges of a pulse rise over the shorter of patch and width; at the part ``h`` of the
        height they stand ``h`` of that length inside the foot, at either end.
        """
        sight = self.sight
        reach_m = contact_m(self.width_m, sight.leave_s - sight.enter_s, self.speed_mps)
        ramp_m = np.where(self.plate, np.maximum(reach_m, 0.0), self.width_m)
        return np.asarray(reach_m + 2 * self._height() * ramp_m)

    def _height(self) -> Floats:
        """Threshold of the touch over the mean height of its pulse, 0.4 at most."""
        mean = self._touched[0].sum(axis=2)
        release = self.signals.release(*self._cell).min(axis=2)
        return np.asarray(np.minimum(np.maximum(release / np.maximum(mean, 1.0), 0.0), 0.4))

    @property
    def area_s(self) -> Floats:
        """Pulse areas of the wheels in count seconds, (n_axles, n_rows, 2); NaN where unseen."""
        return self._touched[1]

    @cached_property
    def _touched(self) -> tuple[Floats, Floats]:
        """Mean counts of each touch, and the area of its whole pulse: asked for at once."""
        sight = self.sight
        touch = self._samples(sight.enter_s, sight.leave_s)
        moments = np.array([*touch, sight.start, sight.end])
        counts, length, level = self._counts(moments[::2], moments[1::2])
        area_s = (counts[1] - level[1] * length[1]) / self.rate_hz
        area_s = np.where(sight.seen[:, :, None], area_s, np.nan)
        return counts[0] / length[0] - level[0], area_s

    def _mean_counts(self, from_s: Floats, to_s: Floats) -> Floats:
        """Mean counts above the baseline between two times: (n_axles, n_rows, 2)."""
        counts, length, level = self._counts(*self._samples(from_s, to_s))
        return np.asarray(counts / length - level)

    def _samples(self, from_s: Floats, to_s: Floats) -> tuple[Floats, Floats]:
        """Times in samples of the clip, one apart at least; of NaN the first."""
        # A sample stands for the time from half before it to half after it.
        a, b = (np.where(np.isnan(s), 0.0, s) * self.rate_hz + 0.5 for s in (from_s, to_s))
        return a, np.maximum(b, a + 1)

    def _counts(self, a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
        """Sums of counts between moments (..., n_axles, n_rows), the lengths, and the baseline."""
        before_a, before_b = self._sum_before(np.array([a, b]))
        u = ((a + b) / self.signals.n_samples[self.sight.vehicle][:, None] - 1)[..., None]
        flat, slope, bend = self._ground
        return before_b - before_a, (b - a)[..., None], flat + u * (slope + u * bend)

    @cached_property
    def _ground(self) -> tuple[Floats, Floats, Floats]:
        """Coefficients of the baseline under each axle, (n_axles, n_rows, 2) each."""
        level = self.signals.ground.level[self.sight.vehicle]
        return level[:, 0], level[:, 1], level[:, 2]

    def _sum_before(self, sample: Floats) -> Floats:
        """Sum of the pulse's counts before a moment, within a sample in proportion."""
        sight = self.sight
        whole = np.minimum(np.floor(sample), sight.end - 1)
        whole = np.maximum(whole, 0.0, out=whole).astype(np.int64)
        part = np.minimum(np.maximum(sample - whole, 0.0), 1.0)
        at = sight.place + whole
        before = sight.pulses.between(sight.place + sight.start, at)
        sums = before + part * sight.pulses.at(at)
        return np.asarray(sums.transpose(*range(1, sums.ndim), 0))

    def wheels_and_readings(self, contact_m: Floats, area_s: Floats) -> tuple[Floats, Observations]:
        """Wheel loads of each row, and the readings that are to be fused.

        Parameters
        ----------
        contact_m : float array (n_axles, n_rows)
            From :meth:`contact_m`.
        area_s : float array (n_axles, n_rows, 2)
            As ``self.area_s``.

        Returns
        -------
        wheel_kg : float array (n_axles, n_rows, 2)
            Left and right, NaN where unseen.
        readings : Observations
            One a strip; a plate gives ``_PLATE_PARTS`` in the time that the whole patch is on it,
            or the one of its area where it is passed too fast for that.
        """
        sight, seen, speed_mps = self.sight, self.sight.seen, self.speed_mps
        centre_s = sight.centre_s
        patch_m = np.where(seen, contact_m, 0.0)
        wheel_kg = area_s * (speed_mps / self.width_m)[:, :, None] * self.kg_per_count
        length_s = (self.width_m + patch_m) / speed_mps
        if not self.plate.any():
            return wheel_kg, self._readings([wheel_kg], [centre_s], [length_s], seen & False)
        patch_m = np.clip(patch_m, _LEAST_PATCH_M, _LONGEST_PATCH_M)
        # In parts of the touch, so that a wheel that stood on the plate is read there as well.
        flat_m = self.width_m - patch_m * (1 + 2 * _GUARD)
        flat_s = (sight.leave_s - sight.enter_s) * flat_m / (self.width_m + patch_m)
        flat = self.plate & seen & (flat_s * self.rate_hz > 2 * _PLATE_PARTS)
        loads, times, lengths = [], [], []
        for p in range(_PLATE_PARTS):
            from_s = centre_s + flat_s * (p / _PLATE_PARTS - 0.5)
            to_s = from_s + flat_s / _PLATE_PARTS
            part_kg = self._mean_counts(from_s, to_s) * self.kg_per_count
            loads.append(np.where(flat[:, :, None], part_kg, np.nan if p else wheel_kg))
            times.append(np.where(flat, (from_s + to_s) / 2, centre_s))
            lengths.append(np.where(flat, flat_s / _PLATE_PARTS, length_s))
        whole_kg = np.mean(loads, axis=0)
        wheel_kg = np.where(flat[:, :, None], whole_kg, wheel_kg)
        return wheel_kg, self._readings(loads, times, lengths, flat)

    def _readings(
        self, loads: list[Floats], times: list[Floats], lengths: list[Floats], flat: Bools
    ) -> Observations:
        length_s = np.concatenate(lengths, axis=1)
        noise_kg = [self._noise_kg(each_s, flat) for each_s in lengths]
        return Observations(
            np.concatenate(loads, axis=1).sum(axis=2),
            np.concatenate(times, axis=1),
            length_s,
            np.concatenate(noise_kg, axis=1),
            np.array([*range(len(self.lane.rows))] * len(loads)),
        )

    def _noise_kg(self, length_s: Floats, flat: Bools) -> Floats:
        """Electrical noise of readings: of a mean over a plateau, or of an area with its feet."""
        widened_s = 1.6 * length_s
        samples = np.maximum(np.where(flat, length_s, widened_s) * self.rate_hz, 1.0)
        mean_kg = self._of_sample_kg / np.sqrt(samples)
        across = self.speed_mps / self.width_m
        return np.asarray(np.where(flat, mean_kg, mean_kg * widened_s * across))

    @cached_property
    def _of_sample_kg(self) -> Floats:
        """Electrical noise of a sample of both sides: (n_axles, n_rows)."""
        noise_kg = self.signals.noise(*self._cell) * self.kg_per_count
        return np.asarray(np.sqrt((noise_kg**2).sum(axis=2)))
