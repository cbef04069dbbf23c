"""What the server makes, judged by a device's rules."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ownroot.errors import InvalidInputError, RefusedError
from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.metadata import ONLINE_ROLES, Document, Role, new_targets, parse_document, read_root, version_of
from ownroot.tuf.repository import (
    TagDocuments,
    ci_documents,
    first_roots,
    online_key_ids,
    production_documents,
    resigned_targets,
    sign_document,
)
from ownroot.tuf.root_rules import production_of
from ownroot.tuf.signatures import sign
from tests.support.tuf_world import CALLER, NOW, ed25519_signer, signed_root, with_role

ROOT, RELEASE = ed25519_signer(1), ed25519_signer(13)
ONLINE = {role: ed25519_signer(2 + index) for index, role in enumerate(ONLINE_ROLES)}
TARGET = {"length": 0, "hashes": {"sha256": "ab" * 32}, "custom": {"version": "1", "hardwareIds": ["imx8"]}}


def walk(trust: DeviceTrust, documents: TagDocuments, days: int = 0) -> None:
    now = NOW + timedelta(days=days)
    trust.update_timestamp(documents.timestamp, now=now)
    trust.update_snapshot(documents.snapshot, now=now)
    trust.update_targets(documents.targets, now=now)


def test_device_of_a_new_factory_verifies_from_the_first_day() -> None:
    one, two = first_roots(ROOT, ONLINE, now=NOW)
    trust = DeviceTrust(one.encoded())
    trust.update_root(two.encoded())

    walk(trust, ci_documents({}, ONLINE, version=1, now=NOW))
    walk(trust, ci_documents({"lmp-1": TARGET}, ONLINE, version=2, now=NOW))

    assert trust.targets is not None
    assert isinstance(trust.targets.body, dict)
    assert trust.targets.body["targets"] == {"lmp-1": TARGET}
    assert {**one.signed, "version": 2} == two.signed
    assert online_key_ids(ONLINE) == {role: ONLINE[role].key.key_id for role in ONLINE_ROLES}


def test_ci_documents_live_a_year_and_production_timestamps_a_week() -> None:
    root = with_role(
        read_root(first_roots(ROOT, ONLINE, now=NOW)[1].signed),
        Role.TARGETS,
        ONLINE[Role.TARGETS].key,
        RELEASE.key,
        owner=CALLER,
    )
    production = DeviceTrust(signed_root(production_of(root, targets_threshold=2), ROOT).encoded())
    signed = new_targets(9, NOW + timedelta(days=300), {"lmp-9": TARGET})
    offline = sign_document(signed, RELEASE)

    ci = ci_documents({}, ONLINE, version=3, now=NOW)
    documents = production_documents(offline, ONLINE, version=4, now=NOW)

    assert ci.expires == NOW + timedelta(days=365)
    assert documents.expires == NOW + timedelta(days=7)
    walk(production, documents, days=6)
    with pytest.raises(RefusedError, match="tuf-expired"):
        walk(production, production_documents(offline, ONLINE, version=5, now=NOW), days=7)
    assert version_of(parse_document(documents.targets, max_octets=10_000)) == 9


def test_signatures_of_keys_that_left_the_role_go_and_the_body_stays() -> None:
    new = ed25519_signer(14)
    online = ONLINE[Role.TARGETS]
    root = with_role(read_root(first_roots(ROOT, ONLINE, now=NOW)[1].signed), Role.TARGETS, online.key, new.key)
    document = sign_document(new_targets(1, NOW, {}), RELEASE)
    fresh = sign(document.payload, new)

    kept = resigned_targets(document, root, (fresh,), ONLINE)

    assert kept == replace(document, signatures=(sign(document.payload, online), fresh))
    assert resigned_targets(kept, root, (), ONLINE) == kept


def test_document_without_a_version_has_none() -> None:
    with pytest.raises(InvalidInputError, match="tuf-document-invalid"):
        version_of(Document({}))
