"""A change of the roots, from its first step to the moment it can be published (protocol: tuf.md §4).

A change is a value: each step takes one and returns the next, or raises and leaves it as it was. Who may take a step is
not decided here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import is_printable
from ownroot.tuf.final_check import find_root_refusals
from ownroot.tuf.keys import TufKey
from ownroot.tuf.metadata import Changelog, Document, Role, RoleKeys, Root, format_time, read_root
from ownroot.tuf.root_rules import (
    Chains,
    Fault,
    OnlineKeys,
    StagedChange,
    find_publishing_faults,
    find_staging_faults,
    find_targets_faults,
)
from ownroot.tuf.signatures import Signature, is_valid, merge

MAX_MESSAGE: Final = 500

TargetsSignatures = Mapping[str, tuple[Signature, ...]]  # by tag


def _none() -> TargetsSignatures:
    return MappingProxyType({})


class FaultyRootError(InvalidInputError):
    """A root that breaks rules; every one of them is in `faults`."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("tuf-root-invalid", "The new root cannot be taken. See what is wrong with it, line by line.")
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class RootUpdate:
    """A change under way.

    Attributes:
        staged: the CI root as it is now, and the production root once something was uploaded.
        online_keys: those the staged root names.
        targets_signatures: made for production targets while the change is under way, by tag.
    """

    initiator: str
    is_first_time: bool
    created_at: datetime
    updated_by: str
    updated_at: datetime
    staged: Chains
    online_keys: OnlineKeys
    targets_signatures: TargetsSignatures = field(default_factory=_none)

    @property
    def ci_root(self) -> Root:
        """The signed part of the staged CI root."""
        return read_root(self.staged.ci.signed)


@dataclass(frozen=True, slots=True)
class Upload:
    """What an owner's program sends to be staged."""

    chains: Chains
    targets_signatures: TargetsSignatures = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Published:
    """What devices hold at present.

    Attributes:
        production_targets: by tag, as they are served.
    """

    roots: Chains
    online_keys: OnlineKeys
    production_targets: Mapping[str, Document] = field(default_factory=lambda: MappingProxyType({}))


def begin_update(
    published: Published, *, message: str, by: str, first_root_key: str | None, now: datetime
) -> RootUpdate:
    """Return a change that has changed nothing yet but the version and the change log.

    Args:
        first_root_key: key id of the root key that is to be handed to its owner; None if none is.
    Raises:
        InvalidInputError: `tuf-message-invalid`; `tuf-first-root-key-replaced`.
    """
    _check_message(message)
    root = read_root(published.roots.ci.signed)
    if first_root_key is not None and first_root_key not in root.roles[Role.ROOT].key_ids:
        raise InvalidInputError(
            "tuf-first-root-key-replaced",
            "The first root key was replaced already, so it is not handed out any more. Leave --first-time out.",
        )
    new = replace(root, version=root.version + 1, changelog=Changelog(by, message, format_time(now)))
    staged = Chains(Document(new.signed()), None)
    return RootUpdate(by, first_root_key is not None, now, by, now, staged, published.online_keys)


def stage_upload(update: RootUpdate, upload: Upload, published: Published, *, by: str, now: datetime) -> RootUpdate:
    """Return the change with an upload in place of what was staged; equal roots keep the signatures they have.

    Raises:
        FaultyRootError: `tuf-root-invalid`.
    """
    change = StagedChange(published.roots, update.ci_root, update.online_keys, by, now)
    faults = find_staging_faults(upload.chains, change)
    if not faults:
        faults = list(_signature_faults(upload, published))
    if faults:
        raise FaultyRootError(faults)
    staged = Chains(
        _with_kept_signatures(upload.chains.ci, update.staged.ci),
        _with_kept_signatures(upload.chains.production_or_ci, update.staged.production),
    )
    keys = _targets_keys(read_root(staged.ci.signed))
    signatures = _accumulate(update.targets_signatures, upload.targets_signatures, keys)
    return replace(update, staged=staged, targets_signatures=signatures, updated_by=by, updated_at=now)


def replace_online_keys(update: RootUpdate, new_keys: Mapping[Role, TufKey], *, by: str, now: datetime) -> RootUpdate:
    """Return the change with other online keys; what was signed before is signed for another root, so it goes."""
    old = update.online_keys
    ci = _with_online_keys(update.staged.ci, old, new_keys)
    production = update.staged.production
    staged = Chains(ci, None if production is None else _with_online_keys(production, old, new_keys))
    online = {**old, **{role: key.key_id for role, key in new_keys.items()}}
    return replace(update, staged=staged, online_keys=online, updated_by=by, updated_at=now)


def find_update_faults(
    update: RootUpdate, published: Published, production_targets: Mapping[str, Document], *, now: datetime
) -> list[Fault]:
    """Return why a change cannot be published; empty if it can.

    Args:
        production_targets: by tag, as they would be served under the new root.
    """
    faults = find_publishing_faults(update.staged, published.roots, now=now)
    faults = faults or find_root_refusals(update.staged, published.roots)
    root = read_root(update.staged.production_or_ci.signed)
    for tag, document in production_targets.items():
        faults += find_targets_faults(tag, document, root)
    return faults


def _check_message(message: str) -> None:
    if not message or len(message) > MAX_MESSAGE or not is_printable(message):
        raise InvalidInputError(
            "tuf-message-invalid",
            f"The message must have 1 to {MAX_MESSAGE} characters of printable ASCII: it becomes part of the root, and "
            "devices refuse a root with any other character for ever.",
            fields={"message": "not printable ASCII, empty or too long"},
        )


def _with_kept_signatures(uploaded: Document, staged: Document | None) -> Document:
    if staged is None or staged.signed != uploaded.signed:
        return uploaded
    return replace(uploaded, signatures=merge(uploaded.signatures, staged.signatures))


def _targets_keys(root: Root) -> dict[str, TufKey]:
    return {key_id: root.keys[key_id] for key_id in root.roles[Role.TARGETS].key_ids}


def _signature_faults(upload: Upload, published: Published) -> list[Fault]:
    keys = _targets_keys(read_root(upload.chains.ci.signed))
    faults: list[Fault] = []
    for tag, signatures in upload.targets_signatures.items():
        document = published.production_targets.get(tag)
        if document is None:
            faults.append(Fault("targets-unknown", f"There are no production targets for the tag {tag}."))
            continue
        faults += [
            Fault(
                "targets-signature-invalid",
                f"A signature of the targets {tag}, by {signature.key_id}, is not a targets key's over them.",
            )
            for signature in signatures
            if not is_valid(document.payload, signature, keys.get(signature.key_id))
        ]
    return faults


def _accumulate(kept: TargetsSignatures, added: TargetsSignatures, keys: Mapping[str, TufKey]) -> TargetsSignatures:
    merged = {tag: merge(added.get(tag, ()), kept.get(tag, ())) for tag in {**kept, **added}}
    return {tag: tuple(one for one in signatures if one.key_id in keys) for tag, signatures in merged.items()}


def _with_online_keys(document: Document, old: OnlineKeys, new_keys: Mapping[Role, TufKey]) -> Document:
    root = read_root(document.signed)
    roles = dict(root.roles)
    for role, key in new_keys.items():
        key_ids = tuple(key.key_id if key_id == old[role] else key_id for key_id in roles[role].key_ids)
        roles[role] = RoleKeys(key_ids, roles[role].threshold)
    known = {**root.keys, **{key.key_id: key for key in new_keys.values()}}
    named = {key_id for keys in roles.values() for key_id in keys.key_ids}
    keys = {key_id: key for key_id, key in known.items() if key_id in named}
    return Document(replace(root, roles=roles, keys=keys).signed())
