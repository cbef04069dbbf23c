"""Who may do what: roles bound what a user can be trusted with, tokens narrow it further."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ownroot.audit.events import AuditEvent, EventKind
from ownroot.errors import InvalidInputError
from ownroot.pki.names import DeviceUuid
from ownroot.services.records import Factory, User
from ownroot.services.scopes import Role, Scope

_READING = frozenset({Scope.DEVICES_READ, Scope.USERS_READ, Scope.CERTS_READ})
_WORKING = _READING | {Scope.DEVICES_READ_UPDATE, Scope.DEVICES_CREATE, Scope.DEVICES_DELETE}

ROLE_SCOPES: Mapping[Role, frozenset[Scope]] = {
    Role.OWNER: frozenset(Scope),
    Role.ADMIN: frozenset(Scope),
    Role.MEMBER: _WORKING,
    Role.AUDITOR: _READING,
}

_IMPLIED: Mapping[Scope, frozenset[Scope]] = {
    Scope.DEVICES_READ_UPDATE: frozenset({Scope.DEVICES_READ}),
    Scope.CERTS_MANAGE: frozenset({Scope.CERTS_READ}),
}


@dataclass(frozen=True, slots=True)
class DevicePass:
    """Leave to register one device over one key, and for nothing else (`services.authorize_registration`)."""

    authorization_id: int
    uuid: DeviceUuid


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: a member of one factory with a token for it.

    Args:
        scopes: what the token allows and the role permits, implied scopes included.
        device_pass: the one thing the token is good for; None: its scopes say.
    """

    user: User
    factory: Factory
    role: Role
    scopes: frozenset[Scope]
    token_id: int
    device_pass: DevicePass | None = None

    def event(self, kind: EventKind, subject: str, details: Mapping[str, str], *, at: datetime) -> AuditEvent:
        """Say for the audit log what this caller did, or was refused."""
        return AuditEvent(self.factory.id, at, self.user.polis_id, kind, subject, details)


def new_polis_id(random: Callable[[int], bytes] = os.urandom) -> str:
    """Return a fresh user id: 24 hex digits."""
    return random(12).hex()


def effective_scopes(role: Role, granted: Iterable[Scope]) -> frozenset[Scope]:
    """Return what a token amounts to in the hands of this role."""
    return with_implied(granted) & ROLE_SCOPES[role]


def with_implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Add the scopes that others carry with them: who may change a thing may look at it."""
    chosen = frozenset(scopes)
    return chosen.union(*(_IMPLIED.get(scope, frozenset()) for scope in chosen))


def least_role(scopes: Iterable[Scope]) -> Role:
    """Return the role that permits these scopes and little else."""
    wanted = frozenset(scopes)
    return next(role for role in (Role.AUDITOR, Role.MEMBER, Role.ADMIN) if wanted <= ROLE_SCOPES[role])


def parse_scope(text: str, *, factory: str) -> Scope:
    """Read a scope as people and clients spell it, with or without `<factory>:` before it.

    Raises:
        InvalidInputError: `scope-unknown`.
    """
    name = text.strip().removeprefix(f"{factory}:")
    try:
        return Scope(name)
    except ValueError as exc:
        known = ", ".join(scope.value for scope in Scope)
        raise InvalidInputError("scope-unknown", f"There is no scope {text[:80]!r}. Scopes are: {known}.") from exc
