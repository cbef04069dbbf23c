import pytest

from ownroot.errors import (
    ConflictError,
    InvalidInputError,
    KeyStoreError,
    NotFoundError,
    OwnrootError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)
from ownroot.gateway.problems import error_response


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInputError("x-bad", "Bad."), 400),
        (UnauthenticatedError("x-bad", "Bad."), 401),
        (RefusedError("x-bad", "Bad."), 403),
        (NotFoundError("x-bad", "Bad."), 404),
        (ConflictError("x-bad", "Bad."), 409),
    ],
)
def test_what_the_device_did_is_final_and_names_the_rule(error: OwnrootError, status: int) -> None:
    answer = error_response(error)

    assert (answer.status, answer.body, answer.headers, answer.close) == (status, b"x-bad: Bad.\n", (), False)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(UnavailableError("x-away", "Away.", retry_after=7), b"7"), (KeyStoreError("x-away", "Away."), b"30")],
)
def test_what_the_device_did_not_do_says_when_to_come_again(error: OwnrootError, seconds: bytes) -> None:
    answer = error_response(error)

    assert (answer.status, answer.headers, answer.close) == (503, ((b"Retry-After", seconds),), True)
