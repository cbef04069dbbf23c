"""Keys and the hash that goes with them."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.pki.signer import generate_key, signing_hash


def test_key_is_p256_unless_told_otherwise() -> None:
    assert generate_key().curve.name == "secp256r1"
    assert generate_key(ec.SECP384R1()).curve.name == "secp384r1"


@pytest.mark.parametrize(
    ("curve", "expected"),
    [(ec.SECP256R1(), hashes.SHA256), (ec.SECP384R1(), hashes.SHA384), (ec.SECP521R1(), hashes.SHA512)],
)
def test_hash_matches_the_curve(curve: ec.EllipticCurve, expected: type[hashes.HashAlgorithm]) -> None:
    assert isinstance(signing_hash(generate_key(curve).public_key()), expected)
