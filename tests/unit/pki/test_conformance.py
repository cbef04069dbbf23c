"""Certificates made elsewhere: what is accepted, and the twin that differs in one detail and is refused by name."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ownroot.errors import InvalidInputError
from ownroot.pki import conformance
from ownroot.pki.requests import KeyPolicy
from tests.support.certificates import (
    CLIENT_AUTH,
    FACTORY,
    GATEWAY_NAME,
    NOW,
    SERVER_AUTH,
    Oddities,
    Pair,
    device_ca,
    device_certificate,
    entity,
    factory_root,
    gateway_tls,
    make_key,
    make_rsa_key,
    name,
)

DNS_NAMES = (GATEWAY_NAME, f"ostree.{GATEWAY_NAME}")
ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
MINUTES_5, SECOND = timedelta(minutes=5), timedelta(seconds=1)

UNKNOWN_CRITICAL = ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),)
UNKNOWN = ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False),)
NAME_CONSTRAINTS = ((x509.NameConstraints([x509.DNSName("acme.example")], None), True),)


@pytest.fixture(scope="module")
def root() -> Pair:
    return factory_root()


@pytest.fixture(scope="module")
def ca(root: Pair) -> Pair:
    return device_ca(root)


def code_of(check: Callable[..., None], *arguments: object) -> str:
    """Return why this check refuses."""
    with pytest.raises(InvalidInputError) as refused:
        check(*arguments)
    assert refused.value.detail.endswith(".")
    return refused.value.code


@pytest.mark.parametrize(
    "odd",
    [
        Oddities(),
        Oddities(key=make_key("secp384r1")),
        Oddities(key=make_key("secp521r1")),
        Oddities(path_length=1),
        Oddities(key_usage=("key_cert_sign",)),
        Oddities(key_usage_critical=False, constraints_critical=False, extended_key_usages_critical=True),
        Oddities(extended_key_usages=None),
        Oddities(extended_key_usages=(ANY_USAGE,)),
        Oddities(subject_key_identifier=None),
        Oddities(serial=(1 << 160) - 1),
        Oddities(more_extensions=UNKNOWN),
        Oddities(not_before=NOW + MINUTES_5),
        Oddities(not_after=NOW - MINUTES_5, not_before=NOW - timedelta(days=9)),
        Oddities(subject=name((NameOID.ORGANIZATIONAL_UNIT_NAME, FACTORY), (NameOID.COMMON_NAME, "Factory Root CA"))),
    ],
)
def test_root_as_tools_make_it_is_accepted(odd: Oddities) -> None:
    conformance.check_factory_root(factory_root(**odd).certificate, FACTORY, NOW)


@pytest.mark.parametrize(
    ("code", "odd"),
    [
        ("root-key", Oddities(key=make_rsa_key())),
        ("root-key", Oddities(key=make_key("secp224r1"))),
        ("root-critical-extension", Oddities(more_extensions=UNKNOWN_CRITICAL)),
        ("root-critical-extension", Oddities(more_extensions=NAME_CONSTRAINTS)),
        ("root-not-ca", Oddities(is_ca=False)),
        ("root-not-ca", Oddities(is_ca=None)),
        ("root-key-usage", Oddities(key_usage=("crl_sign",))),
        ("root-key-usage", Oddities(key_usage=None)),
        ("root-path-length", Oddities(path_length=0)),
        ("root-extended-key-usage", Oddities(extended_key_usages=(SERVER_AUTH,))),
        ("root-extended-key-usage", Oddities(extended_key_usages=(CLIENT_AUTH,))),
        ("root-factory", Oddities(subject=entity("Factory-CA", "other"))),
        ("root-factory", Oddities(subject=entity("Factory-CA", FACTORY.upper()))),
        ("root-factory", Oddities(subject=name((NameOID.COMMON_NAME, "Factory-CA")))),
        ("root-factory", Oddities(subject=x509.Name([*entity("r"), *name((NameOID.ORGANIZATIONAL_UNIT_NAME, "b"))]))),
        ("root-not-yet-valid", Oddities(not_before=NOW + MINUTES_5 + SECOND)),
        ("root-expired", Oddities(not_after=NOW - MINUTES_5 - SECOND, not_before=NOW - timedelta(days=9))),
        ("root-self-signature", Oddities(signer=make_key())),
        ("root-self-signature", Oddities(sha1=True)),
    ],
)
def test_root_that_is_none_is_refused(code: str, odd: Oddities) -> None:
    assert code_of(conformance.check_factory_root, factory_root(**odd).certificate, FACTORY, NOW) == code


def test_version_1_root_is_refused() -> None:
    root = factory_root(version_1=True).certificate

    assert code_of(conformance.check_factory_root, root, FACTORY, NOW) == "root-not-ca"


def test_root_signed_by_a_higher_ca_is_accepted() -> None:
    higher = factory_root(subject=entity("Holding", "holding"))
    root = device_ca(higher, path_length=None, common_name="Factory-CA")

    conformance.check_factory_root(root.certificate, FACTORY, NOW)


@pytest.mark.parametrize(
    "odd",
    [
        Oddities(),
        Oddities(key=make_key("secp384r1")),
        Oddities(key=make_key("secp521r1")),
        Oddities(path_length=None),
        Oddities(path_length=2),
        Oddities(key_usage_critical=False, constraints_critical=False),
        Oddities(extended_key_usages=(CLIENT_AUTH,)),
        Oddities(serial=(1 << 160) - 1),
        Oddities(subject_key_identifier=None, authority_key_identifier=None),
        Oddities(authority_key_identifier=b"of another hash"),
        Oddities(subject=entity("fio-Fleet-offline-CA")),
        Oddities(not_before=NOW + MINUTES_5),
        Oddities(not_after=NOW - MINUTES_5, not_before=NOW - timedelta(days=9)),
    ],
)
def test_device_ca_as_tools_make_it_is_accepted(root: Pair, odd: Oddities) -> None:
    conformance.check_device_ca(device_ca(root, **odd).certificate, root.certificate, FACTORY, NOW)


@pytest.mark.parametrize(
    ("code", "odd"),
    [
        ("ca-key", Oddities(key=make_rsa_key())),
        ("ca-key", Oddities(key=make_key("secp256k1"))),
        ("ca-critical-extension", Oddities(more_extensions=UNKNOWN_CRITICAL)),
        ("ca-critical-extension", Oddities(more_extensions=NAME_CONSTRAINTS)),
        ("ca-not-ca", Oddities(is_ca=False, path_length=None)),
        ("ca-key-usage", Oddities(key_usage=("digital_signature",))),
        ("ca-key-usage", Oddities(key_usage=None)),
        ("ca-extended-key-usage", Oddities(extended_key_usages=(SERVER_AUTH,))),
        ("ca-factory", Oddities(subject=entity("fio-1", "other"))),
        ("ca-not-yet-valid", Oddities(not_before=NOW + MINUTES_5 + SECOND)),
        ("ca-expired", Oddities(not_after=NOW - MINUTES_5 - SECOND, not_before=NOW - timedelta(days=9))),
        ("ca-not-signed-by-root", Oddities(signer=make_key())),
        ("ca-not-signed-by-root", Oddities(issuer_name=entity("Another-CA"))),
        ("ca-not-signed-by-root", Oddities(sha1=True)),
    ],
)
def test_device_ca_that_is_none_is_refused(root: Pair, code: str, odd: Oddities) -> None:
    ca = device_ca(root, **odd).certificate

    assert code_of(conformance.check_device_ca, ca, root.certificate, FACTORY, NOW) == code


def test_device_ca_with_the_roots_key_is_refused(root: Pair) -> None:
    ca = device_ca(root, key=root.key).certificate

    assert code_of(conformance.check_device_ca, ca, root.certificate, FACTORY, NOW) == "ca-root-key"


def test_device_ca_under_another_ca_is_refused(root: Pair, ca: Pair) -> None:
    grandchild = device_ca(ca).certificate

    assert code_of(conformance.check_device_ca, grandchild, root.certificate, FACTORY, NOW) == "ca-not-signed-by-root"


@pytest.mark.parametrize(
    "odd",
    [
        Oddities(),
        Oddities(key_usage=("digital_signature", "key_encipherment", "key_agreement"), key_usage_critical=False),
        Oddities(extended_key_usages=(SERVER_AUTH, CLIENT_AUTH)),
        Oddities(is_ca=False),
        Oddities(dns_names=tuple(reversed(DNS_NAMES))),
        Oddities(dns_names=tuple(dns_name.upper() for dns_name in DNS_NAMES)),
        Oddities(not_before=NOW + MINUTES_5),
        Oddities(serial=(1 << 160) - 1),
    ],
)
def test_tls_certificate_as_tools_make_it_is_accepted(root: Pair, odd: Oddities) -> None:
    conformance.check_tls(gateway_tls(root, **odd).certificate, root.certificate, DNS_NAMES, NOW)


@pytest.mark.parametrize(
    ("code", "odd"),
    [
        ("tls-critical-extension", Oddities(more_extensions=UNKNOWN_CRITICAL)),
        ("tls-is-ca", Oddities(is_ca=True)),
        ("tls-key-usage", Oddities(key_usage=("key_encipherment",))),
        ("tls-key-usage", Oddities(key_usage=None)),
        ("tls-extended-key-usage", Oddities(extended_key_usages=(CLIENT_AUTH,))),
        ("tls-extended-key-usage", Oddities(extended_key_usages=None)),
        ("tls-dns-names", Oddities(dns_names=DNS_NAMES[:1])),
        ("tls-dns-names", Oddities(dns_names=(*DNS_NAMES, "more.example"))),
        ("tls-dns-names", Oddities(dns_names=())),
        ("tls-not-yet-valid", Oddities(not_before=NOW + MINUTES_5 + SECOND)),
        ("tls-expired", Oddities(not_after=NOW - MINUTES_5 - SECOND, not_before=NOW - timedelta(days=9))),
        ("tls-not-signed-by-root", Oddities(signer=make_key())),
    ],
)
def test_tls_certificate_that_is_none_is_refused(root: Pair, code: str, odd: Oddities) -> None:
    certificate = gateway_tls(root, **odd).certificate

    assert code_of(conformance.check_tls, certificate, root.certificate, DNS_NAMES, NOW) == code


def test_tls_certificate_with_wrong_names_says_which(root: Pair) -> None:
    certificate = gateway_tls(root, dns_names=(GATEWAY_NAME, "evil.example")).certificate

    with pytest.raises(InvalidInputError) as refused:
        conformance.check_tls(certificate, root.certificate, DNS_NAMES, NOW)

    assert "evil.example, ostree.gw.acme.example" in refused.value.detail


@pytest.mark.parametrize(
    "odd",
    [
        Oddities(),
        Oddities(key=make_key("secp384r1")),
        Oddities(key=make_key("secp521r1")),
        Oddities(is_ca=None),
        Oddities(key_usage=None),
        Oddities(key_usage=("digital_signature", "key_agreement")),
        Oddities(extended_key_usages=None),
        Oddities(extended_key_usages_critical=False),
        Oddities(extended_key_usages=(ANY_USAGE,)),
        Oddities(more_extensions=UNKNOWN),
        Oddities(serial=(1 << 160) - 1),
        Oddities(version_1=True),
        Oddities(not_before=NOW + MINUTES_5),
        Oddities(not_after=NOW),
    ],
)
def test_device_certificate_as_tools_make_it_has_no_fault(ca: Pair, odd: Oddities) -> None:
    certificate = device_certificate(ca, **odd).certificate

    assert conformance.device_certificate_fault(certificate, NOW) is None
    conformance.check_device_certificate(certificate, NOW)


@pytest.mark.parametrize(
    ("code", "odd"),
    [
        ("device-not-yet-valid", Oddities(not_before=NOW + MINUTES_5 + SECOND)),
        ("device-expired", Oddities(not_after=NOW - SECOND)),
        ("device-key", Oddities(key=make_rsa_key())),
        ("device-key", Oddities(key=make_key("secp224r1"))),
        ("device-critical-extension", Oddities(more_extensions=UNKNOWN_CRITICAL)),
        ("device-is-ca", Oddities(is_ca=True)),
        ("device-key-usage", Oddities(key_usage=("key_cert_sign",))),
        ("device-key-usage", Oddities(key_usage=("key_agreement",))),
        ("device-extended-key-usage", Oddities(extended_key_usages=(SERVER_AUTH,))),
    ],
)
def test_device_certificate_that_is_none_has_a_fault(ca: Pair, code: str, odd: Oddities) -> None:
    certificate = device_certificate(ca, **odd).certificate
    fault = conformance.device_certificate_fault(certificate, NOW)

    assert fault is not None
    assert fault.code == code
    assert code_of(conformance.check_device_certificate, certificate, NOW) == code


def test_rsa_device_is_accepted_from_2048_bits_where_the_factory_allows_it(ca: Pair) -> None:
    strong = device_certificate(ca, key=make_rsa_key(2048)).certificate
    weak = device_certificate(ca, key=make_rsa_key(1024)).certificate

    assert conformance.device_certificate_fault(strong, NOW, allow_rsa=True) is None
    assert fault_code(weak, NOW, allow_rsa=True) == "device-key"
    assert KeyPolicy().allow_rsa is False


def test_ca_profile_of_sample_scripts_is_accepted_where_the_factory_allows_it(ca: Pair) -> None:
    sample = device_certificate(ca, is_ca=True, key_usage=("key_cert_sign",)).certificate
    other = device_certificate(ca, is_ca=True, key_usage=("key_agreement",)).certificate

    assert conformance.device_certificate_fault(sample, NOW, allow_ca_profile=True) is None
    assert fault_code(other, NOW, allow_ca_profile=True) == "device-key-usage"


def fault_code(certificate: x509.Certificate, now: datetime, **allowed: bool) -> str | None:
    """Return the code of the fault, or None."""
    fault = conformance.device_certificate_fault(certificate, now, **allowed)
    return fault.code if fault else None
