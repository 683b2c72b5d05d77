"""Canonical JSON (RFC 8785) of statements: one body, one string of bytes, one hash.

Statements hold integers, strings, booleans, null, lists and objects. Floating point is refused:
its text differs between languages, and kilograms, millimetres and microseconds need none.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import rfc8785


def canonical(body: object) -> bytes:
    """Canonical bytes of a body.

    Raises
    ------
    ValueError
        A float (NaN included), an integer beyond 2^53 - 1, a lone surrogate, a key that is no
        string, or a type that JSON does not have.
    """
    try:
        _refuse_floats(body)
        return rfc8785.dumps(body)  # type: ignore[arg-type]  # it refuses other types by itself
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
        body = json.loads(data.decode(), parse_float=_no_float, parse_constant=_no_float)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(body, dict):
        raise ValueError("a statement is a JSON object")
    if canonical(body) != data:
        raise ValueError("not in canonical form")
    return body


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        _no_float(str(value))
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for item in value:
        _refuse_floats(item)


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"floating point is not allowed in a statement: {text}")
