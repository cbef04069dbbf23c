from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from ownroot.tuf.metadata import Role
from ownroot.tuf.root_review import Note, Shape, list_amendments, list_warnings
from tests.support.tuf_world import NOW, TufOwner, ed25519_signer, rsa_signer, with_role

OWNER = TufOwner()
NEW, SPARE, RELEASE = ed25519_signer(11), ed25519_signer(12), ed25519_signer(13)
CURRENT = Shape(OWNER.root_body(2), None, OWNER.online)


def test_amendments_name_what_changes_and_nothing_else() -> None:
    moved = replace(OWNER, timestamp=ed25519_signer(21))
    root = with_role(OWNER.root_body(3), Role.ROOT, NEW.key, SPARE.key, threshold=2)
    root = with_role(root, Role.TARGETS, OWNER.targets.key, RELEASE.key)
    root = with_role(root, Role.TIMESTAMP, moved.timestamp.key)
    staged = Shape(replace(root, expires=NOW + timedelta(days=365)), 2, moved.online)

    assert [note.message for note in list_amendments(CURRENT, staged)] == [
        "Publish root 3 in place of root 2",
        f"Add root key {NEW.key.key_id}",
        f"Add root key {SPARE.key.key_id}",
        f"Remove root key {OWNER.root.key.key_id}",
        f"Add targets key {RELEASE.key.key_id}",
        f"Replace the online timestamp key with {moved.timestamp.key.key_id}",
        "Set the threshold of root from 1 to 2",
        "Set the threshold of production targets to 2",
        f"Expire on {told(staged.root.expires)} instead of {told(CURRENT.root.expires)}",
    ]


def told(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


@pytest.mark.parametrize(
    ("later", "kind", "end"),
    [(timedelta(0), "expiry-kept", "as before"), (timedelta(seconds=1), "expiry-changed", "instead of")],
)
def test_root_in_which_nothing_else_changes_tells_its_version_and_its_end(
    later: timedelta, kind: str, end: str
) -> None:
    root = OWNER.root_body(3)
    resigned = replace(CURRENT, root=replace(root, expires=root.expires + later))

    version, expiry = list_amendments(CURRENT, resigned)

    assert (version.kind, version.message) == ("version-changed", "Publish root 3 in place of root 2")
    assert expiry.kind == kind
    assert f"Expire on {told(resigned.root.expires)}" in expiry.message
    assert end in expiry.message


def test_changed_production_threshold_tells_both() -> None:
    before, after = replace(CURRENT, production_threshold=2), replace(CURRENT, production_threshold=3)

    assert thresholds(list_amendments(before, after)) == ["Set the threshold of production targets from 2 to 3"]
    assert thresholds(list_amendments(before, before)) == []


def thresholds(notes: list[Note]) -> list[str]:
    return [note.message for note in notes if note.kind == "threshold-changed"]


def test_online_targets_key_is_no_key_that_an_owner_adds() -> None:
    moved = replace(OWNER, targets=ed25519_signer(22))
    staged = Shape(with_role(OWNER.root_body(3), Role.TARGETS, moved.targets.key), None, moved.online)

    kinds = [note.kind for note in list_amendments(CURRENT, staged)]
    assert kinds == ["version-changed", "online-key-replaced", "expiry-kept"]


def test_new_factory_is_warned_of_everything_it_has_not_done() -> None:
    notes = list_warnings(CURRENT, first_root_key=OWNER.root.key.key_id, now=NOW)

    assert [note.kind for note in notes] == ["first-root-key-in-use", "few-root-keys", "no-offline-targets-key"]


def test_owner_who_did_everything_is_not_warned() -> None:
    root = with_role(OWNER.root_body(3), Role.ROOT, NEW.key, SPARE.key, OWNER.root.key, threshold=2)
    root = with_role(root, Role.TARGETS, OWNER.targets.key, RELEASE.key)

    assert list_warnings(Shape(root, 2, OWNER.online), first_root_key=None, now=NOW) == []
    late = list_warnings(Shape(root, 2, OWNER.online), first_root_key=None, now=NOW + timedelta(days=241))
    assert [note.kind for note in late] == ["root-expires"]
    rsa = with_role(root, Role.ROOT, NEW.key, SPARE.key, rsa_signer().key, threshold=2)
    assert [note.kind for note in list_warnings(Shape(rsa, 2, OWNER.online), first_root_key=None, now=NOW)] == [
        "rsa-key"
    ]
