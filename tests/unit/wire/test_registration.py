"""The registration request as programs of the field write it, and the reply's four members."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError
from ownroot.wire.documents import write_document
from ownroot.wire.registration import (
    RegistrationReply,
    RegistrationRequest,
    parse_registration_reply,
    parse_registration_request,
    registration_request_body,
)

REQUEST = {
    "use-ostree-server": "true",
    "sota-config-dir": "/var/sota",
    "hardware-id": "intel-corei7-64",
    "name": "dev-one",
    "uuid": "11111111-2222-4333-8444-555555555555",
    "csr": "-----BEGIN CERTIFICATE REQUEST-----\nMII",
    "overrides": {"pacman": {"type": '"ostree+compose_apps"', "reset_apps": '" "', "tags": '"main"'}},
    "group": "edge",
}
REPLY = {"root.crt": "R", "sota.toml": "S", "client.pem": "C", "client.chained": "CC"}


def parse(**changes: object) -> RegistrationRequest:
    document = {member.replace("_", "-"): value for member, value in changes.items()}
    return parse_registration_request(json.dumps({**REQUEST, **document}).encode())


def refusal(**changes: object) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        parse(**changes)
    return caught.value


def test_request_of_the_field_is_read_whole() -> None:
    request = parse()
    assert (request.uuid, request.name, request.group) == (REQUEST["uuid"], "dev-one", "edge")
    assert (request.hardware_id, request.config_dir, request.use_ostree_server) == (
        "intel-corei7-64",
        "/var/sota",
        True,
    )
    assert request.overrides == (
        ("pacman", (("type", '"ostree+compose_apps"'), ("reset_apps", '" "'), ("tags", '"main"'))),
    )


def test_escaped_slashes_and_unknown_members_are_fine() -> None:
    body = json.dumps({**REQUEST, "sota-config-dir": "/a/b", "new-member": [1]}).replace("/", "\\/").encode()
    assert parse_registration_request(body).config_dir == "/a/b"


@pytest.mark.parametrize("empty", ["", None])
def test_empty_members_count_as_absent(empty: object) -> None:
    request = parse(uuid=empty, name=empty, group=empty, sota_config_dir=empty, use_ostree_server=empty)
    assert (request.uuid, request.name, request.group) == (None, None, None)
    assert (request.config_dir, request.use_ostree_server) == ("/var/sota", True)


@pytest.mark.parametrize(("sent", "meant"), [("true", True), ("False", False), (True, True), (False, False)])
def test_boolean_may_be_text_or_real(sent: object, meant: bool) -> None:
    assert parse(use_ostree_server=sent).use_ostree_server is meant


@pytest.mark.parametrize("sent", ["yes", 1, [], {}])
def test_other_booleans_are_refused(sent: object) -> None:
    assert set(refusal(use_ostree_server=sent).fields) == {"use-ostree-server"}


def test_missing_members_are_all_named() -> None:
    error = refusal(csr=None, hardware_id="")
    assert (error.code, error.detail) == ("missing-field", "Missing field(s): csr, hardware-id")
    assert set(error.fields) == {"csr", "hardware-id"}


@pytest.mark.parametrize("member", ["csr", "hardware-id", "uuid", "name", "sota-config-dir", "group"])
@pytest.mark.parametrize("value", [5, True, ["a"], {"a": "b"}])
def test_member_that_is_no_text_is_refused(member: str, value: object) -> None:
    error = refusal(**{member: value})
    assert (error.code, set(error.fields)) == ("bad-field", {member})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad-json"),
        (b"{", "bad-json"),
        (b"\xff", "bad-json"),
        (b"[1]", "json-not-object"),
        (b"1", "json-not-object"),
    ],
)
def test_body_that_is_no_object_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_registration_request(body)
    assert caught.value.code == code


def test_deeply_nested_body_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        parse_registration_request(b'{"a":' * 100_000)


def test_request_survives_the_way_over_the_wire_as_strings() -> None:
    request = parse(use_ostree_server="false", name=None)
    body = registration_request_body(request)
    assert parse_registration_request(body) == request
    assert json.loads(body)["use-ostree-server"] == "false"
    assert "name" not in json.loads(body)


def test_reply_has_exactly_the_four_files_in_order() -> None:
    reply = RegistrationReply(root_crt="R", sota_toml="S", client_pem="C", client_chained="CC")
    assert json.loads(write_document(reply)) == REPLY
    assert list(json.loads(write_document(reply))) == list(REPLY)
    assert parse_registration_reply(json.dumps(REPLY).encode()) == reply


@pytest.mark.parametrize("name", ["../x", "pkey.pem", "other"])
def test_reply_with_another_file_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_registration_reply(json.dumps({**REPLY, name: "y"}).encode())
    assert caught.value.code == "unexpected-file"


def test_reply_without_the_chained_file_is_fine() -> None:
    body = json.dumps({name: text for name, text in REPLY.items() if name != "client.chained"}).encode()
    assert parse_registration_reply(body).client_chained == ""


@pytest.mark.parametrize("member", ["root.crt", "sota.toml", "client.pem"])
def test_reply_without_a_needed_file_is_refused(member: str) -> None:
    body = json.dumps({name: text for name, text in REPLY.items() if name != member}).encode()
    with pytest.raises(InvalidInputError) as caught:
        parse_registration_reply(body)
    assert caught.value.code == "bad-field"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        parse_registration_request(body)


json_document = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(REQUEST)), json_document))
def test_any_document_is_read_or_refused(document: dict[str, object]) -> None:
    with contextlib.suppress(InvalidInputError):
        assert isinstance(parse(**{member.replace("-", "_"): value for member, value in document.items()}).csr, str)
