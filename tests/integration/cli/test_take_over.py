"""`ownroot keys ca create` against a real server: what it sends, what it writes, what it asks."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.device_csrs import device_csr
from tests.support.owner import Owner
from tests.support.relay import Relay
from tests.support.tools import require_tool
from tests.support.world import RunningServer

FILES = ["factory_ca.key", "factory_ca.pem", "local-ca.key", "local-ca.pem", "online-crt", "tls-crt"]


def test_requests_come_in_the_order_and_shape_of_the_protocol(owner: Owner, relay: Relay, pki: Path) -> None:
    # api.md §3.2, §3.3: all four booleans are there; root, ca, tls in this order and nothing else.
    factory = owner.environment["OWNROOT_FACTORY"]
    done = owner.run("keys", "ca", "create", pki)
    assert done.code == 0, done.err
    assert relay.lines == [
        f"GET /ota/factories/{factory}/certs/",
        f"GET /ota/factories/{factory}/users/self/",
        f"GET /ota/devices/?factory={factory}&limit=10",
        f"POST /ota/factories/{factory}/certs/",
        f"PATCH /ota/factories/{factory}/certs/",
    ]
    post, patch = relay.requests[3:]
    assert json.loads(post.body) == {"first-time-init": True, "ca-csr": True, "est-tls-csr": False, "tls-csr": True}
    assert post.headers["content-type"] == "application/json"
    sent = json.loads(patch.body)
    assert list(sent) == ["root-crt", "ca-crt", "tls-crt"]
    assert sent["root-crt"] == (pki / "factory_ca.pem").read_text()
    assert sent["tls-crt"] == (pki / "tls-crt").read_text()
    assert sent["ca-crt"] == (pki / "online-crt").read_text() + "\n" + (pki / "local-ca.pem").read_text()


def test_token_travels_in_the_header_of_this_protocol(owner: Owner, relay: Relay) -> None:
    owner.run("keys", "ca", "show")
    assert relay.requests[0].headers["osf-token"] == owner.environment["OWNROOT_TOKEN"]
    assert relay.requests[0].headers["user-agent"].startswith("ownroot/")


def test_no_private_key_is_ever_sent(owner: Owner, relay: Relay, pki: Path) -> None:
    owner.run("keys", "ca", "create", pki)
    assert not any(b"PRIVATE" in request.body for request in relay.requests)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777], ids=oct)
def test_files_and_directory_are_for_their_owner_alone_whatever_the_umask(owner: Owner, pki: Path, umask: int) -> None:
    done = owner.run("keys", "ca", "create", pki, umask=umask)
    assert done.code == 0, done.err
    assert sorted(os.listdir(pki)) == FILES
    assert stat.S_IMODE(pki.stat().st_mode) == 0o700
    assert {stat.S_IMODE((pki / name).stat().st_mode) for name in FILES} == {0o400}


def test_keys_are_written_as_every_client_of_this_protocol_reads_them(owner: Owner, pki: Path) -> None:
    owner.run("keys", "ca", "create", pki)
    for name in ("factory_ca.key", "local-ca.key"):
        assert (pki / name).read_text().startswith("-----BEGIN EC PRIVATE KEY-----\n")


def test_openssl_agrees_with_every_certificate(owner: Owner, pki: Path) -> None:
    owner.run("keys", "ca", "create", pki)
    for name, purpose in (("tls-crt", "sslserver"), ("online-crt", "any"), ("local-ca.pem", "any")):
        verify = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", pki / "factory_ca.pem", pki / name]
        done = subprocess.run([require_tool("openssl"), *verify], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


def test_openssl_refuses_the_gateway_certificate_under_another_root(
    owner: Owner, server: RunningServer, pki: Path
) -> None:
    owner.run("keys", "ca", "create", pki)
    other = owner.at(server.api_url, **_as_options(server.for_factory(server.factory + "-twin")))
    assert other.run("keys", "ca", "create", pki.with_name("other")).code == 0
    root = pki.with_name("other") / "factory_ca.pem"
    verify = [require_tool("openssl"), "verify", "-CAfile", root, pki / "tls-crt"]
    assert subprocess.run(verify, capture_output=True, check=False).returncode != 0


def _as_options(server: RunningServer) -> dict[str, str]:
    return {"factory": server.factory, "token": server.owner_token}


@pytest.mark.parametrize("switch", ["--no-online-ca", "--online-ca=false"])
def test_without_online_ca_only_the_local_one_is_made(owner: Owner, relay: Relay, pki: Path, switch: str) -> None:
    assert owner.run("keys", "ca", "create", switch, pki).code == 0
    assert json.loads(relay.requests[3].body)["ca-csr"] is False
    assert not (pki / "online-crt").exists()
    assert json.loads(relay.requests[4].body)["ca-crt"] == (pki / "local-ca.pem").read_text()


def test_without_any_device_ca_the_field_is_left_out(owner: Owner, relay: Relay, pki: Path) -> None:
    done = owner.run("keys", "ca", "create", "--online-ca=false", "--local-ca=false", pki)
    assert done.code == 0, done.err
    assert list(json.loads(relay.requests[4].body)) == ["root-crt", "tls-crt"]


def test_local_ca_takes_the_file_name_asked_for(owner: Owner, pki: Path) -> None:
    assert owner.run("keys", "ca", "create", pki, "--local-ca-filename", "line-2.pem").code == 0
    assert {"line-2.pem", "line-2.key"} <= set(os.listdir(pki))


@pytest.mark.parametrize("name", ["../x.pem", "factory_ca.pem", "x", ".pem", "a b.pem", "x.key"])
def test_local_ca_file_name_that_could_hurt_is_refused(owner: Owner, relay: Relay, pki: Path, name: str) -> None:
    done = owner.run("keys", "ca", "create", pki, "--local-ca-filename", name)
    assert done.code == 2
    assert relay.lines == []
    assert not pki.exists()


def test_json_result_names_files_and_root(owner: Owner, pki: Path) -> None:
    made = owner.run("keys", "ca", "create", pki, "--json").json
    assert made["files"] == FILES
    assert made["devices-to-register-again"] == 0
    assert made["root"]["serial"].isdigit()
    assert (made["resumed"], made["already-done"]) == (False, False)


def test_registered_devices_are_counted_before_anything_is_made(
    owner: Owner, server: RunningServer, relay: Relay, pki: Path
) -> None:
    _register(server, "11111111-2222-4333-8444-000000000001")
    done = owner.run("keys", "ca", "create", pki)
    assert done.code == 10
    assert "1 device is registered" in done.err
    assert "cannot-ask" in done.err
    assert not pki.exists()
    assert not [line for line in relay.lines if not line.startswith("GET")]


def test_yes_goes_on_with_devices_registered(owner: Owner, server: RunningServer, pki: Path) -> None:
    _register(server, "11111111-2222-4333-8444-000000000002")
    assert owner.run("keys", "ca", "create", pki, "--yes", "--json").json["devices-to-register-again"] == 1


def test_on_a_terminal_no_stops_and_yes_goes_on(owner: Owner, server: RunningServer, pki: Path) -> None:
    _register(server, "11111111-2222-4333-8444-000000000003")
    refused = owner.run_on_terminal("keys", "ca", "create", pki, typed="n\n")
    assert (refused.code, pki.exists()) == (10, False)
    assert "cannot be undone" in refused.out
    accepted = owner.run_on_terminal("keys", "ca", "create", pki, typed="y\n")
    assert accepted.code == 0, accepted.out
    assert sorted(os.listdir(pki)) == FILES


def test_token_that_may_not_count_devices_has_to_be_sure(owner: Owner, server: RunningServer, pki: Path) -> None:
    narrow = owner.having(OWNROOT_TOKEN=server.create_token("certs:manage"))
    assert narrow.run("keys", "ca", "create", pki).code == 10
    assert narrow.run("keys", "ca", "create", pki, "--yes").code == 0


def test_token_that_may_not_manage_certificates_makes_nothing(owner: Owner, server: RunningServer, pki: Path) -> None:
    reader = owner.having(OWNROOT_TOKEN=server.create_token("devices:read", "certs:read"))
    done = reader.run("keys", "ca", "create", pki, "--yes", "--json")
    assert done.error["code"] == "scope-missing"
    assert not (pki / "factory_ca.key").exists()


def _register(server: RunningServer, uuid: str) -> None:
    document = {
        "csr": device_csr(uuid, factory=server.factory),
        "hardware-id": "amd64-linux",
        "uuid": uuid,
        "name": uuid,
    }
    answer = server.call("POST", "/ota/devices/", document=document)
    assert answer.status_code == 201, answer.text
