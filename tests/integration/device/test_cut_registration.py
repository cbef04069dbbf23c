"""A device whose power goes at any step registers on the next try, as the same device, with the same key."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ownroot.keystore.labels import DEVICE_HSM_LABEL
from tests.support.device_program import DeviceProgram, certificate_of
from tests.support.identity_on_token import assert_complete, objects, public_key_on
from tests.support.softhsm import SoftHsm, soft_hsm
from tests.support.world import RunningServer

FILES = ["client.chained", "client.pem", "pkey.pem", "root.crt", "sota.toml"]
WRITE = "ownroot.device.registration:write_private"
BOTH_PLACES = [
    ("ownroot.client.registration:RegistrationEndpoint.register", "before", 1),
    ("ownroot.client.registration:RegistrationEndpoint.register", "after", 1),
    ("ownroot.device.registration:verify_reply", "after", 1),
    ("ownroot.device.registration:withdraw_registration", "after", 1),
    *((WRITE, "after", which) for which in (1, 2, 3)),
]
FILE_STEPS = [("ownroot.device.keys:write_new_file", "before", 1), ("ownroot.device.keys:write_new_file", "after", 1)]
TOKEN_STEPS = [
    ("ownroot.keystore.pkcs11_module:Module.initialize_token", "before", 1),
    ("ownroot.keystore.pkcs11_module:Module.initialize_token", "after", 1),
    ("ownroot.keystore.pkcs11_preparation:prepare_token", "after", 1),
    ("ownroot.device.key_places:write_private", "before", 1),
    ("ownroot.device.key_places:write_private", "after", 1),
    ("ownroot.keystore.pkcs11_slots:create_key", "before", 1),
    ("ownroot.keystore.pkcs11_slots:create_key", "after", 1),
    ("ownroot.keystore.pkcs11_identity:replace_certificate", "before", 1),
    ("ownroot.keystore.pkcs11_identity:replace_certificate", "after", 1),
]
BEFORE_THE_KEY = TOKEN_STEPS[:6]
LAST_STEPS = [(WRITE, "after", 4), ("ownroot.device.key_places:remove_pending", "after", 1)]


@pytest.fixture
def in_file(server: RunningServer, line_token: str, tmp_path: Path) -> DeviceProgram:
    return DeviceProgram(tmp_path / "sota", f"{server.api_url}/ota/devices/", server.factory, token=line_token)


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return soft_hsm(tmp_path / "hsm", empty=True)


@pytest.fixture
def on_token(in_file: DeviceProgram, hsm: SoftHsm) -> DeviceProgram:
    return replace(in_file, hsm=hsm)


def spki_in_file(device: DeviceProgram) -> bytes | None:
    path = device.directory / "pkey.pem"
    if not path.exists():
        return None
    key = load_pem_private_key(path.read_bytes(), None).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def spki_on(hsm: SoftHsm, place: Path) -> bytes | None:
    if DEVICE_HSM_LABEL not in hsm.token_labels():
        return None
    return public_key_on(hsm, place) if objects(hsm, "pubkey", login=False) else None


@pytest.mark.parametrize(("function", "when", "which"), [*FILE_STEPS, *BOTH_PLACES])
def test_key_in_a_file_survives_a_cut(in_file: DeviceProgram, function: str, when: str, which: int) -> None:
    in_file.register_cut(function, when, which)
    before = spki_in_file(in_file)
    done = in_file.registered()
    assert in_file.files == FILES
    certified = certificate_of(in_file).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki_in_file(in_file) == certified
    assert before == certified or (function, when, which) == FILE_STEPS[0]
    assert in_file.run("check-in").returncode == 0
    assert done["uuid"] in in_file.run("whoami").stdout


@pytest.mark.parametrize(("function", "when", "which"), [*TOKEN_STEPS, *BOTH_PLACES])
def test_key_on_a_token_survives_a_cut(
    on_token: DeviceProgram, hsm: SoftHsm, tmp_path: Path, function: str, when: str, which: int
) -> None:
    on_token.register_cut(function, when, which)
    before = spki_on(hsm, tmp_path / "before.der")
    on_token.registered()
    assert_complete(on_token, hsm, tmp_path)
    assert before == public_key_on(hsm, tmp_path / "after.der") or (function, when, which) in BEFORE_THE_KEY


@pytest.mark.parametrize(("function", "when", "which"), LAST_STEPS)
def test_cut_after_the_last_file_is_a_registration(
    on_token: DeviceProgram, hsm: SoftHsm, tmp_path: Path, function: str, when: str, which: int
) -> None:
    on_token.register_cut(function, when, which)
    again = on_token.register()
    assert again.returncode == 7
    assert "already holds a registration" in again.stderr
    assert_complete(on_token, hsm, tmp_path)


@pytest.mark.parametrize(
    ("function", "when", "which"),
    [
        *(step for step in TOKEN_STEPS if "write_private" in step[0] or "replace_certificate" in step[0]),
        ("ownroot.keystore.pkcs11_identity:_destroy", "before", 1),
        *BOTH_PLACES,
    ],
)
def test_repeat_with_force_survives_a_cut_and_keeps_the_key(
    on_token: DeviceProgram, hsm: SoftHsm, tmp_path: Path, function: str, when: str, which: int
) -> None:
    uuid = on_token.registered()["uuid"]
    on_token.register_cut(function, when, which, "--force")
    assert on_token.registered("--force")["uuid"] == uuid
    assert_complete(on_token, hsm, tmp_path)


def test_cut_repeat_is_finished_without_force(on_token: DeviceProgram, hsm: SoftHsm, tmp_path: Path) -> None:
    uuid = on_token.registered()["uuid"]
    on_token.register_cut(WRITE, "before", 1, "--force")
    assert on_token.registered()["uuid"] == uuid
    assert_complete(on_token, hsm, tmp_path)


def test_public_half_alone_is_what_a_cut_left_and_does_not_stop_the_next_run(
    on_token: DeviceProgram, hsm: SoftHsm, tmp_path: Path
) -> None:
    on_token.register_cut("ownroot.keystore.pkcs11_slots:create_key", "after")
    hsm.pkcs11_tool("--delete-object", "--type", "privkey", "--label", "tls", label=DEVICE_HSM_LABEL)
    on_token.registered()
    assert_complete(on_token, hsm, tmp_path)
