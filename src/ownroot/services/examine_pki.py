"""Can the backend do what a factory's PKI says? Each of its keys signs a challenge now; nothing changes.

Reading and signing are two functions, because a key on a token may take its time and no transaction should wait for it.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import KeyStoreError, OwnrootError
from ownroot.pki.encoding import certificate_sha256, load_certificate_der, spki_sha256
from ownroot.pki.signer import PrivateKey, signing_hash
from ownroot.services.backend_keys import Keyring
from ownroot.services.effective_pki import effective_pki
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory, SealedKey
from ownroot.services.steps import Aside, Steps
from ownroot.trust.possession import KeyKind
from ownroot.trust.state import Holder

# No certificate, CRL or CSR begins like this, so what is signed here can never be one.
_CHALLENGE: Final = b"ownroot: is this key usable? "
_CHALLENGE_OCTETS: Final = 32


@dataclass(frozen=True, slots=True)
class KeyInService:
    """A certificate whose private key the backend needs. `sealed` None: the key is not stored."""

    kind: KeyKind
    certificate: x509.Certificate
    sealed: SealedKey | None


@dataclass(frozen=True, slots=True)
class KeysInService:
    """The keys of one factory, of the shared PKI while it lives on that.

    Attributes:
        issued: certificates signed and recorded, by serial of the device CA; only of those whose key the backend holds
            or held. What a local CA signed only its holder knows, and what the shared PKI signed is not the factory's.
    """

    keys: tuple[KeyInService, ...]
    issued: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class TriedKey:
    """What became of the test; `fault` None: the key signed, and the certificate's public key verified it."""

    key: KeyInService
    fault: OwnrootError | None


def keys_in_service(uow: UnitOfWork, factory: Factory) -> KeysInService:
    """Return what is to be tested, and what the issuance log counts."""
    pki, is_shared = effective_pki(uow, factory)
    tls = _shared_tls(uow, factory) if is_shared else pki.gateway_tls
    signing = pki.signing_ca
    wanted = (
        (KeyKind.ONLINE_CA, None if signing is None else signing.certificate),
        (KeyKind.TLS, tls),
        (KeyKind.EST, pki.est_tls),
    )
    return KeysInService(
        tuple(_in_service(uow, kind, certificate) for kind, certificate in wanted if certificate is not None),
        {
            ca.serial: uow.issuances.count(certificate_sha256(ca.certificate))
            for ca in pki.device_cas
            if ca.holder is Holder.ONLINE and not is_shared
        },
    )


def try_keys(found: KeysInService, keyring: Keyring) -> Steps[list[TriedKey]]:
    """Try each key on a thread of its own: a token takes its time, or hangs."""
    tried: list[TriedKey] = yield Aside(lambda: [try_key(key, keyring) for key in found.keys])
    return tried


def try_key(key: KeyInService, keyring: Keyring, *, random: Callable[[int], bytes] = os.urandom) -> TriedKey:
    """Open the key and let it sign a challenge. Never raises: what is wrong is the answer."""
    try:
        if key.sealed is None:
            raise KeyStoreError("key-missing", "The private key of this certificate is not stored.")
        _require_signature(keyring.open(key.sealed), key.certificate, _CHALLENGE + random(_CHALLENGE_OCTETS))
    except OwnrootError as fault:
        return TriedKey(key, fault)
    return TriedKey(key, None)


def _require_signature(private: PrivateKey, certificate: x509.Certificate, challenge: bytes) -> None:
    public = certificate.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise KeyStoreError("key-mismatch", "The certificate is for a key of a kind the backend does not make.")
    algorithm = ec.ECDSA(signing_hash(public))
    try:
        public.verify(private.sign(challenge, algorithm), challenge, algorithm)
    except InvalidSignature as exc:
        raise KeyStoreError("key-mismatch", "What the stored key signs, the certificate does not verify.") from exc


def _in_service(uow: UnitOfWork, kind: KeyKind, certificate: x509.Certificate) -> KeyInService:
    return KeyInService(kind, certificate, uow.keys.find(spki_sha256(certificate.public_key())))


def _shared_tls(uow: UnitOfWork, factory: Factory) -> x509.Certificate | None:
    der = uow.pki.shared_tls(factory.id)
    return None if der is None else load_certificate_der(der)
