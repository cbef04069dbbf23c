"""`ownroot keys ca add-device-ca` through the real program: the list only ever grows, and no key is made twice."""

import json
import os
from pathlib import Path

import pytest

from tests.support.device_csrs import device_csr
from tests.support.openssl_checks import crl_serials, decimal_serial, is_issued_by, openssl
from tests.support.openssl_owner import OpensslOwner
from tests.support.owner import Owner
from tests.support.relay import Fault, Instead, Relay
from tests.support.world import RunningServer

ADD = ("keys", "ca", "add-device-ca")


def trusted(owner: Owner) -> list[str]:
    return [ca["serial"] for ca in owner.run("keys", "ca", "show", "--json").json["device-cas"]]


def test_both_kinds_are_added_by_one_upload_behind_the_whole_present_list(
    taken: Owner, relay: Relay, pki: Path
) -> None:
    before = taken.run("keys", "ca", "show", "--just-device-cas").out
    relay.requests.clear()
    done = taken.run(*ADD, pki, "--local-ca", "--local-ca-filename", "line-2.pem", "--online-ca")
    assert done.code == 0, done.err
    assert [line.split(" /")[0] for line in relay.lines] == ["GET", "GET", "POST", "PATCH"]
    assert relay.lines[1].endswith("/users/self/")
    asked = {"first-time-init": False, "ca-csr": True, "est-tls-csr": False, "tls-csr": False}
    assert json.loads(relay.requests[2].body) == asked
    sent = json.loads(relay.requests[3].body)
    assert list(sent) == ["ca-crt"]
    new = (pki / "online-crt").read_text() + "\n" + (pki / "line-2.pem").read_text()
    assert sent["ca-crt"].endswith("\n" + new)
    assert "".join(sent["ca-crt"].split()) == "".join((before + new).split())
    assert len(trusted(taken)) == 4


def test_local_ca_alone_asks_for_no_key_of_the_server(taken: Owner, relay: Relay, pki: Path) -> None:
    done = taken.run(*ADD, pki, "--local-ca", "--local-ca-filename", "line-2.pem", "--json").json
    assert not [line for line in relay.lines if line.startswith("POST")]
    assert [Path(ca["file"]).name for ca in done["device-cas"]] == ["line-2.pem"]
    assert (pki / "line-2.key").read_text().startswith("-----BEGIN EC PRIVATE KEY-----\n")
    assert {(pki / name).stat().st_mode & 0o777 for name in ("line-2.key", "line-2.pem")} == {0o400}
    assert not any(b"PRIVATE" in request.body for request in relay.requests)


def test_openssl_accepts_both_and_they_are_device_cas(taken: Owner, server: RunningServer, pki: Path) -> None:
    taken.run(*ADD, pki, "--local-ca", "--local-ca-filename", "line-2.pem", "--online-ca")
    for name in ("line-2.pem", "online-crt"):
        assert is_issued_by(pki / name, pki / "factory_ca.pem")
        assert "CA:TRUE, pathlen:0" in openssl("x509", "-in", pki / name, "-noout", "-text")
    assert f"fio-{server.owner_id}" in openssl("x509", "-in", pki / "line-2.pem", "-noout", "-subject")


def test_devices_register_under_the_new_online_ca_and_the_old_one_stays(
    taken: Owner, server: RunningServer, pki: Path, tmp_path: Path
) -> None:
    old = decimal_serial(pki / "online-crt")
    assert taken.run(*ADD, pki, "--online-ca").code == 0
    assert decimal_serial(pki / "online-crt.bak") == old
    assert old in trusted(taken)
    uuid = "aaaaaaaa-2222-4333-8444-000000000001"
    document = {"csr": device_csr(uuid, factory=server.factory), "hardware-id": "h", "uuid": uuid, "name": uuid}
    answer = server.call("POST", "/ota/devices/", document=document)
    assert answer.status_code == 201, answer.text
    new = decimal_serial(pki / "online-crt")
    path = f"/ota/devices/?factory={server.factory}&ca_serial="
    assert [server.call("GET", path + serial).json()["total"] for serial in (new, old)] == [1, 0]
    assert taken.run("devices", "list", "--by-ca-serial", new, "--json").json["total"] == 1
    assert taken.run("devices", "list", "--by-ca-serial", old, "--json").json["total"] == 0


def test_serial_that_is_none_is_refused_by_the_listing(taken: Owner, server: RunningServer) -> None:
    answer = server.call("GET", f"/ota/devices/?factory={server.factory}&ca_serial=0x10")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["ca_serial"])


def test_file_that_holds_a_device_ca_is_never_overwritten(taken: Owner, relay: Relay, pki: Path) -> None:
    before = {name: (pki / name).read_bytes() for name in os.listdir(pki)}
    done = taken.run(*ADD, pki, "--local-ca", "--json")
    assert (done.code, done.error["code"]) == (7, "pki-file-exists")
    assert "--local-ca-filename" in done.error["remedy"]
    assert {name: (pki / name).read_bytes() for name in os.listdir(pki)} == before
    assert not [line for line in relay.lines if not line.startswith("GET")]


def test_file_of_a_ca_that_was_never_sent_is_pointed_to_update(
    taken: Owner, server: RunningServer, tmp_path: Path, pki: Path
) -> None:
    _openssl_owner(tmp_path, pki, server).make_local_ca("fio-line-2")
    (pki / "line-2.pem").write_text((tmp_path / "local-ca.pem").read_text())
    done = taken.run(*ADD, pki, "--local-ca", "--local-ca-filename", "line-2.pem", "--json")
    assert done.error["code"] == "pki-file-exists"
    assert "does not trust" in done.error["message"]
    assert taken.run("keys", "ca", "update", pki).code == 0
    assert decimal_serial(pki / "line-2.pem") in trusted(taken)


def test_kind_has_to_be_said(taken: Owner, relay: Relay, pki: Path) -> None:
    assert taken.run(*ADD, pki).code == 2
    assert relay.lines == []


@pytest.mark.parametrize("fault", [Fault.LOST_ON_THE_WAY, Instead(503, b"{}")])
def test_upload_that_did_not_happen_is_finished_with_the_same_keys(
    taken: Owner, relay: Relay, pki: Path, fault: Fault | Instead
) -> None:
    online_before = (pki / "online-crt").read_bytes()
    both = (*ADD, pki, "--local-ca", "--local-ca-filename", "line-2.pem", "--online-ca")
    relay.spoil_once("PATCH", "certs/", fault)
    assert taken.run(*both).code == 9
    assert (pki / "online-crt").read_bytes() == online_before
    assert not (pki / "line-2.pem").exists()
    staged = [(pki / f"{name}.new").read_text() for name in ("online-crt", "line-2.pem")]
    key = (pki / "line-2.key").read_bytes()
    done = taken.run(*both, "--json").json
    assert [ca["resumed"] for ca in done["device-cas"]] == [True, True]
    assert [(pki / name).read_text() for name in ("online-crt", "line-2.pem")] == staged
    assert (pki / "line-2.key").read_bytes() == key
    assert len(trusted(taken)) == 4
    assert not [name for name in os.listdir(pki) if name.endswith(".new")]


def test_lost_answer_is_looked_up_and_the_cas_are_in_place(taken: Owner, relay: Relay, pki: Path) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.ANSWER_LOST)
    done = taken.run(*ADD, pki, "--online-ca")
    assert done.code == 0, done.err
    assert decimal_serial(pki / "online-crt") in trusted(taken)


def test_lost_csr_costs_nothing_and_the_repeat_works(taken: Owner, relay: Relay, pki: Path) -> None:
    before = sorted(os.listdir(pki))
    relay.spoil_once("POST", "certs/", Fault.ANSWER_LOST)
    assert taken.run(*ADD, pki, "--online-ca", "--local-ca", "--local-ca-filename", "line-2.pem").code == 9
    assert sorted(os.listdir(pki)) == before
    assert taken.run(*ADD, pki, "--online-ca", "--local-ca", "--local-ca-filename", "line-2.pem").code == 0


def test_online_ca_whose_key_the_server_dropped_is_made_anew_and_the_local_one_is_kept(
    taken: Owner, relay: Relay, pki: Path
) -> None:
    both = (*ADD, pki, "--local-ca", "--local-ca-filename", "line-2.pem", "--online-ca")
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    taken.run(*both)
    staged = (pki / "line-2.pem.new").read_text()
    relay.spoil_once("PATCH", "certs/", Instead(400, b'{"message":"Unknown key.","code":"ca-key-unknown"}'))
    done = taken.run(*both, "--json").json
    assert {Path(ca["file"]).name: ca["resumed"] for ca in done["device-cas"]} == {
        "line-2.pem": True,
        "online-crt": False,
    }
    assert (pki / "line-2.pem").read_text() == staged


def test_ca_added_meanwhile_by_somebody_else_is_not_dropped(
    taken: Owner, server: RunningServer, relay: Relay, pki: Path, tmp_path: Path
) -> None:
    relay.spoil_once("PATCH", "certs/", Fault.LOST_ON_THE_WAY)
    taken.run(*ADD, pki, "--local-ca", "--local-ca-filename", "line-2.pem")
    _openssl_owner(tmp_path, pki, server).make_local_ca("fio-line-3")
    (pki / "line-3.pem").write_text((tmp_path / "local-ca.pem").read_text())
    assert taken.run("keys", "ca", "update", pki).code == 0
    assert taken.run(*ADD, pki, "--local-ca", "--local-ca-filename", "line-2.pem").code == 0
    assert len(trusted(taken)) == 4


def test_local_ca_takes_part_in_a_directory_made_by_openssl(
    owner: Owner, server: RunningServer, tmp_path: Path
) -> None:
    maker = _taken_over_by_openssl(server, tmp_path)
    done = owner.run(*ADD, tmp_path, "--local-ca", "--online-ca", "--local-ca-filename", "line-2.pem")
    assert done.code == 0, done.err
    assert owner.run("keys", "ca", "rotate-tls", tmp_path).code == 0
    root = maker.folder / "factory_ca.pem"
    assert is_issued_by(tmp_path / "line-2.pem", root, strict=False)
    assert is_issued_by(tmp_path / "tls-crt", root, purpose="sslserver", strict=False)
    assert len(trusted(owner)) == 3
    disable = ("keys", "ca", "disable-device-ca", tmp_path, "--ca-file", "line-2.pem")
    crl = owner.run(*disable, "--dry-run").out
    assert list(crl_serials(crl, tmp_path / "factory_ca.pem")) == [decimal_serial(tmp_path / "line-2.pem")]
    assert owner.run(*disable, "--yes").code == 0


def test_two_runs_in_one_directory_do_not_mix(taken: Owner, pki: Path) -> None:
    import fcntl

    descriptor = os.open(pki, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        done = taken.run(*ADD, pki, "--local-ca", "--local-ca-filename", "line-2.pem", "--json")
    finally:
        os.close(descriptor)
    assert (done.code, done.error["code"]) == (7, "pki-directory-busy")


def test_token_that_may_not_manage_certificates_changes_nothing(taken: Owner, server: RunningServer, pki: Path) -> None:
    before = sorted(os.listdir(pki))
    reader = taken.having(OWNROOT_TOKEN=server.create_token("devices:read", "certs:read"))
    assert reader.run(*ADD, pki, "--online-ca", "--json").error["code"] == "scope-missing"
    assert sorted(os.listdir(pki)) == before


def _openssl_owner(folder: Path, pki: Path, server: RunningServer) -> OpensslOwner:
    (folder / "root.key").write_bytes((pki / "factory_ca.key").read_bytes())
    (folder / "root.pem").write_bytes((pki / "factory_ca.pem").read_bytes())
    return OpensslOwner(folder, server.factory)


def _taken_over_by_openssl(server: RunningServer, folder: Path) -> OpensslOwner:
    """Take a factory over by hand, with P-384 keys, and lay the directory out as the protocol does."""
    maker = OpensslOwner(folder, server.factory, curve="secp384r1")
    root = maker.make_root()
    path = f"/ota/factories/{server.factory}/certs/"
    csrs = server.call("POST", path, document={"first-time-init": True, "ca-csr": True, "tls-csr": True}).json()
    upload = {
        "root-crt": root,
        "tls-crt": maker.sign_tls(csrs["tls-csr"]),
        "ca-crt": maker.sign_ca(csrs["ca-csr"]),
    }
    assert server.call("PATCH", path, document=upload).status_code == 200
    (folder / "factory_ca.pem").write_text(root)
    (folder / "factory_ca.key").write_text((folder / "root.key").read_text())
    return maker
