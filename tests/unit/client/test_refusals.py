"""Unsuccessful answers as errors: whose turn it is, in the server's words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.client.refusals import error_of, is_certain
from ownroot.client.transport import Answer
from ownroot.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OwnrootError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)


def _answer(status: int, body: object = b"", **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer("PATCH", "http://127.0.0.1/x", status, named, raw)


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (400, InvalidInputError),
        (401, UnauthenticatedError),
        (403, RefusedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, InvalidInputError),
        (421, InvalidInputError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
        (302, InvalidInputError),
    ],
)
def test_status_chooses_the_family(status: int, family: type[OwnrootError]) -> None:
    assert type(error_of(_answer(status))) is family


def test_server_has_the_word() -> None:
    error = error_of(_answer(409, {"message": "It is taken.", "code": "taken", "errors": {"name": "line-1"}}))
    assert (error.code, error.detail, error.fields) == ("taken", "It is taken.", {"name": "line-1"})


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({"message": "Nothing here.", "code": "no-such-path"}, True),
        ({"detail": "Nothing here."}, True),
        ({"message": "No such device.", "code": "device-unknown"}, False),
    ],
)
def test_address_that_may_be_wrong_is_shown(said: dict[str, str], asked: bool) -> None:
    answer = _answer(404, said)
    assert (f"It was asked for {answer.method} {answer.url}." in error_of(answer).detail) is asked


def test_list_of_errors_is_numbered() -> None:
    assert error_of(_answer(400, {"msg": "No.", "errors": ["a", "b"]})).fields == {"1": "a", "2": "b"}


@pytest.mark.parametrize("code", ["Bad Code", "", "x" * 3 + "_", 5, None])
def test_code_that_is_not_one_gives_way_to_the_status(code: object) -> None:
    assert error_of(_answer(400, {"message": "No.", "code": code})).code == "http-400"


@pytest.mark.parametrize(
    ("text", "code", "detail"),
    [
        ("device-denied: It was deleted.\n", "device-denied", "It was deleted."),
        ("The device: it was deleted.", "http-403", "The device: it was deleted."),
    ],
)
def test_plain_text_of_a_gateway_is_its_reason(text: str, code: str, detail: str) -> None:
    error = error_of(_answer(403, text.encode(), content_type="text/plain; charset=utf-8"))
    assert (error.code, error.detail) == (code, detail)


def test_html_of_some_proxy_is_not_shown() -> None:
    assert "<" not in error_of(_answer(502, b"<html>", content_type="text/html")).detail


@pytest.mark.parametrize(("sent", "seconds"), [("7", 7), ("", 5), ("soon", 5), ("-3", 5), ("9" * 30, 86400)])
def test_retry_after_is_believed_within_reason(sent: str, seconds: int) -> None:
    error = error_of(_answer(503, b"", retry_after=sent))
    assert isinstance(error, UnavailableError)
    assert error.retry_after == seconds


@given(st.integers(300, 599), st.binary(max_size=200))
def test_no_body_breaks_the_reading(status: int, body: bytes) -> None:
    assert error_of(_answer(status, body)).detail


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 415, 429])
def test_refusing_answer_means_that_nothing_was_done(status: int) -> None:
    assert is_certain(error_of(_answer(status)))


@pytest.mark.parametrize("status", [200, 202, 408, 500, 502, 504])
def test_other_answer_leaves_open_what_was_done(status: int) -> None:
    assert not is_certain(error_of(_answer(status)))


@pytest.mark.parametrize(
    ("code", "certain"),
    [("no-connection", True), ("server-not-trusted", True), ("no-answer", False), ("connection-lost", False)],
)
def test_lost_answer_is_told_from_a_request_that_never_left(code: str, certain: bool) -> None:
    assert is_certain(RefusedError(code, "")) is certain


def test_code_a_server_chooses_does_not_make_its_failure_certain() -> None:
    assert not is_certain(error_of(_answer(500, {"message": "", "code": "no-connection"})))
