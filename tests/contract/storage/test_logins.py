"""Passwords, sessions, OAuth clients and their tokens, devices that wait to be allowed."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ownroot.errors import ConflictError
from ownroot.pki.names import DeviceUuid
from ownroot.services.login_ports import (
    AuthorizationRequest,
    AuthorizationState,
    NewToken,
    OAuthClient,
    OAuthToken,
    OAuthTokenKind,
)
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.records import Factory
from ownroot.services.scopes import Role, Scope
from ownroot.storage import open_database
from ownroot.storage.options import StorageOptions
from tests.support.stored_values import NOW, OWNER, make_factory, sha256

HOUR = timedelta(hours=1)


@pytest.fixture
def people(database: Database) -> Database:
    database.write(lambda uow: uow.accounts.add_user(OWNER)).result()
    return database


def a_client(factory: Factory, **changes: Any) -> OAuthClient:
    values: dict[str, Any] = {
        "id": 0,
        "client_id": "c1",
        "secret_sha256": sha256("secret"),
        "factory_id": factory.id,
        "polis_id": OWNER.polis_id,
        "scopes": frozenset({Scope.DEVICES_READ, Scope.USERS_READ}),
        "created_at": NOW,
        "expires_at": None,
    }
    return OAuthClient(**(values | changes))


def a_request(factory: Factory, name: str = "dev-1", **changes: Any) -> AuthorizationRequest:
    values: dict[str, Any] = {
        "factory_id": factory.id,
        "uuid": DeviceUuid(name),
        "code_sha256": sha256(f"code of {name}"),
        "user_code": f"CODE-{name}",
        "peer": "192.0.2.1",
        "created_at": NOW,
        "expires_at": NOW + HOUR,
    }
    return AuthorizationRequest(**(values | changes))


# --- people ---------------------------------------------------------------------------------------------------------


def test_password_is_replaced_and_ends_the_sessions(people: Database) -> None:
    def sign_in(uow: UnitOfWork) -> None:
        uow.logins.set_password(OWNER.polis_id, "$first", now=NOW)
        uow.logins.add_session(OWNER.polis_id, secret_sha256=sha256("s"), now=NOW, expires_at=NOW + HOUR)

    assert people.read(lambda uow: (uow.logins.find_password(OWNER.polis_id), uow.logins.with_password())) == (
        None,
        set(),
    )
    people.write(sign_in).result()
    session = people.read(lambda uow: uow.logins.find_session(sha256("s")))
    assert session is not None
    assert (session.polis_id, session.expires_at) == (OWNER.polis_id, NOW + HOUR)

    people.write(lambda uow: uow.logins.set_password(OWNER.polis_id, "$second", now=NOW)).result()
    assert people.read(lambda uow: uow.logins.find_password(OWNER.polis_id)) == "$second"
    assert people.read(lambda uow: uow.logins.find_session(sha256("s"))) is None
    assert people.read(lambda uow: uow.logins.with_password()) == {OWNER.polis_id}


def test_sessions_are_bounded_per_user_and_swept(address: str) -> None:
    database = open_database(address, options=StorageOptions(sessions_kept=2))
    database.write(lambda uow: uow.accounts.add_user(OWNER)).result()

    def add(name: str, minutes: int) -> None:
        ends = NOW + timedelta(minutes=minutes)
        database.write(
            lambda uow: uow.logins.add_session(OWNER.polis_id, secret_sha256=sha256(name), now=NOW, expires_at=ends)
        ).result()

    for number in range(3):
        add(f"s{number}", 10 + number)
    left = [database.read(lambda uow, n=n: uow.logins.find_session(sha256(f"s{n}"))) is not None for n in range(3)]  # type: ignore[misc]  # the loop's value is bound
    assert left == [False, True, True]
    database.write(lambda uow: uow.logins.sweep(now=NOW + timedelta(minutes=11))).result()
    assert database.read(lambda uow: uow.logins.find_session(sha256("s1"))) is None
    database.write(lambda uow: uow.logins.delete_session(sha256("s2"))).result()
    assert database.read(lambda uow: uow.logins.find_session(sha256("s2"))) is None
    database.close()


def test_member_leaves_with_the_tokens_of_that_factory_alone(people: Database, factory: Factory) -> None:
    other = make_factory(people, "other")

    def join(uow: UnitOfWork) -> None:
        for place in (factory, other):
            uow.accounts.set_role(place.id, OWNER.polis_id, Role.MEMBER)
            uow.accounts.add_token(
                place.id,
                OWNER.polis_id,
                token_sha256=sha256(f"token of {place.name}"),
                scopes=frozenset({Scope.DEVICES_READ}),
                expires_at=NOW + HOUR,
                now=NOW,
            )

    people.write(join).result()
    (token,) = people.read(lambda uow: uow.accounts.list_tokens(factory.id))
    assert (token.polis_id, token.expires_at) == (OWNER.polis_id, NOW + HOUR)
    people.write(lambda uow: uow.accounts.remove_member(factory.id, OWNER.polis_id)).result()
    assert people.read(lambda uow: uow.accounts.list_tokens(factory.id)) == []
    assert people.read(lambda uow: uow.accounts.members(factory.id)) == []
    assert len(people.read(lambda uow: uow.accounts.list_tokens(other.id))) == 1
    assert people.read(lambda uow: uow.accounts.list_users()) == [OWNER]


def test_token_is_deleted_by_its_factory_alone(people: Database, factory: Factory) -> None:
    other = make_factory(people, "other")
    token = people.write(
        lambda uow: uow.accounts.add_token(
            factory.id, OWNER.polis_id, token_sha256=sha256("t"), scopes=frozenset(), expires_at=None, now=NOW
        )
    ).result()
    assert not people.write(lambda uow: uow.accounts.delete_token(other.id, token.id)).result()
    assert people.write(lambda uow: uow.accounts.delete_token(factory.id, token.id)).result()
    assert people.read(lambda uow: uow.accounts.find_token(sha256("t"))) is None


# --- clients --------------------------------------------------------------------------------------------------------


def test_client_reads_back_as_it_was_made_and_its_name_is_taken_once(people: Database, factory: Factory) -> None:
    client = people.write(lambda uow: uow.oauth.add_client(a_client(factory, expires_at=NOW + HOUR))).result()
    assert people.read(lambda uow: uow.oauth.find_client("c1")) == client
    assert people.read(lambda uow: uow.oauth.list_clients(factory.id)) == [client]
    assert people.read(lambda uow: uow.oauth.find_client("C1")) is None
    with pytest.raises(ConflictError) as refused:
        people.write(lambda uow: uow.oauth.add_client(a_client(factory))).result()
    assert refused.value.code == "client-exists"


def test_tokens_of_a_login_are_found_replaced_once_and_go_with_it(people: Database, factory: Factory) -> None:
    def log_in(uow: UnitOfWork) -> OAuthClient:
        client = uow.oauth.add_client(a_client(factory))
        grant = uow.oauth.add_grant(client, frozenset({Scope.DEVICES_READ}), now=NOW)
        uow.oauth.add_tokens(grant, [NewToken(OAuthTokenKind.REFRESH, sha256("r"), NOW + HOUR)])
        return client

    client = people.write(log_in).result()

    def found() -> OAuthToken | None:
        return people.read(lambda uow: uow.oauth.find_token(sha256("r")))

    token = found()
    assert token is not None
    assert (token.client, token.scopes, token.kind) == (client, {Scope.DEVICES_READ}, OAuthTokenKind.REFRESH)
    assert (token.expires_at, token.replaced_at) == (NOW + HOUR, None)
    for at in (NOW, NOW + timedelta(minutes=1)):
        people.write(
            lambda uow, at=at: uow.oauth.replace_token(token.id, now=at, forget_at=NOW + 2 * HOUR)  # type: ignore[misc]  # the loop's value is bound
        ).result()
    assert found() == replace(token, replaced_at=NOW, expires_at=NOW + 2 * HOUR)
    people.write(lambda uow: uow.oauth.delete_grant(token.grant_id)).result()
    assert found() is None
    people.write(lambda uow: uow.oauth.delete_client(client)).result()
    assert people.read(lambda uow: uow.oauth.find_client("c1")) is None


def test_client_goes_with_its_tokens_and_ended_ones_are_swept(people: Database, factory: Factory) -> None:
    def log_in(uow: UnitOfWork) -> OAuthClient:
        client = uow.oauth.add_client(a_client(factory))
        for name, hours in (("short", 1), ("long", 3)):
            grant = uow.oauth.add_grant(client, client.scopes, now=NOW)
            uow.oauth.add_tokens(grant, [NewToken(OAuthTokenKind.ACCESS, sha256(name), NOW + hours * HOUR)])
        return client

    client = people.write(log_in).result()
    people.write(lambda uow: uow.oauth.sweep(now=NOW + HOUR)).result()
    assert people.read(lambda uow: uow.oauth.find_token(sha256("short"))) is None
    assert people.read(lambda uow: uow.oauth.find_token(sha256("long"))) is not None
    people.write(lambda uow: uow.oauth.delete_client(client)).result()
    assert people.read(lambda uow: uow.oauth.find_token(sha256("long"))) is None


def test_logins_of_a_client_are_bounded(address: str) -> None:
    database = open_database(address, options=StorageOptions(grants_kept=2))
    factory = make_factory(database)
    database.write(lambda uow: uow.accounts.add_user(OWNER)).result()
    client = database.write(lambda uow: uow.oauth.add_client(a_client(factory))).result()
    for number in range(4):

        def log_in(uow: UnitOfWork, number: int = number) -> None:
            grant = uow.oauth.add_grant(client, client.scopes, now=NOW)
            uow.oauth.add_tokens(grant, [NewToken(OAuthTokenKind.ACCESS, sha256(str(number)), NOW + HOUR)])

        database.write(log_in).result()
    left = [database.read(lambda uow, n=n: uow.oauth.find_token(sha256(str(n)))) is not None for n in range(4)]  # type: ignore[misc]  # the loop's value is bound
    assert left == [False, False, True, True]
    database.close()


def test_unused_refresh_tokens_are_counted_and_forgotten_up_to_one(people: Database, factory: Factory) -> None:
    def log_in(uow: UnitOfWork) -> None:
        client = uow.oauth.add_client(a_client(factory))
        for login in ("mine", "other"):
            grant = uow.oauth.add_grant(client, client.scopes, now=NOW)
            names = [f"{login}-{number}" for number in range(3)]
            uow.oauth.add_tokens(grant, [NewToken(OAuthTokenKind.REFRESH, sha256(n), NOW + HOUR) for n in names])
            uow.oauth.add_tokens(grant, [NewToken(OAuthTokenKind.ACCESS, sha256(f"{login}-a"), NOW + HOUR)])

    people.write(log_in).result()

    def find(name: str) -> OAuthToken | None:
        return people.read(lambda uow: uow.oauth.find_token(sha256(name)))

    used, last = find("mine-0"), find("mine-2")
    assert used is not None
    assert last is not None

    def count(minutes: int = 0) -> int:
        at = NOW + timedelta(minutes=minutes)
        return people.read(lambda uow: uow.oauth.count_unused(last.grant_id, now=at))

    people.write(lambda uow: uow.oauth.replace_token(used.id, now=NOW, forget_at=NOW + HOUR)).result()
    assert (count(), count(60)) == (2, 0)
    people.write(lambda uow: uow.oauth.forget_unused(last)).result()
    left = [name for name in ("mine-0", "mine-1", "mine-2", "mine-a", "other-0") if find(name) is not None]
    assert left == ["mine-0", "mine-2", "mine-a", "other-0"]


def test_token_has_scopes_of_its_own_or_those_of_its_login(people: Database, factory: Factory) -> None:
    narrow = frozenset({Scope.USERS_READ})

    def log_in(uow: UnitOfWork) -> None:
        client = uow.oauth.add_client(a_client(factory))
        grant = uow.oauth.add_grant(client, client.scopes, now=NOW)
        tokens = [
            NewToken(OAuthTokenKind.ACCESS, sha256("narrow"), NOW + HOUR, narrow),
            NewToken(OAuthTokenKind.REFRESH, sha256("whole"), NOW + HOUR),
        ]
        uow.oauth.add_tokens(grant, tokens)

    people.write(log_in).result()
    found = [people.read(lambda uow, n=n: uow.oauth.find_token(sha256(n))) for n in ("narrow", "whole")]  # type: ignore[misc]  # the loop's value is bound
    assert [token and token.scopes for token in found] == [narrow, {Scope.DEVICES_READ, Scope.USERS_READ}]


def test_tokens_of_a_login_are_bounded(address: str) -> None:
    database = open_database(address, options=StorageOptions(login_tokens_kept=2))
    factory = make_factory(database)
    database.write(lambda uow: uow.accounts.add_user(OWNER)).result()
    client = database.write(lambda uow: uow.oauth.add_client(a_client(factory))).result()
    grants = [
        database.write(lambda uow: uow.oauth.add_grant(client, client.scopes, now=NOW)).result() for _ in range(2)
    ]
    for number in range(4):
        token = NewToken(OAuthTokenKind.REFRESH, sha256(str(number)), NOW + HOUR)
        grant = grants[0 if number else 1]
        database.write(lambda uow, g=grant, t=token: uow.oauth.add_tokens(g, [t])).result()  # type: ignore[misc]  # the loop's values are bound
    left = [database.read(lambda uow, n=n: uow.oauth.find_token(sha256(str(n)))) is not None for n in range(4)]  # type: ignore[misc]  # the loop's value is bound
    assert left == [True, False, True, True]
    database.close()


# --- devices --------------------------------------------------------------------------------------------------------


def test_authorization_goes_from_pending_to_a_token_for_one_key(people: Database, factory: Factory) -> None:
    devices = people
    assert devices.write(lambda uow: uow.device_authorizations.add(a_request(factory))).result()
    found = devices.read(lambda uow: uow.device_authorizations.find_by_code(sha256("code of dev-1")))
    assert found is not None
    assert found == devices.read(lambda uow: uow.device_authorizations.find_by_user_code("CODE-dev-1"))
    assert (found.state, found.decided_by, found.spki_sha256) == (AuthorizationState.PENDING, None, None)

    def redeem(uow: UnitOfWork) -> bool:
        return uow.device_authorizations.redeem(found.id, token_sha256=sha256("t"), expires_at=NOW + 2 * HOUR)

    def decide(state: AuthorizationState) -> bool:
        return devices.write(lambda uow: uow.device_authorizations.decide(found.id, state, by=OWNER.polis_id)).result()

    def bind(key: str) -> bool:
        return devices.write(lambda uow: uow.device_authorizations.bind_key(found.id, sha256(key))).result()

    assert not devices.write(redeem).result()
    assert decide(AuthorizationState.ALLOWED)
    assert not decide(AuthorizationState.DENIED)
    assert not bind("k1")
    assert devices.write(redeem).result()
    assert not devices.write(redeem).result()
    assert [bind("k1"), bind("k1"), bind("k2")] == [True, True, False]
    spent = devices.read(lambda uow: uow.device_authorizations.find_by_token(sha256("t")))
    assert spent == replace(
        found,
        state=AuthorizationState.REDEEMED,
        decided_by=OWNER.polis_id,
        expires_at=NOW + 2 * HOUR,
        spki_sha256=sha256("k1"),
    )


def test_pending_ones_are_counted_replaced_by_the_same_asker_and_swept(people: Database, factory: Factory) -> None:
    def add(name: str, **changes: Any) -> bool:
        request = a_request(factory, name, **changes)
        return people.write(lambda uow: uow.device_authorizations.add(request)).result()

    def count(peer: str, minutes: int = 0) -> tuple[int, int]:
        at = NOW + timedelta(minutes=minutes)
        return people.read(lambda uow: uow.device_authorizations.count_pending(factory.id, peer, now=at))

    assert add("dev-1")
    assert add("dev-1", code_sha256=sha256("again"), user_code="AGAIN")
    assert people.read(lambda uow: uow.device_authorizations.find_by_user_code("CODE-dev-1")) is None
    assert add("dev-2", peer="192.0.2.2")
    assert not add("dev-3", user_code="AGAIN")
    assert (count("192.0.2.1"), count("192.0.2.9"), count("192.0.2.1", 60)) == ((2, 1), (2, 0), (0, 0))
    people.write(lambda uow: uow.device_authorizations.sweep(before=NOW + HOUR)).result()
    assert people.read(lambda uow: uow.device_authorizations.find_by_user_code("AGAIN")) is None
