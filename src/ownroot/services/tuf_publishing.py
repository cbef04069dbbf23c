"""What devices fetch below the roots: a repository's birth, new targets, and renewal before anything expires.

Reading, counting, signing and storing are one transaction, and writers take turns: no two documents of one chain ever
have one version, whatever number of servers renews them.
"""

from dataclasses import dataclass
from datetime import datetime

from ownroot.audit.events import SERVER, AuditEvent, EventKind
from ownroot.errors import InvalidInputError, NotFoundError
from ownroot.services.authority import Principal
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory
from ownroot.services.tuf_keys import make_key, online_signers
from ownroot.services.tuf_store import TagRef
from ownroot.tuf.canonical import Json
from ownroot.tuf.metadata import ONLINE_ROLES, TARGETS_MAX_OCTETS, Role, parse_document
from ownroot.tuf.repository import (
    CI_LIFE,
    PRODUCTION_TIMESTAMP_LIFE,
    OnlineSigners,
    TagDocuments,
    ci_documents,
    first_roots,
    production_documents,
)
from ownroot.tuf.targets import check_target


@dataclass(frozen=True, slots=True)
class TargetRef:
    """A target's place: the tag whose test devices get it, and its name."""

    tag: str
    name: str


FIRST_TAG = "main"
# Renewed while a third of its life is left, so that an outage of a few days strands no device.
_CI_MARGIN = CI_LIFE / 3
_PRODUCTION_MARGIN = PRODUCTION_TIMESTAMP_LIFE / 3


def ensure_repository(uow: UnitOfWork, factory: Factory, keyring: Keyring, *, now: datetime) -> None:
    """Give a factory its repository, unless it has one: roots 1 and 2, the server's keys, empty targets of one tag."""
    if uow.tuf.exists(factory.id):
        return
    uow.tuf.create(factory.id)
    root, sealed = make_key(Role.ROOT, keyring)
    uow.tuf.put_key(factory.id, sealed, staged=False)
    online = {}
    for role in ONLINE_ROLES:
        online[role], sealed = make_key(role, keyring)
        uow.tuf.put_key(factory.id, sealed, staged=False)
    for version, document in enumerate(first_roots(root, online, now=now), start=1):
        uow.tuf.add_root(factory.id, version, document.encoded(), production=False)
    publish_tag(uow, TagRef(factory.id, production=False, tag=FIRST_TAG), online, now=now)
    kind = EventKind.TUF_REPOSITORY_CREATED
    uow.audit.append(AuditEvent(factory.id, now, SERVER, kind, root.key.key_id, {"tag": FIRST_TAG}))


def factories_without_repository(uow: UnitOfWork) -> tuple[Factory, ...]:
    """Return the factories that `ensure_repository` has something to do for."""
    return tuple(factory for factory in uow.factories.list() if not uow.tuf.exists(factory.id))


def publish_tag(uow: UnitOfWork, ref: TagRef, online: OnlineSigners, *, now: datetime) -> TagDocuments:
    """Sign a tag's documents anew, with the next version."""
    version = uow.tuf.next_version(ref.factory_id, production=ref.production)
    if ref.production:
        present = uow.tuf.documents(ref)
        if present is None:
            raise AssertionError("production targets are stored before they are published")
        targets = parse_document(present.targets, max_octets=TARGETS_MAX_OCTETS)
        documents = production_documents(targets, online, version=version, now=now)
    else:
        documents = ci_documents(uow.tuf.targets(ref.factory_id, ref.tag), online, version=version, now=now)
    uow.tuf.put_documents(ref, documents)
    return documents


def renew_expiring(uow: UnitOfWork, keyring: Keyring, *, now: datetime, limit: int = 100) -> int:
    """Sign anew what will expire, at most so many tags of each kind of devices; returns how many there were."""
    due = [
        *uow.tuf.expiring(production=False, before=now + _CI_MARGIN, limit=limit),
        *uow.tuf.expiring(production=True, before=now + _PRODUCTION_MARGIN, limit=limit),
    ]
    signers: dict[int, OnlineSigners] = {}
    for ref in due:
        if ref.factory_id not in signers:
            signers[ref.factory_id] = online_signers(uow, ref.factory_id, keyring)
        publish_tag(uow, ref, signers[ref.factory_id], now=now)
    return len(due)


def add_target(  # noqa: PLR0913  (what, where, by whom, with which keys)
    uow: UnitOfWork, ref: TargetRef, entry: Json, *, by: Principal, keyring: Keyring, now: datetime
) -> TagDocuments:
    """Publish a target to the test devices of a tag; a new tag begins with it.

    Raises:
        InvalidInputError: `tuf-target-invalid`, `tuf-targets-too-long`.
        ConflictError: `tuf-target-exists`.
    """
    check_target(ref.name, entry)
    factory_id = by.factory.id
    uow.tuf.put_target(factory_id, ref.tag, ref.name, entry)
    documents = _publish_ci(uow, factory_id, ref.tag, keyring, now)
    if len(documents.targets) > TARGETS_MAX_OCTETS:
        raise InvalidInputError(
            "tuf-targets-too-long",
            f"The targets of the tag {ref.tag} would be longer than the {TARGETS_MAX_OCTETS} bytes a device reads. "
            "Prune old ones first.",
        )
    uow.audit.append(by.event(EventKind.TUF_TARGET_ADDED, ref.name, {"tag": ref.tag}, at=now))
    return documents


def remove_target(uow: UnitOfWork, ref: TargetRef, *, by: Principal, keyring: Keyring, now: datetime) -> TagDocuments:
    """Take a target back.

    Raises:
        NotFoundError: `tuf-target-unknown`.
    """
    if not uow.tuf.drop_target(by.factory.id, ref.tag, ref.name):
        raise NotFoundError("tuf-target-unknown", f"There is no target {ref.name} for the tag {ref.tag}.")
    uow.audit.append(by.event(EventKind.TUF_TARGET_REMOVED, ref.name, {"tag": ref.tag}, at=now))
    return _publish_ci(uow, by.factory.id, ref.tag, keyring, now)


def _publish_ci(uow: UnitOfWork, factory_id: int, tag: str, keyring: Keyring, now: datetime) -> TagDocuments:
    online = online_signers(uow, factory_id, keyring)
    return publish_tag(uow, TagRef(factory_id, production=False, tag=tag), online, now=now)
