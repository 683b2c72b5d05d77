"""From an indicator's readings to a load: rest, zero, tare, range, and a second opinion.

Pure logic on one platform; times are seconds of any clock that only goes forward. The limits are
those of OIML R 76-1 (2006) for non-automatic weighing instruments; a station that only repeats
what a verified indicator shows leaves zero tracking off, for the indicator does it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from firmware_bridge.indicators.reading import IndicatorReading, Mode, Range

Agreement: TypeAlias = Literal["agree", "differ", "unknown"]

ZERO_SHARE = 0.04
"""Zero setting and tracking together move zero by 4 % of Max at most (R 76-1, 4.5.1)."""

TRACKING_DIVISIONS_PER_S = 0.5
"""Fastest zero tracking, and the band around zero in which it works (R 76-1, 4.5.7)."""

OVER_DIVISIONS, UNDER_DIVISIONS = 9, 20
"""No weight above Max + 9 e (R 76-1, 4.2.3), nor below -20 e."""

_SLACK_KG = _SLACK_S = 1e-6
"""Sums of decimal fractions are not exact in binary."""

_CLASS_III_STEPS = ((500, 0.5), (2000, 1.0))
_CLASS_III_MOST = 1.5


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform and the rule by which it counts as at rest.

    Attributes
    ----------
    max_kg, division_kg : float
        Max and the verification interval e of its plate.
    readings, within_kg, for_s : int, float, float
        At rest means: so many readings at least, over so long at least, within so much.
    silence_s : float
        After a longer pause between readings rest is judged anew.
    tracks_zero : bool
        Follow the zero of a bare load cell.
    """

    max_kg: float
    division_kg: float
    readings: int = 5
    within_kg: float = 0.0
    for_s: float = 1.0
    silence_s: float = 2.0
    tracks_zero: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """What stands on a platform.

    Attributes
    ----------
    load_kg : float or None
        Gross load over the zero that holds; None where ``out_of_range`` is set.
    net_kg : float or None
        Load over the tare.
    stable : bool
        At rest by the rule, and the indicator does not say otherwise.
    out_of_range : {"over", "under", "error"} or None
    mode : {"gross", "net", "tare", "unknown"}
        What the indicator showed.
    zero_kg, tare_kg : float
        The zero and the tare that were taken off.
    """

    load_kg: float | None
    net_kg: float | None
    stable: bool
    out_of_range: Range | None
    mode: Mode
    zero_kg: float
    tare_kg: float


@dataclass(slots=True)
class RestRule:
    """At rest: ``readings`` within ``within_kg`` for ``for_s``, no pause over ``silence_s``."""

    readings: int
    within_kg: float
    for_s: float
    silence_s: float
    _window: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=8192))

    def forget(self) -> None:
        """Judge anew from the next reading on."""
        self._window.clear()

    def take(self, weight_kg: float, time_s: float) -> bool:
        """Whether the platform is at rest with this reading."""
        window = self._window
        if window and not 0 <= time_s - window[-1][0] <= self.silence_s:
            window.clear()
        window.append((time_s, weight_kg))
        self._shorten(time_s)
        weights = [weight for _, weight in window]
        if max(weights) - min(weights) > self.within_kg + _SLACK_KG:
            self._begin_where_it_fits()
        lasted_s = time_s - window[0][0] + _SLACK_S
        return len(window) >= self.readings and lasted_s >= self.for_s

    def _shorten(self, time_s: float) -> None:
        """Let go of what the rule no longer asks for."""
        window = self._window
        while len(window) > self.readings and window[1][0] <= time_s - self.for_s - _SLACK_S:
            window.popleft()

    def _begin_where_it_fits(self) -> None:
        """Keep the longest run of last readings that lie within the bound."""
        low = high = self._window[-1][1]
        kept = 0
        for _, weight in reversed(self._window):
            low, high = min(low, weight), max(high, weight)
            if high - low > self.within_kg + _SLACK_KG:
                break
            kept += 1
        while len(self._window) > kept:
            self._window.popleft()


class Scale:
    """One platform, reading after reading."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        within_kg = platform.within_kg or platform.division_kg
        self._rest = RestRule(platform.readings, within_kg, platform.for_s, platform.silence_s)
        self._zero_kg = 0.0
        self._tare_kg = 0.0
        self._last: tuple[Load, float] | None = None

    def take(self, reading: IndicatorReading, time_s: float) -> Load:
        """The load with this reading."""
        gross_kg, why = _gross(reading)
        if gross_kg is not None:
            why = self._outside(gross_kg - self._zero_kg)
        if gross_kg is None or why is not None:
            self._rest.forget()
            load = self._load(None, False, why, reading.mode)
        else:
            stable = self._rest.take(gross_kg, time_s)
            if reading.stable is False:
                self._rest.forget()
                stable = False
            self._track(gross_kg, stable, time_s)
            load = self._load(gross_kg - self._zero_kg, stable, None, reading.mode)
        self._last = (load, time_s)
        return load

    def set_zero(self) -> bool:
        """Make the load zero; refused unless it is at rest and near enough to the first zero."""
        load_kg = self._resting_kg()
        if load_kg is None or not self._may_be_zero(self._zero_kg + load_kg):
            return False
        self._zero_kg += load_kg
        self._tare_kg = 0.0
        self._rest.forget()
        return True

    def set_tare(self) -> bool:
        """Take the load as tare; refused unless it is at rest and above zero."""
        load_kg = self._resting_kg()
        if load_kg is None or load_kg <= 0:
            return False
        self._tare_kg = load_kg
        return True

    def clear_tare(self) -> None:
        """Weigh gross again."""
        self._tare_kg = 0.0

    def _resting_kg(self) -> float | None:
        return self._last[0].load_kg if self._last and self._last[0].stable else None

    def _outside(self, load_kg: float) -> Range | None:
        platform = self._platform
        if load_kg > platform.max_kg + OVER_DIVISIONS * platform.division_kg:
            return "over"
        return "under" if load_kg < -UNDER_DIVISIONS * platform.division_kg else None

    def _may_be_zero(self, zero_kg: float) -> bool:
        return abs(zero_kg) <= ZERO_SHARE * self._platform.max_kg

    def _track(self, gross_kg: float, stable: bool, time_s: float) -> None:
        """Follow a zero that creeps: at rest, near zero, no faster than the rule."""
        if not (self._platform.tracks_zero and stable and self._last):
            return
        off_kg = gross_kg - self._zero_kg
        band_kg = TRACKING_DIVISIONS_PER_S * self._platform.division_kg
        if abs(off_kg) > band_kg or self._tare_kg:
            return
        most_kg = band_kg * min(time_s - self._last[1], 1.0)
        zero_kg = self._zero_kg + max(-most_kg, min(most_kg, off_kg))
        if self._may_be_zero(zero_kg):
            self._zero_kg = zero_kg

    def _load(self, load_kg: float | None, stable: bool, why: Range | None, mode: Mode) -> Load:
        net_kg = None if load_kg is None else load_kg - self._tare_kg
        return Load(load_kg, net_kg, stable, why, mode, self._zero_kg, self._tare_kg)


def _gross(reading: IndicatorReading) -> tuple[float | None, Range | None]:
    """The gross weight of a reading; an error where it shows something else.

    A net weight counts only with the tare beside it. A format that names no mode is taken to show
    gross: the instrument's tare key is to be locked (``docs/instruments.md``).
    """
    if reading.weight_kg is None:
        return None, reading.out_of_range or "error"
    if reading.mode in ("gross", "unknown"):
        return reading.weight_kg, None
    if reading.mode == "net" and reading.tare_kg is not None:
        return reading.weight_kg + reading.tare_kg, None
    return None, "error"


def class_iii_mpe_kg(load_kg: float, division_kg: float, *, in_service: bool = True) -> float:
    """Maximum permissible error of class III at a load, kg (R 76-1, 3.5.1 and 3.5.2).

    0.5 e up to 500 e, 1 e up to 2 000 e, 1.5 e above; twice that in service.
    """
    divisions = abs(load_kg) / division_kg
    steps = (error for limit, error in _CLASS_III_STEPS if divisions <= limit)
    return next(steps, _CLASS_III_MOST) * division_kg * (2 if in_service else 1)


def cross_check(first: Load, second: Load, tolerance_kg: float) -> Agreement:
    """Whether two platforms, or two indicators of one platform, tell the same load.

    Unknown while one of the two is moving or out of range.
    """
    if first.load_kg is None or second.load_kg is None or not (first.stable and second.stable):
        return "unknown"
    apart_kg = abs(first.load_kg - second.load_kg)
    return "agree" if apart_kg <= tolerance_kg + _SLACK_KG else "differ"
