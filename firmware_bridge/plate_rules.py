"""What speaks for and against a text that a camera takes for a plate; nothing is ever mended.

Grammars of the mainland stand in `firmware_bridge.plate_grammar` (GA 36-2018). Those of other
countries are simplified: the shape of plates in series, without what offices withhold; a text
that fits may still be no plate. Confusion sets are the signs that readers of plates exchange.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from firmware_bridge.plate_grammar import grammar_of

CONFUSED = (
    "0ODQ", "1IL", "2Z", "5S", "8B", "6G", "4A", "7T", "UV", "云去", "冀翼", "京东",
)  # fmt: skip
"""Signs within a set are taken for one another."""

MOST_CANDIDATES = 8

_ELSEWHERE = {
    "de": r"[A-ZÄÖÜ]{1,3}[A-Z]{1,2}[0-9]{1,4}[EH]?",
    "pl": r"[A-Z]{2,3}[A-Z0-9]{4,5}",
    "cz": r"(?!.*[GOQW])[0-9][A-Z][A-Z0-9][0-9]{4}|EL[0-9]{3}[A-Z0-9]{2}",
    "fr": r"(?!SS|..+SS$)(?!.*[IOU])[A-Z]{2}[0-9]{3}[A-Z]{2}",
    "gb": r"[A-Z]{2}[0-9]{2}[A-Z]{3}",
}
"""Series in use now: Germany FZV Anlage 4; Poland since 2000; Czechia since 2001; France SIV
since 2009; Great Britain since 2001. From memory, but for their general shape."""

_COUNTRIES = {country: re.compile(pattern) for country, pattern in _ELSEWHERE.items()}

_COLOURS = {
    "cn-ordinary": {"blue", "yellow", "black"},
    "cn-trailer": {"yellow"},
    "cn-learner": {"yellow"},
    "cn-police": {"white"},
    "cn-hk-macau": {"black"},
    "cn-embassy": {"black", "green"},
    "cn-consulate": {"black", "green"},
    "cn-rescue": {"white"},
    "cn-armed-police": {"white"},
    "cn-army": {"white"},
    "cn-energy-small": {"green", "yellow-green"},
    "cn-energy-large": {"green", "yellow-green"},
}
"""Many cameras know one green only, so the two are one here."""


def fits(plate: str, country: str) -> bool:
    """Whether a normalised text has the form of a country's plates; ``any`` takes all."""
    if country == "any":
        return True
    if country == "cn":
        return bool(grammar_of(plate))
    return _COUNTRIES[country].fullmatch(plate) is not None


def doubts(plate: str, colour: str, country: str = "cn") -> tuple[str, ...]:
    """What speaks against a normalised text: ``grammar``, ``colour``; nothing against none."""
    if not plate:
        return ()
    if not fits(plate, country):
        return ("grammar",)
    allowed = _COLOURS.get(grammar_of(plate)) if country == "cn" else None
    wrong = allowed is not None and colour != "unknown" and colour not in allowed
    return ("colour",) if wrong else ()


def candidates(plate: str, country: str = "cn") -> tuple[str, ...]:
    """Plates that differ from a text in one confused sign and fit, where the text itself does not.

    A text that fits has so many neighbours that also do that they would say nothing.
    """
    if not plate or country == "any" or fits(plate, country):
        return ()
    found = dict.fromkeys(each for each in _neighbours(plate) if fits(each, country))
    return tuple(found)[:MOST_CANDIDATES]


def _neighbours(plate: str) -> Iterator[str]:
    for at, sign in enumerate(plate):
        for other in confused_with(sign):
            yield plate[:at] + other + plate[at + 1 :]


def confused_with(sign: str) -> Iterator[str]:
    """The signs that one is taken for."""
    for group in CONFUSED:
        if sign in group:
            yield from (other for other in group if other != sign)
