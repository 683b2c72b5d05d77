"""Indicator formats: vectors of the makers' manuals, and the traps in them."""

from __future__ import annotations

import re
from functools import reduce
from operator import xor

import pytest

from firmware_bridge.indicators.catalogue import CATALOGUE, FORMATS, BadFormat, format_named
from firmware_bridge.indicators.equals import looks_mirrored
from firmware_bridge.indicators.reading import IndicatorReading, kilograms


def read_one(name: str, frame: bytes, **settings: str | int | float | bool) -> IndicatorReading:
    (reading,) = FORMATS[name].make(settings).feed(frame)
    return reading


def weights(name: str, frame: bytes, **settings: str | int | float | bool) -> list[float | None]:
    return [r.weight_kg for r in FORMATS[name].make(settings).feed(frame)]


def refused(name: str, frame: bytes, **settings: str | int | float | bool) -> dict[str, int]:
    """Why, which may not depend on how the bytes were cut."""
    whole, cut = FORMATS[name].make(settings), FORMATS[name].make(settings)
    assert whole.feed(frame) == []
    for byte in frame:
        assert cut.feed(bytes([byte])) == []
    assert cut.counters == whole.counters
    return dict(+whole.counters)


def toledo_frame(
    weight: bytes = b"  1234",
    tare: bytes = b"000000",
    a: int = 0b0101010,
    b: int = 0b0110000,
    c: int = 0b0100000,
) -> bytes:
    """A frame built by the table of the manuals: kg, x1, increment 1, at rest, gross."""
    body = b"\x02" + bytes([a, b, c]) + weight + tare + b"\r"
    return body + bytes([-sum(body) % 128])


def guarded(body: bytes) -> bytes:
    """STX, body, XOR in two digits, ETX, as Yaohua sends it."""
    return b"\x02" + body + b"%02X\x03" % reduce(xor, body)


@pytest.mark.parametrize(
    ("name", "settings", "frame", "weight_kg"),
    [
        # Manuals of XK3190-A9+ and A23P: +20.00, XOR 1B.
        ("yaohua", {}, bytes.fromhex("02 2B 30 30 32 30 30 30 32 31 42 03"), 20.0),
        ("yaohua", {"unit": "t"}, guarded(b"+0491803"), 49_180.0),
        ("yaohua", {}, guarded(b"-0001200"), -120.0),
        ("yaohua", {}, guarded(b"-0000002"), 0.0),
        ("yaohua-command", {}, guarded(b"AB+0200000"), 20_000.0),
        ("yaohua-command", {"ask": "net", "address": "C"}, guarded(b"CD-0012341"), -123.4),
        # Both mirrored forms, from the manual of XK3190-A26.
        ("equals", {"mirrored": True}, b"=000.3000", 3.0),
        ("equals", {"mirrored": True}, b"=00.1000-", -1.0),
        ("equals", {"mirrored": False}, b"=0003.000", 3.0),
        ("equals", {"mirrored": False}, b"=-0001.00", -1.0),
        ("equals", {"mirrored": True, "characters": 8}, b"=00.5120", 215.0),
        # Manual of XK3190-A12: WG004.139kg is followed by 3D.
        ("a12", {}, b"WG004.139kg3D\r\n", 4.139),
        ("a12", {}, b"WN-01520 kg%02X\r\n" % reduce(xor, b"WN-01520 kg"), -1520.0),
        ("a12-dialect", {}, b"ww000.000kg", 0.0),
        ("a12-dialect", {}, b"wn-0000.1kg", -0.1),
        ("sics", {}, b"S S     100.00 g\r\n", 0.1),
        ("sics", {}, b"S D    -12.5 kg\r\n", -12.5),
        ("sics", {}, b"S S -    12.5 kg\r\n", -12.5),
        ("sics", {}, b"SI S     12.50 kg\r\n", 12.5),
        ("rinstrum", {}, b"\x02   123.4G\x03", 123.4),
        ("rinstrum", {"form": 2}, b"\x02-  123.4N  - kg\x03", -123.4),
        ("rinstrum", {"form": 3, "unit": "t"}, b"\x02   12.34GSI \x03", 12_340.0),
        ("rinstrum", {"form": 3}, b"\x02-  12.34NSIZ  \x03", -12.34),
        ("rinstrum", {"form": 5}, b"-  12.34TG \r\n", -12_340.0),
        # Manual of General Measure M02.
        ("st-gs", {}, bytes.fromhex("53542C47532C2B3031312E3132306B670D0A"), 11.12),
        ("st-gs", {}, b"ST,GS,+0011.120kg\r\n", 11.12),
        ("st-gs", {}, b"US,NT,-  12.34, t\r\n", -12_340.0),
        # Manual of R320, FMT_4: a blank for plus, GR for gross.
        ("st-gs", {}, b"ST,GR,   123.4kg\r\n", 123.4),
        ("aed", {"kg_per_digit": 0.5}, b" 0012345\r\n", 6172.5),
        ("aed", {"kg_per_digit": 2.0}, b"-  12345\r\n", -24_690.0),
        ("aed", {"kg_per_digit": 1.0, "form": 9}, b"+0012345,01,012\r\n", 12_345.0),
        ("toledo", {}, toledo_frame(), 1234.0),
        ("toledo-plain", {"short": True}, b"\x02*0   1234\r", 1234.0),
    ],
)
def test_vectors(name: str, settings: dict[str, str], frame: bytes, weight_kg: float) -> None:
    assert weights(name, frame, **settings) == [weight_kg]


def test_toledo_says_all_that_its_words_hold() -> None:
    moving = toledo_frame(b" 49180", b"015000", a=0b0111001, b=0b0111011)
    assert read_one("toledo", moving) == IndicatorReading(
        weight_kg=-491_800.0,
        raw=moving,
        unit="kg",
        mode="net",
        stable=False,
        tare_kg=150_000.0,
        division_kg=50.0,
    )


@pytest.mark.parametrize(
    ("words", "weight_kg"),
    [
        ({"a": 0b0101000}, 123_400.0),
        ({"a": 0b0101111}, 0.01234),
        ({"b": 0b0100000}, 1234 * 0.45359237),
        ({"c": 0b0100001}, 1.234),
        ({"c": 0b0100010}, 1_234_000.0),
        ({"a": 0b1001010}, 1234.0),  # copies change the constants
    ],
)
def test_toledo_point_and_unit(words: dict[str, int], weight_kg: float) -> None:
    assert read_one("toledo", toledo_frame(**words)).weight_kg == pytest.approx(
        weight_kg, rel=1e-15
    )


@pytest.mark.parametrize("words", [{"c": 0b0100011}, {"c": 0b0110000}])
def test_toledo_is_no_weight_where_makers_differ(words: dict[str, int]) -> None:
    """Vendor units and digits expanded tenfold."""
    assert refused("toledo", toledo_frame(**words))["malformed"] == 1


def test_toledo_blanks_stand_for_leading_zeros_only() -> None:
    """A weight whose last places are blank may be a tenth of what stands on the platform."""
    for weight in (b"1234  ", b"12 345", b"      "):
        assert refused("toledo", toledo_frame(weight))["malformed"] == 1
    assert refused("toledo", toledo_frame(tare=b"120   "))["malformed"] == 1
    reading = read_one("toledo", toledo_frame(tare=b"      "))
    assert (reading.weight_kg, reading.tare_kg) == (1234.0, None)


def test_toledo_with_parity_loses_a_frame_of_wrong_parity() -> None:
    def even(data: bytes) -> bytes:
        return bytes(byte | (byte.bit_count() % 2) << 7 for byte in data)

    wire = even(toledo_frame())
    decoder = FORMATS["toledo-plain"].make({}, 7, "even")
    for bit in range(17 * 8):
        damaged = bytearray(wire[:17])
        damaged[bit // 8] ^= 1 << bit % 8
        assert decoder.feed(bytes(damaged)) == []
    assert [r.weight_kg for r in decoder.feed(wire)] == [1234.0]
    # A port that was opened without parity still hears the checksummed form.
    assert [r.weight_kg for r in FORMATS["toledo"].make({}).feed(wire)] == [1234.0]


@pytest.mark.parametrize(
    ("name", "settings", "frame", "why"),
    [
        ("a12", {}, b"         OL23\r\n", "over"),
        ("a12", {}, b"         LO23\r\n", "under"),
        ("toledo", {}, toledo_frame(b=0b0110100), "over"),
        ("toledo", {}, toledo_frame(b=0b0110110), "under"),
        ("toledo", {}, toledo_frame(b=0b1110000), "error"),
        ("sics", {}, b"S +\r\n", "over"),
        ("sics", {}, b"S -\r\n", "under"),
        ("rinstrum", {}, b"\x02 ------ O\x03", "over"),
        ("rinstrum", {}, b"\x02-  123.4U\x03", "under"),
        ("rinstrum", {"form": 2}, b"\x02   123.4E  -   \x03", "error"),
        ("rinstrum", {"form": 3}, b"\x02   123.4GSO \x03", "over"),
        ("rinstrum", {"form": 5}, b"   123.4KGO\r\n", "over"),
        ("rinstrum", {"form": 5}, b"-  123.4KGO\r\n", "under"),
        ("rinstrum", {"form": 5}, b"   123.4KGI\r\n", "error"),
        ("st-gs", {}, b"OL,GS,+-------kg\r\n", "over"),
        ("st-gs", {}, b"OL,GS,-0011.120kg\r\n", "under"),
        ("aed", {"kg_per_digit": 1.0, "form": 9}, b"+0012345,01,002\r\n", "over"),
        ("aed", {"kg_per_digit": 1.0, "form": 9}, b"-0012345,01,002\r\n", "under"),
        ("aed", {"kg_per_digit": 1.0, "form": 9}, b"+0012345,01,128\r\n", "error"),
    ],
)
def test_out_of_range_is_never_a_weight(
    name: str, settings: dict[str, str], frame: bytes, why: str
) -> None:
    reading = read_one(name, frame, **settings)
    assert (reading.weight_kg, reading.out_of_range, reading.stable) == (None, why, False)


@pytest.mark.parametrize(
    ("name", "settings", "frame", "counter"),
    [
        ("yaohua", {}, guarded(b"+0020002").replace(b"1B", b"1A"), "damaged"),
        ("a12", {}, b"         OL24\r\n", "damaged"),
        ("a12", {}, b"WG00.4.13kg%02X\r\n" % reduce(xor, b"WG00.4.13kg"), "malformed"),
        ("yaohua-command", {}, guarded(b"BB+0200000"), "foreign"),
        ("yaohua-command", {}, guarded(b"AC+0200000"), "foreign"),
        ("aed", {"kg_per_digit": 1.0, "form": 9}, b"+0012345,02,012\r\n", "foreign"),
        ("sics", {}, b"S I\r\n", "declined"),
        ("sics", {}, b"ES\r\n", "declined"),
        ("aed", {"kg_per_digit": 1.0}, b"?\r\n", "declined"),
        ("aed", {"kg_per_digit": 1.0, "form": 9}, b"- 0001800,01,014\r\n", "malformed"),
        ("sics", {}, b"S S     100.00 pcs\r\n", "malformed"),
        ("rinstrum", {"form": 2}, b"\x02   12.34G  -  t\x03", "malformed"),
        ("equals", {"mirrored": True}, b"=00.10.00", "malformed"),
        ("equals", {"mirrored": True}, b"=-0001.00", "malformed"),
    ],
)
def test_refusals_are_counted_by_their_reason(
    name: str, settings: dict[str, str], frame: bytes, counter: str
) -> None:
    assert refused(name, frame, **settings)[counter] >= 1


def test_what_the_formats_say_of_rest_and_zero() -> None:
    assert read_one("yaohua", guarded(b"+0020002")).stable is None
    assert read_one("sics", b"S D     100.00 g\r\n").stable is False
    zero = read_one("st-gs", b"ZR,GS,+ 00.000kg\r\n")
    assert (zero.stable, zero.centre_of_zero) == (True, True)
    moving = read_one("rinstrum", b"\x02   123.4GMZ-   \x03", form=2)
    assert (moving.stable, moving.centre_of_zero, moving.unit) == (False, True, "kg")
    assert read_one("rinstrum", b"\x02   123.4M\x03").stable is False


def test_questions() -> None:
    ask = {name: row.request for name, row in FORMATS.items()}
    assert ask["yaohua-command"]({}) == bytes.fromhex("02 41 42 30 33 03")
    assert ask["yaohua-command"]({"ask": "tare"}) == bytes.fromhex("02 41 43 30 32 03")
    assert ask["yaohua-command"]({"ask": "net"}) == bytes.fromhex("02 41 44 30 35 03")
    assert ask["sics"]({}) == b"SI\r\n"
    assert ask["aed"]({"kg_per_digit": 1, "address": 7}) == b"S07;MSV?;"
    assert ask["yaohua"]({}) == b""


def test_the_mirrored_form_is_told_by_a_load_that_moves() -> None:
    shown = [f"{kg:08.2f}".encode() for kg in (20.0, 20.37, 21.14, 24.58, 29.91, 33.06, 34.7)]
    assert looks_mirrored([b"=" + text for text in shown]) is False
    assert looks_mirrored([b"=" + text[::-1] for text in shown]) is True
    assert looks_mirrored([b"=00.1000-"]) is True
    assert looks_mirrored([b"=-0001.00"]) is False
    assert looks_mirrored([b"=0000.000"] * 50) is None


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("equals", {}),
        ("equals", {"mirrored": 1}),
        ("aed", {}),
        ("aed", {"kg_per_digit": 0}),
        ("aed", {"kg_per_digit": float("nan")}),
        ("yaohua", {"unit": "stone"}),
        ("yaohua", {"mirrored": True}),
    ],
)
def test_settings_that_cannot_be(name: str, settings: dict[str, bool]) -> None:
    with pytest.raises(BadFormat) as caught:
        format_named(name).make(settings)
    assert re.search(r"只能是：|没有设置项", caught.value.zh)


def test_the_catalogue_is_whole() -> None:
    assert len(FORMATS) == len(CATALOGUE)
    for row in CATALOGUE:
        assert row.models
        parity = row.data_bits == 7 and row.parity != "none"
        assert parity or row.protection != "parity"
        assert row.protection_on(row.data_bits, row.parity) == row.protection
    with pytest.raises(BadFormat):
        format_named("toledoo")


def test_kilograms_are_exact() -> None:
    assert kilograms("0.1", "t") == 100.0
    assert kilograms("-0.00", "kg") == 0.0
    assert str(kilograms("-0.00", "kg")) == "0.0"
    assert kilograms("1.2.3", "kg") is None
    assert kilograms("12", "stone") is None
    assert kilograms("٣", "kg") is None
