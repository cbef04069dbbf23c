"""TUF keys that never meet a network: request, approve without an interface, apply; and every refusing twin."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from ownroot.tuf.metadata import Role
from tests.support.owner import Owner, Ran
from tests.support.tuf_program import TufAdmin
from tests.support.world import RunningServer


@pytest.fixture
def offline(tmp_path: Path) -> Owner:
    """The machine with the keys: no login, no network."""
    home = tmp_path / "offline"
    home.mkdir()
    return Owner(home)


def request(owner: Owner, *words: str | Path) -> Ran:
    return owner.run("keys", "tuf", "request", *words, "--json")


def approve(offline: Owner, source: Path, out: Path, keys: Path) -> Ran:
    words = ("keys", "tuf", "approve", source, out, "-k", keys, "--operator", "Ada", "--yes", "--json")
    return offline.run(*words, without_network=True)


def apply(owner: Owner, source: Path, *more: str | Path) -> Ran:
    return owner.run("keys", "tuf", "apply", source, *more, "--yes", "--json")


def taken_over(owner: Owner, offline: Owner, folder: Path) -> Path:
    """Take the root over across the gap; returns the offline key file."""
    asked, approved, keys, first = (folder / name for name in ("ask.json", "yes.json", "offline.tgz", "first.tgz"))
    words = ("rotate-offline-key", "-r", "root", "--first-time", "-k", first, asked)
    digest = request(owner, *words).json["sha256"]
    done = approve(offline, asked, approved, keys).json
    assert done["request-sha256"] == digest
    applied = apply(owner, approved, "-k", first).json
    assert (applied["version"], applied["in-effect"]) == (3, True)
    return keys


def test_take_over_across_the_gap_moves_no_private_key(
    owner: Owner, offline: Owner, admin: TufAdmin, tmp_path: Path
) -> None:
    device = admin.fresh_device()

    keys = taken_over(owner, offline, tmp_path)

    admin.walk(device)
    assert (device.root.version, len(device.root.roles[Role.ROOT].key_ids)) == (3, 1)
    assert subprocess.run(["tar", "-tzf", keys], capture_output=True, check=True, text=True).stdout.count(".sec") == 1
    for name in ("ask.json", "yes.json", "yes.record.json"):
        assert "private" not in (tmp_path / name).read_text()
    again = apply(owner, tmp_path / "yes.json", "-k", tmp_path / "first.tgz")
    assert (again.json["sent"], again.json["in-effect"]) == (False, True)


def test_targets_key_threshold_and_year_across_the_gap(
    owner: Owner, offline: Owner, admin: TufAdmin, tmp_path: Path
) -> None:
    keys, device = taken_over(owner, offline, tmp_path), admin.fresh_device()
    orders = {
        "targets": ("rotate-offline-key", "-r", "targets"),
        "second": ("add-offline-key", "-r", "targets"),
        "threshold": ("set-threshold", "3", "-r", "targets"),
        "year": ("resign-root",),
    }
    for number, (name, words) in enumerate(orders.items(), start=4):
        asked, approved = tmp_path / f"{name}.json", tmp_path / f"{name}-yes.json"
        assert request(owner, *words, asked).code == 0
        assert approve(offline, asked, approved, keys).code == 0
        assert apply(owner, approved).json["version"] == number

    admin.walk(device)
    assert len(device.root.roles[Role.TARGETS].key_ids) == 3
    production = admin.fresh_device(production=True)
    assert production.root.roles[Role.TARGETS].threshold == 3
    gone = device.root.roles[Role.TARGETS].key_ids[2]
    assert request(owner, "delete-offline-key", "-r", "targets", "-i", gone, tmp_path / "gone.json").code == 0
    assert approve(offline, tmp_path / "gone.json", tmp_path / "gone-yes.json", keys).code == 0
    assert apply(owner, tmp_path / "gone-yes.json").json["missing"] != []  # two keys cannot make three signatures


def test_signer_of_a_root_that_is_only_prolonged_sees_its_version_and_its_end(
    owner: Owner, offline: Owner, admin: TufAdmin, tmp_path: Path
) -> None:
    keys, asked, approved = taken_over(owner, offline, tmp_path), tmp_path / "year.json", tmp_path / "year-yes.json"
    before = f"{admin.fresh_device().root.expires:%Y-%m-%d %H:%M:%S} UTC"
    assert request(owner, "resign-root", asked).code == 0
    begun = owner.run("keys", "tuf", "updates", "review").out
    assert f"Expire on {before}, as before" in begun

    words = ("keys", "tuf", "approve", asked, approved, "-k", keys, "--operator", "Ada", "--yes")
    seen = offline.run(*words, without_network=True).err
    carried_out = owner.run("keys", "tuf", "apply", approved, "--yes").err

    after = f"{admin.fresh_device().root.expires:%Y-%m-%d %H:%M:%S} UTC"
    for shown in (seen, carried_out):
        assert "Publish root 4 in place of root 3" in shown
        assert f"Expire on {after} instead of {before}" in shown


def test_new_online_keys_are_signed_across_the_gap(
    owner: Owner, offline: Owner, admin: TufAdmin, tmp_path: Path
) -> None:
    keys = taken_over(owner, offline, tmp_path)
    assert owner.run("keys", "tuf", "updates", "init", "-m", "New online keys").code == 0
    assert request(owner, "sign", tmp_path / "a.json").code == 0
    assert approve(offline, tmp_path / "a.json", tmp_path / "b.json", keys).error["code"] == "tuf-nothing-staged"

    assert owner.run("keys", "tuf", "updates", "rotate-online-key", "-r", "targets").code == 0
    assert request(owner, "sign", tmp_path / "c.json").code == 0
    done = approve(offline, tmp_path / "c.json", tmp_path / "d.json", keys).json
    assert any("targets" in line for line in done["amendments"])
    assert apply(owner, tmp_path / "d.json").json["in-effect"]
    assert admin.fresh_device().root.version == admin.fresh_device(production=True).root.version == 4


def test_record_is_checked_years_later(owner: Owner, offline: Owner, admin: TufAdmin, tmp_path: Path) -> None:
    taken_over(owner, offline, tmp_path)
    for version in (2, 3):
        (tmp_path / f"{version}.json").write_bytes(admin.document(f"{version}.root.json"))
    record = tmp_path / "yes.record.json"

    def verify(root: int) -> Ran:
        words = ("keys", "tuf", "verify-record", record, "--root", tmp_path / f"{root}.json", "--json")
        return offline.run(*words, without_network=True)

    assert verify(3).json["operators"] == ["Ada"]
    assert any(line.startswith("Add root key") for line in verify(3).json["amendments"])
    assert verify(2).error["code"] == "ceremony-signature"
    record.write_bytes(record.read_bytes().replace(b'"Ada"', b'"Eve"'))
    assert verify(3).error["code"] == "ceremony-file-altered"


def test_request_altered_on_the_stick_is_refused(owner: Owner, offline: Owner, tmp_path: Path) -> None:
    keys, asked = taken_over(owner, offline, tmp_path), tmp_path / "a.json"
    assert request(owner, "set-threshold", "2", "-r", "root", asked).code == 0
    before = keys.read_bytes()

    whole = asked.read_bytes()
    asked.write_bytes(whole.replace(b'"threshold": 2', b'"threshold": 3'))
    assert approve(offline, asked, tmp_path / "b.json", keys).error["code"] == "ceremony-file-altered"
    asked.write_bytes(whole[:-30])
    assert approve(offline, asked, tmp_path / "b.json", keys).error["code"] == "ceremony-file-unreadable"
    assert not (tmp_path / "b.json").exists()
    assert keys.read_bytes() == before


def test_request_of_another_chain_is_refused_where_the_keys_are(
    owner: Owner, offline: Owner, server: RunningServer, tmp_path: Path
) -> None:
    keys = taken_over(owner, offline, tmp_path)
    other = server.for_factory(f"{server.factory}-elsewhere")
    as_other = owner.at(server.api_url, factory=other.factory, token=other.owner_token)
    assert request(as_other, "resign-root", tmp_path / "a.json").code == 0
    # After one use the file remembers the newest root it verified, so a chain from another root 1 leads nowhere.
    assert request(owner, "resign-root", tmp_path / "own.json").code == 0
    assert approve(offline, tmp_path / "own.json", tmp_path / "own-yes.json", keys).code == 0

    refused = approve(offline, tmp_path / "a.json", tmp_path / "b.json", keys)

    assert refused.error["code"] == "tuf-other-chain"
    assert f"factory {other.factory} at {server.api_url}" in refused.error["message"]


def test_stale_and_foreign_approvals_are_refused(
    owner: Owner, offline: Owner, server: RunningServer, admin: TufAdmin, tmp_path: Path
) -> None:
    keys = taken_over(owner, offline, tmp_path)
    assert request(owner, "resign-root", tmp_path / "a.json").code == 0
    assert approve(offline, tmp_path / "a.json", tmp_path / "b.json", keys).code == 0
    other = server.for_factory(f"{server.factory}-elsewhere")
    as_other = owner.at(server.api_url, factory=other.factory, token=other.owner_token)

    assert apply(as_other, tmp_path / "b.json").error["code"] == "ceremony-other-factory"
    assert owner.run("keys", "tuf", "updates", "cancel").code == 0
    assert owner.run("keys", "tuf", "updates", "init", "-m", "Another").code == 0
    assert apply(owner, tmp_path / "b.json").error["code"] == "ceremony-stale"
    assert admin.state()["current"]["ci-root"] == admin.document("3.root.json").decode()


def test_approval_altered_with_its_digest_made_right_is_not_signed(
    owner: Owner, offline: Owner, tmp_path: Path
) -> None:
    keys = taken_over(owner, offline, tmp_path)
    assert request(owner, "resign-root", tmp_path / "a.json").code == 0
    assert approve(offline, tmp_path / "a.json", tmp_path / "b.json", keys).code == 0
    document = json.loads((tmp_path / "b.json").read_bytes())
    document["body"]["operators"] = ["Eve"]
    (tmp_path / "c.json").write_bytes(made_right(document))

    assert apply(owner, tmp_path / "c.json").error["code"] == "ceremony-signature"
    assert apply(owner, tmp_path / "b.json").json["in-effect"]


def made_right(document: dict[str, object]) -> bytes:
    """The file as it would be written, digest included."""
    body = json.dumps(document["body"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    document["sha256"] = hashlib.sha256(f"{document['kind']}\n{body}".encode()).hexdigest()
    return (json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def test_take_over_is_not_asked_for_while_another_change_is_open(owner: Owner, admin: TufAdmin, tmp_path: Path) -> None:
    assert owner.run("keys", "tuf", "updates", "init", "-m", "Mine").code == 0
    words = ("rotate-offline-key", "-r", "root", "--first-time", "-k", tmp_path / "first.tgz", tmp_path / "a.json")

    assert request(owner, *words).error["code"] == "tuf-update-active"
    assert not (tmp_path / "first.tgz").exists()
    assert not (tmp_path / "a.json").exists()


def test_second_holder_signs_what_the_first_has_approved(
    owner: Owner, offline: Owner, admin: TufAdmin, tmp_path: Path
) -> None:
    keys, second = taken_over(owner, offline, tmp_path), tmp_path / "second.tgz"
    assert owner.run("keys", "tuf", "updates", "init", "-m", "Two must sign").code == 0
    assert owner.run("keys", "tuf", "updates", "set-threshold", "2", "-r", "root").code == 0
    assert request(owner, "add-offline-key", "-r", "root", tmp_path / "1.json").code == 0
    grace = approve(offline, tmp_path / "1.json", tmp_path / "2.json", second)
    assert grace.code == 0, grace.err
    assert apply(owner, tmp_path / "2.json").json["missing"] != []

    assert request(owner, "sign", tmp_path / "3.json").code == 0
    assert approve(offline, tmp_path / "3.json", tmp_path / "4.json", keys).code == 0
    assert apply(owner, tmp_path / "4.json").json["missing"] == []

    assert admin.fresh_device().root.roles[Role.ROOT].threshold == 2
