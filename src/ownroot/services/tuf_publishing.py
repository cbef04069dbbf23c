"""What devices fetch below the roots: a repository's birth, new targets, and renewal before anything expires.

Reading, counting, signing and storing are one transaction, and writers take turns: no two documents of one chain ever
have one version, whatever number of servers renews them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ownroot.audit.events import SERVER, AuditEvent, EventKind
from ownroot.errors import InvalidInputError, KeyStoreError, NotFoundError
from ownroot.services.authority import Principal
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory
from ownroot.services.tuf_keys import make_key, online_signers
from ownroot.services.tuf_store import TagRef
from ownroot.tuf.canonical import Json
from ownroot.tuf.metadata import ONLINE_ROLES, TARGETS_MAX_OCTETS, Document, Role, parse_document
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
    publish_ci(uow, factory.id, online, now=now, new_tag=FIRST_TAG)
    kind = EventKind.TUF_REPOSITORY_CREATED
    uow.audit.append(AuditEvent(factory.id, now, SERVER, kind, root.key.key_id, {"tag": FIRST_TAG}))


def factories_without_repository(uow: UnitOfWork) -> tuple[Factory, ...]:
    """Return the factories that `ensure_repository` has something to do for."""
    return tuple(factory for factory in uow.factories.list() if not uow.tuf.exists(factory.id))


def publish_ci(
    uow: UnitOfWork, factory_id: int, online: OnlineSigners, *, now: datetime, new_tag: str | None = None
) -> dict[str, TagDocuments]:
    """Sign the documents of every tag of test devices anew, all with the next version; returns them by tag.

    All, because a device keeps one count for all tags: one that is given another tag must find no lower number there.
    """
    version = uow.tuf.next_version(factory_id, production=False)
    tags = {*uow.tuf.tags(factory_id, production=False), *([] if new_tag is None else [new_tag])}
    made = {
        tag: ci_documents(uow.tuf.targets(factory_id, tag), online, version=version, now=now) for tag in sorted(tags)
    }
    return _put(uow, factory_id, made, production=False)


def publish_production(
    uow: UnitOfWork, factory_id: int, targets: Mapping[str, Document], online: OnlineSigners, *, now: datetime
) -> dict[str, TagDocuments]:
    """Sign what lies around production targets anew, for all of them with the next version; returns it by tag."""
    if not targets:
        return {}
    version = uow.tuf.next_version(factory_id, production=True)
    made = {tag: production_documents(document, online, version=version, now=now) for tag, document in targets.items()}
    return _put(uow, factory_id, made, production=True)


def production_targets(uow: UnitOfWork, factory_id: int) -> dict[str, Document]:
    """Return production targets by tag, as they are served."""
    found = {}
    for tag in uow.tuf.tags(factory_id, production=True):
        documents = uow.tuf.documents(TagRef(factory_id, production=True, tag=tag))
        if documents is not None:
            found[tag] = parse_document(documents.targets, max_octets=TARGETS_MAX_OCTETS)
    return found


@dataclass(frozen=True, slots=True)
class RenewalRound:
    """What became of the documents that were due.

    Attributes:
        renewed, left: for how many tags they were signed anew, and could not be.
        faults: why not, by the id of the factory whose keys could not be used.
        is_last: no others were due.
    """

    renewed: int
    left: int
    faults: Mapping[int, KeyStoreError]
    is_last: bool


def renew_expiring(uow: UnitOfWork, keyring: Keyring, *, now: datetime, limit: int = 100) -> RenewalRound:
    """Sign anew what will expire, and all that is counted with it.

    A factory whose keys cannot be used keeps no other factory waiting.

    Args:
        limit: how many tags of each kind of devices are looked up.
    """
    ci = uow.tuf.expiring(production=False, before=now + _CI_MARGIN, limit=limit)
    production = uow.tuf.expiring(production=True, before=now + _PRODUCTION_MARGIN, limit=limit)
    due = [*ci, *production]
    signers, faults = _signers_of({ref.factory_id for ref in due}, uow, keyring)
    for factory_id in {ref.factory_id for ref in ci} & signers.keys():
        publish_ci(uow, factory_id, signers[factory_id], now=now)
    for factory_id in {ref.factory_id for ref in production} & signers.keys():
        publish_production(uow, factory_id, production_targets(uow, factory_id), signers[factory_id], now=now)
    able = sum(ref.factory_id in signers for ref in due)
    return RenewalRound(able, len(due) - able, faults, is_last=max(len(ci), len(production)) < limit)


def _signers_of(
    factories: Iterable[int], uow: UnitOfWork, keyring: Keyring
) -> tuple[Mapping[int, OnlineSigners], Mapping[int, KeyStoreError]]:
    signers: dict[int, OnlineSigners] = {}
    faults: dict[int, KeyStoreError] = {}
    for factory_id in factories:
        try:
            signers[factory_id] = online_signers(uow, factory_id, keyring)
        except KeyStoreError as error:
            faults[factory_id] = error
    return signers, faults


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
    return publish_ci(uow, factory_id, online, now=now, new_tag=tag)[tag]


def _put(
    uow: UnitOfWork, factory_id: int, made: dict[str, TagDocuments], *, production: bool
) -> dict[str, TagDocuments]:
    for tag, documents in made.items():
        uow.tuf.put_documents(TagRef(factory_id, production, tag), documents)
    return made
