"""From an indicator's readings to a scale's: load judged, second opinion asked, told to people."""

from __future__ import annotations

from typing import NamedTuple

from edge.config import ScaleSection
from edge.errors import NO_STEP, Text
from edge.health import Health, Level
from edge.records import ScaleReading
from firmware_bridge.indicators.reading import IndicatorReading, Range
from firmware_bridge.scale import Load, Platform, Scale, class_iii_mpe_kg, cross_check

__all__ = ["Companions", "Weigher"]

FRESH_NS = 2_000_000_000
"""Loads of two scales are compared while neither is older."""

_RANGES: dict[Range, Text] = {
    "over": Text("超出量程", "over its range"),
    "under": Text("低于零点范围", "under its range"),
    "error": Text("仪表没有给出毛重", "the indicator shows no gross weight"),
}


class _Newest(NamedTuple):
    load: Load
    time_ns: int
    division_kg: float


class Companions:
    """The newest load of every scale, for those that vouch for one another."""

    def __init__(self) -> None:
        self._newest: dict[str, _Newest] = {}

    def agrees(self, section: ScaleSection, load: Load, time_ns: int) -> bool | None:
        """Keep a load; whether the scale's companion shows the same, as far as that can be said.

        They agree within the errors that class III permits both of them in service.
        """
        own = self._newest[section.id] = _Newest(load, time_ns, section.division_kg)
        other = self._newest.get(section.check_with or "")
        if other is None or time_ns - other.time_ns > FRESH_NS or load.load_kg is None:
            return None
        tolerance_kg = sum(class_iii_mpe_kg(load.load_kg, e.division_kg) for e in (own, other))
        agreement = cross_check(load, other.load, tolerance_kg)
        return None if agreement == "unknown" else agreement == "agree"


class Weigher:
    """The judge of one scale of the station file.

    Parameters
    ----------
    section : ScaleSection
        Its part of the station file.
    health : Health
        Gets the state ``scale.<id>`` and counters under that name.
    companions : Companions
        Shared by all scales of the station.
    protection : str
        What refuses a damaged frame of its line: ``checksum``, ``parity`` or ``none``.
    """

    def __init__(
        self, section: ScaleSection, health: Health, companions: Companions, protection: str
    ) -> None:
        self._section = section
        self._health = health
        self._companions = companions
        self._protection = protection
        self._scale = Scale(_platform(section))
        self.part = f"scale.{section.id}"
        self.name = Text(f"衡器 {section.id}", f"scale {section.id}")

    def take(self, reading: IndicatorReading, time_ns: int) -> ScaleReading:
        """Judge a reading that came at ``time_ns``."""
        load = self._scale.take(reading, time_ns / 1e9)
        agrees = self._companions.agrees(self._section, load, time_ns)
        self._show(load, agrees)
        return ScaleReading(
            self._section.id,
            time_ns,
            load.load_kg,
            load.stable,
            load.out_of_range is None,
            load.tare_kg,
            load.mode,
            self._protection,
            agrees,
            reading.raw,
        )

    def _show(self, load: Load, agrees: bool | None) -> None:
        if load.out_of_range is not None or load.load_kg is None:
            self.count("out_of_range")
            self.state(
                Level.WARNING,
                _RANGES[load.out_of_range or "error"],
                Text(
                    "看仪表显示；不要用这次读数", "look at the indicator; do not use this reading"
                ),
            )
        elif agrees is False:
            self.count("contradicted")
            self.state(
                Level.WARNING,
                Text(
                    f"与 {self._section.check_with} 不一致",
                    f"does not agree with {self._section.check_with}",
                ),
                Text("停止用它称重，通知维护", "weigh with neither, call maintenance"),
            )
        else:
            rest = Text("稳定", "at rest") if load.stable else Text("变化中", "moving")
            self.state(
                Level.OK,
                Text(f"{load.load_kg:,.2f} kg {rest.zh}", f"{load.load_kg:,.2f} kg, {rest.en}"),
            )

    def count(self, name: str, by: int = 1) -> None:
        """Count something of this scale."""
        self._health.count(f"{self.part}.{name}", by)

    def state(self, level: Level, what: Text, next_step: Text = NO_STEP) -> None:
        """Say how this scale is doing."""
        self._health.state(self.part, level, what.zh, what.en, next_step=next_step)


def _platform(section: ScaleSection) -> Platform:
    return Platform(
        section.max_kg,
        section.division_kg,
        section.stable_readings,
        section.stable_within_kg or section.division_kg,
        section.stable_for_s,
        tracks_zero=section.tracks_zero,
    )
