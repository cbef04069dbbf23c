"""Factories, tokens and who stands behind them, on a real database."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OwnrootError,
    RefusedError,
    UnauthenticatedError,
)
from ownroot.services.authenticate import RefusedLogins, authenticate
from ownroot.services.create_factory import FactoryOrder, create_factory
from ownroot.services.create_token import create_token
from ownroot.services.gateway_names import settle_base_name
from ownroot.services.scopes import Role, Scope
from ownroot.services.steps import run_blocking
from ownroot.services.tokens import token_sha256
from tests.support.registering import NOW, RegistrationWorld, registration_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as made:
        yield made


def make_factory(world, name, **options):
    return run_blocking(create_factory(FactoryOrder(name, **options), world.keyring, now=NOW), world.database)


def make_token(world, *scopes, factory="acme", user=None):
    return run_blocking(create_token(factory, user, scopes, now=NOW), world.database)


def code_of(error: type[OwnrootError], act, *arguments, **options) -> str:
    with pytest.raises(error) as refusal:
        act(*arguments, **options)
    return refusal.value.code


def test_the_first_factory_has_the_base_name_and_the_next_a_name_under_it(world):
    assert (world.factory.gateway_name, world.factory.is_default) == ("gateway.localhost", True)
    beta = make_factory(world, "beta").factory
    assert (beta.gateway_name, beta.is_default) == ("beta.gateway.localhost", False)


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("acme", {}, "factory-exists"),
        ("beta", {"default": True}, "default-factory-exists"),
        ("beta", {"gateway_name": "gateway.localhost"}, "gateway-name-taken"),
        ("beta", {"gateway_name": "ostree.gateway.localhost"}, "gateway-name-taken"),
        ("beta", {"gateway_name": "GATEWAY.localhost"}, "gateway-name-taken"),
    ],
)
def test_a_name_that_is_taken_is_refused(world, name, options, code):
    assert code_of(ConflictError, make_factory, world, name, **options) == code


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("Beta", {}, "factory-name-invalid"),
        ("api", {}, "factory-name-reserved"),
        ("beta", {"gateway_name": "not a name"}, "dns-name-invalid"),
        ("b\nx", {"gateway_name": "gw.example"}, "factory-name-invalid"),
        ("beta", {"owner": " x"}, "user-name-invalid"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(world, name, options, code):
    assert code_of(InvalidInputError, make_factory, world, name, **options) == code


@pytest.mark.parametrize("owner", [None, ""])
def test_an_owner_nobody_named_is_called_after_the_factory(world, owner):
    assert make_factory(world, "beta", owner=owner).owner.name == "beta-owner"


def test_the_base_name_is_fixed_once_it_is_known(world):
    assert world.write(lambda uow: settle_base_name(uow, "GATEWAY.localhost")) == "gateway.localhost"
    assert code_of(ConflictError, world.write, lambda uow: settle_base_name(uow, "gw.example")) == "gateway-name-fixed"


def test_a_refused_factory_leaves_nothing_behind(world):
    code_of(ConflictError, make_factory, world, "beta", owner="someone", default=True)
    assert world.read(lambda uow: uow.factories.find("beta")) is None
    assert world.read(lambda uow: uow.accounts.find_user_by_name("someone")) is None


def test_a_token_stands_for_its_user_with_the_scopes_it_was_made_for(world):
    made = make_token(world, Scope.DEVICES_CREATE, user="station")
    found = world.read(lambda uow: authenticate(uow, made.token, now=NOW)).principal
    assert (found.user.name, found.role, found.scopes) == ("station", Role.MEMBER, {Scope.DEVICES_CREATE})


def test_without_a_user_a_token_is_the_owners(world):
    assert make_token(world, Scope.CERTS_READ).user == world.owner.user


def test_only_the_hash_of_a_token_is_stored(world, tmp_path):
    made = make_token(world, Scope.CERTS_READ)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert made.token.encode() not in stored
    assert token_sha256(made.token) in stored


@pytest.mark.parametrize(
    ("error", "arguments", "options", "code"),
    [
        (NotFoundError, (Scope.CERTS_READ,), {"factory": "nowhere"}, "factory-unknown"),
        (InvalidInputError, (), {}, "scope-missing"),
        (InvalidInputError, (Scope.CERTS_READ,), {"user": "a\tb"}, "user-name-invalid"),
    ],
)
def test_a_token_for_nobody_or_nothing_is_refused(world, error, arguments, options, code):
    assert code_of(error, make_token, world, *arguments, **options) == code


def test_a_role_is_not_widened_by_a_token(world):
    make_token(world, Scope.DEVICES_CREATE, user="station")
    assert code_of(RefusedError, make_token, world, Scope.CERTS_MANAGE, user="station") == "role-lacks-scope"


def test_an_unknown_token_stands_for_nobody(world):
    assert code_of(UnauthenticatedError, world.read, lambda uow: authenticate(uow, "own_x", now=NOW)) == "token-unknown"


def test_a_token_ends_with_its_last_second(world):
    def add(uow):
        uow.accounts.add_token(
            world.factory.id,
            world.owner.user.polis_id,
            token_sha256=token_sha256("own_short"),
            scopes=frozenset({Scope.CERTS_READ}),
            expires_at=NOW + timedelta(seconds=1),
            now=NOW,
        )

    world.write(add)
    assert world.read(lambda uow: authenticate(uow, "own_short", now=NOW)).principal.user == world.owner.user
    late = NOW + timedelta(seconds=1)
    assert (
        code_of(UnauthenticatedError, world.read, lambda uow: authenticate(uow, "own_short", now=late))
        == "token-expired"
    )


def test_refused_logins_are_written_a_bounded_number_a_minute():
    logins, refusal = RefusedLogins(per_minute=2), UnauthenticatedError("token-unknown", "Unknown.")
    works = [logins.record(refusal, "192.0.2.1", NOW) for _ in range(5)]
    assert [work is not None for work in works] == [True, True, False, False, False]
    assert logins.record(refusal, "192.0.2.1", NOW + timedelta(minutes=1)) is not None


def test_what_was_left_out_is_told_by_the_next_event(world):
    logins, refusal = RefusedLogins(per_minute=1), UnauthenticatedError("token-unknown", "Unknown.")
    for seconds in (0, 1, 2, 60):
        work = logins.record(refusal, "192.0.2.1", NOW + timedelta(seconds=seconds))
        if work is not None:
            world.write(work)
    newest = world.read(lambda uow: uow.audit.list(None, limit=1))[0]
    assert (newest.kind, newest.details["left-out-before"]) == (EventKind.LOGIN_REFUSED, "2")
