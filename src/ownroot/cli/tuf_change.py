"""One run that changes a factory's TUF roots, from the owner's side (protocol: tuf.md §4-5).

Nothing is signed that was not fetched, verified up from a root this owner knew, and shown. New keys are on disk before
the server hears of them.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from ownroot.cli.tuf_key_file import EMPTY, KeyFile
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.cli.tuf_owner_keys import KeyFiles, OwnerKeys
from ownroot.cli.tuf_roots import UpdateView, VerifiedRoots, read_view, verify_roots
from ownroot.client.repository import RepositoryApi
from ownroot.errors import NotFoundError, RefusedError
from ownroot.tuf.keys import KeyType, TufKey, TufSigner
from ownroot.tuf.metadata import ONLINE_ROLES, Document, KeyOwner, Role, format_time, read_root
from ownroot.tuf.owner_edits import (
    Draft,
    add_key,
    draft_of,
    offline_keys,
    prolong,
    remove_key,
    replaces_only_online_keys,
    sign_chains,
)
from ownroot.tuf.root_review import Note, Shape, list_amendments
from ownroot.tuf.root_rules import Chains, find_targets_faults
from ownroot.tuf.signatures import Signature, sign
from ownroot.wire.tuf import OnlineKeysOrder, read_tags, stage_document

Say = Callable[[str], None]
TargetsSignatures = dict[str, tuple[Signature, ...]]


@dataclass(frozen=True, slots=True)
class Edited:
    """A draft, and what else came of editing it: key files with new keys, signatures of production targets."""

    draft: Draft
    files: dict[Role, KeyFile]
    targets_signatures: TargetsSignatures


class RootChange:
    """One run. Errors are those of the server, of the rules of `tuf_roots`, and of key files."""

    def __init__(
        self, api: RepositoryApi, files: KeyFiles | None, keys: OwnerKeys, *, now: datetime, say: Say, txid: str = ""
    ) -> None:
        self._api = api
        self._files = files
        self._keys = keys
        self._now = now
        self._say = say
        self._txid = txid
        self._verified: VerifiedRoots | None = None

    def begin(self, message: str, *, first_time: bool = False, shortcut: bool = False) -> str:
        """Begin a change and return its transaction id; the first root key is on disk then."""
        if first_time:
            self._store(Role.ROOT).require_free()
        begun = self._api.begin_update(message, first_time=first_time, shortcut=shortcut)
        if first_time:
            store = self._store(Role.ROOT)
            store.replace(store.read_or_empty().with_first_root(begun.first_root_sec, begun.first_root_pub))
        return begun.txid

    def look(self) -> UpdateView:
        """Fetch what is and what is staged, verified. Asks for the chain once in a run."""
        if self._verified is None:
            self._verified = verify_roots(self._api, self.key_file(Role.ROOT))
            if not self._verified.is_anchor_known:
                self._say(
                    "No root of this factory was verified here before, so its chain is believed from root "
                    f"{self._verified.anchor} on as the server gives it."
                )
        return read_view(self._api.root_updates(), self._verified, now=self._now)

    def start_editing(self, view: UpdateView) -> Edited:
        """Return what is staged, ready to be edited."""
        return Edited(draft_of(view.require_staged()), {}, {})

    def with_new_key(self, edited: Edited, role: Role, keytype: KeyType) -> tuple[Edited, TufKey]:
        """Add a new offline key of ours."""
        signer, on_token = self._keys.make(role, keytype)
        owner = KeyOwner(self._api.self_user().polis_id, format_time(self._now))
        file = self._edited_file(edited, role).with_key(role, signer, on_token)
        files = {**edited.files, role: file}
        if self._shares_file:
            files = {Role.ROOT: file, Role.TARGETS: file}
        draft = add_key(edited.draft, role, signer.key, owner)
        return Edited(draft, files, edited.targets_signatures), signer.key

    def with_rotated_key(self, edited: Edited, view: UpdateView, role: Role, keytype: KeyType) -> Edited:
        """Replace our offline key of a role by a new one. The first targets key of a factory replaces none.

        A new root key makes the root live a year from now; production targets that the replaced targets key had signed
        are signed with the new one.
        """
        present = offline_keys(edited.draft.root, role, view.staged_online)
        file = self._edited_file(edited, role)
        old = file.find_one(role, present) if present else None
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
        found = read_tags(self._api.production_targets(tuple(tags)))
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

    def amendments(self, view: UpdateView, chains: Chains) -> list[Note]:
        """Say what roots of ours would do."""
        production = None if view.current.production is None else draft_of(view.current).production_threshold
        draft = draft_of(chains)
        before = Shape(view.verified.root, production, view.online)
        return list_amendments(before, Shape(draft.root, draft.production_threshold, view.staged_online))

    def sign(self, view: UpdateView, chains: Chains, file: KeyFile | None = None) -> Chains:
        """Sign with every key of ours that the present root or the new one asks.

        Raises:
            NotFoundError: `tuf-key-not-in-file`: there is none.
        """
        signers = self._root_signers(view, chains, self.key_file(Role.ROOT) if file is None else file)
        if not signers:
            raise NotFoundError("tuf-key-not-in-file", "The key file has no root key of this factory.")
        return sign_chains(chains, signers)

    def stage(
        self, chains: Chains, files: dict[Role, KeyFile] | None = None, signatures: TargetsSignatures | None = None
    ) -> None:
        """Upload; new keys are on disk before, and in their place once the server has taken them."""
        with ExitStack() as kept:
            for role, file in (files or {}).items():
                if role is Role.ROOT or not self._shares_file:
                    kept.enter_context(self._store(role).staged(file))
            self._api.stage_update(stage_document(chains, txid=self._txid, targets_signatures=signatures or {}))

    def make_online_keys(self, view: UpdateView, roles: Iterable[Role]) -> UpdateView:
        """Let the server make new online keys; returns what is staged then, which has changed in nothing else.

        Raises:
            RefusedError: `tuf-staged-unexpected`.
        """
        wanted = frozenset(roles)
        order = OnlineKeysOrder(
            txid=self._txid,
            targets=Role.TARGETS in wanted,
            snapshot=Role.SNAPSHOT in wanted,
            timestamp=Role.TIMESTAMP in wanted,
        )
        self._api.make_online_keys(order)
        after = self.look()
        before_root, after_root = (read_root(each.require_staged().ci.signed) for each in (view, after))
        changed = {role for role in ONLINE_ROLES if after.staged_online[role] != view.staged_online[role]}
        if changed != wanted or not replaces_only_online_keys(
            after_root, before_root, view.staged_online, after.staged_online
        ):
            raise RefusedError(
                "tuf-staged-unexpected", "The server changed more in the root than the online keys it was asked for."
            )
        return after

    def apply(self, view: UpdateView) -> None:
        """Publish, see that devices get what was staged, and remember it.

        Raises:
            RefusedError: `tuf-published-differs`.
        """
        self._api.apply_update(txid=self._txid)
        staged = view.require_staged()
        before = view.verified
        known = EMPTY.with_known_roots(before.ci, before.production)
        after = verify_roots(self._api, known)
        chains = after.chains
        if chains.ci.signed != staged.ci.signed or chains.production_or_ci.signed != staged.production_or_ci.signed:
            raise RefusedError(
                "tuf-published-differs", "The server published another root than the one that was staged."
            )
        self._verified = after
        if self._files is not None:
            for store in (self._files.root, *([] if self._shares_file else [self._files.targets])):
                store.replace(store.read_or_empty().with_known_roots(after.ci, after.production))

    def cancel(self) -> None:
        """Give the change up."""
        self._api.cancel_update()

    def _root_signers(self, view: UpdateView, chains: Chains, file: KeyFile) -> tuple[TufSigner, ...]:
        roots = (view.verified.root, read_root(chains.ci.signed))
        return self._keys.open_all(file, [key_id for root in roots for key_id in root.roles[Role.ROOT].key_ids])

    @property
    def _shares_file(self) -> bool:
        return self._files is not None and self._files.root.path == self._files.targets.path

    def _store(self, role: Role) -> KeyFileStore:
        if self._files is None:
            raise AssertionError("this command names a key file")
        return self._files.of(role)

    def _edited_file(self, edited: Edited, role: Role) -> KeyFile:
        return edited.files[role] if role in edited.files else self.key_file(role)
