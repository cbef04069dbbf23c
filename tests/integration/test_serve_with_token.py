"""A server whose key-encryption key comes from a token: what is on its disk, and what it refuses to start with."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.softhsm import LABEL, PIN, SoftHsm, soft_hsm_of_programs
from tests.support.world import PROGRAM, RunningServer, operate, running_server

WRONG_PIN = "271828182"


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    return soft_hsm_of_programs(tmp_path / "hsm", monkeypatch, pin_variable="OWNROOT_HSM_PIN")


@pytest.fixture
def settings(tmp_path: Path, hsm: SoftHsm) -> Path:
    file = tmp_path / "ownroot.toml"
    file.write_text(f'[keystore]\nmodule = "{hsm.module}"\ntoken_label = "{LABEL}"\n')
    return file


def served(folder: Path, settings: Path):
    return running_server(folder, workers=1, factory=None, options=["--config", str(settings)])


def refused(folder: Path, settings: Path) -> str:
    """Start a server that must not start; return what it says."""
    listen = ["--api", "127.0.0.1:0", "--gateway", "127.0.0.1:0"]
    command = [PROGRAM, "serve", "--data", str(folder / "data"), "--config", str(settings), *listen, "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 8, done.stderr
    assert not {PIN, WRONG_PIN} & set(done.stderr.split())
    return done.stderr


@pytest.fixture
def set_up(tmp_path: Path, settings: Path) -> Path:
    """A server that was set up with the token, and stopped."""
    with served(tmp_path, settings) as server:
        assert_serves(server, settings)
    return tmp_path


def assert_serves(server: RunningServer, settings: Path, name: str = "acme") -> None:
    made = operate(server.data_dir, "factory", "create", name, "--config", str(settings))
    answer = server.call("GET", f"/ota/factories/{name}/users/self/", token=made["token"])
    assert answer.status_code == 200


def test_no_key_encryption_key_is_on_the_disk(set_up: Path, hsm: SoftHsm) -> None:
    assert "kek" not in os.listdir(set_up / "data")
    shown = hsm.pkcs11_tool("--list-objects", "--type", "secrkey")
    assert "ownroot-kek" in shown
    assert "never extractable" in shown


def test_it_starts_again_with_the_token(set_up: Path, settings: Path) -> None:
    with served(set_up, settings) as server:
        assert_serves(server, settings, "second")


def test_no_part_of_it_has_the_pin(tmp_path: Path, settings: Path) -> None:
    with served(tmp_path, settings) as server:
        supervisor = server.process.pid
        parts = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        assert len(parts) == 2
        for part in parts:
            assert PIN.encode() not in Path(f"/proc/{part}/environ").read_bytes()
            assert PIN.encode() not in Path(f"/proc/{part}/cmdline").read_bytes()
        assert PIN not in server.log


def test_the_pin_may_come_from_a_file(set_up: Path, settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OWNROOT_HSM_PIN")
    pin_file = settings.with_name("pin")
    pin_file.write_text(f"{PIN}\n")
    settings.write_text(settings.read_text() + 'pin_file = "pin"\n')
    pin_file.chmod(0o640)
    assert "chmod 600" in refused(set_up, settings)
    pin_file.chmod(0o600)
    with served(set_up, settings):
        pass


def test_it_does_not_start_without_the_token(set_up: Path, settings: Path, hsm: SoftHsm) -> None:
    hsm.remove()
    assert "no token 'factory-hsm'" in refused(set_up, settings)


def test_it_does_not_start_with_a_token_of_the_same_name(set_up: Path, settings: Path, hsm: SoftHsm) -> None:
    hsm.remove()
    hsm.add_token()
    assert "no secret key 'ownroot-kek'" in refused(set_up, settings)
    assert "ownroot-kek" not in hsm.pkcs11_tool("--list-objects", "--type", "secrkey")


def test_it_does_not_start_with_a_wrong_pin(set_up: Path, settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWNROOT_HSM_PIN", WRONG_PIN)
    assert "refused the PIN" in refused(set_up, settings)


def test_it_does_not_start_with_a_file_in_place_of_the_token(set_up: Path, settings: Path) -> None:
    settings.write_text("")
    assert "key-encryption key" in refused(set_up, settings)


def test_half_a_keystore_section_is_refused(tmp_path: Path, settings: Path) -> None:
    settings.write_text('[keystore]\ntoken_label = "server"\n')
    command = [PROGRAM, "serve", "--data", str(tmp_path / "data"), "--config", str(settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "module and token_label" in done.stderr


# --- backup and restore


def restored(folder: Path, settings: Path, archive: Path) -> str:
    """Restore into a new directory; returns the code of the refusal, or `ok`."""
    words = [PROGRAM, "restore", archive, "--data", folder / "data", "--config", settings]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert not {PIN, WRONG_PIN} & set(done.stderr.split())
    return "ok" if done.returncode == 0 else done.stderr.rpartition("(error code: ")[2].rstrip(")\n")


@pytest.fixture
def archive(set_up: Path, settings: Path) -> Path:
    """A backup of the server that was set up with the token."""
    made = set_up / "backup.tar"
    operate(set_up / "data", "backup", str(made), "--config", str(settings))
    return made


def test_a_backup_comes_back_with_the_token_and_serves(archive: Path, settings: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    assert restored(new, settings, archive) == "ok"
    assert os.listdir(new / "data") == ["ownroot.db"]
    with served(new, settings) as server:
        assert_serves(server, settings, "second")
    assert "kek" not in os.listdir(new / "data")


def test_a_backup_does_not_come_back_with_another_token_of_that_name(
    archive: Path, settings: Path, hsm: SoftHsm, tmp_path: Path
) -> None:
    hsm.remove()
    hsm.add_token()
    assert restored(tmp_path / "new", settings, archive) == "kek-missing"
    with served(tmp_path / "other", settings):
        pass  # the first start makes a key on the new token
    assert restored(tmp_path / "new", settings, archive) == "backup-other-kek"
    assert not (tmp_path / "new").exists()


def test_a_backup_does_not_come_back_with_a_wrong_pin(
    archive: Path, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWNROOT_HSM_PIN", WRONG_PIN)
    assert restored(tmp_path / "new", settings, archive) == "pin-incorrect"
    assert not (tmp_path / "new").exists()


def test_no_backup_is_made_without_the_token(
    set_up: Path, settings: Path, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    hsm.remove()
    with pytest.raises(AssertionError, match="no token 'factory-hsm'"):
        operate(set_up / "data", "backup", str(set_up / "backup.tar"), "--config", str(settings))
    assert not (set_up / "backup.tar").exists()
