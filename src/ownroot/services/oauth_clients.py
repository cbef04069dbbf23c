"""OAuth clients: programs that log in by themselves with an id and a secret. The operator's acts."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ownroot.audit.events import OPERATOR, AuditEvent, EventKind
from ownroot.errors import NotFoundError
from ownroot.services.authority import new_polis_id
from ownroot.services.create_token import require_scopes, secret_details, settle_holder
from ownroot.services.known_accounts import holders, known_factory
from ownroot.services.login_ports import OAuthClient
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory, User
from ownroot.services.scopes import Scope
from ownroot.services.steps import Steps
from ownroot.services.tokens import new_token, token_sha256


@dataclass(frozen=True, slots=True)
class CreatedClient:
    """A client, whose it is, and its secret, which is shown once."""

    factory: Factory
    user: User
    client: OAuthClient
    secret: str


@dataclass(frozen=True, slots=True)
class HeldClient:
    """A client and whose it is."""

    client: OAuthClient
    user: User


def new_client_id(random: Callable[[int], bytes] = os.urandom) -> str:
    """Return a fresh client id: 24 hex digits, which stand in a form body as they are."""
    return random(12).hex()


def create_client(
    factory_name: str,
    user_name: str | None,
    scopes: Iterable[Scope],
    *,
    now: datetime,
    expires_at: datetime | None = None,
) -> Steps[CreatedClient]:
    """Make a client that acts as a user of a factory.

    Args:
        user_name, scopes: as `services.create_token.create_token`.
    Raises:
        NotFoundError, InvalidInputError, RefusedError: as `services.create_token.create_token`.
    """
    wanted = require_scopes(scopes)
    secret, client_id, polis_id = new_token(), new_client_id(), new_polis_id()

    def store(uow: UnitOfWork) -> CreatedClient:
        factory, member = settle_holder(uow, factory_name, user_name, wanted, polis_id=polis_id, now=now)
        client = OAuthClient(
            id=0,
            client_id=client_id,
            secret_sha256=token_sha256(secret),
            factory_id=factory.id,
            polis_id=member.user.polis_id,
            scopes=wanted,
            created_at=now,
            expires_at=expires_at,
        )
        client = uow.oauth.add_client(client)
        details = secret_details(wanted, expires_at) | {"user": member.user.polis_id}
        uow.audit.append(AuditEvent(factory.id, now, OPERATOR, EventKind.CLIENT_CREATED, client_id, details))
        return CreatedClient(factory, member.user, client, secret)

    created: CreatedClient = yield store
    return created


def list_clients(uow: UnitOfWork, factory_name: str) -> Sequence[HeldClient]:
    """Return the clients of a factory, oldest first.

    Raises:
        NotFoundError: `factory-unknown`.
    """
    factory = known_factory(uow, factory_name)
    whose = holders(uow, factory)
    return [HeldClient(client, whose(client.polis_id)) for client in uow.oauth.list_clients(factory.id)]


def delete_client(factory_name: str, client_id: str, *, now: datetime) -> Steps[None]:
    """Forget a client; its tokens are worthless within a second.

    Raises:
        NotFoundError: `factory-unknown`, `client-unknown`.
    """

    def store(uow: UnitOfWork) -> None:
        factory = known_factory(uow, factory_name)
        client = uow.oauth.find_client(client_id)
        if client is None or client.factory_id != factory.id:
            raise NotFoundError("client-unknown", f"Factory {factory.name} has no client {client_id[:64]!r}.")
        uow.oauth.delete_client(client)
        details = {"user": client.polis_id}
        uow.audit.append(AuditEvent(factory.id, now, OPERATOR, EventKind.CLIENT_DELETED, client_id, details))

    yield store
