"""Users, teams and factories as their members see them (protocol: api.md §2).

A team is what everybody of one role may do: the roles are fixed, so the teams are too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ownroot.errors import NotFoundError
from ownroot.services.authority import ROLE_SCOPES, Principal
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory, Member
from ownroot.services.scopes import Role, Scope

_DESCRIPTIONS: Mapping[Role, str] = {
    Role.OWNER: "Own the factory and its PKI",
    Role.ADMIN: "Manage the PKI, users and devices",
    Role.MEMBER: "Work with devices",
    Role.AUDITOR: "Look at everything, change nothing",
}


@dataclass(frozen=True, slots=True)
class Team:
    """All members of one role."""

    name: str
    description: str
    scopes: frozenset[Scope]
    members: tuple[Member, ...]


def list_members(uow: UnitOfWork, factory: Factory) -> Sequence[Member]:
    """Return everybody who belongs to the factory."""
    return uow.accounts.members(factory.id)


def find_member(uow: UnitOfWork, factory: Factory, polis_id: str) -> Member:
    """Return one member.

    Raises:
        NotFoundError: `user-unknown`.
    """
    member = uow.accounts.find_member(factory.id, polis_id)
    if member is None:
        raise NotFoundError("user-unknown", f"Factory {factory.name} has no user {polis_id[:64]!r}.")
    return member


def list_teams(uow: UnitOfWork, factory: Factory) -> tuple[Team, ...]:
    """Return one team for each role, with whoever is in it."""
    members = uow.accounts.members(factory.id)
    return tuple(_team(role, members) for role in Role)


def find_team(uow: UnitOfWork, factory: Factory, name: str) -> Team:
    """Return one team.

    Raises:
        NotFoundError: `team-unknown`.
    """
    for team in list_teams(uow, factory):
        if team.name == name:
            return team
    raise NotFoundError("team-unknown", f"Factory {factory.name} has no team {name[:64]!r}.")


def team_of(role: Role) -> Team:
    """Return the team of a role without its members."""
    return _team(role, ())


def list_factories(uow: UnitOfWork, principal: Principal, *, managed_only: bool) -> list[Factory]:
    """Return the factories the caller belongs to, or only those they manage."""
    return [
        factory
        for factory, role in uow.accounts.memberships(principal.user.polis_id)
        if not managed_only or role in (Role.OWNER, Role.ADMIN)
    ]


def _team(role: Role, members: Sequence[Member]) -> Team:
    inside = tuple(member for member in members if member.role is role)
    return Team(f"{role.value}s", _DESCRIPTIONS[role], ROLE_SCOPES[role], inside)
