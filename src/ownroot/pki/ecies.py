"""Values only one device can read, in the ECIES form of the field (protocol: api.md §6.1, gateway.md §6.5).

base64( uncompressed point R | IV | AES-CTR(Ke, IV, plaintext) | HMAC(Km, IV | ciphertext) ), where the keys come from
the ECDH secret of R and the device's key. Nothing in it says who made it.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Callable
from typing import Final, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from ownroot.errors import InvalidInputError

_IV_BYTES: Final = 16
_HASHES: Final[dict[str, tuple[str, hashes.HashAlgorithm]]] = {
    "secp256r1": ("sha256", hashes.SHA256()),
    "secp384r1": ("sha384", hashes.SHA384()),
    "secp521r1": ("sha512", hashes.SHA512()),
}

# The peer's public key in, the x-coordinate of the shared point out; a key on a token can do that too.
Exchange: TypeAlias = Callable[[ec.EllipticCurvePublicKey], bytes]


def encrypt(
    plaintext: bytes, recipient: ec.EllipticCurvePublicKey, *, random: Callable[[int], bytes] = os.urandom
) -> str:
    """Return the base64 text that the holder of the recipient's private key alone can read.

    Args:
        random: gives the IV; the ephemeral key is made by the library.
    Returns: empty text for an empty plaintext, which this form cannot say.
    Raises:
        InvalidInputError: `curve-unknown`.
    """
    if not plaintext:
        return ""
    hash_name, _ = _hash(recipient.curve)
    ephemeral = ec.generate_private_key(recipient.curve)
    cipher_key, mac_key = _keys(ephemeral.exchange(ec.ECDH(), recipient), recipient.curve)
    iv = random(_IV_BYTES)
    text = iv + _ctr(cipher_key, iv, plaintext)
    tag = hmac.digest(mac_key, text, hash_name)
    return base64.b64encode(_point(ephemeral.public_key()) + text + tag).decode("ascii")


def decrypt(text: str, curve: ec.EllipticCurve, exchange: Exchange) -> bytes:
    """Return what `encrypt` was given.

    Args:
        curve: of the device's key.
        exchange: ECDH with the device's private key, wherever that lies.
    Raises:
        InvalidInputError: `ciphertext-malformed`; `ciphertext-foreign`: made for another key, or changed on its way.
    """
    if not text:
        return b""
    peer, body, tag = _split(text, curve)
    cipher_key, mac_key = _keys(exchange(peer), curve)
    if not hmac.compare_digest(hmac.digest(mac_key, body, _hash(curve)[0]), tag):
        raise InvalidInputError("ciphertext-foreign", "The value was not encrypted for this device's key.")
    return _ctr(cipher_key, body[:_IV_BYTES], body[_IV_BYTES:])


def require_ciphertext(text: str, recipient: ec.EllipticCurvePublicKey) -> None:
    """Check that text has the form of a value for a key on this curve; only the device can find out more.

    Raises:
        InvalidInputError: `ciphertext-malformed`, `curve-unknown`.
    """
    _split(text, recipient.curve)


def _split(text: str, curve: ec.EllipticCurve) -> tuple[ec.EllipticCurvePublicKey, bytes, bytes]:
    point_bytes = 1 + 2 * ((curve.key_size + 7) // 8)
    tag_bytes = _hash(curve)[1].digest_size
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
        if len(data) <= point_bytes + _IV_BYTES + tag_bytes or data[0] != 4:
            raise ValueError("too short, or no uncompressed point")
        # The point is checked to lie on the curve: one that does not could betray bits of the private key.
        peer = ec.EllipticCurvePublicKey.from_encoded_point(curve, data[:point_bytes])
    except (ValueError, binascii.Error) as exc:
        raise InvalidInputError(
            "ciphertext-malformed", f"The value is not base64 of an ECIES value on the curve {curve.name}."
        ) from exc
    return peer, data[point_bytes:-tag_bytes], data[-tag_bytes:]


def _keys(secret: bytes, curve: ec.EllipticCurve) -> tuple[bytes, bytes]:
    hash_name, algorithm = _hash(curve)
    derived = _digest(algorithm, b"\x00\x00\x00\x01" + secret)
    half = {"sha256": 16, "sha384": 24, "sha512": 32}[hash_name]
    return derived[:half], _digest(algorithm, derived[half : 2 * half])


def _hash(curve: ec.EllipticCurve) -> tuple[str, hashes.HashAlgorithm]:
    found = _HASHES.get(curve.name)
    if found is None:
        raise InvalidInputError("curve-unknown", f"Values cannot be encrypted for a key on the curve {curve.name}.")
    return found


def _digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()


def _ctr(key: bytes, iv: bytes, text: bytes) -> bytes:
    cipher = Cipher(AES(key), CTR(iv)).encryptor()  # in counter mode both directions are the same
    return cipher.update(text) + cipher.finalize()


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    numbers = key.public_numbers()
    size = (key.curve.key_size + 7) // 8
    return b"\x04" + numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")
