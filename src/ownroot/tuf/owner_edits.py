"""What an owner's program does to a staged root before it signs and uploads it (protocol: tuf.md §4.3, §5).

Every edit keeps the rules that the server will judge by: `keys` are exactly those that roles name, and the production
root follows the CI root. An edit empties the signatures, since they were made over another root.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from ownroot.errors import ConflictError, InvalidInputError, NotFoundError
from ownroot.tuf.keys import TufKey, TufSigner
from ownroot.tuf.metadata import ONLINE_ROLES, Document, KeyOwner, Role, RoleKeys, Root, read_root
from ownroot.tuf.repository import ROOT_LIFE
from ownroot.tuf.root_rules import MIN_PRODUCTION_THRESHOLD, Chains, OnlineKeys, production_of
from ownroot.tuf.signatures import merge, sign

OFFLINE_ROLES = (Role.ROOT, Role.TARGETS)


@dataclass(frozen=True, slots=True)
class Draft:
    """A root while its owner edits it, and the one number in which production differs."""

    root: Root
    production_threshold: int

    def chains(self) -> Chains:
        """Return both roots, unsigned."""
        production = production_of(self.root, targets_threshold=self.production_threshold)
        return Chains(Document(self.root.signed()), Document(production.signed()))


Edit = Callable[[Draft], Draft]


def draft_of(chains: Chains, current: Chains | None = None) -> Draft:
    """Return what is staged as a draft.

    A change begins without a production root. Its threshold is that of the present one, and two before there is any.

    Args:
        current: what devices hold.
    """
    production = chains.production or (None if current is None else current.production)
    threshold = MIN_PRODUCTION_THRESHOLD
    if production is not None:
        threshold = max(threshold, read_root(production.signed).roles[Role.TARGETS].threshold)
    return Draft(read_root(chains.ci.signed), threshold)


def offline_keys(root: Root, role: Role, online: OnlineKeys) -> tuple[str, ...]:
    """Return the ids of a role's keys that the server does not hold."""
    return tuple(key_id for key_id in root.roles[role].key_ids if key_id not in online.values())


def add_key(draft: Draft, role: Role, key: TufKey, owner: KeyOwner) -> Draft:
    """Add an offline key.

    Raises:
        ConflictError: `tuf-key-in-use`: it is in the root already.
    """
    if key.key_id in draft.root.keys:
        raise ConflictError("tuf-key-in-use", f"The key {key.key_id} is in the root already.")
    root, present = draft.root, draft.root.roles[role]
    roles = {**root.roles, role: RoleKeys((*present.key_ids, key.key_id), present.threshold)}
    keys = {**root.keys, key.key_id: key}
    owners = {**root.owners, key.key_id: owner}
    changed = replace(root, roles=roles, keys=MappingProxyType(keys), owners=MappingProxyType(owners))
    return replace(draft, root=_trimmed(changed))


def remove_key(draft: Draft, role: Role, key_id: str) -> Draft:
    """Take an offline key out of a role.

    Raises:
        NotFoundError: `tuf-key-not-in-role`.
    """
    present = draft.root.roles[role]
    if key_id not in present.key_ids:
        raise NotFoundError("tuf-key-not-in-role", f"The role {role} has no key {key_id[:64]}.")
    left = tuple(each for each in present.key_ids if each != key_id)
    roles = {**draft.root.roles, role: RoleKeys(left, present.threshold)}
    return replace(draft, root=_trimmed(replace(draft.root, roles=roles)))


def set_threshold(draft: Draft, role: Role, threshold: int) -> Draft:
    """Say how many keys must sign: for root in both chains, for targets in production alone.

    Raises:
        InvalidInputError: `tuf-threshold-invalid`.
    """
    least = 1 if role is Role.ROOT else MIN_PRODUCTION_THRESHOLD
    if threshold < least:
        raise InvalidInputError("tuf-threshold-invalid", f"The threshold of {role} is {least} or more.")
    if role is Role.TARGETS:
        return replace(draft, production_threshold=threshold)
    roles = {**draft.root.roles, role: RoleKeys(draft.root.roles[role].key_ids, threshold)}
    return replace(draft, root=replace(draft.root, roles=roles))


def prolong(draft: Draft, now: datetime) -> Draft:
    """Let the root live a year from now; never shorter than it would."""
    return replace(draft, root=replace(draft.root, expires=max(draft.root.expires, now + ROOT_LIFE)))


def sign_chains(chains: Chains, signers: Iterable[TufSigner]) -> Chains:
    """Return both roots with these signatures before those they have.

    Args:
        chains: with a production root.
    Raises:
        ConflictError: `tuf-nothing-staged`: there is no production root yet, so nothing was changed.
    """
    if chains.production is None:
        raise ConflictError("tuf-nothing-staged", "Nothing was changed yet, so there is nothing to sign.")
    made = tuple(signers)
    return Chains(_signed(chains.ci, made), _signed(chains.production, made))


def is_only_begun(staged: Chains, current: Chains) -> bool:
    """Does a change differ from the present root in nothing but version and change log?"""
    present, begun = read_root(current.ci.signed), read_root(staged.ci.signed)
    same = replace(begun, version=present.version, changelog=present.changelog) == present
    return same and staged.production is None


def ready_to_sign(staged: Chains, current: Chains) -> Chains:
    """Return what is staged as it is signed.

    A server that was asked for new online keys and nothing else has no production root yet; it is made from the other.
    Of a change that has only begun nothing is made: there is nothing to sign.
    """
    if staged.production is not None or is_only_begun(staged, current):
        return staged
    return draft_of(staged, current).chains()


def replaces_only_online_keys(after: Root, before: Root, before_online: OnlineKeys, after_online: OnlineKeys) -> bool:
    """Is a root the one before it with other online keys, and nothing else?"""
    renamed = {before_online[role]: after_online[role] for role in ONLINE_ROLES}
    expected = {
        role: RoleKeys(tuple(renamed.get(key_id, key_id) for key_id in keys.key_ids), keys.threshold)
        for role, keys in before.roles.items()
    }
    return replace(after, keys=before.keys) == replace(before, roles=expected)


def _signed(document: Document, signers: tuple[TufSigner, ...]) -> Document:
    made = [sign(document.payload, signer) for signer in signers]
    return replace(document, signatures=merge(made, document.signatures))


def _trimmed(root: Root) -> Root:
    named = {key_id for keys in root.roles.values() for key_id in keys.key_ids}
    keys = {key_id: key for key_id, key in root.keys.items() if key_id in named}
    owners = {key_id: owner for key_id, owner in root.owners.items() if key_id in named}
    return replace(root, keys=MappingProxyType(keys), owners=MappingProxyType(owners))
