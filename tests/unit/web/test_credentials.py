"""The token header wins, and Bearer is read raw and in base64."""

import base64

import pytest
from starlette.datastructures import Headers

from ownroot.errors import UnauthenticatedError
from ownroot.web.credentials import read_basic, read_credential

TOKEN = "own_abcDEF-_123"


def read(**headers: str) -> str | None:
    return read_credential(Headers({name.replace("_", "-"): value for name, value in headers.items()}))


def test_no_header_is_no_credential():
    assert read() is None


def test_token_header_is_read_in_any_spelling():
    assert read_credential(Headers({"Osf-Token": TOKEN})) == TOKEN


def test_token_header_wins_over_authorization():
    assert read(osf_token=TOKEN, authorization="Bearer other") == TOKEN


@pytest.mark.parametrize("sent", [TOKEN, base64.b64encode(TOKEN.encode()).decode()])
def test_bearer_is_read_raw_and_in_base64(sent):
    assert read(authorization=f"Bearer {sent}") == TOKEN


def test_a_raw_token_that_happens_to_be_base64_of_no_text_stays_as_it_is():
    assert read(authorization="bearer AAAA") == "AAAA"


@pytest.mark.parametrize(
    "sent", ["Basic dXNlcjpwdw==", "Bearer", "Bearer ", "", "Bearer \x7fx", "Bearer " + "a" * 5000]
)
def test_an_unreadable_authorization_is_refused(sent):
    with pytest.raises(UnauthenticatedError) as refusal:
        read(authorization=sent)
    assert refusal.value.code == "bad-authorization"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_basic_is_percent_decoded_and_split_at_the_first_colon():
    assert read_basic(basic("a%3Ab:c:d%20e")) == ("a:b", "c:d e")


@pytest.mark.parametrize("authorization", ["", "Bearer abc"])
def test_other_schemes_are_not_basic(authorization):
    assert read_basic(authorization) is None


def test_id_and_secret_may_be_as_long_as_a_token_and_no_longer():
    longest = "a" * 4096
    assert read_basic(basic(f"{longest}:{longest}")) == (longest, longest)
    for text in (f"{longest}a:b", f"a:{longest}b"):
        with pytest.raises(UnauthenticatedError, match="bad-authorization"):
            read_basic(basic(text))


@pytest.mark.parametrize("text", ["a%0ab:c", "a:b%00", "a:b%1B[2J", "a\tb:c", "a:b%ff", "a:b%C3%A9", ":b", "a:", ":"])
def test_id_and_secret_hold_no_control_characters_and_are_not_empty(text):
    with pytest.raises(UnauthenticatedError, match="bad-authorization"):
        read_basic(basic(text))


@pytest.mark.parametrize("authorization", ["Basic", "Basic !", basic("no colon"), "Basic /w=="])
def test_broken_basic_is_refused(authorization):
    with pytest.raises(UnauthenticatedError, match="bad-authorization"):
        read_basic(authorization)
