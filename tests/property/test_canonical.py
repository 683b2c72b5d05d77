"""Canonical JSON: one body has one text, and the text gives the body back."""

from __future__ import annotations

import json
import random

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
