"""What an owner's program believes of a server's roots: nothing that a chain does not lead to (tuf.md §8).

A chain starts from the newest root this owner has verified before, which is kept beside the keys. Without one it starts
from root 1 as the server gives it, and the owner is told the digest to compare: that is trust on first use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from ownroot.cli.tuf_key_file import EMPTY, KeyFile
from ownroot.errors import InvalidInputError, NotFoundError, RefusedError
from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.metadata import ONLINE_ROLES, ROOT_MAX_OCTETS, Document, Role, Root, parse_document, read_root
from ownroot.tuf.owner_edits import draft_of, is_only_begun, ready_to_sign
from ownroot.tuf.root_review import Note, Shape, list_amendments, list_warnings
from ownroot.tuf.root_rules import (
    MAX_ROOT_VERSION,
    Chains,
    OnlineKeys,
    StagedChange,
    by_kind,
    find_staging_faults,
)
from ownroot.tuf.signatures import is_key_id
from ownroot.wire.tuf import RootsState, RootUpdates

_DOCUMENT_MAX = 2 * ROOT_MAX_OCTETS


@dataclass(frozen=True, slots=True)
class VerifiedRoots:
    """The newest roots, each at the end of a chain.

    Attributes:
        ci, production: as served. Before the first change both chains are one.
        anchor: version of the root the chain started from, and whether this owner knew it before.
    """

    ci: bytes
    production: bytes
    anchor: int
    is_anchor_known: bool

    @property
    def chains(self) -> Chains:
        """Both roots as documents."""
        ci = parse_document(self.ci, max_octets=_DOCUMENT_MAX)
        if self.production == self.ci:
            return Chains(ci, None)
        return Chains(ci, parse_document(self.production, max_octets=_DOCUMENT_MAX))

    @property
    def root(self) -> Root:
        """The signed part of the CI root."""
        return read_root(self.chains.ci.signed)


class RootSource(Protocol):
    """Where roots come from: a server, or a file that holds what one said."""

    @property
    def whose(self) -> str:
        """Factory and address, for people."""
        ...

    def root(self, version: int | None = None, *, production: bool = False) -> bytes | None:
        """Return a root by number; None: there is none."""
        ...


def walk(source: RootSource, known: bytes | None, *, production: bool) -> tuple[list[bytes], DeviceTrust]:
    """Fetch and verify every root from a known one upwards, or from root 1; returns them all, the newest last.

    Raises:
        RefusedError: a rule of `DeviceTrust.update_root`; `tuf-other-chain`: the known root is none of this source.
        NotFoundError: `tuf-repository-unknown`.
    """
    start = known if known is not None else source.root(1, production=production)
    if start is None:
        raise NotFoundError("tuf-repository-unknown", "The server has no root 1 for this factory.")
    trust = DeviceTrust(start)
    # Asked before the next root: another factory's may be missing, or signed by keys that say nothing to anybody here.
    if known is not None and source.root(trust.root.version, production=production) != known:
        raise RefusedError(
            "tuf-other-chain",
            f"Root {trust.root.version}, the newest that the key file knows, is no root of {source.whose}.",
        )
    found = [start]
    while trust.root.version < MAX_ROOT_VERSION:
        following = source.root(trust.root.version + 1, production=production)
        if following is None:
            break
        trust.update_root(following)
        found.append(following)
    return found, trust


def verify_roots(source: RootSource, key_file: KeyFile = EMPTY) -> VerifiedRoots:
    """Follow both chains to their newest roots.

    Raises:
        RefusedError: as `walk`; `tuf-chains-differ`: production says another thing than CI, the threshold aside.
    """
    known = key_file.known_root(production=False)
    roots, trust = walk(source, known, production=False)
    productions, _ = walk(source, key_file.known_root(production=True), production=True)
    verified = VerifiedRoots(roots[-1], productions[-1], DeviceTrust(roots[0]).root.version, known is not None)
    chains = verified.chains
    draft = draft_of(chains)
    if chains.production is not None and draft.chains().production != Document(chains.production.signed):
        raise RefusedError("tuf-chains-differ", f"The two roots {trust.root.version} of the server do not agree.")
    return verified


@dataclass(frozen=True, slots=True)
class UpdateView:
    """A server's word about its roots, as far as the chain bears it out.

    Attributes:
        staged: None while there is no change.
    """

    verified: VerifiedRoots
    answer: RootUpdates
    online: OnlineKeys
    staged: Chains | None
    staged_online: OnlineKeys

    @property
    def current(self) -> Chains:
        """What devices hold."""
        return self.verified.chains

    def require_staged(self) -> Chains:
        """Return the roots under change.

        Raises:
            NotFoundError: `tuf-update-none`.
        """
        if self.staged is None:
            raise NotFoundError("tuf-update-none", "There is no change of the TUF roots in progress.")
        return self.staged

    def require_ready_to_sign(self) -> Chains:
        """Return the roots under change as they are signed. Raises NotFoundError as `require_staged`."""
        return ready_to_sign(self.require_staged(), self.current)

    def require_only_begun(self) -> None:
        """Refuse a change in which the server has put more than we asked for.

        Raises:
            RefusedError: `tuf-staged-unexpected`.
        """
        if not is_only_begun(self.require_staged(), self.current):
            raise RefusedError(
                "tuf-staged-unexpected", "The server began the change with more in it than a version and a message."
            )

    def amendments(self, chains: Chains) -> list[Note]:
        """Say what roots would change: those that are staged, or those we would put in their place."""
        return list_amendments(_shape(self.current, self.online), _shape(chains, self.staged_online))

    def warnings(self, now: datetime) -> list[Note]:
        """Say what is unwise about the root there would be, or is."""
        chains, online = (self.current, self.online) if self.staged is None else (self.staged, self.staged_online)
        return list_warnings(_shape(chains, online), first_root_key=None, now=now)


def read_view(answer: RootUpdates, verified: VerifiedRoots, *, now: datetime) -> UpdateView:
    """Hold the server's word against the chain, and what is staged against the rules of staging.

    Raises:
        RefusedError: `tuf-current-differs`: it tells another present root than it serves; `tuf-staged-invalid`: what is
            staged breaks a rule, so it could only be a trap.
        InvalidInputError: `bad-answer`.
    """
    online = _online(answer.current)
    if _text(answer.current.ci_root) != verified.chains.ci or not _is_online(verified.root, online):
        raise RefusedError("tuf-current-differs", "The server tells of another present root than its chain leads to.")
    if answer.updated is None:
        return UpdateView(verified, answer, online, None, online)
    updated = answer.updated
    ci, production = _text(updated.ci_root), _text(updated.prod_root) if updated.prod_root else None
    staged = Chains(ci, production)
    staged_online = _online(updated)
    _require_stageable(staged, verified.chains, staged_online, now)
    return UpdateView(verified, answer, online, staged, staged_online)


def _require_stageable(staged: Chains, current: Chains, online: OnlineKeys, now: datetime) -> None:
    """Hold what the server says is staged against the rules for staging, as if it were uploaded just now."""
    root = read_root(staged.ci.signed)
    if root.version != read_root(current.ci.signed).version + 1:
        raise RefusedError("tuf-staged-invalid", "The staged root does not follow the present one.")
    whole = staged
    if staged.production is None:
        whole = Chains(staged.ci, draft_of(staged, current).chains().production)
    faults = find_staging_faults(whole, StagedChange(current, root, online, "", now))
    if root.expires == read_root(current.ci.signed).expires:
        # The present root has expired: a change may be there to mend just that.
        faults = [fault for fault in faults if fault.kind != "root-expired"]
    if faults:
        raise RefusedError(
            "tuf-staged-invalid",
            "What the server has staged breaks rules.",
            fields=by_kind(faults),
        )


def _shape(chains: Chains, online: OnlineKeys) -> Shape:
    threshold = None
    if chains.production is not None:
        threshold = read_root(chains.production.signed).roles[Role.TARGETS].threshold
    return Shape(read_root(chains.ci.signed), threshold, online)


def _is_online(root: Root, online: OnlineKeys) -> bool:
    return all(online[role] in root.roles[role].key_ids for role in ONLINE_ROLES)


def _online(state: RootsState) -> Mapping[Role, str]:
    if not all(is_key_id(state.online_keys.get(role.value)) for role in ONLINE_ROLES):
        raise InvalidInputError("bad-answer", "The server does not say which keys it holds online.")
    return MappingProxyType({role: state.online_keys[role.value] for role in ONLINE_ROLES})


def _text(text: str) -> Document:
    try:
        return parse_document(text, max_octets=_DOCUMENT_MAX)
    except InvalidInputError as exc:
        raise InvalidInputError("bad-answer", f"A root in the server's answer cannot be read. {exc.detail}") from exc
