"""Canonical JSON: one body has one text, and the text gives the body back."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.evidence.canonical import canonical, parse_canonical

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=8,
)
_BODIES = st.dictionaries(_TEXT, _VALUES, max_size=6)


@settings(max_examples=50, deadline=None)
@given(_BODIES)
def test_round_trip(body: dict[str, object]) -> None:
    assert parse_canonical(canonical(body)) == body


@settings(max_examples=30, deadline=None)
@given(_BODIES, st.randoms(use_true_random=False))
def test_order_of_insertion_does_not_matter(body: dict[str, object], chance: random.Random) -> None:
    keys = list(body)
    chance.shuffle(keys)
    assert canonical({key: body[key] for key in keys}) == canonical(body)


@settings(max_examples=30, deadline=None)
@given(_BODIES)
def test_any_json_reader_understands_it(body: dict[str, object]) -> None:
    assert json.loads(canonical(body)) == body


@settings(max_examples=100, deadline=None)
@given(_BODIES)
def test_the_bytes_are_those_of_rfc_8785(body: dict[str, object]) -> None:
    assert canonical(body) == rfc8785.dumps(body)  # type: ignore[arg-type]


_FRACTIONS = st.floats() | st.sampled_from([0.0, -0.0, 5.0, 1e22, 1.5e-7, 2.0**60])
_LOOKS_LIKE = st.lists(
    st.sampled_from([":1.5", "[2e3", ",-0.", "\\", '"', "\U0001f600", "9" * 17]), max_size=3
).map("".join)


@settings(max_examples=100, deadline=None)
@given(_BODIES, _LOOKS_LIKE)
def test_a_text_that_looks_like_a_number_is_a_text(body: dict[str, object], text: str) -> None:
    odd = body | {text: text, "z": [text, {text: 1}]}
    assert parse_canonical(canonical(odd)) == odd


@settings(max_examples=100, deadline=None)
@given(_BODIES, _FRACTIONS, _LOOKS_LIKE)
def test_no_fraction_passes_wherever_it_stands(
    body: dict[str, object], fraction: float, text: str
) -> None:
    for value in (fraction, [text, fraction], {text: [[fraction]]}):
        with pytest.raises(ValueError, match=r"."):
            canonical(body | {"z": value})


_PIECES = [b"", *b". e E 0 9 - + , : [ ] { } 1.0 1e0 NaN true".split()]


@settings(max_examples=60, deadline=None)
@given(_BODIES, st.data())
def test_bytes_are_taken_exactly_if_another_encoder_writes_the_same(
    body: dict[str, object], data: st.DataObject
) -> None:
    """Pieces of other spellings are put into canonical bytes, also where they change nothing."""
    whole = canonical(body)
    for place in data.draw(st.lists(st.integers(0, len(whole)), min_size=4, max_size=4)):
        end = data.draw(st.integers(place, min(place + 1, len(whole))))
        put = data.draw(st.sampled_from(_PIECES))
        changed = whole[:place] + put + whole[end:]
        assert _taken(parse_canonical, changed) == _taken(_by_the_other, changed)


def _by_the_other(data: bytes) -> dict[str, Any]:
    body = json.loads(data, parse_float=_refused, parse_constant=_refused)
    if not isinstance(body, dict) or rfc8785.dumps(body) != data:
        raise ValueError("not in canonical form")
    return body


def _refused(text: str) -> float:
    raise ValueError(text)


def _taken(parse: Any, data: bytes) -> object:
    try:
        return parse(data)
    except ValueError:
        return None
