"""ECIES values: read back by an independent reading of the published form, and refused when anything differs."""

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError
from ownroot.pki.ecies import decrypt, encrypt, require_ciphertext

KEY = ec.generate_private_key(ec.SECP256R1())


def read_p256(text: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Follow api.md §6.1 step by step, with the standard library's hashes."""
    data = base64.b64decode(text)
    point, iv, body, tag = data[:65], data[65:81], data[81:-32], data[-32:]
    z = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
    k = hashlib.sha256(b"\x00\x00\x00\x01" + z).digest()
    assert hmac.new(hashlib.sha256(k[16:32]).digest(), iv + body, "sha256").digest() == tag
    return Cipher(algorithms.AES(k[:16]), modes.CTR(iv)).decryptor().update(body)


def opened(text: str, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    return decrypt(text, key.curve, lambda peer: key.exchange(ec.ECDH(), peer))


def code_of(text: str, key: ec.EllipticCurvePrivateKey = KEY) -> str:
    with pytest.raises(InvalidInputError) as refused:
        opened(text, key)
    return refused.value.code


@given(st.binary(min_size=1, max_size=200))
@settings(max_examples=20)
def test_independent_reader_reads_what_we_write(plaintext: bytes) -> None:
    assert read_p256(encrypt(plaintext, KEY.public_key()), KEY) == plaintext


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_device_reads_it_on_every_curve(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    text = encrypt(b"secret", key.public_key())
    assert opened(text, key) == b"secret"
    require_ciphertext(text, key.public_key())


def test_other_device_cannot_read_it() -> None:
    assert code_of(encrypt(b"secret", ec.generate_private_key(ec.SECP256R1()).public_key())) == "ciphertext-foreign"


@pytest.mark.parametrize("position", [70, 85, -1])
def test_changed_value_is_not_read(position: int) -> None:
    data = bytearray(base64.b64decode(encrypt(b"secret text", KEY.public_key())))
    data[position] ^= 1
    assert code_of(base64.b64encode(data).decode()) == "ciphertext-foreign"


def malformed() -> dict[str, str]:
    data = base64.b64decode(encrypt(b"s", KEY.public_key()))
    return {
        "plain text": "a plain password",
        "not ASCII": "ü" * 200,
        "too short": base64.b64encode(data[:-1]).decode(),
        "compressed point": base64.b64encode(b"\x02" + data[1:]).decode(),
        "off the curve": base64.b64encode(b"\x04" + b"\x01" * 64 + data[65:]).decode(),
        "another curve": encrypt(b"s", ec.generate_private_key(ec.SECP384R1()).public_key()),
    }


@pytest.mark.parametrize("what", list(malformed()))
def test_what_has_not_the_form_is_refused(what: str) -> None:
    text = malformed()[what]
    assert code_of(text) == "ciphertext-malformed"
    with pytest.raises(InvalidInputError):
        require_ciphertext(text, KEY.public_key())


def test_empty_text_stands_for_itself() -> None:
    assert encrypt(b"", KEY.public_key()) == ""
    assert opened("") == b""


def test_key_on_another_curve_cannot_be_used() -> None:
    key = ec.generate_private_key(ec.SECP256K1())
    with pytest.raises(InvalidInputError) as refused:
        encrypt(b"s", key.public_key())
    assert refused.value.code == "curve-unknown"
