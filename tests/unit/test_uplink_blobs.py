"""Manifests and states of blobs: read as written, and nothing else is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.uplink.blobs import MOST_CHUNKS, BlobState, Manifest
from edge.uplink.topics import MOST_CHUNK_BYTES

HASH = "0123456789abcdef" * 4


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    chunk_bytes = draw(st.integers(1, MOST_CHUNK_BYTES))
    count = draw(st.integers(0, 20))
    last = draw(st.integers(1, chunk_bytes))
    size = (count - 1) * chunk_bytes + last if count else 0
    hashes = tuple(f"{n:064x}" for n in range(count))
    return Manifest(HASH, size, chunk_bytes, hashes)


@settings(max_examples=50, deadline=None)
@given(manifests())
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert Manifest.decode(manifest.encode()) == manifest
    sizes = [manifest.size_of(number) for number in range(len(manifest.chunks))]
    assert sum(sizes) == manifest.size_bytes
    assert all(size > 0 for size in sizes)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, 300)))
def test_what_is_missing_is_read_as_it_was_written(numbers: set[int]) -> None:
    state = BlobState.lacking(HASH, numbers)
    assert BlobState.decode(state.encode()) == state
    assert set(state.numbers(301)) == numbers
    assert (state.state == "complete") == (not numbers)


def test_pieces_that_the_blob_does_not_have_are_not_asked_for() -> None:
    assert list(BlobState(HASH, "missing", ((2, MOST_CHUNKS - 1),)).numbers(4)) == [2, 3]


def test_missing_without_ranges_says_that_nothing_is_known() -> None:
    state = BlobState(HASH, "missing")
    assert BlobState.decode(state.encode()) == state
    assert list(state.numbers(10)) == []


GOOD = {
    "schema": "steelyard/blob/1",
    "sha256": HASH,
    "size_bytes": 5,
    "chunk_bytes": 3,
    "chunks": [HASH, HASH],
}


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "steelyard/blob/2"},
        {"sha256": HASH.upper()},
        {"sha256": HASH[:-1]},
        {"sha256": None},
        {"size_bytes": -1},
        {"size_bytes": 5.0},
        {"size_bytes": True},
        {"size_bytes": 7},
        {"size_bytes": 3},
        {"size_bytes": 2**60},
        {"chunk_bytes": 0},
        {"chunk_bytes": MOST_CHUNK_BYTES + 1},
        {"chunks": [HASH]},
        {"chunks": [HASH, 1]},
        {"chunks": HASH},
        {"chunks": [HASH] * (MOST_CHUNKS + 1), "size_bytes": 3 * (MOST_CHUNKS + 1)},
        {"more": 1},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    assert Manifest.decode(json.dumps(GOOD).encode())
    with pytest.raises(ValueError, match=r"."):
        Manifest.decode(json.dumps(GOOD | change).encode())


@pytest.mark.parametrize(
    "body",
    [
        {"sha256": HASH, "state": "missing"},
        {"sha256": HASH, "state": "gone", "missing": []},
        {"sha256": "", "state": "complete", "missing": []},
        {"sha256": HASH, "state": "complete", "missing": [[0, 0]]},
        {"sha256": HASH, "state": "missing", "missing": [[1, 0]]},
        {"sha256": HASH, "state": "missing", "missing": [[0, 1], [1, 2]]},
        {"sha256": HASH, "state": "missing", "missing": [[3, 4], [0, 1]]},
        {"sha256": HASH, "state": "missing", "missing": [[0, MOST_CHUNKS]]},
        {"sha256": HASH, "state": "missing", "missing": [[-1, 0]]},
        {"sha256": HASH, "state": "missing", "missing": [[0]]},
        {"sha256": HASH, "state": "missing", "missing": [0, 1]},
        {"sha256": HASH, "state": "missing", "missing": {"0": 1}},
    ],
)
def test_a_state_that_contradicts_itself_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        BlobState.decode(json.dumps(body).encode())


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=60))
def test_other_bytes_are_refused_and_raise_nothing_else(data: bytes) -> None:
    for decode in (Manifest.decode, BlobState.decode):
        with pytest.raises(ValueError, match=r"."):
            decode(data)
