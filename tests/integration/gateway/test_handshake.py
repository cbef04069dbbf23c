"""What TLS itself accepts and refuses, and what the application is told about the peer."""

import hashlib
import ssl
import subprocess

import pytest

from tests.support.certificates import Pair, device_certificate, factory_root, gateway_tls, make_key, make_rsa_key
from tests.support.echo_engine import NAME, OTHER_NAME, RunningEngine, running_engine, small
from tests.support.tls_device import Device, ask, is_closed_by_peer, spoiled_key
from tests.support.tools import require_tool


def shown(pair: Pair) -> str:
    return f"certificate={hashlib.sha256(pair.der).hexdigest()}"


def s_client(engine: RunningEngine, *options: str, send: str = "") -> str:
    command = [require_tool("openssl"), "s_client", "-connect", engine.target, *options]
    done = subprocess.run(command, input=send, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_certificate_and_version_reach_the_application(engine: RunningEngine, version: ssl.TLSVersion) -> None:
    device = engine.device()
    reply = Device(identity=device, highest=version).get(engine.address)
    assert shown(device) in reply.text
    assert f"tls={version.name.replace('_', '.')} " in reply.text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_without_certificate_finishes_the_handshake(engine: RunningEngine, version: ssl.TLSVersion) -> None:
    assert "certificate=none" in Device(highest=version).get(engine.address).text


def test_tls_1_2_is_the_oldest_version_spoken(engine: RunningEngine) -> None:
    assert "protocol version" in s_client(engine, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "Protocol  : TLSv1.2" in s_client(engine, "-tls1_2")


def test_leaf_alone_and_leaf_with_ca_show_the_leaf(engine: RunningEngine) -> None:
    device = engine.device()
    assert shown(device) in Device(identity=device).get(engine.address).text
    assert shown(device) in Device(identity=device, chain=[engine.ca]).get(engine.address).text


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"not_after": factory_root().certificate.not_valid_before_utc}, id="expired"),
        pytest.param({"key": make_rsa_key(1024)}, id="rsa-1024"),
        pytest.param({"key_usage": ("key_cert_sign",)}, id="key-cert-sign-only"),
    ],
)
def test_tls_lets_every_certificate_through_for_the_application_to_judge(engine: RunningEngine, odd: dict) -> None:  # type: ignore[type-arg]
    device = device_certificate(engine.ca, **odd)
    assert shown(device) in Device(identity=device).get(engine.address).text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_key_that_is_not_proven_fails_the_handshake(engine: RunningEngine, version: ssl.TLSVersion) -> None:
    device = engine.device()
    clone = Device(identity=device, proves=spoiled_key(device, make_key()), highest=version)
    known = len(engine.application.sessions)
    with pytest.raises(ssl.SSLError, match=r"(?i)decrypt.error"):
        clone.get(engine.address)
    assert len(engine.application.sessions) == known
    assert Device(identity=device, proves=spoiled_key(device, device.ec_key)).get(engine.address).status == 200


def test_server_names_no_certificate_authorities(engine: RunningEngine) -> None:
    assert "No client certificate CA names sent" in s_client(engine)


def test_post_quantum_hybrid_is_negotiated_with_those_who_offer_it() -> None:
    from OpenSSL import SSL

    from tests.support.openssl_client import handshake

    with running_engine() as engine:
        client = SSL.Context(SSL.TLS_CLIENT_METHOD)
        assert handshake(engine.address, client).get_group_name() == "X25519MLKEM768"


@pytest.mark.parametrize(
    ("server_name", "site"),
    [
        (NAME, 1),
        (OTHER_NAME, 2),
        (f"ostree.{OTHER_NAME}", 2),
        (OTHER_NAME.upper(), 2),
        ("nobody.example", 1),
        (None, 1),
    ],
)
def test_server_name_chooses_the_site(engine: RunningEngine, server_name: str | None, site: int) -> None:
    assert f"site={site} " in Device(server_name=server_name).get(engine.address).text


def test_each_site_presents_its_own_certificate(engine: RunningEngine) -> None:
    assert Device(server_name=NAME, root=engine.root).get(engine.address).status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        Device(server_name=OTHER_NAME, root=engine.root).get(engine.address)


def test_alert_of_a_device_with_another_root_is_told_to_the_application() -> None:
    with running_engine() as engine:
        with pytest.raises(ssl.SSLCertVerificationError):
            Device(server_name=OTHER_NAME, root=engine.root).get(engine.address)
        Device().get(engine.address)
        assert engine.application.alerts == [(2, "unknown_ca")]


def test_verify_mode_holds_on_every_site(engine: RunningEngine) -> None:
    device = engine.device()
    for name in (NAME, OTHER_NAME):
        assert shown(device) in Device(identity=device, server_name=name).get(engine.address).text


def test_replaced_certificate_is_shown_to_the_next_handshake_and_leaves_open_connections_alone() -> None:
    from ownroot.gateway.sni import Site
    from ownroot.gateway.tls_context import make_site_context

    with running_engine() as engine, Device().connect(engine.address) as before:
        new_root = factory_root()
        tls = gateway_tls(new_root, dns_names=(NAME,))
        site = Site(1, b"new", lambda: make_site_context(tls.certificate, tls.ec_key))
        engine.call(lambda: engine.sites.replace({NAME: site}, default=site))
        assert Device(server_name=NAME, root=new_root).get(engine.address).status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            Device(server_name=NAME, root=engine.root).get(engine.address)
        assert ask(before).status == 200


def test_closed_site_fails_its_handshakes_and_no_others() -> None:
    from ownroot.gateway.sni import Site

    with running_engine() as engine:
        open_site = engine.sites.find(NAME)
        assert open_site is not None
        engine.call(lambda: engine.sites.replace({NAME: open_site, OTHER_NAME: Site(2, b"", None)}, default=open_site))
        with pytest.raises(ssl.SSLError):
            Device(server_name=OTHER_NAME).get(engine.address)
        assert Device(server_name=NAME).get(engine.address).status == 200


def test_chain_of_many_certificates_is_cut_off_unread() -> None:
    with running_engine() as engine:
        device = engine.device()
        padding = [device_certificate(engine.ca, uuid=f"padding-{number}") for number in range(200)]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            Device(identity=device, chain=padding).get(engine.address)
        assert engine.call(lambda: engine.hub.counters.handshakes_too_big) == 1
        assert Device(identity=device, chain=padding[:5]).get(engine.address).status == 200


def test_client_that_never_shakes_hands_is_cut_off() -> None:
    import socket

    with running_engine(small(handshake_seconds=1)) as engine, socket.create_connection(engine.address, 10) as silent:
        silent.sendall(b"\x16\x03\x01")
        assert silent.recv(1) == b""
        assert engine.call(lambda: engine.hub.counters.timeouts) == 1


def test_bytes_that_are_not_tls_end_the_connection(engine: RunningEngine) -> None:
    import socket

    with socket.create_connection(engine.address, 10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        data = plain.recv(100)
        assert data == b"" or data[0] == 0x15  # an alert at most


def test_renegotiation_is_refused(engine: RunningEngine) -> None:
    output = s_client(engine, "-tls1_2", send="R\n")
    assert "RENEGOTIATING" in output
    assert "no renegotiation" in output or "handshake failure" in output


def test_connection_closed_by_the_device_is_forgotten() -> None:
    with running_engine() as engine:
        with Device().connect(engine.address) as connection:
            ask(connection)
            connection.unwrap()
        with Device().connect(engine.address) as connection:
            ask(connection)
            assert engine.call(lambda: len(engine.hub)) == 1
            assert engine.call(lambda: len(engine.application.gone)) == 1


def test_abort_cuts_an_idle_connection() -> None:
    with running_engine() as engine, Device().connect(engine.address) as connection:
        ask(connection)
        engine.call(engine.application.sessions[0].connection.abort)
        assert is_closed_by_peer(connection)
