"""What a password may be, and that nothing but itself opens."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from ownroot.errors import InvalidInputError
from ownroot.services.passwords import NOBODYS_HASH, HashCost, hash_password, is_password

CHEAP = HashCost(memory_kib=64, passes=1)
RIGHT = "correct horse battery"


def test_password_is_kept_as_argon2id_with_its_parameters() -> None:
    phc = hash_password(RIGHT)
    assert phc.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert RIGHT not in phc
    assert is_password(RIGHT, phc)


@pytest.mark.parametrize("wrong", [RIGHT + " ", RIGHT.upper(), "", "x" * 5000, "\ud800" * 12])
def test_anything_else_is_not_it(wrong: str) -> None:
    assert not is_password(wrong, hash_password(RIGHT, cost=CHEAP))


def test_the_same_password_is_hashed_differently_each_time() -> None:
    assert hash_password(RIGHT, cost=CHEAP) != hash_password(RIGHT, cost=CHEAP)


def test_unicode_forms_of_one_password_are_one_password() -> None:
    assert is_password("cafe\u0301 au lait!", hash_password("caf\u00e9 au lait!", cost=CHEAP))


def test_nobody_has_no_password_and_is_compared_with_all_the_same() -> None:
    assert not is_password(RIGHT, None)
    assert NOBODYS_HASH.split("$")[:4] == hash_password(RIGHT).split("$")[:4]


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short nin", "password-too-short"),
        ("two lines\nof it", "password-unreadable"),
        ("ä" * 513, "password-too-long"),
    ],
)
def test_password_that_none_may_have_is_refused(password: str, code: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        hash_password(password, cost=CHEAP)
    assert refused.value.code == code


def test_ten_characters_are_enough() -> None:
    assert is_password("ten chars!", hash_password("ten chars!", cost=CHEAP))


def test_many_comparisons_at_once_come_to_an_end() -> None:
    phc = hash_password(RIGHT)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: is_password(RIGHT, phc), range(8))) == {True}
