"""Error bodies: written in the one shape every client shows, read in all shapes seen."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import ConflictError
from ownroot.wire.documents import write_document
from ownroot.wire.errors import ErrorBody, error_body, read_error_body


def test_body_has_message_errors_and_code_and_never_the_context() -> None:
    error = ConflictError("taken", "It is taken.", fields={"name": "line-1"}, context={"secret": "x"})
    assert json.loads(write_document(error_body(error))) == {
        "message": "It is taken.",
        "errors": {"name": "line-1"},
        "code": "taken",
    }


def test_error_without_fields_leaves_errors_out() -> None:
    assert json.loads(write_document(error_body(ConflictError("taken", "It is taken.")))).keys() == {"message", "code"}


@pytest.mark.parametrize(
    ("document", "body"),
    [
        ({"message": "M"}, ErrorBody(message="M")),
        ({"msg": "A", "message": "B"}, ErrorBody(message="A")),
        ({"detail": "D"}, ErrorBody(message="D")),
        ({"message": "M", "errors": ["a", 1]}, ErrorBody(message="M", errors=("a", "1"))),
        ({"message": "M", "errors": {"f": ["a", "b"]}}, ErrorBody(message="M", errors={"f": "a; b"})),
        ({"message": "M", "errors": "e"}, ErrorBody(message="M", errors=("e",))),
    ],
)
def test_bodies_of_other_servers_are_understood(document: object, body: ErrorBody) -> None:
    assert read_error_body(json.dumps(document).encode()) == body


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"message":5}', b'{"message":""}', b"\xff", b"[" * 10_000])
def test_body_that_says_nothing_is_none(raw: bytes) -> None:
    assert read_error_body(raw) is None


@given(st.binary(max_size=200))
def test_no_octets_break_the_reading(raw: bytes) -> None:
    read_error_body(raw)
