"""Certificates that wait for the server's word, as files."""

import os
from pathlib import Path

import pytest

from ownroot.cli.pki_directory import PkiDirectory
from ownroot.errors import KeyStoreError
from tests.support.certificates import factory_root, gateway_tls

ROOT = factory_root()
OLD, NEW = gateway_tls(ROOT), gateway_tls(ROOT)


@pytest.fixture
def directory(tmp_path: Path) -> PkiDirectory:
    directory = PkiDirectory(tmp_path)
    directory.write_certificate("tls-crt", OLD.certificate)
    directory.stage("tls-crt", NEW.certificate)
    return directory


def contents(directory: PkiDirectory) -> dict[str, str]:
    return {name: (directory.path / name).read_text() for name in directory.files()}


def test_staged_certificate_leaves_the_one_in_service_alone(directory: PkiDirectory) -> None:
    assert contents(directory) == {"tls-crt": OLD.pem, "tls-crt.new": NEW.pem}
    assert directory.find_staged("tls-crt") == NEW.certificate


def test_promoted_certificate_takes_its_place_and_the_old_one_is_kept(directory: PkiDirectory) -> None:
    directory.promote("tls-crt")
    assert contents(directory) == {"tls-crt": NEW.pem, "tls-crt.bak": OLD.pem}
    assert {(directory.path / name).stat().st_mode & 0o777 for name in directory.files()} == {0o400}
    assert directory.find_staged("tls-crt") is None


def test_promotion_cut_in_the_middle_is_promoted_again(directory: PkiDirectory) -> None:
    (directory.path / "tls-crt.bak").write_text(OLD.pem)  # all that happened before the power went
    directory.promote("tls-crt")
    assert contents(directory) == {"tls-crt": NEW.pem, "tls-crt.bak": OLD.pem}


def test_first_certificate_of_its_name_has_no_predecessor(tmp_path: Path) -> None:
    directory = PkiDirectory(tmp_path)
    directory.stage("online-crt", NEW.certificate)
    directory.promote("online-crt")
    assert contents(directory) == {"online-crt": NEW.pem}


def test_what_another_tool_left_there_is_kept_byte_for_byte(directory: PkiDirectory) -> None:
    (directory.path / "tls-crt").chmod(0o600)
    (directory.path / "tls-crt").write_bytes(b"\r\nnot even PEM\xff")
    directory.promote("tls-crt")
    assert (directory.path / "tls-crt.bak").read_bytes() == b"\r\nnot even PEM\xff"


def test_unstaged_certificate_is_gone_and_may_have_been_before(directory: PkiDirectory) -> None:
    directory.unstage("tls-crt")
    directory.unstage("tls-crt")
    assert contents(directory) == {"tls-crt": OLD.pem}


def test_nothing_staged_cannot_be_promoted_and_nothing_is_lost(directory: PkiDirectory) -> None:
    directory.unstage("tls-crt")
    with pytest.raises(KeyStoreError) as refused:
        directory.promote("tls-crt")
    assert refused.value.code == "pki-directory-unwritable"
    assert contents(directory)["tls-crt"] == OLD.pem


def test_half_written_files_of_a_power_cut_are_swept_and_staged_ones_are_not(directory: PkiDirectory) -> None:
    for name in (
        ".tls-crt.new.a1b2c3d4",
        ".tls-crt.bak.a1b2c3d4",
        ".line-2.pem.new.abcd_123",
        "..ownroot-probe.6qi4uw0_",
    ):
        (directory.path / name).write_text("half")
    with directory.held():
        assert sorted(os.listdir(directory.path)) == ["tls-crt", "tls-crt.new"]
