"""Taps: every piece proves itself, whatever happens to the rest of the file."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.tap_format import (
    KINDS,
    MARK,
    MAX_PAYLOAD,
    Piece,
    TapDecoder,
    TapHeader,
    encode_piece,
    header_of,
)

_PIECES = st.builds(
    Piece, st.sampled_from(KINDS), st.integers(-(1 << 62), 1 << 62), st.binary(max_size=80)
)


def read(data: bytes) -> tuple[list[Piece], TapDecoder]:
    decoder = TapDecoder()
    return decoder.feed(data) + decoder.finish(), decoder


@settings(max_examples=60, deadline=None)
@given(st.lists(_PIECES, max_size=8), st.integers(1, 50))
def test_pieces_come_back_however_the_file_is_cut(pieces: list[Piece], size: int) -> None:
    data = b"".join(map(encode_piece, pieces))
    decoder, found = TapDecoder(), []
    for at in range(0, len(data), size):
        found += decoder.feed(data[at : at + size])
    assert found + decoder.finish() == pieces
    assert decoder.counters["damaged_bytes"] == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(_PIECES, min_size=3, max_size=6), st.data())
def test_damage_costs_the_pieces_it_touches_and_no_others(
    pieces: list[Piece], data: st.DataObject
) -> None:
    told = [encode_piece(piece) for piece in pieces]
    hit = data.draw(st.integers(0, len(told) - 1))
    at = data.draw(st.integers(0, len(told[hit]) - 1))
    told[hit] = told[hit][:at] + bytes([told[hit][at] ^ 0x10]) + told[hit][at + 1 :]
    found, decoder = read(b"noise" + b"".join(told))
    assert found == pieces[:hit] + pieces[hit + 1 :]
    assert decoder.counters["damaged_bytes"] == 5 + len(told[hit])


def test_a_file_that_was_cut_off_is_read_up_to_there() -> None:
    pieces = [Piece("heard", n, bytes([n]) * 9) for n in range(5)]
    data = b"".join(map(encode_piece, pieces))
    found, decoder = read(data[:-3])
    assert found == pieces[:4]
    assert decoder.counters["damaged_bytes"] == len(data) // 5 - 3


def test_random_bytes_are_no_pieces_and_little_is_held() -> None:
    chance = random.Random(3)
    decoder = TapDecoder()
    for _ in range(200):
        assert decoder.feed(MARK + chance.randbytes(chance.randint(0, 300))) == []
        assert len(decoder._held) < MAX_PAYLOAD + 400
    assert decoder.finish() == []


def test_a_piece_has_a_greatest_length() -> None:
    longest = Piece("heard", 0, bytes(MAX_PAYLOAD))
    assert read(encode_piece(longest))[0] == [longest]
    with pytest.raises(ValueError, match="at most"):
        encode_piece(Piece("heard", 0, bytes(MAX_PAYLOAD + 1)))


def test_the_header_comes_back_and_another_version_does_not() -> None:
    header = TapHeader("/dev/ttyS0", 17, 9_600, 7, "even", 1, "scale.F1")
    piece = header.piece()
    assert header_of(piece) == header
    other = Piece("header", 0, piece.payload.replace(b"tap/1", b"tap/2"))
    assert header_of(other) is None
    assert header_of(Piece("header", 0, b"[]")) is None
    assert header_of(Piece("heard", 0, piece.payload)) is None


def test_the_bytes_of_the_document_are_the_bytes_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "wire.md").read_text("utf-8")
    section = page.split("## 9. Taps of lines\n")[1]
    found = re.search(
        r"`Piece\(\"heard\", 1500000, b\"=0003.000\"\)`\n\n```hex\n([^`]+)```", section
    )
    assert found is not None
    assert bytes.fromhex(found[1]) == encode_piece(Piece("heard", 1_500_000, b"=0003.000"))
