"""Who speaks is told from the bytes: every format by its frames, and nobody by noise."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from firmware_bridge.anpr import PlateFrame, encode_plate
from firmware_bridge.indicators.catalogue import FORMATS
from firmware_bridge.modbus_probing import (
    NOBODYS_UNIT,
    SERVERS_OWN,
    UNITS,
    devices,
    rtu_reply,
    tcp_question,
    tcp_replies,
)
from firmware_bridge.recognising import recognise
from firmware_bridge.rtu_frames import crc16
from firmware_bridge.stream import Hello, Samples, Status, encode
from simulator.indicators import SPEAKERS, VARIANTS, Settings, Shown
from simulator.indicators import with_parity as as_sent


def frames(name: str, settings: Settings, *, seed: int = 1, moving: bool = True) -> bytes:
    """Two seconds of an indicator under a load that moves, as the line carries it."""
    chance = random.Random(seed)
    load_kg = chance.uniform(10_000, 40_000)
    shown = (
        Shown(load_kg + (chance.uniform(-900, 900) if moving else 0), moving=moving)
        for _ in range(20)
    )
    parity = FORMATS[name].parity
    return as_sent(b"".join(SPEAKERS[name](s, settings) for s in shown), parity)


@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
def test_every_format_is_known_by_its_bytes(name: str, settings: Settings) -> None:
    data = frames(name, settings)
    row = FORMATS[name]
    first, *others = recognise(data[7:-3])
    assert first.kind == "scale"
    names = {first.what, *(other.what for other in others)}
    assert name in names
    if row.protection == "checksum":
        assert (first.what, others) == (name, [])
    own = next(s for s in (first, *others) if s.what == name)
    assert (own.data_bits, own.parity) == (row.data_bits, row.parity)
    assert all(own.settings[k] == v for k, v in settings.items() if k not in own.open_settings)


def test_a_mirrored_number_that_stands_still_stays_open() -> None:
    data = b"=010.0010" * 20
    (speaker,) = recognise(data)
    assert "mirrored" in speaker.open_settings
    moving = frames("equals", {"mirrored": True})
    assert recognise(moving)[0].settings["mirrored"] is True
    assert "mirrored" not in recognise(moving)[0].open_settings


def test_what_is_not_in_the_bytes_is_left_to_a_person() -> None:
    (speaker,) = [s for s in recognise(frames("aed", {"kg_per_digit": 0.5})) if s.what == "aed"]
    assert "kg_per_digit" in speaker.open_settings


def test_quality_is_told() -> None:
    at_rest = frames("toledo", {}, moving=False)
    assert recognise(at_rest)[0].live[0].quality == ""
    assert recognise(frames("toledo", {}))[0].live[0].quality == "moving"
    assert recognise(frames("st-gs", {}, moving=False))[0].live[0].quality == "unproved"
    over = as_sent(SPEAKERS["toledo"](Shown(9e4, over=True), {}) * 9, "even")
    assert recognise(over)[0].live[0].quality == "over"


def test_a_digitiser_tells_itself() -> None:
    hello = Hello(7, 0, 0, "W-1", "LC8", "1.4", 4, 4_000.0, 0.01, 99)
    status = Status(7, 1, 0, 31.25, 24.1, 0, 0, 0)
    samples = Samples(7, 2, 0, np.zeros((40, 4), np.int32))
    (speaker,) = recognise(b"".join(map(encode, (samples, hello, status, samples)))[30:])
    assert (speaker.kind, speaker.unit, speaker.channels) == ("digitiser", 7, 4)
    assert "LC8" in speaker.what
    assert {v.name: v.value for v in speaker.live} == {
        "rate": 4_000.0,
        "temperature": pytest.approx(31.2, abs=0.1),
        "supply": 24.1,
    }


def test_a_camera_tells_its_last_plate() -> None:
    frame = PlateFrame(1, "1", "云A12345", "yellow", 0.97, "toward", 10**18, "")
    (speaker,) = recognise(b"\x00\xff" + encode_plate(frame))
    assert (speaker.what, speaker.live[0].value) == ("steelyard", "云A12345")
    text = "\x0220261122150000 01 云A12345\x03".encode()
    (speaker,) = recognise(text)
    assert (speaker.what, speaker.protection) == ("tcp-text", "none")
    assert speaker.live[0].value == "云A12345"


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_nobody(seed: int) -> None:
    chance = random.Random(seed)
    assert recognise(chance.randbytes(4_000)) == []
    text = bytes(chance.choice(b"0123456789 .,+-kgSTUGN\r\n=") for _ in range(4_000))
    assert recognise(text) == []
    assert recognise(b"") == []


def test_half_of_a_line_explained_is_not_enough() -> None:
    noise = random.Random(1)
    sent = [SPEAKERS["st-gs"](Shown(20_000.0), {}) + noise.randbytes(18) for _ in range(20)]
    assert recognise(b"".join(sent)) == []


def test_modbus_replies_are_known_by_unit_and_crc() -> None:
    assert crc16(b"123456789") == 0x4B37
    for pdu in (b"\x03\x02\x12\x34", b"\x83\x02"):
        body = b"\x05" + pdu
        reply = body + struct.pack("<H", crc16(body))
        assert rtu_reply(b"\xff\x00" + reply, 5) == pdu
        assert rtu_reply(reply, 6) == b""
        assert rtu_reply(reply[:-1] + b"\x00", 5) == b""


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (dict.fromkeys((1, 2, 255, 199), b"\x03\x02\x00\x07"), [1]),  # looks at no unit
        ({3: b"\x03\x02\x00\x07", 255: b"\x03\x02\x00\x07", 0: b"\x03\x02\x00\x07"}, [3]),
        ({255: b"\x83\x02", 0: b"\x83\x02"}, [255]),
        (
            {2: b"\x83\x0b", 3: b"\x03\x02\x00\x07", 4: b"\x03\x02\x00\x07", 255: b"\x83\x02"},
            [3, 4, 255],
        ),
        ({1: b"\x83\x0a", 2: b"\x83\x0b"}, []),
    ],
)
def test_the_devices_behind_a_tcp_address(answers: dict[int, bytes], told: list[int]) -> None:
    units = (*UNITS, *SERVERS_OWN, NOBODYS_UNIT)
    numbers = {unit: number for number, unit in enumerate(units)}
    replies = [struct.pack(">HHHB", numbers[u], 0, 1 + len(r), u) + r for u, r in answers.items()]
    heard = b"".join(replies)
    assert [unit for unit, _ in devices(tcp_replies(heard, units))] == told
    assert tcp_replies(heard[:-1], units) == dict([*answers.items()][:-1])
    assert tcp_replies(b"HTTP/1.1 400 Bad Request\r\n", units) == {}


def test_what_echoes_the_questions_is_no_device() -> None:
    units = (1, 2, NOBODYS_UNIT)
    asked = [tcp_question(number, unit) for number, unit in enumerate(units)]
    assert tcp_replies(b"".join(asked), units) == {}
    value = b"\x03\x02\x00\x07"
    reply = asked[1][:4] + b"\x00\x05\x02" + value
    assert tcp_replies(asked[0] + asked[1] + reply, units) == {2: value}
