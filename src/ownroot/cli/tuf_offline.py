"""The offline machine's part of a TUF ceremony: check a request, edit and sign the root it asks for, and write it down.

A request stands for the server: roots are verified up from the newest one the key file knows, exactly as with a server,
and what a server would be sent goes into the approval. So both machines have one set of rules.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import cryptography
import msgspec

from ownroot import __version__
from ownroot.cli.tuf_editing import Edited, RootEditing
from ownroot.cli.tuf_owner_keys import KeyFiles, OwnerKeys
from ownroot.cli.tuf_roots import UpdateView
from ownroot.errors import InvalidInputError
from ownroot.pki.conformance import CLOCK_SKEW
from ownroot.tuf.keys import KeyType, TufSigner
from ownroot.tuf.metadata import Role
from ownroot.tuf.owner_edits import draft_of, prolong, remove_key, set_threshold
from ownroot.tuf.root_rules import Chains
from ownroot.wire.accounts import UserDetails
from ownroot.wire.tuf import RootUpdates
from ownroot.wire.tuf_ceremony import (
    AddKey,
    DeleteKey,
    ResignRoot,
    RotateKey,
    SetThreshold,
    SignRoot,
    TufApproval,
    TufApprovalFile,
    TufOrder,
    TufRecord,
    TufRecordFile,
    TufRequest,
    TufRequestFile,
    sign_tuf_approval,
    sign_tuf_record,
)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TufApproved:
    """What to write."""

    approval: TufApprovalFile
    record: TufRecordFile


@dataclass(slots=True)
class _Stick:
    """Stands for the server: answers from a request, and hands what it is sent to `upload`."""

    request: TufRequest
    upload: Callable[[dict[str, Any]], None] = field(default=lambda _document: None)

    @property
    def whose(self) -> str:
        return f"factory {self.request.factory} at {self.request.server_url}"

    def root(self, version: int | None = None, *, production: bool = False) -> bytes | None:
        roots = self.request.prod_roots if production else self.request.ci_roots
        wanted = len(roots) if version is None else version
        return roots[wanted - 1].encode() if 1 <= wanted <= len(roots) else None

    def root_updates(self) -> RootUpdates:
        return self.request.state

    def self_user(self) -> UserDetails:
        return UserDetails(polis_id=self.request.requested_by, name="")

    def production_targets(self, tags: tuple[str, ...] = ()) -> bytes:
        found = self.request.production_targets
        return msgspec.json.encode({tag: found[tag] for tag in (tags or found) if tag in found})

    def stage_update(self, document: dict[str, Any]) -> None:
        self.upload(document)


@dataclass(frozen=True, slots=True)
class Drafted:
    """A change that can be signed, and what it does."""

    view: UpdateView
    edited: Edited
    chains: Chains
    amendments: tuple[str, ...]


class OfflineApproval:
    """One request at the machine with the keys.

    Raises:
        InvalidInputError: `clock-behind`; and as `RootEditing.look`.
    """

    def __init__(self, file: TufRequestFile, files: KeyFiles, keys: OwnerKeys, *, now: datetime, say: Say) -> None:
        if now < file.body.requested_at - CLOCK_SKEW:
            raise InvalidInputError(
                "clock-behind",
                f"The request is of {file.body.requested_at:%Y-%m-%d %H:%M} UTC, and the clock of this machine shows "
                f"{now:%Y-%m-%d %H:%M} UTC.",
            )
        self._file = file
        self._now = now
        self._stick = _Stick(file.body)
        self._editing = RootEditing(self._stick, files, keys, now=now, say=say)

    def draft(self) -> Drafted:
        """Make the root that is asked for, with new keys of ours if it needs any; nothing is written yet.

        Raises:
            OwnrootError: as `RootEditing`.
        """
        view = self._editing.look()
        edited = _carry_out(self._editing, view, self._file.body.order, self._now)
        is_as_it_is = isinstance(self._file.body.order, SignRoot)
        chains = view.require_ready_to_sign() if is_as_it_is else edited.draft.chains()
        notes = tuple(note.message for note in view.amendments(chains))
        return Drafted(view, edited, chains, notes)

    def approve(
        self, draft: Drafted, *, operators: tuple[str, ...], write: Callable[[TufApproved], None]
    ) -> TufApproved:
        """Sign, let `write` bring approval and record to safety, then put new keys in their place.

        Raises:
            NotFoundError: `tuf-key-not-in-file`. OwnrootError: as `write`; no key file has changed then.
        """
        present = self._editing.key_file(Role.ROOT)
        file = draft.edited.files.get(Role.ROOT, present)
        signed = self._editing.sign(draft.view, draft.chains, file)
        signers = self._editing.root_signers(draft.view, draft.chains, file)
        made: list[TufApproved] = []

        def keep(upload: dict[str, Any]) -> None:
            made.append(self._files(draft, upload, signers, operators))
            write(made[0])

        self._stick.upload = keep
        files = draft.edited.files or {Role.ROOT: present}
        self._editing.stage(signed, files, draft.edited.targets_signatures)
        return made[0]

    def _files(
        self, draft: Drafted, upload: dict[str, Any], signers: tuple[TufSigner, ...], operators: tuple[str, ...]
    ) -> TufApproved:
        request = self._file
        updated = request.body.state.updated
        approval = sign_tuf_approval(
            TufApproval(
                factory=request.body.factory,
                request_sha256=request.sha256,
                approved_at=self._now,
                operators=operators,
                base_ci_root="" if updated is None else updated.ci_root,
                upload=upload,
            ),
            signers,
        )
        record = sign_tuf_record(
            TufRecord(
                request=request.body,
                request_sha256=request.sha256,
                approval_sha256=approval.sha256,
                approved_at=self._now,
                operators=operators,
                versions={
                    "ownroot": __version__,
                    "python": platform.python_version(),
                    "cryptography": cryptography.__version__,
                },
                amendments=draft.amendments,
                upload=upload,
            ),
            signers,
        )
        return TufApproved(approval, record)


def require_possible(order: TufOrder, view: UpdateView) -> None:
    """Refuse an order that no key holder could carry out, while nothing was begun for it.

    Raises:
        NotFoundError: `tuf-key-not-in-role`; `tuf-update-none`, nothing is staged that could be signed.
        InvalidInputError: `tuf-threshold-invalid`.
    """
    draft = draft_of(view.current if view.staged is None else view.staged, view.current)
    match order:
        case DeleteKey(role=role, key_id=key_id):
            remove_key(draft, _role(role), key_id)
        case SetThreshold(role=role, threshold=threshold):
            set_threshold(draft, _role(role), threshold)
        case SignRoot():
            view.require_staged()
        case _:
            pass  # a new key, or a year more, is always possible


def _carry_out(editing: RootEditing, view: UpdateView, order: TufOrder, now: datetime) -> Edited:
    edited = editing.start_editing(view)
    match order:
        case RotateKey(role=role, key_type=key_type, replaces=replaces):
            return editing.with_rotated_key(edited, view, _role(role), _key_type(key_type), replaces=replaces)
        case AddKey(role=role, key_type=key_type):
            return editing.with_new_key(edited, _role(role), _key_type(key_type))[0]
        case DeleteKey(role=role, key_id=key_id):
            return replace(edited, draft=remove_key(edited.draft, _role(role), key_id))
        case SetThreshold(role=role, threshold=threshold):
            return replace(edited, draft=set_threshold(edited.draft, _role(role), threshold))
        case ResignRoot():
            return replace(edited, draft=prolong(edited.draft, now))
        case SignRoot():
            return edited


def _role(text: str) -> Role:
    if text not in (Role.ROOT, Role.TARGETS):
        raise InvalidInputError("ceremony-order", f"The request names a role {text[:20]!r}, which has no offline keys.")
    return Role(text)


def _key_type(text: str) -> KeyType:
    if text not in [known.value for known in KeyType]:
        raise InvalidInputError("ceremony-order", f"The request names a type of key {text[:20]!r}.")
    return KeyType(text)
