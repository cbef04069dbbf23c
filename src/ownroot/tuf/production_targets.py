"""Targets for production devices: documents that their owner signs offline, and the server once more (tuf.md §1, §6.3).

A signed body is the owner's and stays as it is, so everything about it must be right before the first device sees it. A
device keeps one version for all tags and takes a lower one for an attack: so all tags are signed together, with one
version (tuf.md §2.5), and a device that is given another tag finds nothing older there.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import Json
from ownroot.tuf.metadata import TARGETS_MAX_OCTETS, Document, Role, Root, parse_time, version_of
from ownroot.tuf.repository import CI_LIFE
from ownroot.tuf.root_rules import Fault, OnlineKeys, has_offline_targets_key
from ownroot.tuf.signatures import is_valid
from ownroot.tuf.targets import check_target

TARGETS_LIFE: Final = CI_LIFE
_LONGEST_LIFE: Final = TARGETS_LIFE + timedelta(days=2)
_MEMBERS: Final = frozenset(("_type", "expires", "version", "targets"))


def read_targets(document: Document) -> Mapping[str, dict[str, Json]]:
    """Return the targets of a document by name; of what is in an entry, nothing is checked.

    Raises:
        InvalidInputError: `tuf-document-invalid`.
    """
    targets = document.signed.get("targets")
    if (
        document.signed.get("_type") != Role.TARGETS.type_name
        or not isinstance(targets, dict)
        or not all(isinstance(entry, dict) for entry in targets.values())
    ):
        raise InvalidInputError(
            "tuf-document-invalid", "Not a targets document: `_type` is Targets, `targets` an object of objects."
        )
    return targets


def find_upload_faults(
    sent: Mapping[str, Document],
    published: Mapping[str, Document],
    root: Root,
    online_keys: OnlineKeys,
    *,
    now: datetime,
) -> list[Fault]:
    """Return why documents may not become production targets; whether enough keys signed them is another question.

    Args:
        sent, published: by tag.
        root: the production root.
    """
    try:
        return [
            *_tag_faults(sent, published),
            *(fault for tag, one in sent.items() for fault in _faults_of(tag, one, root, online_keys, now)),
        ]
    except InvalidInputError as error:
        return [Fault(error.code, error.detail)]


def _tag_faults(sent: Mapping[str, Document], published: Mapping[str, Document]) -> Iterator[Fault]:
    missing = sorted(published.keys() - sent.keys())
    if missing:
        yield Fault("tags-missing", f"All tags are signed together; missing: {', '.join(missing)}.")
    versions = {version_of(document) for document in sent.values()}
    if len(versions) > 1:
        yield Fault("versions-differ", "All tags have one version, since devices keep one for all of them.")
    newest = max((version_of(document) for document in published.values()), default=0)
    if min(versions, default=0) <= newest:
        yield Fault("version-not-newer", f"The version must be above {newest}, the newest of any tag.")


def _faults_of(tag: str, document: Document, root: Root, online_keys: OnlineKeys, now: datetime) -> Iterator[Fault]:
    faults = [
        *_body_faults(document, now),
        *_target_faults(read_targets(document)),
        *_signature_faults(document, root, online_keys),
    ]
    for fault in faults:
        yield Fault(fault.kind, f"{tag}: {fault.message}")


def _body_faults(document: Document, now: datetime) -> Iterator[Fault]:
    expires = parse_time(document.signed.get("expires"))
    if set(document.signed) != _MEMBERS:
        yield Fault("members-unknown", "A targets document has `_type`, `expires`, `version` and `targets`, no others.")
    if not now < expires <= now + _LONGEST_LIFE:
        yield Fault("expiry-out-of-range", "The targets must expire in the future, and within a year.")
    if len(document.encoded()) > TARGETS_MAX_OCTETS:
        yield Fault("targets-too-long", f"The targets are longer than the {TARGETS_MAX_OCTETS} bytes a device reads.")


def _target_faults(targets: Mapping[str, dict[str, Json]]) -> Iterator[Fault]:
    for name, entry in targets.items():
        try:
            check_target(name, entry)
        except InvalidInputError as error:
            yield Fault(error.code, f"{name[:64]}: {error.detail}")


def _signature_faults(document: Document, root: Root, online_keys: OnlineKeys) -> Iterator[Fault]:
    if not has_offline_targets_key(root, online_keys):
        yield Fault("no-offline-targets-key", "The root has no offline targets key, so no device could verify these.")
    role = root.roles[Role.TARGETS].key_ids
    for signature in document.signatures:
        key = root.keys.get(signature.key_id) if signature.key_id in role else None
        if not is_valid(document.payload, signature, key):
            yield Fault("signature-invalid", f"The signature by {signature.key_id} is not a targets key's over these.")
