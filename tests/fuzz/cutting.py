"""How the fuzzer cuts what it throws."""

from __future__ import annotations

from collections.abc import Iterator


def pieces(data: bytes) -> Iterator[bytes]:
    """The bytes after the first, in pieces of one to 32 bytes."""
    size = data[0] % 32 + 1 if data else 1
    for at in range(1, len(data), size):
        yield data[at : at + size]
