"""A manifest is believed only under the key-encryption key that made it."""

from datetime import UTC, datetime

import msgspec
import pytest

from ownroot.bootstrap.backup_manifest import BackupManifest, code_of, encode, kek_check, open_manifest
from ownroot.errors import InvalidInputError, KeyStoreError, OwnrootError, RefusedError
from ownroot.keystore.kek import Kek

KEK, OTHER = Kek(b"k" * 32), Kek(b"o" * 32)
MANIFEST = BackupManifest(
    program="1.0",
    schema="0001",
    made_at=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
    database_bytes=4096,
    database_sha256="a" * 64,
    audit_size=7,
    audit_root="b" * 64,
    trust_generation=3,
    devices=2,
    kek_check=kek_check(KEK),
)
TEXT = encode(MANIFEST)


def refused(text: bytes, code: bytes, kek: Kek = KEK) -> OwnrootError:
    with pytest.raises(OwnrootError) as caught:
        open_manifest(text, code, kek)
    return caught.value


def test_a_manifest_reads_back_under_its_key() -> None:
    assert open_manifest(TEXT, code_of(TEXT, KEK), KEK) == MANIFEST


def test_under_another_key_it_says_that_it_is_another_key() -> None:
    error = refused(TEXT, code_of(TEXT, KEK), OTHER)
    assert (type(error), error.code) == (KeyStoreError, "backup-other-kek")


@pytest.mark.parametrize("text", [TEXT.replace(b'"devices": 2', b'"devices": 3'), TEXT + b" ", b"", b"\xff", b"[]"])
def test_one_changed_detail_is_an_altered_backup(text: bytes) -> None:
    error = refused(text, code_of(TEXT, KEK))
    assert (type(error), error.code) == (RefusedError, "backup-altered")


def test_a_code_that_is_none_is_an_altered_backup() -> None:
    assert refused(TEXT, b"\xff" * 64).code == "backup-altered"


def test_a_later_form_is_refused_though_the_key_vouches_for_it() -> None:
    document = msgspec.json.decode(TEXT)
    for later in (document | {"format": 2}, {"format": 2}, document | {"more": 1}, {}):
        text = msgspec.json.encode(later)
        error = refused(text, code_of(text, KEK))
        assert (type(error), error.code) == (InvalidInputError, "backup-format-unknown")


def test_the_check_value_is_neither_the_key_nor_a_sub_key() -> None:
    assert kek_check(KEK) not in {(b"k" * 32).hex(), KEK.sub_key("backup-check").hex(), kek_check(OTHER)}
