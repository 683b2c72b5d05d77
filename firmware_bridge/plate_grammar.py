"""Which kinds of plate a text can be: it is checked by its grammar, and never changed.

The patterns of the mainland's plates follow GA 36-2018 (motor vehicle number plates); the order
of ``_KINDS`` decides where a text fits two kinds. A text that fits none may still be right, such
as a foreign plate; a text that fits may still be misread. Patterns marked "from memory" have not
been held against the standard's text.
"""

from __future__ import annotations

import re

PROVINCES = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新"
"""The 31 characters that begin a mainland plate."""

_P = f"[{PROVINCES}]"
_S = "[A-HJ-NP-Z0-9]"
"""A sign of the serial: I and O are not issued."""

_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.ASCII))
    for kind, pattern in (
        ("cn-trailer", f"{_P}[A-Z]{_S}{{4}}挂"),
        ("cn-learner", f"{_P}[A-Z]{_S}{{4}}学"),
        ("cn-police", f"{_P}[A-Z]{_S}{{4}}警"),
        ("cn-hk-macau", f"粤Z{_S}{{4}}[港澳]"),
        ("cn-consulate", f"{_P}[A-Z][0-9]{{4}}领"),
        ("cn-embassy", "[0-9]{6}使|使[0-9]{6}"),
        ("cn-rescue", f"{_P}[SX][0-9]{{4}}应急"),  # from memory
        ("cn-armed-police", f"WJ{_P}?[0-9]{{4}}[0-9A-Z]"),  # from memory
        ("cn-army", "[A-Z]{2}[0-9]{5}"),  # from memory
        ("cn-energy-large", f"{_P}[A-HJ-NP-Z][0-9]{{5}}[A-HJK]"),
        ("cn-energy-small", f"{_P}[A-HJ-NP-Z][A-HJK]{_S}[0-9]{{4}}"),
        ("cn-ordinary", f"{_P}[A-Z]{_S}{{5}}"),
    )
)

_FILLING = re.compile(r"[\s·•・.．\-_–—]+")
_NOT_READ = frozenset({"无", "无牌", "无车牌", "未识别", "UNKNOWN", "NOTDEFINED"})
_MAINLAND = re.compile(f"{_P}[A-Z]")


def normalised(text: str) -> str:
    """A plate as it is compared and shown: capitals, without blanks, dots and dashes.

    What cameras send for "no plate" (``_无_``, ``Not defined`` ...) becomes the empty text. No
    letter is exchanged for another; see `serial_candidate`.
    """
    plate = _FILLING.sub("", text).upper()
    return "" if plate in _NOT_READ else plate


def serial_candidate(plate: str) -> str:
    """A mainland plate with I and O of its serial read as 1 and 0, if that makes it fit.

    I and O are not issued in the serial, so a camera that reads them misread 1 and 0. The result
    is a candidate to show beside the text as read; empty where there is none.
    """
    if _MAINLAND.match(plate) is None:
        return ""
    candidate = plate[:2] + plate[2:].replace("I", "1").replace("O", "0")
    return candidate if candidate != plate and grammar_of(candidate) else ""


def grammar_of(text: str) -> str:
    """The kind of plate that a normalised text can be, such as ``cn-ordinary``.

    Returns
    -------
    str
        Empty where it fits no kind that is known here.
    """
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(text)), "")
