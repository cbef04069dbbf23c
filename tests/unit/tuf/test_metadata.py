from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import pytest

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import Json
from ownroot.tuf.keys import parse_signer
from ownroot.tuf.metadata import (
    Changelog,
    Document,
    Role,
    RoleKeys,
    Root,
    format_time,
    new_snapshot,
    new_targets,
    new_timestamp,
    parse_document,
    parse_time,
    read_document,
    read_root,
)
from ownroot.tuf.signatures import sign
from tests.support.tuf_world import CALLER, CHANGE, NOW, TufOwner, ed25519_signer, rsa_signer, signed_root, with_role

OWNER = TufOwner()


def refused(signed: dict[str, Json]) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read_root(signed)
    return caught.value.code


def test_root_of_the_protocol_page_is_encoded_and_signed_as_there() -> None:
    signer = parse_signer({"keytype": "ED25519", "keyval": {"private": bytes(range(32)).hex()}})
    only = RoleKeys((signer.key.key_id,), 1)
    root = Root(
        version=1,
        expires=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
        keys=MappingProxyType({signer.key.key_id: signer.key}),
        roles=MappingProxyType(dict.fromkeys(Role, only)),
        changelog=Changelog("u1", 'line\n"q" R&D', "2029-01-02T03:04:05Z"),
    )

    payload = Document(root.signed()).payload

    assert len(payload) == 795
    assert sha256(payload).hexdigest() == "d0d4fd0f270fec2c56e76bd84ba6a510e8e10ebaa1c27581f27254dc881582f9"
    assert sign(payload, signer).document()["sig"] == (
        "7dQorC+PC/YlAYgQzoNKBWz/ya5q0TGgXgBmfzkpssyzNl/pFYDpxo9Vnh09GdL0fK8UyAD0B/xfZWTPs/IdDg=="
    )


def test_roots_come_back_from_their_documents() -> None:
    body = OWNER.root_body(3, changelog=CHANGE)
    owned = with_role(body, Role.ROOT, OWNER.root.key, rsa_signer().key, threshold=2, owner=CALLER)
    document = signed_root(owned, OWNER.root, rsa_signer())

    again = parse_document(document.encoded(), max_octets=10_000)

    assert again == document
    assert read_root(again.signed) == owned
    assert read_root(OWNER.root_body().signed()) == OWNER.root_body()


@pytest.mark.parametrize("value", [None, [], {"signed": {}}, {"signed": [], "signatures": []}, {"signed": {}, "x": 1}])
def test_documents_have_two_members(value: Json) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_document(value)
    assert caught.value.code == "tuf-document-invalid"


_ROLE: dict[str, Any] = {"keyids": [OWNER.root.key.key_id], "threshold": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "root"},
        {"spec_version": "1.0"},
        {"delegations": {}},
        {"consistent_snapshot": True},
        {"consistent_snapshot": 0},
        {"version": 0},
        {"version": True},
        {"version": "1"},
        {"expires": "2030-01-02T03:04:05.5Z"},
        {"expires": "2030-01-02T03:04:05+00:00"},
        {"expires": "2030-02-30T03:04:05Z"},
        {"expires": "٢030-01-02T03:04:05Z"},
        {"expires": 1},
        {"keys": []},
        {"roles": {}},
        {"roles": {role.value: _ROLE for role in Role} | {"mirrors": _ROLE}},
        {"roles": {role.value: _ROLE for role in Role} | {"root": []}},
        {"roles": {role.value: _ROLE for role in Role} | {"root": {"keyids": _ROLE["keyids"]}}},
        {"roles": {role.value: _ROLE for role in Role} | {"root": _ROLE | {"threshold": 0}}},
        {"roles": {role.value: _ROLE for role in Role} | {"root": _ROLE | {"threshold": 1001}}},
        {"roles": {role.value: _ROLE for role in Role} | {"root": _ROLE | {"threshold": True}}},
        {"roles": {role.value: _ROLE for role in Role} | {"root": _ROLE | {"keyids": ["x"]}}},
        {"roles": {role.value: _ROLE for role in Role} | {"root": _ROLE | {"keyids": "x"}}},
        {"roles": {role.value: _ROLE for role in Role} | {"root": _ROLE | {"name": "x"}}},
        {"x-changelog": {"polis-id": "u", "message": 1, "timestamp": ""}},
        {"x-changelog": {"polis-id": "u", "message": ""}},
        {"x-key-owners": []},
        {"x-key-owners": {"k": {"polis-id": "u"}}},
    ],
)
def test_roots_that_somebody_reads_differently_are_refused(change: dict[str, Json]) -> None:
    assert refused(OWNER.root_body().signed() | change) == "tuf-document-invalid"


@pytest.mark.parametrize("member", ["_type", "consistent_snapshot", "expires", "version", "keys", "roles"])
def test_members_of_a_root_cannot_be_left_out(member: str) -> None:
    signed = OWNER.root_body().signed()
    del signed[member]

    assert refused(signed) == "tuf-document-invalid"


def test_keys_are_listed_under_their_own_ids() -> None:
    signed = OWNER.root_body().signed()
    other = ed25519_signer(99).key.document()

    assert refused(signed | {"keys": {OWNER.root.key.key_id: other}}) == "tuf-key-id-wrong"
    assert refused(signed | {"keys": {"k": OWNER.root.document()}}) == "tuf-key-private"


def test_each_role_describes_the_served_bytes_of_the_next() -> None:
    expires = NOW + timedelta(days=1)
    targets = Document(new_targets(5, expires, {"a-1": {"length": 0}})).encoded()
    snapshot = new_snapshot(6, expires, targets, targets_version=5)

    assert snapshot == {
        "_type": "Snapshot",
        "expires": "2026-11-27T12:00:00Z",
        "version": 6,
        "meta": {
            "targets.json": {"version": 5, "length": len(targets), "hashes": {"sha256": sha256(targets).hexdigest()}}
        },
    }
    assert new_timestamp(7, expires, b"abc", snapshot_version=6)["meta"] == {
        "snapshot.json": {"version": 6, "length": 3, "hashes": {"sha256": sha256(b"abc").hexdigest()}}
    }


def test_times_are_written_in_utc_with_20_characters() -> None:
    assert format_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=9)))) == "2026-01-01T18:04:05Z"
    assert parse_time("2026-01-01T18:04:05Z") == datetime(2026, 1, 1, 18, 4, 5, tzinfo=UTC)
