"""A server that lies about roots gets no signature: answers altered on the way, each in one detail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ownroot.tuf.canonical import encode
from tests.support.owner import Owner
from tests.support.relay import Instead, Recorded, Relay
from tests.support.tuf_program import TufAdmin
from tests.support.tuf_world import ed25519_signer
from tests.support.world import RunningServer

Alter = Callable[[Any], None]


def altered(
    server: RunningServer, when: Callable[[Recorded], bool], alter: Alter
) -> Callable[[Recorded], Instead | None]:
    """Answer chosen requests with what the server says, altered."""

    def spoil(request: Recorded) -> Instead | None:
        if request.method != "GET" or not when(request):
            return None
        with httpx2.Client(trust_env=False) as client:
            answer = client.get(server.api_url + request.path, headers={"OSF-TOKEN": server.owner_token})
        document = answer.json()
        alter(document)
        return Instead(answer.status_code, encode(document))

    return spoil


def of_state(request: Recorded) -> bool:
    return request.path.endswith("/updates")


def staged(document: Any, change: Alter, name: str = "ci-root") -> None:
    if document["updated"] is not None:
        root = json.loads(document["updated"][name])
        change(root["signed"])
        document["updated"][name] = json.dumps(root)


def foreign_key(signed: Any) -> None:
    """One more root key, whose other half the server has."""
    key = ed25519_signer(77).key
    signed["keys"][key.key_id] = key.document()
    signed["roles"]["root"]["keyids"].append(key.key_id)


@pytest.mark.parametrize(
    ("alter", "code"),
    [
        (lambda document: staged(document, foreign_key), "tuf-staged-unexpected"),
        (lambda document: staged(document, lambda signed: signed.update(version=9)), "tuf-staged-invalid"),
        (lambda document: staged(document, lambda s: s["roles"]["root"].update(threshold=3)), "tuf-staged-unexpected"),
        (
            lambda document: staged(document, lambda s: s["roles"]["timestamp"].update(threshold=2)),
            "tuf-staged-invalid",
        ),
        (lambda document: staged(document, lambda s: s.update(expires="2020-01-01T00:00:00Z")), "tuf-staged-invalid"),
        (lambda document: document["updated"]["online-keys"].update(targets="0" * 64), "tuf-staged-invalid"),
        (lambda document: document["updated"].update({"ci-root": "{"}), "bad-answer"),
        (
            lambda document: document["current"].update({"ci-root": document["updated"]["ci-root"]}),
            "tuf-current-differs",
        ),
    ],
)
def test_lies_about_what_is_staged_get_no_signature(
    root_taken: Owner, relay: Relay, server: RunningServer, tuf_keys: Path, admin: TufAdmin, alter: Alter, code: str
) -> None:
    before = tuf_keys.read_bytes()
    relay.spoil = altered(server, of_state, lambda document: alter(document) if document["updated"] else None)

    refused = root_taken.run("keys", "tuf", "rotate-offline-key", "-r", "root", "-k", tuf_keys, "--yes", "--json")

    assert refused.error["code"] == code
    assert [request.method for request in relay.requests].count("PUT") == 0
    assert tuf_keys.read_bytes() == before
    assert admin.state()["status"] == "NONE"  # begun in vain, so given up
    relay.spoil = lambda _request: None
    assert root_taken.run("keys", "tuf", "rotate-offline-key", "-r", "root", "-k", tuf_keys, "--yes").code == 0
    assert admin.fresh_device().root.version == 4


def test_root_that_the_known_one_does_not_lead_to_is_refused(
    root_taken: Owner, relay: Relay, server: RunningServer, tuf_keys: Path, admin: TufAdmin
) -> None:
    """The whole chain from root 1 on is replaced: a program without memory would believe it."""
    other = TufAdmin(server.for_factory(f"{server.factory}-twin"))
    own, twin = server.factory, other.server.factory
    assert root_taken.run("keys", "tuf", "show-root", "-k", tuf_keys).code == 0

    def from_the_twin(request: Recorded) -> Instead | None:
        if request.method != "GET":
            return None
        with httpx2.Client(trust_env=False) as client:
            path = server.api_url + request.path.replace(own, twin)
            answer = client.get(path, headers={"OSF-TOKEN": other.server.owner_token})
        return Instead(answer.status_code, answer.content)

    relay.spoil = from_the_twin
    assert root_taken.run("keys", "tuf", "show-root").code == 0
    words = ("rotate-offline-key", "-r", "root", "-k", tuf_keys, "--yes", "--json")
    assert root_taken.run("keys", "tuf", *words).error["code"] == "tuf-other-chain"
    assert not any(request.method == "PUT" for request in relay.requests)


def test_online_keys_nobody_asked_for_get_no_signature(
    root_taken: Owner, relay: Relay, server: RunningServer, tuf_keys: Path, admin: TufAdmin
) -> None:
    """Asked for a new snapshot key, the server slips in a root key too."""
    assert root_taken.run("keys", "tuf", "updates", "init", "-m", "Rotate").code == 0
    ordered: list[Recorded] = []

    def after_the_order(request: Recorded) -> bool:
        return bool(ordered) and of_state(request)

    def spoil(request: Recorded) -> Instead | None:
        if request.path.endswith("/gen-online-keys"):
            ordered.append(request)
        return altered(server, after_the_order, lambda document: staged(document, foreign_key))(request)

    relay.spoil = spoil
    words = ("rotate-online-key", "-r", "snapshot", "--sign", "-k", tuf_keys, "--yes", "--json")
    refused = root_taken.run("keys", "tuf", "updates", *words)

    assert refused.error["code"] == "tuf-staged-unexpected"
    assert not any(request.method == "PUT" for request in relay.requests)
