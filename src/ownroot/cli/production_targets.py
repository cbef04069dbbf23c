"""Targets for production devices: what is there now, verified; what shall be, signed by an offline key of ours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from ownroot.cli.hsm import HsmKeys
from ownroot.cli.options import Target
from ownroot.cli.tuf_key_file import KeyFile
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.cli.tuf_owner_keys import OwnerKeys
from ownroot.cli.tuf_tag import TagTargets, fetch_targets
from ownroot.client.repository import RepositoryApi
from ownroot.clock import utc_now
from ownroot.errors import NotFoundError, RefusedError
from ownroot.tuf.canonical import Json
from ownroot.tuf.metadata import Document, Role, new_targets, version_of
from ownroot.tuf.production_targets import TARGETS_LIFE
from ownroot.tuf.signatures import sign
from ownroot.wire.tuf import production_document, read_tags


class ProductionRun:
    """One change of a tag's production targets.

    Attributes:
        present: what production devices of the tag have, verified.
    """

    def __init__(self, api: RepositoryApi, file: KeyFile, keys: OwnerKeys, tag: str, *, now: datetime) -> None:
        self._api = api
        self._file = file
        self._keys = keys
        self._tag = tag
        self._now = now
        self.present = fetch_targets(api, tag, production=True, now=now, key_file=file)

    def fetch_tested(self) -> TagTargets:
        """Fetch what test devices of the tag have, verified."""
        return fetch_targets(self._api, self._tag, production=False, now=self._now, key_file=self._file)

    def publish(self, entries: Mapping[str, Json]) -> int:
        """Sign and upload the targets, and see that devices get them; returns the version of the document.

        Raises:
            NotFoundError: `tuf-key-not-in-file`: no active targets key is in the file.
            InvalidInputError: `tuf-targets-invalid`. RefusedError: `tuf-published-differs`, and as `fetch_targets`.
        """
        signers = self._keys.open_all(self._file, self.present.roots.root.roles[Role.TARGETS].key_ids)
        if not signers:
            raise NotFoundError("tuf-key-not-in-file", "The key file has no active targets key of this factory.")
        version = 1 + self._newest_version()
        unsigned = Document(new_targets(version, self._now + TARGETS_LIFE, entries))
        made = tuple(sign(unsigned.payload, signer) for signer in signers)
        self._api.publish_production(production_document(self._tag, Document(unsigned.signed, made)))
        after = fetch_targets(self._api, self._tag, production=True, now=self._now, key_file=self._file)
        if after.document is None or after.document.signed != unsigned.signed:
            raise RefusedError("tuf-published-differs", "The server published other targets than those we signed.")
        return version

    def _newest_version(self) -> int:
        """Ask for all tags: devices keep one version for all of them, and take a lower one for an attack."""
        found = read_tags(self._api.production_targets())
        return max((version_of(document) for document in found.values()), default=0)


@contextmanager
def opened_production(target: Target, hsm: HsmKeys | None, keys: Path, tag: str) -> Iterator[ProductionRun]:
    """Give a run with the keys of a file. Raises NotFoundError `tuf-key-file-missing`."""
    file = KeyFileStore(keys).read()
    with RepositoryApi(target.access()) as api:
        yield ProductionRun(api, file, OwnerKeys(hsm), tag, now=utc_now())
