"""Verification of a whole audit log against the head that was kept beside it."""

from collections.abc import Iterable

from ownroot.audit.merkle import Frontier, leaf_hash
from ownroot.errors import InvalidInputError


def verify_log(bodies: Iterable[bytes], head: Frontier) -> None:
    """Check that these entries, in this order, are the log this head belongs to.

    Args:
        bodies: canonical bytes of every entry, the oldest first.
        head: read in the same transaction as the entries. Whoever can write both can forge both: compare the root
            with one noted elsewhere to find that out.
    Raises:
        InvalidInputError: `audit-log-short`, `audit-log-long` or `audit-log-altered`.
    """
    grown = Frontier()
    for body in bodies:
        grown = grown.append(leaf_hash(body))
    if grown.size < head.size:
        raise InvalidInputError(
            "audit-log-short", f"The audit log holds {grown.size} entries where its head counts {head.size}."
        )
    if grown.size > head.size:
        raise InvalidInputError(
            "audit-log-long", f"The audit log holds {grown.size} entries where its head counts {head.size}."
        )
    if grown != head:
        raise InvalidInputError(
            "audit-log-altered",
            "An entry of the audit log is not what was written: the tree hash differs from the head.",
        )
