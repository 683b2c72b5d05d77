"""FLAC gives back every count, whatever the signal looked like."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.records import ADC_FULL_SCALE, InputEdge, RawClip
from edge.store.signal import decode_clip, encode_clip

_COUNTS = st.integers(-ADC_FULL_SCALE - 1, ADC_FULL_SCALE) | st.sampled_from(
    [-ADC_FULL_SCALE - 1, ADC_FULL_SCALE, 0, -1]
)
_BLOCKS = arrays.arrays(
    np.int32, st.tuples(st.integers(1, 60), st.integers(1, 17)), elements=_COUNTS
)


@settings(max_examples=40, deadline=None)
@given(
    _BLOCKS,
    st.integers(0, 2**53 - 1_000),
    st.floats(0.5, 1e6),
    st.lists(st.tuples(st.integers(0, 2**53 - 1), st.integers(0, 31), st.booleans()), max_size=5),
)
def test_round_trip(
    counts: np.ndarray, first: int, rate_hz: float, edges: list[tuple[int, int, bool]]
) -> None:
    marks = tuple(InputEdge("D1", *edge) for edge in edges)
    clip = RawClip("D1", first, rate_hz, counts, marks, ((first, 1),))
    again = decode_clip(encode_clip(clip, [str(n) for n in range(counts.shape[1])]))
    assert np.array_equal(again.counts, counts)
    assert again.counts.dtype == np.int32
    assert (again.first_sample, again.rate_hz) == (first, rate_hz)
    assert (again.edges, again.gaps) == (marks, clip.gaps)
