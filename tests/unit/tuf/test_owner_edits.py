"""Edits of an owner's program: each result is what the server's own rules accept, and each refusal has its name."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ownroot.errors import OwnrootError
from ownroot.tuf.metadata import Document, KeyOwner, Role, read_root
from ownroot.tuf.owner_edits import (
    Draft,
    add_key,
    draft_of,
    is_only_begun,
    offline_keys,
    prolong,
    ready_to_sign,
    remove_key,
    replaces_only_online_keys,
    set_threshold,
    sign_chains,
)
from ownroot.tuf.root_rules import Chains, StagedChange, find_publishing_faults, find_staging_faults
from tests.support.tuf_world import CALLER, CHANGE, NOW, TufOwner, ed25519_signer, signed_root

OWNER = TufOwner()
PRESENT = Chains(signed_root(OWNER.root_body(2), OWNER.root), None)
BEGUN = Chains(Document(OWNER.root_body(3, changelog=CHANGE).signed()), None)
NEW, SPARE = ed25519_signer(11), ed25519_signer(12)
MINE = KeyOwner(CALLER, "2026-11-26T12:00:00Z")


def faults_of(draft: Draft) -> list[str]:
    change = StagedChange(PRESENT, read_root(BEGUN.ci.signed), OWNER.online, CALLER, NOW)
    return [fault.kind for fault in find_staging_faults(draft.chains(), change)]


def rotated() -> Draft:
    return remove_key(add_key(draft_of(BEGUN), Role.ROOT, NEW.key, MINE), Role.ROOT, OWNER.root.key.key_id)


def test_rotated_root_signed_by_both_keys_can_be_published() -> None:
    draft = prolong(rotated(), NOW)
    chains = sign_chains(draft.chains(), [OWNER.root, NEW])

    assert faults_of(draft) == []
    assert draft.root.expires == NOW + timedelta(days=365)
    assert find_publishing_faults(chains, PRESENT, now=NOW) == []
    alone = sign_chains(draft.chains(), [NEW])
    assert {fault.kind for fault in find_publishing_faults(alone, PRESENT, now=NOW)} == {"signatures-missing"}


def test_removed_key_leaves_keys_and_owners_too() -> None:
    draft = remove_key(add_key(rotated(), Role.TARGETS, SPARE.key, MINE), Role.TARGETS, SPARE.key.key_id)

    assert SPARE.key.key_id not in draft.root.keys
    assert set(draft.root.owners) == {NEW.key.key_id}
    assert faults_of(draft) == []


def test_offline_keys_of_targets_are_those_the_server_does_not_hold() -> None:
    draft = add_key(draft_of(BEGUN), Role.TARGETS, SPARE.key, MINE)

    assert offline_keys(draft.root, Role.TARGETS, OWNER.online) == (SPARE.key.key_id,)


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda draft: add_key(draft, Role.TARGETS, OWNER.root.key, MINE), "tuf-key-in-use"),
        (lambda draft: remove_key(draft, Role.TARGETS, OWNER.root.key.key_id), "tuf-key-not-in-role"),
        (lambda draft: set_threshold(draft, Role.ROOT, 0), "tuf-threshold-invalid"),
        (lambda draft: set_threshold(draft, Role.TARGETS, 1), "tuf-threshold-invalid"),
    ],
)
def test_edits_that_no_root_could_hold_are_refused(edit, code: str) -> None:
    with pytest.raises(OwnrootError) as refused:
        edit(draft_of(BEGUN))
    assert refused.value.code == code


def test_threshold_of_root_is_in_both_chains_and_that_of_targets_in_production_alone() -> None:
    chains = set_threshold(set_threshold(rotated(), Role.ROOT, 2), Role.TARGETS, 3).chains()

    ci, production = read_root(chains.ci.signed), read_root(chains.production_or_ci.signed)
    assert (ci.roles[Role.ROOT].threshold, production.roles[Role.ROOT].threshold) == (2, 2)
    assert (ci.roles[Role.TARGETS].threshold, production.roles[Role.TARGETS].threshold) == (1, 3)
    assert draft_of(chains).production_threshold == 3


def test_change_that_begins_without_a_production_root_keeps_the_present_threshold() -> None:
    present = set_threshold(rotated(), Role.TARGETS, 3).chains()

    assert draft_of(BEGUN, present).production_threshold == 3
    assert draft_of(BEGUN, PRESENT).production_threshold == 2


def test_root_is_never_shortened() -> None:
    draft = draft_of(Chains(Document(OWNER.root_body(3, expires=NOW + timedelta(days=366)).signed()), None))

    assert prolong(draft, NOW).root.expires == NOW + timedelta(days=366)


def test_nothing_staged_is_nothing_to_sign_and_earlier_signatures_are_kept() -> None:
    with pytest.raises(OwnrootError, match="tuf-nothing-staged"):
        sign_chains(BEGUN, [NEW])
    once = sign_chains(rotated().chains(), [NEW])

    twice = sign_chains(once, [OWNER.root, NEW])

    assert [one.key_id for one in twice.ci.signatures] == [OWNER.root.key.key_id, NEW.key.key_id]


def test_change_with_more_in_it_than_version_and_message_is_not_only_begun() -> None:
    assert is_only_begun(BEGUN, PRESENT)
    assert not is_only_begun(Chains(Document(rotated().root.signed()), None), PRESENT)
    assert not is_only_begun(Chains(BEGUN.ci, BEGUN.ci), PRESENT)


def test_new_online_keys_alone_are_signed_for_production_too() -> None:
    other = replace(OWNER, snapshot=SPARE)
    replaced = Chains(Document(other.root_body(3, changelog=CHANGE).signed()), None)

    ready = ready_to_sign(replaced, PRESENT)

    assert ready.ci == replaced.ci
    assert ready.production == draft_of(replaced, PRESENT).chains().production
    assert ready_to_sign(ready, PRESENT) == ready
    assert ready_to_sign(BEGUN, PRESENT) == BEGUN


def test_online_keys_replaced_and_nothing_else_is_told_from_more() -> None:
    before = rotated().root
    other = replace(OWNER, snapshot=SPARE)
    after = remove_key(
        add_key(Draft(before, 2), Role.SNAPSHOT, SPARE.key, MINE), Role.SNAPSHOT, OWNER.online[Role.SNAPSHOT]
    )
    honest = replace(after.root, owners=before.owners)

    assert replaces_only_online_keys(honest, before, OWNER.online, other.online)
    assert not replaces_only_online_keys(after.root, before, OWNER.online, other.online)
    assert not replaces_only_online_keys(honest, before, OWNER.online, OWNER.online)
