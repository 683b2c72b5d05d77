"""Plate frames: every frame survives every way of cutting and the noise between frames."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.anpr import COLOURS, PlateDecoder, PlateFrame, encode_plate


def _texts(most: int, least: int = 0) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=least, max_size=most)


frames = st.builds(
    PlateFrame,
    sequence=st.integers(0, (1 << 32) - 1),
    lane=_texts(8, 1),
    plate=_texts(24),
    colour=st.sampled_from(COLOURS),
    confidence=st.none() | st.integers(0, 1000).map(lambda permille: permille / 1000),
    direction=_texts(16),
    camera_time_ns=st.integers(0, (1 << 64) - 1),
    picture_ref=_texts(40),
)
noise = st.binary(max_size=20).map(lambda data: bytes(b for b in data if b != 0x02))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(noise, frames), max_size=5), st.lists(st.integers(1, 90), max_size=30))
def test_frames_survive_cuts_and_noise(
    pieces: list[tuple[bytes, PlateFrame]], cuts: list[int]
) -> None:
    wire = b"".join(junk + encode_plate(frame) for junk, frame in pieces)
    decoder = PlateDecoder()
    found = []
    for size in cuts:
        found += decoder.feed(wire[:size])
        wire = wire[size:]
    found += decoder.feed(wire)
    assert found == [frame for _, frame in pieces]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_taken_without_error_and_accounted_for(data: bytes) -> None:
    decoder = PlateDecoder()
    assert decoder.feed(data) == []
    begun = data.count(b"\x02")
    open_at_the_end = data.rfind(b"\x02") > data.rfind(b"\x03")
    counters = decoder.counters
    judged = sum(counters[name] for name in ("damaged", "malformed", "unknown_version", "oversize"))
    assert judged == begun - open_at_the_end
