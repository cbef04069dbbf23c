"""The next root of a factory whose owner has not taken its TUF keys over (protocol: tuf.md §1.1).

A root ends after a year, and devices refuse every update from then on. While the first root key is the only one, the
server that holds it signs the next root in time: the same keys, a later end. Once an owner holds a root key this is the
owners' alone, and never done here.
"""

from dataclasses import replace
from datetime import datetime

from ownroot.audit.events import SERVER, AuditEvent, EventKind
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import Factory
from ownroot.services.tuf_keys import open_signer
from ownroot.services.tuf_store import SealedTufKey
from ownroot.tuf.final_check import find_root_refusals
from ownroot.tuf.metadata import ROOT_MAX_OCTETS, Document, Role, Root, parse_document, read_root
from ownroot.tuf.repository import ROOT_LIFE, sign_document
from ownroot.tuf.root_rules import Chains

# As for the documents below it: an outage of months strands nobody.
_MARGIN = ROOT_LIFE / 3


def factories_with_ending_root(uow: UnitOfWork, *, now: datetime) -> tuple[Factory, ...]:
    """Return the factories that `renew_first_root` has something to do for."""
    return tuple(factory for factory in uow.factories.list() if _find_ending(uow, factory.id, now) is not None)


def renew_first_root(uow: UnitOfWork, factory: Factory, keyring: Keyring, *, now: datetime) -> bool:
    """Publish the next root, for test and production devices alike, if it is time and the server's to do.

    Raises:
        KeyStoreError: the first root key cannot be opened.
    """
    found = _find_ending(uow, factory.id, now)
    if found is None:
        return False
    present, root, sealed = found
    following = replace(root, version=root.version + 1, expires=now + ROOT_LIFE)
    document = sign_document(following.signed(), open_signer(sealed, keyring))
    if refusals := find_root_refusals(Chains(document, None), Chains(present, None)):
        raise AssertionError(refusals[0].message)
    uow.tuf.add_root(factory.id, following.version, document.encoded(), production=False)
    details = {"expires": f"{following.expires:%Y-%m-%d}", "key": sealed.key_id}
    uow.audit.append(AuditEvent(factory.id, now, SERVER, EventKind.TUF_ROOT_RENEWED, str(following.version), details))
    return True


def is_held_by_server(root: Root, first: SealedTufKey | None) -> bool:
    """Is the first root key, which the server holds, the only one that can sign the next root?"""
    return first is not None and root.roles[Role.ROOT].key_ids == (first.key_id,)


def _find_ending(uow: UnitOfWork, factory_id: int, now: datetime) -> tuple[Document, Root, SealedTufKey] | None:
    first = uow.tuf.keys(factory_id, staged=False).get(Role.ROOT)
    served = uow.tuf.find_root(factory_id, None, production=False)
    # A change under way counts on the present root; when it is published, the next root is there.
    if first is None or served is None or uow.tuf.find_update(factory_id) is not None:
        return None
    document = parse_document(served, max_octets=ROOT_MAX_OCTETS)
    root = read_root(document.signed)
    is_ours = is_held_by_server(root, first) and uow.tuf.find_root(factory_id, None, production=True) == served
    return (document, root, first) if is_ours and root.expires < now + _MARGIN else None
