"""A change of the roots, step by step, and what each step refuses."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ownroot.errors import InvalidInputError
from ownroot.tuf.keys import TufSigner
from ownroot.tuf.metadata import Document, Role, Root, new_targets, read_root
from ownroot.tuf.root_rules import Chains, production_of
from ownroot.tuf.signatures import Signature, sign
from ownroot.tuf.updates import (
    FaultyRootError,
    Published,
    RootUpdate,
    TargetsSignatures,
    Upload,
    begin_update,
    find_update_faults,
    replace_online_keys,
    stage_upload,
)
from tests.support.tuf_world import CALLER, NOW, TufOwner, ed25519_signer, signed_document, signed_root, with_role

OWNER = TufOwner()
NEW, SPARE, RELEASE = ed25519_signer(11), ed25519_signer(12), ed25519_signer(13)
FIRST = OWNER.root.key.key_id
BEGUN = Published(Chains(signed_root(OWNER.root_body(2), OWNER.root), None), OWNER.online)
LATER = NOW + timedelta(minutes=5)


def begin(published: Published = BEGUN, first_root_key: str | None = None) -> RootUpdate:
    return begin_update(published, message="Take over", by=CALLER, first_root_key=first_root_key, now=NOW)


def upload(root: Root, *signers: TufSigner, threshold: int = 2, targets: TargetsSignatures | None = None) -> Upload:
    production = production_of(root, targets_threshold=threshold)
    return Upload(Chains(signed_root(root, *signers), signed_root(production, *signers)), targets or {})


def stage(update: RootUpdate, sent: Upload, published: Published = BEGUN) -> RootUpdate:
    return stage_upload(update, sent, published, by=CALLER, now=LATER)


def faults(update: RootUpdate, sent: Upload, published: Published = BEGUN) -> list[str]:
    with pytest.raises(FaultyRootError) as caught:
        stage(update, sent, published)
    return [fault.kind for fault in caught.value.faults]


def rotated(update: RootUpdate) -> Root:
    return with_role(update.ci_root, Role.ROOT, NEW.key, owner=CALLER)


def signers_of(document: Document | None) -> list[str]:
    return [] if document is None else [signature.key_id for signature in document.signatures]


def test_change_begins_as_the_present_root_with_the_next_version_and_a_change_log() -> None:
    update = begin(first_root_key=FIRST)

    assert update.is_first_time
    assert update.staged.production is None
    assert update.staged.ci.signatures == ()
    assert replace(update.ci_root, version=2, changelog=None) == OWNER.root_body(2)
    log = update.ci_root.changelog
    assert log is not None
    assert (update.ci_root.version, log.polis_id, log.message) == (3, CALLER, "Take over")


@pytest.mark.parametrize("message", ["", "Schlüssel", "two\nlines", "x" * 501])
def test_message_that_devices_would_refuse_for_ever_begins_nothing(message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        begin_update(BEGUN, message=message, by=CALLER, first_root_key=None, now=NOW)
    assert caught.value.code == "tuf-message-invalid"


def test_first_root_key_is_handed_out_while_it_is_in_use_alone() -> None:
    with pytest.raises(InvalidInputError) as caught:
        begin(first_root_key=SPARE.key.key_id)
    assert caught.value.code == "tuf-first-root-key-replaced"
    assert not begin().is_first_time


def test_take_over_in_one_upload_can_be_published() -> None:
    update = begin(first_root_key=FIRST)

    staged = stage(update, upload(rotated(update), OWNER.root, NEW))

    assert find_update_faults(staged, BEGUN, {}, now=NOW) == []
    assert (staged.updated_by, staged.updated_at, staged.created_at) == (CALLER, LATER, NOW)


def test_upload_that_breaks_a_rule_changes_nothing() -> None:
    update = begin()

    assert faults(update, upload(replace(rotated(update), version=4))) == ["version-changed"]
    assert faults(update, upload(rotated(update), threshold=1)) == ["threshold-of-production"]


def test_two_who_sign_at_once_lose_no_signature_and_a_changed_root_loses_them_all() -> None:
    update = begin()
    one = stage(update, upload(rotated(update), OWNER.root))

    both = stage(one, upload(rotated(update), NEW))
    changed = stage(both, upload(with_role(update.ci_root, Role.ROOT, NEW.key, SPARE.key, owner=CALLER)))

    assert signers_of(both.staged.ci) == signers_of(both.staged.production) == [NEW.key.key_id, FIRST]
    assert signers_of(changed.staged.ci) == signers_of(changed.staged.production) == []


def test_other_online_keys_void_the_signatures_and_stay_when_uploaded_again() -> None:
    update = begin()
    signed = stage(update, upload(rotated(update), OWNER.root, NEW))
    fresh = {Role.TARGETS: SPARE.key, Role.TIMESTAMP: RELEASE.key}

    moved = replace_online_keys(signed, fresh, by=CALLER, now=LATER)

    assert moved.online_keys[Role.TARGETS] == SPARE.key.key_id
    assert moved.online_keys[Role.SNAPSHOT] == OWNER.snapshot.key.key_id
    assert signers_of(moved.staged.ci) == signers_of(moved.staged.production) == []
    assert OWNER.timestamp.key.key_id not in moved.ci_root.keys
    again = stage(moved, upload(moved.ci_root, OWNER.root, NEW))
    assert find_update_faults(again, BEGUN, {}, now=NOW) == []
    assert faults(moved, upload(rotated(update))) == ["online-role-changed"] * 2
    assert replace_online_keys(update, fresh, by=CALLER, now=LATER).staged.production is None


def _released() -> tuple[Published, Document]:
    """A factory whose targets were taken over and that has production targets."""
    root = with_role(OWNER.root_body(3), Role.TARGETS, OWNER.targets.key, RELEASE.key, owner=CALLER)
    chains = Chains(signed_root(root, OWNER.root), signed_root(production_of(root, targets_threshold=2), OWNER.root))
    targets = signed_document(new_targets(7, NOW + timedelta(days=9), {}), OWNER.targets, RELEASE)
    return Published(chains, OWNER.online, {"main": targets}), targets


def test_new_targets_key_signs_production_targets_before_it_is_published() -> None:
    published, targets = _released()
    update = begin(published)
    root = with_role(update.ci_root, Role.TARGETS, OWNER.targets.key, NEW.key, owner=CALLER)
    signature = sign(targets.payload, NEW)
    online = sign(targets.payload, OWNER.targets)

    staged = stage(update, upload(root, OWNER.root, targets={"main": (signature,)}), published)

    assert staged.targets_signatures == {"main": (signature,)}
    under_new_root = {"main": replace(targets, signatures=(online, signature))}
    assert find_update_faults(staged, published, under_new_root, now=NOW) == []
    without = {"main": replace(targets, signatures=(online,))}
    assert [fault.kind for fault in find_update_faults(staged, published, without, now=NOW)] == [
        "targets-signatures-missing"
    ]


def test_signatures_over_targets_are_those_of_targets_keys_and_go_with_their_key() -> None:
    published, targets = _released()
    update = begin(published)
    root = with_role(update.ci_root, Role.TARGETS, OWNER.targets.key, NEW.key, owner=CALLER)
    good, strange = sign(targets.payload, NEW), sign(targets.payload, SPARE)
    wrong = Signature(NEW.key.key_id, "ed25519", sign(b"other", NEW).value)

    assert faults(update, upload(root, targets={"main": (strange,)}), published) == ["targets-signature-invalid"]
    assert faults(update, upload(root, targets={"main": (wrong,)}), published) == ["targets-signature-invalid"]
    assert faults(update, upload(root, targets={"devel": (good,)}), published) == ["targets-unknown"]
    signed = stage(update, upload(root, targets={"main": (good,)}), published)
    without_key = stage(signed, upload(update.ci_root), published)
    assert without_key.targets_signatures == {"main": ()}
    assert read_root(without_key.staged.ci.signed) == update.ci_root
