"""`POST /ota/devices/` over a real socket, as the programs of the field call it (registration.md §13)."""

import base64
import json
import socket
import time
import tomllib
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from ownroot.pki.chains import is_signed_by
from ownroot.pki.encoding import parse_certificate, parse_certificates
from ownroot.services.scopes import Scope
from tests.support.device_csrs import broken_csr, csr_of, device_csr, new_key, plain_csr
from tests.support.registration_server import Answer, RegistrationServer


def new_uuid() -> str:
    return str(uuid4())


def request(device: str, /, **changes: object) -> dict[str, object]:
    """A registration as recorded in the field; `changes` replace members, None leaves one out."""
    document: dict[str, object] = {
        "use-ostree-server": "true",
        "sota-config-dir": "/var/sota",
        "hardware-id": "intel-corei7-64",
        "name": device,
        "uuid": device,
        "csr": device_csr(device),
        "overrides": {
            "pacman": {
                "type": '"ostree+compose_apps"',
                "compose_apps_root": '"/var/sota/compose-apps"',
                "reset_apps": '" "',
                "tags": '"main"',
            }
        },
    }
    document.update({member.replace("_", "-"): value for member, value in changes.items()})
    return {member: value for member, value in document.items() if value is not None}


def known(server: RegistrationServer, uuid: str) -> bool:
    return server.request("GET", f"/ota/devices/{uuid}/?by-uuid=1").status == 200


def refused(server: RegistrationServer, answer: Answer, status: int, uuid: str) -> dict[str, object]:
    """The answer is this status with a message, carries no file, and nothing was stored."""
    assert answer.status == status, answer.body
    assert not known(server, uuid)
    problem = answer.problem
    assert not {"root.crt", "sota.toml", "client.pem", "client.chained"} & problem.keys()
    return problem


# --- ping -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_ping_without_a_token_is_answered_401_at_once(server: RegistrationServer, method: str) -> None:
    started = time.monotonic()
    answer = server.send(method, "/ota/devices/")
    assert answer.status == 401
    assert time.monotonic() - started < 2


def test_address_without_its_slash_is_404_and_never_a_redirect(server: RegistrationServer) -> None:
    answer = server.request("POST", "/ota/devices", body=b"{}", headers={"Content-Type": "application/json"})
    assert answer.status == 404
    assert "location" not in answer.headers


# --- the good case --------------------------------------------------------------------------------------------------


def test_device_gets_exactly_its_four_files(server: RegistrationServer) -> None:
    key, uuid = new_key(), new_uuid()
    answer = server.post(request(uuid, csr=device_csr(uuid, key=key)))
    files = answer.files
    assert set(files) == {"root.crt", "sota.toml", "client.pem", "client.chained"}
    client, root = parse_certificate(files["client.pem"]), parse_certificate(files["root.crt"])
    leaf, issuer = parse_certificates(files["client.chained"])
    assert leaf == client
    assert client.public_key() == key.public_key()
    assert is_signed_by(client, issuer)
    assert is_signed_by(issuer, root)


def test_settings_name_the_gateway_and_keep_the_overrides(server: RegistrationServer) -> None:
    settings = tomllib.loads(server.post(request(new_uuid())).files["sota.toml"])
    assert settings["tls"]["server"] == "https://gateway.localhost:8443"
    assert settings["pacman"]["ostree_server"] == "https://ostree.gateway.localhost:8443/ostree"
    assert settings["pacman"]["reset_apps"] == " "
    assert settings["provision"]["primary_ecu_hardware_id"] == "intel-corei7-64"
    assert settings["import"]["tls_clientcert_path"] == "/var/sota/client.pem"


def test_without_the_ostree_host_the_gateway_stands_in(server: RegistrationServer) -> None:
    settings = tomllib.loads(server.post(request(new_uuid(), use_ostree_server="false")).files["sota.toml"])
    assert settings["pacman"]["ostree_server"] == "https://gateway.localhost:8443/ostree"


def test_keys_on_hardware_are_unset_in_the_settings(server: RegistrationServer) -> None:
    overrides = {
        "tls": {"pkey_source": '"pkcs11"', "cert_source": '"pkcs11"'},
        "storage": {"tls_pkey_path": "", "tls_clientcert_path": ""},
        "import": {"tls_pkey_path": "", "tls_clientcert_path": ""},
    }
    text = server.post(request(new_uuid(), overrides=overrides)).files["sota.toml"]
    settings = tomllib.loads(text + '\n[p11]\nmodule = "/x.so"\n')  # what such a device appends
    assert settings["tls"] == {
        "server": "https://gateway.localhost:8443",
        "ca_source": "file",
        "pkey_source": "pkcs11",
        "cert_source": "pkcs11",
    }
    assert settings["import"] == {"tls_cacert_path": "/var/sota/root.crt"}
    assert text.count("# tls_pkey_path is not set") == 2


def test_escaped_slashes_of_the_recorded_client_are_read(server: RegistrationServer) -> None:
    body = json.dumps(request(new_uuid())).replace("/", "\\/").encode()
    assert server.post(body, headers={"Content-Type": "application/json"}).status == 201


def test_csr_with_the_subject_turned_round_and_no_extensions_is_fine(server: RegistrationServer) -> None:
    uuid = new_uuid()
    csr = plain_csr(uuid, production=True)
    client = parse_certificate(server.post(request(uuid, csr=csr)).files["client.pem"])
    asked = x509.load_pem_x509_csr(csr.encode()).subject
    assert client.subject.public_bytes() == asked.public_bytes()
    assert server.request("GET", f"/ota/devices/{uuid}/").document["is-prod"] is True


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_stronger_curves_are_fine(server: RegistrationServer, curve: ec.EllipticCurve) -> None:
    uuid = new_uuid()
    csr = device_csr(uuid, key=ec.generate_private_key(curve))
    assert server.post(request(uuid, csr=csr)).status == 201


def test_name_and_uuid_may_be_left_out(server: RegistrationServer) -> None:
    uuid = new_uuid()
    assert server.post({"csr": device_csr(uuid), "hardware-id": "h"}).status == 201
    assert server.request("GET", f"/ota/devices/{uuid}/").document["uuid"] == uuid


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_request_without_a_token_is_401(server: RegistrationServer) -> None:
    uuid = new_uuid()
    body = json.dumps(request(uuid)).encode()
    answer = server.send("POST", "/ota/devices/", body=body, headers={"Content-Type": "application/json"})
    refused(server, answer, 401, uuid)


@pytest.mark.parametrize("token", ["own_nobody", "x", "own_" + "A" * 43])
def test_unknown_token_is_401(server: RegistrationServer, token: str) -> None:
    uuid = new_uuid()
    refused(server, server.post(request(uuid), headers={"OSF-TOKEN": token}), 401, uuid)


def test_token_that_may_only_read_devices_is_403_and_one_that_may_create_them_is_enough(
    server: RegistrationServer,
) -> None:
    uuid, reading = new_uuid(), server.new_token(Scope.DEVICES_READ)
    assert "devices:create" in str(
        refused(server, server.post(request(uuid), headers={"OSF-TOKEN": reading}), 403, uuid)
    )
    creating = server.new_token(Scope.DEVICES_CREATE)
    assert server.post(request(uuid), headers={"OSF-TOKEN": creating}).status == 201


def test_bearer_token_in_base64_is_read(server: RegistrationServer) -> None:
    bearer = base64.b64encode(server.token.encode()).decode()
    body = json.dumps(request(new_uuid())).encode()
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    assert server.send("POST", "/ota/devices/", body=body, headers=headers).status == 201


def test_csr_of_another_factory_is_403(server: RegistrationServer) -> None:
    uuid = new_uuid()
    refused(server, server.post(request(uuid, csr=device_csr(uuid, factory="other"))), 403, uuid)


# --- bad input: a clear 4xx, nothing stored, the server goes on ------------------------------------------------------

COMMON_NAME, UNIT = NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME


def subject(uuid: str, **more: str) -> list[x509.NameAttribute[str]]:
    names = [x509.NameAttribute(COMMON_NAME, uuid), x509.NameAttribute(UNIT, "acme")]
    return names + [x509.NameAttribute(getattr(NameOID, oid), value) for oid, value in more.items()]


@pytest.mark.parametrize(
    "make_csr",
    [
        pytest.param(lambda _: "no PEM", id="no-pem"),
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda uuid: device_csr(uuid)[:-40], id="cut-short"),
        pytest.param(lambda uuid: device_csr(uuid) * 2, id="two-blocks"),
        pytest.param(lambda uuid: device_csr(uuid).replace("REQUEST", "X"), id="another-block-type"),
        pytest.param(broken_csr, id="broken-signature"),
        pytest.param(lambda uuid: device_csr(uuid, key=rsa.generate_private_key(65537, 1024)), id="rsa-1024"),  # noqa: S505
        pytest.param(lambda uuid: device_csr(uuid, key=rsa.generate_private_key(65537, 2048)), id="rsa-2048"),
        pytest.param(lambda uuid: csr_of([x509.NameAttribute(COMMON_NAME, uuid)]), id="no-unit"),
        pytest.param(lambda _: csr_of([x509.NameAttribute(UNIT, "acme")]), id="no-name"),
        pytest.param(lambda uuid: csr_of([*subject(uuid), x509.NameAttribute(COMMON_NAME, "b")]), id="two-names"),
        pytest.param(lambda uuid: csr_of(subject(uuid, ORGANIZATION_NAME="Acme")), id="more-attributes"),
        pytest.param(lambda uuid: csr_of(subject(uuid, BUSINESS_CATEGORY="other")), id="odd-category"),
        pytest.param(lambda uuid: csr_of(subject(uuid), ca=True), id="wants-to-be-a-ca"),
        pytest.param(lambda _: device_csr("../../etc/passwd"), id="path-as-uuid"),
        pytest.param(lambda _: device_csr(new_uuid()), id="another-uuid"),
        pytest.param(lambda _: "\x00" * 100, id="nulls"),
        pytest.param(lambda _: "-----BEGIN CERTIFICATE REQUEST-----\n" + "A" * 100_000, id="endless"),
    ],
)
def test_bad_csr_is_400(server: RegistrationServer, make_csr: object) -> None:
    assert callable(make_csr)
    uuid = new_uuid()
    refused(server, server.post(request(uuid, csr=make_csr(uuid))), 400, uuid)


@pytest.mark.parametrize(
    "changes",
    [
        {"csr": None},
        {"csr": 5},
        {"csr": ["x"]},
        {"hardware_id": None},
        {"hardware_id": "a b"},
        {"hardware_id": {"a": "b"}},
        {"uuid": "22222222-2222-4333-8444-555555555555"},
        {"uuid": True},
        {"name": "../x"},
        {"name": "a/b"},
        {"name": "x" * 65},
        {"name": "a\nb"},
        {"group": "nobody-made-it"},
        {"sota_config_dir": "/var\n[evil]"},
        {"use_ostree_server": "maybe"},
        {"overrides": []},
        {"overrides": {"pacman": []}},
        {"overrides": {"pacman": {"tags": 5}}},
        {"overrides": {"pacman": {"tags": ["main"]}}},
        {"overrides": {"pacman": {"tags": "{evil}"}}},
        {"overrides": {"pacman": {"tags": 'a"b'}}},
        {"overrides": {"pacman": {"tags": '"x"\n[tls]\nserver = "https://evil"'}}},
        {"overrides": {"pac man": {"tags": "x"}}},
        {"overrides": {"a]\n[b": {"tags": "x"}}},
        {"overrides": {"pacman": {"a = 1\nb": "x"}}},
        {"overrides": {"tls": {"server": '"https://evil"'}}},
        {"overrides": {"p11": {"module": '"/evil.so"'}}},
    ],
)
def test_bad_member_is_400_and_named(server: RegistrationServer, changes: dict[str, object]) -> None:
    uuid = new_uuid()
    problem = refused(server, server.post(request(uuid, **changes)), 400, uuid)
    member = next(iter(changes)).replace("_", "-")
    errors = problem["errors"]
    assert isinstance(errors, dict)
    assert all(name.partition(".")[0] == member for name in errors)


@pytest.mark.parametrize(
    "body",
    [b"[1]", b"1", b'"text"', b"null", b"{", b"", b"\xff\xfe", b'{"csr":"\\ud800"}', b'{"a":' * 50_000, b"{}" * 2],
)
def test_body_that_is_no_registration_is_400(server: RegistrationServer, body: bytes) -> None:
    answer = server.post(body)
    assert answer.status == 400
    assert answer.problem


def test_missing_members_are_named_in_the_words_clients_know(server: RegistrationServer) -> None:
    assert server.post({}).problem["message"] == "Missing field(s): csr, hardware-id"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_body_of_another_type_is_415(server: RegistrationServer, media_type: str) -> None:
    uuid = new_uuid()
    refused(server, server.post(request(uuid), headers={"Content-Type": media_type}), 415, uuid)


def test_body_of_two_megabytes_is_413_before_it_is_sent(server: RegistrationServer) -> None:
    head = f"POST /ota/devices/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOSF-TOKEN: {server.token}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 2000000\r\n\r\n".encode())
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"message"' in answer


def test_body_of_half_a_megabyte_is_judged_by_what_it_says(server: RegistrationServer) -> None:
    assert server.post(b'{"csr":"' + b"A" * 500_000 + b'"}').problem["code"] == "missing-field"


# --- again, and in whose place ---------------------------------------------------------------------------------------


def test_same_request_again_gets_the_same_certificate_and_settings_of_the_new_request(
    server: RegistrationServer,
) -> None:
    uuid = new_uuid()
    document = request(uuid)
    first = server.post(document).files
    assert server.post(document).files == first
    moved = server.post({**document, "sota-config-dir": "/data"}).files
    assert moved["client.pem"] == first["client.pem"]
    assert tomllib.loads(moved["sota.toml"])["import"]["tls_cacert_path"] == "/data/root.crt"


def test_same_uuid_with_another_key_is_409_and_says_who_and_when(server: RegistrationServer) -> None:
    uuid = new_uuid()
    server.post(request(uuid))
    problem = server.post(request(uuid)).problem
    assert problem["errors"] == {"uuid": "in use"}
    assert "acme-owner" in problem["message"]
    assert "UTC" in problem["message"]


def test_same_name_is_409_in_the_words_of_the_protocol(server: RegistrationServer) -> None:
    name = f"dev-{new_uuid()}"[:40]
    server.post(request(new_uuid(), name=name))
    uuid = new_uuid()
    answer = server.post(request(uuid, name=name))
    problem = refused(server, answer, 409, uuid)
    assert (problem["message"], problem["errors"]) == (f"Device name already in use: {name}", {"name": "in use"})


def test_uuid_that_differs_in_case_alone_is_409(server: RegistrationServer) -> None:
    uuid = new_uuid()
    server.post(request(uuid))
    assert server.post(request(uuid.upper())).status == 409


def test_deleted_device_registers_again(server: RegistrationServer) -> None:
    uuid = new_uuid()
    server.post(request(uuid))
    assert server.request("DELETE", f"/ota/devices/{uuid}/").status == 204
    assert not known(server, uuid)
    assert server.post(request(uuid)).status == 201
    assert known(server, uuid)
