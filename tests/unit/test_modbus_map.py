"""Register maps: numbers out of words, requests out of registers, clear words for wrong maps."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path

import pytest

from firmware_bridge.modbus_map import BitOf, Register, RegisterMap
from firmware_bridge.modbus_toml import MapError, load_map

_DOCUMENT = Path(__file__).parents[2] / "docs" / "wire.md"


def register(kind: str = "input", address: int = 0, type: str = "u16", **rest: object) -> Register:  # noqa: A002
    values: dict[str, object] = {
        "name": f"{kind}{address}",
        "kind": kind,
        "register": address,
        "type": type,
        "words": "big",
        "scale": 1.0,
        "offset": 0.0,
        "unit": "",
        "low": -math.inf,
        "high": math.inf,
        "rate": math.inf,
        "sign": None,
    }
    return Register(**(values | rest))  # type: ignore[arg-type]


def only(probe: Register, raw: list[int]) -> float | None:
    return probe.value({probe.name: raw})


def printed(label: str) -> bytes:
    found = re.search(rf"```hex {label}\n([0-9A-F\s]+)```", _DOCUMENT.read_text(encoding="utf-8"))
    assert found is not None, label
    return bytes.fromhex(found[1])


def test_the_documents_reply_means_what_the_document_says() -> None:
    request, reply = printed("modbus-request"), printed("modbus-reply")
    words = struct.unpack(f">{reply[2] // 2}H", reply[3:-2])
    (span,) = (span for span in load_map("cabinet").spans if span.kind == "input")
    assert struct.unpack(">HH", request[2:6]) == (span.start, span.count) == (0, len(words))
    read = span.words(words)
    values = {r.name: r.value(read) for r in span.registers}
    assert values == pytest.approx(
        {
            "road_temperature": 21.5,
            "cabinet_temperature": -1.0,
            "cabinet_humidity": 45.0,
            "ups_charge": 100.0,
            "battery_voltage": 27.12,
            "uptime": 100_000.0,
        }
    )


@pytest.mark.parametrize(
    ("type_", "raw", "big"),
    [
        ("u16", [0xFFFF], 65_535),
        ("i16", [0xFFFF], -1),
        ("u32", [1, 34_464], 100_000),
        ("i32", [0xFFFF, 0xFFFE], -2),
        ("f32", [0x42F6, 0xE979], 123.456),
    ],
)
def test_types_and_word_order(type_: str, raw: list[int], big: float) -> None:
    assert only(register(type=type_), raw) == pytest.approx(big)
    assert only(register(type=type_, words="little"), raw[::-1]) == pytest.approx(big)


def test_the_wrong_word_order_is_another_number() -> None:
    # The pair of values that pymodbus gives for these words.
    assert only(register(type="i32", words="little"), [1, 34_464]) == -2_036_334_591


def test_scale_offset_and_range() -> None:
    probe = register(type="i16", scale=0.1, offset=-5.0, low=-20.0, high=60.0)
    assert only(probe, [300]) == pytest.approx(25.0)
    assert only(probe, [650]) == pytest.approx(60.0)
    assert only(probe, [651]) is None
    assert only(probe, [0x8000]) is None


def test_a_float_that_is_no_number_is_dropped() -> None:
    assert only(register(type="f32"), [0x7FC0, 0]) is None
    assert only(register(type="f32", low=-10.0, high=10.0), [0x7F80, 0]) is None


def test_neighbours_are_read_together_and_nothing_else_is_read() -> None:
    registers = (
        register(address=12, type="u32"),
        register(address=10),
        register(address=11),
        register(address=20),
        register("holding", 21),
        register("coil", 0, "bit"),
        register("coil", 1, "bit"),
    )
    spans = RegisterMap("m", registers).spans
    assert [(s.kind, s.start, s.count) for s in spans] == [
        ("coil", 0, 2),
        ("holding", 21, 1),
        ("input", 10, 4),
        ("input", 20, 1),
    ]
    assert sorted(r.name for s in spans for r in s.registers) == sorted(r.name for r in registers)


@pytest.mark.parametrize("block", [2, 32, 125])
def test_no_request_is_longer_than_the_device_allows(block: int) -> None:
    registers = tuple(register(address=2 * i, type="f32") for i in range(200))
    spans = RegisterMap("m", registers, block).spans
    assert max(s.count for s in spans) <= block
    assert sum(s.count for s in spans) == 400


ENTRY = '[[register]]\nname = "a"\nkind = "input"\nregister = 0\ntype = "u16"\n'
WEIGHT = ENTRY + '[weight]\nregister = "a"\ndecimals = 0\n'
TWO_WORDS = '[[command]]\nname = "z"\nregister = 1\nwrite = [1, 2]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no [[register]]"),
        ("[[register", "no TOML"),
        ("blocks = 3\n" + ENTRY, "unknown key blocks"),
        ("block = 126\n" + ENTRY, "block"),
        ("block = true\n" + ENTRY, "block"),
        (ENTRY + "skale = 2\n", "entry 1: unknown key skale"),
        (ENTRY.replace("input", "output"), "kind"),
        (ENTRY.replace("u16", "u64"), "type"),
        (ENTRY.replace("input", "coil"), "type"),
        (ENTRY.replace("= 0", "= 65536"), "0..65535"),
        (ENTRY.replace("= 0", "= 65535").replace("u16", "u32"), "0..65535"),
        (ENTRY.replace("= 0", "= -1"), "0..65535"),
        (ENTRY.replace("= 0", "= 1.5"), "whole number"),
        (ENTRY.replace('name = "a"\n', ""), "name"),
        (ENTRY + 'words = "middle"\n', "words"),
        (ENTRY + "scale = 0\n", "scale"),
        (ENTRY + "scale = nan\n", "scale"),
        (ENTRY + "range = [5, 1]\n", "range"),
        (ENTRY + "range = [nan, 1]\n", "range"),
        (ENTRY + "range = 5\n", "range"),
        (ENTRY + ENTRY, "a stands twice"),
        ('register = ["name"]', "entry 1: is no table"),
        (ENTRY + "rate = 0\n", "rate"),
        (ENTRY + 'sign = ["b", 3]\n', "sign"),
        (ENTRY + "sign = 3\n", "sign"),
        (ENTRY + 'sign = ["a", 16]\n', "sign"),
        ("gap = -1\n" + ENTRY, "gap"),
        ('counter = "b"\n' + ENTRY, "counter"),
        ('like = "nowhere"\n' + ENTRY, "nowhere"),
        ('like = "other.toml"\n' + ENTRY, "like"),
        (ENTRY + '[weight]\nregister = "b"\n', "register names no register"),
        (ENTRY + '[weight]\nregister = "a"\n', "whole numbers need decimals or division"),
        (ENTRY + '[weight]\nregister = "a"\ndivision = "0,5"\n', "division 0,5"),
        (ENTRY + '[weight]\nregister = "a"\ndivision = "0"\n', "division 0"),
        (ENTRY + "scale = 2\n" + '[weight]\nregister = "a"\ndecimals = 0\n', "a has a scale"),
        (WEIGHT + 'net = "b"\n', "net names no register"),
        (WEIGHT + 'stable = ["b", 1]\n', "b is no word or bit"),
        (WEIGHT + "over = [3]\n", "over is not [register, bit]"),
        (WEIGHT + 'unit = {of = "b", codes = {0 = "kg"}}\n', "of names no register"),
        (WEIGHT + 'unit = {of = "a", codes = {x = "kg"}}\n', "codes are not whole numbers"),
        (WEIGHT + 'unit = {of = "a"}\n', "codes are missing"),
        (WEIGHT + 'units = "kg"\n', "unknown key units"),
        (WEIGHT + 'unit = "KG"\n', "unit KG is none of kg, g, t"),
        (WEIGHT + 'unit = {of = "a", codes = {0 = "pcs"}}\n', "unit pcs"),
        (WEIGHT.replace("decimals = 0", 'decimals = "b"\ndivision = "0.5"'), "decimals names no"),
        (WEIGHT.replace("decimals = 0", "decimals = 7"), "decimals is outside 0..6"),
        (WEIGHT.replace("decimals = 0", "decimals = true"), "decimals is outside 0..6"),
        (ENTRY + '[weight]\nregister = "a"\ndivision = "Infinity"\n', "division Infinity"),
        (ENTRY + '[weight]\nregister = "a"\ndivision = ""\n', "division "),
        (WEIGHT + "over = 3\n", "of another kind than agreed"),
        ("command = 3\n" + ENTRY, "of another kind than agreed"),
        ('counter = ["a"]\n' + ENTRY, "of another kind than agreed"),
        (
            ENTRY.replace("= 0", "= 9").replace('"a"', '"s"') + WEIGHT + 'stable = ["s", 1]\n',
            "not read in one request",
        ),
        (ENTRY + '[[command]]\nname = "zero"\nregister = 1\n', "write is no list"),
        (ENTRY + '[[command]]\nname = "zero"\nwrite = [1]\n', "register is outside"),
        (ENTRY + '[[command]]\nname = "z"\nregister = 1\nwrite = [65536]\n', "write is no list"),
        ('writes = "single"\n' + ENTRY + TWO_WORDS, "more than a word"),
        ('writes = "often"\n' + ENTRY + TWO_WORDS, "multiple or single"),
        (ENTRY + TWO_WORDS + 'until = ["b", 1]\n', "b is no word or bit"),
    ],
)
def test_a_wrong_map_says_where(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MapError, match=re.escape(words)):
        load_map(path)


def test_a_gap_is_read_along_where_the_map_says_so() -> None:
    registers = tuple(register(address=at) for at in (0, 3, 8))
    assert [(s.start, s.count) for s in RegisterMap("m", registers).spans] == [
        (0, 1),
        (3, 1),
        (8, 1),
    ]
    spans = RegisterMap("m", registers, gap=2).spans
    assert [(s.start, s.count) for s in spans] == [(0, 4), (8, 1)]
    assert spans[0].words([7, 0, 0, 9]) == {"input0": [7], "input3": [9]}


def test_a_sign_bit_makes_a_magnitude_negative() -> None:
    weighed = register(address=1, type="u32", sign=BitOf("input0", 7))
    assert weighed.value({"input0": [0x80], "input1": [1, 34_464]}) == -100_000
    assert weighed.value({"input0": [0x7F], "input1": [1, 34_464]}) == 100_000


@pytest.mark.parametrize(
    ("told", "type_", "words", "weight_kg"),
    [
        ("decimals", "f32", (0x4000, 0), 12.34),
        ("decimals", "f32", (0x7FC0, 0), None),
        ("decimals", "u16", (7,), None),
        ("division", "f32", (0x3F00, 0), 123.4),
        ("division", "f32", (0x7F80, 0), None),
        ("division", "f32", (0x0D00, 0), None),
        ("division", "u16", (0,), None),
    ],
)
def test_a_register_that_tells_no_point_makes_no_weight(
    tmp_path: Path, told: str, type_: str, words: tuple[int, ...], weight_kg: float | None
) -> None:
    path = tmp_path / "map.toml"
    second = ENTRY.replace('"a"', '"b"').replace("= 0", "= 1").replace("u16", type_)
    path.write_text(f'{ENTRY}{second}[weight]\nregister = "a"\n{told} = "b"\n')
    rule = load_map(path).weight
    assert rule is not None
    reading = rule.reading({"a": [1234], "b": words})
    assert reading.weight_kg == weight_kg
    assert (reading.out_of_range is None) == (weight_kg is not None)


def test_a_map_may_be_like_another_and_change_it(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('like = "generic-scale"\nname = "own"\nblock = 16\n[weight]\nunit = "t"\n')
    own, base = load_map(path), load_map("generic-scale")
    assert (own.name, own.block, own.registers) == ("own", 16, base.registers)
    assert own.weight is not None
    assert base.weight is not None
    assert (own.weight.unit, own.weight.stable) == ("t", base.weight.stable)


@pytest.mark.parametrize("name", ["nowhere", "../maps/cabinet", "/tmp/none.toml"])
def test_a_map_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(MapError, match=re.escape(name)):
        load_map(name)
