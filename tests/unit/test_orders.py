"""Zero and tare of indicators: bytes of the makers' manuals, answers told apart."""

from __future__ import annotations

import pytest

from firmware_bridge.indicators.catalogue import CATALOGUE, FORMATS
from firmware_bridge.indicators.reading import IndicatorReading
from simulator.indicators import SPEAKERS, Settings, Shown


def told(name: str, order: str, said: bytes, readings: list[IndicatorReading]) -> str:
    """What becomes of an order when the line brings these bytes, one by one, then readings."""
    sent = FORMATS[name].order(order, 20.0)
    for byte in said:
        sent.hear(bytes([byte]), [])
    sent.hear(b"", readings)
    return sent.state


def weight(kg: float | None, mode: str = "unknown", *, stable: bool = True) -> IndicatorReading:
    return IndicatorReading(kg, b"", "kg", mode, stable=stable)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "order", "wire"),
    [
        ("sics", "zero", "5A 0D 0A"),
        ("sics", "clear_tare", "54 41 43 0D 0A"),
        ("toledo", "zero", "5A 0D 0A"),
        ("toledo", "tare", "54 0D 0A"),
        ("toledo-plain", "clear_tare", "43 0D 0A"),
    ],
)
def test_an_order_is_what_the_manual_says(name: str, order: str, wire: str) -> None:
    row = FORMATS[name]
    assert row.order(order, 20.0).request == bytes.fromhex(wire)
    seven = row.order(order, 20.0, 7, "even").request
    assert bytes(byte & 0x7F for byte in seven) == bytes.fromhex(wire)
    assert not any(byte.bit_count() % 2 for byte in seven)


@pytest.mark.parametrize(
    ("order", "said", "state"),
    [
        ("zero", b"S S    1.0 kg\r\nZ A\r\n", "taken"),
        ("zero", b"Z I\r\n", "refused"),
        ("zero", b"Z +\r\n", "refused"),
        ("zero", b"Z -\r\n", "refused"),
        ("zero", b"ES\r\n", "refused"),
        ("zero", b"TAC A\r\n", "sent"),
        ("zero", b"xZ A\r\n", "sent"),
        ("clear_tare", b"TAC A\r\n", "done"),
        ("clear_tare", b"TAC I\r\n", "refused"),
        ("clear_tare", b"S I\r\n", "sent"),
    ],
)
def test_answers_of_mt_sics_are_told_apart(order: str, said: bytes, state: str) -> None:
    assert told("sics", order, said, []) == state


@pytest.mark.parametrize(
    ("order", "reading", "done"),
    [
        ("zero", weight(0.0, "gross"), True),
        ("zero", weight(20.0, "gross"), False),
        ("zero", weight(0.0, "gross", stable=False), False),
        ("zero", weight(None, "gross"), False),
        ("zero", weight(0.0, "net"), False),
        ("tare", weight(0.0, "net"), True),
        ("tare", weight(0.0, "gross"), False),
        ("clear_tare", weight(500.0, "gross"), True),
        ("clear_tare", weight(0.0, "net"), False),
    ],
)
def test_an_order_is_done_when_it_is_shown(
    order: str, reading: IndicatorReading, done: bool
) -> None:
    assert told("toledo", order, b"", [reading]) == ("done" if done else "taken")


def test_an_accepted_zero_is_done_when_the_weight_is_there() -> None:
    assert told("sics", "zero", b"Z A\r\n", [weight(20.0)]) == "taken"
    assert told("sics", "zero", b"Z A\r\n", [weight(0.0)]) == "done"


def test_a_seven_bit_answer_is_read_with_its_parity() -> None:
    order = FORMATS["sics"].order("clear_tare", 20.0, 7, "even")
    order.hear(bytes(b | (b.bit_count() % 2) << 7 for b in b"TAC I\r\n"), [])
    assert order.state == "refused"


def test_no_tare_is_set_where_the_gross_weight_would_be_lost() -> None:
    """Every format that takes a tare goes on telling the load that stands there."""
    shown, tared = Shown(49_180, tare_kg=500), 0
    for row in CATALOGUE:
        choices: tuple[Settings, ...] = ({}, {"short": True}) if "short" in row.settings else ({},)
        for settings in choices:
            if "tare" in row.orders_with(settings):
                tared += 1
                reading = row.make(settings).feed(SPEAKERS[row.name](shown, settings))[0]
                assert (reading.mode, reading.tare_kg) == ("net", 500)
    assert tared == 2
