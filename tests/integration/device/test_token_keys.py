"""A device whose key is on a token, registered with a real backend and seen by a real gateway."""

import stat
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from ownroot.keystore.labels import DEVICE_HSM_LABEL
from tests.support.device_program import DeviceProgram, certificate_of
from tests.support.identity_on_token import (
    assert_complete,
    certificate_on,
    objects,
    public_key_on,
    request_with_key_on_token,
)
from tests.support.relay import Fault, Instead, relay_to
from tests.support.softhsm import PIN, SO_PIN, SoftHsm, soft_hsm
from tests.support.tools import require_tool
from tests.support.world import RunningServer


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return soft_hsm(tmp_path / "hsm", empty=True)


@pytest.fixture
def device(server: RunningServer, line_token: str, hsm: SoftHsm, tmp_path: Path) -> DeviceProgram:
    return DeviceProgram(tmp_path / "sota", f"{server.api_url}/ota/devices/", server.factory, token=line_token, hsm=hsm)


# --- what is made -----------------------------------------------------------------------------------------------


def test_token_is_made_and_holds_key_and_certificate_of_the_protocol(
    device: DeviceProgram, hsm: SoftHsm, tmp_path: Path
) -> None:
    device.registered()
    assert_complete(device, hsm, tmp_path)
    shown = hsm.pkcs11_tool("--list-objects", "--type", "privkey", label=DEVICE_HSM_LABEL)
    assert "sensitive, always sensitive, never extractable" in shown


def test_settings_lead_the_update_agent_to_the_token(device: DeviceProgram, hsm: SoftHsm) -> None:
    device.registered()
    path = device.directory / "sota.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings = tomllib.loads(path.read_text())
    assert settings["p11"] == {
        "module": str(hsm.module),
        "pass": PIN,
        "tls_pkey_id": "01",
        "tls_clientcert_id": "03",
    }
    assert (settings["tls"]["pkey_source"], settings["tls"]["cert_source"]) == ("pkcs11", "pkcs11")
    assert settings["tls"]["ca_source"] == "file"
    assert settings["import"] == {"tls_cacert_path": str(device.directory / "root.crt")}
    assert "# tls_pkey_path is not set" in path.read_text()


def test_gateway_knows_the_device_by_the_key_on_its_token(
    device: DeviceProgram, hsm: SoftHsm, server: RunningServer
) -> None:
    uuid = device.registered("--name", "on-a-token")["uuid"]
    answer = request_with_key_on_token(device, hsm, server.gateway_address)
    assert "200 OK" in answer
    assert uuid in answer


def test_deleted_device_with_its_key_on_a_token_is_refused(
    device: DeviceProgram, hsm: SoftHsm, server: RunningServer
) -> None:
    device.registered("--name", "doomed-token")
    assert server.call("DELETE", f"/ota/devices/doomed-token/?factory={server.factory}").status_code < 300
    answer = request_with_key_on_token(device, hsm, server.gateway_address)
    if "HTTP/1.1" not in answer:  # cut: the gateway heard of it between handshake and request
        answer = request_with_key_on_token(device, hsm, server.gateway_address)
    assert "403 Forbidden" in answer
    assert "deleted" in answer


# --- what is there already --------------------------------------------------------------------------------------


def test_prepared_token_is_used_and_others_are_left_alone(device: DeviceProgram, hsm: SoftHsm, tmp_path: Path) -> None:
    hsm.add_token()
    hsm.add_token(DEVICE_HSM_LABEL)
    before = hsm.serials()
    device.registered()
    assert hsm.serials() == before
    assert_complete(device, hsm, tmp_path)
    assert hsm.labels() == []


@pytest.mark.parametrize("label", ["tls", "client"])
def test_object_of_somebody_else_stops_the_run_before_any_request(
    device: DeviceProgram, server: RunningServer, hsm: SoftHsm, label: str, tmp_path: Path
) -> None:
    hsm.add_token(DEVICE_HSM_LABEL)
    if label == "tls":
        make_key(hsm)
    else:
        write_some_certificate(hsm, tmp_path)
    with relay_to(server.api_url) as relay:
        done = replace(device, api=relay.url + "/ota/devices/").register()
    assert (done.returncode, relay.requests) == (7, [])
    assert f"already has '{label}'" in done.stderr
    assert device.files == []


def test_force_keeps_a_key_made_on_the_token_and_replaces_the_certificate(
    device: DeviceProgram, hsm: SoftHsm, tmp_path: Path
) -> None:
    hsm.add_token(DEVICE_HSM_LABEL)
    make_key(hsm)
    write_some_certificate(hsm, tmp_path)
    before = public_key_on(hsm, tmp_path / "before.der")
    device.registered("--force")
    assert_complete(device, hsm, tmp_path)
    assert public_key_on(hsm, tmp_path / "after.der") == before


@pytest.mark.parametrize(("kind", "key_id"), [("EC:prime256v1", "02"), ("EC:secp384r1", "01")])
def test_key_that_is_not_of_the_protocol_is_neither_used_nor_destroyed(
    device: DeviceProgram, hsm: SoftHsm, kind: str, key_id: str
) -> None:
    hsm.add_token(DEVICE_HSM_LABEL)
    make_key(hsm, kind, key_id)
    done = device.register("--force")
    assert done.returncode == 8
    assert "pkcs11-tool --delete-object" in done.stderr
    assert objects(hsm, "privkey") == [("tls", key_id)]


def test_second_run_needs_force_and_then_keeps_the_identity(
    device: DeviceProgram, hsm: SoftHsm, tmp_path: Path
) -> None:
    first = device.registered()
    assert device.register().returncode == 7
    assert device.registered("--force")["uuid"] == first["uuid"]
    assert_complete(device, hsm, tmp_path)


def make_key(hsm: SoftHsm, kind: str = "EC:prime256v1", key_id: str = "01") -> None:
    """Make a key as another program does."""
    hsm.pkcs11_tool("--keypairgen", "--key-type", kind, "--label", "tls", "--id", key_id, label=DEVICE_HSM_LABEL)


def write_some_certificate(hsm: SoftHsm, folder: Path) -> None:
    """Put a certificate of nobody in particular on the token."""
    file = folder / "somebody.der"
    command = [require_tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=somebody", "-outform", "DER", "-out", str(file)]
    subprocess.run([*command, "-keyout", str(folder / "somebody.key")], check=True, capture_output=True, timeout=30)
    hsm.pkcs11_tool("--write-object", str(file), "--type", "cert", "--label", "client", label=DEVICE_HSM_LABEL)


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_refused_run_leaves_no_objects_and_no_files(device: DeviceProgram, hsm: SoftHsm) -> None:
    done = replace(device, token="own_nobody").register()
    assert done.returncode == 5
    assert [objects(hsm, kind) for kind in ("privkey", "pubkey", "cert")] == [[], [], []]
    assert device.files == []


@pytest.mark.parametrize("instead", [Fault.ANSWER_LOST, Instead(502), Instead(200, b"{}"), Instead(201, b"{}")])
def test_run_that_may_have_been_signed_keeps_its_key_and_is_resumed(
    device: DeviceProgram, server: RunningServer, hsm: SoftHsm, tmp_path: Path, instead: Fault | Instead
) -> None:
    with relay_to(server.api_url) as relay:
        relay.spoil = lambda _: instead if len(relay.requests) == 1 else None
        through = replace(device, api=relay.url + "/ota/devices/")
        assert through.register().returncode != 0
        before = public_key_on(hsm, tmp_path / "before.der")
        through.registered()
    assert_complete(device, hsm, tmp_path)
    assert public_key_on(hsm, tmp_path / "after.der") == before


def test_refusal_of_a_resumed_run_keeps_the_key_that_may_be_certified(
    device: DeviceProgram, hsm: SoftHsm, tmp_path: Path
) -> None:
    device.register_cut("ownroot.device.registration:verify_reply")
    before = public_key_on(hsm, tmp_path / "before.der")
    assert replace(device, token="own_nobody").register().returncode == 5
    assert public_key_on(hsm, tmp_path / "between.der") == before
    device.registered()
    assert_complete(device, hsm, tmp_path)


def test_server_nobody_reaches_leaves_no_objects(device: DeviceProgram, hsm: SoftHsm) -> None:
    assert replace(device, api="http://127.0.0.1:9/sign", token="").register().returncode == 9
    assert objects(hsm, "privkey") == []


def test_refused_force_leaves_what_was_there(device: DeviceProgram, hsm: SoftHsm, tmp_path: Path) -> None:
    device.registered()
    assert replace(device, token="own_nobody").register("--force").returncode == 5
    assert [objects(hsm, kind) for kind in ("privkey", "cert")] == [[("tls", "01")], [("client", "03")]]
    assert certificate_on(hsm, tmp_path / "client.der") == certificate_of(device)


def test_wrong_pin_is_tried_once_and_nothing_is_sent(
    device: DeviceProgram, server: RunningServer, hsm: SoftHsm
) -> None:
    hsm.add_token(DEVICE_HSM_LABEL)
    with relay_to(server.api_url) as relay:
        done = replace(device, api=relay.url + "/ota/devices/", pins=(SO_PIN, "999999")).register()
    assert (done.returncode, relay.requests) == (8, [])
    assert "refused the PIN" in done.stderr
    assert "999999" not in done.stderr


def test_wrong_so_pin_stops_a_token_whose_user_has_no_pin(device: DeviceProgram, hsm: SoftHsm, tmp_path: Path) -> None:
    device.register_cut("ownroot.keystore.pkcs11_preparation:_ensure_pin")
    done = replace(device, pins=("11111111", PIN)).register()
    assert done.returncode == 8
    assert "security officer's PIN" in done.stderr
    device.registered()
    assert_complete(device, hsm, tmp_path)


def test_pin_that_no_token_takes_is_named(device: DeviceProgram) -> None:
    done = replace(device, pins=(SO_PIN, "1")).register()
    assert done.returncode == 8
    assert "4 to 255" in done.stderr


def test_missing_module_is_named(device: DeviceProgram, tmp_path: Path) -> None:
    done = device.register("--hsm-module", str(tmp_path / "no.so"))
    assert done.returncode == 8
    assert "no PKCS#11 module" in done.stderr


def test_unfinished_run_does_not_move_to_an_empty_token_when_its_own_is_gone(
    device: DeviceProgram, hsm: SoftHsm, tmp_path: Path
) -> None:
    device.register_cut("ownroot.device.registration:verify_reply")
    hsm.remove()
    gone = device.register()
    assert gone.returncode == 8
    assert "There is no token 'aktualizr'" in gone.stderr
    assert hsm.serials() == set()
    hsm.put_back()
    device.registered()
    assert_complete(device, hsm, tmp_path)


def test_token_pulled_out_while_the_server_answers_is_named_and_goes_on_when_it_is_back(
    device: DeviceProgram, server: RunningServer, hsm: SoftHsm, tmp_path: Path
) -> None:
    with relay_to(server.api_url) as relay:
        relay.spoil = lambda _: hsm.remove()
        pulled = replace(device, api=relay.url + "/ota/devices/").register()
    assert pulled.returncode == 8
    assert "does not answer" in pulled.stderr
    hsm.put_back()
    device.registered()
    assert_complete(device, hsm, tmp_path)


def test_missing_pins_are_named_and_half_the_options_refused(device: DeviceProgram) -> None:
    missing = replace(device, pins=("", "")).register()
    assert missing.returncode == 8
    assert "OWNROOT_HSM_SO_PIN" in missing.stderr
    half = replace(device, hsm=None).register("--hsm-pin", PIN)
    assert half.returncode == 2


def test_key_on_a_token_and_certificate_in_a_file_are_refused(device: DeviceProgram) -> None:
    device.registered()
    settings = device.directory / "sota.toml"
    settings.write_text(settings.read_text().replace('cert_source = "pkcs11"', 'cert_source = "file"'))
    done = device.run("check-in")
    assert done.returncode == 3
    assert "tls.cert_source" in done.stderr
