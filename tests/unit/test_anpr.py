"""Plate frames: the printed examples, damage, foreign bytes, limits."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_bridge.anpr import MAX_FRAME_BYTES, PlateDecoder, PlateFrame, encode_plate

_DOCUMENT = Path(__file__).parents[2] / "docs" / "wire.md"

READ = PlateFrame(
    sequence=41,
    lane="1",
    plate="冀B12345",
    colour="yellow",
    confidence=0.931,
    direction="toward",
    camera_time_ns=1_790_000_000_123_456_789,
    picture_ref="D1-000041.jpg",
)
UNREAD = PlateFrame(42, "2", "", "unknown", None, "", 1_790_000_003_500_000_000, "")


def printed(label: str) -> bytes:
    """The bytes of a labelled example in the wire document."""
    found = re.search(rf"```hex {label}\n([0-9A-F\s]+)```", _DOCUMENT.read_text(encoding="utf-8"))
    assert found is not None, label
    return bytes.fromhex(found[1])


def framed(text: str) -> bytes:
    """Any text under a right checksum."""
    guarded = text.encode()
    return b"\x02" + guarded + b"%08X\x03\r\n" % zlib.crc32(guarded)


@pytest.mark.parametrize(("label", "frame"), [("anpr-plate", READ), ("anpr-unread", UNREAD)])
def test_the_document_and_the_code_speak_the_same_bytes(label: str, frame: PlateFrame) -> None:
    wire = printed(label)
    assert encode_plate(frame) == wire
    assert PlateDecoder().feed(wire) == [frame]


def test_a_frame_may_come_byte_by_byte_and_without_line_end() -> None:
    decoder = PlateDecoder()
    found = [frame for byte in encode_plate(READ)[:-2] for frame in decoder.feed(bytes([byte]))]
    assert found == [READ]
    assert +decoder.counters == {"frames": 1}


def test_no_single_bit_makes_another_reading() -> None:
    wire = encode_plate(READ)
    for bit in range(len(wire) * 8):
        damaged = bytearray(wire)
        damaged[bit // 8] ^= 1 << bit % 8
        assert PlateDecoder().feed(bytes(damaged)) in ([], [READ]), bit


def test_a_frame_cut_off_costs_itself_alone() -> None:
    decoder = PlateDecoder()
    wire = encode_plate(READ)
    assert decoder.feed(wire[:30] + wire + b"noise" + encode_plate(UNREAD)) == [READ, UNREAD]
    assert +decoder.counters == {"frames": 2, "damaged": 1, "noise_bytes": 5}


def test_an_endless_frame_is_dropped_and_bounded() -> None:
    decoder = PlateDecoder()
    assert decoder.feed(b"\x02" + b"A" * 100_000 + encode_plate(READ)) == [READ]
    assert decoder.counters["oversize"] == 1
    assert decoder.counters["noise_bytes"] == 100_000 - (MAX_FRAME_BYTES - 1)


_FIELDS = "1\t1\t冀B12345\tyellow\t931\ttoward\t5\t\t"


@pytest.mark.parametrize(
    ("text", "counter"),
    [
        ("SYP2\t" + _FIELDS, "unknown_version"),
        ("SYP1\t" + _FIELDS + "more\t", "malformed"),
        ("SYP1\t1\t1\t", "malformed"),
        ("SYP1\t" + _FIELDS.replace("yellow", "pink"), "malformed"),
        ("SYP1\t" + _FIELDS.replace("931", "1001"), "malformed"),
        ("SYP1\t" + _FIELDS.replace("931", "-1"), "malformed"),
        ("SYP1\t" + _FIELDS.replace("931", "0931"), "malformed"),
        ("SYP1\t" + _FIELDS.replace("931", "٩٣"), "malformed"),
        ("SYP1\t" + "4294967296" + _FIELDS[1:], "malformed"),
        ("SYP1\t" + _FIELDS.replace("B12345", "B\x1b345"), "malformed"),
        ("SYP1\t" + _FIELDS.replace("B12345", "B" * 24), "malformed"),
        ("SYP1\t" + _FIELDS[:-1], "malformed"),
        ("", "unknown_version"),
    ],
)
def test_what_is_not_as_agreed_is_counted(text: str, counter: str) -> None:
    decoder = PlateDecoder()
    assert decoder.feed(framed(text)) == []
    assert +decoder.counters == {counter: 1}


def test_bytes_that_are_no_text_are_damage() -> None:
    guarded = b"SYP1\t\xff\xfe\t"
    decoder = PlateDecoder()
    assert decoder.feed(b"\x02%s%08X\x03" % (guarded, zlib.crc32(guarded))) == []
    assert +decoder.counters == {"damaged": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"sequence": -1},
        {"sequence": 1 << 32},
        {"lane": ""},
        {"lane": "x" * 33},
        {"plate": "冀\tB"},
        {"plate": "A" * 25},
        {"colour": "red"},
        {"confidence": 1.5},
        {"confidence": float("nan")},
        {"direction": "x" * 17},
        {"camera_time_ns": -1},
        {"picture_ref": "a\x03.jpg"},
        {"picture_ref": "a" * 129},
    ],
)
def test_what_a_frame_cannot_carry_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        encode_plate(replace(READ, **wrong))


def test_the_longest_frame_fits_its_bound() -> None:
    longest = PlateFrame(
        (1 << 32) - 1, "车" * 32, "冀" * 24, "yellow-green", 1.0, "向" * 16, (1 << 64) - 1, ""
    )
    room = MAX_FRAME_BYTES - len(encode_plate(longest)) + 2
    fitting = replace(longest, picture_ref="p" * min(room, 128))
    assert PlateDecoder().feed(encode_plate(fitting)) == [fitting]
