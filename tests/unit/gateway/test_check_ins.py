import pytest

from ownroot.gateway.check_ins import read_values

KNOWN = ("main", "target-1", "ab", "app")


def test_absent_headers_keep_what_is_known() -> None:
    assert read_values({b"host": b"x"}, KNOWN) is KNOWN


def test_present_headers_replace_and_empty_ones_empty() -> None:
    headers = {b"x-ats-tags": b"next", b"x-ats-dockerapps": b""}
    assert read_values(headers, KNOWN) == ("next", "target-1", "ab", "")


def test_same_values_are_known_to_be_the_same() -> None:
    assert read_values({b"x-ats-tags": b"main"}, KNOWN) is KNOWN


@pytest.mark.parametrize("raw", [b"\xff", b"a\x01b", b"t" * 513, "a\u202eb".encode()])
def test_unreadable_value_counts_as_absent(raw: bytes) -> None:
    assert read_values({b"x-ats-tags": raw}, KNOWN) is KNOWN


@pytest.mark.parametrize("text", ["t" * 512, "größer", "a,b, c"])
def test_readable_twin_is_taken(text: str) -> None:
    assert read_values({b"x-ats-tags": text.encode()}, KNOWN)[0] == text
