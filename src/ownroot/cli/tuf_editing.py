"""Editing, signing and staging a factory's TUF roots, from the owner's side (protocol: tuf.md §4-5).

Nothing is signed that was not verified up from a root this owner knew, and shown. New keys are on disk before whoever
takes the upload hears of them: a server, or on a machine without one a file.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ownroot.cli.tuf_key_file import EMPTY, KeyFile, digest_of
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.cli.tuf_owner_keys import KeyFiles, OwnerKeys
from ownroot.cli.tuf_roots import RootSource, UpdateView, VerifiedRoots, read_view, verify_roots
from ownroot.client.refusals import is_certain
from ownroot.errors import NotFoundError, OwnrootError, RefusedError
from ownroot.tuf.keys import KeyType, TufKey, TufSigner
from ownroot.tuf.metadata import Document, KeyOwner, Role, format_time, read_root
from ownroot.tuf.owner_edits import (
    Draft,
    add_key,
    draft_of,
    offline_keys,
    prolong,
    remove_key,
    sign_chains,
)
from ownroot.tuf.root_rules import Chains, find_targets_faults
from ownroot.tuf.signatures import Signature, sign
from ownroot.wire.accounts import UserDetails
from ownroot.wire.tuf import RootUpdates, read_tags, stage_document

Say = Callable[[str], None]
TargetsSignatures = dict[str, tuple[Signature, ...]]


@dataclass(frozen=True, slots=True)
class Edited:
    """A draft, and what else came of editing it: key files with new keys, signatures of production targets."""

    draft: Draft
    files: dict[Role, KeyFile]
    targets_signatures: TargetsSignatures


class Repository(RootSource, Protocol):
    """What editing needs of a server, or of a file that stands for one."""

    def root_updates(self) -> RootUpdates: ...
    def self_user(self) -> UserDetails: ...
    def production_targets(self, tags: tuple[str, ...] = ()) -> bytes: ...
    def stage_update(self, document: dict[str, Any]) -> None: ...


class RootEditing:
    """One run. Errors are those of the repository, of the rules of `tuf_roots`, and of key files."""

    def __init__(
        self,
        repository: Repository,
        files: KeyFiles | None,
        keys: OwnerKeys,
        *,
        now: datetime,
        say: Say,
        txid: str = "",
    ) -> None:
        self._repository = repository
        self._files = files
        self._keys = keys
        self._now = now
        self._say = say
        self._txid = txid
        self._verified: VerifiedRoots | None = None
        self._may_be_staged = False

    def look(self) -> UpdateView:
        """Fetch what is and what is staged, verified. Asks for the chain once in a run."""
        if self._verified is None:
            self._verified = verify_roots(self._repository, self.key_file(Role.ROOT))
            if not self._verified.is_anchor_known:
                self._say(
                    "No root of this factory was verified here before, so its chain is believed from root "
                    f"{self._verified.anchor} on as it comes. Its newest root has SHA-256 "
                    f"{digest_of(self._verified.ci)}"
                )
        return read_view(self._repository.root_updates(), self._verified, now=self._now)

    def start_editing(self, view: UpdateView) -> Edited:
        """Return what is staged, ready to be edited."""
        return Edited(draft_of(view.require_staged(), view.current), {}, {})

    def require_keys(
        self, view: UpdateView, rotates: Sequence[Role], keytype: KeyType, *, is_first_time: bool = False
    ) -> None:
        """Refuse key files without the keys that a change is signed with or replaces, while nobody has heard of it.

        Args:
            view: before the change.
            rotates: roles whose key of ours the change replaces by one of `keytype`.
            is_first_time: the old root key comes with the change.

        Raises:
            NotFoundError: `tuf-key-not-in-file`. ConflictError: `tuf-key-ambiguous`. OwnrootError: as `OwnerKeys`.
        """
        if rotates:
            self._keys.require_able(keytype)
        if not is_first_time:
            self._require_root_signers(view, view.current, self.key_file(Role.ROOT))
        for role in rotates:
            present = offline_keys(view.verified.root, role, view.online)
            if present and not (is_first_time and role is Role.ROOT):
                self.key_file(role).find_one(role, present)

    def holds_all(self, view: UpdateView, roles: Sequence[Role]) -> bool:
        """Is there an active key of ours for each of these roles? The first root key, the server's, is not."""
        return all(self._holds_one(view, role) for role in roles)

    def with_new_key(self, edited: Edited, role: Role, keytype: KeyType) -> tuple[Edited, TufKey]:
        """Add a new offline key of ours."""
        signer, on_token = self._keys.make(role, keytype)
        owner = KeyOwner(self._repository.self_user().polis_id, format_time(self._now))
        file = self._edited_file(edited, role).with_key(role, signer, on_token)
        files = {**edited.files, role: file}
        if self._shares_file:
            files = {Role.ROOT: file, Role.TARGETS: file}
        draft = add_key(edited.draft, role, signer.key, owner)
        return Edited(draft, files, edited.targets_signatures), signer.key

    def with_rotated_key(
        self, edited: Edited, view: UpdateView, role: Role, keytype: KeyType, *, replaces: str | None = None
    ) -> Edited:
        """Replace our offline key of a role, or a named one, by a new one. A factory's first targets key replaces none.

        A new root key makes the root live a year from now; production targets that the replaced targets key had signed
        are signed with the new one.
        """
        present = offline_keys(edited.draft.root, role, view.staged_online)
        file = self._edited_file(edited, role)
        old = replaces or (file.find_one(role, present) if present else None)
        changed, key = self.with_new_key(edited, role, keytype)
        draft = changed.draft if old is None else remove_key(changed.draft, role, old)
        if role is Role.ROOT:
            return Edited(prolong(draft, self._now), changed.files, changed.targets_signatures)
        published = self.production_targets(view) if old is not None else {}
        signer = self._keys.open(changed.files[role], key.key_id)
        made: TargetsSignatures = {
            tag: (sign(document.payload, signer),)
            for tag, document in published.items()
            if any(one.key_id == old for one in document.signatures)
        }
        return Edited(draft, changed.files, made)

    def production_targets(self, view: UpdateView, tags: Sequence[str] = ()) -> dict[str, Document]:
        """Fetch production targets; each is signed as the present production root asks.

        Raises:
            RefusedError: `tuf-targets-untrusted`.
        """
        found = read_tags(self._repository.production_targets(tuple(tags)))
        root = read_root(view.current.production_or_ci.signed)
        for tag, document in found.items():
            faults = find_targets_faults(tag, document, root)
            if faults or document.signed.get("_type") != Role.TARGETS.type_name:
                raise RefusedError(
                    "tuf-targets-untrusted",
                    f"The server's production targets of the tag {tag} are not signed as its root asks.",
                )
        return {tag: found[tag] for tag in (tags or found) if tag in found}

    def sign_targets(self, view: UpdateView, documents: dict[str, Document]) -> TargetsSignatures:
        """Sign production targets with our key of the staged root.

        Raises:
            NotFoundError: `tuf-key-not-in-file`. ConflictError: `tuf-key-ambiguous`.
        """
        file = self.key_file(Role.TARGETS)
        root = read_root(view.require_staged().ci.signed)
        key_id = file.find_one(Role.TARGETS, offline_keys(root, Role.TARGETS, view.staged_online))
        signer = self._keys.open(file, key_id)
        return {tag: (sign(document.payload, signer),) for tag, document in documents.items()}

    def key_file(self, role: Role) -> KeyFile:
        """Return what is in the key file of a role; one that is not named, or not there, has no keys."""
        return EMPTY if self._files is None else self._files.of(role).read_or_empty()

    def sign(self, view: UpdateView, chains: Chains, file: KeyFile | None = None) -> Chains:
        """Sign with every key of ours that the present root or the new one asks.

        Raises:
            NotFoundError: `tuf-key-not-in-file`: there is none.
        """
        file = self.key_file(Role.ROOT) if file is None else file
        return sign_chains(chains, self._require_root_signers(view, chains, file))

    def stage(
        self, chains: Chains, files: dict[Role, KeyFile] | None = None, signatures: TargetsSignatures | None = None
    ) -> None:
        """Upload; new keys are on disk before, and in their place once they were taken."""
        with ExitStack() as kept:
            for role, file in (files or {}).items():
                if role is Role.ROOT or not self._shares_file:
                    kept.enter_context(self._store(role).staged(self._remembering(file)))
            self._send(stage_document(chains, txid=self._txid, targets_signatures=signatures or {}))

    def _send(self, document: dict[str, Any]) -> None:
        try:
            self._repository.stage_update(document)
        except OwnrootError as error:
            self._may_be_staged |= not is_certain(error)
            raise
        self._may_be_staged = True

    def _remembering(self, file: KeyFile) -> KeyFile:
        found = self._verified
        return file if found is None else file.with_known_roots(found.ci, found.production)

    def root_signers(self, view: UpdateView, chains: Chains, file: KeyFile) -> tuple[TufSigner, ...]:
        """Open every key of the file that the present root or a new one names as a root key."""
        roots = (view.verified.root, read_root(chains.ci.signed))
        return self._keys.open_all(file, [key_id for root in roots for key_id in root.roles[Role.ROOT].key_ids])

    def _require_root_signers(self, view: UpdateView, chains: Chains, file: KeyFile) -> tuple[TufSigner, ...]:
        signers = self.root_signers(view, chains, file)
        if not signers:
            raise NotFoundError("tuf-key-not-in-file", "The key file has no active root key of this factory.")
        return signers

    def _holds_one(self, view: UpdateView, role: Role) -> bool:
        file = self.key_file(role)
        present = offline_keys(view.verified.root, role, view.online)
        return any(file.holds(key_id) for key_id in present if key_id != file.first_root)

    @property
    def _shares_file(self) -> bool:
        return self._files is not None and self._files.root.path == self._files.targets.path

    def _store(self, role: Role) -> KeyFileStore:
        if self._files is None:
            raise AssertionError("this command names a key file")
        return self._files.of(role)

    def _edited_file(self, edited: Edited, role: Role) -> KeyFile:
        return edited.files[role] if role in edited.files else self.key_file(role)
