"""What a device would refuse for good is found before it is published, whatever rule should have found it earlier."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from ownroot.tuf.final_check import find_document_refusals, find_root_refusals
from ownroot.tuf.metadata import ONLINE_ROLES, Changelog, Document, Role, new_targets
from ownroot.tuf.repository import ci_documents, production_documents
from ownroot.tuf.root_rules import Chains, Fault, production_of
from tests.support.tuf_world import (
    CALLER,
    CHANGE,
    NOW,
    TufOwner,
    ed25519_signer,
    signed_document,
    signed_root,
    with_role,
)

OWNER = TufOwner()
NEW = ed25519_signer(11)
HELD = Chains(signed_root(OWNER.root_body(), OWNER.root), None)
NEXT = with_role(OWNER.root_body(2, changelog=CHANGE), Role.ROOT, NEW.key)
ONLINE = dict(zip(ONLINE_ROLES, (OWNER.targets, OWNER.snapshot, OWNER.timestamp), strict=True))


def staged(ci: Document | None = None, production: Document | None = None) -> Chains:
    body = production_of(NEXT, targets_threshold=2)
    return Chains(ci or signed_root(NEXT, OWNER.root, NEW), production or signed_root(body, OWNER.root, NEW))


def named(faults: list[Fault]) -> list[tuple[str, str]]:
    return [(fault.kind, fault.message.rpartition("(")[2].rstrip(")")) for fault in faults]


def test_next_roots_that_devices_take_are_no_fault() -> None:
    assert find_root_refusals(staged(), HELD) == []


POISON = replace(NEXT, changelog=Changelog(CALLER, "Schl\u00fcssel", "2026-11-26T12:00:00Z"))


@pytest.mark.parametrize(
    ("root", "rule"),
    [
        (signed_root(NEXT, OWNER.root), "tuf-signatures-missing"),
        (signed_root(NEXT, NEW), "tuf-signatures-missing"),
        (signed_root(POISON, OWNER.root, NEW), "tuf-malformed"),
        (signed_root(replace(NEXT, version=3), OWNER.root, NEW), "tuf-root-version"),
        (Document(NEXT.signed() | {"delegations": {}}), "tuf-malformed"),
    ],
)
@pytest.mark.parametrize("chain", [lambda root: staged(ci=root), lambda root: staged(production=root)])
def test_root_that_one_chain_would_refuse_is_a_fault(
    root: Document, rule: str, chain: Callable[[Document], Chains]
) -> None:
    assert named(find_root_refusals(chain(root), HELD)) == [("device-refuses", rule)]


def test_documents_of_the_new_keys_are_taken_and_those_of_others_are_a_fault() -> None:
    good = ci_documents({}, ONLINE, version=4, now=NOW)
    foreign = ci_documents({}, ONLINE | {Role.TARGETS: NEW}, version=5, now=NOW)

    assert find_document_refusals(HELD.ci, [good, good], now=NOW) == []
    assert named(find_document_refusals(HELD.ci, [good, foreign], now=NOW)) == [
        ("device-refuses", "tuf-signatures-missing")
    ]


def test_production_targets_that_have_ended_are_no_obstacle_and_those_without_signatures_are() -> None:
    targets = signed_document(new_targets(3, NOW - timedelta(days=1), {}), OWNER.targets)
    ended = production_documents(targets, ONLINE, version=4, now=NOW)
    two = signed_root(with_role(OWNER.root_body(), Role.TARGETS, OWNER.targets.key, NEW.key, threshold=2), OWNER.root)

    assert find_document_refusals(HELD.ci, [ended], now=NOW) == []
    assert named(find_document_refusals(two, [ended], now=NOW)) == [("device-refuses", "tuf-signatures-missing")]
