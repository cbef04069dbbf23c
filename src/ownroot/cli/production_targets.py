"""Targets for production devices: what is there now, verified; what shall be, signed by an offline key of ours."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from ownroot.cli.hsm import HsmKeys
from ownroot.cli.options import Target
from ownroot.cli.tuf_key_file import KeyFile
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.cli.tuf_owner_keys import OwnerKeys
from ownroot.cli.tuf_roots import verify_roots
from ownroot.cli.tuf_tag import TagTargets, fetch_targets, require_targets
from ownroot.client.repository import RepositoryApi
from ownroot.clock import utc_now
from ownroot.errors import NotFoundError, OwnrootError, RefusedError
from ownroot.tuf.canonical import Json
from ownroot.tuf.keys import TufSigner
from ownroot.tuf.metadata import Document, Role, new_targets
from ownroot.tuf.production_targets import TARGETS_LIFE
from ownroot.tuf.signatures import sign
from ownroot.wire.tuf import production_document, read_tags


class ProductionRun:
    """One change of a tag's production targets. Those of the other tags are signed anew with it, as they are.

    So none may be older than it was: whoever answers as the server would have withdrawn targets signed anew.

    Attributes:
        newest: the version that all tags have, verified; 0 if none has any.
        tag: whose targets change.
        present: what production devices of the tag have, verified; it may have expired.
        others: the same of every other tag that has any, by tag.
        now: when the run began.
    """

    def __init__(self, api: RepositoryApi, file: KeyFile, keys: OwnerKeys, tag: str, *, now: datetime) -> None:
        """Fetch and verify what all tags have.

        Raises:
            RefusedError: `tuf-rollback`: some of it is older than the rest, or than what the key file knows; and as
                `verify_roots`, `fetch_targets`.
            NotFoundError: as `require_targets`.
        """
        self._api = api
        self._file = file
        self._keys = keys
        self.tag = tag
        self._roots = verify_roots(api, file)
        self.now = now
        self.present = self._fetch(tag, even_expired=True)
        tags = sorted(read_tags(api.production_targets()).keys() - {tag})
        self.others = {
            other: require_targets(self._fetch(other, even_expired=True), other, production=True) for other in tags
        }
        self.newest = _require_newest({tag: self.present, **self.others}, file.known_targets_version)

    def fetch_tested(self) -> TagTargets:
        """Fetch what test devices of the tag have, verified."""
        return fetch_targets(self._api, self._roots, self.tag, production=False, now=self.now)

    def publish(self, entries: Mapping[str, Json]) -> int:
        """Sign and upload the targets, and see that devices get them; returns their version.

        Raises:
            NotFoundError: `tuf-key-not-in-file`: no active targets key is in the file.
            InvalidInputError: `tuf-targets-invalid`, and as `production_document`.
            RefusedError: `tuf-published-differs`, and as `fetch_targets`.
        """
        signers = self._keys.open_all(self._file, self._roots.root.roles[Role.TARGETS].key_ids)
        if not signers:
            raise NotFoundError("tuf-key-not-in-file", "The key file has no active targets key of this factory.")
        version = self.newest + 1
        contents = {tag: other.entries for tag, other in self.others.items()} | {self.tag: entries}
        signed = {tag: self._signed(version, content, signers) for tag, content in contents.items()}
        self._api.publish_production(production_document(signed))
        for tag, document in signed.items():
            after = self._fetch(tag).document
            if after is None or after.signed != document.signed:
                raise RefusedError("tuf-published-differs", "The server published other targets than those we signed.")
        self.newest = version
        return version

    def _signed(self, version: int, entries: Mapping[str, Json], signers: Iterable[TufSigner]) -> Document:
        unsigned = Document(new_targets(version, self.now + TARGETS_LIFE, entries))
        return Document(unsigned.signed, tuple(sign(unsigned.payload, signer) for signer in signers))

    def _fetch(self, tag: str, *, even_expired: bool = False) -> TagTargets:
        return fetch_targets(self._api, self._roots, tag, production=True, now=self.now, even_expired=even_expired)


@contextmanager
def opened_production(
    target: Target, hsm: HsmKeys | None, keys: Path, tag: str, *, warn: Callable[[str], None]
) -> Iterator[ProductionRun]:
    """Give a run with the keys of a file, which knows afterwards how new the targets were.

    Raises:
        NotFoundError: `tuf-key-file-missing`. InvalidInputError: `tuf-key-file-unusable`. And as `ProductionRun`.
    """
    store = KeyFileStore(keys)
    file = store.read()
    with RepositoryApi(target.access()) as api:
        run = ProductionRun(api, file, OwnerKeys(hsm), tag, now=utc_now())
        try:
            yield run
        finally:
            _remember(store, run.newest, warn)


def _require_newest(found: Mapping[str, TagTargets], known: int) -> int:
    """Return the one version of all tags. Raises RefusedError `tuf-rollback`."""
    versions = {tag: targets.version for tag, targets in found.items() if targets.document is not None}
    newest = max(versions.values(), default=0)
    for tag, version in versions.items():
        if version != newest:
            raise RefusedError(
                "tuf-rollback",
                f"The targets of {tag} have version {version}, others have {newest}, and all tags have one. If "
                f"somebody publishes at this moment, run this again. Otherwise an old state of {tag} is shown: sign "
                "nothing before you know why.",
            )
    if newest < known:
        shown = ", ".join(f"{tag} in version {version}" for tag, version in versions.items()) or "no production targets"
        raise RefusedError(
            "tuf-rollback",
            f"The server shows {shown}; with this key file version {known} was seen. Sign nothing before you know why. "
            "If you put the server back to an older state yourself, see docs/cli/targets.md.",
        )
    return newest


def _remember(store: KeyFileStore, version: int, warn: Callable[[str], None]) -> None:
    """Keep the newest version in the key file. What was published stays so when that fails: it is told, not refused."""
    try:
        if version > store.read().known_targets_version:
            with store.held():
                store.replace(store.read().with_known_targets_version(version))
    except OwnrootError as error:
        warn(f"{error.detail} So the next run does not know that targets version {version} was seen.")
