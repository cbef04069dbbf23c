"""Host names and proxies: what is ours passes, what differs in one detail does not."""

from ipaddress import ip_network

import pytest
from starlette.datastructures import Headers

from ownroot.errors import InvalidInputError, RefusedError
from ownroot.web.frontage import Frontage

PROXY = (ip_network("10.0.0.0/24"),)


def locate(frontage: Frontage, host: str | None, *, peer: str = "127.0.0.1", **headers: str):
    raw = [(b"host", host.encode())] if host is not None else []
    raw += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return frontage.locate({"client": (peer, 1), "scheme": "http"}, Headers(raw=raw))


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "API.localhost:1", "127.0.0.1:8000", "[::1]:8000", "192.0.2.7", "localhost."],
)
def test_loopback_names_and_addresses_are_ours(host):
    assert locate(Frontage(), host).base_url == f"http://{host}"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b"])
def test_another_name_that_resolves_to_loopback_is_refused(host):
    with pytest.raises(InvalidInputError) as refusal:
        locate(Frontage(), host)
    assert refusal.value.code == "wrong-host"


def test_a_missing_host_is_refused():
    with pytest.raises(InvalidInputError):
        locate(Frontage(), None)


def test_two_hosts_are_refused():
    headers = Headers(raw=[(b"host", b"localhost"), (b"host", b"localhost")])
    with pytest.raises(InvalidInputError):
        Frontage().locate({"client": ("127.0.0.1", 1), "scheme": "http"}, headers)


def test_a_configured_name_is_ours_and_its_neighbour_is_not():
    frontage = Frontage(frozenset({"api.example.com"}))
    assert locate(frontage, "API.example.com:443").base_url == "http://API.example.com:443"
    with pytest.raises(InvalidInputError):
        locate(frontage, "api.example.org")


def test_a_proxy_tells_client_and_scheme():
    frontage = Frontage(frozenset({"api.example.com"}), PROXY)
    origin = locate(
        frontage, "api.example.com", peer="10.0.0.9", x_forwarded_for="6.6.6.6, 192.0.2.1", x_forwarded_proto="https"
    )
    assert (origin.client_address, origin.base_url) == ("192.0.2.1", "https://api.example.com")


@pytest.mark.parametrize("chain", [None, "", "unknown", "127.0.0.1", "192.0.2.1, not-an-address"])
def test_a_proxy_on_loopback_that_names_no_client_does_not_make_callers_local(chain):
    frontage = Frontage(proxies=(ip_network("127.0.0.0/8"),))
    said = {} if chain is None else {"x_forwarded_for": chain}
    assert locate(frontage, "localhost", **said).client_address == ""
    assert locate(frontage, "localhost", x_forwarded_for="192.0.2.1").client_address == "192.0.2.1"


def test_forwarded_headers_of_others_do_not_count():
    origin = locate(Frontage(), "localhost", x_forwarded_for="192.0.2.1", x_forwarded_proto="https")
    assert (origin.client_address, origin.base_url) == ("127.0.0.1", "http://localhost")


def test_behind_a_proxy_others_are_refused():
    with pytest.raises(RefusedError) as refusal:
        locate(Frontage(proxies=PROXY), "api.example.com", peer="10.0.1.9")
    assert refusal.value.code == "not-the-proxy"


def test_a_remote_proxy_vouches_for_the_name_when_none_is_configured():
    assert locate(Frontage(proxies=PROXY), "any.example", peer="10.0.0.9").base_url == "http://any.example"


def test_a_proxy_on_loopback_does_not_vouch_for_names():
    frontage = Frontage(proxies=(ip_network("127.0.0.0/8"),))
    with pytest.raises(InvalidInputError):
        locate(frontage, "evil.example")
