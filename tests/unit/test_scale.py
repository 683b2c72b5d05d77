"""From readings to loads: rest, zero, tare, range, second opinion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.indicators.reading import IndicatorReading, outside
from firmware_bridge.scale import Load, Platform, RestRule, Scale, class_iii_mpe_kg, cross_check

PLATFORM = Platform(max_kg=60_000, division_kg=20, readings=5, for_s=1.0)


def shown(weight_kg: float, **rest: object) -> IndicatorReading:
    return replace(IndicatorReading(weight_kg, b"", "kg"), **rest)  # type: ignore[arg-type]


def feed(scale: Scale, weights: Iterable[float], start_s: float = 0.0) -> list[Load]:
    """Readings at 10 a second."""
    return [scale.take(shown(kg), start_s + at / 10) for at, kg in enumerate(weights)]


def test_rest_takes_so_many_readings_over_so_long() -> None:
    loads = feed(Scale(PLATFORM), [40_000] * 15)
    assert [load.stable for load in loads] == [False] * 10 + [True] * 5
    few = Scale(replace(PLATFORM, readings=20))
    assert [load.stable for load in feed(few, [40_000] * 25)].index(True) == 19


def test_one_reading_outside_begins_anew() -> None:
    loads = feed(Scale(PLATFORM), [40_000] * 12 + [40_021] + [40_000] * 12)
    assert [at for at, load in enumerate(loads) if load.stable] == [10, 11, 23, 24]
    assert all(load.stable for load in feed(Scale(PLATFORM), [40_000, 40_020] * 10)[10:])


def test_a_creeping_load_is_not_at_rest() -> None:
    assert not any(load.stable for load in feed(Scale(PLATFORM), range(40_000, 41_000, 3)))


def test_a_pause_or_a_word_of_the_indicator_begins_anew() -> None:
    scale = Scale(PLATFORM)
    assert feed(scale, [40_000] * 15)[-1].stable
    assert not scale.take(shown(40_000), 5.0).stable
    assert not feed(scale, [40_000] * 3, 5.1)[-1].stable
    assert feed(scale, [40_000] * 15, 5.4)[-1].stable
    assert not scale.take(shown(40_000, stable=False), 6.9).stable
    assert not feed(scale, [40_000] * 5, 7.0)[-1].stable


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0625, 0.125, 0.5, 3.0])), max_size=60),
    st.integers(2, 5),
    st.sampled_from([0.25, 0.5, 1.0]),
)
def test_rest_is_what_its_definition_says(
    steps: list[tuple[int, float]], readings: int, for_s: float
) -> None:
    """Against the definition itself, looked up over all that was read."""
    rule = RestRule(readings, 2.0, for_s, silence_s=2.0)
    seen: list[tuple[float, float]] = []
    time_s = 0.0
    for weight, pause_s in steps:
        time_s += pause_s
        seen = [*seen, (time_s, weight)] if pause_s <= 2.0 else [(time_s, weight)]
        assert rule.take(weight, time_s) == _rests(seen, readings, for_s)


def _rests(seen: list[tuple[float, float]], readings: int, for_s: float) -> bool:
    """Some run of last readings is long enough, in number and time, and narrow enough."""
    for begin in range(len(seen)):
        run = seen[begin:]
        weights = [kg for _, kg in run]
        long_enough = len(run) >= readings and run[-1][0] - run[0][0] >= for_s
        if long_enough and max(weights) - min(weights) <= 2.0:
            return True
    return False


def test_range_ends_at_nine_divisions_above_and_twenty_below() -> None:
    scale = Scale(PLATFORM)
    ranges = [scale.take(shown(kg), 0.0) for kg in (60_180, 60_181, -400, -401)]
    assert [load.out_of_range for load in ranges] == [None, "over", None, "under"]
    assert [load.load_kg for load in ranges] == [60_180, None, -400, None]
    assert scale.take(outside(b"", "kg", "over"), 0.0).out_of_range == "over"


def test_a_net_weight_counts_with_its_tare_only() -> None:
    scale = Scale(PLATFORM)
    assert scale.take(shown(30_000, mode="net", tare_kg=15_000.0), 0).load_kg == 45_000
    assert scale.take(shown(30_000, mode="net"), 0).out_of_range == "error"
    assert scale.take(shown(15_000, mode="tare"), 0).out_of_range == "error"


def test_zero_is_set_at_rest_and_within_four_percent_altogether() -> None:
    scale = Scale(PLATFORM)
    scale.take(shown(1_000), 0)
    assert not scale.set_zero()
    feed(scale, [1_500] * 12)
    assert scale.set_zero()
    assert feed(scale, [1_500, 31_500], 2)[-1].load_kg == 30_000
    feed(scale, [2_401] * 12, 5)
    assert not scale.set_zero()
    feed(scale, [2_400] * 12, 8)
    assert scale.set_zero()


def test_zero_is_tracked_slowly_and_only_near_zero() -> None:
    scale = Scale(replace(PLATFORM, tracks_zero=True))
    crept = feed(scale, [at * 0.2 for at in range(400)])
    assert abs(crept[-1].load_kg or 0) < 1
    assert crept[-1].zero_kg == pytest.approx(79.8, abs=1)
    assert feed(scale, [30_080] * 30, 41)[-1].load_kg == pytest.approx(30_000, abs=1)
    assert all(abs(b.zero_kg - a.zero_kg) <= 1.0 + 1e-9 for a, b in pairwise(crept))
    plain = feed(Scale(PLATFORM), [at * 0.2 for at in range(400)])
    assert plain[-1].zero_kg == 0.0


def test_tare_is_taken_at_rest_and_above_zero() -> None:
    scale = Scale(PLATFORM)
    feed(scale, [0.0] * 12)
    assert not scale.set_tare()
    feed(scale, [15_000] * 12, 2)
    assert scale.set_tare()
    load = feed(scale, [49_000], 4)[-1]
    assert (load.load_kg, load.net_kg, load.tare_kg) == (49_000, 34_000, 15_000)
    scale.clear_tare()
    assert feed(scale, [49_000], 5)[-1].net_kg == 49_000


@pytest.mark.parametrize(
    ("load_kg", "mpe_kg"), [(0, 10), (10_000, 10), (10_001, 20), (40_000, 20), (40_001, 30)]
)
def test_permissible_errors_of_class_three(load_kg: float, mpe_kg: float) -> None:
    """R 76-1, table 6: 0.5 e to 500 e, 1 e to 2 000 e, 1.5 e above; doubled in service."""
    assert class_iii_mpe_kg(load_kg, 20, in_service=False) == mpe_kg
    assert class_iii_mpe_kg(-load_kg, 20) == 2 * mpe_kg


def test_two_platforms_are_compared_at_rest_only() -> None:
    first, moving = feed(Scale(PLATFORM), [40_000] * 12)[-1], feed(Scale(PLATFORM), [40_000])[-1]
    second = feed(Scale(PLATFORM), [40_080] * 12)[-1]
    assert cross_check(first, second, 80) == "agree"
    assert cross_check(first, second, 79) == "differ"
    assert cross_check(first, moving, 80) == "unknown"
    assert cross_check(first, Scale(PLATFORM).take(shown(70_000), 0), 80) == "unknown"
