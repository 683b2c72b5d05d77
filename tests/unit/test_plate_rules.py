"""What speaks against a text that a camera took for a plate, and what else it could be."""

from __future__ import annotations

import pytest

from firmware_bridge.plate_rules import CONFUSED, candidates, confused_with, doubts, fits


@pytest.mark.parametrize(
    ("plate", "colour", "said"),
    [
        ("", "unknown", ()),
        ("冀B12345", "yellow", ()),
        ("冀B12345", "unknown", ()),
        ("冀B12345", "green", ("colour",)),
        ("豫A12345D", "yellow-green", ()),
        ("豫A12345D", "green", ()),  # many cameras know one green only
        ("豫A12345D", "yellow", ("colour",)),
        ("晋K123B挂", "yellow", ()),
        ("晋K123B挂", "blue", ("colour",)),
        ("翼B12345", "yellow", ("grammar",)),
        ("HHAB123", "white", ("grammar",)),
    ],
)
def test_grammar_and_colour_only_ever_take_trust_away(
    plate: str, colour: str, said: tuple[str, ...]
) -> None:
    assert doubts(plate, colour) == said


@pytest.mark.parametrize(
    ("plate", "could_be"),
    [
        ("翼B12345", "冀B12345"),
        ("去A12345", "云A12345"),
        ("豫A1Z34SD", ""),  # two signs off
        ("豫A1234SD", "豫A12345D"),
        ("冀B12345", ""),  # fits as it is
        ("", ""),
    ],
)
def test_candidates_differ_in_one_confused_sign_and_fit(plate: str, could_be: str) -> None:
    found = candidates(plate)
    assert could_be in found if could_be else found == ()
    for each in found:
        assert fits(each, "cn")
        (at,) = [n for n, (a, b) in enumerate(zip(plate, each, strict=True)) if a != b]
        assert each[at] in confused_with(plate[at])


@pytest.mark.parametrize(
    ("country", "plate", "fitting"),
    [
        ("de", "HHAB123", True),
        ("de", "123", False),
        ("pl", "WA12345", True),
        ("cz", "1AB2345", True),
        ("cz", "1GB2345", False),
        ("fr", "AB123CD", True),
        ("fr", "AI123CD", False),
        ("fr", "SS123CD", False),
        ("gb", "AB12CDE", True),
        ("any", "!", True),
    ],
)
def test_series_of_other_countries(country: str, plate: str, fitting: bool) -> None:
    assert fits(plate, country) is fitting
    assert doubts(plate, "white", country) == (() if fitting else ("grammar",))


def test_confusion_is_mutual() -> None:
    for group in CONFUSED:
        for sign in group:
            assert all(sign in confused_with(other) for other in confused_with(sign))
