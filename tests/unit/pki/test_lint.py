"""Lint before sign: each plan that is wrong in one detail is refused, and the issuer's key is never asked."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from ownroot.errors import RefusedError
from ownroot.pki import der, lint, names, profiles
from ownroot.pki.issuance import (
    Contents,
    Issuer,
    Plan,
    _intent,
    _signed_part,
    plan_device,
    plan_device_ca,
    plan_factory_root,
    plan_gateway_tls,
    sign_plan,
    signature_algorithm,
)
from ownroot.pki.profiles import encode_extension, key_usage
from ownroot.pki.requests import device_csr, make_csr, verify_csr
from ownroot.pki.revocation import CrlEntry, encode_signed_part, make_crl
from ownroot.pki.serials import Serial, new_serial
from tests.support.certificates import FACTORY, NOW, Pair, csr, device_ca, device_name, factory_root, make_key

OTHER_KEY = make_key()
SERVER_AUTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
POLICY = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)])


def authority(identifier: bytes, *, critical: bool = False) -> bytes:
    return encode_extension(x509.AuthorityKeyIdentifier(identifier, None, None), critical=critical)


class _UntouchedKey:
    """The issuer's key as far as anyone may look; signing with it fails the test."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    def sign(self, *_: object) -> bytes:
        pytest.fail("the real key was asked to sign")


@pytest.fixture(scope="module")
def root() -> Pair:
    return factory_root()


@pytest.fixture(scope="module", params=["secp256r1", "secp384r1", "secp521r1"])
def any_root(request: pytest.FixtureRequest) -> Pair:
    return factory_root(key=make_key(request.param))


@pytest.fixture(scope="module")
def plan(root: Pair) -> Plan:
    return plan_device(device_csr(csr()), device_ca(root).certificate, now=NOW, serial=new_serial())


def refusal(wrong: Plan) -> str:
    """Why the lint refuses a plan, the issuer's key being out of reach."""
    with pytest.raises(RefusedError) as refused:
        _sign(wrong)
    assert refused.value.code == "lint-failed"
    return refused.value.detail


def _sign(plan: Plan) -> None:
    key: Any = make_key()
    # The one who plans is not asked here, so the issuer of the plan is made to be a key that refuses to sign.
    issuer = replace(plan.contents.issuer, public_key=key.public_key())
    key_out_of_reach: Any = _UntouchedKey(key)
    sign_plan(Plan(replace(plan.contents, issuer=issuer), plan.signed_part), key_out_of_reach)


def encoded(contents: Contents) -> bytes:
    """The signed part as planned contents would have it, without the checks that come before."""
    return _signed_part(contents)


def test_every_profile_is_signed_on_every_curve(any_root: Pair) -> None:
    root, key = any_root, make_key()
    tls = verify_csr(make_csr(key, device_name("gw"), ("gw.example", "ostree.gw.example")))
    ca_plan = plan_device_ca(names.local_ca_subject(FACTORY, "0" * 24), key.public_key(), root.certificate,
                             now=NOW, serial=new_serial())  # fmt: skip
    plans = [
        plan_factory_root(FACTORY, root.ec_key.public_key(), now=NOW, serial=new_serial()),
        ca_plan,
        plan_gateway_tls(tls, root.certificate, now=NOW, serial=new_serial()),
    ]
    signed = [sign_plan(each, root.ec_key) for each in plans]
    device = plan_device(device_csr(csr(subject=device_name("d", production=True))), signed[1], now=NOW,
                         serial=new_serial())  # fmt: skip

    assert [c.tbs_certificate_bytes for c in signed] == [each.signed_part for each in plans]
    assert sign_plan(device, key).tbs_certificate_bytes == device.signed_part


def test_a_plan_that_is_right_reaches_the_key(plan: Plan) -> None:
    """The twin of every refusal here: with nothing changed it is the key that is asked next."""
    with pytest.raises(pytest.fail.Exception, match="asked to sign"):
        _sign(plan)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda c: {"serial": Serial(c.serial + 1)}, "the serial"),
        (lambda c: {"not_after": c.not_after + timedelta(seconds=1)}, "the validity"),
        (lambda c: {"subject_der": device_name("another").public_bytes()}, "the subject"),
        (lambda c: {"spki_der": encode_spki(OTHER_KEY)}, "the public key"),
        (lambda c: {"issuer": replace(c.issuer, name_der=device_name("other").public_bytes())}, "the issuer"),
        (lambda c: {"issuer": replace(c.issuer, authority_key_identifier=authority(b"x" * 20))}, "is missing"),
    ],
)
def test_what_was_planned_is_what_is_signed(
    plan: Plan, change: Callable[[Contents], dict[str, Any]], rule: str
) -> None:
    other = replace(plan.contents, **change(plan.contents))

    assert rule in refusal(Plan(plan.contents, encoded(other)))


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
@pytest.mark.parametrize("serial", [0, 1 << 159])
def test_a_serial_is_positive_and_short_even_if_it_was_planned_otherwise(plan: Plan, serial: int) -> None:
    wrong = replace(plan.contents, serial=Serial(serial))

    assert "the serial" in refusal(Plan(wrong, encoded(wrong)))


def test_a_certificate_that_ends_before_it_begins_is_refused_even_if_planned_so(plan: Plan) -> None:
    wrong = replace(plan.contents, not_after=plan.contents.not_before)

    assert "ends before it begins" in refusal(Plan(wrong, encoded(wrong)))


def test_an_empty_subject_is_refused_even_if_planned_so(plan: Plan) -> None:
    wrong = replace(plan.contents, subject_der=der.sequence())

    assert "empty" in refusal(Plan(wrong, encoded(wrong)))


def _swap(profile: profiles.Profile, old: bytes, new: bytes) -> profiles.Profile:
    assert old in profile.fixed_extensions
    return replace(profile, fixed_extensions=profile.fixed_extensions.replace(old, new))


DEVICE = profiles.DEVICE
_USAGE = encode_extension(key_usage(digital_signature=True), critical=True)
_CONSTRAINTS = encode_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)


@pytest.mark.parametrize(
    ("profile", "rule"),
    [
        (_swap(DEVICE, _USAGE, encode_extension(key_usage(digital_signature=True, cert_sign=True), critical=True)),
         "300e0603551d0f0101ff040403020780 is missing"),
        (_swap(DEVICE, _USAGE, encode_extension(key_usage(digital_signature=True), critical=False)),
         "300e0603551d0f0101ff040403020780 is missing"),
        (_swap(DEVICE, _USAGE, b""), "300e0603551d0f0101ff040403020780 is missing"),
        (_swap(DEVICE, _USAGE, _USAGE + encode_extension(POLICY, critical=False)), "is not what the profile"),
        (_swap(DEVICE, _CONSTRAINTS, encode_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)),
         "300c0603551d130101ff04023000 is missing"),
        (_swap(DEVICE, _USAGE, _USAGE + encode_extension(SERVER_AUTH, critical=True)), "cannot be read"),
        (_swap(DEVICE, _USAGE, _USAGE + b"\x00"), "cannot be read"),
        (replace(DEVICE, has_subject_key_identifier=False), " is missing"),
        (replace(DEVICE, has_authority_key_identifier=False), " is missing"),
    ],
)  # fmt: skip
def test_a_slip_in_a_profile_is_seen_before_anything_is_signed(
    plan: Plan, profile: profiles.Profile, rule: str
) -> None:
    wrong = replace(plan.contents, profile=profile)

    assert rule in refusal(Plan(wrong, encoded(wrong)))


def test_an_identifier_is_never_critical(plan: Plan) -> None:
    issuer = replace(plan.contents.issuer, authority_key_identifier=authority(b"x" * 20, critical=True))
    wrong = replace(plan.contents, issuer=issuer)

    assert "must not be critical" in refusal(Plan(wrong, encoded(wrong)))


def test_octets_of_an_older_version_are_refused(plan: Plan) -> None:
    """Without version and extensions it is a well-formed certificate of version 1."""
    fields = list(der.read(der.read_one(plan.signed_part, der.SEQUENCE).content))
    older = der.sequence(*(field.raw for field in fields[1:-1]))

    assert "version 3" in refusal(Plan(plan.contents, older))


def test_a_hash_weaker_than_the_issuers_curve_is_refused(plan: Plan) -> None:
    issuer = replace(plan.contents.issuer, public_key=make_key("secp384r1").public_key())
    intent = replace(_intent(plan.contents), signer=issuer.public_key)

    with pytest.raises(RefusedError, match="curve of the issuing key"):
        lint.lint_certificate(plan.signed_part, signature_algorithm(make_key().public_key()), intent)


def test_the_algorithm_inside_is_the_one_beside_the_signature(plan: Plan) -> None:
    """No verifier accepts a certificate in which they differ, though parsers do (RFC 5280 §4.1.1.2)."""
    sha256, sha384 = (signature_algorithm(make_key(curve).public_key()) for curve in ("secp256r1", "secp384r1"))

    assert "algorithm inside" in refusal(Plan(plan.contents, plan.signed_part.replace(sha256, sha384, 1)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("040403020780", "040403020080"),  # the same bit, but not DER: the unused bits are not counted
        ("0603551d0e04160414", None),
    ],
)
def test_extensions_are_compared_as_octets(plan: Plan, old: str, new: str | None) -> None:
    before = bytes.fromhex(old)
    position = plan.signed_part.index(before)
    if new is None:  # another subject key identifier of the same length
        start = position + len(before)
        octets = plan.signed_part[:start] + b"x" * 20 + plan.signed_part[start + 20 :]
    else:
        octets = plan.signed_part.replace(before, bytes.fromhex(new), 1)

    assert "is missing" in refusal(Plan(plan.contents, octets))


@pytest.mark.parametrize("other", [b"", encode_extension(x509.SubjectAlternativeName([x509.DNSName("evil.example")]),
                                                         critical=False)])  # fmt: skip
def test_a_gateways_names_are_the_planned_ones(root: Pair, other: bytes) -> None:
    request = verify_csr(make_csr(make_key(), device_name("gw"), ("gw.example",)))
    planned = plan_gateway_tls(request, root.certificate, now=NOW, serial=new_serial())

    assert "is missing" in refusal(Plan(planned.contents, encoded(replace(planned.contents, alternative_names=other))))


def encode_spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    from ownroot.pki.encoding import spki_der

    return spki_der(key.public_key())


# --- CRLs


REVOKE = CrlEntry(Serial(1 << 159), 9)


def crl_parts(root: Pair) -> tuple[bytes, bytes, lint.CrlIntent]:
    issuer = Issuer(root.certificate, root.ec_key)
    intent = lint.CrlIntent(
        signer=issuer.terms.public_key,
        issuer_der=issuer.terms.name_der,
        this_update=NOW,
        next_update=NOW + timedelta(minutes=15),
        entries=((REVOKE.serial, REVOKE.reason),),
        authority_key_identifier=issuer.terms.authority_key_identifier,
    )
    signed_part = encode_signed_part(issuer.terms, [REVOKE], now=NOW)
    return signed_part, signature_algorithm(issuer.terms.public_key), intent


def test_a_command_is_signed_on_every_curve(any_root: Pair) -> None:
    entries = [REVOKE, CrlEntry(Serial(2), None)]

    assert len(list(make_crl(Issuer(any_root.certificate, any_root.ec_key), entries, now=NOW))) == 2


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"issuer_der": device_name("another").public_bytes()}, "the issuer"),
        ({"this_update": NOW - timedelta(seconds=1)}, "the dates"),
        ({"next_update": NOW}, "ends before it begins"),
        ({"entries": ((REVOKE.serial, 6),)}, "the entries"),
        ({"entries": ((1, REVOKE.reason),)}, "the entries"),
        ({"entries": ()}, "the entries"),
        ({"entries": ((REVOKE.serial, None),)}, "the entries"),
        ({"authority_key_identifier": authority(b"x" * 20)}, "the root's key identifier"),
        ({"signer": make_key("secp384r1").public_key()}, "curve of the root key"),
    ],
)
def test_a_command_that_says_something_else_is_refused(root: Pair, change: dict[str, Any], rule: str) -> None:
    signed_part, algorithm, intent = crl_parts(root)
    lint.lint_crl(signed_part, algorithm, intent)

    with pytest.raises(RefusedError, match=rule):
        lint.lint_crl(signed_part, algorithm, replace(intent, **change))


_NUMBER = encode_extension(x509.CRLNumber(1), critical=False)


@pytest.mark.parametrize(
    ("new", "rule"),
    [
        (encode_extension(x509.CRLNumber(1), critical=True), "the CRL number 1"),
        (encode_extension(x509.CRLNumber(7), critical=False), "the CRL number 1"),
        (encode_extension(x509.DeltaCRLIndicator(1), critical=False), "the CRL number 1"),
        (encode_extension(x509.CRLNumber(1), critical=False) + b"\x00", "cannot be read"),
    ],
)
def test_a_command_with_other_extensions_is_refused(root: Pair, new: bytes, rule: str) -> None:
    _, algorithm, intent = crl_parts(root)
    terms = Issuer(root.certificate, root.ec_key).terms
    # The number stands last, so it is swapped by way of the identifier before it.
    signed_part = _crl_with(terms.authority_key_identifier, new, root)

    with pytest.raises(RefusedError, match=rule):
        lint.lint_crl(signed_part, algorithm, intent)


def _crl_with(identifier: bytes, number: bytes, root: Pair) -> bytes:
    terms = Issuer(root.certificate, root.ec_key).terms
    fields = list(der.read(der.read_one(encode_signed_part(terms, [REVOKE], now=NOW), der.SEQUENCE).content))
    return der.sequence(*(field.raw for field in fields[:-1]), der.explicit(0, der.sequence(identifier, number)))


@pytest.mark.parametrize(
    ("field", "new", "rule"),
    [
        (0, None, "version 2"),
        (1, signature_algorithm(make_key("secp384r1").public_key()), "cannot be read"),
        (5, der.sequence(der.sequence(der.integer(1 << 159), der.time(NOW + timedelta(days=1)))), "the entries"),
    ],
)
def test_a_command_is_compared_octet_by_octet(root: Pair, field: int, new: bytes | None, rule: str) -> None:
    signed_part, algorithm, intent = crl_parts(root)
    fields = [element.raw for element in der.read(der.read_one(signed_part, der.SEQUENCE).content)]
    if new is None:  # as of version 1: no number, and so no extensions
        fields = fields[1:-1]
    else:
        fields[field] = new

    with pytest.raises(RefusedError, match=rule):
        lint.lint_crl(der.sequence(*fields), algorithm, intent)


def test_octets_after_the_command_are_refused(root: Pair) -> None:
    signed_part, algorithm, intent = crl_parts(root)
    longer = der.sequence(der.read_one(signed_part, der.SEQUENCE).content, der.integer(1))

    with pytest.raises(RefusedError, match="cannot be read"):
        lint.lint_crl(longer, algorithm, intent)
