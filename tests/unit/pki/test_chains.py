"""Who signed whom: by signature, never by name or identifier alone."""

import pytest
from cryptography import x509

from ownroot.errors import InvalidInputError
from ownroot.pki.chains import find_issuer, is_signed_by, order_chain, verify_signed_by
from ownroot.pki.names import reencode_subject
from tests.support.certificates import (
    Pair,
    device_ca,
    device_certificate,
    factory_root,
    make_key,
    make_rsa_key,
    sha1_key_identifier,
)


@pytest.fixture(scope="module")
def root() -> Pair:
    return factory_root()


@pytest.fixture(scope="module")
def ca(root: Pair) -> Pair:
    return device_ca(root)


@pytest.fixture(scope="module")
def twin(root: Pair) -> Pair:
    """Another CA of the same user: the same subject, another key."""
    return device_ca(root)


def test_certificate_is_signed_by_its_ca_and_not_by_a_twin(ca: Pair, twin: Pair) -> None:
    device = device_certificate(ca)

    assert is_signed_by(device.certificate, ca.certificate)
    assert not is_signed_by(device.certificate, twin.certificate)


def test_right_key_under_another_name_does_not_count(root: Pair, ca: Pair) -> None:
    renamed = device_ca(root, common_name="fio-somebody", key=ca.key)

    assert not is_signed_by(device_certificate(ca).certificate, renamed.certificate)


def test_same_name_in_other_string_types_does_not_count(root: Pair, ca: Pair) -> None:
    # Issuer and subject are copied as octets by whoever signs; a mere look-alike was not the issuer.
    printable = device_ca(root, key=ca.key, subject=reencode_subject(ca.certificate.subject))

    assert not is_signed_by(device_certificate(ca).certificate, printable.certificate)


def test_verifying_demands_what_the_question_answers(ca: Pair, twin: Pair) -> None:
    device = device_certificate(ca).certificate
    verify_signed_by(device, ca.certificate)

    with pytest.raises(InvalidInputError) as refused:
        verify_signed_by(device, twin.certificate)

    assert refused.value.code == "not-signed-by-issuer"


def test_signature_with_sha1_does_not_count(ca: Pair) -> None:
    assert not is_signed_by(device_certificate(ca, sha1=True).certificate, ca.certificate)


def test_signature_of_an_rsa_ca_does_not_count(root: Pair) -> None:
    ca = device_ca(root, key=make_rsa_key())

    assert not is_signed_by(device_certificate(ca).certificate, ca.certificate)


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_sha256_counts_under_every_curve(root: Pair, curve: str) -> None:
    ca = device_ca(root, key=make_key(curve))

    assert is_signed_by(device_certificate(ca).certificate, ca.certificate)


def test_forged_issuer_name_finds_nobody(ca: Pair, twin: Pair) -> None:
    forged = device_certificate(ca, signer=make_key()).certificate

    assert find_issuer(forged, [ca.certificate, twin.certificate]) is None


@pytest.mark.parametrize("swapped", [False, True])
def test_issuer_is_found_among_cas_of_one_subject_in_any_order(ca: Pair, twin: Pair, swapped: bool) -> None:
    candidates = [twin.certificate, ca.certificate] if swapped else [ca.certificate, twin.certificate]

    assert find_issuer(device_certificate(ca).certificate, candidates) == ca.certificate


def test_identifier_that_is_another_hash_or_a_twins_or_none_misleads_nobody(ca: Pair, twin: Pair) -> None:
    twins = twin.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    for identifier in (sha1_key_identifier(ca.key), twins, None):
        device = device_certificate(ca, authority_key_identifier=identifier).certificate

        assert find_issuer(device, [twin.certificate, ca.certificate]) == ca.certificate


def test_stranger_has_no_issuer(root: Pair, ca: Pair) -> None:
    stranger = device_certificate(device_ca(root, common_name="fio-unknown"))

    assert find_issuer(stranger.certificate, [ca.certificate]) is None
    assert find_issuer(stranger.certificate, []) is None


def test_chain_is_ordered_from_leaf_to_root_out_of_any_bundle(root: Pair, ca: Pair, twin: Pair) -> None:
    device = device_certificate(ca).certificate
    bundle = [root.certificate, twin.certificate, device, ca.certificate, ca.certificate]

    assert order_chain(device, bundle) == (device, ca.certificate, root.certificate)


def test_chain_ends_where_the_bundle_does(root: Pair, ca: Pair) -> None:
    device = device_certificate(ca).certificate

    assert order_chain(device, [root.certificate]) == (device,)
    assert order_chain(root.certificate, [root.certificate]) == (root.certificate,)


def test_chain_of_two_that_certify_each_other_ends() -> None:
    one = factory_root()
    other = device_ca(one, subject=one.certificate.subject)
    back = device_ca(other, subject=one.certificate.subject, key=one.key)

    assert len(order_chain(other.certificate, [one.certificate, back.certificate, other.certificate])) <= 3
