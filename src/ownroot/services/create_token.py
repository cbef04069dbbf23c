"""A new API token for a user of a factory; the operator's act."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ownroot.audit.events import OPERATOR, AuditEvent, EventKind
from ownroot.errors import InvalidInputError, NotFoundError, RefusedError
from ownroot.services.authority import effective_scopes, least_role, new_polis_id, with_implied
from ownroot.services.known_accounts import known_factory
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory, Member, User
from ownroot.services.scopes import Role, Scope
from ownroot.services.steps import Steps
from ownroot.services.tokens import new_token, token_sha256

_MAX_NAME_CHARS = 64


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A token, shown once, and whose it is; `expires_at` None means it has no end."""

    factory: Factory
    user: User
    scopes: frozenset[Scope]
    token: str
    expires_at: datetime | None = None


def create_token(
    factory_name: str,
    user_name: str | None,
    scopes: Iterable[Scope],
    *,
    now: datetime,
    expires_at: datetime | None = None,
) -> Steps[CreatedToken]:
    """Make a token.

    Args:
        user_name: made with the least role that permits the scopes, if new; None is the factory's owner.
        scopes: what the token may be used for; at least one.
    Raises:
        NotFoundError: `factory-unknown`.
        InvalidInputError: `scope-missing`, `user-name-invalid`.
        RefusedError: `role-lacks-scope`: an existing user's role does not permit what is asked.
    """
    wanted = require_scopes(scopes)
    token, polis_id = new_token(), new_polis_id()

    def store(uow: UnitOfWork) -> CreatedToken:
        factory, member = settle_holder(uow, factory_name, user_name, wanted, polis_id=polis_id, now=now)
        uow.accounts.add_token(
            factory.id,
            member.user.polis_id,
            token_sha256=token_sha256(token),
            scopes=wanted,
            expires_at=expires_at,
            now=now,
        )
        details = secret_details(wanted, expires_at)
        uow.audit.append(AuditEvent(factory.id, now, OPERATOR, EventKind.TOKEN_CREATED, member.user.polis_id, details))
        return CreatedToken(factory, member.user, wanted, token, expires_at)

    created: CreatedToken = yield store
    return created


def require_scopes(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return the scopes if there are any; raises InvalidInputError `scope-missing`."""
    wanted = frozenset(scopes)
    if not wanted:
        raise InvalidInputError("scope-missing", "A token needs at least one scope.")
    return wanted


def secret_details(scopes: frozenset[Scope], expires_at: datetime | None) -> dict[str, str]:
    """Say for the audit log what a new secret is good for, and until when."""
    until = {} if expires_at is None else {"until": f"{expires_at:%FT%TZ}"}
    return {"scopes": " ".join(sorted(scopes))} | until


def settle_holder(  # noqa: PLR0913  (who, where and for what; the rest is the moment)
    uow: UnitOfWork,
    factory_name: str,
    user_name: str | None,
    wanted: frozenset[Scope],
    *,
    polis_id: str,
    now: datetime,
) -> tuple[Factory, Member]:
    """Find or make the member of a factory that a secret with these scopes is to be made for.

    Args:
        polis_id: of the user, if new.
    Raises:
        NotFoundError, InvalidInputError, RefusedError: as `create_token`.
    """
    factory = known_factory(uow, factory_name)
    if user_name is None:
        member = _owner(uow, factory)
    else:
        user = user_named(uow, user_name, polis_id, now=now)
        member = _member(uow, factory, user, least_role(wanted), now)
    _require_permitted(member, wanted)
    return factory, member


def user_named(uow: UnitOfWork, name: str, polis_id: str, *, now: datetime) -> User:
    """Return the user of this name, made under `polis_id` if there is none.

    Raises:
        InvalidInputError: `user-name-invalid`.
    """
    if not (1 <= len(name) <= _MAX_NAME_CHARS and name.isprintable() and name.strip() == name):
        raise InvalidInputError("user-name-invalid", f"A user name has 1 to {_MAX_NAME_CHARS} printable characters.")
    known = uow.accounts.find_user_by_name(name)
    if known is not None:
        return known
    user = User(polis_id, name)
    uow.accounts.add_user(user)
    uow.audit.append(AuditEvent(None, now, OPERATOR, EventKind.USER_ADDED, polis_id, {"name": name}))
    return user


def _owner(uow: UnitOfWork, factory: Factory) -> Member:
    for member in uow.accounts.members(factory.id):
        if member.role is Role.OWNER:
            return member
    raise NotFoundError("owner-unknown", f"Factory {factory.name} has no owner; name a user with --user.")


def _member(uow: UnitOfWork, factory: Factory, user: User, role: Role, now: datetime) -> Member:
    """The user as a member of the factory, with this role if they were none before."""
    known = uow.accounts.find_member(factory.id, user.polis_id)
    if known is not None:
        return known
    uow.accounts.set_role(factory.id, user.polis_id, role)
    uow.audit.append(AuditEvent(factory.id, now, OPERATOR, EventKind.ROLE_SET, user.polis_id, {"role": role.value}))
    return Member(user, role)


def _require_permitted(member: Member, wanted: frozenset[Scope]) -> None:
    missing = with_implied(wanted) - effective_scopes(member.role, wanted)
    if missing:
        raise RefusedError(
            "role-lacks-scope",
            f"{member.user.name} is {member.role.value} of this factory, which does not permit "
            f"{', '.join(sorted(missing))}. Make the token for an owner or admin.",
        )
