"""Names and numbers that lead to a factory or a user, or to a refusal with a name."""

import pytest

from ownroot.errors import NotFoundError
from ownroot.services.known_accounts import factory_of, known_factory, known_user
from tests.support.registering import registration_world


@pytest.fixture
def world(tmp_path):
    with registration_world(tmp_path) as made:
        yield made


def test_factory_is_found_by_its_name_and_by_its_number(world):
    assert world.read(lambda uow: known_factory(uow, "acme")) == world.factory
    assert world.read(lambda uow: factory_of(uow, world.factory.id)) == world.factory


@pytest.mark.parametrize(
    ("find", "code"),
    [
        (lambda uow: known_factory(uow, "acm"), "factory-unknown"),
        (lambda uow: factory_of(uow, 4711), "factory-unknown"),
        (lambda uow: known_user(uow, "nobody"), "user-unknown"),
    ],
)
def test_what_is_not_there_is_refused_by_name(world, find, code):
    with pytest.raises(NotFoundError) as refused:
        world.read(find)
    assert refused.value.code == code
