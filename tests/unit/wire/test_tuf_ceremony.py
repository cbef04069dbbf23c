"""Files of a TUF ceremony: one way to write them, every other refused, and signed by root keys alone."""

from datetime import UTC, datetime

import pytest

from ownroot.errors import OwnrootError
from ownroot.wire.ceremony_envelope import write_file
from ownroot.wire.tuf_ceremony import (
    TUF_CEREMONY,
    TufApproval,
    TufApprovalFile,
    TufRequestFile,
    sign_tuf_approval,
    verify_tuf_file,
)
from tests.support.tuf_world import ed25519_signer

MINE, OTHER = ed25519_signer(61), ed25519_signer(62)
BODY = TufApproval(
    factory="acme",
    request_sha256="0" * 64,
    approved_at=datetime(2026, 11, 26, tzinfo=UTC),
    operators=("Ada",),
    base_ci_root="{}",
    upload={"b": 1, "a": [2]},
)
FILE = sign_tuf_approval(BODY, [MINE])
CONTENT = write_file(FILE)


def test_file_is_read_back_and_signed_by_its_key() -> None:
    read = TUF_CEREMONY.parse(CONTENT, TufApprovalFile)

    assert read == FILE
    assert verify_tuf_file(read, {MINE.key.key_id: MINE.key}) == {MINE.key.key_id}


def test_key_of_a_stranger_has_not_signed_it() -> None:
    with pytest.raises(OwnrootError, match="ceremony-signature"):
        verify_tuf_file(FILE, {OTHER.key.key_id: OTHER.key})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (CONTENT[:-1], "ceremony-file-altered"),
        (CONTENT + b"\n", "ceremony-file-altered"),
        (CONTENT.replace(b"Ada", b"Eve"), "ceremony-file-altered"),
        (CONTENT.replace(b'"version": 1', b'"version": 2'), "ceremony-file-version"),
        (CONTENT[: len(CONTENT) // 2], "ceremony-file-unreadable"),
        (b"\xff", "ceremony-file-unreadable"),
        (CONTENT.replace(b"ownroot-tuf-approval", b"ownroot-ceremony-approval"), "ceremony-file-unreadable"),
        (b" " * (5 * 1024 * 1024), "ceremony-file-too-large"),
    ],
)
def test_any_other_content_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(OwnrootError) as refused:
        TUF_CEREMONY.parse(content, TufApprovalFile)
    assert refused.value.code == code


def test_file_of_another_kind_is_refused() -> None:
    with pytest.raises(OwnrootError, match="ceremony-file-kind"):
        TUF_CEREMONY.parse(CONTENT, TufRequestFile)
