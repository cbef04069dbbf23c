"""A tag's targets as a device takes them: root, timestamp, snapshot, targets, each verified by the one before."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ownroot.cli.tuf_roots import VerifiedRoots
from ownroot.client.repository import RepositoryApi
from ownroot.errors import NotFoundError, OwnrootError, RefusedError
from ownroot.tuf.canonical import Json
from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.metadata import TARGETS_MAX_OCTETS, Document, parse_document, parse_time, version_of
from ownroot.tuf.production_targets import read_targets


@dataclass(frozen=True, slots=True)
class TagTargets:
    """Verified targets of one tag; None in `document`: the tag has none."""

    document: Document | None

    @property
    def entries(self) -> Mapping[str, dict[str, Json]]:
        """The targets by name."""
        return {} if self.document is None else read_targets(self.document)

    @property
    def version(self) -> int:
        """The version of the targets document; 0 if there is none."""
        return 0 if self.document is None else version_of(self.document)

    def expired(self, now: datetime) -> datetime | None:
        """Return when the targets expired; None if they have not."""
        ends = None if self.document is None else parse_time(self.document.signed["expires"])
        return ends if ends is not None and ends <= now else None


def fetch_targets(
    api: RepositoryApi, roots: VerifiedRoots, tag: str, *, production: bool, now: datetime, even_expired: bool = False
) -> TagTargets:
    """Fetch a tag's documents and verify them from the root down.

    Args:
        even_expired: targets that expired are let through, for whoever signs them anew; whatever lies above is not.

    Raises:
        RefusedError: the rule of `DeviceTrust` that is broken; `tuf-tag-incomplete`: some documents are missing.
    """
    names = ("timestamp.json", "snapshot.json", "targets.json")
    found = [api.tag_document(name, tag, production=production) for name in names]
    timestamp, snapshot, targets = found
    if timestamp is None and snapshot is None and targets is None:
        return TagTargets(None)
    if timestamp is None or snapshot is None or targets is None:
        raise RefusedError("tuf-tag-incomplete", f"The server has some documents of the tag {tag} and lacks others.")
    trust = DeviceTrust(roots.production if production else roots.ci)
    trust.update_timestamp(timestamp, now=now)
    trust.update_snapshot(snapshot, now=now)
    if even_expired:
        trust.verify_targets(targets)
    else:
        trust.update_targets(targets, now=now)
    return TagTargets(parse_document(targets, max_octets=TARGETS_MAX_OCTETS))


def require_targets(found: TagTargets, tag: str, *, production: bool) -> TagTargets:
    """Refuse a tag that has no documents.

    Raises:
        NotFoundError: `tuf-tag-unknown`.
    """
    if found.document is None:
        whose = "production" if production else "test"
        raise NotFoundError("tuf-tag-unknown", f"There are no targets for {whose} devices of the tag {tag}.")
    return found


def target_unknown(name: str, tag: str) -> OwnrootError:
    """Return the error for a name that a tag does not have."""
    return NotFoundError("tuf-target-unknown", f"There is no target {name} for the tag {tag}.")
