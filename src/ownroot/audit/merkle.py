"""A Merkle tree over the audit log, grown one leaf at a time.

What must be kept to grow it is the *frontier*: one hash for each complete subtree, largest first, as many as the size
has one bits. Whoever holds an old root can be shown that an entry is in the log, and a changed or dropped entry changes
every later root.

Source: RFC 9162 §2.1.1 (tree hash), §2.1.3 (inclusion proofs).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ownroot.errors import InvalidInputError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(body: bytes) -> bytes:
    """Hash an entry; the prefix keeps an entry from ever passing for an inner node."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """An append-only tree reduced to what growing it needs.

    Attributes:
        size: number of leaves.
        subtrees: hashes of the complete subtrees, the largest (leftmost) first.
    """

    size: int = 0
    subtrees: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> "Frontier":
        """Return the tree with one more leaf, given as its hash."""
        subtrees, size = list(self.subtrees), self.size
        while size & 1:
            leaf = node_hash(subtrees.pop(), leaf)
            size >>= 1
        return Frontier(self.size + 1, (*subtrees, leaf))

    @property
    def root(self) -> bytes:
        """The tree hash of all leaves."""
        if not self.subtrees:
            return EMPTY_ROOT
        *larger, root = self.subtrees
        for subtree in reversed(larger):
            root = node_hash(subtree, root)
        return root

    def to_bytes(self) -> bytes:
        """Return the subtree hashes one after the other; the size is kept beside them."""
        return b"".join(self.subtrees)


def parse_frontier(size: int, subtrees: bytes) -> Frontier:
    """Read what `Frontier.to_bytes` wrote.

    Raises:
        InvalidInputError: `audit-frontier-malformed`: the number of hashes does not fit the size.
    """
    if size < 0 or len(subtrees) != size.bit_count() * HASH_BYTES:
        raise InvalidInputError(
            "audit-frontier-malformed", f"The head of the audit log does not belong to a log of {size} entries."
        )
    return Frontier(size, tuple(subtrees[at : at + HASH_BYTES] for at in range(0, len(subtrees), HASH_BYTES)))


def frontier_of(leaves: Iterable[bytes]) -> Frontier:
    """Grow a tree from leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    return frontier


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the hashes that lead from one leaf to the root, the leaf's neighbour first.

    Raises:
        InvalidInputError: `audit-entry-unknown`: there is no such leaf.
    Source: RFC 9162 §2.1.3.1.
    """
    if not 0 <= index < len(leaves):
        raise InvalidInputError("audit-entry-unknown", f"The log has no entry {index}; it has {len(leaves)} entries.")
    if len(leaves) == 1:
        return ()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return (*inclusion_proof(left, index), frontier_of(right).root)
    return (*inclusion_proof(right, index - split), frontier_of(left).root)


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Does the proof lead from this leaf, at this place in a log of this size, to this root?

    Source: RFC 9162 §2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root
