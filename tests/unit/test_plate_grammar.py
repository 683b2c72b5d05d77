"""Plates by their grammar: a sample of each kind, and near misses."""

from __future__ import annotations

import pytest

from firmware_bridge.plate_grammar import PROVINCES, grammar_of, normalised, serial_candidate


@pytest.mark.parametrize(
    ("plate", "kind"),
    [
        ("冀B12345", "cn-ordinary"),
        ("京AF0236", "cn-ordinary"),
        ("鲁Q8Y7Z9", "cn-ordinary"),
        ("晋K123B挂", "cn-trailer"),
        ("沪AD12345", "cn-energy-small"),
        ("粤BDF1234", "cn-energy-small"),
        ("豫A12345D", "cn-energy-large"),
        ("川A1234学", "cn-learner"),
        ("京A0006警", "cn-police"),
        ("粤ZF023港", "cn-hk-macau"),
        ("粤Z0A11澳", "cn-hk-macau"),
        ("224578使", "cn-embassy"),
        ("使014578", "cn-embassy"),
        ("沪A0023领", "cn-consulate"),
        ("京X0123应急", "cn-rescue"),
        ("WJ冀01234", "cn-armed-police"),
        ("VA12345", "cn-army"),
    ],
)
def test_each_kind_is_known(plate: str, kind: str) -> None:
    assert grammar_of(plate) == kind


@pytest.mark.parametrize(
    "plate",
    [
        "",
        "冀B1234",  # one sign short
        "冀B123456",  # eight signs without an energy letter
        "冀BI2345",  # I is not issued in the serial
        "冀B1O345",
        "翼B12345",  # no province
        "冀b12345",
        "豫A12345Z",  # no energy letter
        "晋K1234B挂",
        "使B12345",
        "冀B12345\n",
        "冀B１２３４５",  # full-width digits
        "HH AB 123",
    ],
)
def test_near_misses_fit_no_kind(plate: str) -> None:
    assert grammar_of(plate) == ""


def test_there_are_31_provinces() -> None:
    assert len(set(PROVINCES)) == len(PROVINCES) == 31
    assert all(grammar_of(f"{province}A12345") == "cn-ordinary" for province in PROVINCES)


@pytest.mark.parametrize(
    ("raw", "plate"),
    [
        ("冀B·12345", "冀B12345"),
        (" 冀b 12-345 ", "冀B12345"),
        ("hh-ab 123", "HHAB123"),
        ("_无_", ""),
        ("Not defined", ""),
        ("粤ZF023港|HK1234", "粤ZF023港|HK1234"),
        ("冀BI2O45", "冀BI2O45"),  # misread, and left so
    ],
)
def test_normalised_only_takes_away_what_is_no_sign(raw: str, plate: str) -> None:
    assert normalised(raw) == plate
    assert normalised(plate) == plate


@pytest.mark.parametrize(
    ("plate", "candidate"),
    [
        ("冀BI2O45", "冀B12045"),
        ("京O12I45", "京O12145"),  # O as the second sign is real on old official plates
        ("冀B12345", ""),
        ("IO12345", ""),
        ("冀BI", ""),
    ],
)
def test_i_and_o_of_the_serial_are_a_candidate_only(plate: str, candidate: str) -> None:
    assert serial_candidate(plate) == candidate
