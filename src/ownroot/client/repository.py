"""The TUF repository of a factory as a typed client (protocol: tuf.md §3-4).

Each method is one request. Documents come back as the bytes the server sent: nothing of them is verified.
"""

from typing import Any
from urllib.parse import urlencode

from ownroot.client.addresses import path_segment
from ownroot.client.api import Api
from ownroot.errors import NotFoundError
from ownroot.wire.tuf import OnlineKeysOrder, RootUpdates, TargetForm, UpdateBegin, UpdateBegun, UpdateStep

_UNKNOWN = "tuf-document-unknown"


class RepositoryApi(Api):
    """One factory's repository at one backend, and everything else of `Api`."""

    @property
    def whose(self) -> str:
        """Factory and address, for people."""
        return f"factory {self._factory} at {self._url}"

    def root(self, version: int | None = None, *, production: bool = False) -> bytes | None:
        """Fetch a root by number, or the newest; None: there is none of this number."""
        name = "root.json" if version is None else f"{version}.root.json"
        return self._document(name, {"production": "1"} if production else {})

    def tag_document(self, name: str, tag: str, *, production: bool = False) -> bytes | None:
        """Fetch `timestamp.json`, `snapshot.json` or `targets.json` of a tag; None: there is no such tag."""
        return self._document(name, {"tag": tag} | ({"production": "1"} if production else {}))

    def root_updates(self) -> RootUpdates:
        """Show the roots, and the change of them that is under way."""
        return self._ask("GET", self._updates(), RootUpdates)

    def begin_update(self, message: str, *, first_time: bool = False, shortcut: bool = False) -> UpdateBegun:
        """Begin a change; with `first_time` the answer holds the first root key."""
        form = UpdateBegin(message=message, first_time=first_time, shortcut=shortcut)
        return self._ask("POST", self._updates(), UpdateBegun, form)

    def stage_update(self, document: dict[str, Any]) -> None:
        """Upload both roots (`wire.tuf.stage_document`) in place of what is staged."""
        self._send("PUT", self._updates(), document)

    def make_online_keys(self, order: OnlineKeysOrder) -> None:
        """Let the server make new online keys for the change."""
        self._send("POST", self._updates("/gen-online-keys"), order)

    def apply_update(self, *, txid: str = "") -> None:
        """Publish the change."""
        self._send("POST", self._updates("/apply"), UpdateStep(txid=txid))

    def cancel_update(self) -> None:
        """Give the change up."""
        self._send("POST", self._updates("/cancel"))

    def production_targets(self, tags: tuple[str, ...] = ()) -> bytes:
        """Fetch production targets by tag, as JSON; all of them without a tag. A tag that has none: NotFoundError."""
        query = urlencode({"tag": ",".join(tags)})
        return self._send("GET", self._in_factory(f"prod-targets/?{query}")).body

    def publish_production(self, document: dict[str, Any]) -> None:
        """Upload all tags' production targets (`wire.tuf.production_document`) in place of those they have."""
        self._send("POST", self._in_factory("prod-targets/"), document)

    def online_targets_key(self) -> bytes:
        """Fetch the public online targets key, as JSON."""
        return self._send("GET", self._in_factory("ci-targets.pub")).body

    def add_target(self, form: TargetForm) -> bytes:
        """Publish a target to a tag's test devices; returns the tag's targets document."""
        return self._send("POST", self._in_factory("ci-targets/"), form).body

    def remove_target(self, tag: str, name: str) -> None:
        """Take a target back."""
        self._send("DELETE", self._in_factory(f"ci-targets/{path_segment(tag)}/{path_segment(name)}/"))

    def _document(self, name: str, query: dict[str, str]) -> bytes | None:
        path = f"{self._repository()}/{name}" + (f"?{urlencode(query)}" if query else "")
        try:
            return self._send("GET", path).body
        except NotFoundError as error:
            # Other servers of this protocol have other codes; only "no such repository" is another matter.
            if error.code in (_UNKNOWN, "http-404"):
                return None
            raise

    def _updates(self, step: str = "") -> str:
        return f"{self._repository()}/root/updates{step}"

    def _repository(self) -> str:
        return f"/ota/repo/{path_segment(self._factory)}/api/v1/user_repo"
