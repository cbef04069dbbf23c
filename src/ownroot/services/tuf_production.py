"""Production targets: taken from their owner with offline signatures, signed once more, published (tuf.md §6.3)."""

from datetime import datetime

from ownroot.audit.events import EventKind
from ownroot.errors import InvalidInputError
from ownroot.services.authority import Principal
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import UnitOfWork
from ownroot.services.tuf_keys import online_signers
from ownroot.services.tuf_root_updates import read_published
from ownroot.services.tuf_store import TagRef
from ownroot.tuf.metadata import Document, read_root, version_of
from ownroot.tuf.production_targets import find_upload_faults
from ownroot.tuf.repository import TagDocuments, production_documents, resigned_targets
from ownroot.tuf.root_rules import find_targets_faults


def publish_production_targets(  # noqa: PLR0913  (what, where, by whom, with which keys)
    uow: UnitOfWork, tag: str, document: Document, *, by: Principal, keyring: Keyring, now: datetime
) -> TagDocuments:
    """Publish targets to the production devices of a tag, in place of those it has.

    Raises:
        InvalidInputError: `tuf-targets-invalid`, with every broken rule in `fields`.
    """
    factory_id = by.factory.id
    published = read_published(uow, factory_id)
    root = read_root(published.roots.production_or_ci.signed)
    newest = max((version_of(each) for each in published.production_targets.values()), default=0)
    faults = find_upload_faults(document, root, published.online_keys, newest_version=newest, now=now)
    online = online_signers(uow, factory_id, keyring)
    signed = resigned_targets(document, root, (), online)
    if not faults:
        faults = find_targets_faults(tag, signed, root)
    if faults:
        raise InvalidInputError(
            "tuf-targets-invalid",
            "Production devices would refuse these targets.",
            fields={fault.kind: fault.message for fault in faults},
        )
    version = uow.tuf.next_version(factory_id, production=True)
    documents = production_documents(signed, online, version=version, now=now)
    uow.tuf.put_documents(TagRef(factory_id, production=True, tag=tag), documents)
    details = {"targets-version": str(version_of(document))}
    uow.audit.append(by.event(EventKind.TUF_PRODUCTION_PUBLISHED, tag, details, at=now))
    return documents
