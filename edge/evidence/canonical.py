"""Canonical JSON (RFC 8785) of statements: one body, one string of bytes, one hash.

Statements hold integers, strings, booleans, null, lists and objects. Floating point is refused:
its text differs between languages, and kilograms, millimetres and microseconds need none.

Without floating point the standard library's encoder writes the same bytes as RFC 8785, forty
times as fast as one in Python, with one exception: keys are ordered by their UTF-16 code units,
which differs from the order of characters where characters beyond U+FFFF come in.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import rfc8785

LARGEST = (1 << 53) - 1
"""Largest integer that every reader of JSON takes as it stands (I-JSON, RFC 7493)."""
_SIXTEEN_DIGITS_FROM_NINE = re.compile(rb"9\d{15}")
_LARGE_NUMBER = re.compile(rb"(?:\A|[:,\[])-?(?:9\d{15}|\d{17})")
_SEVENTEEN_DIGITS = b"0" * 17
_DIGITS_AS_ZERO = bytes(ord("0") if chr(byte).isdecimal() else byte for byte in range(128)) + bytes(
    range(128, 256)
)
_BEYOND_BMP = tuple(bytes([lead]) for lead in range(0xF0, 0xF5))
"""First bytes of UTF-8 for a character beyond U+FFFF."""


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"floating point is not allowed in a statement: {text}")


_encode = json.JSONEncoder(
    ensure_ascii=False,
    allow_nan=False,
    sort_keys=True,
    separators=(",", ":"),
    check_circular=False,  # a body that holds itself is nested too deeply
).encode
_decode = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float).decode


def canonical(body: object) -> bytes:
    """Canonical bytes of a body.

    Raises
    ------
    ValueError
        A float (NaN included), an integer beyond 2^53 - 1, a lone surrogate, a key that is no
        string, or a type that JSON does not have.
    """
    try:
        if (data := _encoded_at_once(body)) is not None:
            return data
        _check(body)
        return _encoded(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_canonical(data: bytes) -> dict[str, Any]:
    """The object whose canonical form is exactly ``data``.

    Raises
    ------
    ValueError
        Not JSON, not an object, or not in canonical form (order, blanks, doubled keys, floats).
    """
    try:
        body = _decode(data.decode())
        if not isinstance(body, dict):
            raise ValueError("a statement is a JSON object")
        # What was read from JSON has strings for keys and no other types; numbers may be large.
        if _may_hold_large_numbers(data):
            _check(body)
        if _encoded(body) != data:
            raise ValueError("not in canonical form")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return body


def _encoded_at_once(body: object) -> bytes | None:
    """The bytes of a body that reads back as itself: then it holds what JSON has and no more.

    None where that can't be told so; it spares a walk through the body, which takes longest.
    """
    try:
        data = _encoded(body)
    except TypeError:
        return None
    if _may_hold_large_numbers(data):
        return None
    same = _decode(data.decode()) == body
    return data if same else None


def _encoded(body: object) -> bytes:
    data = _encode(body).encode()
    if not data.isascii() and any(lead in data for lead in _BEYOND_BMP):
        return rfc8785.dumps(body)  # type: ignore[arg-type]  # checked before
    return data


def _may_hold_large_numbers(data: bytes) -> bool:
    """Whether any digits could be a number beyond 2^53; microseconds since 1970 are none.

    Long runs of digits are looked for first, which is quick. Where there are some, most often in
    a hash, it is looked whether one stands where a number can.
    """
    return (
        _SEVENTEEN_DIGITS in data.translate(_DIGITS_AS_ZERO)
        or _SIXTEEN_DIGITS_FROM_NINE.search(data) is not None
    ) and _LARGE_NUMBER.search(data) is not None


def _check(value: object) -> None:
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError("a key of a statement is a string")
            _check(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item)
    elif isinstance(value, int):
        if not -LARGEST <= value <= LARGEST:
            raise ValueError(f"an integer beyond 2^53 - 1: {value}")
    elif isinstance(value, float):
        _no_float(str(value))
    else:
        raise ValueError(f"JSON has no {type(value).__name__}")
