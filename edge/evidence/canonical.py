"""Canonical JSON (RFC 8785) of statements: one body, one string of bytes, one hash.

Statements hold integers, strings, booleans, null, lists and objects. Floating point is refused:
its text differs between languages, and kilograms, millimetres and microseconds need none.

Without floating point orjson writes the same bytes as RFC 8785, a hundred times as fast as an
encoder in Python, with one exception: keys are ordered by their UTF-16 code units, which differs
from the order of characters where characters beyond U+FFFF come in. It would also read and write
fractions. So where one might stand, and where anything is to be refused, a body is walked through.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson
import rfc8785

LARGEST = (1 << 53) - 1
"""Largest integer that every reader of JSON takes as it stands (I-JSON, RFC 7493)."""
_HOW = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_KINDS = bytes.maketrans(b"0123456789.eE:,[", b"0000000000...:::")
_FRACTION = re.compile(rb":0+\.")
"""A number with a point or an exponent, where a value can stand, in terms of ``_KINDS``."""
_BEYOND_BMP = tuple(bytes([lead]) for lead in range(0xF0, 0xF5))
"""First bytes of UTF-8 for a character beyond U+FFFF."""


def canonical(body: object) -> bytes:
    """Canonical bytes of a body.

    Raises
    ------
    ValueError
        A float (NaN included), an integer beyond 2^53 - 1, a lone surrogate, a key that is no
        string, a type that JSON does not have, or more than 254 levels in each other.
    """
    try:
        data = orjson.dumps(body, option=_HOW)
    except TypeError as error:
        _refuse(body, error)
    # What reads back as itself holds what JSON has and no more: it need not be walked through.
    if _may_hold_fraction(data) or orjson.loads(data) != body:
        _check(body)
    return _in_order(data, body)


def parse_canonical(data: bytes) -> dict[str, Any]:
    """The object whose canonical form is exactly ``data``.

    Raises
    ------
    ValueError
        Not JSON, not an object, or not in canonical form (order, blanks, doubled keys, floats).
    """
    body = orjson.loads(data)
    if _may_hold_fraction(data) or not _is_form(data, body):
        body = _parse_warily(data)
    if not isinstance(body, dict):
        raise ValueError("a statement is a JSON object")
    return body


def _parse_warily(data: bytes) -> object:
    """The same, number by number: where a fraction may stand, and to say why bytes are refused."""
    try:
        body = _decode_warily(data.decode())
        _check(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not _is_form(data, body):
        raise ValueError("not in canonical form")
    return body


def _is_form(data: bytes, body: object) -> bool:
    """Whether these are the canonical bytes of what was read from them."""
    try:
        return _in_order(orjson.dumps(body, option=_HOW), body) == data
    except TypeError:
        return False  # A number that is too large, or too many levels.


def _in_order(data: bytes, body: object) -> bytes:
    """What orjson wrote of a body without fractions, its keys by code units of UTF-16."""
    if not data.isascii() and any(lead in data for lead in _BEYOND_BMP):
        return rfc8785.dumps(body)  # type: ignore[arg-type]  # known to hold what JSON has
    return data


def _may_hold_fraction(data: bytes) -> bool:
    """Whether any digits could be a fraction; those of a text may look like one.

    Canonical bytes have no blank before a number. Of other bytes it does not matter.
    """
    return _FRACTION.search((b":" + data).translate(_KINDS, b"-")) is not None


def _refuse(body: object, error: TypeError) -> NoReturn:
    """Say what of a body can't be written: what a walk finds, or else the encoder's words."""
    try:
        _check(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    raise ValueError(f"no statement can be made of it: {error}") from error


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"floating point is not allowed in a statement: {text}")


_decode_warily = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float).decode


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
