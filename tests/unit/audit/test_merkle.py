"""The Merkle tree against the definition in RFC 9162, written down a second time as plain recursion."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    frontier_of,
    inclusion_proof,
    is_included,
    leaf_hash,
    node_hash,
    parse_frontier,
)
from ownroot.errors import InvalidInputError

LEAVES = [leaf_hash(bytes([number])) for number in range(70)]


def tree_hash(leaves: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


@pytest.mark.parametrize("size", range(70))
def test_root_is_the_tree_hash_of_the_rfc(size: int) -> None:
    assert frontier_of(LEAVES[:size]).root == tree_hash(LEAVES[:size])


def test_empty_tree_has_the_hash_of_nothing() -> None:
    assert Frontier().root == EMPTY_ROOT == tree_hash([])


def test_a_leaf_never_passes_for_a_node() -> None:
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 69])
def test_stored_frontier_grows_like_the_one_in_memory(size: int) -> None:
    grown = frontier_of(LEAVES[:size])
    stored = parse_frontier(grown.size, grown.to_bytes())
    assert stored.append(LEAVES[-1]) == grown.append(LEAVES[-1])


@pytest.mark.parametrize(("size", "subtrees"), [(1, b""), (2, bytes(64)), (3, bytes(63)), (-1, b""), (0, bytes(32))])
def test_frontier_of_another_size_is_refused(size: int, subtrees: bytes) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_frontier(size, subtrees)
    assert refused.value.code == "audit-frontier-malformed"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 33, 70])
def test_every_leaf_can_be_proven(size: int) -> None:
    leaves, root = LEAVES[:size], tree_hash(LEAVES[:size])
    proofs = [inclusion_proof(leaves, index) for index in range(size)]
    assert all(is_included(leaves[i], i, size, proof, root) for i, proof in enumerate(proofs))


@given(st.integers(2, 70), st.data())
def test_a_proof_counts_for_its_leaf_place_size_and_root_alone(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = LEAVES[:size]
    proof, root = inclusion_proof(leaves, index), tree_hash(leaves)
    other = LEAVES[(index + 1) % size]
    assert not is_included(other, index, size, proof, root)
    assert not is_included(leaves[index], index ^ 1, size, proof, root)
    assert not is_included(leaves[index], index, size, proof[:-1], root)
    assert not is_included(leaves[index], index, size, (*proof, other), root)
    assert not is_included(leaves[index], index, size, proof, other)


def test_place_beyond_the_log_is_not_included() -> None:
    assert not is_included(LEAVES[0], 1, 1, (), LEAVES[0])


@pytest.mark.parametrize("index", [-1, 3])
def test_no_proof_for_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(InvalidInputError) as refused:
        inclusion_proof(LEAVES[:3], index)
    assert refused.value.code == "audit-entry-unknown"
