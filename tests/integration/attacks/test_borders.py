"""What a token opens, tried by its edges: other factories, other scopes, other ways to spell the same request."""

import socket
from urllib.parse import urlsplit

import pytest

from tests.support.device_csrs import device_csr
from tests.support.world import RunningServer


def send(server: RunningServer, target: str, *, host: str = "localhost", method: str = "GET", extra: str = "") -> bytes:
    """Send a request line as it is: HTTP clients would tidy it up."""
    where = urlsplit(server.api_url)
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{extra}\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(head.encode("latin-1"))
        return connection.makefile("rb").read()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "target",
    [
        "/ota/factories/beta/certs/",
        "/ota/factories/%62eta/certs/",
        "/ota/factories/BETA/certs/",
        "/ota/factories/beta./certs/",
        "/ota/factories/beta%00/certs/",
        "/ota/factories/acme%2F..%2Fbeta/certs/",
        "/ota/factories/acme/../beta/certs/",
        "/ota/factories/acme/certs/../../beta/certs/",
        "//ota/factories/beta/certs/",
        "http://localhost/ota/factories/beta/certs/",
        "/ota/factories/beta/users/",
        "/ota/factories/beta/users/self/",
        "/ota/factories/beta/teams/owners",
        "/ota/factories/beta/status/",
        "/ota/factories/beta/denied-devices/",
        "/ota/devices/?factory=beta",
        "/ota/devices/?factory=acme&factory=beta",
        "/ota/devices/?factory=beta&factory=%61cme%00",
        "/ota/devices/beta-device/?factory=beta",
        "/ota/devices/beta-device/",
        "/ota/devices/beta-device/?by-uuid=1",
        "/ota/devices/acme%2f..%2fbeta-device/",
        "/ota/devices/%2e%2e/",
        "/ota/devices/BETA-DEVICE/?by-uuid=1",
    ],
)
def test_nothing_of_another_factory_is_shown_however_it_is_asked_for(server, beta, beta_device, target):
    answer = send(server, target, extra=f"OSF-TOKEN: {server.owner_token}\r\n")
    assert 400 <= status(answer) < 500
    assert b"beta-owner" not in answer
    assert b"PUBLIC KEY" not in answer
    assert beta_device not in answer.decode()


def test_the_other_factorys_own_token_is_shown_it(beta, beta_device):
    answer = send(beta, "/ota/devices/beta-device/", extra=f"OSF-TOKEN: {beta.owner_token}\r\n")
    assert status(answer) == 200
    assert b"PUBLIC KEY" in answer


@pytest.mark.parametrize("spelling", ["?by-uuid=1", "?factory=beta", ""])
def test_a_device_of_another_factory_is_not_deleted(server, beta, beta_device, spelling):
    assert server.call("DELETE", f"/ota/devices/beta-device/{spelling}").status_code in (403, 404)
    assert beta.call("GET", "/ota/devices/beta-device/").status_code == 200


def test_a_device_is_not_registered_into_another_factory(server, beta):
    document = {"csr": device_csr("trespasser", factory="beta"), "hardware-id": "board", "factory": "beta"}
    for path in ("/ota/devices/", "/ota/devices/?factory=beta"):
        answer = server.call("POST", path, document=document)
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong-factory")
    assert beta.call("GET", "/ota/devices/trespasser/").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/ota/factories/acme/certs/"),
        ("PATCH", "/ota/factories/acme/certs/"),
        ("GET", "/ota/devices/"),
        ("DELETE", "/ota/devices/some/"),
        ("GET", "/ota/factories/acme/denied-devices/"),
        ("DELETE", "/ota/factories/acme/denied-devices/some/"),
    ],
)
def test_a_token_for_registering_does_nothing_else(server, device_token, method, path):
    headers = {"X-HTTP-Method-Override": "GET", "Authorization": f"Bearer {server.owner_token}"}
    answer = server.call(method, path, token=device_token, document={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")


@pytest.mark.parametrize(
    "extra",
    [
        "osf_token: {}\r\n",
        "X-OSF-TOKEN: {}\r\n",
        "OSF-TOKEN : {}\r\n",
        "A: b\r\n OSF-TOKEN: {}\r\n",
        "Cookie: osf-token={}\r\n",
    ],
)
def test_a_token_counts_in_its_own_header_only(server, extra):
    answer = send(server, "/ota/factories/acme/users/self/", extra=extra.format(server.owner_token))
    assert status(answer) in (400, 401)


def test_a_token_in_the_address_is_none(server):
    assert status(send(server, f"/ota/factories/acme/users/self/?OSF-TOKEN={server.owner_token}")) == 401


@pytest.mark.parametrize(
    "host",
    [
        "localhost:80@evil.example",
        "localhost:evil.example",
        "localhost/evil.example",
        "localhost#evil",
        "[::1]evil.example",
        "[::1].evil.example",
        "127.0.0.1:80:80",
        "127.1",
        "0x7f.0.0.1",
        "evil.example",
        "localhost.evil.example",
        "user@localhost",
    ],
)
def test_host_that_would_send_a_client_elsewhere_is_refused(server, host):
    answer = send(server, "/ota/devices/?limit=1", host=host, extra=f"OSF-TOKEN: {server.owner_token}\r\n")
    assert status(answer) == 421
    assert b'"wrong-host"' in answer


@pytest.fixture(scope="module")
def device_token(server) -> str:
    return server.create_token("devices:create")


@pytest.fixture(scope="module")
def beta_device(beta) -> str:
    """A device of the other factory; returns its key as the API writes it."""
    document = {"csr": device_csr("beta-device", factory="beta"), "hardware-id": "board"}
    assert beta.call("POST", "/ota/devices/", document=document).status_code == 201
    return str(beta.call("GET", "/ota/devices/beta-device/").json()["public-key"]).splitlines()[1]
