"""What each indicator format lets through on a bad line: one bit in a thousand flipped."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.indicators.catalogue import FORMATS, Format
from firmware_bridge.indicators.framing import IndicatorDecoder
from simulator.bench.pages import put
from simulator.indicators import SPEAKERS, VARIANTS, Settings, Shown, Value, with_parity
from simulator.scales import Damage

FLIPPED = 1e-3
FRAMES, QUICK_FRAMES = 50_000, 1_000
SEED = 20_261

BEGIN = "<!-- begin: bad line, written by steelyard bench bridge -->"
END = "<!-- end: bad line -->"


@dataclass(frozen=True, slots=True)
class LetThrough:
    """What became of frames on a bad line."""

    format: str
    settings: Settings
    protection: str
    frames: int
    right: int
    wrong: int
    """Readings whose weight, tare, mode, rest or range is not what was sent."""

    @property
    def wrong_ppm(self) -> float:
        """Wrong readings in a million frames."""
        return 1e6 * self.wrong / self.frames

    @property
    def lost_pct(self) -> float:
        """Frames that brought no reading."""
        return 100 * (self.frames - self.right - self.wrong) / self.frames


def measure(frames: int, seed: int) -> list[LetThrough]:
    """Every shape of frame of the catalogue, ``frames`` each."""
    return [_measure(name, settings, frames, seed) for name, settings in VARIANTS]


def _measure(name: str, settings: Settings, frames: int, seed: int) -> LetThrough:
    row = FORMATS[name]
    damage = Damage(flipped_bits=FLIPPED, chance=random.Random(f"{seed} {name} {settings}"))
    decoder, clean = _decoder(row, settings), _decoder(row, settings)
    right = wrong = 0
    for frame in _frames(row, settings, frames, seed):
        truth = clean.feed(frame)
        for reading in decoder.feed(damage.spoil(frame)):
            # A changed letter that means the same, as of the unit's, is no wrong reading.
            same = truth and _said(reading) == _said(truth[0])
            right, wrong = right + bool(same), wrong + (not same)
    return LetThrough(name, settings, row.protection, frames, right, wrong)


def _said(reading: object) -> tuple[object, ...]:
    names = ("weight_kg", "tare_kg", "mode", "stable", "centre_of_zero", "out_of_range")
    return tuple(getattr(reading, name) for name in names)


def _decoder(row: Format, settings: Settings) -> IndicatorDecoder:
    return row.make(settings, row.data_bits, row.parity)


def _frames(row: Format, settings: Mapping[str, object], count: int, seed: int) -> Iterator[bytes]:
    """Frames of loads all over the range, some moving, some with a tare."""
    chance = random.Random(seed)
    for _ in range(count):
        shown = Shown(
            chance.uniform(-500, 60_000),
            moving=chance.random() < 0.3,
            tare_kg=chance.choice((0.0, 0.0, 15_000.0)),
        )
        yield with_parity(SPEAKERS[row.name](shown, settings), row.parity)  # type: ignore[arg-type]


def run(*, quick: bool) -> dict[str, float]:
    """Figures of every shape of frame, and the worst of those with and without protection."""
    results = measure(QUICK_FRAMES if quick else FRAMES, SEED)
    figures: dict[str, float] = {"bridge.indicators.frames": results[0].frames}
    for kept_out in (True, False):
        worst = max(r.wrong_ppm for r in results if (r.protection != "none") == kept_out)
        name = "protected" if kept_out else "unprotected"
        figures[f"bridge.indicators.{name}_wrong_ppm_max"] = worst
    figures["bridge.indicators.lost_pct_max"] = max(r.lost_pct for r in results)
    return figures | {_key(r.format, r.settings): r.wrong_ppm for r in results}


def write_table(figures: Mapping[str, float | str], page: Path) -> None:
    """Put the figures into the page's section on bad lines."""
    put(page, BEGIN, END, _table(figures))


def _table(figures: Mapping[str, float | str]) -> str:
    lines = ["| format | settings | protection | wrong in a million |", "|---|---|---|---:|"]
    for name, settings in VARIANTS:
        said = ", ".join(f"{k} = {_toml(v)}" for k, v in settings.items())
        wrong_ppm = float(figures[_key(name, settings)])
        lines.append(f"| {name} | {said} | {FORMATS[name].protection} | {wrong_ppm:,.0f} |")
    return "\n".join(lines)


def _key(name: str, settings: Settings) -> str:
    return ",".join(
        [f"bridge.indicators.wrong_ppm.{name}", *(f"{k}={_toml(v)}" for k, v in settings.items())]
    )


def _toml(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
