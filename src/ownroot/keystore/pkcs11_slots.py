"""Keys and certificates of a device in their places on a token, each place an id (CKA_ID).

A device has two places for a key and two for a certificate and uses them in turn, all keys under one label and all
certificates under another. So here an object is its class and its id; one of another label under such an id is somebody
else's and stops the work. Done twice, everything is the same as done once.

Source: gateway.md §7.2 (places), §6.5 (ECDH of configured values); PKCS#11 2.40 §2.3.4 (CKM_ECDH1_DERIVE).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import pkcs11
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import KDF, Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.constants import CertificateType

from ownroot.errors import KeyStoreError
from ownroot.keystore.labels import DEVICE_CERTIFICATE_LABEL, DEVICE_KEY_LABEL
from ownroot.keystore.pkcs11_keys import P256_PARAMETERS, objects, public_key_of, require_pair
from ownroot.keystore.pkcs11_token import Line, Token
from ownroot.pki.signer import PublicKey

_P256_OCTETS: Final = 32
_USES: Final = MechanismFlag.SIGN | MechanismFlag.VERIFY | MechanismFlag.DERIVE
# Values of the configuration are encrypted to this key, so unlike a CA's it also does ECDH.
_PROTECTED: Final = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.DERIVE: True}
_LABELS: Final = {
    ObjectClass.PRIVATE_KEY: DEVICE_KEY_LABEL,
    ObjectClass.PUBLIC_KEY: DEVICE_KEY_LABEL,
    ObjectClass.CERTIFICATE: DEVICE_CERTIFICATE_LABEL,
}


def find_keys(token: Token, *key_ids: bytes) -> tuple[PublicKey | None, ...]:
    """Return the public halves of the keys in these places, None for an empty one.

    That all of them are empty is believed after a second look; one key shows that the token is there.

    Raises:
        KeyStoreError: `slot-taken`, `key-public-missing`, `key-unsupported`, `key-mismatch`, and as `Token.use`.
    """

    def read(line: Line) -> tuple[PublicKey | None, ...]:
        return tuple(_read(line, key_id) for key_id in key_ids)

    found = token.use(read)
    if all(public is None for public in found):
        found = token.use_anew(read)
    for key_id, public in zip(key_ids, found, strict=True):
        if public is not None:
            require_pair(public, partial(sign_digest, token, key_id), DEVICE_KEY_LABEL)
    return found


def find_key(token: Token, key_id: bytes) -> PublicKey | None:
    """Return the public half of the key in one place. Raises as `find_keys`."""
    return find_keys(token, key_id)[0]


def create_key(token: Token, key_id: bytes) -> PublicKey:
    """Generate a P-256 key for signing and ECDH that never leaves the token; it is there on return.

    A public half that lies alone in the place is what a power cut left, and is destroyed.

    Raises:
        KeyStoreError: `slot-taken`, `key-exists`, and as `Token.use`.
    """
    return token.use(lambda line: _generate(line, key_id))


def destroy_key(token: Token, key_id: bytes) -> None:
    """Destroy a key, its private half first; no error if there is none. Raises `slot-taken`, and as `Token.use`."""

    def destroy(line: Line) -> None:
        with writable(line) as session:
            _destroy(session, key_id, ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)

    token.use(destroy)


def sign_digest(token: Token, key_id: bytes, digest: bytes) -> bytes:
    """Sign a digest with P-256. Returns the DER sequence of r and s. Raises `key-gone`, and as `Token.use`."""

    def sign(line: Line) -> bytes:
        return bytes(_private(line, key_id).sign(digest[:_P256_OCTETS], mechanism=Mechanism.ECDSA))

    signature = token.use(sign)
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


def derive(token: Token, key_id: bytes, point: bytes) -> bytes:
    """Do ECDH with an uncompressed point that is on the curve; returns the x coordinate.

    Raises:
        KeyStoreError: `key-signs-only`, `key-gone`, and as `Token.use`.
    """

    def exchange(line: Line) -> bytes:
        private = _private(line, key_id)
        if not private[Attribute.DERIVE]:
            raise KeyStoreError(
                "key-signs-only",
                "The key of this device was made to sign and nothing else, so it reads no encrypted value. Renew the "
                "certificate: `ownroot-device renew` makes a key that does.",
            )
        shared = private.derive_key(
            KeyType.GENERIC_SECRET,
            _P256_OCTETS * 8,
            mechanism_param=(KDF.NULL, None, point),
            store=False,
            capabilities=MechanismFlag.DERIVE,
            template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
        )
        try:
            return bytes(shared[Attribute.VALUE]).rjust(_P256_OCTETS, b"\0")
        finally:
            shared.destroy()

    return token.use(exchange)


def read_certificate(token: Token, certificate_id: bytes) -> bytes | None:
    """Return the certificate in a place, DER; None if there is none. Raises `slot-taken`, and as `Token.use`.

    Of two, one that is being replaced and its successor, either may be returned.
    """

    def read(line: Line) -> bytes | None:
        found = _in_place(line.session, ObjectClass.CERTIFICATE, certificate_id)
        return bytes(found[0][Attribute.VALUE]) if found else None

    return token.use(read) or token.use_anew(read)


def write_certificate(token: Token, certificate_id: bytes, certificate: bytes, *, subject: bytes) -> None:
    """Put a certificate in a place that no program reads yet, after what lies there; all DER. Raises as `Token.use`."""

    def write(line: Line) -> None:
        with writable(line) as session:
            _destroy(session, certificate_id, ObjectClass.CERTIFICATE)
            session.create_object(certificate_object(certificate_id, certificate, subject))

    token.use(write)


def destroy_certificate(token: Token, certificate_id: bytes) -> None:
    """Destroy a certificate; no error if there is none. Raises `slot-taken`, and as `Token.use`."""

    def destroy(line: Line) -> None:
        with writable(line) as session:
            _destroy(session, certificate_id, ObjectClass.CERTIFICATE)

    token.use(destroy)


def certificate_object(certificate_id: bytes, certificate: bytes, subject: bytes) -> dict[Attribute, object]:
    """Return what a certificate of a device is as an object on its token; all DER."""
    return {
        Attribute.CLASS: ObjectClass.CERTIFICATE,
        Attribute.CERTIFICATE_TYPE: CertificateType.X_509,
        Attribute.TOKEN: True,
        Attribute.PRIVATE: False,
        Attribute.LABEL: DEVICE_CERTIFICATE_LABEL,
        Attribute.ID: certificate_id,
        Attribute.SUBJECT: subject,
        Attribute.VALUE: certificate,
    }


@contextmanager
def writable(line: Line) -> Iterator[Any]:
    """Open a session that may change the token, for the time of the block."""
    session = line.session.token.open(rw=True)
    try:
        yield session
    finally:
        session.close()


def _read(line: Line, key_id: bytes) -> PublicKey | None:
    if not _in_place(line.session, ObjectClass.PRIVATE_KEY, key_id):
        return None
    public = _in_place(line.session, ObjectClass.PUBLIC_KEY, key_id)
    if not public:
        raise KeyStoreError(
            "key-public-missing", f"The token has the private half of the key {key_id.hex()} and not the public one."
        )
    return public_key_of(public[0], DEVICE_KEY_LABEL)


def _generate(line: Line, key_id: bytes) -> PublicKey:
    if _in_place(line.session, ObjectClass.PRIVATE_KEY, key_id):
        raise KeyStoreError("key-exists", f"There is a key {key_id.hex()} on the token already.")
    with writable(line) as session:
        _destroy(session, key_id, ObjectClass.PUBLIC_KEY)
        parameters = session.create_domain_parameters(*P256_PARAMETERS, local=True)
        public, _ = parameters.generate_keypair(
            id=key_id, label=DEVICE_KEY_LABEL, store=True, capabilities=_USES, private_template=_PROTECTED
        )
        return public_key_of(public, DEVICE_KEY_LABEL)


def _private(line: Line, key_id: bytes) -> Any:
    found = objects(line.session, ObjectClass.PRIVATE_KEY, {Attribute.ID: key_id})
    if len(found) != 1:
        raise pkcs11.NoSuchKey(key_id.hex())
    return found[0]


def _destroy(session: Any, object_id: bytes, *kinds: ObjectClass) -> None:
    for kind in kinds:
        for found in _in_place(session, kind, object_id):
            found.destroy()


def _in_place(session: Any, kind: ObjectClass, object_id: bytes) -> list[Any]:
    found = objects(session, kind, {Attribute.ID: object_id})
    strangers = {item[Attribute.LABEL] for item in found} - {_LABELS[kind]}
    if strangers:
        raise KeyStoreError(
            "slot-taken",
            f"The id {object_id.hex()} on the token, which belongs to this device's identity, is used by "
            f"{sorted(map(str, strangers))[0]!r}. Give that object another id: pkcs11-tool --set-id.",
        )
    return found
