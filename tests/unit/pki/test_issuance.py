"""Plan, check, sign: what is refused before a key is touched, and that our encoding is the library's own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError, OwnrootError, RefusedError
from ownroot.pki import der, names
from ownroot.pki.encoding import issuer_der, subject_der
from ownroot.pki.issuance import (
    Issuer,
    IssuerTerms,
    Plan,
    plan_device,
    plan_device_ca,
    plan_factory_root,
    plan_gateway_tls,
    plan_requested,
    sign_plan,
)
from ownroot.pki.requests import KeyPolicy, as_production, device_csr, make_csr, verify_csr
from ownroot.pki.serials import Serial, new_serial
from tests.support.certificates import (
    CLIENT_AUTH,
    FACTORY,
    NOW,
    Oddities,
    Pair,
    csr,
    device_ca,
    device_certificate,
    device_name,
    entity,
    factory_root,
    issue,
    key_usage,
    make_key,
    make_rsa_key,
    name,
    sha256_key_identifier,
)


@pytest.fixture(scope="module")
def root() -> Pair:
    return factory_root()


@pytest.fixture(scope="module")
def ca(root: Pair) -> Pair:
    return device_ca(root)


def plan(ca: Pair, *, now: datetime = NOW, serial: int = 1, validity: timedelta = timedelta(days=1)) -> Plan:
    """Plan a device certificate that is right but for what a test changes."""
    return plan_device(device_csr(csr()), ca.certificate, now=now, serial=Serial(serial), validity=validity)


def test_device_certificate_has_the_csrs_subject_and_key_octet_by_octet(ca: Pair) -> None:
    printable = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "acme"), x509.NameAttribute(NameOID.COMMON_NAME, "d")]
    )
    request = csr(subject=names.reencode_subject(printable))
    signed = sign_plan(plan_device(device_csr(request), ca.certificate, now=NOW, serial=new_serial()), ca.ec_key)

    assert subject_der(signed) == request.subject.public_bytes()
    assert signed.public_key() == request.public_key()


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_signature_verifies_with_the_issuers_key_and_no_other(root: Pair, curve: str) -> None:
    ca, twin = device_ca(root, key=make_key(curve)), device_ca(root)
    signed = sign_plan(plan(ca), ca.ec_key)

    signed.verify_directly_issued_by(ca.certificate)
    with pytest.raises(InvalidSignature):
        signed.verify_directly_issued_by(twin.certificate)


@settings(max_examples=40)
@given(
    serial=st.integers(min_value=1, max_value=(1 << 159) - 1),
    uuid=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    production=st.booleans(),
    days=st.integers(min_value=1, max_value=20_000),
    start=st.datetimes(datetime(2000, 1, 1), datetime(2049, 12, 31)),  # noqa: DTZ001
)
def test_device_certificate_is_what_the_librarys_builder_would_sign(
    serial: int, uuid: str, production: bool, days: int, start: datetime
) -> None:
    now = start.replace(microsecond=0, tzinfo=UTC)
    ca = device_ca(factory_root(), not_after=now + timedelta(days=30_000))
    request = csr(subject=device_name(uuid, production=production))
    ours = plan_device(
        device_csr(request), ca.certificate, now=now, serial=Serial(serial), validity=timedelta(days=days)
    )
    theirs = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(ca.certificate.subject)
        .public_key(request.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([CLIENT_AUTH]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(ours_key_identifier(request)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(sha256_key_identifier(ca.key), None, None), critical=False)
        .sign(ca.ec_key, hashes.SHA256())
    )

    assert ours.signed_part == theirs.tbs_certificate_bytes


def ours_key_identifier(request: x509.CertificateSigningRequest) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    public_key = request.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    digest.update(public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    return digest.finalize()[:20]


def test_root_signs_itself_and_so_names_itself(root: Pair) -> None:
    key = make_key("secp384r1")
    signed = sign_plan(plan_factory_root(FACTORY, key.public_key(), now=NOW, serial=new_serial()), key)

    signed.verify_directly_issued_by(signed)
    assert issuer_der(signed) == subject_der(signed) == subject_der(root.certificate)


@pytest.mark.parametrize("identifier", [b"\x01" * 20, b"short", b"x" * 32])
def test_authority_identifier_is_what_the_cas_certificate_says(root: Pair, identifier: bytes) -> None:
    ca = device_ca(root, subject_key_identifier=identifier)
    signed = sign_plan(plan(ca), ca.ec_key)

    assert authority_identifier(signed) == identifier


def test_authority_identifier_is_the_hash_of_the_key_when_the_ca_has_none(root: Pair) -> None:
    ca = device_ca(root, subject_key_identifier=None)

    assert authority_identifier(sign_plan(plan(ca), ca.ec_key)) == sha256_key_identifier(ca.key)


def authority_identifier(certificate: x509.Certificate) -> bytes | None:
    return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier


def test_issuer_marks_a_production_device_behind_what_the_csr_says(ca: Pair) -> None:
    request = as_production(device_csr(csr(subject=device_name("dev-1"))))
    certificate = sign_plan(plan_device(request, ca.certificate, now=NOW, serial=Serial(1)), ca.ec_key)
    assert certificate.subject == device_name("dev-1", production=True)


def test_device_that_says_so_itself_is_not_marked_twice() -> None:
    request = device_csr(csr(subject=device_name("dev-1", production=True)))
    assert as_production(request) is request


def test_rsa_device_key_is_certified_where_the_policy_let_its_csr_pass(ca: Pair) -> None:
    request = device_csr(csr(make_rsa_key()), policy=KeyPolicy(allow_rsa=True))
    signed = sign_plan(plan_device(request, ca.certificate, now=NOW, serial=new_serial()), ca.ec_key)

    assert signed.public_key() == request.verified.public_key


def test_device_certificate_is_cut_at_the_end_of_its_ca(root: Pair) -> None:
    ca = device_ca(root, not_after=NOW + timedelta(days=30))

    assert sign_plan(plan(ca, validity=timedelta(days=31)), ca.ec_key).not_valid_after_utc == NOW + timedelta(days=30)
    assert sign_plan(plan(ca, validity=timedelta(days=29)), ca.ec_key).not_valid_after_utc == NOW + timedelta(days=29)


def test_ca_in_its_last_second_signs_and_after_it_refuses(root: Pair) -> None:
    ca = device_ca(root, not_after=NOW + timedelta(seconds=1))

    assert plan(ca, now=NOW).contents.not_after == NOW + timedelta(seconds=1)
    assert code_of(lambda: plan(ca, now=NOW + timedelta(seconds=1))) == "issuer-expired"


@pytest.mark.parametrize("serial", [0, -1, 1 << 159, (1 << 160) - 1])
def test_serial_we_must_not_issue_is_refused(ca: Pair, serial: int) -> None:
    assert code_of(lambda: plan(ca, serial=serial)) == "serial-out-of-range"


def test_largest_serial_is_issued(ca: Pair) -> None:
    assert sign_plan(plan(ca, serial=(1 << 159) - 1), ca.ec_key).serial_number == (1 << 159) - 1


def test_validity_that_is_over_before_it_begins_is_refused(ca: Pair) -> None:
    assert code_of(lambda: plan(ca, validity=timedelta(minutes=-5))) == "validity-empty"
    assert plan(ca, validity=timedelta(minutes=-4)).contents.not_before == NOW - timedelta(minutes=5)


def test_certificate_that_is_no_ca_issues_nothing(ca: Pair) -> None:
    assert code_of(lambda: plan(device_certificate(ca))) == "issuer-not-ca"


def test_ca_that_may_not_sign_certificates_issues_nothing(root: Pair) -> None:
    assert code_of(lambda: plan(device_ca(root, key_usage=("crl_sign",)))) == "issuer-not-ca"
    assert plan(device_ca(root, key_usage=None)).contents.serial == 1


@pytest.mark.parametrize("key", [make_rsa_key(), make_key("secp224r1")], ids=["RSA", "P-224"])
def test_ca_with_another_kind_of_key_issues_nothing(root: Pair, key: ec.EllipticCurvePrivateKey) -> None:
    assert code_of(lambda: plan(device_ca(root, key=key))) == "issuer-key"


def test_device_with_the_key_of_its_ca_is_refused(ca: Pair) -> None:
    request = device_csr(csr(ca.ec_key))

    assert code_of(lambda: plan_device(request, ca.certificate, now=NOW, serial=new_serial())) == "issuer-own-key"


def test_device_ca_certifies_no_ca(ca: Pair) -> None:
    key = make_key().public_key()

    with pytest.raises(RefusedError) as refused:
        plan_device_ca(entity("sub"), key, ca.certificate, now=NOW, serial=new_serial())

    assert refused.value.code == "issuer-path-length"


@pytest.mark.parametrize("path_length", [None, 1])
def test_root_with_room_in_its_path_certifies_a_ca(path_length: int | None) -> None:
    root = factory_root(path_length=path_length)
    made = plan_device_ca(entity("ca"), make_key().public_key(), root.certificate, now=NOW, serial=new_serial())

    assert issuer_der(sign_plan(made, root.ec_key)) == subject_der(root.certificate)


def test_device_ca_is_cut_at_the_end_of_its_root() -> None:
    root = factory_root(not_after=NOW + timedelta(days=90))
    made = plan_device_ca(entity("ca"), make_key().public_key(), root.certificate, now=NOW, serial=new_serial())

    assert made.contents.not_after == NOW + timedelta(days=90)


def test_ca_for_a_key_we_do_not_accept_is_refused(root: Pair) -> None:
    key = make_rsa_key().public_key()

    assert (
        code_of(lambda: plan_device_ca(entity("ca"), key, root.certificate, now=NOW, serial=new_serial()))
        == "key-not-accepted"
    )
    assert (
        code_of(lambda: plan_factory_root(FACTORY, make_key("secp224r1").public_key(), now=NOW, serial=new_serial()))
        == "key-not-accepted"
    )


def test_root_for_a_factory_name_that_fits_no_subject_is_refused() -> None:
    key = make_key().public_key()

    assert code_of(lambda: plan_factory_root("x" * 65, key, now=NOW, serial=new_serial())) == "name-too-long"


def test_ca_of_which_no_subject_is_left_is_refused(root: Pair) -> None:
    request = verify_csr(csr(subject=name((NameOID.EMAIL_ADDRESS, "a@b")), wants_ca=True))

    assert code_of(lambda: plan_requested(request, root.certificate, now=NOW, serial=new_serial())) == "subject-empty"


def test_tls_certificate_takes_over_dns_names_only(root: Pair) -> None:
    listed = [x509.DNSName("GW.example"), x509.IPAddress(ip_address("192.0.2.1")), x509.RFC822Name("a@example")]
    wanted = x509.SubjectAlternativeName(listed)
    request = verify_csr(csr(subject=entity("gw"), more_extensions=((wanted, False),)))

    own = sign_plan(plan_gateway_tls(request, root.certificate, now=NOW, serial=new_serial()), root.ec_key)
    requested = sign_plan(plan_requested(request, root.certificate, now=NOW, serial=new_serial()), root.ec_key)

    assert alternative_names(own) == [x509.DNSName("gw.example")]
    assert alternative_names(requested) == listed


def alternative_names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def test_tls_certificate_without_a_dns_name_is_refused_for_a_gateway_only(root: Pair) -> None:
    request = verify_csr(make_csr(make_key(), entity("client")))

    assert code_of(lambda: plan_gateway_tls(request, root.certificate, now=NOW, serial=new_serial())) == "csr-dns-names"
    signed = sign_plan(plan_requested(request, root.certificate, now=NOW, serial=new_serial()), root.ec_key)
    assert b"\x55\x1d\x11" not in signed.tbs_certificate_bytes


def test_tls_certificate_for_a_name_that_is_no_host_is_refused(root: Pair) -> None:
    request = verify_csr(make_csr(make_key(), entity("gw"), ("*.example",)))

    assert (
        code_of(lambda: plan_gateway_tls(request, root.certificate, now=NOW, serial=new_serial())) == "dns-name-invalid"
    )


@pytest.mark.parametrize("margin", [timedelta(), timedelta(minutes=5), timedelta(days=7)])
def test_every_kind_of_certificate_may_begin_before_it_is_made_and_ends_as_before(
    root: Pair, ca: Pair, margin: timedelta
) -> None:
    tls_csr = verify_csr(csr(subject=entity("gw"), dns_names=["gw.example"]))
    key, terms = make_key(), {"now": NOW, "serial": new_serial()}
    plain = (
        plan_factory_root("acme", key.public_key(), **terms),
        plan_device_ca(entity("ca"), key.public_key(), root.certificate, **terms),
        plan_gateway_tls(tls_csr, root.certificate, **terms),
        plan_device(device_csr(csr(key)), ca.certificate, backdate=timedelta(), **terms),
    )
    early = (
        plan_factory_root("acme", key.public_key(), backdate=margin, **terms),
        plan_device_ca(entity("ca"), key.public_key(), root.certificate, backdate=margin, **terms),
        plan_gateway_tls(tls_csr, root.certificate, backdate=margin, **terms),
        plan_device(device_csr(csr(key)), ca.certificate, backdate=margin, **terms),
    )
    assert {one.contents.not_before for one in plain} == {NOW}
    assert {one.contents.not_before for one in early} == {NOW - margin}
    assert [one.contents.not_after for one in plain] == [one.contents.not_after for one in early]


def test_issuer_is_a_pair_that_belongs_together(ca: Pair) -> None:
    issuer = Issuer(ca.certificate, ca.ec_key)

    assert IssuerTerms.of(issuer.terms) is issuer.terms
    assert plan_device(device_csr(csr()), issuer.terms, now=NOW, serial=new_serial()).contents.issuer is issuer.terms


def test_issuer_with_the_key_of_another_is_refused(ca: Pair) -> None:
    assert code_of(lambda: Issuer(ca.certificate, make_key())) == "issuer-key-mismatch"


def test_plan_is_signed_with_the_key_it_was_made_for_alone(root: Pair, ca: Pair) -> None:
    assert code_of(lambda: sign_plan(plan(ca), root.ec_key)) == "issuer-key-mismatch"


def test_issuer_of_odd_string_types_is_named_octet_by_octet() -> None:
    # BMPString, as old Windows tools wrote it: decoding and writing it again would change it.
    text = "Works".encode("utf-16-be")
    common_name = der.encode(der.SET, der.sequence(bytes.fromhex("0603550403"), der.encode(0x1E, text)))
    ca = issue(None, Oddities(subject=x509.Name.from_bytes(der.sequence(common_name)), is_ca=True))

    assert issuer_der(sign_plan(plan(ca), ca.ec_key)) == der.sequence(common_name)


def code_of(action: Callable[[], object]) -> str:
    """Return why this is not planned or signed."""
    with pytest.raises(OwnrootError) as refused:
        action()
    assert isinstance(refused.value, InvalidInputError | RefusedError)
    return refused.value.code
