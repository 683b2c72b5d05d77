"""What both sides say about a blob on its way: what it consists of, and which pieces are missing.

Neither message is signed. A false one can only cause more or less sending: every piece is checked
against its hash, the whole against its name, and a record is delivered by its signed receipt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeGuard

from edge.uplink.topics import MOST_CHUNK_BYTES, read_object

SCHEMA = "steelyard/blob/1"

MOST_CHUNKS = 16_384
"""Pieces of one blob: 2 GiB of the size that this program sends."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A blob in pieces of ``chunk_bytes``, the last one shorter; an empty blob has none."""

    sha256: str
    size_bytes: int
    chunk_bytes: int
    chunks: tuple[str, ...]
    """SHA-256 of each piece, hexadecimal."""

    def encode(self) -> bytes:
        """As it stands in the payload."""
        return _encode(
            {
                "schema": SCHEMA,
                "sha256": self.sha256,
                "size_bytes": self.size_bytes,
                "chunk_bytes": self.chunk_bytes,
                "chunks": list(self.chunks),
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """The manifest in a payload.

        Raises
        ------
        ValueError
            The payload is something else, or its numbers do not fit each other.
        """
        body = _only(read_object(data), "schema", "sha256", "size_bytes", "chunk_bytes", "chunks")
        if body["schema"] != SCHEMA:
            raise ValueError(f"schema is not {SCHEMA}")
        size_bytes, chunk_bytes, pieces = body["size_bytes"], body["chunk_bytes"], body["chunks"]
        _check_pieces(size_bytes, chunk_bytes, pieces)
        if not _is_hash(body["sha256"]):
            raise ValueError("sha256 is 64 hexadecimal digits")
        return cls(body["sha256"], size_bytes, chunk_bytes, tuple(pieces))

    def size_of(self, number: int) -> int:
        """Bytes of one piece."""
        return min(self.chunk_bytes, self.size_bytes - number * self.chunk_bytes)


@dataclass(frozen=True, slots=True)
class BlobState:
    """What the centre has of a blob; ``missing`` are ranges of pieces, both ends included.

    ``missing`` without ranges: not even the manifest.
    """

    sha256: str
    state: Literal["complete", "missing"]
    missing: tuple[tuple[int, int], ...] = ()

    @classmethod
    def lacking(cls, sha256: str, numbers: Iterable[int]) -> BlobState:
        """The state in which these pieces are missing, ``complete`` if none are."""
        ranges: list[tuple[int, int]] = []
        for number in sorted(set(numbers)):
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1] = (ranges[-1][0], number)
            else:
                ranges.append((number, number))
        return cls(sha256, "missing" if ranges else "complete", tuple(ranges))

    def numbers(self, count: int) -> Iterator[int]:
        """The missing pieces of a blob that has ``count``."""
        for first, last in self.missing:
            yield from range(first, min(last + 1, count))

    def encode(self) -> bytes:
        """As it stands in the payload."""
        return _encode(
            {
                "sha256": self.sha256,
                "state": self.state,
                "missing": [list(ends) for ends in self.missing],
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> BlobState:
        """The state in a payload.

        Raises
        ------
        ValueError
            The payload is something else.
        """
        body = _only(read_object(data), "sha256", "state", "missing")
        if not _is_hash(body["sha256"]) or body["state"] not in ("complete", "missing"):
            raise ValueError("sha256 or state of a blob is unknown")
        if not isinstance(body["missing"], list) or len(body["missing"]) > MOST_CHUNKS:
            raise ValueError("missing is a list of ranges")
        ranges = tuple(_ends(pair) for pair in body["missing"])
        if any(before[1] >= after[0] for before, after in pairwise(ranges)):
            raise ValueError("ranges ascend and do not overlap")
        if ranges and body["state"] == "complete":
            raise ValueError("nothing is missing of what is complete")
        return cls(body["sha256"], body["state"], ranges)


def _check_pieces(size_bytes: object, chunk_bytes: object, pieces: object) -> None:
    if not (_is_number(size_bytes) and _is_number(chunk_bytes)):
        raise ValueError("size_bytes and chunk_bytes are integers, not negative")
    if not 1 <= chunk_bytes <= MOST_CHUNK_BYTES:
        raise ValueError(f"a piece has 1 to {MOST_CHUNK_BYTES} bytes")
    if not isinstance(pieces, list) or len(pieces) > MOST_CHUNKS or not all(map(_is_hash, pieces)):
        raise ValueError(f"chunks is a list of at most {MOST_CHUNKS} SHA-256")
    if len(pieces) != -(-size_bytes // chunk_bytes):
        raise ValueError("the number of pieces does not fit the sizes")


def _ends(pair: object) -> tuple[int, int]:
    if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_number, pair)):
        raise ValueError("a range is two numbers")
    first, last = pair
    if not first <= last < MOST_CHUNKS:
        raise ValueError("a range ends after it begins")
    return first, last


def _only(body: dict[str, Any], *names: str) -> dict[str, Any]:
    if set(body) != set(names):
        raise ValueError(f"the keys are {', '.join(names)}")
    return body


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_number(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def _encode(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
