"""The Merkle tree of RFC 6962 section 2.1 (RFC 9162 section 2.1): append, prove, verify.

Only hashes of complete subtrees are kept, each addressed by (level, index): node (l, i) covers the
leaves [i * 2^l, (i + 1) * 2^l). They never change once written, so a proof for any earlier size of
the tree costs O(log n) reads.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of the tree without leaves."""


class Node(NamedTuple):
    """Hash of a complete subtree of 2^level leaves, the ``position``-th of its size."""

    level: int
    position: int
    hash: bytes


NodeReader = Callable[[int, int], bytes]
"""Gives the hash of the complete subtree (level, index)."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


climb = functools.lru_cache(maxsize=1024)(node_hash)
"""Neighbours in a log share most of their way to the root."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: all that is needed to append and to know the root.

    ``peaks`` are the roots of the complete subtrees that make up the tree, largest first.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    @classmethod
    def load(cls, size: int, read: NodeReader) -> Frontier:
        """The frontier of the first ``size`` leaves of a stored tree."""
        return cls(size, tuple(read(level, index) for level, index in _cover(0, size)))

    def append(self, leaf: bytes) -> tuple[Frontier, list[Node]]:
        """The frontier with one leaf hash more, and the nodes that this completed."""
        nodes = [Node(0, self.size, leaf)]
        peaks = list(self.peaks)
        while nodes[-1].position & 1:
            level, position, right = nodes[-1]
            nodes.append(Node(level + 1, position >> 1, node_hash(peaks.pop(), right)))
        return Frontier(self.size + 1, (*peaks, nodes[-1].hash)), nodes

    def root(self) -> bytes:
        """Merkle tree hash of all leaves."""
        return _fold(self.peaks)


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[bytes]:
    """Audit path of leaf ``index`` in the tree of ``size`` leaves (RFC 9162, 2.1.3.1).

    Raises
    ------
    ValueError
        The tree of that size has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    way = []
    begin, end = 0, size
    while end - begin > 1:
        split = split_range(begin, end)
        if index < split:
            way.append(range_hash(split, end, read))
            end = split
        else:
            way.append(range_hash(begin, split, read))
            begin = split
    return way[::-1]


def consistency_proof(first: int, second: int, read: NodeReader) -> list[bytes]:
    """Proof that the first tree is a prefix of the second (RFC 9162, 2.1.4.1).

    ``first`` and ``second`` are numbers of leaves.

    Raises
    ------
    ValueError
        ``first`` is negative or larger than ``second``.
    """
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {first} is no prefix of a tree of {second}")
    if first == 0:
        return []
    path = []
    begin, end = 0, second
    while first != end:
        split = split_range(begin, end)
        if first <= split:
            path.append(range_hash(split, end, read))
            end = split
        else:
            path.append(range_hash(begin, split, read))
            begin = split
    if begin:
        path.append(range_hash(begin, end, read))
    return path[::-1]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether ``proof`` shows the leaf hash at ``index`` of the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            value = climb(sibling, value)
            position, last = _skip_levels_without_sibling(position, last)
        else:
            value = climb(value, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and value == root


def verify_consistency(
    first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes
) -> bool:
    """Whether ``proof`` shows that the first tree is a prefix of the second (RFC 9162, 2.1.4.2)."""
    if not 0 <= first <= second:
        return False
    if first in (0, second):
        return not proof and first_root == (second_root if first else EMPTY_ROOT)
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        return False
    position, last = first - 1, second - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            position, last = _skip_levels_without_sibling(position, last)
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _skip_levels_without_sibling(position: int, last: int) -> tuple[int, int]:
    """Climb from a right edge without a partner to the level where it has one."""
    while position and not position & 1:
        position, last = position >> 1, last >> 1
    return position, last


def split_range(begin: int, end: int) -> int:
    """Where RFC 6962 cuts a range: after the largest power of two smaller than its length."""
    return begin + (1 << ((end - begin - 1).bit_length() - 1))


def _cover(begin: int, end: int) -> list[tuple[int, int]]:
    """(level, index) of the complete subtrees that make up [begin, end), largest first.

    ``begin`` is a multiple of the largest of them, as it is for every range that the RFC cuts.
    """
    nodes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        nodes.append((level, begin >> level))
        begin += 1 << level
    return nodes


def range_hash(begin: int, end: int, read: NodeReader) -> bytes:
    """Hash over the leaves of a range as the RFC cuts them."""
    return _fold([read(level, index) for level, index in _cover(begin, end)])


def _fold(peaks: Sequence[bytes]) -> bytes:
    """Root over complete subtrees, joined from the smallest to the largest."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root
