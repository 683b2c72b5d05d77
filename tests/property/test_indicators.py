"""Indicator formats: whatever comes and however it is cut, the codec keeps its word."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.indicators import VARIANTS, Settings
from tests.fuzz.targets import frames_of, indicator


@pytest.mark.parametrize(("name", "given_"), VARIANTS)
def test_any_pieces_of_frames_and_noise_are_taken(name: str, given_: Settings) -> None:
    wire = frames_of(name, given_)
    piece = st.tuples(st.integers(0, len(wire)), st.integers(0, 30)).map(
        lambda at: wire[at[0] : at[0] + at[1]]
    )

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 255), st.lists(piece | st.binary(max_size=12), max_size=12))
    def holds(cut: int, pieces: list[bytes]) -> None:
        indicator(name, given_, bytes([cut]) + b"".join(pieces))

    holds()
