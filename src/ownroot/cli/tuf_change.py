"""One run that changes a factory's TUF roots at a server (protocol: tuf.md §4-5)."""

from collections.abc import Iterable
from datetime import datetime

from ownroot.cli.tuf_editing import RootEditing, Say
from ownroot.cli.tuf_holders import is_taken_over
from ownroot.cli.tuf_key_file import EMPTY
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.cli.tuf_owner_keys import KeyFiles, OwnerKeys
from ownroot.cli.tuf_roots import UpdateView, verify_roots
from ownroot.cli.user_names import YOU, called
from ownroot.client.repository import RepositoryApi
from ownroot.errors import ConflictError, InvalidInputError, RefusedError
from ownroot.tuf.metadata import ONLINE_ROLES, Role, read_root
from ownroot.tuf.owner_edits import replaces_only_online_keys
from ownroot.wire.certs import ChangeMeta
from ownroot.wire.tuf import OnlineKeysOrder


class RootChange(RootEditing):
    """Editing, and the steps only a server can take."""

    def __init__(
        self, api: RepositoryApi, files: KeyFiles | None, keys: OwnerKeys, *, now: datetime, say: Say, txid: str = ""
    ) -> None:
        super().__init__(api, files, keys, now=now, say=say, txid=txid)
        self.api = api
        self._made: list[KeyFileStore] = []
        self._begun: ChangeMeta | None = None
        self.open_txid: str | None = None

    @property
    def may_be_staged(self) -> bool:
        """Can something of ours be in the change? Not while every upload was refused for certain."""
        return self._may_be_staged

    def look(self) -> UpdateView:
        """Fetch and verify as `RootEditing`, and note by what a change that this run began is known again."""
        view = super().look()
        if self.open_txid is not None and self._begun is None:
            self._begun = view.answer.change_meta
        return view

    def require_none_open(self, view: UpdateView) -> None:
        """Refuse to begin a change beside another.

        Raises:
            ConflictError: `tuf-update-active`.
        """
        if view.staged is not None:
            meta = view.answer.change_meta
            who = called(self.api, meta.created_by)
            raise ConflictError(
                "tuf-update-active",
                f"{'You' if who == YOU else who} began a change of the TUF roots at {meta.created_at}. Apply or cancel "
                "it first.",
            )

    def begin(self, message: str, *, first_time: bool = False, shortcut: bool = False) -> str:
        """Begin a change and return its transaction id; the first root key is on disk then.

        Raises:
            ConflictError: `tuf-update-active`; at the first time `tuf-key-file-exists`.
            InvalidInputError: `tuf-first-root-key-replaced`.
        """
        if first_time:
            self._require_first_time(self.look())
        made = [store for store in self._stores if not store.path.exists()]
        begun = self.api.begin_update(message, first_time=first_time, shortcut=shortcut)
        self.open_txid, self._made = begun.txid, made
        if first_time:
            store = self._store(Role.ROOT)
            store.replace(store.read_or_empty().with_first_root(begun.first_root_sec, begun.first_root_pub))
        return begun.txid

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
        self.api.make_online_keys(order)
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
        self.api.apply_update(txid=self._txid)
        self.open_txid = None
        staged = view.require_staged()
        before = view.verified
        known = EMPTY.with_known_roots(before.ci, before.production)
        after = verify_roots(self.api, known)
        chains = after.chains
        if chains.ci.signed != staged.ci.signed or chains.production_or_ci.signed != staged.production_or_ci.signed:
            raise RefusedError(
                "tuf-published-differs", "The server published another root than the one that was staged."
            )
        self._verified = after
        for store in self._stores:
            store.replace(store.read_or_empty().with_known_roots(after.ci, after.production))

    def cancel(self) -> None:
        """Give the change up."""
        self.api.cancel_update()

    def give_up(self) -> None:
        """Cancel what this run has begun; key files that it made go too, since no root names their keys.

        If somebody else has cancelled it, a change that they began since is left alone.
        """
        if self._is_known_again(self.api.root_updates().change_meta):
            self.cancel()
        self.open_txid = None
        for store in self._made:
            store.remove()

    def _is_known_again(self, meta: ChangeMeta) -> bool:
        begun = self._begun
        return begun is None or (meta.created_by, meta.created_at) == (begun.created_by, begun.created_at)

    def _require_first_time(self, view: UpdateView) -> None:
        self.require_none_open(view)
        store = self._store(Role.ROOT)
        if store.read_or_empty().keys and is_taken_over(view):
            has = "has its key" if self.holds_all(view, [Role.ROOT]) else "does not have its key"
            raise InvalidInputError(
                "tuf-first-root-key-replaced",
                f"The TUF root of this factory was taken over already, and {store.path} {has}.",
            )
        store.require_free()

    @property
    def _stores(self) -> tuple[KeyFileStore, ...]:
        if self._files is None:
            return ()
        return (self._files.root,) if self._shares_file else (self._files.root, self._files.targets)
