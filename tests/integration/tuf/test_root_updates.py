"""Changes of the roots through the API: the flows of tuf.md §5, with a device that follows along, and their twins."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.metadata import Role
from tests.support.tuf_program import TufAdmin
from tests.support.tuf_world import ed25519_signer, with_role
from tests.support.world import RunningServer

NEW, SPARE, RELEASE = ed25519_signer(11), ed25519_signer(12), ed25519_signer(13)


def lines(answer) -> list[str]:
    assert answer.status_code == 422, answer.text
    return answer.json()["errors"]


def test_new_factory_has_two_roots_and_a_device_verifies(owner: TufAdmin) -> None:
    trust = owner.fresh_device()

    assert trust.root.version == 2
    assert owner.call("GET", "/3.root.json").status_code == 404
    assert owner.call("GET", "/0.root.json").status_code == 404
    assert (
        owner.document("2.root.json") == owner.document("2.root.json", production=True) == owner.document("root.json")
    )
    assert owner.call("GET", "/targets.json?tag=other").status_code == 404
    assert owner.call("GET", "/passwords.json").status_code == 404
    state = owner.state()
    assert (state["status"], state["updated"], state["amendments"]) == ("NONE", None, [])
    assert state["current"]["ci-root"].encode() == owner.document("root.json")
    assert state["issues"]["warnings"][0]["kind"] == "first-root-key-in-use"


def test_take_over_and_two_more_rotations_are_followed_by_devices_of_every_age(owner: TufAdmin) -> None:
    old, fresh = owner.fresh_device(), owner.fresh_device
    production = owner.fresh_device(production=True)

    assert owner.rotate_root(NEW).status_code == 200
    owner.walk(old)
    assert owner.rotate_root(SPARE, old=NEW).status_code == 200
    for trust in (old, fresh(), production):
        owner.walk(trust, production=trust is production)
        assert trust.root.version == 4
        assert trust.root.roles[Role.ROOT].key_ids == (SPARE.key.key_id,)
    assert production.root.roles[Role.TARGETS].threshold == 2
    assert fresh().root.roles[Role.TARGETS].threshold == 1


def test_first_root_key_is_handed_out_with_first_time_alone_and_erased_once_replaced(owner: TufAdmin) -> None:
    assert "first_root.sec" not in owner.begin().json()
    assert owner.cancel().status_code == 200
    assert "first_root.sec" in owner.begin(first_time=True).json()
    assert owner.cancel().status_code == 200  # the tarball was lost: again, please

    assert owner.rotate_root(NEW).status_code == 200

    again = owner.begin(first_time=True)
    assert (again.status_code, again.json()["code"]) == (400, "tuf-first-root-key-replaced")


def test_every_status_of_the_page_when_there_is_no_change(owner: TufAdmin) -> None:
    assert owner.apply().status_code == 404
    assert owner.cancel().status_code == 404
    keys = {"txid": "", "key-type": "ED25519", "targets": True}
    assert owner.generate(keys).status_code == 404
    assert owner.begin().status_code == 201
    assert owner.begin().status_code == 409
    assert lines(owner.apply()) == ["Nothing was changed yet, so there is nothing to apply."]
    assert owner.generate(keys | {"targets": False}).status_code == 400
    assert owner.generate(keys | {"key-type": "RSA"}).status_code == 400


@pytest.mark.parametrize("message", ["", "Schlüssel", "a\nb", "x" * 501])
def test_messages_that_would_lock_devices_out_begin_nothing(owner: TufAdmin, message: str) -> None:
    assert owner.begin(message=message).status_code == 400
    assert owner.state()["status"] == "NONE"


def test_two_admins_sign_one_root_and_the_transaction_id_is_a_second_factor(owner: TufAdmin) -> None:
    server = owner.server
    token = server.create_token("certs:manage", user="bea")
    server.run("member", "add", "--factory", server.factory, "--user", "bea", "--role", "admin")
    self = server.call("GET", f"/ota/factories/{server.factory}/users/self/", token=token).json()
    other = TufAdmin(server, token, self["polis-id"])
    began = owner.begin(first_time=True)
    first = next(iter(owner.keys.values()))
    root = with_role(owner.staged(), Role.ROOT, first.key, NEW.key, SPARE.key, threshold=2, owner=owner.polis_id)
    assert owner.stage(root, first).status_code == 200

    for wrong in ("", "AAAAAAAA"):
        other.txid = wrong
        assert other.sign_staged(NEW).status_code == 403
    assert other.apply().status_code == 403
    other.txid = began.json()["txid"]
    assert other.sign_staged(NEW).status_code == 200
    assert owner.sign_staged(SPARE).status_code == 200

    signatures = json.loads(owner.state()["updated"]["prod-root"])["signatures"]
    assert {one["keyid"] for one in signatures} == {key.key.key_id for key in (first, NEW, SPARE)}
    assert other.apply().status_code == 200
    assert owner.fresh_device().root.roles[Role.ROOT].threshold == 2


def test_online_keys_are_rotated_and_devices_go_on(owner: TufAdmin) -> None:
    assert owner.rotate_root(NEW).status_code == 200
    old = owner.fresh_device()
    before = owner.state()["current"]["online-keys"]
    owner.begin()
    keys = {"txid": "", "key-type": "ED25519", "targets": True, "snapshot": True, "timestamp": True}
    assert owner.generate(keys).status_code == 200
    state = owner.state()
    assert set(state["updated"]["online-keys"].values()).isdisjoint(before.values())
    assert owner.stage(owner.staged()).status_code == 200
    assert owner.sign_staged(NEW).status_code == 200

    assert owner.apply().status_code == 200

    assert owner.state()["current"]["online-keys"] == state["updated"]["online-keys"]
    owner.walk(old)
    owner.fresh_device()
    key = owner.server.call("GET", f"/ota/factories/{owner.server.factory}/ci-targets.pub").json()
    root = json.loads(owner.document("root.json"))["signed"]
    assert key == root["keys"][state["updated"]["online-keys"]["targets"]]


def test_cancel_forgets_staged_online_keys(owner: TufAdmin) -> None:
    before = owner.state()["current"]
    owner.begin()
    keys = {"txid": "", "key-type": "ed25519", "snapshot": True}
    assert owner.generate(keys).status_code == 200
    assert owner.cancel().status_code == 200

    assert owner.state()["current"] == before
    owner.begin()
    assert owner.state()["updated"]["online-keys"] == before["online-keys"]


def test_tampered_uploads_are_refused_line_by_line_and_change_nothing(owner: TufAdmin) -> None:
    owner.begin(first_time=True)
    first = next(iter(owner.keys.values()))
    root = with_role(owner.staged(), Role.ROOT, NEW.key, owner=owner.polis_id)
    before = owner.state()

    assert "version" in lines(owner.stage(replace(root, version=9)))[0]
    assert lines(owner.stage(with_role(root, Role.SNAPSHOT, SPARE.key)))
    assert lines(owner.stage(with_role(root, Role.ROOT, NEW.key, owner="f" * 24), threshold=1))
    assert lines(owner.stage(replace(root, expires=root.expires - timedelta(days=2))))
    assert lines(owner.stage(root, SPARE))
    assert lines(owner.stage(with_role(root, Role.ROOT, *(ed25519_signer(n).key for n in range(100, 500)))))
    body = {"txid": "", "ci-root": {"signatures": [], "signed": root.signed()}}
    private = root.signed()
    private["keys"] = {first.key.key_id: first.document()}
    for broken in (
        body,
        body | {"prod-root": None},
        body | {"prod-root": body["ci-root"], "ci-root": {"signatures": None, "signed": private}},
        body | {"prod-root": []},
        body | {"prod-root": body["ci-root"], "waves-signatures": {"w": []}},
        body | {"prod-root": body["ci-root"], "targets-signatures": {"main": [1]}},
    ):
        assert lines(owner.call("PUT", document=broken))
    assert owner.call("PUT", document=[]).status_code == 400
    assert owner.state() == before
    assert lines(owner.apply())
    assert lines(owner.stage(with_role(root, Role.ROOT, NEW.key, SPARE.key, owner="f" * 24)))
    assert DeviceTrust(owner.document("root.json")).root.version == 2


def test_lists_of_production_targets_and_waves_are_empty_and_named_ones_unknown(owner: TufAdmin) -> None:
    base = f"/ota/factories/{owner.server.factory}"
    for path, name in ((f"{base}/prod-targets/?tag=", "main"), (f"{base}/wave-targets/?name=", "w1")):
        assert owner.server.call("GET", path).json() == {}
        assert owner.server.call("GET", path + name).status_code == 404


def test_readers_may_look_and_not_change(owner: TufAdmin) -> None:
    reader = TufAdmin(owner.server, owner.server.create_token("certs:read", user="reader"))

    assert reader.call("GET", "/root.json").status_code == 200
    assert reader.begin().status_code == 403
    assert owner.server.call("GET", f"{owner.repository}/root.json", token=None).status_code == 401


def test_targets_are_published_by_tag_and_taken_back(owner: TufAdmin) -> None:
    base = f"/ota/factories/{owner.server.factory}/ci-targets/"
    trust = owner.fresh_device()
    entry = {"length": 0, "hashes": {"sha256": "ab" * 32}, "custom": {"version": "7", "tags": ["main"]}}
    form = {"name": "lmp-7", "tag": "main", "target": entry}

    assert owner.server.call("POST", base, document=form).status_code == 201
    owner.walk(trust)
    assert json.loads(owner.document("targets.json", tag="main"))["signed"]["targets"] == {"lmp-7": entry}
    assert owner.server.call("POST", base, document=form).status_code == 409
    odd = form | {"name": "lmp-8", "target": entry | {"custom": {"uri": "a&b"}}}
    assert owner.server.call("POST", base, document=odd).status_code == 400
    assert owner.server.call("POST", base, document=form | {"tag": "../x"}).status_code == 400
    assert owner.server.call("POST", base, document=form | {"tag": "devel"}).status_code == 201
    assert owner.walk(owner.fresh_device(), tag="devel").targets is not None
    assert owner.server.call("DELETE", f"{base}main/lmp-7/").status_code == 204
    assert owner.server.call("DELETE", f"{base}main/lmp-7/").status_code == 404
    assert owner.walk(trust).targets is not None


def test_who_did_what_is_in_the_audit_log(server: RunningServer, owner: TufAdmin) -> None:
    owner.begin(first_time=True, message="x" * 501)
    owner.rotate_root(NEW)
    database = open_audit(server)

    kinds = [kind for kind in database(owner.server.factory) if kind.startswith("tuf:")]

    assert kinds == [
        "tuf:update-applied",
        "tuf:update-staged",
        "tuf:first-key-handed-out",
        "tuf:update-begun",
        "tuf:update-refused",
        "tuf:repository-created",
    ]


def open_audit(server: RunningServer):
    from ownroot.storage import open_database

    def read(name: str) -> list[str]:
        database = open_database(f"sqlite:///{server.data_dir / 'ownroot.db'}")
        try:
            return database.read(lambda uow: [e.kind.value for e in uow.audit.list(uow.factories.find(name).id)])
        finally:
            database.close()

    return read
