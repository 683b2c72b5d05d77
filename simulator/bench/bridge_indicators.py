"""What each indicator format lets through on a bad line: one bit in a thousand flipped."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from firmware_bridge.indicators.catalogue import FORMATS, Format
from firmware_bridge.indicators.framing import IndicatorDecoder
from simulator.indicators import SPEAKERS, VARIANTS, Damage, Settings, Shown, Value, with_parity

FLIPPED = 1e-3


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
    def wrong_per_million(self) -> float:
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


def table(results: list[LetThrough]) -> str:
    """The results as they stand in ``docs/instruments.md``."""
    lines = [
        "| format | settings | protection | frames lost | wrong readings in a million frames |",
        "|---|---|---|---|---|",
    ]
    for each in results:
        settings = ", ".join(_toml(name, value) for name, value in each.settings.items())
        lines.append(
            f"| {each.format} | {settings} | {each.protection} | {each.lost_pct:.1f} % "
            f"| {each.wrong_per_million:,.0f} |"
        )
    return "\n".join(lines)


def _toml(name: str, value: Value) -> str:
    return f"{name} = {str(value).lower() if isinstance(value, bool) else value}"
