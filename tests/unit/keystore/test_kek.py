"""The key-encryption key: made privately, read suspiciously."""

import base64
import os
import stat

import pytest

from ownroot.errors import KeyStoreError
from ownroot.keystore.kek import KEK_FILE, load_kek, load_or_make_kek


def refusal_code(directory, environment=None):
    with pytest.raises(KeyStoreError) as refusal:
        load_kek(directory, environment or {})
    return refusal.value.code


def test_it_is_made_once_and_readable_by_us_alone(tmp_path):
    made = load_or_make_kek(tmp_path, {})
    assert stat.S_IMODE((tmp_path / KEK_FILE).stat().st_mode) == 0o600
    assert load_or_make_kek(tmp_path, {}).sub_key("ca") == made.sub_key("ca")
    assert os.listdir(tmp_path) == [KEK_FILE]


def test_a_missing_file_is_an_error_where_keys_are_sealed_already(tmp_path):
    assert refusal_code(tmp_path) == "kek-missing"


def test_sub_keys_differ_by_purpose_and_from_the_kek(tmp_path):
    kek = load_or_make_kek(tmp_path, {}, random=bytes)
    assert len({kek.sub_key("ca"), kek.sub_key("gateway-tls"), bytes(32)}) == 3


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_others_can_read_is_refused(tmp_path, mode):
    load_or_make_kek(tmp_path, {})
    (tmp_path / KEK_FILE).chmod(mode)
    assert refusal_code(tmp_path) == "kek-mode"


def test_a_link_is_not_followed(tmp_path):
    load_or_make_kek(tmp_path, {})
    (tmp_path / KEK_FILE).rename(tmp_path / "elsewhere")
    (tmp_path / KEK_FILE).symlink_to("elsewhere")
    assert refusal_code(tmp_path) == "kek-unreadable"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_file_of_another_user_is_refused(tmp_path):
    load_or_make_kek(tmp_path, {})
    os.chown(tmp_path / KEK_FILE, 12345, 12345)
    assert refusal_code(tmp_path) == "kek-owner"


@pytest.mark.parametrize(("text", "code"), [("not base64!", "kek-unreadable"), ("QUJD", "kek-size")])
def test_a_damaged_value_is_refused(tmp_path, text, code):
    assert refusal_code(tmp_path, {"OWNROOT_KEK": text}) == code
    (tmp_path / KEK_FILE).write_text(text)
    (tmp_path / KEK_FILE).chmod(0o600)
    assert refusal_code(tmp_path) == code


def test_the_environment_is_used_instead_of_a_file(tmp_path):
    secret = base64.b64encode(bytes(range(32))).decode()
    kek = load_or_make_kek(tmp_path, {"OWNROOT_KEK": secret})
    assert kek.sub_key("ca") == load_kek(tmp_path, {"OWNROOT_KEK": secret}).sub_key("ca")
    assert os.listdir(tmp_path) == []


def test_it_shows_nothing_when_printed(tmp_path):
    kek = load_or_make_kek(tmp_path, {}, random=lambda size: b"K" * size)
    assert "KKK" not in repr(kek) + str(kek)
