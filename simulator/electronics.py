"""Cells, amplifiers and converter of a digitiser: what they make of the forces on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.records import ADC_FULL_SCALE, Floats, Int32s, read_only
from simulator.measured import measured_table
from simulator.noise import TableNoise, file_table, pink_table
from simulator.scenario import ElectronicsSection, WeatherSection
from simulator.seeds import stream

CHUNK = 1_024
"""Samples are made in chunks of this length, whatever blocks are asked for."""

_HUM_HZ = 50.0


class Electronics:
    """Cells, amplifier and converter of one digitiser: truth that no station may look at.

    Attributes
    ----------
    newton_per_count : float array (n_channels,)
        True worth of a count, some per cent off the nominal one.
    """

    def __init__(
        self,
        device: str,
        channels: int,
        section: ElectronicsSection,
        weather: WeatherSection,
        seed: int,
    ) -> None:
        chance = stream(seed, "electronics", device)
        self._seed, self._device, self._section, self._weather = seed, device, section, weather
        gain = 1 + section.gain_sd_rel * chance.standard_normal(channels)
        self.newton_per_count = read_only(section.newton_per_count / gain)
        self._zero_n = section.zero_n * chance.standard_normal(channels)
        self._hum_n = section.hum_n * chance.uniform(0.3, 1.0, channels)
        self._hum_phase = chance.uniform(0, 2 * np.pi)
        self._drift_n = section.drift_n * chance.standard_normal((3, channels))
        self._drift_s = np.array([120.0, 700.0, 3_600.0]) * chance.uniform(0.7, 1.4, 3)
        self._drift_phase = chance.uniform(0, 2 * np.pi, (3, channels))
        self._lateral_phase = chance.uniform(0, 2 * np.pi, channels)
        self._slow = self._slow_noise(channels)

    def _slow_noise(self, channels: int) -> list[TableNoise]:
        section, chance = self._section, stream(self._seed, "slow noise", self._device)
        tables = []
        if section.pink_n:
            tables.append(TableNoise(pink_table(), channels, section.pink_n, chance))
        if section.measured:
            table = measured_table(section.measured, section.rate_hz)
            tables.append(TableNoise(table, channels, section.measured_n, chance))
        if section.noise_file:
            table = file_table(Path(section.noise_file), section.rate_hz)
            tables.append(TableNoise(table, channels, section.noise_file_n, chance))
        return tables

    def lateral_gain(self, channel: int, lateral_m: float) -> float:
        """Sensitivity along the sensor's length: not quite the same wherever the wheel runs."""
        ripple = np.sin(2 * np.pi * lateral_m / 0.8 + self._lateral_phase[channel])
        return float(1 + self._section.lateral_rel * ripple)

    def largest_n(self, channel: int) -> float:
        """The force at which a channel's converter surely stands at its end, whatever its zero."""
        return float(ADC_FULL_SCALE * self.newton_per_count[channel] - self._zero_n[channel])

    def counts(self, chunk: int, force_n: Floats, rate_hz: float) -> Int32s:
        """Converter counts of chunk number ``chunk`` for the force (CHUNK, n) on the cells."""
        section, first = self._section, chunk * CHUNK
        time_s = (first + np.arange(len(force_n))) / rate_hz
        warm_k = self._weather.temperature_c(time_s[0]) - 20.0
        self._talk_across(force_n)
        force_n *= 1 + section.span_ppm_per_k * 1e-6 * warm_k
        force_n += self._background_n(time_s, section.zero_n_per_k * warm_k)
        noise = stream(self._seed, "noise", self._device, chunk).standard_normal(
            force_n.shape, dtype=np.float32
        )
        noise *= np.float32(section.noise_n)
        for slow in self._slow:
            noise += slow.at(first, len(noise))
        force_n += noise
        force_n /= self.newton_per_count
        np.clip(np.rint(force_n, out=force_n), -ADC_FULL_SCALE - 1, ADC_FULL_SCALE, out=force_n)
        return force_n.astype(np.int32)

    def _talk_across(self, force_n: Floats) -> None:
        """Each channel hears a little of those beside it on the board."""
        part = self._section.cross_talk_rel
        if part and force_n.any():
            alone = force_n.copy()
            force_n[:, 1:] += part * alone[:, :-1]
            force_n[:, :-1] += part * alone[:, 1:]

    def _background_n(self, time_s: Floats, offset_n: float) -> Floats:
        """Zero, slow drift and hum: a line over the chunk, its ends on sums of slow waves."""
        ends_s = time_s[[0, -1]]
        angle = 2 * np.pi * ends_s[:, None, None] / self._drift_s[:, None] + self._drift_phase
        start, end = self._zero_n + offset_n + (self._drift_n * np.sin(angle)).sum(axis=1)
        part = (time_s - ends_s[0]) / (ends_s[1] - ends_s[0])
        hum = np.sin(2 * np.pi * _HUM_HZ * time_s + self._hum_phase)
        shapes = np.stack([1 - part, part, hum], axis=1)
        return np.asarray(shapes @ np.stack([start, end, self._hum_n]))
