"""A weight out of registers is the weight that was put in, whatever sign, point and unit."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.modbus_toml import load_map

MAP = load_map("laumas-tlb")
STEPS = (
    *("100", "50", "20", "10", "5", "2", "1", ".5", ".2", ".1"),
    *(".05", ".02", ".01", ".005", ".002", ".001", ".0005", ".0002", ".0001"),
)
KILOGRAMS = {0: Fraction(1), 1: Fraction(1, 1000), 2: Fraction(1000), 3: Fraction("0.45359237")}
words = st.integers(0, 0xFFFF)


def shown(digits: int, negative: bool, step: int, unit: int) -> float:
    places = len(STEPS[step].partition(".")[2])
    return float((-1 if negative else 1) * Fraction(digits, 10**places) * KILOGRAMS[unit])


@settings(max_examples=60, deadline=None)
@given(
    gross=st.integers(0, 999_999),
    net=st.integers(0, 999_999),
    status=words.map(lambda w: w & ~0x3F),
    step=st.integers(0, 18),
    unit=st.integers(0, 3),
)
def test_laumas(gross: int, net: int, status: int, step: int, unit: int) -> None:
    assert MAP.weight is not None
    reading = MAP.weight.reading(
        {
            "status": [status],
            "gross": [gross >> 16, gross & 0xFFFF],
            "net": [net >> 16, net & 0xFFFF],
            "format": [unit << 8 | step],
        }
    )
    gross_kg = shown(gross, bool(status >> 7 & 1), step, unit)
    net_kg = shown(net, bool(status >> 8 & 1), step, unit)
    assert reading.weight_kg == gross_kg
    assert reading.tare_kg is not None
    assert abs(reading.tare_kg - (gross_kg - net_kg)) <= 1e-9 * max(1.0, abs(gross_kg))
    assert reading.stable is bool(status >> 11 & 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(words, min_size=10, max_size=10))
def test_any_words_give_a_weight_or_a_reason(raw: list[int]) -> None:
    assert MAP.weight is not None
    names = {"status": raw[:1], "gross": raw[1:3], "net": raw[3:5], "format": raw[5:6]}
    reading = MAP.weight.reading(names)
    assert (reading.weight_kg is None) == (reading.out_of_range is not None)
