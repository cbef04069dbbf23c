"""What may be staged and what may be published; every accepted change has twins that differ in one rule."""

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest

from ownroot.tuf.keys import TufSigner
from ownroot.tuf.metadata import Document, KeyOwner, Role, RoleKeys, Root
from ownroot.tuf.root_rules import (
    Chains,
    Fault,
    StagedChange,
    by_kind,
    find_publishing_faults,
    find_staging_faults,
    find_targets_faults,
    production_of,
)
from tests.support.tuf_world import (
    CALLER,
    CHANGE,
    NOW,
    TufOwner,
    ed25519_signer,
    rsa_signer,
    signed_document,
    signed_root,
    with_role,
)

OWNER = TufOwner()
NEW, SPARE, RELEASE = ed25519_signer(11), ed25519_signer(12), ed25519_signer(13)
CURRENT = Chains(signed_root(OWNER.root_body(2), OWNER.root), None)
STAGED = OWNER.root_body(3, changelog=CHANGE)
ROTATED = with_role(STAGED, Role.ROOT, NEW.key, owner=CALLER)


def change(staged: Root = STAGED, current: Chains = CURRENT) -> StagedChange:
    return StagedChange(current, staged, OWNER.online, CALLER, NOW)


def upload(root: Root = ROTATED, *signers: TufSigner, threshold: int = 2) -> Chains:
    """Both roots, as the owner's program sends them."""
    return Chains(signed_root(root, *signers), signed_root(production_of(root, targets_threshold=threshold), *signers))


def staging(chains: Chains, against: StagedChange | None = None) -> set[str]:
    return {fault.kind for fault in find_staging_faults(chains, against or change())}


def publishing(chains: Chains, current: Chains = CURRENT) -> set[str]:
    return {fault.kind for fault in find_publishing_faults(chains, current, now=NOW)}


def test_first_take_over_is_staged_and_published() -> None:
    """Its production targets have the threshold 2 and one key, which is allowed there alone."""
    chains = upload(ROTATED, OWNER.root, NEW)

    assert staging(chains) == set()
    assert publishing(chains) == set()


@pytest.mark.parametrize(
    "root",
    [
        with_role(STAGED, Role.ROOT, OWNER.root.key, NEW.key, SPARE.key, threshold=2, owner=CALLER),
        with_role(STAGED, Role.TARGETS, OWNER.targets.key, RELEASE.key, owner=CALLER),
        replace(STAGED, expires=NOW + timedelta(days=365)),
        with_role(STAGED, Role.ROOT, OWNER.root.key, rsa_signer().key, owner=CALLER),
        STAGED,
    ],
)
def test_changes_may_be_staged_without_signatures(root: Root) -> None:
    assert staging(upload(root)) == set()


@pytest.mark.parametrize(
    ("root", "fault"),
    [
        (replace(ROTATED, version=4), "version-changed"),
        (replace(ROTATED, changelog=replace(CHANGE, message="other")), "changelog-changed"),
        (replace(ROTATED, changelog=None), "changelog-changed"),
        (with_role(ROTATED, Role.SNAPSHOT, SPARE.key), "online-role-changed"),
        (with_role(ROTATED, Role.TIMESTAMP, OWNER.timestamp.key, SPARE.key), "online-role-changed"),
        (with_role(ROTATED, Role.TIMESTAMP, OWNER.timestamp.key, threshold=2), "online-role-changed"),
        (with_role(ROTATED, Role.TARGETS, RELEASE.key), "online-role-changed"),
        (with_role(ROTATED, Role.TARGETS, OWNER.targets.key, RELEASE.key, threshold=2), "threshold-of-ci-targets"),
        (with_role(ROTATED, Role.ROOT), "root-key-online"),
        (with_role(ROTATED, Role.ROOT, NEW.key, OWNER.snapshot.key), "root-key-online"),
        (with_role(ROTATED, Role.ROOT, NEW.key, NEW.key), "key-repeated"),
        (replace(ROTATED, keys=MappingProxyType({**ROTATED.keys, SPARE.key.key_id: SPARE.key})), "keys-not-in-roles"),
        (
            replace(ROTATED, roles=MappingProxyType({**ROTATED.roles, Role.ROOT: RoleKeys((SPARE.key.key_id,), 1)})),
            "keys-not-in-roles",
        ),
        (replace(ROTATED, expires=NOW), "root-expired"),
        (replace(ROTATED, expires=NOW + timedelta(days=299)), "expiry-shortened"),
        (replace(ROTATED, expires=NOW + timedelta(days=368)), "expiry-too-far"),
        (
            replace(ROTATED, owners=MappingProxyType({SPARE.key.key_id: KeyOwner(CALLER, "2026-11-26T12:00:00Z")})),
            "owner-of-no-key",
        ),
        (with_role(STAGED, Role.ROOT, NEW.key, owner="f" * 24), "owner-of-another"),
        (replace(ROTATED, changelog=replace(CHANGE, message="é")), "not-portable"),
    ],
)
def test_what_could_never_be_published_is_not_staged(root: Root, fault: str) -> None:
    assert fault in staging(upload(root))


def test_production_differs_in_its_threshold_alone() -> None:
    ci = signed_root(ROTATED)
    other = signed_root(production_of(with_role(ROTATED, Role.ROOT, SPARE.key), targets_threshold=2))

    assert staging(Chains(ci, None)) == {"production-root-missing"}
    assert staging(Chains(ci, other)) == {"production-differs"}
    assert staging(upload(threshold=1)) == {"threshold-of-production"}
    assert staging(upload(threshold=3)) == set()


def test_owner_of_a_key_stays() -> None:
    current = Chains(signed_root(replace(ROTATED, version=2, changelog=None), OWNER.root), None)
    stolen = KeyOwner("f" * 24, "2026-11-26T12:00:00Z")
    changed = replace(ROTATED, owners=MappingProxyType({NEW.key.key_id: stolen}))

    assert staging(upload(changed), change(ROTATED, current)) == {"owner-changed"}
    assert staging(upload(ROTATED), change(ROTATED, current)) == set()


def owned(root: Root, **owners: KeyOwner) -> Root:
    return replace(root, owners=MappingProxyType(owners))


def test_owner_is_not_changed_in_two_steps_either() -> None:
    """Who is left out today could be named anew tomorrow."""
    without = owned(ROTATED)

    assert staging(upload(without), change(ROTATED)) == {"owner-changed"}
    assert staging(upload(STAGED), change(ROTATED)) == set()  # the key goes with its owner


def test_key_that_has_no_owner_is_claimed_by_nobody() -> None:
    mine = KeyOwner(CALLER, "2026-11-26T12:00:00Z")
    lonely = owned(ROTATED)

    assert staging(upload(owned(ROTATED, **{NEW.key.key_id: mine})), change(lonely)) == {"owner-changed"}
    assert staging(upload(owned(ROTATED, **{NEW.key.key_id: mine})), change(STAGED)) == set()
    online = owned(STAGED, **{OWNER.targets.key.key_id: mine})
    assert staging(upload(online), change(STAGED)) == {"owner-changed"}


@pytest.mark.parametrize("text", ["yesterday", "", "2026-11-26T12:00:00.5Z", "2026-11-26T12:00:00+00:00"])
def test_time_of_an_owner_is_one_that_every_program_reads(text: str) -> None:
    assert staging(upload(owned(ROTATED, **{NEW.key.key_id: KeyOwner(CALLER, text)}))) == {"owner-time"}


def test_faults_of_one_kind_are_told_together() -> None:
    told = by_kind([Fault("key", "Key a is odd."), Fault("time", "It is over."), Fault("key", "Key b is odd.")])

    assert told == {"key": "Key a is odd. Key b is odd.", "time": "It is over."}


def test_documents_of_other_kinds_are_named() -> None:
    broken = Document(ROTATED.signed() | {"delegations": {}})

    assert staging(Chains(broken, broken)) == {"tuf-document-invalid"}


def test_root_that_no_device_reads_is_not_staged() -> None:
    keys = [ed25519_signer(seed).key for seed in range(100, 500)]

    assert staging(upload(with_role(STAGED, Role.ROOT, *keys, owner=CALLER))) == {"root-too-long"}


def test_staged_signatures_are_root_keys_over_this_very_root() -> None:
    production = signed_root(production_of(ROTATED, targets_threshold=2))
    of_other_root = replace(signed_root(ROTATED), signatures=signed_root(STAGED, NEW).signatures)

    assert staging(upload(ROTATED, OWNER.root)) == set()
    assert staging(upload(ROTATED, SPARE)) == {"signature-invalid"}
    assert staging(upload(ROTATED, OWNER.targets)) == {"signature-invalid"}
    assert staging(Chains(of_other_root, production)) == {"signature-invalid"}


def test_publishing_asks_for_the_present_and_the_new_keys() -> None:
    assert publishing(upload(ROTATED, OWNER.root)) == {"signatures-missing"}
    assert publishing(upload(ROTATED, NEW)) == {"signatures-missing"}
    assert publishing(upload(STAGED, OWNER.root)) == set()


def test_production_is_signed_too() -> None:
    complete = upload(ROTATED, OWNER.root, NEW)
    assert complete.production is not None
    unsigned = replace(complete.production, signatures=complete.production.signatures[:1])

    assert publishing(replace(complete, production=unsigned)) == {"signatures-missing"}
    assert publishing(replace(complete, production=None)) == {"nothing-staged"}


def test_lowering_a_threshold_takes_the_old_number_of_old_keys() -> None:
    two = with_role(OWNER.root_body(2), Role.ROOT, NEW.key, SPARE.key, threshold=2)
    current = Chains(signed_root(two, NEW, SPARE), None)
    one = with_role(STAGED, Role.ROOT, NEW.key)

    assert publishing(upload(one, NEW, SPARE), current) == set()
    assert publishing(upload(one, NEW), current) == {"signatures-missing"}


def test_second_production_root_follows_the_first() -> None:
    first = upload(ROTATED, OWNER.root, NEW)
    next_body = with_role(replace(ROTATED, version=4), Role.TARGETS, OWNER.targets.key, RELEASE.key, owner=CALLER)

    assert publishing(upload(next_body, NEW), first) == set()
    assert publishing(upload(replace(next_body, version=5), NEW), first) == {"version-not-next"}
    assert publishing(upload(next_body, OWNER.root), first) == {"signatures-missing"}


def test_thresholds_can_be_reached() -> None:
    two = with_role(STAGED, Role.ROOT, OWNER.root.key, NEW.key, threshold=3)
    released = with_role(STAGED, Role.TARGETS, OWNER.targets.key, RELEASE.key)

    assert "threshold-too-high" in publishing(upload(two, OWNER.root, NEW))
    assert publishing(upload(released, OWNER.root, threshold=2)) == set()
    assert publishing(upload(released, OWNER.root, threshold=3)) == {"threshold-too-high"}


def test_root_that_signatures_made_too_long_is_not_published() -> None:
    signers = [ed25519_signer(seed) for seed in range(100, 240)]
    many = with_role(STAGED, Role.ROOT, OWNER.root.key, *(signer.key for signer in signers), owner=CALLER)

    assert staging(upload(many, OWNER.root)) == set()
    assert publishing(upload(many, OWNER.root)) == set()
    assert publishing(upload(many, OWNER.root, *signers)) == {"root-too-long"}


def test_expired_root_is_not_published() -> None:
    old = replace(ROTATED, expires=NOW)

    assert publishing(upload(old, OWNER.root, NEW)) == {"root-expired"}


def test_root_number_1000_is_one_no_device_reaches() -> None:
    current = Chains(signed_root(OWNER.root_body(999), OWNER.root), None)

    assert publishing(upload(replace(STAGED, version=1000), OWNER.root), current) == {"version-not-next"}


def test_production_targets_need_their_threshold_of_targets_keys() -> None:
    root = production_of(
        with_role(STAGED, Role.TARGETS, OWNER.targets.key, RELEASE.key, owner=CALLER), targets_threshold=2
    )
    body = {"_type": "Targets", "version": 1}

    assert find_targets_faults("main", signed_document(body, OWNER.targets, RELEASE), root) == []
    for signers in ((OWNER.targets,), (RELEASE, SPARE), ()):
        faults = find_targets_faults("main", signed_document(body, *signers), root)
        assert [fault.kind for fault in faults] == ["targets-signatures-missing"]
