"""What a factory's repository starts from, and the documents of one tag (protocol: tuf.md §1.1, §2.5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from ownroot.tuf.canonical import Json
from ownroot.tuf.keys import TufKey, TufSigner
from ownroot.tuf.metadata import (
    ONLINE_ROLES,
    Document,
    Role,
    RoleKeys,
    Root,
    new_snapshot,
    new_targets,
    new_timestamp,
    version_of,
)
from ownroot.tuf.signatures import Signature, merge, sign

ROOT_LIFE: Final = timedelta(days=365)
CI_LIFE: Final = timedelta(days=365)
PRODUCTION_TIMESTAMP_LIFE: Final = timedelta(days=7)

OnlineSigners = Mapping[Role, TufSigner]  # of targets, snapshot and timestamp


@dataclass(frozen=True, slots=True)
class TagDocuments:
    """What devices of one tag fetch, as it is served.

    Attributes:
        expires: when the timestamp ends, which the server renews; targets that others have signed may end earlier.
    """

    version: int
    timestamp: bytes
    snapshot: bytes
    targets: bytes
    expires: datetime


def online_key_ids(signers: OnlineSigners) -> dict[Role, str]:
    """Return the key id of each online role."""
    return {role: signers[role].key.key_id for role in ONLINE_ROLES}


def first_roots(root: TufSigner, online: OnlineSigners, *, now: datetime) -> tuple[Document, Document]:
    """Return roots 1 and 2 of a new factory, which differ in their version alone.

    Devices of unknown kind take both; CI and production part from 3 on.
    """
    signers = {Role.ROOT: root, **online}
    keys: dict[str, TufKey] = {signer.key.key_id: signer.key for signer in signers.values()}
    roles = {role: RoleKeys((signers[role].key.key_id,), 1) for role in Role}
    made = [Root(version, now + ROOT_LIFE, MappingProxyType(keys), MappingProxyType(roles)) for version in (1, 2)]
    one, two = (sign_document(body.signed(), root) for body in made)
    return one, two


def sign_document(signed: dict[str, Json], signer: TufSigner) -> Document:
    """Return a document with one signature."""
    document = Document(signed)
    return Document(signed, (sign(document.payload, signer),))


def ci_documents(targets: Mapping[str, Json], online: OnlineSigners, *, version: int, now: datetime) -> TagDocuments:
    """Return a tag's documents for test devices, all with one version."""
    signed = sign_document(new_targets(version, now + CI_LIFE, targets), online[Role.TARGETS])
    return _wrap(signed, online, version=version, now=now, timestamp_life=CI_LIFE)


def production_documents(targets: Document, online: OnlineSigners, *, version: int, now: datetime) -> TagDocuments:
    """Return a tag's documents for production devices, around targets that others have signed.

    Args:
        targets: with all its offline signatures; the online one is made anew. Its body stays as it is.
        version: of snapshot and timestamp.
    """
    own = sign(targets.payload, online[Role.TARGETS])
    document = Document(targets.signed, merge([own], targets.signatures))
    return _wrap(document, online, version=version, now=now, timestamp_life=PRODUCTION_TIMESTAMP_LIFE)


def resigned_targets(document: Document, root: Root, added: tuple[Signature, ...], online: OnlineSigners) -> Document:
    """Return production targets as a new root wants them: the body as it is, signatures of its targets keys alone.

    Args:
        added: made while the root was being prepared; they win over earlier ones of the same key.
    """
    role = root.roles[Role.TARGETS].key_ids
    own = sign(document.payload, online[Role.TARGETS])
    signatures = merge([own, *added], document.signatures)
    return Document(document.signed, tuple(one for one in signatures if one.key_id in role))


def _wrap(
    targets: Document, online: OnlineSigners, *, version: int, now: datetime, timestamp_life: timedelta
) -> TagDocuments:
    targets_version = version_of(targets)
    served = targets.encoded()
    snapshot_body = new_snapshot(version, now + CI_LIFE, served, targets_version=targets_version)
    snapshot = sign_document(snapshot_body, online[Role.SNAPSHOT]).encoded()
    timestamp_body = new_timestamp(version, now + timestamp_life, snapshot, snapshot_version=version)
    timestamp = sign_document(timestamp_body, online[Role.TIMESTAMP]).encoded()
    return TagDocuments(version, timestamp, snapshot, served, now + timestamp_life)
