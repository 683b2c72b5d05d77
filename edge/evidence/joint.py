"""One proof for many leaves of a tree: a hash that several audit paths share stands in it once.

The joint proof holds, from left to right, the hashes of the largest subtrees without a leaf that
is to be proven: for some hundred leaves in a row two dozen. It is taken apart into an audit path
for each leaf (RFC 9162, 2.1.3), and nothing is proven until those lead to the root.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edge.evidence.merkle import NodeReader, climb, range_hash, split_range

Path = tuple[bytes, ...]


class _Gap(NamedTuple):
    """A subtree without a leaf that is to be proven."""

    begin: int
    end: int
    beside: int
    """Which of the leaves stands in the other half of the range that holds both."""
    depth: int
    """Halvings from the root to it."""


def joint_proof(indices: Sequence[int], size: int, read: NodeReader) -> list[bytes]:
    """The joint proof of leaves in ascending order."""
    return [range_hash(gap.begin, gap.end, read) for gap in _gaps(indices, size)]


def join(indices: Sequence[int], size: int, paths: Sequence[Path]) -> list[bytes]:
    """The joint proof of leaves in ascending order, from the audit path of each."""
    return [paths[gap.beside][-gap.depth] for gap in _gaps(indices, size)]


def part(
    leaves: Sequence[bytes], indices: Sequence[int], size: int, joint: Sequence[bytes]
) -> list[Path]:
    """The audit path of each leaf hash. If one leads to the root, so do all.

    Raises
    ------
    ValueError
        The indices do not ascend within the tree, or the proof has too few hashes or too many.
    """
    if not all(a < b for a, b in zip((-1, *indices), (*indices, size), strict=True)):
        raise ValueError("the leaves of a joint proof ascend within the tree")
    paths: list[list[bytes]] = [[] for _ in leaves]
    rest = iter(joint)

    def climb_from(begin: int, end: int, first: int, last: int) -> bytes:
        """Hash of a range with the leaves from ``first`` to before ``last``, whose paths grow."""
        if first == last:
            return next(rest)
        if end - begin == 1:
            return leaves[first]
        split = split_range(begin, end)
        middle = bisect_left(indices, split, first, last)
        left = climb_from(begin, split, first, middle)
        right = climb_from(split, end, middle, last)
        for path in paths[first:middle]:
            path.append(right)
        for path in paths[middle:last]:
            path.append(left)
        return climb(left, right)

    try:
        climb_from(0, size, 0, len(indices))
    except StopIteration:
        raise ValueError("the joint proof has too few hashes") from None
    if next(rest, None) is not None:
        raise ValueError("the joint proof has too many hashes")
    return list(map(tuple, paths))


def _gaps(indices: Sequence[int], size: int) -> Iterator[_Gap]:
    """From left to right."""
    ways = [(_Gap(0, size, 0, 0), 0, len(indices))]
    while ways:
        (begin, end, _, depth), first, last = way = ways.pop()
        if first == last:
            yield way[0]
        elif end - begin > 1:
            split = split_range(begin, end)
            middle = bisect_left(indices, split, first, last)
            ways.append((_Gap(split, end, first, depth + 1), middle, last))
            ways.append((_Gap(begin, split, first, depth + 1), first, middle))
