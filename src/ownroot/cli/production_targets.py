"""Targets for production devices: what is there now, verified; what shall be, signed by an offline key of ours."""

from collections.abc import Iterable, Iterator, Mapping
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
from ownroot.errors import NotFoundError, RefusedError
from ownroot.tuf.canonical import Json
from ownroot.tuf.keys import TufSigner
from ownroot.tuf.metadata import Document, Role, new_targets
from ownroot.tuf.production_targets import TARGETS_LIFE
from ownroot.tuf.signatures import sign
from ownroot.wire.tuf import production_document, read_tags


class ProductionRun:
    """One change of a tag's production targets. Those of the other tags are signed anew with it, as they are.

    Attributes:
        tag: whose targets change.
        present: what production devices of the tag have, verified; it may have expired.
        others: the same of every other tag that has any, by tag.
        now: when the run began.
    """

    def __init__(self, api: RepositoryApi, file: KeyFile, keys: OwnerKeys, tag: str, *, now: datetime) -> None:
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
        version = 1 + max([self.present.version, *(other.version for other in self.others.values())])
        contents = {tag: other.entries for tag, other in self.others.items()} | {self.tag: entries}
        signed = {tag: self._signed(version, content, signers) for tag, content in contents.items()}
        self._api.publish_production(production_document(signed))
        for tag, document in signed.items():
            after = self._fetch(tag).document
            if after is None or after.signed != document.signed:
                raise RefusedError("tuf-published-differs", "The server published other targets than those we signed.")
        return version

    def _signed(self, version: int, entries: Mapping[str, Json], signers: Iterable[TufSigner]) -> Document:
        unsigned = Document(new_targets(version, self.now + TARGETS_LIFE, entries))
        return Document(unsigned.signed, tuple(sign(unsigned.payload, signer) for signer in signers))

    def _fetch(self, tag: str, *, even_expired: bool = False) -> TagTargets:
        return fetch_targets(self._api, self._roots, tag, production=True, now=self.now, even_expired=even_expired)


@contextmanager
def opened_production(target: Target, hsm: HsmKeys | None, keys: Path, tag: str) -> Iterator[ProductionRun]:
    """Give a run with the keys of a file. Raises NotFoundError `tuf-key-file-missing`."""
    file = KeyFileStore(keys).read()
    with RepositoryApi(target.access()) as api:
        yield ProductionRun(api, file, OwnerKeys(hsm), tag, now=utc_now())
