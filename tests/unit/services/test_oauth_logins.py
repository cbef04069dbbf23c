"""Logins of OAuth clients in time: when tokens end, and what happens to one that is used again."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.audit.events import EventKind
from ownroot.errors import InvalidInputError, OwnrootError, RefusedError, UnauthenticatedError
from ownroot.services import manage_users
from ownroot.services.authenticate import authenticate
from ownroot.services.oauth_clients import create_client
from ownroot.services.oauth_logins import (
    ACCESS_LIFETIME,
    REFRESH_GRACE,
    REFRESH_LIFETIME,
    UNUSED_REFRESH_TOKENS,
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


def refresh(world, client, token, now, scope=None):
    return run_blocking(refresh_login(client, token, scope, now=now), world.database)


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


def test_an_answer_is_given_again_so_often_and_then_the_login_ends(world):
    client = make_client(world)
    first, other = log_in(world, client), log_in(world, client)
    answers = [refresh(world, client, first.refresh_token, NOW) for _ in range(UNUSED_REFRESH_TOKENS)]
    assert refusal(RefusedError, refresh, world, client, first.refresh_token, NOW) == "refresh-reused"
    for issued in answers:
        assert code_at(world, issued.access_token, NOW) == "token-unknown"
        assert refusal(UnauthenticatedError, refresh, world, client, issued.refresh_token, NOW) == "refresh-unknown"
    assert refresh(world, client, other.refresh_token, NOW)
    assert len(world.events(EventKind.REFRESH_REUSED)) == 1


def test_successor_that_arrived_makes_the_lost_ones_before_it_worthless(world):
    client = make_client(world)
    first = log_in(world, client)
    lost, arrived = (refresh(world, client, first.refresh_token, NOW) for _ in range(2))
    refresh(world, client, arrived.refresh_token, NOW + SECOND)
    assert refusal(UnauthenticatedError, refresh, world, client, lost.refresh_token, NOW) == "refresh-unknown"


def test_lost_answers_of_many_hours_do_not_end_a_login(world):
    client = make_client(world)
    token, now = log_in(world, client).refresh_token, NOW
    for _ in range(2 * UNUSED_REFRESH_TOKENS):
        refresh(world, client, token, now)
        token = refresh(world, client, token, now).refresh_token
        now += ACCESS_LIFETIME
    assert refresh(world, client, token, now)


def scopes_of(world, token):
    return world.read(lambda uow: authenticate(uow, token, now=NOW)).principal.scopes


def test_refresh_narrows_the_access_token_and_not_the_login(world):
    client = make_client(world)
    narrow = refresh(world, client, log_in(world, client).refresh_token, NOW, "acme:devices:read")
    assert narrow.scopes == scopes_of(world, narrow.access_token) == {Scope.DEVICES_READ}
    whole = refresh(world, client, narrow.refresh_token, NOW)
    assert whole.scopes == scopes_of(world, whole.access_token) == {Scope.DEVICES_READ, Scope.CERTS_READ}


@pytest.mark.parametrize("scope", ["acme:devices:read acme:certs:manage", " "])
def test_refresh_widens_nothing_and_leaves_the_refused_token_unused(world, scope):
    client = make_client(world)
    issued = log_in(world, client)
    code = refusal(InvalidInputError, refresh, world, client, issued.refresh_token, NOW, scope)
    assert code == "scope-not-granted"
    assert refresh(world, client, issued.refresh_token, NOW + REFRESH_GRACE + SECOND)


def test_login_for_less_is_not_widened_to_all_of_its_client_by_a_refresh(world):
    client = make_client(world)
    issued = run_blocking(log_in_client(client, "devices:read", peer="192.0.2.1", now=NOW), world.database)
    code = refusal(InvalidInputError, refresh, world, client, issued.refresh_token, NOW, "devices:read certs:read")
    assert code == "scope-not-granted"


def test_scopes_of_an_answer_may_be_sent_back_with_the_implied_ones(world):
    made = run_blocking(create_client("acme", None, [Scope.DEVICES_READ_UPDATE], now=NOW), world.database)
    client = ClientCredentials(made.client.client_id, made.secret)
    issued = log_in(world, client)
    spelled = " ".join(sorted(issued.scopes))
    assert Scope.DEVICES_READ in issued.scopes
    assert refresh(world, client, issued.refresh_token, NOW, spelled).scopes == issued.scopes


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
