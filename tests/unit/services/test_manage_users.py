"""Users, members and their tokens on a real database: who becomes what, and what goes when they go."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, InvalidInputError, NotFoundError, UnauthenticatedError
from ownroot.services import manage_tokens, manage_users
from ownroot.services.authenticate import authenticate
from ownroot.services.create_token import create_token
from ownroot.services.oauth_clients import create_client, delete_client, list_clients
from ownroot.services.scopes import Role, Scope
from ownroot.services.steps import run_blocking
from tests.support.registering import NOW, RegistrationWorld, registration_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as made:
        yield made


def run(world, steps):
    return run_blocking(steps, world.database)


def refusal(world, error, steps) -> str:
    with pytest.raises(error) as refused:
        run(world, steps)
    return refused.value.code


def ada_as(world, role: Role):
    run(world, manage_users.create_user("ada", None, now=NOW))
    return run(world, manage_users.add_member("acme", "ada", role, now=NOW)).user


def test_user_is_made_once_and_belongs_nowhere(world):
    user = run(world, manage_users.create_user("ada", "$phc", now=NOW))
    assert refusal(world, ConflictError, manage_users.create_user("ada", None, now=NOW)) == "user-name-taken"
    assert refusal(world, InvalidInputError, manage_users.create_user(" ", None, now=NOW)) == "user-name-invalid"
    known = {each.user: each for each in world.read(manage_users.list_users)}
    assert (known[user].has_password, known[user].memberships) == (True, ())
    assert known[world.owner.user].memberships == ((world.factory, Role.OWNER),)


def test_password_is_set_for_a_known_user_and_audited_without_it(world):
    ada = ada_as(world, Role.MEMBER)
    run(world, manage_users.set_password("ada", "$phc", now=NOW))
    assert world.read(lambda uow: uow.logins.find_password(ada.polis_id)) == "$phc"
    (event,) = [e for e in world.read(lambda uow: uow.audit.list(None)) if e.kind is EventKind.PASSWORD_SET]
    assert (event.subject, dict(event.details)) == (ada.polis_id, {})
    assert refusal(world, NotFoundError, manage_users.set_password("bob", "$phc", now=NOW)) == "user-unknown"


def test_role_is_changed_but_the_last_owner_stays(world):
    ada_as(world, Role.AUDITOR)
    owner = world.owner.user.name
    for steps in (
        manage_users.add_member("acme", owner, Role.ADMIN, now=NOW),
        manage_users.remove_member("acme", owner, now=NOW),
    ):
        assert refusal(world, ConflictError, steps) == "last-owner"
    run(world, manage_users.add_member("acme", "ada", Role.OWNER, now=NOW))
    assert run(world, manage_users.remove_member("acme", owner, now=NOW)).role is Role.OWNER
    assert [member.user.name for member in world.read(lambda uow: uow.accounts.members(world.factory.id))] == ["ada"]


def test_member_who_goes_leaves_no_token_and_no_client_behind(world):
    ada_as(world, Role.MEMBER)
    token = run(world, create_token("acme", "ada", [Scope.DEVICES_READ], now=NOW)).token
    run(world, create_client("acme", "ada", [Scope.DEVICES_READ], now=NOW))
    assert world.read(lambda uow: authenticate(uow, token, now=NOW)).principal.user.name == "ada"
    run(world, manage_users.remove_member("acme", "ada", now=NOW))
    run(world, manage_users.add_member("acme", "ada", Role.MEMBER, now=NOW))
    with pytest.raises(UnauthenticatedError, match="token-unknown"):
        world.read(lambda uow: authenticate(uow, token, now=NOW))
    assert world.read(lambda uow: list_clients(uow, "acme")) == []
    assert [event.subject for event in world.events(EventKind.MEMBER_REMOVED)]


@pytest.mark.parametrize(
    ("factory", "user", "code"), [("nope", "ada", "factory-unknown"), ("acme", "bob", "user-unknown")]
)
def test_members_of_nothing_and_nobodies_are_refused(world, factory, user, code):
    run(world, manage_users.create_user("ada", None, now=NOW))
    for steps in (
        manage_users.add_member(factory, user, Role.MEMBER, now=NOW),
        manage_users.remove_member(factory, user, now=NOW),
    ):
        assert refusal(world, NotFoundError, steps) == code
    assert refusal(world, NotFoundError, manage_users.remove_member("acme", "ada", now=NOW)) == "member-unknown"


def test_token_ends_when_it_should(world):
    ends = NOW + timedelta(days=1)
    made = run(world, create_token("acme", None, [Scope.DEVICES_READ], now=NOW, expires_at=ends))
    assert world.read(lambda uow: authenticate(uow, made.token, now=ends - timedelta(seconds=1))).expires_at == ends
    with pytest.raises(UnauthenticatedError, match="token-expired"):
        world.read(lambda uow: authenticate(uow, made.token, now=ends))


def test_token_is_listed_and_revoked_by_number(world):
    made = run(world, create_token("acme", "station", [Scope.DEVICES_CREATE], now=NOW))
    held = world.read(lambda uow: manage_tokens.list_tokens(uow, "acme"))
    number = next(each.token.id for each in held if each.user == made.user)
    run(world, manage_tokens.revoke_token("acme", number, now=NOW))
    with pytest.raises(UnauthenticatedError, match="token-unknown"):
        world.read(lambda uow: authenticate(uow, made.token, now=NOW))
    assert refusal(world, NotFoundError, manage_tokens.revoke_token("acme", number, now=NOW)) == "token-unknown"
    (event,) = world.events(EventKind.TOKEN_REVOKED)
    assert (event.subject, event.details["scopes"]) == (made.user.polis_id, "devices:create")


def test_client_is_listed_and_deleted_by_its_factory_alone(world):
    made = run(world, create_client("acme", None, [Scope.DEVICES_READ], now=NOW))
    assert made.user == world.owner.user
    assert [each.client.client_id for each in world.read(lambda uow: list_clients(uow, "acme"))] == [
        made.client.client_id
    ]
    assert refusal(world, NotFoundError, delete_client("nope", made.client.client_id, now=NOW)) == "factory-unknown"
    run(world, delete_client("acme", made.client.client_id, now=NOW))
    assert refusal(world, NotFoundError, delete_client("acme", made.client.client_id, now=NOW)) == "client-unknown"
    kinds = [world.events(kind)[0].subject for kind in (EventKind.CLIENT_CREATED, EventKind.CLIENT_DELETED)]
    assert kinds == [made.client.client_id] * 2
