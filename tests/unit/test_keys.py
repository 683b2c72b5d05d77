"""Base64 of what is signed: one text for one value, in its alphabet and in its last bits."""

from __future__ import annotations

import base64
import itertools

import pytest

from edge.evidence.keys import unbase64

_HEADS = ("", "AAAA", "AAA=", "=AAA", "AA==AAAA")
_ENDS = ("", *map("".join, itertools.product("Aw8=\né", repeat=4)), "A", "AA", "AAA", "====A")


def test_what_is_read_has_no_second_text() -> None:
    read = 0
    for text in (head + end for head in _HEADS for end in _ENDS):
        try:
            data = unbase64(text)
        except ValueError:
            continue
        assert base64.b64encode(data).decode() == text
        read += 1
    assert read > len(_ENDS) // 50


@pytest.mark.parametrize("data", [bytes(range(256))[:size] for size in (0, 1, 2, 3, 4, 5, 256)])
def test_what_is_written_is_read(data: bytes) -> None:
    assert unbase64(base64.b64encode(data).decode()) == data
