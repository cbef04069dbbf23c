"""Anchors for stock OpenSSL: the program itself is the judge."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.clock import utc_now
from ownroot.pki.anchors import synthetic_anchors
from ownroot.pki.encoding import certificate_pem
from tests.support.certificates import Pair, device_ca, device_certificate, factory_root, make_key, sha1_key_identifier
from tests.support.openssl_checks import run_openssl


@pytest.fixture
def ca() -> Pair:
    return device_ca(factory_root(now=utc_now()), now=utc_now())


def _accepts(folder: Path, trusted: Iterable[x509.Certificate], device: Pair) -> bool:
    bundle, leaf = folder / "bundle.pem", folder / "leaf.pem"
    bundle.write_text("".join(map(certificate_pem, trusted)))
    leaf.write_text(device.pem)
    return run_openssl("verify", "-purpose", "sslclient", "-CAfile", bundle, leaf).returncode == 0


def test_openssl_stops_at_the_anchor_and_not_at_the_ca_itself(ca: Pair, tmp_path: Path) -> None:
    device = device_certificate(ca, now=utc_now())
    assert _accepts(tmp_path, synthetic_anchors(ca.certificate), device)
    assert not _accepts(tmp_path, [ca.certificate], device)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_openssl_finds_the_issuer_of_a_device_with_a_sha1_identifier(curve: ec.EllipticCurve, tmp_path: Path) -> None:
    ca = device_ca(factory_root(now=utc_now()), now=utc_now(), key=ec.generate_private_key(curve))
    odd = sha1_key_identifier(ca.key)
    device = device_certificate(ca, now=utc_now(), authority_key_identifier=odd)
    assert _accepts(tmp_path, synthetic_anchors(ca.certificate), device)


def test_anchor_helps_no_device_of_another_key(ca: Pair, tmp_path: Path) -> None:
    for odd in ({}, {"authority_key_identifier": sha1_key_identifier(ca.key)}):
        forged = device_certificate(ca, now=utc_now(), signer=make_key(), **odd)  # type: ignore[arg-type]
        assert not _accepts(tmp_path, synthetic_anchors(ca.certificate), forged)


def test_anchor_helps_no_device_of_another_ca_of_that_root(tmp_path: Path) -> None:
    root = factory_root(now=utc_now())
    one, other = (device_ca(root, now=utc_now()) for _ in range(2))
    assert not _accepts(tmp_path, synthetic_anchors(one.certificate), device_certificate(other, now=utc_now()))


def test_each_of_many_cas_with_one_subject_is_found(tmp_path: Path) -> None:
    root = factory_root(now=utc_now())
    cas = [device_ca(root, now=utc_now()) for _ in range(4)]
    bundle = [anchor for ca in cas for anchor in synthetic_anchors(ca.certificate)]
    for ca in cas:
        odd = sha1_key_identifier(ca.key)
        assert _accepts(tmp_path, bundle, device_certificate(ca, now=utc_now()))
        assert _accepts(tmp_path, bundle, device_certificate(ca, now=utc_now(), authority_key_identifier=odd))


def test_anchors_are_the_same_at_every_export_and_bear_the_serial_of_their_ca(ca: Pair) -> None:
    anchors = synthetic_anchors(ca.certificate)
    assert synthetic_anchors(ca.certificate) == anchors
    assert {anchor.serial_number for anchor in anchors} == {ca.certificate.serial_number}


def test_ca_whose_identifier_is_the_sha1_has_one_anchor(ca: Pair) -> None:
    key = make_key()
    made = device_ca(factory_root(), key=key, subject_key_identifier=sha1_key_identifier(key))
    assert (len(synthetic_anchors(made.certificate)), len(synthetic_anchors(ca.certificate))) == (1, 2)
