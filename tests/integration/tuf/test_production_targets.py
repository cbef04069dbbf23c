"""Production targets through the API: what an owner signed offline comes in, and what devices would refuse does not."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from ownroot.tuf.metadata import Document, Role, new_targets
from tests.support.tuf_program import TufAdmin
from tests.support.tuf_world import ed25519_signer, signed_document, with_role

ROOT, RELEASE = ed25519_signer(51), ed25519_signer(52)
ENTRY = {"length": 0, "hashes": {"sha256": "4f" * 32}}


@pytest.fixture
def taken(owner: TufAdmin) -> TufAdmin:
    """The owner of a factory with a root key and a targets key of their own."""
    assert owner.rotate_root(ROOT).status_code == 200
    assert owner.begin().status_code == 201
    staged = owner.staged()
    online = staged.keys[staged.roles[Role.TARGETS].key_ids[0]]
    assert (
        owner.stage(with_role(staged, Role.TARGETS, online, RELEASE.key, owner=owner.polis_id), ROOT).status_code == 200
    )
    assert owner.apply().status_code == 200
    return owner


def body(version: int = 1, **changed: Any) -> dict[str, Any]:
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=300)
    return new_targets(version, expires, {"lmp-7": ENTRY}) | changed


def publish(owner: TufAdmin, document: Document, **others: Document) -> httpx2.Response:
    """Upload targets of the tag `main`, and of other tags."""
    sent = {"targets": {tag: json.loads(one.encoded()) for tag, one in {"main": document, **others}.items()}}
    return owner.server.call("POST", f"/ota/factories/{owner.server.factory}/prod-targets/", document=sent)


def test_targets_signed_offline_are_served_with_the_servers_signature_beside(taken: TufAdmin) -> None:
    answer = publish(taken, signed_document(body(), RELEASE))

    assert answer.status_code == 201, answer.text
    served = json.loads(taken.document("targets.json", production=True, tag="main"))
    assert served["signed"]["targets"] == {"lmp-7": ENTRY}
    assert len(served["signatures"]) == 2
    assert RELEASE.key.key_id in {one["keyid"] for one in served["signatures"]}


def test_what_devices_would_refuse_is_refused_by_name(taken: TufAdmin) -> None:
    assert publish(taken, signed_document(body(5), RELEASE)).status_code == 201
    right = signed_document(body(6), RELEASE)
    refused = {
        "version-not-newer": signed_document(body(5), RELEASE),
        "targets-signatures-missing": Document(right.signed),
        "signature-invalid": replace(right, signed=body(7)),
        "tuf-target-invalid": signed_document(body(6, targets={"lmp 7": ENTRY}), RELEASE),
        "members-unknown": signed_document(body(6, delegations={}), RELEASE),
        "expiry-out-of-range": signed_document(body(6, expires="2020-01-01T00:00:00Z"), RELEASE),
    }

    for rule, document in refused.items():
        answer = publish(taken, document)
        assert answer.status_code == 400, rule
        assert answer.json()["code"] == "tuf-targets-invalid"
        assert list(answer.json()["errors"]) == [rule]
    assert publish(taken, right).status_code == 201


def test_faults_of_all_tags_and_targets_are_told(taken: TufAdmin) -> None:
    bad = signed_document(body(targets={"lmp 7": ENTRY, "lmp 8": ENTRY}), RELEASE)

    told = publish(taken, bad, devel=bad).json()["errors"]

    assert list(told) == ["tuf-target-invalid"]
    for words in ("main: lmp 7", "main: lmp 8", "devel: lmp 7", "devel: lmp 8"):
        assert words in told["tuf-target-invalid"]


def test_all_tags_come_together_so_that_no_device_that_is_moved_finds_an_older_one(taken: TufAdmin) -> None:
    assert publish(taken, signed_document(body(5), RELEASE), devel=signed_document(body(5), RELEASE)).status_code == 201

    alone = publish(taken, signed_document(body(6), RELEASE))
    uneven = publish(taken, signed_document(body(6), RELEASE), devel=signed_document(body(7), RELEASE))

    assert list(alone.json()["errors"]) == ["tags-missing"]
    assert list(uneven.json()["errors"]) == ["versions-differ"]
    assert publish(taken, signed_document(body(6), RELEASE), devel=signed_document(body(6), RELEASE)).status_code == 201
    timestamps = [taken.document("timestamp.json", production=True, tag=tag) for tag in ("main", "devel")]
    assert len({json.loads(one)["signed"]["version"] for one in timestamps}) == 1


def test_without_an_offline_targets_key_there_are_no_production_targets(owner: TufAdmin) -> None:
    answer = publish(owner, signed_document(body(), RELEASE))

    assert answer.status_code == 400
    assert "no-offline-targets-key" in answer.json()["errors"]


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"targets": 1},
        {"targets": {}},
        {"targets": {"main": 1}},
        {"targets": {"main": {}}},
        {"tag": "main", "targets": {"signatures": [], "signed": {}}},
    ],
)
def test_half_a_document_is_bad_input(taken: TufAdmin, sent: dict[str, Any]) -> None:
    path = f"/ota/factories/{taken.server.factory}/prod-targets/"

    assert taken.server.call("POST", path, document=sent).status_code == 400


def test_a_tag_has_the_form_of_a_name(taken: TufAdmin) -> None:
    assert (
        publish(taken, signed_document(body(), RELEASE), **{"a b": signed_document(body(), RELEASE)}).status_code == 400
    )
    assert publish(taken, signed_document(body(), RELEASE), a_b=signed_document(body(), RELEASE)).status_code == 201


def test_only_managers_publish(taken: TufAdmin) -> None:
    token = taken.server.create_token("certs:read", "devices:read")
    path = f"/ota/factories/{taken.server.factory}/prod-targets/"
    sent = {"targets": {"main": json.loads(signed_document(body(), RELEASE).encoded())}}

    assert taken.server.call("POST", path, document=sent, token=token).status_code == 403
