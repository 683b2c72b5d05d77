"""Proofs of the incremental tree against the recursive definitions of RFC 6962, section 2.1."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.evidence.joint import join, joint_proof, part
from edge.evidence.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)

MOST = 70
LEAVES = [hashlib.sha256(bytes([number])).digest() for number in range(MOST)]


def _nodes() -> dict[tuple[int, int], bytes]:
    frontier, nodes = Frontier(), {}
    for leaf in LEAVES:
        frontier, made = frontier.append(leaf)
        nodes |= {(level, position): value for level, position, value in made}
    return nodes


NODES = _nodes()


def read(level: int, position: int) -> bytes:
    return NODES[level, position]


def largest_power_below(n: int) -> int:
    power = 1
    while power * 2 < n:
        power *= 2
    return power


def mth(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 over leaf hashes, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


def root(size: int) -> bytes:
    return Frontier.load(size, read).root()


def test_roots_of_all_sizes() -> None:
    for size in range(MOST + 1):
        assert root(size) == mth(LEAVES[:size])


@settings(max_examples=80, deadline=None)
@given(st.integers(1, MOST), st.data())
def test_inclusion(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, read)
    assert proof == path(index, LEAVES[:size])
    assert verify_inclusion(LEAVES[index], index, size, proof, root(size))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, MOST), st.data())
def test_consistency(second: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, second))
    proof = consistency_proof(first, second, read)
    assert proof == subproof(first, LEAVES[:second], whole=True)
    assert verify_consistency(first, second, proof, root(first), root(second))


def _damaged(proof: list[bytes], data: st.DataObject) -> list[bytes]:
    """A proof with one bit turned, one hash lost, or one hash too many."""
    place = data.draw(st.integers(0, max(len(proof) - 1, 0)))
    kinds = ["longer"] if not proof else ["bit", "shorter", "longer"]
    match data.draw(st.sampled_from(kinds)):
        case "bit":
            turned = bytes([proof[place][0] ^ 1]) + proof[place][1:]
            return [*proof[:place], turned, *proof[place + 1 :]]
        case "shorter":
            return proof[:place] + proof[place + 1 :]
    return [*proof[:place], LEAVES[0], *proof[place:]]


@settings(max_examples=80, deadline=None)
@given(st.integers(1, MOST), st.data())
def test_a_damaged_inclusion_proof_proves_nothing(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, read)
    assert not verify_inclusion(LEAVES[index], index, size, _damaged(proof, data), root(size))
    other = data.draw(st.integers(0, MOST - 1).filter(lambda i: i != index))
    assert not verify_inclusion(LEAVES[other], index, size, proof, root(size))
    assert not verify_inclusion(LEAVES[index], other, size, proof, root(size))


@settings(max_examples=80, deadline=None)
@given(st.integers(2, MOST), st.data())
def test_a_damaged_consistency_proof_proves_nothing(second: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, second - 1))
    proof = consistency_proof(first, second, read)
    damaged = _damaged(proof, data)
    assert not verify_consistency(first, second, damaged, root(first), root(second))
    assert not verify_consistency(first, second, proof, root(second), root(second))
    assert not verify_consistency(first, second, proof, root(first), root(first))


some_leaves = st.sets(st.integers(0, MOST - 1), min_size=1, max_size=12).map(sorted)


@settings(max_examples=80, deadline=None)
@given(some_leaves, st.integers(0, MOST))
def test_a_joint_proof_holds_the_rfc_s_path_of_each_leaf(chosen: list[int], more: int) -> None:
    size = min(chosen[-1] + 1 + more, MOST)
    paths = [tuple(path(index, LEAVES[:size])) for index in chosen]
    joint = joint_proof(chosen, size, read)
    assert join(chosen, size, paths) == joint
    assert part([LEAVES[index] for index in chosen], chosen, size, joint) == paths
    assert len(joint) <= len({node for way in paths for node in way})


@settings(max_examples=80, deadline=None)
@given(some_leaves, st.data())
def test_a_damaged_joint_proof_proves_nothing(chosen: list[int], data: st.DataObject) -> None:
    leaves = [LEAVES[index] for index in chosen]
    damaged = _damaged(joint_proof(chosen, MOST, read), data)
    with contextlib.suppress(ValueError):
        ways = zip(leaves, chosen, part(leaves, chosen, MOST, damaged), strict=True)
        for leaf, index, way in ways:
            assert not verify_inclusion(leaf, index, MOST, way, root(MOST))


@pytest.mark.parametrize("indices", [[1, 1], [2, 1], [-1, 1], [1, MOST]])
def test_leaves_of_a_joint_proof_ascend_within_the_tree(indices: list[int]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        part(LEAVES[:2], indices, MOST, [])
