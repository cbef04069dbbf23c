"""Who gets in, who does not and why: real workers, a real database, real handshakes."""

import json
import ssl
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from ownroot.clock import utc_now
from tests.support.certificates import (
    SERVER_AUTH,
    Pair,
    device_ca,
    device_certificate,
    entity,
    factory_root,
    make_key,
    make_rsa_key,
    name,
)
from tests.support.gateway_world import OWNER_ID, GatewayWorld, gateway_world
from tests.support.tls_device import Device, ask, is_closed_by_peer
from tests.support.tools import require_tool


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    with gateway_world(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def test_first_contact_creates_the_device_and_tells_it_who_it_is(world: GatewayWorld) -> None:
    reply = Device(identity=world.device("first", production=True)).get(world.address, x_ats_tags="main,beta")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    document = json.loads(reply.body)
    stored = world.stored("first")
    assert stored is not None
    assert document == {
        "factory": "acme",
        "repo_id": "acme",
        "uuid": "first",
        "name": "first",
        "Name": "first",
        "owner": OWNER_ID,
        "created_at": int(stored.created_at.timestamp()),
        "last_seen": document["last_seen"],
        "pubkey": document["pubkey"],
        "tag": "main,beta",
        "target_name": "",
        "ostree_hash": "",
        "docker_apps": [],
        "group_name": "",
        "is_prod": True,
    }
    assert abs(document["last_seen"] - utc_now().timestamp()) < 5
    assert stored.production
    assert stored.issuer_serial == world.acme.ca.certificate.serial_number


def test_public_key_is_shown_as_pem(world: GatewayWorld) -> None:
    device = world.device("pem")
    document = json.loads(Device(identity=device).get(world.address).body)
    pem = device.ec_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert document["pubkey"] == pem.decode()


def test_known_device_comes_back_with_a_new_certificate_for_its_key(world: GatewayWorld) -> None:
    device = world.device("again")
    assert Device(identity=device).get(world.address).status == 200
    assert Device(identity=world.device("again", key=device.key)).get(world.address).status == 200
    assert_refused(world, world.device("again"), "device-key-mismatch")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_device_is_let_in_and_bare_client_is_not(world: GatewayWorld, version: ssl.TLSVersion) -> None:
    assert Device(identity=world.device("versions-" + version.name), highest=version).get(world.address).status == 200
    reply = Device(highest=version).get(world.address)
    assert reply.status == 403
    assert reply.text.startswith("client-certificate-missing: ")


def test_leaf_alone_and_leaf_with_ca_are_let_in(world: GatewayWorld) -> None:
    device = world.device("chain")
    assert Device(identity=device).get(world.address).status == 200
    assert Device(identity=device, chain=[world.acme.ca]).get(world.address).status == 200


def stranger(world: GatewayWorld) -> Pair:
    return device_certificate(device_ca(factory_root("acme"), "another CA"), "dev-x", "acme", now=utc_now())


def forged_issuer(world: GatewayWorld) -> Pair:
    return world.device("dev-x", signer=make_key())


def same_name_other_root(world: GatewayWorld) -> Pair:
    return device_certificate(device_ca(factory_root("acme")), "dev-x", "acme", now=utc_now())


def by_the_root(world: GatewayWorld) -> Pair:
    return world.device("dev-x", ca=world.acme.root)


def ca_itself(world: GatewayWorld) -> Pair:
    return world.acme.ca


def expired(world: GatewayWorld) -> Pair:
    return world.device("dev-x", not_after=utc_now() - timedelta(seconds=1))


def not_yet_valid(world: GatewayWorld) -> Pair:
    return world.device("dev-x", not_before=utc_now() + timedelta(hours=1))


def other_factory(world: GatewayWorld) -> Pair:
    return world.device("dev-x", factory="other")


def two_factories(world: GatewayWorld) -> Pair:
    unit = NameOID.ORGANIZATIONAL_UNIT_NAME
    return world.device("dev-x", subject=name((NameOID.COMMON_NAME, "dev-x"), (unit, "acme"), (unit, "acme")))


def no_cn(world: GatewayWorld) -> Pair:
    return world.device("dev-x", subject=name((NameOID.ORGANIZATIONAL_UNIT_NAME, "acme")))


def two_cns(world: GatewayWorld) -> Pair:
    cn = NameOID.COMMON_NAME
    return world.device("x", subject=name((cn, "dev-x"), (cn, "dev-x"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "acme")))


def named(uuid: str) -> Callable[[GatewayWorld], Pair]:
    return lambda world: world.device("x", subject=entity(uuid, "acme"))


def rsa_1024(world: GatewayWorld) -> Pair:
    return world.device("dev-x", key=make_rsa_key(1024))


def rsa_2048(world: GatewayWorld) -> Pair:
    return world.device("dev-x", key=make_rsa_key(2048))


def server_only(world: GatewayWorld) -> Pair:
    return world.device("dev-x", extended_key_usages=(SERVER_AUTH,))


def cert_sign_only(world: GatewayWorld) -> Pair:
    return world.device("dev-x", key_usage=("key_cert_sign",))


def ca_profile(world: GatewayWorld) -> Pair:
    return world.device("dev-x", is_ca=True, key_usage=("digital_signature", "key_cert_sign"))


def test_well_made_twin_of_the_refused_ones_is_let_in(world: GatewayWorld) -> None:
    assert Device(identity=world.device("twin")).get(world.address).status == 200


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (stranger, "device-ca-unknown"),
        (forged_issuer, "device-ca-unknown"),
        (same_name_other_root, "device-ca-unknown"),
        (by_the_root, "device-ca-unknown"),
        (ca_itself, "client-is-device-ca"),
        (expired, "device-expired"),
        (not_yet_valid, "device-not-yet-valid"),
        (other_factory, "device-factory"),
        (two_factories, "device-factory"),
        (no_cn, "device-uuid-missing"),
        (two_cns, "device-uuid-missing"),
        (named("../evil"), "device-uuid-invalid"),
        (named("x y"), "device-uuid-invalid"),
        (named("-x"), "device-uuid-invalid"),
        (rsa_1024, "device-key"),
        (rsa_2048, "device-key"),
        (server_only, "device-extended-key-usage"),
        (cert_sign_only, "device-key-usage"),
        (ca_profile, "device-is-ca"),
    ],
)
def test_refused_with_its_reason_and_nothing_created(
    world: GatewayWorld, make: Callable[[GatewayWorld], Pair], code: str
) -> None:
    assert_refused(world, make(world), code)
    assert world.stored("dev-x") is None


def test_uuid_that_differs_in_case_alone_is_refused(world: GatewayWorld) -> None:
    assert Device(identity=world.device("Case")).get(world.address).status == 200
    assert_refused(world, world.device("case"), "device-uuid-case-twin")


def test_key_of_another_device_is_refused(world: GatewayWorld) -> None:
    device = world.device("holder")
    assert Device(identity=device).get(world.address).status == 200
    assert_refused(world, world.device("borrower", key=device.key), "device-key-taken")


def test_repeated_refusals_are_one_record_with_a_count(world: GatewayWorld) -> None:
    early = Device(identity=world.device("early", not_before=utc_now() + timedelta(days=1)))
    for _ in range(3):
        assert early.get(world.address).status == 403
    world.await_(lambda: refusal_count(world, "early") == 3)


def refusal_count(world: GatewayWorld, uuid: str) -> int:
    records = world.database.read(lambda uow: uow.refusals.list(world.acme.factory.id, uuid=uuid))
    assert len(records) <= 1
    return sum(record.count for record in records)


def test_host_of_another_factory_is_misdirected(world: GatewayWorld) -> None:
    world.add_factory("neighbour")
    device = Device(identity=world.device("hosts"))
    assert device.get(world.address, Host="gw.example:8443").status == 200
    assert device.get(world.address, Host="10.0.0.1").status == 200
    world.await_(lambda: device.get(world.address, Host="neighbour.gw.example").status == 421)
    assert device.get(world.address, Host="OSTREE.neighbour.gw.example:8443").status == 421


def test_server_name_chooses_the_trust_that_counts(world: GatewayWorld) -> None:
    second = world.add_factory("second")
    device = second.device("dev-2")
    there = Device(identity=device, server_name="second.gw.example", root=second.root)
    world.await_(lambda: is_served(there, world.address))
    assert json.loads(there.get(world.address, Host="second.gw.example").body)["factory"] == "second"
    assert_refused(world, device, "device-ca-unknown")


def is_served(device: Device, address: tuple[str, int]) -> bool:
    try:
        return device.get(address, Host="x").status == 200
    except ssl.SSLCertVerificationError:
        return False


def test_device_with_another_root_leaves_an_alert_and_a_record(world: GatewayWorld) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        Device(identity=world.device("old"), root=factory_root(), server_name="gw.example").get(world.address)
    world.await_(lambda: "device-trusts-another-root" in world.refusal_codes())


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/device", 200, None),
        ("HEAD", "/device", 200, None),
        ("DELETE", "/device", 405, "GET, PATCH, HEAD"),
        ("POST", "/ostree/download-urls", 204, None),
        ("GET", "/ostree/download-urls", 405, "POST"),
        ("GET", "/config", 204, None),
        ("POST", "/config", 405, "GET, PATCH, HEAD"),
        ("POST", "/config-device", 405, "GET, HEAD"),
        ("GET", "/repo/1.root.json", 404, None),
        ("POST", "/repo/1.root.json", 405, "GET, HEAD"),
        ("GET", "/device/", 404, None),
        # What gateway.md §6 leaves to other servers, or to the past.
        ("GET", "/ostree/config", 404, None),
        ("POST", "/app-proxy-url", 404, None),
        ("GET", "/registry/v2/", 404, None),
        ("GET", "/hub-creds/", 404, None),
        ("GET", "/director/targets.json", 404, None),
        ("POST", "/core/installed", 404, None),
        ("GET", "/treehub/config", 404, None),
        ("POST", "/system_info/config", 405, "PUT"),
    ],
)
def test_what_is_built_answers_and_the_rest_says_so(
    world: GatewayWorld, method: str, path: str, status: int, allow: str | None
) -> None:
    identity = world.device(f"routes-{method}{path}".replace("/", "-"))
    with Device(identity=identity).connect(world.address) as connection:
        reply = ask(connection, path, method=method)
        assert (reply.status, reply.headers.get("allow")) == (status, allow)
        assert ask(connection).status == 200


def test_request_id_is_echoed_or_made(world: GatewayWorld) -> None:
    with Device(identity=world.device("ids")).connect(world.address) as connection:
        assert ask(connection, X_Request_Id="abc-123").headers["x-request-id"] == "abc-123"
        made = ask(connection).headers["x-request-id"]
        bad = ask(connection, X_Request_Id='"><script>').headers["x-request-id"]
        assert len({made, bad, "abc-123"}) == 3
        assert "script" not in bad


def assert_refused(world: GatewayWorld, identity: Pair, code: str) -> None:
    with Device(identity=identity).connect(world.address) as connection:
        reply = ask(connection)
        assert (reply.status, reply.text.partition(":")[0]) == (403, code)
        assert is_closed_by_peer(connection)
    world.await_(lambda: code in world.refusal_codes())


def test_curl_is_a_device_with_the_right_key_and_nobody_without(world: GatewayWorld, tmp_path: Path) -> None:
    certificate, key, root = tmp_path / "device.pem", tmp_path / "device.key", tmp_path / "root.pem"
    device = world.device("curls")
    certificate.write_text(device.pem)
    key.write_bytes(device.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    root.write_text(world.acme.root.pem)
    host, port = world.address
    command = [
        *(require_tool("curl"), "--silent", "--show-error", "--cacert", str(root)),
        *("--resolve", f"gw.example:{port}:{host}", f"https://gw.example:{port}/device"),
    ]
    done = subprocess.run([*command, "--cert", str(certificate), "--key", str(key)], capture_output=True, check=True)
    assert json.loads(done.stdout)["uuid"] == "curls"
    bare = subprocess.run(command, capture_output=True, check=True)
    assert bare.stdout.startswith(b"client-certificate-missing: ")
