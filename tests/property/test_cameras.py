"""Messages of network cameras under every kind of damage: no exception, bounded, no false plate.

JSON and lines have no checksum of their own and TCP's guards them; what a flipped bit makes of a
plate is then as readable as the plate itself. So "no false plate" is asked of everything but the
flipped bits: cut, truncated, over-long, surrounded by noise.
"""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.cameras.decoder import CameraDecoder
from firmware_bridge.cameras.dialect import load_dialect
from firmware_bridge.cameras.documents import Malformed, flatten
from firmware_bridge.cameras.multipart import MAX_HEAD_BYTES, MultipartDecoder
from firmware_bridge.cameras.tcp_text import MAX_FRAME_BYTES, TcpTextDecoder
from simulator.network_cameras import BOUNDARY, SPEAKERS, Message, Shown, dahua, tcp_text

SCENE = b"\xff\xd8" + bytes(range(256)) + b"\xff\xd9"
CLOSE = b"\xff\xd8" + b"\r\n--mybound\r\n" * 9 + b"\xff\xd9"
PLATES = ("冀B12345", "豫A12345D", "晋K123B挂", "粤ZF023港")

each_maker = pytest.mark.parametrize("maker", SPEAKERS)


def shown(number: int) -> Shown:
    return Shown(PLATES[number % 4], number=number, pictures=(SCENE, CLOSE))


def decoder_of(name: str) -> CameraDecoder:
    return CameraDecoder(load_dialect(name), 0, BOUNDARY)


def plates(maker: str, message: Message) -> list[str]:
    return [event.plate for event in decoder_of(maker).message(*message)]


def cut(wire: bytes, chance: random.Random, pieces: int) -> list[bytes]:
    marks = sorted({0, len(wire), *(chance.randrange(len(wire) + 1) for _ in range(pieces))})
    return [wire[a:b] for a, b in pairwise(marks)]


@pytest.mark.parametrize("maker", ["hikvision", "dahua"])
def test_a_stream_survives_every_way_of_cutting_it(maker: str) -> None:
    wire = b"noise\r\n" + b"".join(SPEAKERS[maker](shown(n))[1] for n in range(8))
    whole = [(e.plate, e.pictures) for e in decoder_of(maker).feed(wire)]
    assert [plate for plate, _ in whole] == list(PLATES) * 2
    byte_by_byte = decoder_of(maker)
    found = [e for at in range(len(wire)) for e in byte_by_byte.feed(wire[at : at + 1])]
    assert [(e.plate, e.pictures) for e in found] == whole
    for seed in range(10):
        decoder = decoder_of(maker)
        pieces = cut(wire, random.Random(seed), 40)
        assert [(e.plate, e.pictures) for p in pieces for e in decoder.feed(p)] == whole


@each_maker
def test_a_message_cut_off_anywhere_gives_its_plate_or_none(maker: str) -> None:
    content_type, body = SPEAKERS[maker](shown(0))
    for end in range(0, len(body), 7):
        assert set(plates(maker, (content_type, body[:end]))) <= {PLATES[0]}


@each_maker
@pytest.mark.parametrize("share", [1e-3, 1e-2])
def test_flipped_bits_raise_nothing_and_make_no_second_reading(maker: str, share: float) -> None:
    content_type, body = SPEAKERS[maker](shown(1))
    for seed in range(30):
        chance = random.Random(seed)
        bad = bytearray(body)
        for _ in range(max(1, round(len(body) * 8 * share))):
            bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        assert len(plates(maker, (content_type, bytes(bad)))) <= 1


@pytest.mark.parametrize("maker", ["hikvision", "dahua"])
def test_noise_around_and_between_parts_of_a_stream(maker: str) -> None:
    chance = random.Random(3)
    decoder, found = decoder_of(maker), []
    for number in range(6):
        found += decoder.feed(chance.randbytes(300).replace(b"--", b"__"))
        found += decoder.feed(SPEAKERS[maker](shown(number))[1])
    found += decoder.flush()
    assert [event.plate for event in found] == [PLATES[n % 4] for n in range(6)]
    assert decoder.counters["noise_bytes"] > 1_000


def test_an_endless_part_is_let_go() -> None:
    decoder = MultipartDecoder(BOUNDARY, max_part_bytes=10_000)
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
    decoder.feed(head)
    for _ in range(40):
        decoder.feed(bytes(1_000))
        assert len(decoder._held) < 12_000
    assert decoder.counters["oversize"] == 1
    endless_head = MultipartDecoder(BOUNDARY)
    endless_head.feed(f"--{BOUNDARY}\r\nX: ".encode() + b"a" * 2 * MAX_HEAD_BYTES)
    assert endless_head.counters["oversize"] == 1
    assert decoder.feed(dahua(shown(0))[1]) != []


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999999", "5"])
def test_a_length_that_lies_costs_its_part_alone(length: str) -> None:
    part = f"--{BOUNDARY}\r\nContent-Length: {length}\r\n\r\n0123456789\r\n".encode()
    decoder = decoder_of("dahua")
    assert decoder.feed(part) == []
    (event,) = decoder.feed(dahua(shown(2))[1])
    assert (event.plate, len(event.pictures)) == (PLATES[2], 2)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["xml", "json", "lines"]))
def test_any_bytes_flatten_or_are_malformed(data: bytes, form: str) -> None:
    try:
        flat = flatten(form, data, ("utf-8", "gb18030"))  # type: ignore[arg-type]
    except Malformed:
        return
    assert all(isinstance(text, str) for pair in flat.items() for text in pair)


_plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
_json = _plain | st.lists(_plain, max_size=2) | st.dictionaries(st.text(max_size=3), _plain)


@settings(max_examples=40, deadline=None)
@given(plate=_json, colour=_json, time=_json, picture=_json)
def test_any_json_in_the_fields_of_a_reading(
    plate: object, colour: object, time: object, picture: object
) -> None:
    body = {
        "plate": plate, "plate_color": colour, "time_msec": time, "plate_image": picture,
        "confidence": colour, "direction": plate, "detection_region": time,
    }  # fmt: skip
    for event in decoder_of("milesight").message("application/json", json.dumps(body).encode()):
        assert len(event.plate) <= 24
        assert event.confidence is None or 0 <= event.confidence <= 1
        assert event.camera_time_ns is None or event.camera_time_ns >= 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=5), st.integers(0, 1 << 32))
def test_plain_text_finds_every_frame_in_noise(noise: list[bytes], seed: int) -> None:
    chance = random.Random(seed)
    junk = [bytes(b for b in each if b not in (2, 3)) for each in noise]
    frames = [tcp_text(shown(n)) for n in range(len(junk))]
    wire = b"".join(a + b for a, b in zip(junk, frames, strict=True))
    decoder = TcpTextDecoder()
    found = [e for piece in cut(wire or b"x", chance, 20) for e in decoder.feed(piece)]
    assert [event.plate for event in found] == [PLATES[n % 4] for n in range(len(frames))]
    assert decoder._frames.held_bytes <= MAX_FRAME_BYTES
