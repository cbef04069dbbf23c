"""Who gets past the guard of the API, and for how long an answer of it is remembered."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.api.backend import Backend
from ownroot.api.guard import TokenGuard
from ownroot.audit.events import EventKind
from ownroot.errors import NotFoundError, OwnrootError, RefusedError, UnauthenticatedError
from ownroot.services.authority import Principal
from ownroot.services.create_factory import FactoryOrder, create_factory
from ownroot.services.create_token import create_token
from ownroot.services.issuers import OnlineIssuers
from ownroot.services.scopes import Role, Scope
from ownroot.services.steps import run_blocking
from ownroot.services.tokens import token_sha256
from ownroot.web.endpoint import Access, Arrival
from tests.support.registering import NOW, RegistrationWorld, registration_world

READ = Access(scopes=(Scope.CERTS_READ,), or_roles=(Role.OWNER,))
MANAGE = Access(scopes=(Scope.CERTS_MANAGE,), roles=(Role.OWNER, Role.ADMIN), audited=True)


@dataclass
class Door:
    """A guard in front of a real backend, with a clock in hand."""

    world: RegistrationWorld
    ticks: float = 0.0
    guard: TokenGuard = field(init=False)

    def __post_init__(self) -> None:
        keyring = self.world.keyring
        backend = Backend(self.world.database, keyring, OnlineIssuers(keyring), public_gateway_port=8443)
        self.guard = TokenGuard(backend, ticks=lambda: self.ticks)

    def knock(self, token: str | None, access: Access = READ, *, factory: str = "acme", now=NOW) -> Principal:
        path = {"factory": factory} if factory else {}
        arrival = Arrival("GET", path, {}, token, "192.0.2.1", "id", "http://localhost", now)
        return asyncio.run(self.guard.admit(arrival, access))

    def refusal(self, error: type[OwnrootError], *arguments, **options) -> str:
        with pytest.raises(error) as refused:
            self.knock(*arguments, **options)
        return refused.value.code

    def token(self, *scopes: Scope, user: str | None = None) -> str:
        return run_blocking(create_token("acme", user, scopes, now=NOW), self.world.database).token


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with registration_world(tmp_path) as world:
        yield Door(world)


def test_a_known_token_with_the_scope_is_let_in(door):
    assert door.knock(door.token(Scope.CERTS_READ, user="reader")).user.name == "reader"


@pytest.mark.parametrize(
    ("error", "token", "code"),
    [(UnauthenticatedError, None, "token-missing"), (UnauthenticatedError, "own_x", "token-unknown")],
)
def test_without_a_known_token_nobody_is_let_in(door, error, token, code):
    assert door.refusal(error, token) == code


def test_a_role_may_stand_in_for_a_scope_where_the_endpoint_says_so(door):
    owners = door.token(Scope.DEVICES_READ)
    assert door.knock(owners).role is Role.OWNER
    members = door.token(Scope.DEVICES_READ, user="member")
    assert door.refusal(RefusedError, members) == "scope-missing"


def test_a_scope_does_not_stand_in_for_a_role(door):
    token = door.token(Scope.CERTS_MANAGE, user="manager")
    assert door.knock(token, MANAGE).role is Role.ADMIN
    door.ticks += 2
    user = door.world.read(lambda uow: uow.accounts.find_user_by_name("manager"))
    door.world.write(lambda uow: uow.accounts.set_role(door.world.factory.id, user.polis_id, Role.MEMBER))
    assert door.refusal(RefusedError, token, MANAGE) == "scope-missing"


def test_a_token_opens_its_own_factory_only(door):
    run_blocking(create_factory(FactoryOrder("beta"), door.world.keyring, now=NOW), door.world.database)
    token = door.token(Scope.CERTS_READ)
    assert door.refusal(RefusedError, token, factory="beta") == "wrong-factory"
    assert door.refusal(NotFoundError, token, factory="gamma") == "factory-unknown"


def test_an_endpoint_without_a_factory_in_its_path_serves_the_tokens_own(door):
    assert door.knock(door.token(Scope.CERTS_READ), factory="").factory.name == "acme"


def test_a_role_that_was_taken_away_counts_for_a_second_and_no_longer(door):
    token = door.token(Scope.CERTS_READ, user="reader")
    user = door.knock(token).user
    door.world.write(lambda uow: uow.accounts.set_role(door.world.factory.id, user.polis_id, Role.OWNER))
    door.ticks += 0.9
    assert door.knock(token).role is Role.AUDITOR
    door.ticks += 0.2
    assert door.knock(token).role is Role.OWNER


def test_a_tokens_end_counts_at_once(door):
    end = NOW + timedelta(seconds=10)

    def add(uow):
        uow.accounts.add_token(
            door.world.factory.id,
            door.world.owner.user.polis_id,
            token_sha256=token_sha256("own_short"),
            scopes=frozenset({Scope.CERTS_READ}),
            expires_at=end,
            now=NOW,
        )

    door.world.write(add)
    assert door.knock("own_short", now=end - timedelta(seconds=1))
    assert door.refusal(UnauthenticatedError, "own_short", now=end) == "token-expired"


def test_refused_changes_and_refused_logins_are_in_the_audit_log(door):
    token = door.token(Scope.CERTS_READ, user="reader")
    door.refusal(RefusedError, token, MANAGE)
    door.refusal(UnauthenticatedError, "own_x")
    of_factory = door.world.read(lambda uow: uow.audit.list(door.world.factory.id, limit=1))[0]
    of_server = door.world.read(lambda uow: uow.audit.list(None, limit=1))[0]
    assert (of_factory.kind, of_factory.subject) == (EventKind.PKI_CHANGE_REFUSED, "scope-missing")
    assert (of_server.kind, of_server.details["client"]) == (EventKind.LOGIN_REFUSED, "192.0.2.1")
    assert "own_x" not in str(of_server)
