"""Factories and users by the name or number somebody gives: found, or said to be unknown."""

from collections.abc import Callable

from ownroot.errors import NotFoundError
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory, User


def known_factory(uow: UnitOfWork, name: str) -> Factory:
    """Return the factory of this name; raises NotFoundError `factory-unknown`."""
    factory = uow.factories.find(name)
    if factory is None:
        raise NotFoundError("factory-unknown", f"There is no factory {name[:64]!r} on this server.")
    return factory


def factory_of(uow: UnitOfWork, factory_id: int) -> Factory:
    """Return the factory that a stored row belongs to; raises NotFoundError `factory-unknown`."""
    for factory in uow.factories.list():
        if factory.id == factory_id:
            return factory
    raise NotFoundError("factory-unknown", "The factory this belongs to is not on this server any more.")


def known_user(uow: UnitOfWork, name: str) -> User:
    """Return the user of this name; raises NotFoundError `user-unknown`."""
    user = uow.accounts.find_user_by_name(name)
    if user is None:
        raise NotFoundError("user-unknown", f"There is no user {name[:64]!r} on this server.")
    return user


def holders(uow: UnitOfWork, factory: Factory) -> Callable[[str], User]:
    """Return what tells whose a secret of this factory is; of somebody who left only the polis-id is known."""
    users = {member.user.polis_id: member.user for member in uow.accounts.members(factory.id)}
    return lambda polis_id: users.get(polis_id, User(polis_id, ""))
