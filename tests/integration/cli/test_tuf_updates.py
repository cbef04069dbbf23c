"""Step by step, and with several admins: `keys tuf updates` of the real program against the real server."""

import json
import threading
from pathlib import Path

import pytest

from ownroot.tuf.metadata import Role
from tests.support.owner import Owner, Ran
from tests.support.tuf_program import TufAdmin
from tests.support.world import RunningServer


@pytest.fixture
def bea(owner: Owner, server: RunningServer) -> Owner:
    """Another admin of the factory."""
    token = server.create_token("certs:manage", user="bea")
    server.run("member", "add", "--factory", server.factory, "--user", "bea", "--role", "admin")
    return owner.at(server.api_url, factory=server.factory, token=token)


def updates(owner: Owner, *words: str | Path) -> Ran:
    return owner.run("keys", "tuf", "updates", *words, "--json")


def begin(owner: Owner) -> str:
    return str(updates(owner, "init", "-m", "A second root key").json["txid"])


def test_two_admins_make_a_root_of_two_keys_that_both_must_sign(
    root_taken: Owner, bea: Owner, admin: TufAdmin, tuf_keys: Path, tmp_path: Path
) -> None:
    device, others = admin.fresh_device(), tmp_path / "bea.tgz"
    txid = begin(root_taken)

    assert updates(bea, "add-offline-key", "-r", "root", "-k", others, "-x", txid).code == 0
    assert updates(root_taken, "set-threshold", "2", "-r", "root").code == 0
    assert updates(root_taken, "sign", "-k", tuf_keys, "--yes").json["missing"] != []
    assert updates(root_taken, "apply").error["code"] == "tuf-root-invalid"
    assert updates(bea, "sign", "-k", others, "-x", txid, "--yes").json["missing"] == []
    assert updates(root_taken, "apply", "-k", tuf_keys).json["version"] == 4

    admin.walk(device)
    assert (len(device.root.roles[Role.ROOT].key_ids), device.root.roles[Role.ROOT].threshold) == (2, 2)
    assert len(device.root.owners) == 2
    assert root_taken.run("keys", "tuf", "show-root", "-k", tuf_keys).json["signed"]["version"] == 4


def test_another_admin_without_the_transaction_id_changes_nothing(
    root_taken: Owner, bea: Owner, admin: TufAdmin, tmp_path: Path
) -> None:
    begin(root_taken)

    refused = updates(bea, "add-offline-key", "-r", "root", "-k", tmp_path / "bea.tgz")

    assert refused.error["code"] == "tuf-txid-wrong"
    assert not (tmp_path / "bea.tgz").exists()
    assert not (tmp_path / "bea.tgz.tmp").exists()
    # Nothing but the number of the root has changed.
    assert [line.split()[0] for line in updates(bea, "review").json["amendments"]] == ["Publish", "Expire"]
    assert updates(bea, "cancel").json == {"cancelled": True}  # any admin may
    assert admin.state()["status"] == "NONE"


def test_two_admins_who_sign_at_once_do_not_erase_each_other(
    root_taken: Owner, bea: Owner, tuf_keys: Path, tmp_path: Path
) -> None:
    others, txid = tmp_path / "bea.tgz", begin(root_taken)
    assert updates(bea, "add-offline-key", "-r", "root", "-k", others, "-x", txid).code == 0
    assert updates(root_taken, "set-threshold", "2", "-r", "root").code == 0
    ran: list[Ran] = []
    signers = [
        threading.Thread(target=lambda: ran.append(updates(root_taken, "sign", "-k", tuf_keys, "--yes"))),
        threading.Thread(target=lambda: ran.append(updates(bea, "sign", "-k", others, "-x", txid, "--yes"))),
    ]
    for signer in signers:
        signer.start()
    for signer in signers:
        signer.join()

    assert [each.code for each in ran] == [0, 0], [each.err for each in ran]
    assert updates(root_taken, "review").json["missing"] == []
    assert updates(root_taken, "apply").code == 0


def test_two_who_begin_at_once_are_one_change_and_one_refusal(root_taken: Owner, bea: Owner) -> None:
    begin(root_taken)

    assert updates(bea, "init", "-m", "Mine").error["code"] == "tuf-update-active"


def test_rotated_step_by_step_and_reviewed(root_taken: Owner, admin: TufAdmin, tuf_keys: Path) -> None:
    device = admin.fresh_device()
    begin(root_taken)
    assert updates(root_taken, "rotate-offline-key", "-r", "root", "-k", tuf_keys).code == 0
    assert updates(root_taken, "rotate-offline-key", "-r", "targets", "-k", tuf_keys).code == 0
    assert (
        updates(root_taken, "rotate-online-key", "-r", "snapshot,timestamp", "--sign", "-k", tuf_keys, "--yes").code
        == 0
    )

    shown = updates(root_taken, "review").json
    text = root_taken.run("keys", "tuf", "updates", "review")
    diff = root_taken.run("keys", "tuf", "updates", "review", "--diff", "--prod")

    assert {line.split()[0] for line in shown["amendments"]} == {"Publish", "Add", "Remove", "Replace", "Expire"}
    assert shown["signatures"] == {"present": {"have": 1, "want": 1}, "new": {"have": 1, "want": 1}}
    assert "A second root key" in text.out
    assert "+++ staged" in diff.out
    assert updates(root_taken, "review", "--raw").json["signed"]["version"] == 4
    assert updates(root_taken, "apply").code == 0
    admin.walk(device)
    assert device.root.version == 4


def test_key_taken_out_by_its_file_signs_its_own_removal(
    root_taken: Owner, admin: TufAdmin, tuf_keys: Path, tmp_path: Path
) -> None:
    begin(root_taken)
    assert updates(root_taken, "add-offline-key", "-r", "root", "-k", tmp_path / "second.tgz").code == 0
    assert updates(root_taken, "sign", "-k", tuf_keys, "--yes").code == 0
    assert updates(root_taken, "apply").code == 0
    begin(root_taken)
    assert updates(root_taken, "delete-offline-key", "-r", "root", "-k", tuf_keys).code == 0
    assert updates(root_taken, "sign", "-k", tuf_keys, "--yes").json["missing"] != []
    assert updates(root_taken, "sign", "-k", tmp_path / "second.tgz", "--yes").json["missing"] == []
    assert updates(root_taken, "apply").code == 0

    assert len(admin.fresh_device().root.roles[Role.ROOT].key_ids) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["set-threshold", "1", "-r", "targets"], "tuf-threshold-invalid"),
        (["delete-offline-key", "-r", "root", "-i", "0" * 64], "tuf-key-not-in-role"),
        (["sign", "-k", "gone.tgz", "--yes"], "tuf-key-file-missing"),
        (["sign-prod-targets", "-k", "{keys}", "--yes"], "tuf-nothing-staged"),
        (["sign", "-k", "{keys}", "--yes"], "tuf-nothing-staged"),
        (["apply"], "tuf-root-invalid"),
    ],
)
def test_steps_that_cannot_be_taken_say_why_and_change_nothing(
    root_taken: Owner, admin: TufAdmin, tuf_keys: Path, words: list[str], code: str
) -> None:
    begin(root_taken)
    before = admin.state()["updated"]

    refused = updates(root_taken, *(word.format(keys=tuf_keys) for word in words))

    assert refused.error["code"] == code
    assert admin.state()["updated"] == before


@pytest.mark.parametrize("step", ["apply", "cancel", "review"])
def test_steps_without_a_change_say_that_there_is_none(owner: Owner, step: str) -> None:
    assert updates(owner, step).error["code"] == "tuf-update-none"


def test_online_key_may_not_be_deleted_by_its_id(root_taken: Owner, admin: TufAdmin) -> None:
    begin(root_taken)
    online = admin.state()["updated"]["online-keys"]["targets"]

    assert (
        updates(root_taken, "delete-offline-key", "-r", "targets", "-i", online).error["code"] == "tuf-key-not-in-role"
    )


def test_first_time_step_by_step(owner: Owner, admin: TufAdmin, tuf_keys: Path) -> None:
    begun = updates(owner, "init", "-m", "Take over", "--first-time", "-k", tuf_keys)
    assert begun.json["file"] == str(tuf_keys)
    assert updates(owner, "rotate-offline-key", "-r", "root", "-k", tuf_keys, "--sign", "--yes").json["missing"] == []
    assert updates(owner, "apply", "-k", tuf_keys).json["version"] == 3

    assert "first-root-key-in-use" not in json.dumps(admin.state()["issues"])
