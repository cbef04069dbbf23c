"""What a root must be to be staged, and what must hold before it is published (protocol: tuf.md §6.2-6.3).

While a change is being prepared its signatures and thresholds may be anything, since people do things in any order;
what could never be published is refused at once. Publishing asks for everything a device will ask for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import find_unsafe
from ownroot.tuf.keys import TufKey
from ownroot.tuf.metadata import ROOT_MAX_OCTETS, Document, KeyOwner, Role, RoleKeys, Root, is_time, read_root
from ownroot.tuf.signatures import is_valid, signed_by

MAX_ROOT_VERSION: Final = 999  # the most that devices walk through
MIN_PRODUCTION_THRESHOLD: Final = 2
_LONGEST_LIFE: Final = timedelta(days=367)
_CI_TARGETS_THRESHOLD: Final = 1

OnlineKeys = Mapping[Role, str]  # the key id of each online role


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule: its stable name and a sentence for a person."""

    kind: str
    message: str


def by_kind(faults: Iterable[Fault]) -> dict[str, str]:
    """Return all messages of each kind, in order and joined by blanks, as an error tells them in `fields`."""
    messages: dict[str, list[str]] = {}
    for fault in faults:
        messages.setdefault(fault.kind, []).append(fault.message)
    return {kind: " ".join(those) for kind, those in messages.items()}


@dataclass(frozen=True, slots=True)
class Chains:
    """One version of both root chains. Before the first change there is no production root of its own."""

    ci: Document
    production: Document | None

    @property
    def production_or_ci(self) -> Document:
        """The root that production devices hold."""
        return self.ci if self.production is None else self.production


@dataclass(frozen=True, slots=True)
class StagedChange:
    """What an upload is judged against.

    Attributes:
        current: what devices hold now.
        staged: the signed part of the CI root as it is staged now: its version and changelog are the server's.
        online_keys: staged key id of each online role.
        caller: who uploads.
    """

    current: Chains
    staged: Root
    online_keys: OnlineKeys
    caller: str
    now: datetime


def find_staging_faults(upload: Chains, change: StagedChange) -> list[Fault]:
    """Return every rule that an upload breaks; empty if it may be staged."""
    if upload.production is None:
        return [Fault("production-root-missing", "The upload has no production root.")]
    try:
        ci, production = read_root(upload.ci.signed), read_root(upload.production.signed)
    except InvalidInputError as error:
        return [Fault(error.code, error.detail)]
    return [
        *_unsafe(upload),
        *_of_the_server(ci, change),
        *_role_faults(ci, change.online_keys),
        *_key_faults(ci),
        *_expiry_faults(ci, change),
        *_production_faults(ci, production),
        *_owner_faults(ci, change),
        *_signature_faults(upload, ci, change),
    ]


def find_publishing_faults(staged: Chains, current: Chains, *, now: datetime) -> list[Fault]:
    """Return why a staged change cannot be published; empty if every device that holds `current` will take it.

    `staged` has been through `find_staging_faults`.
    """
    if staged.production is None:
        return [Fault("nothing-staged", "Nothing was changed yet, so there is nothing to apply.")]
    faults = list(_chain_faults("CI", staged.ci, current.ci, now))
    faults += _chain_faults("production", staged.production, current.production_or_ci, now)
    for name, document in (("CI", staged.ci), ("production", staged.production)):
        faults += _threshold_faults(name, read_root(document.signed))
    return faults


def has_offline_targets_key(root: Root, online_keys: OnlineKeys) -> bool:
    """Can production targets reach their threshold at all?"""
    return any(key_id != online_keys[Role.TARGETS] for key_id in root.roles[Role.TARGETS].key_ids)


def production_of(ci: Root, *, targets_threshold: int) -> Root:
    """Return the production root that belongs to a CI root: they differ in the threshold of targets alone."""
    targets = replace(ci.roles[Role.TARGETS], threshold=targets_threshold)
    return replace(ci, roles={**ci.roles, Role.TARGETS: targets})


def _unsafe(upload: Chains) -> Iterator[Fault]:
    for name, document in (("CI", upload.ci), ("production", upload.production_or_ci)):
        where = find_unsafe(document.signed)
        if where is not None:
            yield Fault("not-portable", f"Devices would not agree on the bytes of the {name} root: {where}.")
        if len(document.encoded()) > ROOT_MAX_OCTETS:
            yield Fault("root-too-long", f"The {name} root is longer than the {ROOT_MAX_OCTETS} bytes a device reads.")


def _of_the_server(ci: Root, change: StagedChange) -> Iterator[Fault]:
    if ci.version != change.staged.version:
        yield Fault("version-changed", f"The version must stay {change.staged.version}; the server counts it.")
    if ci.changelog != change.staged.changelog:
        yield Fault("changelog-changed", "The change log entry is the server's and must stay as it is.")


def _role_faults(root: Root, online_keys: OnlineKeys) -> Iterator[Fault]:
    for role, keys in root.roles.items():
        if len(set(keys.key_ids)) != len(keys.key_ids):
            yield Fault("key-repeated", f"The role {role} names a key twice.")
    for role in (Role.SNAPSHOT, Role.TIMESTAMP):
        if root.roles[role] != RoleKeys((online_keys[role],), 1):
            yield Fault(
                "online-role-changed", f"The role {role} has the server's key {online_keys[role]}, threshold 1."
            )
    if online_keys[Role.TARGETS] not in root.roles[Role.TARGETS].key_ids:
        yield Fault("online-role-changed", f"The role targets must keep the server's key {online_keys[Role.TARGETS]}.")
    if root.roles[Role.TARGETS].threshold != _CI_TARGETS_THRESHOLD:
        yield Fault("threshold-of-ci-targets", "The threshold of targets in the CI root is 1; production has its own.")
    offline = root.roles[Role.ROOT].key_ids
    if not offline or not set(offline).isdisjoint(online_keys.values()):
        yield Fault("root-key-online", "The role root has at least one key, and none that the server holds online.")


def _key_faults(root: Root) -> Iterator[Fault]:
    used = {key_id for keys in root.roles.values() for key_id in keys.key_ids}
    if used != set(root.keys):
        yield Fault("keys-not-in-roles", "`keys` must hold exactly the keys that roles name.")


def _expiry_faults(root: Root, change: StagedChange) -> Iterator[Fault]:
    if root.expires <= change.now:
        yield Fault("root-expired", f"The root would have expired on {root.expires:%Y-%m-%d}.")
    elif root.expires < read_root(change.current.ci.signed).expires:
        yield Fault("expiry-shortened", "The root would expire before the present one does.")
    elif root.expires > change.now + _LONGEST_LIFE:
        yield Fault("expiry-too-far", f"A root lives a year; {root.expires:%Y-%m-%d} is too far away.")


def _production_faults(ci: Root, production: Root) -> Iterator[Fault]:
    threshold = production.roles[Role.TARGETS].threshold
    if production_of(ci, targets_threshold=threshold) != production:
        yield Fault("production-differs", "The production root differs from the CI root in more than its threshold.")
    if threshold < MIN_PRODUCTION_THRESHOLD:
        yield Fault("threshold-of-production", f"Production targets need {MIN_PRODUCTION_THRESHOLD} keys or more.")


def _owner_faults(ci: Root, change: StagedChange) -> Iterator[Fault]:
    present, staged = read_root(change.current.ci.signed), change.staged
    known = {**present.owners, **staged.owners}
    for key_id, owner in ci.owners.items():
        if key_id not in ci.keys:
            yield Fault("owner-of-no-key", f"An owner is named for {key_id[:64]}, which is no key of this root.")
        elif key_id not in known:
            is_new = key_id not in present.keys and key_id not in staged.keys
            yield from _new_owner_faults(key_id, owner, change.caller, is_new=is_new)
    for key_id in known.keys() & ci.keys.keys():
        if ci.owners.get(key_id) != known[key_id]:
            yield Fault("owner-changed", f"The owner of the key {key_id} may not be changed.")


def _new_owner_faults(key_id: str, owner: KeyOwner, caller: str, *, is_new: bool) -> Iterator[Fault]:
    if not is_new:
        yield Fault("owner-changed", f"The key {key_id} is in the root without an owner; nobody may claim it now.")
    if owner.polis_id != caller:
        yield Fault("owner-of-another", f"The new key {key_id} must be owned by whoever adds it.")
    if not is_time(owner.created_at):
        # Existing clients read it as a time: with any other text there they could read no root from this one on.
        yield Fault("owner-time", f"`created-at` of the key {key_id} must be a time written YYYY-MM-DDTHH:MM:SSZ.")


def _signature_faults(upload: Chains, ci: Root, change: StagedChange) -> Iterator[Fault]:
    signers = _root_keys(ci) | _root_keys(read_root(change.current.ci.signed))
    for name, document in (("CI", upload.ci), ("production", upload.production_or_ci)):
        payload = document.payload
        for signature in document.signatures:
            if not is_valid(payload, signature, signers.get(signature.key_id)):
                yield Fault(
                    "signature-invalid",
                    f"A signature of the {name} root, by {signature.key_id}, is not a root key's over this very root.",
                )


def _root_keys(root: Root) -> dict[str, TufKey]:
    return {key_id: root.keys[key_id] for key_id in root.roles[Role.ROOT].key_ids if key_id in root.keys}


def _chain_faults(name: str, staged: Document, current: Document, now: datetime) -> Iterator[Fault]:
    new, old = read_root(staged.signed), read_root(current.signed)
    if new.version != old.version + 1 or new.version > MAX_ROOT_VERSION:
        yield Fault("version-not-next", f"The {name} root must have version {old.version + 1}, at most 999.")
    if len(staged.encoded()) > ROOT_MAX_OCTETS:
        yield Fault("root-too-long", f"The {name} root is longer, signatures included, than the bytes a device reads.")
    if new.expires <= now:
        yield Fault("root-expired", f"The {name} root has expired on {new.expires:%Y-%m-%d}.")
    for which, root in (("present", old), ("new", new)):
        missing = _missing_signatures(staged, root)
        if missing:
            yield Fault(
                "signatures-missing",
                f"The {name} root lacks {missing} more signature(s) by root keys of the {which} root.",
            )


def _missing_signatures(document: Document, root: Root) -> int:
    role = root.roles[Role.ROOT]
    return max(0, role.threshold - len(signed_by(document.payload, document.signatures, root.keys, role.key_ids)))


def _threshold_faults(name: str, root: Root) -> Iterator[Fault]:
    for role, keys in root.roles.items():
        # Between the take-over of root and that of targets, production targets have their threshold and no second key.
        is_between = name == "production" and role is Role.TARGETS and len(keys.key_ids) == 1
        if keys.threshold > len(keys.key_ids) and not is_between:
            yield Fault("threshold-too-high", f"The role {role} of the {name} root needs more keys than it has.")


def count_signatures(document: Document, keys: Mapping[str, TufKey], role: RoleKeys) -> int:
    """How many keys of a role have signed a document."""
    return len(signed_by(document.payload, document.signatures, keys, role.key_ids))


def find_targets_faults(name: str, document: Document, root: Root) -> list[Fault]:
    """Return why production devices would refuse a targets document under this production root."""
    role = root.roles[Role.TARGETS]
    missing = role.threshold - count_signatures(document, root.keys, role)
    if missing <= 0:
        return []
    return [Fault("targets-signatures-missing", f"The targets {name} lack {missing} signature(s) of targets keys.")]
