"""What production targets must be before a device sees them: one accepted document, and one fault in each other."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ownroot.errors import InvalidInputError
from ownroot.tuf.metadata import Document, Role, Root, new_targets
from ownroot.tuf.production_targets import find_upload_faults, read_targets
from ownroot.tuf.root_rules import production_of
from tests.support.tuf_world import NOW, TufOwner, ed25519_signer, signed_document, with_role

OWNER, RELEASE = TufOwner(), ed25519_signer(31)
ENTRY = {"length": 0, "hashes": {"sha256": "4f" * 32}}
ROOT = production_of(with_role(OWNER.root_body(3), Role.TARGETS, OWNER.targets.key, RELEASE.key), targets_threshold=2)
BODY = new_targets(5, NOW + timedelta(days=365), {"lmp-7": ENTRY})


def faults(body: Any = None, root: Root = ROOT, document: Document | None = None) -> list[str]:
    made = document or signed_document(BODY if body is None else body, RELEASE)
    return kinds({"main": made}, root)


def kinds(sent: dict[str, Document], root: Root = ROOT) -> list[str]:
    """The faults of an upload where the tags `main` and `devel` have production targets, or `main` alone."""
    published = {tag: signed_document({**BODY, "version": 4}, RELEASE) for tag in sent if tag != "new"} | {
        "main": signed_document({**BODY, "version": 3}, RELEASE)
    }
    return [fault.kind for fault in find_upload_faults(sent, published, root, OWNER.online, now=NOW)]


def release(version: int = 5) -> Document:
    return signed_document({**BODY, "version": version}, RELEASE)


def test_all_tags_are_signed_together_with_one_version_above_that_of_any() -> None:
    assert kinds({"main": release(), "devel": release()}) == []
    assert kinds({"main": release(), "new": release()}) == []
    assert kinds({"new": release()}) == ["tags-missing"]
    assert kinds({"main": release(5), "devel": release(6)}) == ["versions-differ"]
    assert kinds({"main": release(4), "devel": release(4)}) == ["version-not-newer"]


def test_a_fault_says_in_which_tag_it_is() -> None:
    bad = signed_document({**BODY, "delegations": {}}, RELEASE)
    (fault,) = find_upload_faults({"main": release(), "devel": bad}, {}, ROOT, OWNER.online, now=NOW)
    assert fault.kind == "members-unknown"
    assert fault.message.startswith("devel: ")


def test_targets_signed_by_an_offline_key_are_accepted() -> None:
    assert faults() == []
    assert read_targets(signed_document(BODY, RELEASE)) == {"lmp-7": ENTRY}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"version": 3}, "version-not-newer"),
        ({"version": 0}, "tuf-document-invalid"),
        ({"expires": "2026-11-26T12:00:00Z"}, "expiry-out-of-range"),
        ({"expires": "2027-12-26T12:00:00Z"}, "expiry-out-of-range"),
        ({"expires": "tomorrow"}, "tuf-document-invalid"),
        ({"delegations": {}}, "members-unknown"),
        ({"_type": "Root"}, "tuf-document-invalid"),
        ({"targets": []}, "tuf-document-invalid"),
        ({"targets": {"lmp-7": 1}}, "tuf-document-invalid"),
        ({"targets": {"lmp 7": ENTRY}}, "tuf-target-invalid"),
        ({"targets": {"lmp-7": {**ENTRY, "custom": {"note": "é"}}}}, "tuf-target-invalid"),
        (
            {"targets": {f"lmp-{number}": {**ENTRY, "custom": {"note": "x" * 900}} for number in range(5200)}},
            "targets-too-long",
        ),
    ],
)
def test_one_fault_each_is_named(change: dict[str, Any], kind: str) -> None:
    assert faults({**BODY, **change}) == [kind]


def test_signature_of_a_stranger_or_over_another_body_is_refused() -> None:
    right = signed_document(BODY, RELEASE)

    assert faults(document=signed_document(BODY, ed25519_signer(32))) == ["signature-invalid"]
    assert faults(document=signed_document(BODY, OWNER.root)) == ["signature-invalid"]
    assert faults(document=replace(right, signed={**BODY, "version": 6})) == ["signature-invalid"]


def test_root_without_an_offline_targets_key_can_have_none() -> None:
    root = with_role(ROOT, Role.TARGETS, OWNER.targets.key)

    assert faults(root=root, document=signed_document(BODY, OWNER.targets)) == ["no-offline-targets-key"]


def test_unreadable_targets_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="tuf-document-invalid"):
        read_targets(Document({"_type": "Targets"}))
