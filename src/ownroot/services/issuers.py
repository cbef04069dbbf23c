"""Who issues device certificates for a factory at this moment, with the key at hand.

Before take-over that is the operator's shared online CA, afterwards the factory's own. Reading trust and opening the
key costs far more than a signature, so the answer is kept until the trust generation moves: never longer, because
from the very commit that disables a CA nothing may be issued under it.
"""

import threading
from dataclasses import dataclass

from cryptography import x509

from ownroot.errors import KeyStoreError, RefusedError
from ownroot.pki.encoding import certificate_sha256, spki_sha256
from ownroot.pki.issuance import Issuer
from ownroot.services.backend_keys import Keyring
from ownroot.services.effective_pki import effective_pki
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory
from ownroot.trust.state import DeviceCa, FactoryPki, Standing


@dataclass(frozen=True, slots=True)
class OnlineIssuer:
    """An online CA in use.

    Args:
        certificate_sha256: of the CA certificate, DER.
        pki: the trust that counts in the factory: its own, or the shared one (`shared`).
        on_token: the key signs on a token, which may take long.
    """

    issuer: Issuer
    ca: DeviceCa
    certificate_sha256: bytes
    root: x509.Certificate
    pki: FactoryPki
    shared: bool
    on_token: bool


class OnlineIssuers:
    """Finds the issuer of each factory; one per process, safe to use from several threads."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._lock = threading.Lock()
        self._generation = -1
        self._known: dict[int, OnlineIssuer] = {}

    def current(self, uow: UnitOfWork, factory: Factory) -> OnlineIssuer:
        """Return the issuer as it is in this transaction.

        Raises:
            RefusedError: `no-online-ca`, `online-ca-disabled`.
            KeyStoreError: its key is gone or cannot be opened.
        """
        generation = uow.changes.trust_generation()
        with self._lock:
            if generation != self._generation:
                self._generation, self._known = generation, {}
            found = self._known.get(factory.id)
        if found is None:
            found = _load(uow, factory, self._keyring)
            with self._lock:
                # A load under an older generation must not outlive the move that came meanwhile.
                if generation == self._generation:
                    self._known[factory.id] = found
        return found


def _load(uow: UnitOfWork, factory: Factory, keyring: Keyring) -> OnlineIssuer:
    pki, shared = effective_pki(uow, factory)
    ca = pki.signing_ca
    if ca is None or pki.root is None:
        raise RefusedError(
            "no-online-ca",
            f"Factory {factory.name} has no online device CA, so nothing can be registered through this API. "
            "Its owner adds one with `ownroot keys ca add-device-ca --online-ca`, or registers at a local CA.",
        )
    if ca.standing is not Standing.ENABLED:
        raise RefusedError(
            "online-ca-disabled",
            f"The online device CA of factory {factory.name} is disabled: devices it signed go on, no new ones are "
            "registered. Its owner adds another with `ownroot keys ca add-device-ca --online-ca`.",
        )
    sealed = uow.keys.find(spki_sha256(ca.certificate.public_key()))
    if sealed is None:
        raise KeyStoreError("issuer-key-missing", f"The key of the online device CA of {factory.name} is not stored.")
    issuer = Issuer(ca.certificate, keyring.open(sealed))
    return OnlineIssuer(
        issuer, ca, certificate_sha256(ca.certificate), pki.root, pki, shared, sealed.token_key_id is not None
    )
