"""An owner's program and a device, as far as the TUF pages tell what they send and check."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from ownroot.tuf.canonical import encode
from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.keys import TufSigner, parse_signer
from ownroot.tuf.metadata import Document, Role, Root, parse_document, read_root
from ownroot.tuf.root_rules import production_of
from ownroot.tuf.signatures import merge, sign
from tests.support.tuf_world import with_role
from tests.support.world import RunningServer


@dataclass
class TufAdmin:
    """One admin of a factory, with a program of the field in hand."""

    server: RunningServer
    token: str = ""
    user: str = ""
    txid: str = ""
    keys: dict[str, TufSigner] = field(default_factory=dict)

    @property
    def repository(self) -> str:
        return f"/ota/repo/{self.server.factory}/api/v1/user_repo"

    @property
    def polis_id(self) -> str:
        return self.user or self.server.owner_id

    @property
    def updates(self) -> str:
        return f"{self.repository}/root/updates"

    def call(self, method: str, path: str | None = None, document: object = None) -> httpx2.Response:
        """Ask the repository; without a path, for the change of its roots."""
        address = self.updates if path is None else self.repository + path
        return self.server.call(method, address, document=document, token=self.token)

    def generate(self, order: dict[str, object]) -> httpx2.Response:
        return self.server.call("POST", f"{self.updates}/gen-online-keys", document=order, token=self.token)

    def begin(self, *, first_time: bool = False, message: str = "Rotate") -> httpx2.Response:
        answer = self.call("POST", document={"first-time": first_time, "message": message, "shortcut": True})
        if answer.status_code == 201 and first_time:
            signer = parse_signer(answer.json()["first_root.sec"])
            self.keys[signer.key.key_id] = signer
        return answer

    def state(self) -> Any:
        return self.call("GET").json()

    def staged(self) -> Root:
        return read_root(json.loads(self.state()["updated"]["ci-root"])["signed"])

    def threshold(self) -> int:
        production = self.state()["updated"]["prod-root"]
        return int(json.loads(production)["signed"]["roles"]["targets"]["threshold"]) if production else 2

    def put(self, ci: Document, production: Document, **more: object) -> httpx2.Response:
        body = {"txid": self.txid, "ci-root": _json(ci), "prod-root": _json(production), **more}
        return self.call("PUT", document=body)

    def stage(self, root: Root, *signers: TufSigner, threshold: int | None = None) -> httpx2.Response:
        """Upload both roots, signed by these."""
        production = production_of(root, targets_threshold=threshold or self.threshold())
        return self.put(_signed(root, signers), _signed(production, signers))

    def sign_staged(self, *signers: TufSigner) -> httpx2.Response:
        """Put signatures before those that are there."""
        updated = self.state()["updated"]
        documents = [parse_document(updated[name], max_octets=100_000) for name in ("ci-root", "prod-root")]
        ci, production = (
            Document(it.signed, merge([sign(it.payload, one) for one in signers], it.signatures)) for it in documents
        )
        return self.put(ci, production)

    def rotate_root(self, new: TufSigner, *, old: TufSigner | None = None) -> httpx2.Response:
        """One command of the field's program: begin, stage, apply."""
        began = self.begin(first_time=old is None)
        assert began.status_code == 201, began.text
        previous = old or next(iter(self.keys.values()))
        root = with_role(self.staged(), Role.ROOT, new.key, owner=self.polis_id)
        staged = self.stage(root, previous, new)
        assert staged.status_code == 200, staged.text
        return self.apply()

    def apply(self) -> httpx2.Response:
        return self.server.call("POST", f"{self.updates}/apply", document={"txid": self.txid}, token=self.token)

    def cancel(self) -> httpx2.Response:
        return self.server.call("POST", f"{self.updates}/cancel", headers={"Content-Length": "0"}, token=self.token)

    def document(self, name: str, *, production: bool = False, tag: str = "") -> bytes:
        query = "&".join([*(["production=1"] if production else []), *([f"tag={tag}"] if tag else [])])
        answer = self.call("GET", f"/{name}?{query}")
        assert answer.status_code == 200, answer.text
        return answer.content

    def walk(self, trust: DeviceTrust, *, production: bool = False, tag: str = "main") -> DeviceTrust:
        """A device's refresh: every root it lacks, then down to its targets."""
        now = datetime.now(UTC)
        while True:
            path = f"/{trust.root.version + 1}.root.json?{'production=1' if production else ''}"
            answer = self.call("GET", path)
            if answer.status_code == 404:
                break
            assert answer.content == encode(answer.json())
            trust.update_root(answer.content)
        if production:
            return trust  # without production targets there is nothing below
        trust.update_timestamp(self.document("timestamp.json", tag=tag), now=now)
        trust.update_snapshot(self.document("snapshot.json", tag=tag), now=now)
        trust.update_targets(self.document("targets.json", tag=tag), now=now)
        return trust

    def fresh_device(self, *, production: bool = False) -> DeviceTrust:
        return self.walk(DeviceTrust(self.document("1.root.json", production=production)), production=production)


def _signed(root: Root, signers: tuple[TufSigner, ...]) -> Document:
    document = Document(root.signed())
    return Document(document.signed, tuple(sign(document.payload, one) for one in signers))


def _json(document: Document) -> Any:
    return json.loads(document.encoded())
