"""Names and contents of the files in which a log is published: C2SP tlog-tiles.

A tile holds 256 hashes of one level of the tree, a bundle the 256 records under a tile of level 0.
The last of each level may be partial. Full ones never change, so that copies can be kept anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH = 256
"""Hashes in a full tile: eight levels of the tree."""
LEVELS_A_TILE = 8
CHECKPOINT = "checkpoint"
LONGEST_ENTRY = 0xFFFF


@dataclass(frozen=True, slots=True)
class Tile:
    """Place of a tile: its level (of tiles), its number, and how many hashes it holds."""

    level: int
    number: int
    width: int

    @property
    def path(self) -> str:
        """Where its hashes stand, from the root of the published log."""
        return f"tile/{self.level}/{self._name}"

    @property
    def entries_path(self) -> str:
        """Where the records under a tile of level 0 stand."""
        return f"tile/entries/{self._name}"

    @property
    def _name(self) -> str:
        return number_path(self.number) + (f".p/{self.width}" if self.width < WIDTH else "")

    @property
    def node_level(self) -> int:
        """Level in the tree of the hashes that it holds."""
        return LEVELS_A_TILE * self.level

    @property
    def first(self) -> int:
        """Position of its first hash in that level of the tree."""
        return WIDTH * self.number


def number_path(number: int) -> str:
    """A number in path elements of three digits: 1234067 is ``x001/x234/067``."""
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.append(f"x{number % 1000:03d}")
    return "/".join(reversed(parts))


def tiles_of(size: int) -> Iterator[Tile]:
    """All tiles of a tree of ``size`` leaves, level by level, the partial one of a level last."""
    level, hashes = 0, size
    while hashes:
        full, rest = divmod(hashes, WIDTH)
        yield from (Tile(level, number, WIDTH) for number in range(full))
        if rest:
            yield Tile(level, full, rest)
        level, hashes = level + 1, full


def entry_bundle(entries: Sequence[bytes]) -> bytes:
    """Records one after the other, each behind its length in two bytes, big-endian.

    Raises
    ------
    ValueError
        An entry is longer than two bytes can say.
    """
    longest = max((len(entry) for entry in entries), default=0)
    if longest > LONGEST_ENTRY:
        raise ValueError(f"an entry of {longest} bytes does not fit a bundle")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
