"""Forms as programs of the field and browsers write them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError
from ownroot.wire.documents import write_document
from ownroot.wire.forms import read_form
from ownroot.wire.oauth import (
    DEVICE_CODE,
    AuthorizationForm,
    TokenForm,
    TokenReply,
    oauth_error_body,
    read_token_reply,
)


@pytest.mark.parametrize(
    "body",
    [
        b"client_id=dev-1&scope=acme:devices:create",
        b"client_id=dev-1&scope=acme%3Adevices%3Acreate",
        b"scope=acme%3adevices:create&client_id=dev%2D1&more=x&empty=",
    ],
)
def test_raw_and_encoded_forms_read_the_same(body: bytes) -> None:
    assert read_form(body, AuthorizationForm) == AuthorizationForm(client_id="dev-1", scope="acme:devices:create")


def test_raw_grant_type_is_read_with_its_colons() -> None:
    assert read_form(f"grant_type={DEVICE_CODE}&device_code=x".encode(), TokenForm).grant_type == DEVICE_CODE


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"client_id=a&client_id=a&scope=s", "doubled-parameter"),
        (b"client_id=a&client%5fid=b&scope=s", "doubled-parameter"),
        (b"client_id=a&scope=", "bad-field"),
        (b"client_id=a\x00&scope=s", "bad-form"),
        (b"client_id=%00&scope=s", "bad-form"),
        (b"client_id=\xff&scope=s", "bad-form"),
        (b"client_id=%ff&scope=s", "bad-form"),
        (b"&".join([b"a=b"] * 51), "bad-form"),
    ],
)
def test_what_is_no_form_of_ours_is_refused_by_name(body: bytes, code: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_form(body, AuthorizationForm)
    assert refused.value.code == code


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail(body: bytes) -> None:
    with suppress(InvalidInputError):
        read_form(body, TokenForm)


def test_token_reply_is_read_as_it_is_written() -> None:
    reply = TokenReply(access_token="a", expires_in=3600, refresh_token="r")
    written = write_document(reply)
    assert written == b'{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r"}'
    assert read_token_reply(written) == reply


@pytest.mark.parametrize("body", [b"{}", b'{"access_token":""}', b'{"access_token":"a","expires_in":"3600"}', b"[]"])
def test_reply_without_a_token_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read_token_reply(body)


def test_description_of_a_refusal_keeps_to_the_characters_of_the_rfc() -> None:
    body = oauth_error_body("invalid_scope", 'No "ä\\b".', "scope-unknown")
    assert body.error_description == "No '?/b'."
    assert body.message == 'No "ä\\b".'
