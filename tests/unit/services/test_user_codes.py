"""Codes that people copy by hand."""

import pytest

from ownroot.errors import InvalidInputError
from ownroot.services.user_codes import ALPHABET, new_user_code, parse_user_code, shown_user_code


def test_code_has_eight_letters_nobody_mistakes() -> None:
    codes = {new_user_code() for _ in range(200)}
    assert len(codes) == 200
    assert set("".join(codes)) == set(ALPHABET)
    assert not set(ALPHABET) & set("AEIOUY0123456789")


def test_every_letter_is_as_likely_as_another() -> None:
    octets = iter([255, 240, 239, *range(7)])
    assert new_user_code(lambda _count: bytes([next(octets)])) == ALPHABET[-1] + ALPHABET[:7]


@pytest.mark.parametrize("typed", ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk ", "BCDF–GHJK", "b.c.d.f.g.h.j.k"])  # noqa: RUF001
def test_code_is_read_as_people_type_it(typed: str) -> None:
    assert parse_user_code(typed) == "BCDFGHJK"
    assert shown_user_code(parse_user_code(typed)) == "BCDF-GHJK"


@pytest.mark.parametrize("typed", ["", "BCDF-GHJ", "BCDF-GHJKL", "ACDF-GHJK", "BCDF-GHJ1", "BCDF/GHJK", "ßCDF-GHJK"])
def test_what_is_no_code_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_user_code(typed)
    assert refused.value.code == "user-code-malformed"
