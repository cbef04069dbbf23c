"""JSON documents: tolerant where the field needs it, and never another error than ours."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError
from ownroot.wire.accounts import FactorySummary
from ownroot.wire.certs import CertsUpload, CsrRequest, parse_certs_upload, parse_csr_request
from ownroot.wire.documents import read_document, read_list, read_object


def test_null_counts_as_absent_and_unknown_members_are_ignored() -> None:
    assert parse_certs_upload(b'{"root-crt":null,"tls-crt":"x","ca-csr":5}') == CertsUpload(tls_crt="x")


def test_empty_text_counts_as_absent_in_an_upload() -> None:
    assert parse_certs_upload(b'{"root-crt":"","change-meta":{"created-by":""}}').is_empty


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_empty_post_asks_for_gateway_and_online_ca(body: bytes) -> None:
    # registration.md §11: the curl guide sends no body.
    assert parse_csr_request(body) == CsrRequest(first_time_init=None, ca_csr=True, tls_csr=True)


def test_post_that_asks_for_nothing_is_told_apart() -> None:
    assert parse_csr_request(b"{}").asks_for_nothing
    assert not parse_csr_request(b'{"est-tls-csr":true}').asks_for_nothing


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[1]", "json-not-object"),
        (b'"x"', "json-not-object"),
        (b"{", "bad-json"),
        (b"\xff", "bad-json"),
        (b'{"a":"\xff"}', "bad-json"),
        (b"[" * 100_000, "bad-json"),
        (b'{"tls-csr":"yes"}', "bad-field"),
    ],
)
def test_document_of_another_kind_is_refused_with_its_code(body: bytes, code: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        parse_csr_request(body)
    assert refusal.value.code == code


def test_wrong_member_is_named() -> None:
    with pytest.raises(InvalidInputError) as refusal:
        parse_csr_request(b'{"tls-csr":1}')
    assert list(refusal.value.fields) == ["tls-csr"]


def test_missing_member_is_named() -> None:
    with pytest.raises(InvalidInputError) as refusal:
        read_document(b"{}", FactorySummary)
    assert list(refusal.value.fields) == ["name"]


def test_list_is_read_and_anything_else_refused() -> None:
    assert read_list(b'[{"name":"acme","more":1}]', FactorySummary) == (FactorySummary(name="acme"),)
    for body, code in ((b"{}", "json-not-array"), (b"[", "bad-json"), (b"[1]", "json-not-object")):
        with pytest.raises(InvalidInputError) as refusal:
            read_list(body, FactorySummary)
        assert refusal.value.code == code


@given(st.binary(max_size=300))
def test_no_octets_raise_anything_but_our_error(body: bytes) -> None:
    for read in (read_object, parse_certs_upload, parse_csr_request, lambda raw: read_list(raw, FactorySummary)):
        with suppress(InvalidInputError):
            read(body)
