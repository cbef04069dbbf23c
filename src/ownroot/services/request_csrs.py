"""Make backend keys and hand out their CSRs: the challenge an owner answers with certificates of their root.

Everything that can be refused early is refused here, because after this reply the owner's client makes the root key
(protocol: api.md §3.2). The keys wait beside those in service and disturb nothing; they expire.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError
from ownroot.pki.encoding import csr_pem
from ownroot.pki.names import backend_key_subject
from ownroot.pki.requests import VerifiedCsr, make_csr, verify_csr
from ownroot.services.authority import Principal
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import SealedKey, SealedKeyPurpose, UnitOfWork
from ownroot.services.shared_pki import gateway_csr
from ownroot.services.steps import Steps
from ownroot.trust.possession import KeyKind, PendingKey

# Long enough to carry CSRs to a machine without a network and back; short enough that "we made it" means "recently".
PENDING_KEY_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class CsrOrder:
    """Which keys are wanted. `first_time_init` None: the sender does not say, and either state is right."""

    tls: bool = False
    est: bool = False
    online_ca: bool = False
    first_time_init: bool | None = None

    @property
    def kinds(self) -> tuple[KeyKind, ...]:
        """The kinds asked for."""
        wanted = {KeyKind.TLS: self.tls, KeyKind.EST: self.est, KeyKind.ONLINE_CA: self.online_ca}
        return tuple(kind for kind, asked in wanted.items() if asked)


@dataclass(frozen=True, slots=True)
class Csrs:
    """The CSRs as PEM, exactly one newline at the end; None for what was not asked for."""

    tls: str | None
    est: str | None
    online_ca: str | None


@dataclass(frozen=True, slots=True)
class _Challenge:
    csr: VerifiedCsr
    pending: PendingKey
    sealed: SealedKey


def request_csrs(order: CsrOrder, principal: Principal, keyring: Keyring, *, now: datetime) -> Steps[Csrs]:
    """Make one new key of each kind wanted and return its CSR.

    Raises:
        InvalidInputError: `csr-none-asked`.
        ConflictError: `root-already-set`, `pki-not-initialized`.
        The refusal is in the audit log.
    """
    challenges = [_challenge(kind, principal, keyring, now) for kind in order.kinds]
    factory = principal.factory

    def store(uow: UnitOfWork) -> OwnrootError | None:
        refusal = _early_refusal(order, taken_over=uow.pki.load(factory.id).is_taken_over)
        if refusal is not None:
            details = {"request": "csrs"}
            uow.audit.append(principal.event(EventKind.PKI_CHANGE_REFUSED, refusal.code, details, at=now))
            return refusal
        for challenge in challenges:
            uow.keys.add_pending(factory.id, challenge.pending, challenge.sealed)
        details = {"kinds": " ".join(challenge.pending.kind for challenge in challenges)}
        uow.audit.append(principal.event(EventKind.PKI_KEYS_REQUESTED, factory.name, details, at=now))
        return None

    refusal = yield store
    if refusal is not None:
        raise refusal
    pem = {challenge.pending.kind: csr_pem(challenge.csr.csr) for challenge in challenges}
    return Csrs(pem.get(KeyKind.TLS), pem.get(KeyKind.EST), pem.get(KeyKind.ONLINE_CA))


def _challenge(kind: KeyKind, principal: Principal, keyring: Keyring, now: datetime) -> _Challenge:
    factory = principal.factory
    purpose = SealedKeyPurpose.CA if kind is KeyKind.ONLINE_CA else SealedKeyPurpose.GATEWAY_TLS
    key, sealed = keyring.make(purpose)
    if kind is KeyKind.ONLINE_CA:
        csr = verify_csr(make_csr(key, backend_key_subject(factory.name, factory.gateway_name)))
    else:
        # The client takes the EST server's address from its certificate and wants exactly one name there.
        csr = gateway_csr(key, factory, with_ostree=kind is KeyKind.TLS)
    pending = PendingKey(kind, csr.spki_sha256, csr.dns_names, now, now + PENDING_KEY_LIFETIME)
    return _Challenge(csr, pending, sealed)


def _early_refusal(order: CsrOrder, *, taken_over: bool) -> OwnrootError | None:
    if not order.kinds:
        return InvalidInputError(
            "csr-none-asked", "The request asks for no CSR: set tls-csr, ca-csr or est-tls-csr to true."
        )
    if order.first_time_init is True and taken_over:
        return ConflictError(
            "root-already-set",
            "This factory has its own root already, and a root is set once. To change keys under it use "
            "`ownroot keys ca rotate-tls` or `ownroot keys ca add-device-ca`.",
        )
    if order.first_time_init is False and not taken_over:
        return ConflictError(
            "pki-not-initialized", "This factory has no root of its own yet. Run `ownroot keys ca create` first."
        )
    return None
