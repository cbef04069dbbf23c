"""Certificates made with openssl by an owner's own script are accepted where the wire specification says so."""

from datetime import datetime, timedelta

import pytest
from cryptography import x509

from ownroot.clock import utc_now
from ownroot.errors import InvalidInputError
from ownroot.pki import conformance
from ownroot.pki.chains import find_issuer, is_signed_by
from ownroot.pki.encoding import parse_certificate, parse_certificates
from ownroot.pki.issuance import IssuerTerms, plan_device, sign_plan
from ownroot.pki.names import backend_key_subject
from ownroot.pki.requests import device_csr, make_csr
from ownroot.pki.serials import new_serial
from tests.conformance.judges import openssl_verify
from tests.support.certificates import FACTORY, GATEWAY_NAME, csr, csr_pem, make_key
from tests.support.openssl_owner import HABITS, OpensslOwner, make_openssl_pki

DNS_NAMES = (GATEWAY_NAME, f"ostree.{GATEWAY_NAME}")


@pytest.fixture(scope="module", params=sorted(HABITS))
def pki(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OpensslOwner:
    """A PKI directory made by hand, in each habit."""
    return make_openssl_pki(tmp_path_factory.mktemp("pki"), FACTORY, HABITS[request.param])


@pytest.fixture(scope="module")
def root(pki: OpensslOwner) -> x509.Certificate:
    return parse_certificate(pki.read("root.pem"))


def made_device(pki: OpensslOwner, uuid: str, *, ca: str = "local-ca") -> x509.Certificate:
    _, certificate = pki.make_device(uuid, ca=ca)
    return parse_certificate(certificate.read_text())


@pytest.fixture
def now() -> datetime:
    """A minute from now: openssl makes certificates that begin at its own clock's second, some during a test."""
    return utc_now() + timedelta(minutes=1)


def test_root_is_accepted(root: x509.Certificate, now: datetime) -> None:
    conformance.check_factory_root(root, FACTORY, now)


def test_root_of_another_factory_is_refused(root: x509.Certificate, now: datetime) -> None:
    with pytest.raises(InvalidInputError) as refused:
        conformance.check_factory_root(root, "other", now)

    assert refused.value.code == "root-factory"


def test_gateway_certificate_is_accepted(pki: OpensslOwner, root: x509.Certificate, now: datetime) -> None:
    request = make_csr(make_key(), backend_key_subject(FACTORY, GATEWAY_NAME), DNS_NAMES)
    tls = parse_certificate(pki.sign_tls(csr_pem(request)))

    conformance.check_tls(tls, root, DNS_NAMES, now)
    assert tls.public_key() == request.public_key()


def test_gateway_certificate_that_lost_a_name_is_refused(
    pki: OpensslOwner, root: x509.Certificate, now: datetime
) -> None:
    request = make_csr(make_key(), backend_key_subject(FACTORY, GATEWAY_NAME), DNS_NAMES)
    tls = parse_certificate(pki.sign_tls(csr_pem(request), dns_names=DNS_NAMES[:1]))

    with pytest.raises(InvalidInputError) as refused:
        conformance.check_tls(tls, root, DNS_NAMES, now)

    assert refused.value.code == "tls-dns-names"


def test_both_device_cas_are_accepted_from_one_bundle(pki: OpensslOwner, root: x509.Certificate, now: datetime) -> None:
    request = make_csr(make_key(), backend_key_subject(FACTORY, GATEWAY_NAME))
    bundle = pki.read("local-ca.pem") + "\n" + pki.sign_ca(csr_pem(request))

    for ca in parse_certificates(bundle):
        conformance.check_device_ca(ca, root, FACTORY, now)


def test_device_is_accepted_and_found_under_its_ca(pki: OpensslOwner, now: datetime) -> None:
    ca = parse_certificate(pki.read("local-ca.pem"))
    device = made_device(pki, "offline-device-1")

    assert conformance.device_certificate_fault(device, now) is None
    assert find_issuer(device, [ca]) == ca


def test_device_signed_by_the_root_is_not_found_under_the_ca(pki: OpensslOwner) -> None:
    device = made_device(pki, "offline-device-2", ca="root")

    assert find_issuer(device, [parse_certificate(pki.read("local-ca.pem"))]) is None


def test_what_we_issue_under_a_foreign_ca_satisfies_openssl(
    root: x509.Certificate, pki: OpensslOwner, now: datetime
) -> None:
    request, key = csr(), make_key(root.public_key().curve.name)  # type: ignore[union-attr]
    ca = parse_certificate(pki.sign_ca(csr_pem(make_csr(key, backend_key_subject(FACTORY, GATEWAY_NAME)))))
    plan = plan_device(
        device_csr(request), IssuerTerms.of(ca), now=now, serial=new_serial(), validity=timedelta(days=9)
    )
    device = sign_plan(plan, key)

    assert is_signed_by(device, ca)
    # `-x509_strict` would judge the hand-made CA's missing critical flags, not our certificate.
    assert openssl_verify([device, ca], root, purpose="sslclient", at=now, strict=False) == "OK"
