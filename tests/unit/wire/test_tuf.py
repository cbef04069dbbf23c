"""Production targets on their way to the server: all that are read there, and not an octet more."""

import pytest

from ownroot.errors import InvalidInputError
from ownroot.tuf.metadata import new_targets
from ownroot.wire.documents import write_document
from ownroot.wire.tuf import PRODUCTION_MAX_OCTETS, parse_production, production_document
from tests.support.tuf_world import NOW, ed25519_signer, signed_document

SIGNER = ed25519_signer(71)


def upload_of(octets: int) -> object:
    """Two tags, the second with as much text as makes the whole so long."""
    small = signed_document(new_targets(1, NOW, {}), SIGNER)

    def padded(length: int) -> dict[str, object]:
        large = signed_document(new_targets(1, NOW, {"lmp-7": {"custom": {"uri": "u" * length}}}), SIGNER)
        return dict(production_document({"main": small, "devel": large}))

    return padded(octets - len(write_document(padded(0))))


def test_the_largest_upload_is_read() -> None:
    body = write_document(upload_of(PRODUCTION_MAX_OCTETS))

    assert len(body) == PRODUCTION_MAX_OCTETS
    assert sorted(parse_production(body)) == ["devel", "main"]


def test_one_octet_more_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidInputError, match=f"2 tags have {PRODUCTION_MAX_OCTETS + 1} bytes") as caught:
        upload_of(PRODUCTION_MAX_OCTETS + 1)

    assert caught.value.code == "tuf-targets-too-long"
