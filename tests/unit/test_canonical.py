"""Canonical JSON against the examples of RFC 8785, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge.evidence.canonical import canonical, parse_canonical


def test_keys_are_ordered_by_utf16_units_as_in_rfc_8785_section_3_2_3() -> None:
    body = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    assert list(json.loads(canonical(body)).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


def test_strings_and_literals_as_in_rfc_8785_section_3_2_2() -> None:
    body = {"string": '\u20ac$\u000f\nA\'B"\\\\"/', "literals": [None, True, False]}
    expected = '{"literals":[null,true,false],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    assert canonical(body) == expected.encode()


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        0.0,
        float("nan"),
        float("inf"),
        2**53,
        -(2**53),
        "\ud800",
        b"bytes",
        {1: "a"},
        {"a": [{"b": 0.5}]},
        np.float64(1.5),
        np.int64(1),
        {1, 2},
        object(),
    ],
)
def test_what_has_no_exact_text_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical({"value": value})


def test_largest_integers_are_kept() -> None:
    assert canonical([2**53 - 1, 1 - 2**53]) == b"[9007199254740991,-9007199254740991]"


@pytest.mark.parametrize(
    "data",
    [
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1,"a":1}',
        b'{"a":1}\n',
        b'{"a":1.0}',
        b'{"a":-0}',
        b'{"a":NaN}',
        b'{"a":1e2}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\ud800"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b"[1]",
        b"",
        b"{",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
)
def test_bytes_with_a_second_spelling_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_canonical(data)


def test_depth_beyond_the_interpreter_is_refused_not_crashed() -> None:
    body: object = 1
    for _ in range(5_000):
        body = [body]
    with pytest.raises(ValueError, match="deeply"):
        canonical(body)


@pytest.mark.parametrize(
    "text", ["%d", '{"b":%d}', "[%d]", "[1,%d]", "[1,-%d]", '{"b":[{"c":-%d}]}']
)
def test_numbers_are_read_up_to_their_bound_wherever_they_stand(text: str) -> None:
    """Digits in a text are no number, however many."""
    bound = 2**53 - 1
    for number in (1_790_000_000_000_000, 8_999_999_999_999_999, bound):
        data = f'{{"a":{text % number},"z":"99999999999999999999"}}'.encode()
        assert canonical(parse_canonical(data)) == data
    for number in (bound + 1, 9_999_999_999_999_999, 10**16, 10**17, 10**30):
        with pytest.raises(ValueError, match="integer"):
            parse_canonical(f'{{"a":{text % number}}}'.encode())


def test_a_hash_is_no_number_and_hides_none() -> None:
    """Digits of a hash are many, at its start and after a letter."""
    digests = ["9" * 64, "ab" + "1" * 62, "0" * 64]
    data = canonical({"hashes": digests, "number": 2**53 - 1})
    assert parse_canonical(data) == {"hashes": digests, "number": 2**53 - 1}
    with pytest.raises(ValueError, match="integer"):
        parse_canonical(data.replace(b"9007199254740991", b"9007199254740992"))
    with pytest.raises(ValueError, match="integer"):
        canonical([digests, 10**17])
