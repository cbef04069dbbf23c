"""A device with its key on a token connects and renews: the real program, a real token, a real gateway, power cuts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ownroot.keystore.labels import DEVICE_HSM_LABEL
from tests.support.device_daemon import daemon, order
from tests.support.identity_on_token import objects
from tests.support.renewing import SAVE, SECRET
from tests.support.renewing_on_token import PLACES, RenewingOnToken, renewing_on_token
from tests.support.softhsm import PIN, SoftHsm, soft_hsm
from tests.support.world import RunningServer, running_server


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return soft_hsm(tmp_path / "hsm", empty=True)


@pytest.fixture
def device(server: RunningServer, line_token: str, hsm: SoftHsm, tmp_path: Path) -> RenewingOnToken:
    return renewing_on_token(server, line_token, tmp_path, hsm)


# --- connecting ---------------------------------------------------------------------------------------------------


def test_check_in_connects_with_the_key_on_the_token(device: RenewingOnToken) -> None:
    assert device.check_in()["uuid"] == device.uuid
    assert device.program.run("whoami").returncode == 0


def test_value_encrypted_for_the_device_is_read_on_the_token(device: RenewingOnToken) -> None:
    device.push_secret()
    device.check_in()
    assert (device.place / "secrets" / "secret").read_text() == SECRET


def test_check_update_asks_over_the_same_connection(device: RenewingOnToken) -> None:
    done = device.program.run("check-update", "--json", "--initial-roots", str(device.place / "none"))
    assert (done.returncode, "status" in json.loads(done.stdout)) == (0, True), done.stderr


# --- renewing -----------------------------------------------------------------------------------------------------


def test_a_device_renews_from_place_to_place_and_back(device: RenewingOnToken) -> None:
    device.push_secret()
    device.check_in()
    for places in (PLACES[1], PLACES[0]):
        before = device.certificate
        assert device.renew()["resumed"] is False
        assert device.places == places
        device.assert_renewed(before)
        assert device.stored_secret == SECRET


def test_an_order_of_the_owner_is_carried_out_on_the_token(device: RenewingOnToken) -> None:
    before = device.certificate
    device.push(order(device, "certs-7"))
    with daemon(device) as running:
        assert running.wait_for("renewed").startswith("certs-7")
        assert running.stop() == 0
    assert all(success for _, success in device.events("certs-7"))
    device.assert_renewed(before)


# --- what is left when the power goes -------------------------------------------------------------------------------

REQUEST = "ownroot.client.gateway:GatewayClient.request"
SLOTS = "ownroot.device.token_slots:TokenSlots"
TOKEN = "ownroot.keystore.pkcs11_slots"
POINTS = [
    (SAVE, "before", 1),
    *((REQUEST, "after", which) for which in (5, 9)),
    *((f"{SLOTS}.{name}", "after", 1) for name in ("make_room", "find_or_create_next_key", "keep", "switch", "settle")),
    # On the token: the new certificate, then the old key, and the old certificate after it.
    (f"{TOKEN}:write_certificate", "after", 1),
    (f"{TOKEN}:destroy_key", "after", 2),
    (f"{TOKEN}:destroy_certificate", "before", 2),
]
# At night, since each run speaks to a token a dozen times; the state machine is that of a key in a file.
MORE_POINTS = [
    *((SAVE, "before", which) for which in range(2, 9)),
    (SAVE, "after", 8),
    *((REQUEST, "before", which) for which in (3, 5, 8, 9, 12)),
    *((REQUEST, "after", which) for which in (1, 3, 8, 12)),
    # In files: the chain beside the token, `client.pem`, `client.chained`.
    ("ownroot.device.token_slots:write_private", "after", 1),
    ("ownroot.device.token_slots:write_private", "after", 3),
    ("ownroot.device.token_slots:replace_file", "after", 1),
]
AT_NIGHT = [pytest.param(*point, marks=pytest.mark.nightly) for point in MORE_POINTS]


@pytest.mark.parametrize(("function", "when", "which"), [*POINTS, *AT_NIGHT])
def test_killed_anywhere_the_next_run_ends_where_it_should(
    device: RenewingOnToken, function: str, when: str, which: int
) -> None:
    before = device.certificate
    device.push_secret()
    device.check_in()
    device.program.run_cut(function, when, which, "renew")
    assert device.program.run("whoami").returncode == 0
    device.check_in()
    if device.certificate == before:  # it had not begun
        device.renew()
    device.assert_renewed(before)
    assert device.stored_secret == SECRET


def test_a_device_that_registers_again_after_a_renewal_begins_with_the_first_places(device: RenewingOnToken) -> None:
    device.renew()
    device.program.registered("--force")
    assert device.places == PLACES[0]
    assert device.program.run("whoami").returncode == 0
    before = device.certificate
    device.renew()
    assert device.places == PLACES[1]
    assert device.certificate != before


def test_registration_that_is_refused_after_a_renewal_leaves_the_identity(device: RenewingOnToken) -> None:
    device.renew()
    before = device.certificate
    assert replace(device.program, token="own_nobody").register("--force").returncode == 5
    assert (device.certificate, device.places) == (before, PLACES[1])
    assert objects(device.hsm, "privkey") == [("tls", "07")]
    device.check_in()


# --- what is in the other place -------------------------------------------------------------------------------------


def test_key_and_certificate_that_another_renewal_left_are_overwritten(device: RenewingOnToken) -> None:
    before = device.certificate
    device.leave(device.on_token)
    device.renew()
    device.assert_renewed(before)


@pytest.mark.parametrize(("key", "certificate"), [("vpn", "client"), ("tls", "vpn")])
def test_object_of_somebody_else_in_the_other_place_stops_the_renewal_before_it_begins(
    device: RenewingOnToken, key: str, certificate: str
) -> None:
    device.leave(device.on_token, key, certificate)
    assert device.fails() == "slot-taken"
    assert "renewal.json" not in device.program.files
    assert device.places == PLACES[0]
    left = objects(device.hsm, "privkey") + objects(device.hsm, "cert")
    assert {("vpn", "07" if key == "vpn" else "09"), ("tls", "01"), ("client", "03")} <= set(left)
    device.check_in()


def test_sota_toml_of_before_the_last_renewal_costs_no_key(device: RenewingOnToken) -> None:
    now = lose_the_record(device)
    settings = device.program.directory / "sota.toml"
    settings.write_text(now.replace('"07"', '"01"').replace('"09"', '"03"'))
    assert device.places == PLACES[0]
    refused = device.program.run("renew", "--json")
    assert json.loads(refused.stderr.splitlines()[-1])["error"]["code"] == "present-identity-refused"
    assert "(device-key-replaced)" in refused.stderr
    assert objects(device.hsm, "privkey") == [("tls", "01"), ("tls", "07")]
    assert objects(device.hsm, "cert") == [("client", "03"), ("client", "09")]
    settings.write_text(now)  # what the text of the error says
    device.check_in()


def test_sota_toml_of_now_makes_the_old_key_go(device: RenewingOnToken) -> None:
    lose_the_record(device)
    before = device.on_token
    assert device.renew()["resumed"] is False
    assert device.places == PLACES[0]
    device.assert_renewed(before)


def test_sota_toml_of_before_a_renewal_that_ended_costs_no_key(device: RenewingOnToken) -> None:
    settings = device.program.directory / "sota.toml"
    old = settings.read_text()
    device.renew()
    now = settings.read_text()
    settings.write_text(old)
    assert device.fails() == "device-key-missing"
    assert objects(device.hsm, "privkey") == [("tls", "07")]
    settings.write_text(now)
    device.check_in()


def lose_the_record(device: RenewingOnToken) -> str:
    """Cut a renewal when the gateway knows the key 07 and 01 is still there, and forget it; returns `sota.toml`."""
    device.program.run_cut(f"{SLOTS}.settle", "before", 1, "renew")
    (device.program.directory / "renewal.json").unlink()
    assert device.places == PLACES[1]
    return (device.program.directory / "sota.toml").read_text()


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_token_that_is_away_is_named_and_the_renewal_goes_on_when_it_is_back(device: RenewingOnToken) -> None:
    before = device.certificate
    device.program.run_cut(SAVE, "after", 3, "renew")
    device.hsm.remove()
    assert device.fails() == "token-unknown"
    device.hsm.put_back()
    assert device.renew()["resumed"] is True
    device.assert_renewed(before)


def test_pin_that_the_token_refuses_ends_check_in_and_daemon(device: RenewingOnToken) -> None:
    settings = device.program.directory / "sota.toml"
    settings.write_text(settings.read_text().replace(PIN, "999999"))
    for command in ("check-in", "daemon"):
        done = device.program.run(command, "--json")
        assert done.returncode == 8
        assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == "pin-incorrect"
        assert "999999" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kind", "object_id", "code"), [("privkey", "01", "device-key-missing"), ("cert", "03", "device-certificate")]
)
@pytest.mark.parametrize("command", ["whoami", "renew"])
def test_key_or_certificate_that_is_not_on_the_token_is_named(
    device: RenewingOnToken, kind: str, object_id: str, code: str, command: str
) -> None:
    device.hsm.pkcs11_tool("--delete-object", "--type", kind, "--id", object_id, label=DEVICE_HSM_LABEL)
    done = device.program.run(command, "--json")
    assert (done.returncode, json.loads(done.stderr.splitlines()[-1])["error"]["code"]) == (8, code)


def test_machine_without_curl_is_told_what_to_install(device: RenewingOnToken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(device.place))
    done = device.program.run("whoami")
    assert done.returncode == 8
    assert "libengine-pkcs11-openssl" in done.stderr


def test_curl_without_the_engine_is_told_apart_from_a_gateway_that_is_away(
    device: RenewingOnToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSSL_ENGINES", str(device.place))
    done = device.program.run("whoami")
    assert done.returncode == 8
    assert "libengine-pkcs11-openssl" in done.stderr


def test_gateway_under_another_root_is_refused(device: RenewingOnToken, tmp_path: Path) -> None:
    with running_server(tmp_path / "other", workers=1) as other:
        host, port = other.gateway_address
        assert device.fails("--est", f"https://{host}:{port}/.well-known/est") == "server-not-trusted"
    before = device.certificate
    device.renew()
    device.assert_renewed(before)


def test_a_key_that_signs_only_reads_no_value_and_renews_into_one_that_does(
    server: RunningServer, line_token: str, hsm: SoftHsm, tmp_path: Path
) -> None:
    hsm.add_token(DEVICE_HSM_LABEL)
    words = ("--keypairgen", "--key-type", "EC:prime256v1", "--usage-sign", "--label", "tls", "--id", "01")
    hsm.pkcs11_tool(*words, label=DEVICE_HSM_LABEL)
    device = renewing_on_token(server, line_token, tmp_path, hsm, "--force")
    device.push_secret()
    refused = device.program.run("check-in", f"--secrets-dir={tmp_path / 'secrets'}")
    assert "ownroot-device renew" in refused.stderr
    device.renew()
    device.push_secret("set again")
    assert device.stored_secret == "set again"
