"""Production targets: taken from their owner with offline signatures, signed once more, published (tuf.md §6.3)."""

from collections.abc import Mapping
from datetime import datetime

from ownroot.audit.events import EventKind
from ownroot.errors import InvalidInputError
from ownroot.services.authority import Principal
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import UnitOfWork
from ownroot.services.tuf_keys import online_signers
from ownroot.services.tuf_publishing import publish_production
from ownroot.services.tuf_root_updates import read_published
from ownroot.tuf.metadata import Document, read_root, version_of
from ownroot.tuf.production_targets import find_upload_faults
from ownroot.tuf.repository import TagDocuments, resigned_targets
from ownroot.tuf.root_rules import by_kind, find_targets_faults


def publish_production_targets(
    uow: UnitOfWork, sent: Mapping[str, Document], *, by: Principal, keyring: Keyring, now: datetime
) -> Mapping[str, TagDocuments]:
    """Publish targets to the production devices of all tags, in place of those they have; returns them by tag.

    Raises:
        InvalidInputError: `tuf-targets-invalid`, with every broken rule in `fields`.
    """
    factory_id = by.factory.id
    published = read_published(uow, factory_id)
    root = read_root(published.roots.production_or_ci.signed)
    present = published.production_targets
    faults = find_upload_faults(sent, present, root, published.online_keys, now=now)
    online = online_signers(uow, factory_id, keyring)
    signed = {tag: resigned_targets(document, root, (), online) for tag, document in sent.items()}
    if not faults:
        faults = [fault for tag, document in signed.items() for fault in find_targets_faults(tag, document, root)]
    if faults:
        raise InvalidInputError(
            "tuf-targets-invalid",
            "Production devices would refuse these targets.",
            fields=by_kind(faults),
        )
    for tag, document in signed.items():
        before = present.get(tag)
        is_changed = before is None or before.signed["targets"] != document.signed["targets"]
        details = {"targets-version": str(version_of(document)), "changed": "yes" if is_changed else "no"}
        uow.audit.append(by.event(EventKind.TUF_PRODUCTION_PUBLISHED, tag, details, at=now))
    return publish_production(uow, factory_id, signed, online, now=now)
