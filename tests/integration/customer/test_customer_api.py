"""The customer's own API beside a real server, devices over real mutual TLS: alone, behind nginx, behind HAProxy."""

import contextlib
import itertools
import json
import os
import shlex
import signal
import ssl
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from ownroot.clock import utc_now
from tests.support.api_owner import DISABLE, REVOKE, accept
from tests.support.certificates import Pair, device_ca, device_certificate, factory_root, sha1_key_identifier
from tests.support.customer_api import Customer, DeviceApi, wait_for
from tests.support.owner import Owner
from tests.support.tls_device import Device, Reply
from tests.support.tools import require_tool
from tests.support.trust_watcher import watching
from tests.support.world import RunningServer, running_server

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def base_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), workers=1, factory=None) as server:
        yield server


@pytest.fixture
def customer(base_server: RunningServer, tmp_path: Path) -> Customer:
    return Customer(base_server.for_factory(f"acme-{next(_numbers)}"), tmp_path / "customer")


@pytest.fixture(params=["standalone", "nginx", "haproxy"])
def api(request: pytest.FixtureRequest, customer: Customer, tmp_path: Path) -> Iterator[DeviceApi]:
    fronts = {"nginx": customer.behind_nginx, "haproxy": customer.behind_haproxy}
    if request.param == "standalone":
        with customer.standalone("--admit-new") as running:
            yield running
        return
    with fronts[request.param](export(customer, request.param, tmp_path / "trust"), "--admit-new") as running:
        yield running


def exporter(customer: Customer) -> Owner:
    server, home = customer.server, customer.home / "exporter"
    home.mkdir(exist_ok=True)
    return Owner(home).at(server.api_url, factory=server.factory, token=server.owner_token)


def export(customer: Customer, form: str, place: Path) -> Path:
    done = exporter(customer).run("trust", "export", "--pki-dir", customer.pki, "--format", form, "--dir", place)
    assert done.code == 0, done.err
    return place


def local_device(customer: Customer, uuid: str, ca: Pair | None = None) -> Pair:
    return device_certificate(ca or customer.local_ca, uuid, customer.server.factory, now=utc_now())


def code_of(reply: Reply) -> tuple[int, str]:
    return reply.status, json.loads(reply.body)["code"]


def test_known_device_is_greeted_by_its_uuid_and_nobody_without_certificate(customer: Customer, api: DeviceApi) -> None:
    device = customer.api.register_pair("d-1")
    wait_for(lambda: api.ask(device).body == b'{"hello": "d-1", "standing": "known"}')
    assert code_of(api.ask(None)) == (401, "client-certificate-missing")


def test_deleted_device_is_refused_and_its_neighbour_goes_on(customer: Customer, api: DeviceApi) -> None:
    device, neighbour = customer.api.register_pair("d-1"), customer.api.register_pair("d-2")
    assert api.ask(device).status == 200
    accept(customer.server.call("DELETE", f"/ota/devices/d-1/?factory={customer.server.factory}"))
    wait_for(lambda: api.ask(device).status == 403)
    assert code_of(api.ask(device)) == (403, "device-denied")
    assert api.ask(neighbour).status == 200


def test_device_in_quarantine_is_refused_until_it_is_released(customer: Customer, api: DeviceApi) -> None:
    device, neighbour = customer.api.register_pair("d-1"), customer.api.register_pair("d-2")
    path = f"/ota/devices/d-1/quarantine/?factory={customer.server.factory}"
    assert api.ask(device).status == 200
    accept(customer.server.call("PUT", path))
    wait_for(lambda: api.ask(device).status == 403)
    assert api.ask(neighbour).status == 200
    with customer.standalone() as later:  # it begins with a snapshot
        assert code_of(later.ask(device)) == (403, "device-denied")
    accept(customer.server.call("DELETE", path))
    wait_for(lambda: api.ask(device).status == 200)


def test_disabled_ca_refuses_new_device_but_serves_known_ones(customer: Customer, api: DeviceApi) -> None:
    gateway, known = customer.server.gateway_address, local_device(customer, "d-1")
    assert visit_gateway(customer, known, gateway) == 200
    assert api.ask(local_device(customer, "d-2")).status == 200
    accept(customer.api.order(customer.local_ca, reason=DISABLE))
    wait_for(lambda: b"ca-disabled" in api.ask(known).body)
    assert api.ask(known).status == 200
    assert code_of(api.ask(local_device(customer, "d-2"))) == (403, "device-ca-disabled")


def test_revoked_ca_refuses_its_devices_and_no_others(customer: Customer, api: DeviceApi) -> None:
    device, online = local_device(customer, "d-1"), customer.api.register_pair("d-2")
    assert api.ask(device).status == 200
    accept(customer.api.order(customer.local_ca, reason=REVOKE))
    wait_for(lambda: api.ask(device).status == 403)
    assert code_of(api.ask(device)) == (403, "device-ca-revoked")
    assert api.ask(online).status == 200


def test_copied_uuid_with_another_key_is_refused(customer: Customer, api: DeviceApi) -> None:
    device = customer.api.register_pair("d-1")
    wait_for(lambda: b'"known"' in api.ask(device).body)
    assert code_of(api.ask(local_device(customer, "d-1"))) == (403, "device-key-mismatch")


def test_device_of_a_foreign_ca_is_refused(request: pytest.FixtureRequest, customer: Customer, api: DeviceApi) -> None:
    factory = customer.server.factory
    foreign = device_ca(factory_root(factory, now=utc_now()), factory=factory, now=utc_now())
    device = local_device(customer, "d-1", foreign)
    # nginx passes it on and the middleware refuses; the others know the issuers and end the handshake.
    if "nginx" in request.node.callspec.id:
        assert code_of(api.ask(device)) == (403, "device-ca-unknown")
    else:
        with pytest.raises((ssl.SSLError, OSError)):
            api.ask(device)
    assert api.ask(local_device(customer, "d-1")).status == 200


def test_device_of_other_tools_is_served(customer: Customer, api: DeviceApi) -> None:
    odd, factory = sha1_key_identifier(customer.local_ca.key), customer.server.factory
    device = device_certificate(customer.local_ca, "d-1", factory, now=utc_now(), authority_key_identifier=odd)
    assert api.ask(device).status == 200


def test_device_that_sends_its_ca_along_is_served_and_a_foreign_pair_is_not(customer: Customer, api: DeviceApi) -> None:
    factory = customer.server.factory
    foreign = device_ca(factory_root(factory, now=utc_now()), factory=factory, now=utc_now())
    own, stranger = local_device(customer, "d-1"), local_device(customer, "d-1", foreign)
    assert api.ask(own, chain=[customer.local_ca]).status == 200
    with contextlib.suppress(ssl.SSLError, OSError):
        assert code_of(api.ask(stranger, chain=[foreign])) == (403, "device-ca-unknown")


def test_device_of_another_factory_is_refused(customer: Customer, base_server: RunningServer, tmp_path: Path) -> None:
    other = Customer(base_server.for_factory(f"other-{next(_numbers)}"), tmp_path / "other")
    stranger = other.api.register_pair("d-1")
    for form, behind in (("nginx", customer.behind_nginx), ("haproxy", customer.behind_haproxy)):
        with behind(export(customer, form, tmp_path / form), "--admit-new") as api:
            assert api.ask(local_device(customer, "d-1")).status == 200
            with contextlib.suppress(ssl.SSLError, OSError):
                assert code_of(api.ask(stranger)) == (403, "device-ca-unknown")


def test_watched_haproxy_ends_the_handshake_of_a_revoked_ca_and_goes_on_with_the_others(
    customer: Customer, tmp_path: Path
) -> None:
    online, local = customer.api.register_pair("d-1"), local_device(customer, "d-2")
    place = export(customer, "haproxy", tmp_path / "trust")
    with customer.behind_haproxy(place, "--admit-new") as api:
        assert (api.ask(online).status, api.ask(local).status) == (200, 200)
        assert api.front is not None
        # Without a master process HAProxy is reloaded by another that takes its place.
        config, pid_file = customer.home / "haproxy.cfg", customer.home / "pid"
        words = [require_tool("haproxy"), "-D", "-q", "-f", config, "-p", pid_file, "-sf", api.front.pid]
        reload = shlex.join(map(str, words))
        with watching(exporter(customer), customer.pki, place, "--format", "haproxy", "--reload", reload) as watched:
            accept(customer.api.order(customer.local_ca, reason=REVOKE))
            assert watched.await_event("reloaded")["exit-code"] == 0
        try:
            wait_for(lambda: is_cut(api, local))
            assert api.ask(online).status == 200
        finally:
            os.kill(int(pid_file.read_text()), signal.SIGTERM)


def is_cut(api: DeviceApi, device: Pair) -> bool:
    """Does the handshake end, instead of an answer?"""
    try:
        api.ask(device)
    except (ssl.SSLError, OSError):
        return True
    return False


@pytest.mark.parametrize("spelling", ["X-Device-Certificate", "X_Device_Certificate"])
def test_header_of_a_device_changes_nothing(customer: Customer, api: DeviceApi, spelling: str) -> None:
    claimed, attacker = customer.api.register_pair("d-1"), local_device(customer, "d-2")
    forged = (spelling, urllib.parse.quote(claimed.pem))
    assert json.loads(api.ask(attacker, *forged).body)["hello"] == "d-2"
    assert code_of(api.ask(None, *forged)) == (401, "client-certificate-missing")


def test_header_counts_from_the_front_alone(customer: Customer) -> None:
    device = customer.api.register_pair("d-1")
    header = {"X-Device-Certificate": urllib.parse.quote(device.pem)}
    for front, status in (("127.0.0.1", 200), ("192.0.2.1", 401)):
        with customer.running("--front", front) as port, httpx2.Client(trust_env=False) as client:
            assert client.get(f"http://127.0.0.1:{port}/", headers=header).status_code == status


def test_device_the_factory_has_not_seen_waits_until_it_has(customer: Customer) -> None:
    device = local_device(customer, "d-1")
    with customer.standalone() as api:
        assert code_of(api.ask(device)) == (403, "device-not-known")
        assert visit_gateway(customer, device, customer.server.gateway_address) == 200
        wait_for(lambda: api.ask(device).status == 200)


def visit_gateway(customer: Customer, device: Pair, address: tuple[str, int]) -> int:
    name = customer.gateway_name
    return Device(identity=device, root=customer.api.root, server_name=name).get(address, Host=name).status


def test_device_deleted_before_the_api_began_is_refused_and_its_neighbour_is_not(customer: Customer) -> None:
    device, neighbour = customer.api.register_pair("d-1"), customer.api.register_pair("d-2")
    accept(customer.server.call("DELETE", f"/ota/devices/d-1/?factory={customer.server.factory}"))
    with customer.standalone() as api:
        assert code_of(api.ask(device)) == (403, "device-denied")
        assert api.ask(neighbour).status == 200


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [("?since=0&after=known/", 400, "status-cursor"), ("?after=other/", 400, "status-cursor")],
)
def test_feed_answers_one_question_at_a_time(customer: Customer, query: str, status: int, code: str) -> None:
    path = f"/ota/factories/{customer.server.factory}/status-feed/"
    answer = customer.server.call("GET", path + query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert customer.server.call("GET", path).status_code == 200


def test_feed_wants_its_scope(customer: Customer) -> None:
    path = f"/ota/factories/{customer.server.factory}/status-feed/"
    other = customer.server.call("GET", path, token=customer.server.create_token("certs:read"))
    assert (other.status_code, other.json()["code"]) == (403, "scope-missing")


def test_factory_on_the_shared_pki_has_no_feed(base_server: RunningServer) -> None:
    server = base_server.for_factory(f"shared-{next(_numbers)}")
    answer = server.call("GET", f"/ota/factories/{server.factory}/status-feed/")
    assert (answer.status_code, answer.json()["code"]) == (409, "pki-not-set-up")
