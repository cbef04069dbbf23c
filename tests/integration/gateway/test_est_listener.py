"""`--est HOST:PORT`: certificate renewal on a listener of its own, with the EST certificate, and nothing else on it."""

import json
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from tests.support.api_owner import ApiOwner, accept
from tests.support.enrolling import EST, Enrolling, certificate_of, code_of, eventually, registered
from tests.support.tls_device import Device
from tests.support.world import running_server


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiOwner]:
    with running_server(tmp_path_factory.mktemp("est"), workers=1, options=("--est", "127.0.0.1:0")) as server:
        made = ApiOwner(server)
        made.take_over()
        csr = made.csrs("est-tls-csr")["est-tls-csr"]
        accept(made.patch(est_tls_crt=made.sign_tls(csr)))
        yield made


@pytest.fixture
def address(owner: ApiOwner) -> tuple[str, int]:
    host, _, port = json.loads((owner.server.data_dir / "serve.json").read_bytes())["est"].rpartition(":")
    return host, int(port)


def presented(owner: ApiOwner, address: tuple[str, int]) -> bytes | None:
    """The certificate a listener shows, verified by the factory's root."""
    device = Device(root=owner.root, server_name=owner.gateway_name)
    with device.connect(address) as connection:
        return connection.getpeercert(binary_form=True)


def test_it_shows_the_est_certificate_and_the_gateway_its_own(owner: ApiOwner, address: tuple[str, int]) -> None:
    eventually(lambda: presented(owner, address))
    assert presented(owner, address) != presented(owner, owner.server.gateway_address)
    assert f"EST listening on {address[0]}:{address[1]}\n" in owner.server.log


def test_a_device_renews_there_by_the_same_rules(owner: ApiOwner, address: tuple[str, int]) -> None:
    device = registered(owner, "renews-there")
    there = Enrolling(address, device.identity, device.key)
    eventually(lambda: presented(owner, address))
    assert certificate_of(there.enrol()).public_key() == device.key.public_key()
    there.key = device.key
    assert code_of(there.enrol(b"%%%")) == (400, "est-base64")
    assert code_of(Enrolling(address, None).enrol(b"AAAA")) == (401, "client-certificate-missing")


@pytest.mark.parametrize("operation", ["cacerts", "csrattrs"])
def test_anybody_may_read_there(owner: ApiOwner, address: tuple[str, int], operation: str) -> None:
    eventually(lambda: presented(owner, address))
    nobody = Enrolling(address, None)
    assert (
        nobody.get(f"{EST}/{operation}").body
        == Enrolling(owner.server.gateway_address, None).get(f"{EST}/{operation}").body
    )


@pytest.mark.parametrize(("method", "path"), [("GET", "/device"), ("PATCH", "/device"), ("GET", "/.well-known/time")])
def test_nothing_else_is_there(owner: ApiOwner, address: tuple[str, int], method: str, path: str) -> None:
    device = registered(owner, f"looks-around-{method}{path}".replace("/", "-"))
    eventually(lambda: presented(owner, address))
    assert Enrolling(address, device.identity).send(method, path).status == 404


def test_a_factory_without_an_est_certificate_is_closed_there(owner: ApiOwner, address: tuple[str, int]) -> None:
    other = ApiOwner(owner.server.for_factory("plain"))
    other.take_over()
    eventually(lambda: presented(other, owner.server.gateway_address))
    with pytest.raises((OSError, SSL.Error)):
        presented(other, address)
