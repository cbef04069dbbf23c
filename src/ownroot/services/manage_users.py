"""Users, their passwords, and what they are in a factory; the operator's acts.

A user is known to the whole server and may belong to several factories. Every factory keeps an owner: somebody must be
able to answer for its PKI.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ownroot.audit.events import OPERATOR, AuditEvent, EventKind
from ownroot.errors import ConflictError, NotFoundError
from ownroot.services.authority import new_polis_id
from ownroot.services.create_token import user_named
from ownroot.services.known_accounts import known_factory, known_user
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory, Member, User
from ownroot.services.scopes import Role
from ownroot.services.steps import Steps


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user as the operator sees them."""

    user: User
    has_password: bool
    memberships: tuple[tuple[Factory, Role], ...]


def create_user(name: str, phc: str | None, *, now: datetime) -> Steps[User]:
    """Make a user who belongs to no factory yet.

    Args:
        phc: of `passwords.hash_password`; None for one who never signs in to the pages.
    Raises:
        InvalidInputError: `user-name-invalid`.
        ConflictError: `user-name-taken`.
    """
    polis_id = new_polis_id()

    def store(uow: UnitOfWork) -> User:
        user = user_named(uow, name, polis_id, now=now)
        if user.polis_id != polis_id:
            raise ConflictError("user-name-taken", f"There is a user called {name} already.")
        if phc is not None:
            _store_password(uow, user, phc, now)
        return user

    user: User = yield store
    return user


def set_password(name: str, phc: str, *, now: datetime) -> Steps[User]:
    """Give a user a password; whoever is signed in with the former one is signed out.

    Raises:
        NotFoundError: `user-unknown`.
    """

    def store(uow: UnitOfWork) -> User:
        user = known_user(uow, name)
        _store_password(uow, user, phc, now)
        return user

    user: User = yield store
    return user


def add_member(factory_name: str, user_name: str, role: Role, *, now: datetime) -> Steps[Member]:
    """Make a user a member of a factory, or give a member another role.

    Raises:
        NotFoundError: `factory-unknown`, `user-unknown`.
        ConflictError: `last-owner`.
    """

    def store(uow: UnitOfWork) -> Member:
        factory, user = known_factory(uow, factory_name), known_user(uow, user_name)
        if role is not Role.OWNER:
            _require_another_owner(uow, factory, user)
        uow.accounts.set_role(factory.id, user.polis_id, role)
        details = {"role": role.value}
        uow.audit.append(AuditEvent(factory.id, now, OPERATOR, EventKind.ROLE_SET, user.polis_id, details))
        return Member(user, role)

    member: Member = yield store
    return member


def remove_member(factory_name: str, user_name: str, *, now: datetime) -> Steps[Member]:
    """Take a user out of a factory, with every token and OAuth client they have there.

    Raises:
        NotFoundError: `factory-unknown`, `user-unknown`, `member-unknown`.
        ConflictError: `last-owner`.
    """

    def store(uow: UnitOfWork) -> Member:
        factory, user = known_factory(uow, factory_name), known_user(uow, user_name)
        member = uow.accounts.find_member(factory.id, user.polis_id)
        if member is None:
            raise NotFoundError("member-unknown", f"{user.name} is not a member of factory {factory.name}.")
        _require_another_owner(uow, factory, user)
        for client in uow.oauth.list_clients(factory.id):
            if client.polis_id == user.polis_id:
                uow.oauth.delete_client(client)
        uow.accounts.remove_member(factory.id, user.polis_id)
        details = {"role": member.role.value}
        uow.audit.append(AuditEvent(factory.id, now, OPERATOR, EventKind.MEMBER_REMOVED, user.polis_id, details))
        return member

    member: Member = yield store
    return member


def list_users(uow: UnitOfWork) -> Sequence[KnownUser]:
    """Return everybody, by name."""
    with_password = uow.logins.with_password()
    return [
        KnownUser(user, user.polis_id in with_password, tuple(uow.accounts.memberships(user.polis_id)))
        for user in uow.accounts.list_users()
    ]


def _store_password(uow: UnitOfWork, user: User, phc: str, now: datetime) -> None:
    uow.logins.set_password(user.polis_id, phc, now=now)
    uow.audit.append(AuditEvent(None, now, OPERATOR, EventKind.PASSWORD_SET, user.polis_id, {}))


def _require_another_owner(uow: UnitOfWork, factory: Factory, user: User) -> None:
    owners = [member.user for member in uow.accounts.members(factory.id) if member.role is Role.OWNER]
    if owners == [user]:
        raise ConflictError(
            "last-owner", f"{user.name} is the only owner of factory {factory.name}. Make somebody else owner first."
        )
