"""Uploads that would lock devices out or steal a factory: each is refused and changes nothing; its twin is taken."""

import base64
import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ownroot.clock import utc_now
from ownroot.tuf.metadata import Role, format_time
from ownroot.tuf.root_rules import production_of
from tests.support.tuf_program import TufAdmin
from tests.support.tuf_world import ed25519_signer, signed_root, with_role
from tests.support.world import RunningServer

NEW, SPARE, THIEF = ed25519_signer(11), ed25519_signer(12), ed25519_signer(666)
NAMES = ("ci-root", "prod-root")
Body = dict[str, Any]
Change = Callable[[Body, "Staged"], None]


class Staged:
    """A change under way, and the upload that its owner would send."""

    def __init__(self, owner: TufAdmin) -> None:
        self.owner = owner
        owner.begin(first_time=True)
        self.first = next(iter(owner.keys.values()))
        self.root = with_role(owner.staged(), Role.ROOT, NEW.key, owner=owner.polis_id)
        self.online = owner.state()["updated"]["online-keys"]
        documents = [
            signed_root(self.root, self.first, NEW),
            signed_root(production_of(self.root, targets_threshold=2), self.first, NEW),
        ]
        self.body: Body = {"txid": ""} | {
            name: json.loads(document.encoded()) for name, document in zip(NAMES, documents, strict=True)
        }


@pytest.fixture(scope="module")
def staged(server: RunningServer) -> Staged:
    return Staged(TufAdmin(server.for_factory("bad-uploads")))


def both(change: Callable[[Any, Staged], None]) -> Change:
    """Do the same to the signed part of both roots; nobody has signed what comes of it."""

    def work(body: Body, staged: Staged) -> None:
        for name in NAMES:
            change(body[name]["signed"], staged)
            body[name]["signatures"] = []

    return work


def setting(name: str, value: object) -> Change:
    return both(lambda signed, _: signed.update({name: value}))


def role(name: str, **changes: object) -> Change:
    return both(lambda signed, _: signed["roles"][name].update(changes))


def in_days(days: int) -> Change:
    return setting("expires", format_time(utc_now() + timedelta(days=days)))


def signatures(change: Callable[[list[Any], Staged], None]) -> Change:
    return lambda body, staged: change(body["ci-root"]["signatures"], staged)


def with_key(key_id: str, document: object) -> Change:
    def work(signed: Any, _: Staged) -> None:
        signed["keys"][key_id] = document
        signed["roles"]["root"]["keyids"].append(key_id)

    return both(work)


def online_in(name: str) -> Change:
    def work(signed: Any, staged: Staged) -> None:
        signed["keys"][THIEF.key.key_id] = THIEF.key.document()
        signed["roles"][name]["keyids"] = [THIEF.key.key_id]
        used = {key_id for entry in signed["roles"].values() for key_id in entry["keyids"]}
        signed["keys"] = {key_id: key for key_id, key in signed["keys"].items() if key_id in used}

    return both(work)


def many_keys(signed: Any, _: Staged) -> None:
    made = [ed25519_signer(1000 + number).key for number in range(450)]
    signed["keys"] |= {key.key_id: key.document() for key in made}
    signed["roles"]["root"]["keyids"] += [key.key_id for key in made]


def ecdsa_document() -> Any:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {
        "keytype": "ECDSA",
        "keyval": {"public": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()},
    }


def private_half(signed: Any, staged: Staged) -> None:
    signed["keys"][NEW.key.key_id]["keyval"]["private"] = "00" * 32


def foreign_owner(signed: Any, _: Staged) -> None:
    signed["x-key-owners"][NEW.key.key_id]["polis-id"] = "f" * 24


def owner_without_a_time(signed: Any, _: Staged) -> None:
    signed["x-key-owners"][NEW.key.key_id]["created-at"] = "yesterday"


def owner_of_an_online_key(signed: Any, staged: Staged) -> None:
    signed["x-key-owners"][staged.online["targets"]] = signed["x-key-owners"][NEW.key.key_id]


def owner_nobody_can_sign(signed: Any, _: Staged) -> None:
    signed["x-key-owners"][NEW.key.key_id]["created-at"] = "gestern früh"


def by_thief(made: list[Any], staged: Staged) -> None:
    made.append(signed_root(staged.root, THIEF).signatures[0].document())


def twice(made: list[Any], _: Staged) -> None:
    made.append(copy.deepcopy(made[0]))


def over_another(made: list[Any], staged: Staged) -> None:
    other = signed_root(replace(staged.root, version=9), NEW)
    made[:] = [other.signatures[0].document()]


def swapped(made: list[Any], _: Staged) -> None:
    made[0]["sig"], made[1]["sig"] = made[1]["sig"], made[0]["sig"]


def short(made: list[Any], _: Staged) -> None:
    made[0]["sig"] = base64.b64encode(base64.b64decode(made[0]["sig"])[:-1]).decode()


ROWS: dict[str, tuple[Change, str]] = {
    "version-raised": (setting("version", 9), "version must stay 3"),
    "version-kept": (setting("version", 2), "version must stay 3"),
    "version-text": (setting("version", "3"), "`version`"),
    "version-true": (setting("version", True), "`version`"),
    "type-lower": (setting("_type", "root"), "`_type`"),
    "snapshot-by-hash": (setting("consistent_snapshot", True), "`consistent_snapshot`"),
    "unknown-member": (setting("spec_version", "1.0"), "no others"),
    "delegations": (setting("delegations", {}), "no others"),
    "other-message": (both(lambda signed, _: signed["x-changelog"].update(message="x")), "change log"),
    "no-message": (both(lambda signed, _: signed.pop("x-changelog")), "change log"),
    "targets-key-taken": (online_in("targets"), "targets must keep the server's key"),
    "snapshot-key-taken": (online_in("snapshot"), "role snapshot has the server's key"),
    "timestamp-key-taken": (online_in("timestamp"), "role timestamp has the server's key"),
    "snapshot-of-two": (role("snapshot", threshold=2), "role snapshot has the server's key"),
    "online-root": (
        both(lambda signed, staged: signed["roles"]["root"].update(keyids=[staged.online["timestamp"]])),
        "none that the server holds online",
    ),
    "no-root-key": (role("root", keyids=[]), "at least one key"),
    "private-half": (both(private_half), "leaked"),
    "private-in-place": (with_key("ab" * 32, {"keytype": "ED25519", "keyval": {"private": "00" * 32}}), "leaked"),
    "wrong-key-id": (with_key("ab" * 32, THIEF.key.document()), "has the id"),
    "ecdsa": (with_key("ab" * 32, ecdsa_document()), "ED25519 or RSA"),
    "key-type-lower": (with_key("ab" * 32, {"keytype": "ed25519", "keyval": {"public": "00" * 32}}), "in capitals"),
    "key-capital-hex": (with_key("ab" * 32, {"keytype": "ED25519", "keyval": {"public": "AB" * 32}}), "one form"),
    "key-garbage": (with_key("ab" * 32, {"keytype": "RSA", "keyval": {"public": "x"}}), "cannot be read"),
    "unused-key": (
        both(lambda signed, _: signed["keys"].update({THIEF.key.key_id: THIEF.key.document()})),
        "exactly the keys",
    ),
    "missing-key": (both(lambda signed, _: signed["keys"].pop(NEW.key.key_id)), "exactly the keys"),
    "key-twice-in-role": (role("root", keyids=[NEW.key.key_id] * 2, threshold=2), "names a key twice"),
    "threshold-0": (role("root", threshold=0), "threshold"),
    "threshold-1001": (role("root", threshold=1001), "threshold"),
    "threshold-text": (role("root", threshold="1"), "threshold"),
    "ci-targets-2": (
        lambda body, _: body["ci-root"]["signed"]["roles"]["targets"].update(threshold=2),
        "CI root is 1",
    ),
    "production-targets-1": (
        lambda body, _: body["prod-root"]["signed"]["roles"]["targets"].update(threshold=1),
        "need 2 keys or more",
    ),
    "production-differs": (
        lambda body, _: body["prod-root"]["signed"]["roles"]["root"].update(threshold=2),
        "differs from the CI root",
    ),
    "expired": (in_days(-1), "would have expired"),
    "expires-now": (in_days(0), "would have expired"),
    "shortened": (in_days(100), "before the present one"),
    "too-far": (in_days(400), "too far away"),
    "expires-with-fraction": (setting("expires", "2099-01-01T00:00:00.5Z"), "times are written"),
    "expires-with-zone": (setting("expires", "2099-01-01T00:00:00+00:00"), "times are written"),
    "owner-of-another": (both(foreign_owner), "must be owned by whoever adds it"),
    "owner-without-a-time": (both(owner_without_a_time), "must be a time"),
    "owner-of-an-online-key": (both(owner_of_an_online_key), "nobody may claim it"),
    "not-ascii": (both(owner_nobody_can_sign), "outside printable ASCII"),
    "too-long": (both(many_keys), "longer than"),
    "signed-by-thief": (signatures(by_thief), "is not a root key's"),
    "signed-twice": (signatures(twice), "one key id"),
    "signed-another": (signatures(over_another), "is not a root key's"),
    "signatures-swapped": (signatures(swapped), "is not a root key's"),
    "signature-short": (signatures(short), "is not a root key's"),
    "signature-method": (signatures(lambda made, _: made[0].update(method="hmac")), "`method`"),
    "signature-of-rsa": (
        signatures(lambda made, _: made[0].update(method="rsassa-pss-sha256")),
        "is not a root key's",
    ),
    "signature-no-base64": (signatures(lambda made, _: made[0].update(sig="%%%")), "base64"),
    "signature-member": (signatures(lambda made, _: made[0].update(x="y")), "`keyid`, `method` and `sig`"),
    "no-production": (lambda body, _: body.pop("prod-root"), "no production root"),
    "root-a-list": (lambda body, _: body.update({"ci-root": []}), "object of `signatures` and `signed`"),
    "wave": (lambda body, _: body.update({"waves-signatures": {"w": []}}), "no wave"),
    "targets-of-no-tag": (
        lambda body, staged: body.update({"targets-signatures": {"main": [body["ci-root"]["signatures"][0]]}}),
        "no production targets for the tag main",
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_upload_with_one_fault_is_refused_in_words_and_changes_nothing(staged: Staged, row: str) -> None:
    change, words = ROWS[row]
    owner, body, before = staged.owner, copy.deepcopy(staged.body), staged.owner.state()
    change(body, staged)

    answer = owner.call("PUT", document=body)

    assert answer.status_code == 422, answer.text
    assert any(words in line for line in answer.json()["errors"]), answer.text
    assert owner.state() == before


RAW: dict[str, Callable[[str], str | bytes]] = {
    "member-twice": lambda text: text.replace('"txid": ""', '"txid": "", "txid": ""'),
    "fraction": lambda text: text.replace('"version": 3', '"version": 3.0'),
    "huge-number": lambda text: text.replace('"version": 3', '"version": 1' + "0" * 30),
    "cut": lambda text: text[:-1],
    "nested": lambda text: text.replace('"txid": ""', '"txid": "", "x": ' + "[" * 5000 + "]" * 5000),
    "txid-a-list": lambda text: text.replace('"txid": ""', '"txid": []'),
    "txid-half-a-character": lambda text: text.replace('"txid": ""', '"txid": "\\ud800"'),
    "key-id-half-a-character": lambda text: text.replace(NEW.key.key_id, "\\udfff"),
    "message-half-a-character": lambda text: text.replace('"message": "', '"message": "\\ud800'),
    "not-a-number": lambda text: text.replace('"version": 3', '"version": NaN'),
    "utf-16": lambda text: text.encode("utf-16"),
    "latin-1": lambda text: text.replace('"message": "', '"message": "é').encode("latin-1"),
}


@pytest.mark.parametrize("row", RAW)
def test_upload_that_readers_would_read_in_two_ways_is_refused(staged: Staged, row: str) -> None:
    sent = RAW[row](json.dumps(staged.body))
    before = staged.owner.state()

    answer = staged.owner.server.call(
        "PUT",
        staged.owner.updates,
        content=sent if isinstance(sent, bytes) else sent.encode(),
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == 400, answer.text
    assert staged.owner.state() == before


@pytest.mark.parametrize("path", ["", "/apply", "/gen-online-keys"])
def test_half_a_character_in_any_step_is_bad_input(staged: Staged, path: str) -> None:
    before = staged.owner.state()

    answer = staged.owner.server.call(
        "POST",
        staged.owner.updates + path,
        content=b'{"txid": "\\ud800", "message": "\\ud800", "targets": true}',
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == 400, answer.text
    assert staged.owner.state() == before


def test_owner_is_not_changed_by_leaving_it_out_first(server: RunningServer) -> None:
    staged = Staged(TufAdmin(server.for_factory("left-out-owner")))
    owner, body = staged.owner, copy.deepcopy(staged.body)
    assert owner.call("PUT", document=staged.body).status_code == 200
    both(lambda signed, _: signed.pop("x-key-owners"))(body, staged)

    answer = owner.call("PUT", document=body)

    assert answer.status_code == 422, answer.text
    assert "may not be changed" in answer.text
    assert owner.call("PUT", document=staged.body).status_code == 200


def test_body_without_end_is_refused(staged: Staged) -> None:
    body = staged.body | {"x": "y" * 5_000_000}
    assert staged.owner.call("PUT", document=body).status_code == 413


def test_twin_without_a_fault_is_taken_and_published(server: RunningServer) -> None:
    staged = Staged(TufAdmin(server.for_factory("good-uploads")))
    old = staged.owner.fresh_device()

    assert staged.owner.call("PUT", document=staged.body).status_code == 200
    assert staged.owner.apply().status_code == 200
    assert staged.owner.walk(old).root.version == 3


def test_what_may_be_staged_and_not_be_published_is_said_the_same_way_by_both(owner: TufAdmin) -> None:
    staged = Staged(owner)
    pair = with_role(staged.root, Role.ROOT, NEW.key, SPARE.key, threshold=2, owner=owner.polis_id)
    lonely = with_role(staged.root, Role.ROOT, NEW.key, threshold=2, owner=owner.polis_id)
    rows: list[tuple[Any, tuple[Any, ...], str]] = [
        (staged.root, (), "present root"),
        (staged.root, (NEW,), "present root"),
        (staged.root, (staged.first,), "new root"),
        (pair, (staged.first, NEW), "new root"),
        (lonely, (staged.first, NEW), "more keys than it has"),
    ]
    for number, (root, signers, words) in enumerate(rows):
        # Equal roots would keep the signatures that they have already.
        another = replace(root, expires=root.expires + timedelta(seconds=number))
        assert owner.stage(another, *signers).status_code == 200
        answer = owner.apply()
        assert answer.status_code == 422, answer.text
        errors = answer.json()["errors"]
        assert any(words in line for line in errors), errors
        assert errors == [issue["message"] for issue in owner.state()["issues"]["errors"]]
        assert owner.fresh_device().root.version == 2


def second_admin(owner: TufAdmin) -> TufAdmin:
    server = owner.server
    token = server.create_token("certs:manage", user="bea")
    server.run("member", "add", "--factory", server.factory, "--user", "bea", "--role", "admin")
    user = server.call("GET", f"/ota/factories/{server.factory}/users/self/", token=token).json()["polis-id"]
    return TufAdmin(server, token, user)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(acts)) as threads:
        return [done.result() for done in [threads.submit(act) for act in acts]]


def test_two_admins_at_once_begin_one_change_sign_one_root_and_publish_it_once(owner: TufAdmin) -> None:
    other = second_admin(owner)

    began = at_once(owner.begin, other.begin, owner.begin, other.begin)
    assert sorted(answer.status_code for answer in began) == [201, 409, 409, 409]
    owner.cancel()

    txid = owner.begin(first_time=True).json()["txid"]
    first = next(iter(owner.keys.values()))
    owner.txid = other.txid = txid
    root = with_role(owner.staged(), Role.ROOT, NEW.key, SPARE.key, threshold=2, owner=owner.polis_id)
    assert owner.stage(root, first).status_code == 200
    signed = at_once(lambda: owner.sign_staged(NEW), lambda: other.sign_staged(SPARE))
    assert [answer.status_code for answer in signed] == [200, 200]

    applied = at_once(owner.apply, other.apply, owner.apply, other.apply)
    assert sorted(answer.status_code for answer in applied) == [200, 404, 404, 404]
    device = owner.fresh_device()
    assert (device.root.version, device.root.roles[Role.ROOT].threshold) == (3, 2)
