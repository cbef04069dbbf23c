"""Shapes of users, teams and factories (protocol: api.md §2)."""

import msgspec


class UserSummary(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A member of a factory as listings show it; `polis_id` is 24 hex digits with us, opaque text elsewhere."""

    polis_id: str
    name: str
    role: str = ""


class TeamSummary(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A team as listings show it."""

    name: str
    description: str = ""


class UserDetails(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One user, also the reply to `users/self/`. Scopes may carry a `<factory>:` prefix that clients cut."""

    polis_id: str
    name: str
    role: str = ""
    teams_ext: tuple[TeamSummary, ...] = ()
    effective_scopes: tuple[str, ...] = ()


class TeamDetails(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One team with what it may do and who is in it."""

    name: str
    description: str = ""
    scopes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    members: tuple[UserSummary, ...] = ()


class FactorySummary(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A factory the caller can see; `reposerver_id` is kept for existing clients."""

    name: str
    reposerver_id: str = ""
