"""Anchors for stock OpenSSL: the program itself is the judge."""

from pathlib import Path

import pytest
from cryptography import x509

from ownroot.clock import utc_now
from ownroot.pki.anchors import synthetic_anchor
from tests.support.certificates import Pair, device_ca, device_certificate, factory_root, make_key, sha1_key_identifier
from tests.support.openssl_checks import run_openssl


@pytest.fixture
def ca() -> Pair:
    return device_ca(factory_root(now=utc_now()), now=utc_now())


def _accepts(folder: Path, anchors: list[x509.Certificate | None], device: Pair) -> bool:
    bundle, leaf = folder / "bundle.pem", folder / "leaf.pem"
    bundle.write_text("".join(Pair(anchor, make_key()).pem for anchor in anchors if anchor is not None))
    leaf.write_text(device.pem)
    checked = run_openssl("verify", "-partial_chain", "-purpose", "sslclient", "-CAfile", bundle, leaf)
    return checked.returncode == 0


def test_openssl_finds_the_issuer_of_a_device_with_a_sha1_identifier(ca: Pair, tmp_path: Path) -> None:
    odd = sha1_key_identifier(ca.key)
    device = device_certificate(ca, now=utc_now(), authority_key_identifier=odd)
    assert _accepts(tmp_path, [ca.certificate, synthetic_anchor(ca.certificate)], device)
    assert not _accepts(tmp_path, [ca.certificate], device)


def test_anchor_helps_no_device_of_another_key(ca: Pair, tmp_path: Path) -> None:
    odd = sha1_key_identifier(ca.key)
    forged = device_certificate(ca, now=utc_now(), authority_key_identifier=odd, signer=make_key())
    assert not _accepts(tmp_path, [ca.certificate, synthetic_anchor(ca.certificate)], forged)


def test_anchor_is_the_same_at_every_export(ca: Pair) -> None:
    assert synthetic_anchor(ca.certificate) == synthetic_anchor(ca.certificate)


def test_ca_whose_identifier_is_the_sha1_needs_no_second_anchor() -> None:
    key = make_key()
    made = device_ca(factory_root(), key=key, subject_key_identifier=sha1_key_identifier(key))
    assert synthetic_anchor(made.certificate) is None
