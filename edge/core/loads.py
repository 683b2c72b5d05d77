"""What each row says of each axle: areas on strips, plateaus on plates, in kilograms."""

from __future__ import annotations

import numpy as np

from edge.core.clip import Signals
from edge.core.consensus import filled
from edge.core.kernel import Observations
from edge.core.motion import Motion
from edge.core.quality import contact_m
from edge.core.scales import Scales
from edge.core.sight import Sight
from edge.records import Bools, Floats

__all__ = ["LEAST_SPEED_MPS", "RowLoads"]

LEAST_SPEED_MPS = 0.05
"""No slower speed is believed: a wheel that stands has none."""

_PLATE_PARTS = 8
"""A plateau is read in this many parts: its course tells of the bounce."""

_PARTS = np.arange(_PLATE_PARTS)[:, None, None]

_GUARD = 0.08
"""Part of the tyre's patch by which the plateau is taken shorter at each end."""

_HIGHEST = 0.4
"""A threshold is taken to stand no higher in a pulse than at this part of it."""

_LEAST_PATCH_M, _LONGEST_PATCH_M = 0.08, 0.5


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

    Attributes
    ----------
    holes : bool array (n_axles, n_rows) or None
        Which rows did not see which axles, if any.
    width_m : float array (n_rows,)
        Sensing lengths of the rows.
    plate : bool array (n_rows,)
        Which rows are plates.
    kg_per_count : float array (n_axles, n_rows, 2)
        Worth of a count; the sign was taken with the baseline.
    speed_mps : float array (n_axles, n_rows)
        Speed of each axle over each row.
    """

    def __init__(self, signals: Signals, sight: Sight, motion: Motion, scales: Scales) -> None:
        vehicle = sight.vehicle
        self._sight, self._rate_hz = sight, signals.rate_hz
        unseen = np.isnan(sight.centre_s)
        self.holes: Bools | None = unseen if unseen.any() else None
        self.width_m, self.plate = scales.width_m, scales.plate
        self.kg_per_count = scales.kg_per_count.take(vehicle, axis=0)
        at_s = sight.centre_s
        if self.holes is not None:
            at_s = np.where(unseen, motion.t0_s[vehicle][:, None], at_s)
        self.speed_mps = np.maximum(np.abs(motion.speed_mps(at_s)), LEAST_SPEED_MPS)
        ground = signals.ground
        self._level = ground.level.take(vehicle, axis=0)
        release = ground.release.take(vehicle, axis=0)
        self._release = np.minimum(release[:, :, 0], release[:, :, 1])
        noise_kg = ground.noise.take(vehicle, axis=0) * self.kg_per_count
        self._of_sample_kg = np.sqrt(_both(noise_kg**2))
        self._n_samples = signals.n_samples[vehicle][:, None]

    def touched(self) -> tuple[Floats, Floats]:
        """Lengths of the tyres' patches, and areas of the wheels' pulses in count seconds.

        The edges of a pulse rise over the shorter of patch and width; at the part ``h`` of the
        height they stand ``h`` of that length inside the foot, at either end.

        Returns
        -------
        contact_m : float array (n_axles, n_rows)
        area_s : float array (n_axles, n_rows, 2)
            Both NaN where unseen.
        """
        sight = self._sight
        touch = self._samples(sight.enter_s, sight.leave_s)
        moments = np.array([*touch, sight.start, sight.end])
        counts, length, level = self._counts(moments[::2], moments[1::2])
        area_s = (counts[1] - level[1] * length[1]) / self._rate_hz
        if self.holes is not None:
            area_s[self.holes] = np.nan
        # Threshold of the touch over the mean height of its pulse.
        mean = _both(counts[0] / length[0] - level[0])
        height = np.maximum(self._release / np.maximum(mean, 1.0), 0.0)
        reach_m = contact_m(self.width_m, sight.leave_s - sight.enter_s, self.speed_mps)
        ramp_m = self.width_m
        if self.plate.any():
            ramp_m = np.where(self.plate, np.maximum(reach_m, 0.0), ramp_m)
        return reach_m + 2 * np.minimum(height, _HIGHEST) * ramp_m, area_s

    def _samples(self, from_s: Floats, to_s: Floats) -> tuple[Floats, Floats]:
        """Times in samples of the clip, one apart at least; of those of no touch the first."""
        from_s, to_s = filled(from_s, self.holes), filled(to_s, self.holes)
        # A sample stands for the time from half before it to half after it.
        a, b = from_s * self._rate_hz + 0.5, to_s * self._rate_hz + 0.5
        return a, np.maximum(b, a + 1)

    def _counts(self, a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
        """Sums of counts between moments (..., n_axles, n_rows), the lengths, and the baseline."""
        before_a, before_b = self._sum_before(np.array([a, b]))
        u = ((a + b) / self._n_samples - 1)[..., None]
        flat, slope, bend = self._level[:, 0], self._level[:, 1], self._level[:, 2]
        return before_b - before_a, (b - a)[..., None], flat + u * (slope + u * bend)

    def _sum_before(self, sample: Floats) -> Floats:
        """Sum of the pulse's counts before a moment, within a sample in proportion."""
        sight = self._sight
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
        contact_m, area_s : float arrays
            From :meth:`touched`.

        Returns
        -------
        wheel_kg : float array (n_axles, n_rows, 2)
            Left and right, NaN where unseen.
        readings : Observations
            One a strip; a plate gives ``_PLATE_PARTS`` in the time that the whole patch is on it,
            or the one of its area where it is passed too fast for that.
        """
        patch_m = filled(contact_m, self.holes)
        wheel_kg = area_s * (self.speed_mps / self.width_m)[:, :, None] * self.kg_per_count
        length_s = (self.width_m + patch_m) / self.speed_mps
        if self.plate.any():
            return self._of_plates(wheel_kg, patch_m, length_s)
        noise_kg, row = self._area_noise_kg(length_s), np.arange(len(self.width_m))
        centre_s = self._sight.centre_s
        return wheel_kg, Observations(_both(wheel_kg), centre_s, length_s, noise_kg, row)

    def _of_plates(
        self, wheel_kg: Floats, patch_m: Floats, length_s: Floats
    ) -> tuple[Floats, Observations]:
        """Plateaus read in parts, where there are any."""
        sight, centre_s = self._sight, self._sight.centre_s
        patch_m = np.clip(patch_m, _LEAST_PATCH_M, _LONGEST_PATCH_M)
        # In parts of the touch, so that a wheel that stood on the plate is read there as well.
        flat_m = self.width_m - patch_m * (1 + 2 * _GUARD)
        flat_s = (sight.leave_s - sight.enter_s) * flat_m / (self.width_m + patch_m)
        flat = self.plate & (flat_s * self._rate_hz > 2 * _PLATE_PARTS)
        part_s = flat_s / _PLATE_PARTS
        from_s = centre_s + flat_s * (_PARTS / _PLATE_PARTS - 0.5)
        to_s = from_s + part_s
        counts, length, level = self._counts(*self._samples(from_s, to_s))
        load_kg = (counts / length - level) * self.kg_per_count
        load_kg = np.where(flat[:, :, None], load_kg, np.nan)
        load_kg[0] = np.where(flat[:, :, None], load_kg[0], wheel_kg)
        time_s = np.where(flat, (from_s + to_s) / 2, centre_s)
        noise_kg = np.where(flat, self._mean_noise_kg(part_s), self._area_noise_kg(length_s))
        length_s = np.where(flat, part_s, length_s)
        readings = Observations(
            _laid(_both(load_kg)),
            _laid(time_s),
            np.tile(length_s, _PLATE_PARTS),
            np.tile(noise_kg, _PLATE_PARTS),
            np.tile(np.arange(len(self.width_m)), _PLATE_PARTS),
        )
        return np.where(flat[:, :, None], np.mean(load_kg, axis=0), wheel_kg), readings

    def _mean_noise_kg(self, length_s: Floats) -> Floats:
        """Electrical noise of a mean over a plateau."""
        return np.asarray(self._of_sample_kg / np.sqrt(np.maximum(length_s * self._rate_hz, 1.0)))

    def _area_noise_kg(self, length_s: Floats) -> Floats:
        """Electrical noise of an area with its feet."""
        widened_s = 1.6 * length_s
        across = self.speed_mps / self.width_m
        return np.asarray(self._mean_noise_kg(widened_s) * widened_s * across)


def _both(values: Floats) -> Floats:
    """Sum of left and right, the last axis."""
    return np.asarray(values[..., 0] + values[..., 1])


def _laid(parts: Floats) -> Floats:
    """Readings (n_parts, n_axles, n_rows) part after part: (n_axles, n_parts * n_rows)."""
    return parts.transpose(1, 0, 2).reshape(parts.shape[1], -1)
