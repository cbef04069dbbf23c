"""Logins of OAuth clients in time: when tokens end, and what happens to one that is used again."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.errors import OwnrootError, RefusedError, UnauthenticatedError
from ownroot.services import manage_users
from ownroot.services.authenticate import authenticate
from ownroot.services.oauth_clients import create_client
from ownroot.services.oauth_logins import (
    ACCESS_LIFETIME,
    REFRESH_GRACE,
    REFRESH_LIFETIME,
    ClientCredentials,
    log_in_client,
    refresh_login,
)
from ownroot.services.scopes import Role, Scope
from ownroot.services.steps import run_blocking
from ownroot.services.sweep_logins import sweep_logins
from tests.support.registering import NOW, RegistrationWorld, registration_world

SECOND = timedelta(seconds=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as made:
        yield made


def make_client(world, *, expires_at=None, user=None):
    made = run_blocking(
        create_client("acme", user, [Scope.DEVICES_READ, Scope.CERTS_READ], now=NOW, expires_at=expires_at),
        world.database,
    )
    return ClientCredentials(made.client.client_id, made.secret)


def log_in(world, client, now=NOW):
    return run_blocking(log_in_client(client, None, peer="192.0.2.1", now=now), world.database)


def refresh(world, client, token, now):
    return run_blocking(refresh_login(client, token, now=now), world.database)


def refusal(error: type[OwnrootError], act, *arguments) -> str:
    with pytest.raises(error) as refused:
        act(*arguments)
    return refused.value.code


def code_at(world, token, now) -> str | None:
    try:
        world.read(lambda uow: authenticate(uow, token, now=now))
    except UnauthenticatedError as error:
        return error.code
    return None


def test_login_is_audited_and_its_access_token_ends_after_an_hour(world):
    client = make_client(world)
    issued = log_in(world, client)
    (event,) = world.events(EventKind.LOGIN_ACCEPTED)
    assert (event.subject, event.actor) == (client.client_id, world.owner.user.polis_id)
    assert code_at(world, issued.access_token, NOW + ACCESS_LIFETIME - SECOND) is None
    assert code_at(world, issued.access_token, NOW + ACCESS_LIFETIME) == "token-expired"


def test_refresh_token_works_to_its_last_second(world):
    client = make_client(world)
    issued = log_in(world, client)
    ends = NOW + REFRESH_LIFETIME
    assert refusal(UnauthenticatedError, refresh, world, client, issued.refresh_token, ends) == "refresh-expired"
    assert refresh(world, client, issued.refresh_token, ends - SECOND).refresh_token


def test_answer_that_got_lost_is_given_again_within_the_grace(world):
    client = make_client(world)
    first = log_in(world, client)
    lost = refresh(world, client, first.refresh_token, NOW)
    again = refresh(world, client, first.refresh_token, NOW + REFRESH_GRACE)
    for issued in (lost, again):
        assert code_at(world, issued.access_token, NOW + REFRESH_GRACE) is None
        assert refresh(world, client, issued.refresh_token, NOW + REFRESH_GRACE)


def test_reuse_after_the_grace_ends_the_whole_login_and_no_other(world):
    client = make_client(world)
    first, other = log_in(world, client), log_in(world, client)
    second = refresh(world, client, first.refresh_token, NOW)
    late = NOW + REFRESH_GRACE + SECOND
    assert refusal(RefusedError, refresh, world, client, first.refresh_token, late) == "refresh-reused"
    assert refusal(UnauthenticatedError, refresh, world, client, second.refresh_token, late) == "refresh-unknown"
    assert code_at(world, second.access_token, late) == "token-unknown"
    assert refresh(world, client, other.refresh_token, late)
    (event,) = world.events(EventKind.REFRESH_REUSED)
    assert event.subject == client.client_id


def test_client_with_an_end_gives_no_token_beyond_it(world):
    ends = NOW + timedelta(minutes=30)
    client = make_client(world, expires_at=ends)
    issued = log_in(world, client)
    assert issued.lifetime == timedelta(minutes=30)
    assert code_at(world, issued.access_token, ends) == "token-expired"
    assert refusal(UnauthenticatedError, refresh, world, client, issued.refresh_token, ends) == "client-expired"
    assert refusal(UnauthenticatedError, log_in, world, client, ends) == "client-expired"


def test_client_of_somebody_who_left_is_worth_nothing(world):
    client = make_client(world, user="ci")
    issued = log_in(world, client)
    run_blocking(manage_users.remove_member("acme", "ci", now=NOW), world.database)
    assert code_at(world, issued.access_token, NOW) == "token-unknown"
    assert refusal(UnauthenticatedError, log_in, world, client) == "client-unknown"


def test_tokens_shrink_with_the_role_of_their_user(world):
    client = make_client(world, user="ci")
    issued = log_in(world, client)
    assert issued.scopes == {Scope.DEVICES_READ, Scope.CERTS_READ}
    run_blocking(manage_users.add_member("acme", "ci", Role.AUDITOR, now=NOW), world.database)
    assert world.read(lambda uow: authenticate(uow, issued.access_token, now=NOW)).principal.role is Role.AUDITOR


def test_what_has_ended_is_swept_and_the_rest_stays(world):
    client = make_client(world)
    issued = log_in(world, client)
    at = NOW + ACCESS_LIFETIME
    world.write(lambda uow: sweep_logins(uow, now=at))
    assert code_at(world, issued.access_token, at) == "token-unknown"
    assert refresh(world, client, issued.refresh_token, at)
