"""Certificate renewal over real handshakes, signed by a real server: what devices get (protocol: gateway.md §7.1)."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.name import _ASN1Type

from ownroot.clock import utc_now
from ownroot.pki.encoding import issuer_der, subject_der
from ownroot.wire.est import parse_issuer_header
from tests.support.api_owner import ApiOwner
from tests.support.certificates import CLIENT_AUTH, Pair, csr, csr_pem, device_name, key_usage, make_key
from tests.support.enrolling import EST, Enrolling, certificate_of, code_of, der, printable, registered, renewals
from tests.support.world import running_server


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiOwner]:
    with running_server(tmp_path_factory.mktemp("est"), workers=1) as server:
        yield ApiOwner(server)


def anybody(owner: ApiOwner) -> Enrolling:
    return Enrolling(owner.server.gateway_address, None)


def test_a_device_renews_and_is_promoted_when_it_comes_with_the_new_key(owner: ApiOwner) -> None:
    old = registered(owner, "life")
    new = old.renewed()
    assert code_of(new.get()) == (403, "device-key-mismatch")
    assert old.announce().status == 200
    assert old.get().status == 200
    assert new.get().status == 200
    assert code_of(old.get()) == (403, "device-key-replaced")


@pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
def test_the_answer_is_one_certificate_with_the_fields_a_device_checks(owner: ApiOwner, operation: str) -> None:
    old = registered(owner, operation)
    reply = old.enrol(path=f"{EST}/{operation}")
    assert reply.headers["content-transfer-encoding"] == "base64"
    new, was = certificate_of(reply), old.identity.certificate
    assert subject_der(new) == subject_der(was)
    assert new.public_key() == old.key.public_key()
    assert extension(new, x509.KeyUsage) == key_usage("digital_signature")
    assert list(extension(new, x509.ExtendedKeyUsage)) == [CLIENT_AUTH]
    assert not extension(new, x509.BasicConstraints).ca
    assert issuer_der(new) == issuer_der(was)
    assert new.serial_number not in (was.serial_number, 0)
    assert abs(new.not_valid_before_utc - (utc_now() - timedelta(minutes=5))) < timedelta(minutes=1)
    assert abs(new.not_valid_after_utc - (utc_now() + timedelta(days=1095))) < timedelta(minutes=1)


def test_the_answer_names_the_ca_that_signed_in_a_header(owner: ApiOwner) -> None:
    reply = registered(owner, "asks-who-signed").enrol()
    issuer = parse_issuer_header(reply.headers["ownroot-issuer"])
    assert issuer is not None
    certificate_of(reply).verify_directly_issued_by(issuer)


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]):
    return certificate.extensions.get_extension_for_class(kind).value


def test_string_types_order_and_the_production_mark_survive(owner: ApiOwner) -> None:
    name = printable([*reversed(list(device_name("printable"))), *list(device_name(production=True))[2:]])
    key = make_key()
    answer = owner.server.call("POST", "/ota/devices/", document={"csr": csr_pem(csr(key, name)), "hardware-id": "x"})
    first = x509.load_pem_x509_certificate(answer.json()["client.pem"].encode())
    new = certificate_of(Enrolling(owner.server.gateway_address, Pair(first, key)).enrol())
    assert subject_der(new) == subject_der(first) == name.public_bytes()
    assert [attribute._type for attribute in new.subject] == [_ASN1Type.PrintableString] * 3


def test_the_same_request_gets_the_same_certificate(owner: ApiOwner) -> None:
    old = registered(owner, "repeats")
    body = base64.b64encode(der(old.request()))
    first, again = certificate_of(old.enrol(body)), certificate_of(old.enrol(body))
    other_signature = certificate_of(old.enrol())
    assert first == again == other_signature
    assert renewals(owner.server, "repeats") == 1


def test_another_key_gets_another_certificate(owner: ApiOwner) -> None:
    old = registered(owner, "changes-its-mind")
    first = certificate_of(old.enrol())
    old.key = make_key()
    assert certificate_of(old.enrol()).serial_number != first.serial_number


def test_a_device_may_keep_its_key_and_renew_again_and_again(owner: ApiOwner) -> None:
    first = registered(owner, "keeps")
    first.key = first.identity.key
    second = first.renewed()
    second.key = first.key
    third = second.renewed()
    serials = {one.identity.certificate.serial_number for one in (first, second, third)}
    assert len(serials) == 3
    assert [one.get().status for one in (first, second, third)] == [200] * 3


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_the_curves_of_devices_are_taken(owner: ApiOwner, curve: str) -> None:
    old = registered(owner, f"curve-{curve}")
    old.key = make_key(curve)
    assert certificate_of(old.enrol()).public_key() == old.key.public_key()


@pytest.mark.parametrize("form", ["one line", "lines", "crlf", "pem", "new pem"])
def test_the_csr_may_come_in_lines_and_in_armour(owner: ApiOwner, form: str) -> None:
    old = registered(owner, "form-" + form.replace(" ", "-"))
    pem = csr_pem(old.request())
    body = {
        "one line": base64.b64encode(der(old.request())),
        "lines": base64.encodebytes(der(old.request())),
        "crlf": base64.encodebytes(der(old.request())).replace(b"\n", b"\r\n"),
        "pem": pem.encode(),
        "new pem": pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST").encode(),
    }[form]
    assert old.enrol(body, content_type="application/pkcs10; charset=us-ascii").status == 200


def test_a_request_without_extensions_will_do(owner: ApiOwner) -> None:
    old = registered(owner, "bare-csr")
    request = x509.CertificateSigningRequestBuilder().subject_name(old.identity.certificate.subject)
    assert old.enrol(base64.b64encode(der(request.sign(old.key, hashes.SHA256())))).status == 200


# --- who asks without a certificate


@pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
def test_without_a_certificate_enrolment_is_401_and_the_rest_403(owner: ApiOwner, operation: str) -> None:
    nobody = anybody(owner)
    body = base64.b64encode(der(csr(make_key(), device_name("repeats"))))
    assert code_of(nobody.enrol(body, path=f"{EST}/{operation}")) == (401, "client-certificate-missing")
    assert code_of(nobody.get("/device")) == (403, "client-certificate-missing")
    assert code_of(nobody.get(f"{EST}/{operation}")) == (403, "client-certificate-missing")


def test_anybody_may_have_the_root(owner: ApiOwner) -> None:
    reply = anybody(owner).get(f"{EST}/cacerts")
    assert reply.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    (root,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(reply.body))
    made = registered(owner, "asks-for-the-root")
    assert made.get(f"{EST}/cacerts").body == reply.body
    assert root.issuer == root.subject
    assert root.public_bytes(Encoding.PEM).decode() in owner_root(owner)


def owner_root(owner: ApiOwner) -> str:
    request = {"csr": csr_pem(csr(make_key(), device_name("wants-root"))), "hardware-id": "x"}
    return str(owner.server.call("POST", "/ota/devices/", document=request).json()["root.crt"])


def test_anybody_may_know_what_a_csr_may_hold(owner: ApiOwner) -> None:
    reply = anybody(owner).get(f"{EST}/csrattrs")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/csrattrs")
    assert base64.b64decode(reply.body).startswith(b"\x30\x21")


def test_anybody_may_know_the_time(owner: ApiOwner) -> None:
    reply = anybody(owner).get("/.well-known/time")
    told = json.loads(reply.body)
    assert abs(told["unix"] - utc_now().timestamp()) < 5
    assert datetime.fromisoformat(told["rfc3339"]).timestamp() == told["unix"]
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", [f"{EST}/cacerts", f"{EST}/csrattrs", "/.well-known/time"])
def test_open_paths_are_read_only(owner: ApiOwner, path: str) -> None:
    reply = anybody(owner).send("POST", path)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", [f"{EST}/serverkeygen", f"{EST}/fullcmc", f"{EST}/acme/simplereenroll", EST])
def test_other_operations_are_not_there(owner: ApiOwner, path: str) -> None:
    assert registered(owner, "explores" + path.replace("/", "-")).get(path).status == 404
    assert anybody(owner).get(path).status == 403
