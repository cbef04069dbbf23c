"""Facts, factories, users, roles and tokens."""

from datetime import timedelta

import pytest

from ownroot.errors import ConflictError
from ownroot.pki.names import FactoryName
from ownroot.services.ports import Database
from ownroot.services.records import Factory, Member, User
from ownroot.services.scopes import Role, Scope
from tests.support.stored_values import NOW, OWNER, make_factory, sha256

ADA = OWNER
BOB = User("ffffffffffffffffffffffff", "bob")


def test_fact_is_stored_once(database: Database) -> None:
    assert database.read(lambda uow: uow.facts.get("gateway-name")) is None
    assert database.write(lambda uow: uow.facts.put_once("gateway-name", "first")).result() == "first"
    assert database.write(lambda uow: uow.facts.put_once("gateway-name", "second")).result() == "first"
    assert database.read(lambda uow: uow.facts.get("gateway-name")) == "first"


def test_empty_fact_stays_empty(database: Database) -> None:
    database.write(lambda uow: uow.facts.put_once("note", "")).result()
    assert database.write(lambda uow: uow.facts.put_once("note", "later")).result() == ""


def test_forgotten_fact_may_be_fixed_anew(database: Database) -> None:
    database.write(lambda uow: uow.facts.put_once("note", "first")).result()
    database.write(lambda uow: uow.facts.forget("note")).result()
    assert database.write(lambda uow: uow.facts.put_once("note", "second")).result() == "second"


def test_factory_reads_back_as_it_was_made(database: Database) -> None:
    made = [make_factory(database, "b", is_default=True), make_factory(database, "a")]
    assert database.read(lambda uow: uow.factories.find("b")) == made[0]
    assert database.read(lambda uow: uow.factories.find("B")) is None
    assert database.read(lambda uow: uow.factories.list()) == made[::-1]


@pytest.mark.parametrize(
    ("name", "gateway_name", "is_default", "code"),
    [
        ("acme", "new.test", False, "factory-exists"),
        ("new", "acme.gateway.test", False, "gateway-name-taken"),
        ("new", "ostree.acme.gateway.test", False, "gateway-name-taken"),
        ("new", "new.test", True, "default-factory-exists"),
    ],
)
def test_names_and_the_default_are_taken_once(
    database: Database, name: str, gateway_name: str, is_default: bool, code: str
) -> None:
    make_factory(database, is_default=True)
    with pytest.raises(ConflictError) as refused:
        database.write(
            lambda uow: uow.factories.add(FactoryName(name), gateway_name=gateway_name, is_default=is_default, now=NOW)
        ).result()
    assert refused.value.code == code
    assert len(database.read(lambda uow: uow.factories.list())) == 1


def test_gateway_name_whose_ostree_name_is_taken_is_refused(database: Database) -> None:
    def add(name: str, gateway_name: str) -> None:
        database.write(
            lambda uow: uow.factories.add(FactoryName(name), gateway_name=gateway_name, is_default=False, now=NOW)
        ).result()

    add("first", "ostree.shop.test")
    with pytest.raises(ConflictError) as refused:
        add("second", "shop.test")
    assert refused.value.code == "gateway-name-taken"


def test_user_is_found_by_id_and_name(database: Database) -> None:
    database.write(lambda uow: uow.accounts.add_user(ADA)).result()
    assert database.read(lambda uow: uow.accounts.find_user(ADA.polis_id)) == ADA
    assert database.read(lambda uow: uow.accounts.find_user_by_name("ada")) == ADA
    assert database.read(lambda uow: uow.accounts.find_user_by_name("Ada")) is None


@pytest.mark.parametrize(
    ("user", "code"),
    [(User(ADA.polis_id, "other"), "user-exists"), (User(BOB.polis_id, "ada"), "user-name-taken")],
)
def test_user_id_and_name_are_taken_once(database: Database, user: User, code: str) -> None:
    database.write(lambda uow: uow.accounts.add_user(ADA)).result()
    with pytest.raises(ConflictError) as refused:
        database.write(lambda uow: uow.accounts.add_user(user)).result()
    assert refused.value.code == code


def test_roles_are_set_per_factory(database: Database, factory: Factory) -> None:
    other = make_factory(database, "other")
    for user in (BOB, ADA):
        database.write(lambda uow, user=user: uow.accounts.add_user(user)).result()
    for place, user, role in ((factory, ADA, Role.OWNER), (factory, BOB, Role.MEMBER), (other, BOB, Role.ADMIN)):
        database.write(
            lambda uow, place=place, user=user, role=role: uow.accounts.set_role(place.id, user.polis_id, role)
        ).result()
    database.write(lambda uow: uow.accounts.set_role(factory.id, BOB.polis_id, Role.AUDITOR)).result()

    expected = [Member(ADA, Role.OWNER), Member(BOB, Role.AUDITOR)]
    assert database.read(lambda uow: uow.accounts.members(factory.id)) == expected
    assert database.read(lambda uow: uow.accounts.find_member(factory.id, BOB.polis_id)) == expected[1]
    assert database.read(lambda uow: uow.accounts.find_member(other.id, ADA.polis_id)) is None
    memberships = database.read(lambda uow: uow.accounts.memberships(BOB.polis_id))
    assert memberships == [(factory, Role.AUDITOR), (other, Role.ADMIN)]


def test_role_of_an_unknown_user_is_refused(database: Database, factory: Factory) -> None:
    with pytest.raises(ConflictError) as refused:
        database.write(lambda uow: uow.accounts.set_role(factory.id, ADA.polis_id, Role.OWNER)).result()
    assert refused.value.code == "reference-missing"


@pytest.mark.parametrize("lifetime", [None, timedelta(days=1)])
def test_token_is_found_by_its_hash(database: Database, factory: Factory, lifetime: timedelta | None) -> None:
    database.write(lambda uow: uow.accounts.add_user(ADA)).result()
    made = database.write(
        lambda uow: uow.accounts.add_token(
            factory.id,
            ADA.polis_id,
            token_sha256=sha256("token"),
            scopes=frozenset({Scope.DEVICES_CREATE, Scope.CERTS_READ}),
            expires_at=None if lifetime is None else NOW + lifetime,
            now=NOW,
        )
    ).result()
    assert database.read(lambda uow: uow.accounts.find_token(sha256("token"))) == made
    assert database.read(lambda uow: uow.accounts.find_token(sha256("Token"))) is None


def test_token_is_stored_once(database: Database, factory: Factory) -> None:
    def add() -> None:
        database.write(
            lambda uow: uow.accounts.add_token(
                factory.id, ADA.polis_id, token_sha256=sha256("t"), scopes=frozenset(), expires_at=None, now=NOW
            )
        ).result()

    database.write(lambda uow: uow.accounts.add_user(ADA)).result()
    add()
    with pytest.raises(ConflictError) as refused:
        add()
    assert refused.value.code == "token-exists"
