"""Changes of a factory's roots: begun, staged, given new online keys, published or given up (protocol: tuf.md §4).

One change a factory at a time. Whoever began it continues it; anybody else of the same right needs the transaction id,
which is shown once. Publishing is one transaction: every root, every tag's documents and every key change at once for
every device, or nothing does. So there is no state between the two to be found after a crash.
"""

import hmac
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, InvalidInputError, NotFoundError, OwnrootError, RefusedError
from ownroot.pki.encoding import sha256
from ownroot.services.authority import Principal
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import UnitOfWork
from ownroot.services.steps import Steps
from ownroot.services.tuf_keys import make_key, online_signers, open_signer
from ownroot.services.tuf_publishing import production_targets, publish_ci, publish_production
from ownroot.services.tuf_store import StoredUpdate
from ownroot.tuf.final_check import find_document_refusals
from ownroot.tuf.keys import KeyType, TufSigner
from ownroot.tuf.metadata import ONLINE_ROLES, ROOT_MAX_OCTETS, Document, Role, parse_document, read_root
from ownroot.tuf.repository import OnlineSigners, online_key_ids, resigned_targets
from ownroot.tuf.root_rules import Chains, Fault
from ownroot.tuf.updates import (
    FaultyRootError,
    Published,
    RootUpdate,
    Upload,
    begin_update,
    find_update_faults,
    replace_online_keys,
    stage_upload,
)

T = TypeVar("T")

_TXID_LETTERS: Final = string.ascii_uppercase + string.digits
_TXID_LENGTH: Final = 8
_MAX_OCTETS: Final = 2 * ROOT_MAX_OCTETS


@dataclass(frozen=True, slots=True)
class Begun:
    """A new change. `txid` is shown now and never again; `first_root` is the first root key, for its owner alone."""

    txid: str
    first_root: TufSigner | None


@dataclass(frozen=True, slots=True)
class RootsView:
    """The roots as they are, and as they would be.

    Attributes:
        first_root_key: id of the first root key while the server holds it.
        faults: why the change cannot be published; empty if there is none or it can.
    """

    published: Published
    update: RootUpdate | None
    first_root_key: str | None
    faults: tuple[Fault, ...]


def view_roots(uow: UnitOfWork, factory_id: int, keyring: Keyring, *, now: datetime) -> RootsView:
    """Read everything about a factory's roots.

    Raises:
        NotFoundError: `tuf-repository-unknown`. KeyStoreError: an online key cannot be opened.
    """
    published = read_published(uow, factory_id)
    stored = uow.tuf.find_update(factory_id)
    first = uow.tuf.keys(factory_id, staged=False).get(Role.ROOT)
    first_root_key = None if first is None else first.key_id
    if stored is None:
        return RootsView(published, None, first_root_key, ())
    update = stored.update
    online = online_signers(uow, factory_id, keyring, staged=True)
    faults = find_update_faults(update, published, _resigned(update, published, online), now=now)
    return RootsView(published, update, first_root_key, tuple(faults))


def read_published(uow: UnitOfWork, factory_id: int) -> Published:
    """Read what devices hold.

    Raises:
        NotFoundError: `tuf-repository-unknown`.
    """
    ci = uow.tuf.find_root(factory_id, None, production=False)
    if ci is None:
        raise NotFoundError(
            "tuf-repository-unknown", "This factory has no TUF repository yet; its server makes one when it starts."
        )
    production = uow.tuf.find_root(factory_id, None, production=True)
    keys = uow.tuf.keys(factory_id, staged=False)
    online = {role: keys[role].key_id for role in ONLINE_ROLES}
    # Until the first change production devices hold the CI roots, and there is no production root.
    chains = Chains(_parse(ci), None if production in (None, ci) else _parse(production))
    return Published(chains, online, production_targets(uow, factory_id))


def begin_root_update(  # noqa: PLR0913  (what the caller says, and what it is judged by)
    *, message: str, is_first_time: bool, by: Principal, keyring: Keyring, now: datetime, txid: str | None = None
) -> Steps[Begun]:
    """Begin a change.

    Raises:
        ConflictError: `tuf-update-active`.
        InvalidInputError: `tuf-message-invalid`, `tuf-first-root-key-replaced`.
    """
    secret = txid or "".join(secrets.choice(_TXID_LETTERS) for _ in range(_TXID_LENGTH))
    work = partial(_begin, message=message, is_first_time=is_first_time, by=by, keyring=keyring, now=now, txid=secret)
    return (yield from _audited(work, "init", by, now))


def stage_root_update(upload: Upload, *, txid: str, by: Principal, now: datetime) -> Steps[None]:
    """Put an upload in place of what was staged.

    Raises:
        NotFoundError: `tuf-update-none`. RefusedError: `tuf-txid-wrong`. FaultyRootError: `tuf-root-invalid`.
    """
    return (yield from _audited(partial(_stage, upload=upload, txid=txid, by=by, now=now), "stage", by, now))


def make_online_keys(  # noqa: PLR0913  (as the request is)
    roles: frozenset[Role], keytype: KeyType, *, txid: str, by: Principal, keyring: Keyring, now: datetime
) -> Steps[None]:
    """Stage new online keys for these roles; private halves stay sealed with the change until it is published.

    Raises:
        NotFoundError: `tuf-update-none`. RefusedError: `tuf-txid-wrong`.
        InvalidInputError: `tuf-online-key-type`: devices with the Go client refuse every root that holds an RSA key.
    """
    if keytype is not KeyType.ED25519:
        raise InvalidInputError(
            "tuf-online-key-type", "Online keys are ED25519: devices with the Go client refuse a root with an RSA key."
        )
    work = partial(_make_online_keys, roles=roles, txid=txid, by=by, keyring=keyring, now=now)
    return (yield from _audited(work, "gen-online-keys", by, now))


def apply_root_update(*, txid: str, by: Principal, keyring: Keyring, now: datetime) -> Steps[None]:
    """Publish a change, as one transaction.

    Raises:
        NotFoundError: `tuf-update-none`. RefusedError: `tuf-txid-wrong`. FaultyRootError: `tuf-root-invalid`.
        KeyStoreError: an online key cannot be opened; nothing has changed.
    """
    return (yield from _audited(partial(_apply, txid=txid, by=by, keyring=keyring, now=now), "apply", by, now))


def cancel_root_update(*, by: Principal, now: datetime) -> Steps[None]:
    """Give a change up, and erase the keys that were staged for it. Any owner or admin may.

    Raises:
        NotFoundError: `tuf-update-none`.
    """
    return (yield from _audited(partial(_cancel, by=by, now=now), "cancel", by, now))


def _begin(  # noqa: PLR0913
    uow: UnitOfWork,
    *,
    message: str,
    is_first_time: bool,
    by: Principal,
    keyring: Keyring,
    now: datetime,
    txid: str,
) -> Begun:
    factory_id = by.factory.id
    active = uow.tuf.find_update(factory_id)
    if active is not None:
        raise ConflictError(
            "tuf-update-active",
            f"{_called(uow, active.update, by)} began a change of the TUF roots at "
            f"{active.update.created_at:%Y-%m-%d %H:%M} UTC. Apply or cancel it first.",
        )
    published = read_published(uow, factory_id)
    first = uow.tuf.keys(factory_id, staged=False).get(Role.ROOT)
    if is_first_time and first is None:
        raise InvalidInputError(
            "tuf-first-root-key-replaced",
            "The first root key was replaced already and is erased. Leave --first-time out.",
        )
    handed_out = first.key_id if first is not None and is_first_time else None
    update = begin_update(published, message=message, by=by.user.polis_id, first_root_key=handed_out, now=now)
    uow.tuf.put_update(factory_id, StoredUpdate(update, _txid_sha256(txid)))
    _record(uow, EventKind.TUF_UPDATE_BEGUN, update, by, now=now, details={"message": message})
    if first is None or not is_first_time:
        return Begun(txid, None)
    uow.audit.append(by.event(EventKind.TUF_FIRST_KEY_HANDED_OUT, first.key_id, {}, at=now))
    return Begun(txid, open_signer(first, keyring))


def _stage(uow: UnitOfWork, *, upload: Upload, txid: str, by: Principal, now: datetime) -> None:
    stored = _require_update(uow, txid, by)
    published = read_published(uow, by.factory.id)
    update = stage_upload(stored.update, upload, published, by=by.user.polis_id, now=now)
    uow.tuf.put_update(by.factory.id, replace(stored, update=update))
    sent = sha256(upload.chains.ci.payload).hex()
    _record(uow, EventKind.TUF_UPDATE_STAGED, update, by, now=now, details={"root-sha256": sent})


def _make_online_keys(  # noqa: PLR0913
    uow: UnitOfWork, *, roles: frozenset[Role], txid: str, by: Principal, keyring: Keyring, now: datetime
) -> None:
    stored = _require_update(uow, txid, by)
    made = {}
    for role in sorted(roles):
        signer, sealed = make_key(role, keyring)
        uow.tuf.put_key(by.factory.id, sealed, staged=True)
        made[role] = signer.key
    update = replace_online_keys(stored.update, made, by=by.user.polis_id, now=now)
    uow.tuf.put_update(by.factory.id, replace(stored, update=update))
    details = {role.value: key.key_id for role, key in made.items()}
    _record(uow, EventKind.TUF_ONLINE_KEYS_MADE, update, by, now=now, details=details)


def _apply(uow: UnitOfWork, *, txid: str, by: Principal, keyring: Keyring, now: datetime) -> None:
    factory_id = by.factory.id
    update = _require_update(uow, txid, by).update
    published = read_published(uow, factory_id)
    online = online_signers(uow, factory_id, keyring, staged=True)
    if online_key_ids(online) != dict(update.online_keys):
        raise AssertionError("the staged root names the staged keys")
    production = _resigned(update, published, online)
    faults = find_update_faults(update, published, production, now=now)
    if faults:
        raise FaultyRootError(faults)
    _publish_roots(uow, factory_id, update)
    _swap_keys(uow, factory_id, update)
    uow.tuf.drop_update(factory_id)
    below_ci = publish_ci(uow, factory_id, online, now=now)
    below_production = publish_production(uow, factory_id, production, online, now=now)
    faults = find_document_refusals(update.staged.ci, below_ci.values(), now=now)
    faults += find_document_refusals(update.staged.production_or_ci, below_production.values(), now=now)
    if faults:
        raise FaultyRootError(faults)
    _record(
        uow,
        EventKind.TUF_UPDATE_APPLIED,
        update,
        by,
        now=now,
        details={"expires": f"{update.ci_root.expires:%Y-%m-%d}"},
    )


def _cancel(uow: UnitOfWork, *, by: Principal, now: datetime) -> None:
    stored = uow.tuf.find_update(by.factory.id)
    if stored is None:
        raise _no_update()
    uow.tuf.drop_update(by.factory.id)
    _record(uow, EventKind.TUF_UPDATE_CANCELLED, stored.update, by, now=now, details={})


def _publish_roots(uow: UnitOfWork, factory_id: int, update: RootUpdate) -> None:
    version = update.ci_root.version
    uow.tuf.add_root(factory_id, version, update.staged.ci.encoded(), production=False)
    uow.tuf.add_root(factory_id, version, update.staged.production_or_ci.encoded(), production=True)


def _swap_keys(uow: UnitOfWork, factory_id: int, update: RootUpdate) -> None:
    for sealed in uow.tuf.keys(factory_id, staged=True).values():
        uow.tuf.put_key(factory_id, sealed, staged=False)
    first = uow.tuf.keys(factory_id, staged=False).get(Role.ROOT)
    if first is not None and first.key_id not in update.ci_root.keys:
        uow.tuf.drop_key(factory_id, Role.ROOT, staged=False)


def _resigned(update: RootUpdate, published: Published, online: OnlineSigners) -> dict[str, Document]:
    """Return production targets as they would be served under the new root."""
    root = read_root(update.staged.production_or_ci.signed)
    return {
        tag: resigned_targets(document, root, update.targets_signatures.get(tag, ()), online)
        for tag, document in published.production_targets.items()
    }


def _require_update(uow: UnitOfWork, txid: str, by: Principal) -> StoredUpdate:
    stored = uow.tuf.find_update(by.factory.id)
    if stored is None:
        raise _no_update()
    is_own = not txid and stored.update.initiator == by.user.polis_id
    if not is_own and not hmac.compare_digest(_txid_sha256(txid), stored.txid_sha256):
        raise RefusedError(
            "tuf-txid-wrong",
            f"{_called(uow, stored.update, by)} began this change. Whoever began it goes on without a transaction id, "
            "others with the one that was shown when it began.",
        )
    return stored


def _called(uow: UnitOfWork, update: RootUpdate, by: Principal) -> str:
    """Say who began a change. Changes are for owners and admins, who may see the members by name."""
    if update.initiator == by.user.polis_id:
        return "You"
    user = uow.accounts.find_user(update.initiator)
    # The id stays: people choose their names, and one could choose "You".
    return update.initiator if user is None else f"{user.name} ({user.polis_id})"


def _txid_sha256(txid: str) -> bytes:
    return sha256(txid.encode())


def _no_update() -> NotFoundError:
    return NotFoundError("tuf-update-none", "There is no change of the TUF roots in progress.")


def _record(  # noqa: PLR0913
    uow: UnitOfWork, kind: EventKind, update: RootUpdate, by: Principal, *, now: datetime, details: Mapping[str, str]
) -> None:
    uow.audit.append(by.event(kind, str(update.ci_root.version), details, at=now))


def _audited(work: Callable[[UnitOfWork], T], what: str, by: Principal, now: datetime) -> Steps[T]:
    try:
        result: T = yield work
    except (InvalidInputError, RefusedError, NotFoundError, ConflictError) as error:
        refused = by.event(EventKind.TUF_UPDATE_REFUSED, what, _reasons(error), at=now)
        yield lambda uow: uow.audit.append(refused)
        raise
    return result


def _reasons(error: OwnrootError) -> dict[str, str]:
    faults = error.faults if isinstance(error, FaultyRootError) else ()
    rules = sorted({fault.kind for fault in faults})
    return {"code": error.code, **({"rules": " ".join(rules)} if rules else {})}


def _parse(document: bytes) -> Document:
    return parse_document(document, max_octets=_MAX_OCTETS)
