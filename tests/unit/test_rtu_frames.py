"""Frames of another Modbus master are known by their form and CRC, and noise is not."""

from __future__ import annotations

import random

import pytest

from firmware_bridge.rtu_frames import rtu_frames, units_asked_besides, units_of_others
from simulator.indicators import VARIANTS, Settings
from simulator.modbus_slave import crc16
from tests.fuzz.targets import frames_of


def frame(text: str) -> bytes:
    body = bytes.fromhex(text)
    return body + crc16(body)


READ, VALUES = frame("03 04 0007 0002"), frame("03 04 04 01020304")
OWN = frame("02 03 0000 0001")


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("01 03 0000 0002", True),
        ("01 03 04 00010002", False),
        ("01 02 01 05", False),
        ("01 06 0010 0003", True),
        ("01 10 0010 0001 02 0003", True),
        ("01 10 0010 0001", False),
        ("01 83 02", False),
        ("11 08 0000 1234", True),
    ],
)
def test_a_frame_is_one_of_the_master_or_of_a_device(text: str, asks: bool) -> None:
    around = b"\x00\x81" + frame(text) + b"\x55"
    assert [(f.asks, f.raw) for f in rtu_frames(around)] == [(asks, frame(text))]


def test_a_frame_with_a_wrong_crc_is_none() -> None:
    assert [f.unit for f in rtu_frames(bytes.fromhex("11 03 006B 0003 7687"))] == [0x11]
    assert not [*rtu_frames(bytes.fromhex("11 03 006B 0003 7688"))]


def test_one_who_only_listens_hears_whom_others_ask() -> None:
    assert units_of_others(VALUES[3:] + READ + VALUES + READ) == (3,)
    assert units_of_others(frame("05 03 0000 0001")) == (5,)
    assert units_of_others(b"") == ()


def test_one_who_asks_takes_neither_his_echo_nor_late_answers_for_a_master() -> None:
    late = frame("01 03 02 0007")
    assert units_asked_besides(OWN + late + frame("02 03 02 0001"), OWN) == ()
    assert units_asked_besides(OWN + READ + VALUES, OWN) == (3,)
    assert units_asked_besides(READ, b"SI\r\n") == (3,)


@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
def test_an_indicator_is_no_master(name: str, settings: Settings) -> None:
    assert units_of_others(frames_of(name, settings) * 20) == ()


def test_noise_is_no_master() -> None:
    chance = random.Random(3)
    assert not any(units_of_others(chance.randbytes(n)) for n in range(1, 200) for _ in range(20))
