"""Offline TUF keys on a token: made there, used there, and never in a file."""

import subprocess
from pathlib import Path

import pytest

from ownroot.tuf.metadata import Role
from tests.support.owner import Owner, Ran
from tests.support.softhsm import LABEL, PIN, SoftHsm, soft_hsm
from tests.support.tuf_program import TufAdmin


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return soft_hsm(tmp_path / "hsm")


@pytest.fixture
def holder(owner: Owner, hsm: SoftHsm) -> Owner:
    return owner.having(**hsm.environment, OWNROOT_HSM_PIN=PIN)


def on(hsm: SoftHsm) -> tuple[str, ...]:
    return ("--hsm-module", str(hsm.module), "--hsm-token-label", LABEL)


def rotate(holder: Owner, keys: Path, role: str, *more: str) -> Ran:
    return holder.run("keys", "tuf", "rotate-offline-key", "-r", role, "-k", keys, "--yes", "--json", *more)


def test_keys_of_root_and_targets_are_made_and_used_on_the_token(
    holder: Owner, hsm: SoftHsm, admin: TufAdmin, tuf_keys: Path
) -> None:
    device = admin.fresh_device()

    assert rotate(holder, tuf_keys, "root", "--first-time", *on(hsm)).code == 0
    assert rotate(holder, tuf_keys, "targets", *on(hsm)).code == 0
    assert rotate(holder, tuf_keys, "root", *on(hsm)).json["version"] == 5

    admin.walk(device)
    assert [label.rpartition("-")[0] for label in hsm.labels()] == ["tuf-root", "tuf-root", "tuf-targets"]
    names = subprocess.run(["tar", "-tzf", tuf_keys], capture_output=True, check=True, text=True).stdout.split()
    assert [name for name in names if name.endswith(".sec")] == ["tufrepo/keys/first-root.sec"]
    shown = holder.run("keys", "show", "-k", tuf_keys, "--json").json["tuf"]["keys"]
    (root,) = [key["holder"] for key in shown if key["role"] == Role.ROOT.value]
    assert root.endswith(f"on the token {LABEL}")


def test_production_target_is_signed_on_the_token(holder: Owner, hsm: SoftHsm, tuf_keys: Path) -> None:
    assert rotate(holder, tuf_keys, "root", "--first-time", *on(hsm)).code == 0
    assert rotate(holder, tuf_keys, "targets", *on(hsm)).code == 0
    words = ("targets", "add", "lmp-7", "--sha256", "4f" * 32, "--length", "0", "--prod", "-k", tuf_keys, "--yes")

    assert holder.run(*words, "--json").error["code"] == "tuf-key-on-token"
    assert holder.run(*words, *on(hsm)).code == 0


def test_without_the_token_nothing_is_signed(holder: Owner, hsm: SoftHsm, admin: TufAdmin, tuf_keys: Path) -> None:
    assert rotate(holder, tuf_keys, "root", "--first-time", *on(hsm)).code == 0

    assert rotate(holder, tuf_keys, "root").error["code"] == "tuf-key-on-token"
    assert admin.state()["status"] == "NONE"
    for label in hsm.labels():
        hsm.pkcs11_tool("--delete-object", "--type", "privkey", "--label", label)
    assert rotate(holder, tuf_keys, "root", *on(hsm)).error["code"] == "tuf-key-on-token"
    assert admin.fresh_device().root.version == 3


def test_rsa_key_on_a_token_is_refused(holder: Owner, hsm: SoftHsm, tuf_keys: Path) -> None:
    refused = rotate(holder, tuf_keys, "root", "--first-time", "-y", "RSA", *on(hsm))

    assert refused.error["code"] == "tuf-token-key-type"
    assert hsm.labels() == []
