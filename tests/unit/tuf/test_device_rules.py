"""A device's walk from its first root to its targets, and each step's refusing twins."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ownroot.errors import RefusedError
from ownroot.tuf.canonical import Json, decode
from ownroot.tuf.device_rules import Described, DeviceTrust
from ownroot.tuf.metadata import Role, new_snapshot, new_targets, new_timestamp
from tests.support.tuf_world import CHANGE, NOW, TufOwner, ed25519_signer, signed_document, signed_root, with_role

OWNER = TufOwner()
FIRST = signed_root(OWNER.root_body(), OWNER.root).encoded()
NEW = ed25519_signer(11)
LATER = NOW + timedelta(days=100)


def device(root: bytes = FIRST) -> DeviceTrust:
    return DeviceTrust(root)


def refresh(trust: DeviceTrust, documents: tuple[bytes, bytes, bytes]) -> None:
    timestamp, snapshot, targets = documents
    trust.update_timestamp(timestamp, now=NOW)
    trust.update_snapshot(snapshot, now=NOW)
    trust.update_targets(targets, now=NOW)


def refusal(act: object, *arguments: object, **options: object) -> str:
    with pytest.raises(RefusedError) as caught:
        act(*arguments, **options)  # type: ignore[operator]
    return caught.value.code


def second_root(**changes: object) -> bytes:
    body = with_role(OWNER.root_body(2, changelog=CHANGE), Role.ROOT, NEW.key)
    return signed_root(replace(body, **changes), OWNER.root, NEW).encoded()  # type: ignore[arg-type]


def test_device_walks_up_the_roots_and_down_to_its_targets() -> None:
    trust = device()
    trust.update_root(second_root())
    refresh(trust, OWNER.documents(1))
    refresh(trust, OWNER.documents(1))
    refresh(trust, OWNER.documents(2))

    assert trust.root.version == 2
    assert trust.targets is not None
    assert trust.targets.version == 2


def test_root_is_signed_by_the_keys_before_and_by_its_own() -> None:
    body = with_role(OWNER.root_body(2), Role.ROOT, NEW.key)

    assert refusal(device().update_root, signed_root(body, OWNER.root).encoded()) == "tuf-signatures-missing"
    assert refusal(device().update_root, signed_root(body, NEW).encoded()) == "tuf-signatures-missing"
    assert refusal(device, signed_root(OWNER.root_body(), NEW).encoded()) == "tuf-signatures-missing"


@pytest.mark.parametrize("version", [1, 3])
def test_roots_come_one_by_one(version: int) -> None:
    assert refusal(device().update_root, second_root(version=version)) == "tuf-root-version"


def test_threshold_counts_keys_not_signatures() -> None:
    both = with_role(OWNER.root_body(2), Role.ROOT, OWNER.root.key, NEW.key, threshold=2)

    trust = device()
    trust.update_root(signed_root(both, OWNER.root, NEW).encoded())
    lowered = with_role(OWNER.root_body(3), Role.ROOT, NEW.key)

    assert refusal(trust.update_root, signed_root(lowered, NEW).encoded()) == "tuf-signatures-missing"
    trust.update_root(signed_root(lowered, OWNER.root, NEW).encoded())


def test_expired_root_is_a_step_on_the_way_and_no_place_to_stay() -> None:
    trust = device(signed_root(OWNER.root_body(expires=NOW), OWNER.root).encoded())
    timestamp, _, _ = OWNER.documents()

    assert refusal(trust.update_timestamp, timestamp, now=NOW) == "tuf-root-expired"
    trust.update_root(second_root())
    trust.update_timestamp(timestamp, now=NOW)


def test_documents_come_in_order() -> None:
    _, snapshot, targets = OWNER.documents()
    trust = device()

    assert refusal(trust.update_snapshot, snapshot, now=NOW) == "tuf-order"
    assert refusal(trust.update_targets, targets, now=NOW) == "tuf-order"


@pytest.mark.parametrize("role", [Role.TIMESTAMP, Role.SNAPSHOT, Role.TARGETS])
def test_expired_documents_are_refused(role: Role) -> None:
    timestamp, snapshot, targets = OWNER.documents(days=30)
    trust = device()
    moments = {one: LATER if one is role else NOW for one in Role}

    def walk() -> None:
        trust.update_timestamp(timestamp, now=moments[Role.TIMESTAMP])
        trust.update_snapshot(snapshot, now=moments[Role.SNAPSHOT])
        trust.update_targets(targets, now=moments[Role.TARGETS])

    assert refusal(walk) == "tuf-expired"


def test_targets_that_expired_are_verified_for_whoever_signs_them_anew_and_not_taken() -> None:
    timestamp, snapshot, targets = OWNER.documents(days=30)
    trust = device()
    trust.update_timestamp(timestamp, now=NOW)
    trust.update_snapshot(snapshot, now=NOW)

    assert refusal(trust.update_targets, targets, now=LATER) == "tuf-expired"
    assert trust.verify_targets(targets).data == targets
    assert trust.targets is None
    assert refusal(trust.verify_targets, OWNER.documents(2, days=30)[2]) == "tuf-mix-and-match"


def test_older_documents_are_refused() -> None:
    trust = device()
    refresh(trust, OWNER.documents(5))

    assert refusal(trust.update_timestamp, OWNER.documents(4)[0], now=NOW) == "tuf-rollback"


def test_newer_document_cannot_bring_an_older_one_below_it() -> None:
    expires = NOW + timedelta(days=1)
    trust = device()
    refresh(trust, OWNER.documents(5))
    _, old_snapshot, old_targets = OWNER.documents(4)

    back = signed_document(new_timestamp(6, expires, old_snapshot, snapshot_version=4), OWNER.timestamp)
    assert refusal(trust.update_timestamp, back.encoded(), now=NOW) == "tuf-rollback"

    snapshot = signed_document(new_snapshot(6, expires, old_targets, targets_version=4), OWNER.snapshot).encoded()
    timestamp = signed_document(new_timestamp(6, expires, snapshot, snapshot_version=6), OWNER.timestamp).encoded()
    trust.update_timestamp(timestamp, now=NOW)
    assert refusal(trust.update_snapshot, snapshot, now=NOW) == "tuf-rollback"


def test_documents_of_two_states_do_not_mix() -> None:
    one, two = OWNER.documents(1), OWNER.documents(2)
    trust = device()
    trust.update_timestamp(one[0], now=NOW)

    assert refusal(trust.update_snapshot, two[1], now=NOW) == "tuf-mix-and-match"
    trust.update_snapshot(one[1], now=NOW)
    assert refusal(trust.update_targets, two[2], now=NOW) == "tuf-mix-and-match"


def test_version_is_the_announced_one_even_where_the_hash_is() -> None:
    expires = NOW + timedelta(days=1)
    snapshot = OWNER.documents(1)[1]
    timestamp = signed_document(new_timestamp(1, expires, snapshot, snapshot_version=2), OWNER.timestamp).encoded()
    trust = device()
    trust.update_timestamp(timestamp, now=NOW)

    assert refusal(trust.update_snapshot, snapshot, now=NOW) == "tuf-mix-and-match"


def test_new_online_keys_forget_what_the_old_ones_counted() -> None:
    trust = device()
    refresh(trust, OWNER.documents(1000))
    moved = replace(OWNER, timestamp=ed25519_signer(21))
    body = with_role(OWNER.root_body(2), Role.TIMESTAMP, moved.timestamp.key)

    trust.update_root(signed_root(body, OWNER.root).encoded())

    assert trust.timestamp is None
    assert refusal(trust.update_timestamp, OWNER.documents(1001)[0], now=NOW) == "tuf-signatures-missing"
    refresh(trust, moved.documents(1))


def test_root_change_alone_forgets_nothing() -> None:
    trust = device()
    refresh(trust, OWNER.documents(7))
    trust.update_root(second_root())

    assert refusal(trust.update_timestamp, OWNER.documents(6)[0], now=NOW) == "tuf-rollback"


_EXPIRES = "2026-12-26T12:00:00Z"


@pytest.mark.parametrize(
    "signed",
    [
        {"_type": "Snapshot", "version": 1, "expires": _EXPIRES},
        {"_type": "Timestamp", "version": 0, "expires": _EXPIRES},
        {"_type": "Timestamp", "version": True, "expires": _EXPIRES},
        {"_type": "Timestamp", "version": 1, "expires": "2026-12-26"},
        {"_type": "Timestamp", "version": 1, "expires": _EXPIRES},
        {"_type": "Timestamp", "version": 1, "expires": _EXPIRES, "meta": {"snapshot.json": {"version": 1}}},
        {
            "_type": "Timestamp",
            "version": 1,
            "expires": _EXPIRES,
            "meta": {"snapshot.json": {"version": 1, "length": 0, "hashes": {"sha256": "00"}}},
        },
        {"_type": "Timestamp", "version": 1, "expires": _EXPIRES, "name": "Schlüssel"},
    ],
)
def test_timestamp_says_everything_a_device_needs(signed: dict[str, Json]) -> None:
    data = signed_document(signed, OWNER.timestamp).encoded()

    assert refusal(device().update_timestamp, data, now=NOW) == "tuf-malformed"


def test_garbage_is_refused_by_name() -> None:
    root = decode(FIRST, max_octets=10_000)
    assert isinstance(root, dict)
    trust = device()

    assert refusal(DeviceTrust, b"[]") == "tuf-malformed"
    assert refusal(DeviceTrust, signed_document(root["signed"] | {"spec_version": "1"}, OWNER.root).encoded()) == (
        "tuf-malformed"
    )
    assert refusal(trust.update_timestamp, b" " * 20_000, now=NOW) == "tuf-too-long"


def test_targets_are_an_object_and_snapshots_may_leave_out_hashes() -> None:
    expires = NOW + timedelta(days=1)
    broken = new_targets(1, expires, {}) | {"targets": []}
    targets = signed_document(broken, OWNER.targets).encoded()
    plain = new_snapshot(1, expires, targets, targets_version=1) | {"meta": {"targets.json": {"version": 1}}}
    snapshot = signed_document(plain, OWNER.snapshot).encoded()
    timestamp = signed_document(new_timestamp(1, expires, snapshot, snapshot_version=1), OWNER.timestamp).encoded()
    trust = device()
    trust.update_timestamp(timestamp, now=NOW)
    trust.update_snapshot(snapshot, now=NOW)

    assert refusal(trust.update_targets, targets, now=NOW) == "tuf-malformed"
    trust.update_targets(signed_document(new_targets(1, expires, {}), OWNER.targets).encoded(), now=NOW)


@pytest.mark.parametrize(
    ("length", "most"), [(700, 700), (None, 5 * 2**20), (9 * 2**20, 8 * 2**20), (2**53 - 1, 8 * 2**20)]
)
def test_no_announced_length_makes_a_device_read_without_end(length: int | None, most: int) -> None:
    assert Described(5, length, None).most_octets == most


def test_what_was_announced_counts_as_seen_even_if_it_was_never_fetched() -> None:
    expires = NOW + timedelta(days=1)
    trust = device()
    trust.update_timestamp(OWNER.documents(5)[0], now=NOW)
    old_snapshot, old_targets = OWNER.documents(4)[1:]
    back = signed_document(new_timestamp(6, expires, old_snapshot, snapshot_version=4), OWNER.timestamp).encoded()

    assert refusal(trust.update_timestamp, back, now=NOW) == "tuf-rollback"
    trust.update_snapshot(OWNER.documents(5)[1], now=NOW)
    snapshot = signed_document(new_snapshot(6, expires, old_targets, targets_version=4), OWNER.snapshot).encoded()
    timestamp = signed_document(new_timestamp(6, expires, snapshot, snapshot_version=6), OWNER.timestamp).encoded()
    trust.update_timestamp(timestamp, now=NOW)
    assert refusal(trust.update_snapshot, snapshot, now=NOW) == "tuf-rollback"
    refresh(trust, OWNER.documents(6))


def resumed(root: bytes, *documents: bytes | None) -> DeviceTrust:
    trust = device(root)
    trust.resume(*documents)
    return trust


def test_next_run_takes_up_what_was_accepted_though_it_has_expired() -> None:
    trust = resumed(FIRST, *OWNER.documents(5, days=-1))

    assert trust.targets is not None
    assert refusal(trust.update_timestamp, OWNER.documents(4)[0], now=NOW) == "tuf-rollback"
    refresh(trust, OWNER.documents(5))
    refresh(resumed(FIRST, None, None, None), OWNER.documents(4))


def test_next_run_of_one_that_was_cut_goes_on() -> None:
    trust = resumed(FIRST, OWNER.documents(6)[0], *OWNER.documents(5)[1:])

    assert refusal(trust.update_timestamp, OWNER.documents(5)[0], now=NOW) == "tuf-rollback"
    refresh(trust, OWNER.documents(6))


@pytest.mark.parametrize("role", [Role.TIMESTAMP, Role.SNAPSHOT])
def test_next_run_forgets_what_other_online_keys_counted(role: Role) -> None:
    new = ed25519_signer(21)
    moved = replace(OWNER, **{role.value: new})
    root = signed_root(with_role(OWNER.root_body(2), role, new.key), OWNER.root).encoded()

    trust = resumed(root, *OWNER.documents(1000))

    assert (trust.timestamp, trust.snapshot, trust.targets) == (None, None, None)
    refresh(trust, moved.documents(1))


def test_next_run_forgets_targets_of_another_key_and_not_their_version() -> None:
    new = ed25519_signer(21)
    moved = replace(OWNER, targets=new)
    root = signed_root(with_role(OWNER.root_body(2), Role.TARGETS, new.key), OWNER.root).encoded()

    trust = resumed(root, *OWNER.documents(5))

    assert trust.targets is None
    assert refusal(trust.update_timestamp, moved.documents(4)[0], now=NOW) == "tuf-rollback"
    refresh(trust, moved.documents(6))
