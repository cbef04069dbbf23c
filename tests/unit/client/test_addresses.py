"""What a server's address may look like, and who is this machine."""

import pytest

from ownroot.client.addresses import (
    is_loopback,
    is_under_localhost,
    parse_base_url,
    path_segment,
    path_segments,
    require_confidential,
)
from ownroot.errors import InvalidInputError, RefusedError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.example.test", "https://api.example.test"),
        (" https://api.example.test/ \n", "https://api.example.test"),
        ("http://127.0.0.1:8000/prefix/", "http://127.0.0.1:8000/prefix"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_base_url_loses_its_last_slash_and_keeps_a_prefix(text: str, url: str) -> None:
    assert parse_base_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["", "api.example.test", "ftp://x", "https://", "https://u:p@x", "https://x?a=b", "https://x#a", "https://a b",
     "https://x:port", "https://[::1", "https://x\x1b"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        parse_base_url(text)
    assert refusal.value.code == "bad-url"


@pytest.mark.parametrize(
    ("text", "reason"), [("https://x?a=b", "after ?"), ("https://x#a", "after ?"), ("x?", "looks")]
)
def test_query_is_named_as_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        parse_base_url(text)
    assert reason in refusal.value.detail


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "acme.gateway.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_in_all_its_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.test", "notlocalhost", "10.0.0.1", "0.0.0.0", "", "::2"])  # noqa: S104
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)
    assert not is_under_localhost(host)


@pytest.mark.parametrize("url", ["https://api.example.test", "http://127.0.0.1:8000", "http://acme.localhost"])
def test_secret_may_travel_encrypted_or_within_this_machine(url: str) -> None:
    require_confidential(url)


def test_secret_never_travels_in_clear_over_a_network() -> None:
    with pytest.raises(RefusedError) as refusal:
        require_confidential("http://api.example.test")
    assert refusal.value.code == "token-in-clear"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\nb"])
def test_what_would_be_another_path_is_no_segment(name: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        path_segment(name)
    assert refusal.value.code == "bad-name"


@pytest.mark.parametrize("name", ["a\nb", "a\u00a0b"])
def test_what_cannot_be_printed_is_refused_for_that(name: str) -> None:
    with pytest.raises(InvalidInputError, match="printable"):
        path_segment(name)
    assert path_segment("a b") == "a%20b"


def test_segment_is_escaped() -> None:
    assert path_segment("a b c?d#e%f") == "a%20b%20c%3Fd%23e%25f"
    assert path_segment("...") == "..."


@pytest.mark.parametrize("name", ["..", "../x", "a/../../b", "a//b", "/a", "a/"])
def test_no_segment_of_several_leads_elsewhere(name: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        path_segments(name)
    assert refusal.value.code == "bad-name"


def test_several_segments_are_escaped_one_by_one() -> None:
    assert path_segments("a/b c/d") == "a/b%20c/d"
