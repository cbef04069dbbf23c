"""Every failure has a status and a body that existing clients can show."""

import pytest

from ownroot import errors
from ownroot.errors import OwnrootError, UnavailableError
from ownroot.web.problems import STATUS_BY_FAMILY, problem_response, problem_status
from tests.support.errors import walk_subclasses

# The owner's side has families of its own, which never reach a server; other tests may have imported them.
SERVER_FAMILIES = [
    family for family in walk_subclasses(OwnrootError) if not family.__module__.startswith("ownroot.console")
]


@pytest.mark.parametrize("family", SERVER_FAMILIES, ids=lambda family: family.__name__)
def test_every_error_family_has_a_row_in_the_table(family):
    assert any(base in STATUS_BY_FAMILY for base in family.__mro__), f"{family.__name__} has no HTTP status"


def test_a_family_without_a_row_is_a_fault_of_the_server():
    assert problem_status(OwnrootError("odd", "Odd.")) == 500


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInputError("x", "X."), 400),
        (errors.UnauthenticatedError("x", "X."), 401),
        (errors.RefusedError("x", "X."), 403),
        (errors.NotFoundError("x", "X."), 404),
        (errors.ConflictError("x", "X."), 409),
        (errors.InvalidInputError("body-too-large", "X."), 413),
        (errors.InvalidInputError("wrong-content-type", "X."), 415),
        (UnavailableError("x", "X.", retry_after=7), 503),
    ],
)
def test_statuses_are_those_of_the_protocol(error, status):
    assert problem_response(error).status_code == status


def test_unavailable_says_when_to_try_again():
    assert problem_response(UnavailableError("x", "X.", retry_after=7)).headers["retry-after"] == "7"


def test_body_is_a_flat_object_with_message_and_errors():
    error = errors.ConflictError("name-taken", "Taken.", fields={"name": "in use"}, context={"secret": "never"})
    response = problem_response(error)
    assert response.headers["content-type"] == "application/json"
    assert response.body == b'{"message":"Taken.","errors":{"name":"in use"},"code":"name-taken"}'
