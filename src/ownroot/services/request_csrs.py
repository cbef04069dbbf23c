"""Make backend keys and hand out their CSRs: the challenge an owner answers with certificates of their root.

Everything that can be refused early is refused here, because after this reply the owner's client makes the root key
(protocol: api.md §3.2). The keys wait beside those in service and disturb nothing; they expire.

The online CA's key may be made on a token. That takes two commits, one before it is made and one after
(`services.token_keys`); keys that are made here take only the second.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError
from ownroot.pki.encoding import csr_pem
from ownroot.pki.names import backend_key_subject
from ownroot.pki.requests import VerifiedCsr, make_csr, verify_csr
from ownroot.pki.signer import PrivateKey
from ownroot.services.authority import Principal
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory, SealedKey, SealedKeyPurpose
from ownroot.services.shared_pki import gateway_csr
from ownroot.services.steps import Aside, Steps
from ownroot.services.token_keys import CaToken
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


@dataclass(frozen=True, slots=True)
class _Demand:
    """What is asked for, by whom and when."""

    order: CsrOrder
    principal: Principal
    now: datetime


_MakeKey: TypeAlias = Callable[[], tuple[PrivateKey, SealedKey]]


def request_csrs(order: CsrOrder, principal: Principal, keyring: Keyring, *, now: datetime) -> Steps[Csrs]:
    """Make one new key of each kind wanted and return its CSR.

    Raises:
        InvalidInputError: `csr-none-asked`.
        ConflictError: `root-already-set`, `pki-not-initialized`, `token-key-voided`.
        The refusal is in the audit log, but for the last.
        UnavailableError, KeyStoreError: the token that makes online CA keys does not serve; nothing is left behind.
    """
    demand = _Demand(order, principal, now)
    token = keyring.token if order.online_ca else None
    key_id = None if token is None else token.new_key_id()
    if token is None or key_id is None:
        challenges = _challenges(demand, partial(keyring.make, SealedKeyPurpose.CA), keyring)
    else:
        yield from _commit(demand, partial(_intend, key_id=key_id, now=now))
        challenges = yield from _make_on_token(demand, token, key_id, keyring)
    yield from _commit(demand, partial(_store, demand=demand, challenges=challenges), settles=key_id)
    pem = {challenge.pending.kind: csr_pem(challenge.csr.csr) for challenge in challenges}
    return Csrs(pem.get(KeyKind.TLS), pem.get(KeyKind.EST), pem.get(KeyKind.ONLINE_CA))


def _commit(demand: _Demand, act: Callable[[UnitOfWork], None], *, settles: bytes | None = None) -> Steps[None]:
    """Commit an act unless the demand is refused; then the refusal is what is committed, and raised.

    Args:
        settles: the intent to make this key ends here, whatever is decided.
    """

    def judge_and_act(uow: UnitOfWork) -> OwnrootError | None:
        if settles is not None:
            uow.token_keys.settle(settles)
        order, principal = demand.order, demand.principal
        refusal = _early_refusal(order, taken_over=uow.pki.load(principal.factory.id).is_taken_over)
        if refusal is None:
            act(uow)
        else:
            details = {"request": "csrs"}
            uow.audit.append(principal.event(EventKind.PKI_CHANGE_REFUSED, refusal.code, details, at=demand.now))
        return refusal

    refusal = yield judge_and_act
    if refusal is not None:
        raise refusal


def _intend(uow: UnitOfWork, key_id: bytes, now: datetime) -> None:
    uow.token_keys.intend(key_id, now=now)


def _store(uow: UnitOfWork, demand: _Demand, challenges: Sequence[_Challenge]) -> None:
    principal, factory = demand.principal, demand.principal.factory
    for challenge in challenges:
        uow.keys.add_pending(factory.id, challenge.pending, challenge.sealed)
    details = {"kinds": " ".join(challenge.pending.kind for challenge in challenges)}
    uow.audit.append(principal.event(EventKind.PKI_KEYS_REQUESTED, factory.name, details, at=demand.now))


def _make_on_token(demand: _Demand, token: CaToken, key_id: bytes, keyring: Keyring) -> Steps[Sequence[_Challenge]]:
    factory = demand.principal.factory

    def make() -> tuple[PrivateKey, SealedKey]:
        key = token.create(key_id, factory.name)
        return token.open(key), keyring.seal_description(SealedKeyPurpose.CA, key)

    try:
        challenges: Sequence[_Challenge] = yield Aside(lambda: _challenges(demand, make, keyring))
    except OwnrootError:
        # Perhaps it was made and only the answer got lost. Named by nothing, it goes with the next sweep.
        with contextlib.suppress(OwnrootError):
            yield lambda uow: uow.token_keys.settle(key_id)
        raise
    return challenges


def _challenges(demand: _Demand, make_ca_key: _MakeKey, keyring: Keyring) -> Sequence[_Challenge]:
    make_tls_key = partial(keyring.make, SealedKeyPurpose.GATEWAY_TLS)
    return [
        _challenge(kind, make_ca_key if kind is KeyKind.ONLINE_CA else make_tls_key, demand)
        for kind in demand.order.kinds
    ]


def _challenge(kind: KeyKind, make_key: _MakeKey, demand: _Demand) -> _Challenge:
    key, sealed = make_key()
    csr = _csr(kind, key, demand.principal.factory)
    pending = PendingKey(kind, csr.spki_sha256, csr.dns_names, demand.now, demand.now + PENDING_KEY_LIFETIME)
    return _Challenge(csr, pending, sealed)


def _csr(kind: KeyKind, key: PrivateKey, factory: Factory) -> VerifiedCsr:
    if kind is KeyKind.ONLINE_CA:
        return verify_csr(make_csr(key, backend_key_subject(factory.name, factory.gateway_name)))
    # The client takes the EST server's address from its certificate and wants exactly one name there.
    return gateway_csr(key, factory, with_ostree=kind is KeyKind.TLS)


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
