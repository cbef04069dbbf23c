"""The operator's acts on users, members, tokens and OAuth clients, on an opened data directory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ownroot.bootstrap.installation import Installation
from ownroot.errors import InvalidInputError
from ownroot.services import manage_tokens, manage_users, oauth_clients
from ownroot.services.authority import parse_scope
from ownroot.services.create_token import CreatedToken, create_token
from ownroot.services.known_accounts import known_factory
from ownroot.services.manage_tokens import HeldToken
from ownroot.services.manage_users import KnownUser
from ownroot.services.oauth_clients import CreatedClient, HeldClient
from ownroot.services.passwords import hash_password
from ownroot.services.records import Member, User
from ownroot.services.scopes import Role, Scope
from ownroot.services.steps import run_blocking


@dataclass(frozen=True, slots=True)
class SecretOrder:
    """A token or client wanted; scopes as people spell them. `user` None: the factory's owner; no days: no end."""

    factory: str
    user: str | None
    scopes: tuple[str, ...]
    days: int | None = None

    def parsed_scopes(self) -> list[Scope]:
        """Return the scopes; raises InvalidInputError `scope-unknown`."""
        return [parse_scope(scope, factory=self.factory) for scope in self.scopes]

    def end(self, now: datetime) -> datetime | None:
        """Return when it ends."""
        return None if self.days is None else now + timedelta(days=self.days)


class AccountsDesk:
    """Does one thing at a time and is done when it is committed. Errors are those of the services."""

    def __init__(self, installation: Installation, clock: Callable[[], datetime]) -> None:
        self._database = installation.database
        self._now = clock

    def create_user(self, name: str, password: str | None) -> User:
        """Make a user; without a password they cannot sign in to the pages."""
        phc = None if password is None else hash_password(password)
        return run_blocking(manage_users.create_user(name, phc, now=self._now()), self._database)

    def set_password(self, name: str, password: str) -> User:
        """Give a user another password."""
        steps = manage_users.set_password(name, hash_password(password), now=self._now())
        return run_blocking(steps, self._database)

    def list_users(self) -> Sequence[KnownUser]:
        """Return everybody."""
        return self._database.read(manage_users.list_users)

    def add_member(self, factory: str, user: str, role: str) -> Member:
        """Make a user a member, or change their role."""
        return run_blocking(manage_users.add_member(factory, user, _role(role), now=self._now()), self._database)

    def remove_member(self, factory: str, user: str) -> Member:
        """Take a user out of a factory."""
        return run_blocking(manage_users.remove_member(factory, user, now=self._now()), self._database)

    def list_members(self, factory: str) -> Sequence[Member]:
        """Return the members of a factory."""
        return self._database.read(lambda uow: uow.accounts.members(known_factory(uow, factory).id))

    def create_token(self, order: SecretOrder) -> CreatedToken:
        """Make an API token."""
        now, scopes = self._now(), order.parsed_scopes()
        steps = create_token(order.factory, order.user, scopes, now=now, expires_at=order.end(now))
        return run_blocking(steps, self._database)

    def list_tokens(self, factory: str) -> Sequence[HeldToken]:
        """Return the API tokens of a factory."""
        return self._database.read(lambda uow: manage_tokens.list_tokens(uow, factory))

    def revoke_token(self, factory: str, token_id: int) -> None:
        """Make an API token worthless."""
        run_blocking(manage_tokens.revoke_token(factory, token_id, now=self._now()), self._database)

    def create_client(self, order: SecretOrder) -> CreatedClient:
        """Make an OAuth client."""
        now, scopes = self._now(), order.parsed_scopes()
        steps = oauth_clients.create_client(order.factory, order.user, scopes, now=now, expires_at=order.end(now))
        return run_blocking(steps, self._database)

    def list_clients(self, factory: str) -> Sequence[HeldClient]:
        """Return the OAuth clients of a factory."""
        return self._database.read(lambda uow: oauth_clients.list_clients(uow, factory))

    def delete_client(self, factory: str, client_id: str) -> None:
        """Forget an OAuth client and its tokens."""
        run_blocking(oauth_clients.delete_client(factory, client_id, now=self._now()), self._database)


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError as exc:
        known = ", ".join(role.value for role in Role)
        raise InvalidInputError("role-unknown", f"There is no role {name[:64]!r}. Roles are: {known}.") from exc
