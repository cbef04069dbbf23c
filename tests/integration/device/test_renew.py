"""A device renews its certificate: the real program, a real gateway, its EST, and what is left when the power goes."""

import json
import os
import signal
from datetime import datetime
from pathlib import Path

import pytest

from ownroot.device.renewal_state import RenewalFile
from tests.support.device_daemon import order
from tests.support.enrolling import eventually
from tests.support.renewing import AT_REST, SAVE, SECRET, Renewing, renewing
from tests.support.world import RunningServer, parts_of, running_server

STEP_EVENTS = [
    "CertRotationStarted",
    "Generate new certificate",
    "Lock device configuration on server",
    "Update local configuration with new key",
    "Update device specific configuration on server with new key",
    "Finalize aktualizr configuration",
    "CertRotationCompleted",
]


@pytest.fixture
def device(server: RunningServer, line_token: str, tmp_path: Path) -> Renewing:
    return renewing(server, line_token, tmp_path)


def test_a_device_renews_over_a_new_key_and_keeps_its_name(device: Renewing) -> None:
    before = device.certificate
    done = device.renew()
    assert done["resumed"] is False
    assert device.program.files == AT_REST
    device.assert_renewed(before)
    shown = device.server.call("GET", device.path()).json()["certificate-ends"]
    assert datetime.fromisoformat(shown) == device.certificate.not_valid_after_utc


def test_what_was_encrypted_for_it_stays_readable_to_it_alone(device: Renewing) -> None:
    device.push_secret()
    device.check_in()
    before = device.key
    device.renew()
    assert device.stored_secret == SECRET
    assert device.key.public_key() != before.public_key()
    (device.place / "secrets" / "secret").unlink()
    device.check_in()
    assert (device.place / "secrets" / "secret").read_text() == SECRET


def test_the_gateway_hears_of_each_step_and_refuses_the_old_key_from_then_on(device: Renewing) -> None:
    old = {name: (device.program.directory / name).read_bytes() for name in ("pkey.pem", "client.pem")}
    rotation = device.renew()["rotation"]
    assert device.events(rotation) == [(name, True) for name in STEP_EVENTS]
    for name, content in old.items():
        (device.program.directory / name).write_bytes(content)
    refused = device.program.run("renew", "--json")
    assert json.loads(refused.stderr.splitlines()[-1])["error"]["code"] == "present-identity-refused"
    assert "(device-key-replaced)" in refused.stderr


def test_a_device_renews_again_and_again(device: Renewing) -> None:
    for _ in range(3):
        before = device.certificate
        device.renew()
        device.assert_renewed(before)


REQUEST = "ownroot.client.gateway:GatewayClient.request"
SLOTS = "ownroot.device.identity_slots:FileSlots"
POINTS = [
    *((SAVE, when, which) for which in range(1, 9) for when in ("before", "after")),
    *((REQUEST, when, which) for which in (3, 5, 8, 9, 12) for when in ("before", "after")),
    (REQUEST, "after", 1),
    *((f"{SLOTS}.{name}", "after", 1) for name in ("find_or_create_next_key", "keep", "switch", "settle")),
    ("ownroot.device.identity_slots:replace_file", "after", 1),
    ("ownroot.device.identity_slots:replace_file", "after", 2),
    (f"{SLOTS}._point_to", "after", 2),
]
NOT_UNDER_WAY = {(REQUEST, "after", 1), (SAVE, "before", 1), (SAVE, "after", 8)}


@pytest.mark.parametrize(("function", "when", "which"), POINTS)
def test_killed_anywhere_the_next_run_ends_where_it_should(
    device: Renewing, function: str, when: str, which: int
) -> None:
    before = device.certificate
    device.push_secret()
    device.check_in()
    device.program.run_cut(function, when, which, "renew")
    assert device.program.run("whoami").returncode == 0
    device.check_in()
    if (function, when, which) in NOT_UNDER_WAY:
        device.renew()
    device.assert_renewed(before)
    assert device.stored_secret == SECRET


def test_a_device_that_was_deleted_hears_why_and_keeps_what_it_has(device: Renewing) -> None:
    before = {name: (device.program.directory / name).read_bytes() for name in ("pkey.pem", "client.pem", "sota.toml")}
    assert device.server.call("DELETE", device.path()).is_success
    eventually(lambda: device.program.run("whoami").returncode != 0)
    refused = device.program.run("renew")
    assert (refused.returncode, "(device-denied)" in refused.stderr) == (4, True)
    assert {name: (device.program.directory / name).read_bytes() for name in before} == before
    assert [name for name in device.program.files if "next" in name] == []


@pytest.mark.parametrize("is_restored", [True, False])
def test_record_of_a_renewal_that_is_lost_costs_no_key(device: Renewing, is_restored: bool) -> None:
    settings = device.program.directory / "sota.toml"
    old = settings.read_text()
    device.program.run_cut(f"{SLOTS}.settle", "before", 1, "renew")
    (device.program.directory / "renewal.json").unlink()
    now = settings.read_text()
    if is_restored:
        settings.write_text(old)
        assert device.fails() == "present-identity-refused"
        settings.write_text(now)
    device.check_in()
    before = device.certificate
    device.renew()
    device.assert_renewed(before)


def test_an_est_server_under_another_root_is_not_asked(device: Renewing, tmp_path: Path) -> None:
    with running_server(tmp_path / "other", workers=1) as other:
        host, port = other.gateway_address
        assert device.fails("--est", f"https://{host}:{port}/.well-known/est") == "server-not-trusted"
    before = device.certificate
    assert device.renew()["resumed"] is False
    device.assert_renewed(before)


def test_key_that_others_may_read_is_told_at_each_visit(device: Renewing) -> None:
    assert "chmod" not in device.program.run("check-in", *places(device)).stderr
    (device.program.directory / "pkey.pem").chmod(0o640)
    told = device.program.run("check-in", *places(device))
    assert told.returncode == 0
    assert f"{device.program.directory / 'pkey.pem'}: run `chmod 0600`" in told.stderr


NOBODY = "https://127.0.0.1:1/.well-known/est"


def test_renewal_that_began_at_a_wrong_address_goes_on_at_the_right_one(device: Renewing) -> None:
    before = device.certificate
    assert device.fails("--est", NOBODY) == "no-connection"
    again = device.program.run("renew")
    assert again.returncode != 0
    assert NOBODY in again.stderr
    assert "ownroot-device renew --est" in again.stderr

    done = device.renew("--est", f"{device.gateway}/.well-known/est")

    assert done["resumed"] is True
    device.assert_renewed(before)
    assert [name for name, success in device.events(done["rotation"]) if success] == STEP_EVENTS


def test_renewal_that_has_its_certificate_asks_nobody_else(device: Renewing) -> None:
    before = device.certificate
    device.program.run_cut(SAVE, "after", 2, "renew")
    assert device.renew("--est", NOBODY)["resumed"] is True
    device.assert_renewed(before)


def test_check_in_carries_out_what_the_owner_ordered_once(device: Renewing) -> None:
    before = device.certificate
    device.push(order(device, "certs-7"))
    assert device.check_in()["renewed"] == "certs-7"
    after = device.certificate
    assert device.check_in()["renewed"] is None
    assert device.certificate == after
    device.assert_renewed(before)


def test_order_that_is_done_is_not_done_again_after_another_renewal(device: Renewing) -> None:
    device.push(order(device, "certs-7"))
    assert device.check_in()["renewed"] == "certs-7"
    device.renew()
    assert device.check_in()["renewed"] is None


def test_person_who_names_the_right_address_has_carried_out_the_order(device: Renewing) -> None:
    device.push(order(device, "certs-9", server="https://127.0.0.1:1"))
    device.check_in()
    assert device.renew("--est", f"{device.gateway}/.well-known/est")["rotation"] == "certs-9"
    assert device.check_in()["renewed"] is None
    assert json.loads((device.program.directory / "renewal.json").read_text())["rotation"] is None


def test_check_in_that_ends_an_ordered_renewal_says_so(device: Renewing) -> None:
    device.push(order(device, "certs-7"))
    device.program.run_cut(SAVE, "after", 3, "check-in", *places(device))
    assert device.check_in()["renewed"] == "certs-7"


def test_renewal_that_fails_is_tried_once_a_check_in(device: Renewing) -> None:
    device.push(order(device, "certs-9", server="https://127.0.0.1:1"))
    for _ in range(2):
        assert device.program.run("check-in", *places(device)).stderr.count("goes on later") == 1


def places(device: Renewing) -> list[str]:
    return [f"--{name}-dir={device.place / name}" for name in ("secrets", "handlers", "actions")]


def test_identity_under_the_next_names_stays_when_its_renewal_is_refused(device: Renewing) -> None:
    device.program.run_cut(f"{SLOTS}.settle", "before", 1, "renew")
    (device.program.directory / "renewal.json").unlink()
    nobody = device.program.run("renew", "--est", f"{device.gateway}/nowhere")
    assert nobody.returncode != 0
    device.check_in()


def test_order_that_cannot_be_carried_out_keeps_no_configuration_away(device: Renewing) -> None:
    device.push(order(device, "certs-7", server="https://127.0.0.1:1"))
    device.push({"name": "a", "value": "1", "unencrypted": True})
    assert device.check_in()["renewed"] is None
    assert (device.place / "secrets" / "a").read_text() == "1"
    device.push(order(device, "certs-8"))
    device.check_in()
    assert device.check_in()["renewed"] is None
    assert all(success for _, success in device.events("certs-8")[-2:])


def test_renewal_that_began_with_a_key_on_a_token_does_not_go_on_with_files(device: Renewing) -> None:
    before = device.certificate
    device.program.run_cut(SAVE, "after", 2, "renew")
    began = on_record(device)
    record(device, began | {"source": "pkcs11", "key": "01", "certificate": "03"})
    assert device.fails() == "device-settings"
    record(device, began)
    assert device.renew()["resumed"] is True
    device.assert_renewed(before)


def test_renewal_that_an_earlier_version_began_goes_on(device: Renewing) -> None:
    before = device.certificate
    device.program.run_cut(SAVE, "after", 2, "renew")
    record(device, {name: value for name, value in on_record(device).items() if name != "source"})
    assert device.renew()["resumed"] is True
    device.assert_renewed(before)


def on_record(device: Renewing) -> dict[str, object]:
    """The renewal that is under way, as its file says."""
    return dict(json.loads((device.program.directory / "renewal.json").read_text())["rotation"])


def record(device: Renewing, rotation: dict[str, object]) -> None:
    state = {"completed": "", "rotation": rotation}
    (device.program.directory / "renewal.json").write_text(json.dumps(state))


@pytest.mark.parametrize("saved", [4, 6])
def test_an_owner_who_cancels_in_between_does_not_strand_the_device(device: Renewing, saved: int) -> None:
    before = device.certificate
    device.push_secret()
    device.check_in()
    device.program.run_cut(SAVE, "after", saved, "renew")
    assert device.server.call("DELETE", device.path("rotation/")).is_success
    assert device.renew()["resumed"] is True
    device.assert_renewed(before)
    assert device.stored_secret == SECRET


def test_two_runs_at_once_are_one_renewal(device: Renewing) -> None:
    with RenewalFile(device.program.directory).held():
        assert device.fails() == "renewal-busy"
    before = device.certificate
    device.renew()
    device.assert_renewed(before)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_the_zone_of_a_device_does_not_matter(device: Renewing, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    before = device.certificate
    device.push_secret()
    device.renew()
    device.assert_renewed(before)
    assert device.check_in()["config"]["new"] is False


def test_parts_of_the_server_that_are_killed_in_between_cost_a_repetition(tmp_path: Path) -> None:
    with running_server(tmp_path / "world", workers=1) as server:
        device = renewing(server, server.create_token("devices:create"), tmp_path)
        before = device.certificate
        device.push_secret()
        for _ in range(5):
            eventually(lambda: device.program.run("whoami").returncode == 0, seconds=60)
            device.program.run_cut(SAVE, "after", 1, "renew")
            for pid in parts_of(server):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: device.program.run("renew").returncode == 0, seconds=60)
        device.assert_renewed(before)
        assert device.stored_secret == SECRET


def test_a_device_that_registers_again_forgets_the_renewal_it_was_in(device: Renewing) -> None:
    device.program.run_cut(SAVE, "after", 6, "renew")
    device.program.registered("--force")
    assert "renewal.json" not in device.program.files
    before = device.certificate
    assert device.renew()["resumed"] is False
    device.assert_renewed(before)


def test_a_device_that_has_renewed_registers_again_under_its_name(device: Renewing) -> None:
    device.renew()
    assert device.program.registered("--force")["uuid"] == device.uuid
    assert device.server.call("DELETE", device.path()).is_success
    assert device.program.registered("--force")["uuid"] == device.uuid
    device.check_in()


def test_a_repeated_registration_that_is_cut_keeps_the_name_too(device: Renewing) -> None:
    device.renew()
    device.program.register_cut("ownroot.device.registration:withdraw_registration", "after", 1, "--force")
    assert "client.pem" not in device.program.files
    assert device.program.registered()["uuid"] == device.uuid
    device.check_in()
