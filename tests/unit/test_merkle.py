"""The tree against the published vectors of the Certificate Transparency reference code."""

from __future__ import annotations

import hashlib

import pytest

from edge.evidence.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
SIBLING_OF_5 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
PAIR_4_5 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
PAIR_6_7 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
FIRST_FOUR = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"


def grown(leaves: list[bytes]) -> tuple[list[bytes], dict[tuple[int, int], bytes]]:
    """Roots after every append, and the stored nodes."""
    frontier, roots, nodes = Frontier(), [], {}
    for leaf in leaves:
        frontier, made = frontier.append(leaf_hash(leaf))
        roots.append(frontier.root())
        nodes |= {(level, position): value for level, position, value in made}
    return roots, nodes


def test_roots_of_the_reference() -> None:
    assert grown(LEAVES)[0] == ROOTS
    assert Frontier().root() == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_proofs_of_the_reference() -> None:
    _, nodes = grown(LEAVES)

    def read(level: int, position: int) -> bytes:
        return nodes[level, position]

    inclusion = [node.hex() for node in inclusion_proof(5, 8, read)]
    assert inclusion == [SIBLING_OF_5, PAIR_6_7, FIRST_FOUR]
    consistency = [node.hex() for node in consistency_proof(6, 8, read)]
    assert consistency == [PAIR_4_5, PAIR_6_7, FIRST_FOUR]


def test_a_frontier_is_found_again_in_the_stored_nodes() -> None:
    roots, nodes = grown(LEAVES)
    for size, root in enumerate(roots, start=1):
        loaded = Frontier.load(size, lambda level, position: nodes[level, position])
        assert (loaded.size, loaded.root()) == (size, root)


@pytest.mark.parametrize(("index", "size"), [(-1, 8), (8, 8), (0, 0), (9, 8)])
def test_no_proof_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(index, size, lambda _level, _position: b"")
    assert not verify_inclusion(leaf_hash(b""), index, size, [], ROOTS[0])


def test_no_proof_from_a_longer_tree_to_a_shorter_one() -> None:
    with pytest.raises(ValueError, match="no prefix"):
        consistency_proof(3, 2, lambda _level, _position: b"")
    assert not verify_consistency(3, 2, [], ROOTS[2], ROOTS[1])


def test_consistency_at_the_ends() -> None:
    assert verify_consistency(0, 8, [], EMPTY_ROOT, ROOTS[7])
    assert not verify_consistency(0, 8, [], ROOTS[0], ROOTS[7])
    assert verify_consistency(8, 8, [], ROOTS[7], ROOTS[7])
    assert not verify_consistency(8, 8, [], ROOTS[6], ROOTS[7])
    assert not verify_consistency(8, 8, [ROOTS[0]], ROOTS[7], ROOTS[7])
    assert not verify_consistency(3, 8, [], ROOTS[2], ROOTS[7])
    assert not verify_consistency(4, 8, [], ROOTS[3], ROOTS[7])


def test_a_leaf_is_never_a_node() -> None:
    """RFC 6962, 2.1: the prefixes keep an inner node from being passed off as a record."""
    two = LEAVES[:2]
    forged = leaf_hash(leaf_hash(two[0]) + leaf_hash(two[1]))
    assert forged != ROOTS[1]
