"""What a renewal does not give, each by one detail; nothing is issued and the device goes on (gateway.md §7.1)."""

import base64
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509

from tests.support.api_owner import ApiOwner
from tests.support.certificates import (
    CLIENT_AUTH,
    SERVER_AUTH,
    Key,
    csr,
    device_name,
    key_usage,
    make_key,
    make_rsa_key,
)
from tests.support.enrolling import REENROL, Enrolling, code_of, der, eventually, printable, registered, renewals
from tests.support.world import running_server

USAGE, PURPOSE = (key_usage("digital_signature"), True), (x509.ExtendedKeyUsage([CLIENT_AUTH]), True)
Forge = Callable[[Enrolling], bytes]


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiOwner]:
    with running_server(tmp_path_factory.mktemp("est"), workers=1) as server:
        yield ApiOwner(server)


@pytest.fixture(scope="module")
def patient(owner: ApiOwner) -> Enrolling:
    """A device whose bodies are all refused unread, which costs it no turn."""
    return registered(owner, "patient")


def other_uuid(patient: Enrolling) -> bytes:
    return der(csr(patient.key, device_name("victim")))


def re_encoded(patient: Enrolling) -> bytes:
    return der(csr(patient.key, printable(patient.identity.certificate.subject)))


def re_ordered(patient: Enrolling) -> bytes:
    return der(csr(patient.key, x509.Name(reversed(list(patient.identity.certificate.subject)))))


def marked(patient: Enrolling) -> bytes:
    name, mark = patient.identity.certificate.subject, list(device_name(production=True))[2:]
    return der(csr(patient.key, x509.Name([*name, *mark])))


def asking_for(*extensions: tuple[x509.ExtensionType, bool]) -> Forge:
    def request(patient: Enrolling) -> bytes:
        return der(csr(patient.key, patient.identity.certificate.subject, more_extensions=extensions))

    return request


def over(key: Key) -> Forge:
    def request(patient: Enrolling) -> bytes:
        return der(csr(key, patient.identity.certificate.subject))

    return request


def unproven(patient: Enrolling) -> bytes:
    data = der(patient.request())
    return data[:-1] + bytes((data[-1] ^ 1,))


REFUSED: dict[str, tuple[Forge, str]] = {
    "another uuid": (other_uuid, "csr-other-subject"),
    "subject encoded otherwise": (re_encoded, "csr-other-subject"),
    "subject in another order": (re_ordered, "csr-other-subject"),
    "made a production device": (marked, "csr-other-subject"),
    "one more key usage": (
        asking_for((key_usage("digital_signature", "key_agreement"), True), PURPOSE),
        "csr-key-usage",
    ),
    "key usage of a CA": (asking_for((key_usage("key_cert_sign"), True)), "csr-key-usage"),
    "one more purpose": (
        asking_for(USAGE, (x509.ExtendedKeyUsage([CLIENT_AUTH, SERVER_AUTH]), True)),
        "csr-extended-key-usage",
    ),
    "alternative name": (
        asking_for((x509.SubjectAlternativeName([x509.DNSName("gw.example")]), False)),
        "csr-alternative-names",
    ),
    "CA": (asking_for((x509.BasicConstraints(ca=True, path_length=None), True)), "csr-extension"),
    "unknown extension": (asking_for((x509.OCSPNoCheck(), False)), "csr-extension"),
    "RSA": (over(make_rsa_key(2048)), "csr-weak-key"),
    "P-224": (over(make_key("secp224r1")), "csr-weak-key"),
    "secp256k1": (over(make_key("secp256k1")), "csr-weak-key"),
    "not signed by its key": (unproven, "csr-signature"),
    "not a CSR": (lambda _patient: b"0\x03\x02\x01\x05", "csr-malformed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_whatever_else_is_asked_for_is_refused_and_nothing_is_issued(owner: ApiOwner, case: str) -> None:
    make, code = REFUSED[case]
    patient = registered(owner, "refused-" + case.replace(" ", "-"))
    assert code_of(patient.enrol(base64.b64encode(make(patient)))) == (400, code)
    assert renewals(owner.server, "refused-" + case.replace(" ", "-")) == renewals(owner.server, "victim") == 0
    assert patient.get().status == 200
    assert patient.enrol().status == 200


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (None, "application/json", "est-content-type"),
        (None, None, "est-content-type"),
        (b"", "application/pkcs10", "est-base64"),
        (b"%%%%", "application/pkcs10", "est-base64"),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "application/pkcs10", "est-base64"),
    ],
)
def test_bodies_that_are_no_request_are_refused(
    patient: Enrolling, body: bytes | None, content_type: str | None, code: str
) -> None:
    assert code_of(patient.enrol(body, content_type=content_type)) == (400, code)


def test_a_body_of_a_megabyte_is_refused_unread(patient: Enrolling) -> None:
    announced = {"Content-Type": "application/pkcs10", "Content-Length": str(1 << 20)}
    assert patient.send("POST", REENROL, b"AAAA", announced).status == 413


def test_the_key_of_another_device_is_refused(owner: ApiOwner) -> None:
    other, thief = registered(owner, "has-a-key"), registered(owner, "wants-that-key")
    thief.key = other.identity.key
    assert code_of(thief.enrol()) == (400, "csr-key-taken")
    announced = make_key()
    assert other.announce(announced).status == 200
    thief.key = announced
    assert code_of(thief.enrol()) == (400, "csr-key-taken")
    other.key = announced
    assert other.enrol().status == 200


def test_a_key_that_was_replaced_is_refused(owner: ApiOwner) -> None:
    old = registered(owner, "goes-back")
    new = old.renewed()
    assert old.announce().status == 200
    assert new.get().status == 200
    new.key = old.identity.key
    assert code_of(new.enrol()) == (400, "csr-key-replaced")
    assert code_of(old.enrol()) == (403, "device-key-replaced")


def test_a_device_asks_a_few_times_and_then_waits(owner: ApiOwner) -> None:
    old = registered(owner, "eager")
    replies = [old.enrol() for _ in range(8)]
    assert {reply.status for reply in replies[:6]} == {200}
    assert replies[-1].status == 429
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 20
    assert old.get().status == 200


def test_a_deleted_device_does_not_renew(owner: ApiOwner) -> None:
    gone = registered(owner, "gone")
    assert gone.enrol().status == 200
    assert owner.server.call("DELETE", "/ota/devices/gone/?factory=acme").status_code == 204
    eventually(lambda: code_of(gone.enrol()) == (403, "device-denied"))
