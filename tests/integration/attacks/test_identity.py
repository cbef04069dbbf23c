"""Becoming a device one is not: by server name, by Host, by a borrowed key, by speed, after deletion."""

import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509

from ownroot.clock import utc_now
from tests.support.certificates import Pair, device_ca, device_certificate, factory_root
from tests.support.device_csrs import device_csr, new_key
from tests.support.tls_device import Device, ask, exchange, is_closed_by_peer
from tests.support.world import RunningServer


def register(server: RunningServer, uuid: str, key=None) -> Pair:
    key = key or new_key()
    document = {"csr": device_csr(uuid, factory=server.factory, key=key), "hardware-id": "board"}
    answer = server.call("POST", "/ota/devices/", document=document)
    assert answer.status_code == 201, answer.text
    return Pair(x509.load_pem_x509_certificate(answer.json()["client.pem"].encode()), key)


def visit(server: RunningServer, identity: Pair) -> str:
    """Ask once; returns the code of a refusal, nothing if there was none."""
    try:
        reply = Device(identity=identity).get(server.gateway_address)
    except (OSError, ssl.SSLError):
        return "cut off"
    return "" if reply.status == 200 else reply.text.partition(":")[0]


def knows(server: RunningServer, uuid: str) -> bool:
    return server.call("GET", f"/ota/devices/{uuid}/?by-uuid=1").status_code == 200


@pytest.mark.parametrize(
    "server_name",
    ["beta.{}", "BETA.{}", "ostree.beta.{}", "OsTrEe.bEtA.{}"],
)
def test_device_of_one_factory_is_nobody_at_the_name_of_another(server, beta, acme_device, server_name):
    """Before take-over both factories have the same device CA; only the unit tells them apart."""
    name = server_name.format(server.gateway_name)
    reply = Device(identity=acme_device, server_name=name).get(server.gateway_address, Host="any.example")
    assert (reply.status, reply.text.partition(":")[0]) == (403, "device-factory")
    assert not knows(beta, "acme-device")


@pytest.mark.parametrize(
    "server_name",
    [None, "unknown.example", "beta.{}.evil.example", "beta", "beta.{}.{}", "ostree.ostree.beta.{}", "xn--beta.{}"],
)
def test_name_nobody_has_is_the_default_factorys(server, beta, acme_device, server_name):
    name = server_name and server_name.replace("{}", server.gateway_name)
    reply = Device(identity=acme_device, server_name=name).get(server.gateway_address, Host="any.example")
    assert reply.status == 200


@pytest.mark.parametrize("host", ["beta.{}", "BETA.{}:8443", "ostree.beta.{}", "beta.{}."])
def test_host_of_another_factory_changes_nothing_but_the_answer(server, beta, acme_device, host):
    with Device(identity=acme_device).connect(server.gateway_address) as connection:
        assert ask(connection, Host=host.format(server.gateway_name)).status == 421
        assert is_closed_by_peer(connection)


def test_one_key_is_one_device(server, acme_device):
    csr = device_csr("acme-device-2", key=acme_device.key)
    answer = server.call("POST", "/ota/devices/", document={"csr": csr, "hardware-id": "board"})
    assert (answer.status_code, answer.json()["code"]) == (409, "device-key-taken")
    assert not knows(server, "acme-device-2")


def test_ca_of_the_same_name_and_serial_is_not_the_ca(server, acme_device):
    real = acme_device.certificate
    forged_ca = device_ca(factory_root(now=utc_now()), now=utc_now(), subject=real.issuer)
    forged = device_certificate(forged_ca, "acme-device", now=utc_now(), serial=real.serial_number)
    reply = Device(identity=forged).get(server.gateway_address)
    assert (reply.status, reply.text.partition(":")[0]) == (403, "device-ca-unknown")


def test_device_signs_nobody(server, acme_device):
    child = device_certificate(acme_device, "acme-child", now=utc_now())
    reply = Device(identity=child, chain=(acme_device,)).get(server.gateway_address)
    assert (reply.status, reply.text.partition(":")[0]) == (403, "device-ca-unknown")
    assert not knows(server, "acme-child")


@pytest.mark.parametrize("uuid", ["self", "denied", "device", "acme", "NUL", "x" * 64])
def test_reserved_words_are_uuids_like_any_other(server, uuid):
    identity = register(server, uuid)
    assert Device(identity=identity).get(server.gateway_address).status == 200
    assert server.call("DELETE", f"/ota/devices/{uuid}/").status_code == 204
    deadline = time.monotonic() + 1
    while visit(server, identity) != "device-denied":
        assert time.monotonic() < deadline


@pytest.mark.parametrize("uuid", ["..", ".", "a/b", "a%2fb", "a b", "a\0b", "a\nb", "\x1b[2J", "\u202eabc", "é"])
def test_uuid_that_is_unsafe_in_a_path_or_on_a_terminal_is_refused(server, uuid):
    document = {"csr": device_csr(uuid), "hardware-id": "board"}
    assert server.call("POST", "/ota/devices/", document=document).status_code == 400


@pytest.mark.parametrize("name", ["..", "a/b", "\x1b]0;x\x07", "a\r\nb", "=1+1", "a,b", "\u202e"])
def test_name_that_is_unsafe_in_a_path_or_on_a_terminal_is_refused(server, name):
    document = {"csr": device_csr("named"), "hardware-id": "board", "name": name}
    assert server.call("POST", "/ota/devices/", document=document).status_code == 400
    assert not knows(server, "named")


def test_device_that_hammers_the_gateway_does_not_outlive_its_deletion(server):
    identity = register(server, "hammer")
    device, done = Device(identity=identity), threading.Event()

    def hammer(keeps_connection: bool) -> float:
        last = 0.0
        while not done.is_set():
            try:
                with device.connect(server.gateway_address) as connection:
                    while ask(connection).status == 200:
                        last = time.monotonic()
                        if done.is_set() or not keeps_connection:
                            break
            except (OSError, ValueError, ssl.SSLError):
                continue
        return last

    with ThreadPoolExecutor(6) as pool:
        runs = [pool.submit(hammer, number % 2 == 0) for number in range(6)]
        time.sleep(0.5)
        assert server.call("DELETE", "/ota/devices/hammer/").status_code == 204
        deleted = time.monotonic()
        time.sleep(1.5)
        done.set()
        last = [run.result() for run in runs]
    assert all(0 < moment < deleted + 1 for moment in last)
    assert not knows(server, "hammer")


def test_rivals_for_a_uuid_and_its_deletion_leave_at_most_one_live_key(server):
    """Registrations with several keys and deletions at once: whatever the order, no two certificates both work.

    All may lose: the rivals to the first, and the first to a deletion that comes between its record and its answer.
    """
    keys = [new_key() for _ in range(8)]
    documents = [{"csr": device_csr("contested", key=key), "hardware-id": "board"} for key in keys]

    refusals = set()

    def compete(document) -> str | None:
        answer = server.call("POST", "/ota/devices/", document=document)
        assert answer.status_code in (201, 409), answer.text
        if answer.status_code == 409:
            refusals.add(answer.json()["code"])
        return answer.json().get("client.pem")

    with ThreadPoolExecutor(10) as pool:
        runs = [pool.submit(compete, document) for document in documents]
        deletions = [pool.submit(server.call, "DELETE", "/ota/devices/contested/") for _ in range(3)]
        assert {run.result().status_code for run in deletions} <= {204, 404}
        issued = [(run.result(), key) for run, key in zip(runs, keys, strict=True)]
    identities = [Pair(x509.load_pem_x509_certificate(pem.encode()), key) for pem, key in issued if pem]
    assert refusals <= {"device-uuid-taken", "registration-superseded"}
    assert identities or "registration-superseded" in refusals
    time.sleep(1)  # in which every gateway worker has heard of the last deletion
    answers = [visit(server, identity) for identity in identities]
    assert answers.count("") == (1 if knows(server, "contested") else 0)


def test_request_in_records_of_one_byte_is_read_and_bytes_behind_it_are_nobodys(server, acme_device):
    with Device(identity=acme_device).connect(server.gateway_address) as connection:
        for byte in b"GET /device HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r":
            connection.sendall(bytes((byte,)))
        reply = exchange(connection, b"\nGET /device HTTP/1.1\r\nHost: b\r\n\r\n")
        assert reply.status == 200
        assert is_closed_by_peer(connection)


def test_client_hello_in_pieces_of_one_byte_is_read(server, acme_device):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = Device(identity=acme_device).context().wrap_bio(incoming, outgoing)
    with socket.create_connection(server.gateway_address, 10) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    plain.sendall(bytes((byte,)))
                incoming.write(plain.recv(65536))
        assert client.version() == "TLSv1.3"


@pytest.mark.parametrize(("size", "is_heard"), [(8_000, True), (40_000, False)])
def test_certificate_with_an_enormous_extension_is_refused_or_cut_off(server, size, is_heard):
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"x" * size)
    ca = device_ca(factory_root(now=utc_now()), now=utc_now())
    identity = device_certificate(ca, "padded", now=utc_now(), more_extensions=((padding, False),))
    try:
        reply = Device(identity=identity).get(server.gateway_address)
    except (OSError, ssl.SSLError):
        assert not is_heard
    else:
        assert is_heard
        assert reply.status == 403
    assert Device().get(server.gateway_address).text.startswith("client-certificate-missing")


@pytest.fixture(scope="module")
def acme_device(server) -> Pair:
    return register(server, "acme-device")
