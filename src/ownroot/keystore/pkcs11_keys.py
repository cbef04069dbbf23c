"""Elliptic-curve keys on a token: finding, making and using them, with python-pkcs11.

A key is a pair of objects, private and public, under one label and one id. The public object is only a copy that
anybody with the PIN could have written, so a key that was found proves with one signature that both belong together.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pkcs11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.types import SignMixin

from ownroot.errors import KeyStoreError
from ownroot.keystore.labels import HSM_ROOT_ID, HSM_ROOT_LABEL
from ownroot.keystore.pkcs11_token import Line, Token
from ownroot.pki import der
from ownroot.pki.signer import PublicKey

_P256 = bytes.fromhex("06082a8648ce3d030107")
P256_PARAMETERS = (KeyType.EC, {Attribute.EC_PARAMS: _P256})
# CKA_EC_PARAMS: the curve's object identifier in DER.
_CURVES: dict[bytes, ec.EllipticCurve] = {
    _P256: ec.SECP256R1(),
    bytes.fromhex("06052b81040022"): ec.SECP384R1(),
    bytes.fromhex("06052b81040023"): ec.SECP521R1(),
}
_PROOF = b"ownroot: do both halves of this key belong together?"
# What a private key of ours is like on a token, whatever the token would make of it by itself.
PROTECTED = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.DERIVE: False}


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key that was found on a token: label and id of its private object, and its public half."""

    label: str
    id: bytes
    public_key: PublicKey


def find_key(token: Token, label: str) -> TokenKey | None:
    """Return the key under this label, whatever its id; None if there is none.

    Raises:
        KeyStoreError: `key-ambiguous`, `key-unsupported`, `key-public-missing`, `key-mismatch`, and as `Token.use`.
    """
    key = token.use(lambda line: _read_key(line, label)) or token.use_anew(lambda line: _read_key(line, label))
    if key is not None:
        require_pair(key.public_key, lambda digest: sign_digest(token, key, digest), label)
    return key


def create_key(token: Token, label: str, key_id: bytes | None = None) -> TokenKey:
    """Generate a P-256 key on the token; it is stored there on return.

    Args:
        key_id: None: the protocol's for the factory root, else one that follows from the label.
    Raises:
        KeyStoreError: `key-exists`, and as `Token.use`.
    """
    token.use(lambda line: _generate(line, label, key_id or _id_for(label)))
    key = find_key(token, label)
    if key is None:
        raise KeyStoreError("key-gone", f"The token {token.label!r} made a key {label!r} and does not have it.")
    return key


def sign_digest(token: Token, key: TokenKey, digest: bytes) -> bytes:
    """Sign a digest on the token. Returns the DER sequence of r and s.

    A digest longer than the curve's order is cut as ECDSA wants it, since not every token does (FIPS 186-5 §6.4.1).

    Raises:
        KeyStoreError: `key-gone`, and as `Token.use`.
    """
    cut = digest[: (key.public_key.key_size + 7) // 8]
    signature = token.use(lambda line: _private_object(line, key).sign(cut, mechanism=Mechanism.ECDSA))
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


def require_pair(public_key: PublicKey, sign: Callable[[bytes], bytes], label: str) -> None:
    """Refuse a public half that is not that of the key which signs.

    Raises:
        KeyStoreError: `key-mismatch`, and as `sign`.
    """
    digest = hashlib.sha256(_PROOF).digest()
    try:
        public_key.verify(sign(digest), digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature as exc:
        raise KeyStoreError(
            "key-mismatch",
            f"The private and the public half of {label!r} on the token do not belong together. Delete the public "
            "object that is wrong and write the right one: pkcs11-tool --type pubkey.",
        ) from exc


def _read_key(line: Line, label: str) -> TokenKey | None:
    found = objects(line.session, ObjectClass.PRIVATE_KEY, {Attribute.LABEL: label})
    if not found:
        return None
    if len(found) > 1:
        ids = ", ".join(_id_of(key).hex() or "none" for key in found)
        raise KeyStoreError(
            "key-ambiguous",
            f"{len(found)} keys on the token are called {label!r} (ids {ids}). Rename those that are not meant: "
            "pkcs11-tool --set-id or --delete-object with their id.",
        )
    private = found[0]
    if private[Attribute.KEY_TYPE] != KeyType.EC or not private[Attribute.SIGN]:
        raise KeyStoreError("key-unsupported", f"The key {label!r} on the token is not one that signs with ECDSA.")
    return TokenKey(label, _id_of(private), _read_public(line.session, label, _id_of(private)))


def _read_public(session: pkcs11.Session, label: str, key_id: bytes) -> PublicKey:
    by = {Attribute.ID: key_id} if key_id else {Attribute.LABEL: label}
    found = objects(session, ObjectClass.PUBLIC_KEY, {**by, Attribute.KEY_TYPE: KeyType.EC})
    if not found:
        raise KeyStoreError(
            "key-public-missing",
            f"The token has the private half of {label!r} and not the public one, which tells whose key it is. Write "
            f"it back under the same label and id: pkcs11-tool --write-object FILE --type pubkey --label {label} "
            f"--id {key_id.hex() or 'ID'}.",
        )
    return public_key_of(found[0], label)


def public_key_of(public: pkcs11.PublicKey, label: str) -> PublicKey:
    """Return the key of a public object.

    Raises:
        KeyStoreError: `key-unsupported`.
    """
    curve = _CURVES.get(public[Attribute.EC_PARAMS])
    if curve is None:
        raise KeyStoreError("key-unsupported", f"The key {label!r} on the token is not on P-256, P-384 or P-521.")
    value: bytes = public[Attribute.EC_POINT]
    point = value[-(1 + 2 * ((curve.key_size + 7) // 8)) :]
    try:
        if value not in (der.encode(der.OCTET_STRING, point), point):  # some tokens leave the wrapping away
            raise ValueError("not a point of this curve")
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as exc:
        raise KeyStoreError(
            "key-unsupported", f"The public half of the key {label!r} on the token cannot be read."
        ) from exc


def _generate(line: Line, label: str, key_id: bytes) -> None:
    session = line.session.token.open(rw=True)
    try:
        wanted = {Attribute.LABEL: label}
        if any(objects(session, kind, wanted) for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)):
            raise KeyStoreError(
                "key-exists", f"There is a key {label!r} on the token already, and a key is never replaced."
            )
        parameters = session.create_domain_parameters(*P256_PARAMETERS, local=True)
        parameters.generate_keypair(
            id=key_id,
            label=label,
            store=True,
            capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
            private_template=PROTECTED,
        )
    finally:
        session.close()


def _private_object(line: Line, key: TokenKey) -> SignMixin:
    name = (key.label, key.id)
    if name not in line.keys:
        wanted = {Attribute.LABEL: key.label, Attribute.ID: key.id}
        found = objects(line.session, ObjectClass.PRIVATE_KEY, wanted)
        if len(found) != 1:
            raise pkcs11.NoSuchKey(key.label)
        line.keys[name] = found[0]
    return line.keys[name]


def objects(session: pkcs11.Session, kind: ObjectClass, wanted: Mapping[Attribute, object]) -> list[Any]:
    """Return the objects of one class that have these attributes."""
    return list(session.get_objects({Attribute.CLASS: kind, **wanted}))


def _id_of(key: pkcs11.PrivateKey) -> bytes:
    return bytes(key[Attribute.ID])


def _id_for(label: str) -> bytes:
    """Return the id of a new key: the protocol's for the root, else one that follows from the label."""
    return HSM_ROOT_ID if label == HSM_ROOT_LABEL else hashlib.sha256(label.encode()).digest()[:8]
