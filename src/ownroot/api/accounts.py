"""Users, teams and factories over HTTP (protocol: api.md §2)."""

from collections.abc import Iterable

import msgspec

from ownroot.api.backend import Backend
from ownroot.services import view_accounts
from ownroot.services.authority import ROLE_SCOPES, Principal
from ownroot.services.records import Factory, Member
from ownroot.services.scopes import Role, Scope
from ownroot.services.view_accounts import Team
from ownroot.web.endpoint import Access, Call, Endpoint, Reply
from ownroot.wire.accounts import FactorySummary, TeamDetails, TeamSummary, UserDetails, UserSummary

_ANYBODY = Access()
_READERS = Access(scopes=(Scope.USERS_READ,), or_roles=(Role.OWNER, Role.ADMIN))


class FactoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`admin=1` asks for the factories one manages."""

    admin: str = ""


class AccountPages:
    """Handlers for accounts."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def list_users(self, call: Call[Principal]) -> Reply:
        """All members."""
        factory = call.caller.factory
        members = await self._backend.read(lambda uow: view_accounts.list_members(uow, factory))
        return Reply(body=[_summary(member) for member in members])

    async def show_self(self, call: Call[Principal]) -> Reply:
        """The caller; `fio-<polis-id>` becomes the name of their local device CAs."""
        caller = call.caller
        member = Member(caller.user, caller.role)
        return Reply(body=_details(member, caller.factory, caller.scopes))

    async def show_user(self, call: Call[Principal]) -> Reply:
        """One member."""
        factory, polis_id = call.caller.factory, call.path["user"]
        member = await self._backend.read(lambda uow: view_accounts.find_member(uow, factory, polis_id))
        return Reply(body=_details(member, factory, ROLE_SCOPES[member.role]))

    async def list_teams(self, call: Call[Principal]) -> Reply:
        """All teams."""
        factory = call.caller.factory
        teams = await self._backend.read(lambda uow: view_accounts.list_teams(uow, factory))
        return Reply(body=[TeamSummary(name=team.name, description=team.description) for team in teams])

    async def show_team(self, call: Call[Principal]) -> Reply:
        """One team."""
        factory, name = call.caller.factory, call.path["team"]
        team = await self._backend.read(lambda uow: view_accounts.find_team(uow, factory, name))
        return Reply(body=_team_details(team, factory))

    async def list_factories(self, call: Call[Principal]) -> Reply:
        """The caller's factories."""
        caller, managed_only = call.caller, call.query.admin == "1"
        factories = await self._backend.read(
            lambda uow: view_accounts.list_factories(uow, caller, managed_only=managed_only)
        )
        return Reply(body=[FactorySummary(name=item.name, reposerver_id=item.gateway_name) for item in factories])


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare them."""
    pages = AccountPages(backend)
    base = "/ota/factories/{factory}"
    return (
        Endpoint(
            method="GET",
            path="/ota/factories/",
            handler=pages.list_factories,
            access=_ANYBODY,
            summary="List the factories the caller belongs to.",
            query=FactoryQuery,
            replies={200: list[FactorySummary]},
        ),
        Endpoint(
            method="GET",
            path=f"{base}/users/",
            handler=pages.list_users,
            access=_READERS,
            summary="List the members of a factory.",
            replies={200: list[UserSummary]},
        ),
        Endpoint(
            method="GET",
            path=f"{base}/users/self/",
            handler=pages.show_self,
            access=_ANYBODY,
            summary="Show the caller.",
            replies={200: UserDetails},
        ),
        Endpoint(
            method="GET",
            path=f"{base}/users/{{user}}/",
            handler=pages.show_user,
            access=_READERS,
            summary="Show one member by polis-id.",
            replies={200: UserDetails},
        ),
        Endpoint(
            method="GET",
            path=f"{base}/teams/",
            handler=pages.list_teams,
            access=_READERS,
            summary="List the teams of a factory, one for each role.",
            replies={200: list[TeamSummary]},
        ),
        Endpoint(
            method="GET",
            path=f"{base}/teams/{{team}}",
            handler=pages.show_team,
            access=_READERS,
            summary="Show one team.",
            replies={200: TeamDetails},
        ),
    )


def _summary(member: Member) -> UserSummary:
    return UserSummary(polis_id=member.user.polis_id, name=member.user.name, role=member.role.value)


def _details(member: Member, factory: Factory, scopes: Iterable[Scope]) -> UserDetails:
    team = view_accounts.team_of(member.role)
    return UserDetails(
        polis_id=member.user.polis_id,
        name=member.user.name,
        role=member.role.value,
        teams_ext=(TeamSummary(name=team.name, description=team.description),),
        effective_scopes=_spelled(scopes, factory),
    )


def _team_details(team: Team, factory: Factory) -> TeamDetails:
    return TeamDetails(
        name=team.name,
        description=team.description,
        scopes=_spelled(team.scopes, factory),
        members=tuple(_summary(member) for member in team.members),
    )


def _spelled(scopes: Iterable[Scope], factory: Factory) -> tuple[str, ...]:
    """With the factory before each: clients cut everything up to the first colon when they print."""
    return tuple(sorted(f"{factory.name}:{scope.value}" for scope in scopes))
