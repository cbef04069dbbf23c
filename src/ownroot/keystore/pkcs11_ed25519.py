"""Ed25519 keys on a token: what signs TUF roots and targets, since devices read no elliptic curve of NIST there.

PKCS#11 3.0 §6.3 (Edwards keys, CKM_EDDSA). As with other keys, one signature proves that both halves belong together.
"""

import hashlib
from typing import Any, Final

import pkcs11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass

from ownroot.errors import KeyStoreError
from ownroot.keystore.pkcs11_keys import PROTECTED, objects
from ownroot.keystore.pkcs11_token import Line, Token

# CKA_EC_PARAMS: the curve's name as a PrintableString, which tokens take more often than its object identifier.
_EDWARDS25519: Final = bytes.fromhex("130c656477617264733235353139")
_PUBLIC_OCTETS: Final = 32
_PROOF: Final = b"ownroot: do both halves of this Ed25519 key belong together?"


def create_key(token: Token, label: str) -> bytes:
    """Generate a key on the token, not extractable; returns its public half, 32 octets.

    Raises:
        KeyStoreError: `key-exists`, `key-gone`, and as `Token.use`.
    """
    token.use(lambda line: _generate(line, label))
    public = find_key(token, label)
    if public is None:
        raise KeyStoreError("key-gone", f"The token {token.label!r} made a key {label!r} and does not have it.")
    return public


def find_key(token: Token, label: str) -> bytes | None:
    """Return the public half of the key under this label; None if there is none.

    Raises:
        KeyStoreError: `key-ambiguous`, `key-public-missing`, `key-unsupported`, `key-mismatch`, and as `Token.use`.
    """
    public = token.use(lambda line: _read(line, label)) or token.use_anew(lambda line: _read(line, label))
    if public is None:
        return None
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(sign(token, label, _PROOF), _PROOF)
    except InvalidSignature as exc:
        raise KeyStoreError(
            "key-mismatch", f"The private and the public half of {label!r} on the token do not belong together."
        ) from exc
    return public


def sign(token: Token, label: str, data: bytes) -> bytes:
    """Sign on the token. Returns the 64 octets of RFC 8032.

    Raises:
        KeyStoreError: `key-ambiguous`, `key-gone`, and as `Token.use`.
    """
    signature: bytes = token.use(lambda line: _require_private(line, label).sign(data, mechanism=Mechanism.EDDSA))
    return signature


def _generate(line: Line, label: str) -> None:
    session = line.session.token.open(rw=True)
    try:
        if objects(session, ObjectClass.PRIVATE_KEY, {Attribute.LABEL: label}):
            raise KeyStoreError(
                "key-exists", f"There is a key {label!r} on the token already, and a key is never replaced."
            )
        wanted = {Attribute.EC_PARAMS: _EDWARDS25519}
        session.create_domain_parameters(KeyType.EC_EDWARDS, wanted, local=True).generate_keypair(
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            id=hashlib.sha256(label.encode()).digest()[:8],
            label=label,
            store=True,
            capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
            private_template=PROTECTED,
        )
    finally:
        session.close()


def _read(line: Line, label: str) -> bytes | None:
    if _find_private(line, label) is None:
        return None
    found = objects(line.session, ObjectClass.PUBLIC_KEY, {Attribute.LABEL: label})
    if len(found) != 1:
        raise KeyStoreError("key-public-missing", f"The token does not have one public half of {label!r}.")
    point = bytes(found[0][Attribute.EC_POINT])
    if found[0][Attribute.KEY_TYPE] != KeyType.EC_EDWARDS or len(point) < _PUBLIC_OCTETS:
        raise KeyStoreError("key-unsupported", f"The key {label!r} on the token is no Ed25519 key.")
    return point[-_PUBLIC_OCTETS:]  # most tokens wrap it in an OCTET STRING, some do not


def _require_private(line: Line, label: str) -> Any:
    private = _find_private(line, label)
    if private is None:
        raise pkcs11.NoSuchKey(label)
    return private


def _find_private(line: Line, label: str) -> Any:
    found = objects(line.session, ObjectClass.PRIVATE_KEY, {Attribute.LABEL: label})
    if len(found) > 1:
        raise KeyStoreError("key-ambiguous", f"{len(found)} keys on the token are called {label!r}.")
    return found[0] if found else None
