"""Verification of a whole log: any change of any entry shows."""

import pytest

from ownroot.audit.log import verify_log
from ownroot.audit.merkle import frontier_of, leaf_hash
from ownroot.errors import InvalidInputError

BODIES = [b"one", b"two", b"three"]
HEAD = frontier_of(leaf_hash(body) for body in BODIES)


def test_log_as_it_was_written_passes() -> None:
    verify_log(BODIES, HEAD)


@pytest.mark.parametrize(
    ("bodies", "code"),
    [
        (BODIES[:2], "audit-log-short"),
        ([*BODIES, b"four"], "audit-log-long"),
        ([b"one", b"two", b"3"], "audit-log-altered"),
        ([b"two", b"one", b"three"], "audit-log-altered"),
    ],
)
def test_log_that_differs_is_refused(bodies: list[bytes], code: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        verify_log(bodies, HEAD)
    assert refused.value.code == code
