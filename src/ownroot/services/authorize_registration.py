"""The OAuth device flow: a device asks to be registered, a person allows it, the device gets a token for that once.

The token is good for one thing: registering the very device that asked, over one key, in the name of the person who
allowed it. Everybody may ask, for ever, so what waits is bounded per peer and per factory, and only a decision leaves a
line in the audit log.

Source: RFC 8628; registration.md §3.2.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from ownroot.audit.events import AuditEvent, EventKind
from ownroot.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OwnrootError,
    RefusedError,
    UnavailableError,
)
from ownroot.pki.names import DeviceUuid, parse_device_uuid
from ownroot.services.attempt_limits import peer_network
from ownroot.services.authority import ROLE_SCOPES
from ownroot.services.known_accounts import factory_of
from ownroot.services.login_ports import AuthorizationRequest, AuthorizationState, DeviceAuthorization
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory, User
from ownroot.services.scopes import Scope
from ownroot.services.steps import Steps
from ownroot.services.tokens import new_token, token_sha256
from ownroot.services.user_codes import new_user_code

CODE_LIFETIME: Final = timedelta(seconds=900)
POLL_INTERVAL: Final = timedelta(seconds=5)
TOKEN_LIFETIME: Final = timedelta(minutes=10)
# How long an ended one is kept, to be told apart from one that never was.
ENDED_KEPT: Final = timedelta(hours=1)
_CODE_TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class PendingLimits:
    """How many devices may wait at once: a test bench behind one address, and a factory on its busiest day."""

    per_peer: int = 100
    per_factory: int = 5_000


@dataclass(frozen=True, slots=True)
class Asked:
    """The two codes of a request; the device code is shown once."""

    device_code: str
    user_code: str


@dataclass(frozen=True, slots=True)
class RegistrationToken:
    """A token for one registration, shown once."""

    token: str
    factory: Factory


@dataclass(frozen=True, slots=True)
class Waiting:
    """A device that waits, as whoever decides should see it."""

    authorization: DeviceAuthorization
    factory: Factory


@dataclass(frozen=True, slots=True)
class _Question:
    """Which device asks, for which factory (by name), from where and when."""

    uuid: DeviceUuid
    factory: str
    peer: str
    now: datetime


def ask_to_register(
    client_id: str, scope: str, *, peer: str, now: datetime, limits: PendingLimits = PendingLimits()
) -> Steps[Asked]:
    """Take a device's request to be registered.

    Args:
        client_id: the device's uuid.
        scope: `<factory>:devices:create` and nothing else.
        peer: the address it asks from.
    Raises:
        InvalidInputError: `device-uuid-invalid`, `scope-not-registration`, `scope-wrong-factory`.
        UnavailableError: `too-many-waiting`.
    """
    question = _Question(parse_device_uuid(client_id), _factory_of(scope), peer_network(peer), now)
    for _ in range(_CODE_TRIES):
        asked = Asked(new_token(), new_user_code())
        if (yield partial(_store, question=question, asked=asked, limits=limits)):
            return asked
    raise UnavailableError("too-many-waiting", "No free code was found. Ask again.", retry_after=5)


def require_allowed(uow: UnitOfWork, device_code: str, client_id: str, *, now: datetime) -> DeviceAuthorization:
    """Return the request behind a code if it may become a token now.

    Raises:
        RefusedError: `authorization-pending`, `authorization-denied`, `authorization-expired`, `authorization-used`,
            `authorization-unknown` (another device's code, too).
    """
    found = uow.device_authorizations.find_by_code(token_sha256(device_code))
    if found is None or found.uuid != client_id:
        raise RefusedError("authorization-unknown", "This device code is not known (any more).")
    if found.state is AuthorizationState.REDEEMED:
        raise _used()
    if found.state is AuthorizationState.DENIED:
        raise RefusedError("authorization-denied", "A member of the factory said no to this device.")
    if found.expires_at <= now:
        raise RefusedError("authorization-expired", "Nobody allowed the device in time. Start the registration again.")
    if found.state is AuthorizationState.PENDING:
        raise RefusedError("authorization-pending", "Nobody has decided about this device yet.")
    return found


def redeem_code(device_code: str, client_id: str, *, now: datetime) -> Steps[RegistrationToken]:
    """Turn an allowed code into a token; of any number of callers one gets it.

    Raises:
        RefusedError: as `require_allowed`.
        NotFoundError: `factory-unknown`.
    """
    token = new_token()

    def store(uow: UnitOfWork) -> RegistrationToken:
        found = require_allowed(uow, device_code, client_id, now=now)
        digest = token_sha256(token)
        if not uow.device_authorizations.redeem(found.id, token_sha256=digest, expires_at=now + TOKEN_LIFETIME):
            raise _used()
        actor, details = f"device:{found.uuid}", {"allowed-by": found.decided_by or ""}
        event = AuditEvent(found.factory_id, now, actor, EventKind.DEVICE_TOKEN_ISSUED, found.uuid, details)
        uow.audit.append(event)
        return RegistrationToken(token, factory_of(uow, found.factory_id))

    issued: RegistrationToken = yield store
    return issued


def find_waiting(uow: UnitOfWork, user: User, user_code: str, *, now: datetime) -> Waiting:
    """Return the device that waits under a code, if this user may decide about it.

    Raises:
        NotFoundError: `user-code-unknown`: no such code, or none that waits, or not for a factory of this user's. Which
            one is nobody's business who does not know the code.
        RefusedError: `role-lacks-scope`.
    """
    found = uow.device_authorizations.find_by_user_code(user_code)
    unknown = NotFoundError(
        "user-code-unknown", "No device of a factory of yours waits under this code. It may have ended; look again."
    )
    if found is None or found.state is not AuthorizationState.PENDING or found.expires_at <= now:
        raise unknown
    for factory, role in uow.accounts.memberships(user.polis_id):
        if factory.id == found.factory_id:
            if Scope.DEVICES_CREATE not in ROLE_SCOPES[role]:
                raise RefusedError(
                    "role-lacks-scope", f"You are {role.value} of factory {factory.name}, who may not add devices."
                )
            return Waiting(found, factory)
    raise unknown


def decide(user: User, user_code: str, *, allow: bool, peer: str, now: datetime) -> Steps[Waiting]:
    """Allow or deny a device; whoever allows it will own it.

    Raises:
        NotFoundError, RefusedError: as `find_waiting`.
        ConflictError: `authorization-decided`: somebody else was faster.
    """
    state = AuthorizationState.ALLOWED if allow else AuthorizationState.DENIED
    kind = EventKind.DEVICE_ALLOWED if allow else EventKind.DEVICE_DECLINED

    def store(uow: UnitOfWork) -> Waiting:
        waiting = find_waiting(uow, user, user_code, now=now)
        found = waiting.authorization
        if not uow.device_authorizations.decide(found.id, state, by=user.polis_id):
            raise ConflictError(
                "authorization-decided",
                "Somebody decided about this device at the same moment, and was faster. Nothing was changed.",
            )
        details = {"asked-from": found.peer, "decided-from": peer, "asked-at": f"{found.created_at:%FT%TZ}"}
        uow.audit.append(AuditEvent(found.factory_id, now, user.polis_id, kind, found.uuid, details))
        return waiting

    waiting: Waiting = yield store
    return waiting


def _used() -> OwnrootError:
    return RefusedError("authorization-used", "This device code was turned into a token before.")


def _factory_of(scope: str) -> str:
    name, colon, rest = scope.strip().partition(":")
    if not colon or not name or rest != Scope.DEVICES_CREATE.value:
        raise InvalidInputError(
            "scope-not-registration", "A device may ask for one scope only: <factory>:devices:create."
        )
    return name


def _store(uow: UnitOfWork, question: _Question, asked: Asked, limits: PendingLimits) -> bool:
    now, factory = question.now, uow.factories.find(question.factory)
    if factory is None:
        raise InvalidInputError("scope-wrong-factory", "'scope' parameter is not valid: wrong Factory value")
    uow.device_authorizations.sweep(before=now - ENDED_KEPT)
    of_factory, of_peer = uow.device_authorizations.count_pending(factory.id, question.peer, now=now)
    if of_factory >= limits.per_factory or of_peer >= limits.per_peer:
        raise _too_many(here=of_peer >= limits.per_peer)
    request = AuthorizationRequest(
        factory_id=factory.id,
        uuid=question.uuid,
        code_sha256=token_sha256(asked.device_code),
        user_code=asked.user_code,
        peer=question.peer,
        created_at=now,
        expires_at=now + CODE_LIFETIME,
    )
    return uow.device_authorizations.add(request)


def _too_many(*, here: bool) -> OwnrootError:
    whose = "from this address" if here else "for this factory"
    return UnavailableError(
        "too-many-waiting",
        f"Too many devices {whose} wait to be allowed. Decide about them, or wait until their codes end.",
        retry_after=60,
    )
