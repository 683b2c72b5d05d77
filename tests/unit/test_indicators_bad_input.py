"""One battery of bad input for every shape of frame in the catalogue.

Frames come from the simulator's own tables. A reading counts as wrong when it is none of those that
were sent; how many a bad line brings, by format, is a measurement (``docs/instruments.md``).
"""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from firmware_bridge.indicators.catalogue import CATALOGUE, FORMATS
from firmware_bridge.indicators.framing import IndicatorDecoder
from firmware_bridge.indicators.reading import IndicatorReading
from simulator.bench.bridge_indicators import measure
from simulator.indicators import SPEAKERS, VARIANTS, Settings, Shown, with_parity

LONGEST = 64
"""No format's frame is longer; nor is what a decoder holds."""

NO_END_MARK = "equals"
"""Its frame ends by count alone, so a number drawn out is read by its first characters."""

each_shape = pytest.mark.parametrize(
    ("name", "settings"), VARIANTS, ids=lambda v: v if isinstance(v, str) else str(dict(v))
)


def decoder_of(name: str, settings: Settings) -> IndicatorDecoder:
    row = FORMATS[name]
    return row.make(settings, row.data_bits, row.parity)


def loads(count: int = 40) -> list[Shown]:
    """Different loads, every third one moving, one over and one under the range."""
    shown = [
        Shown(1_230.5 * at - 200, moving=at % 3 == 0, tare_kg=at % 2 * 500.0) for at in range(count)
    ]
    shown[5:7] = Shown(70_000, over=True), Shown(-900, under=True)
    return shown


def frames_of(name: str, settings: Settings) -> list[bytes]:
    parity = FORMATS[name].parity
    return [with_parity(SPEAKERS[name](shown, settings), parity) for shown in loads()]


def cut(wire: bytes, chance: random.Random) -> list[bytes]:
    marks = sorted({0, len(wire), *(chance.randrange(len(wire) + 1) for _ in range(40))})
    return [wire[a:b] for a, b in pairwise(marks)]


def test_every_format_is_in_the_battery() -> None:
    assert {name for name, _ in VARIANTS} == {row.name for row in CATALOGUE} == set(SPEAKERS)


@each_shape
def test_every_frame_is_one_reading_however_it_is_cut(name: str, settings: Settings) -> None:
    frames = frames_of(name, settings)
    whole, bytewise, pieces = (decoder_of(name, settings) for _ in range(3))
    readings = whole.feed(b"".join(frames))
    assert len(readings) == len(frames)
    assert +whole.counters == {"frames": len(frames)}
    wire = b"".join(frames)
    assert [r for byte in wire for r in bytewise.feed(bytes([byte]))] == readings
    for seed in range(5):
        pieces = decoder_of(name, settings)
        found = [r for piece in cut(wire, random.Random(seed)) for r in pieces.feed(piece)]
        assert found == readings
        assert pieces.counters == whole.counters == bytewise.counters


@each_shape
def test_a_reading_says_what_the_display_shows(name: str, settings: Settings) -> None:
    readings = decoder_of(name, settings).feed(b"".join(frames_of(name, settings)))
    for shown, reading in zip(loads(), readings, strict=True):
        if reading.out_of_range is not None:
            assert reading.out_of_range == shown.state
            continue
        assert reading.weight_kg == shown.rounded_kg
        assert reading.tare_kg in (None, shown.tare_kg)
        assert reading.stable in (None, not shown.moving)
        taken = "net" if shown.tare_kg else "gross"
        assert reading.mode in ("unknown", settings.get("ask", taken))
        assert reading.division_kg in (None, shown.division_kg)


@each_shape
def test_a_reading_comes_with_the_last_byte_of_its_frame(name: str, settings: Settings) -> None:
    """None waits for the next frame, which may be a minute away."""
    decoder = decoder_of(name, settings)
    for frame in frames_of(name, settings):
        assert decoder.feed(frame[:-1]) == []
        assert len(decoder.feed(frame[-1:])) == 1


@each_shape
@pytest.mark.parametrize("seed", range(3))
def test_noise_costs_at_most_the_frame_behind_it(name: str, settings: Settings, seed: int) -> None:
    chance, frames = random.Random(seed), frames_of(name, settings)
    sent = decoder_of(name, settings).feed(b"".join(frames))
    noise = [
        chance.randbytes(chance.randint(0, 30)) if at % 2 else b"" for at in range(len(frames))
    ]
    decoder = decoder_of(name, settings)
    readings = decoder.feed(
        b"".join(n + f for n, f in zip(noise, frames, strict=True)) + b"\xa5" * 9
    )
    assert [r for r in sent if r in readings] == readings
    assert len(readings) >= len(frames) - sum(map(bool, noise))


@each_shape
def test_a_frame_cut_short_or_drawn_out_is_no_reading(name: str, settings: Settings) -> None:
    frames = frames_of(name, settings)
    sent = decoder_of(name, settings).feed(b"".join(frames))
    decoder = decoder_of(name, settings)
    for frame in frames:
        middle = len(frame) // 2
        longer = b"" if name == NO_END_MARK else frame[:middle] + b"0" * LONGEST + frame[middle:]
        for wrong in (frame[:middle], longer):
            assert all(reading in sent for reading in decoder.feed(wrong + b"\x00" * LONGEST))
    assert decoder.counters["frames"] <= len(frames) // 10


@each_shape
def test_anything_at_all_is_taken_in_bounded_memory(name: str, settings: Settings) -> None:
    chance = random.Random(4)
    start = frames_of(name, settings)[0][:3]
    for data in (chance.randbytes(60_000), start * 20_000, b"0" * 60_000, b"\r\n" * 30_000):
        decoder = decoder_of(name, settings)
        for at in range(0, len(data), 997):
            decoder.feed(data[at : at + 997])
            assert decoder.held_bytes <= LONGEST
        bytes_of = sum(decoder.counters[counter] for counter in ("noise_bytes", "frames"))
        assert bytes_of or data[:2] == b"\r\n"


def test_what_flipped_bits_bring() -> None:
    """At one bit in a thousand: a checksum and parity keep nearly all out, other formats do not."""
    for result in measure(300, seed=11):
        assert result.wrong <= (18 if result.protection == "none" else 1), result
        assert result.lost_pct < 20, result


def test_a_reading_is_never_a_number_and_out_of_range_at_once() -> None:
    for name, settings in VARIANTS:
        for reading in decoder_of(name, settings).feed(b"".join(frames_of(name, settings))):
            assert isinstance(reading, IndicatorReading)
            assert (reading.weight_kg is None) == (reading.out_of_range is not None)
