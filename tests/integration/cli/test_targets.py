"""`ownroot targets` through the real program: what a team publishes is what a device verifies, and twins."""

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ownroot.cli.tuf_key_file import parse_key_file
from ownroot.errors import RefusedError
from ownroot.tuf.canonical import encode
from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.keys import TufSigner
from ownroot.tuf.metadata import new_targets
from ownroot.wire.tuf import production_document
from tests.support.owner import Owner, Ran
from tests.support.relay import Instead, Recorded, Relay
from tests.support.tuf_program import TufAdmin
from tests.support.tuf_world import signed_document
from tests.support.world import RunningServer

SHA = "4f" * 32


@pytest.fixture
def release(root_taken: Owner, tuf_keys: Path, tmp_path: Path) -> Path:
    """The key file of whoever signs releases."""
    file = tmp_path / "release.tgz"
    words = ("rotate-offline-key", "-r", "targets", "-k", tuf_keys, "-K", file, "--yes")
    done = root_taken.run("keys", "tuf", *words)
    assert done.code == 0, done.err
    return file


def targets(owner: Owner, *words: str | Path) -> Ran:
    return owner.run("targets", *words, "--json")


def add(owner: Owner, name: str, *more: str | Path) -> Ran:
    return targets(owner, "add", name, "--sha256", SHA, "--length", "0", *more)


def production_device(admin: TufAdmin, trust: DeviceTrust, tag: str = "main") -> dict[str, Any]:
    """What a production device has after a refresh."""
    now = datetime.now(UTC)
    admin.walk(trust, production=True)
    trust.update_timestamp(admin.document("timestamp.json", production=True, tag=tag), now=now)
    trust.update_snapshot(admin.document("snapshot.json", production=True, tag=tag), now=now)
    trust.update_targets(admin.document("targets.json", production=True, tag=tag), now=now)
    assert trust.targets is not None
    return json.loads(trust.targets.data)["signed"]["targets"]


def test_target_measured_from_a_file_is_what_a_device_gets(owner: Owner, admin: TufAdmin, tmp_path: Path) -> None:
    device, image = admin.fresh_device(), tmp_path / "image.bin"
    image.write_bytes(b"software" * 1000)

    words = ("--file", image, "--hardware-id", "pi4", "--app", "shop=hub/shop@sha256:ab", "--format", "OSTREE")
    made = targets(owner, "add", "lmp-7", *words).json

    admin.walk(device)
    assert device.targets is not None
    served = json.loads(device.targets.data)["signed"]["targets"]
    assert served == {"lmp-7": made["target"]}
    assert made["target"]["length"] == 8000
    assert made["target"]["hashes"]["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert made["target"]["custom"] == {
        "name": "lmp",
        "version": "7",
        "tags": ["main"],
        "hardwareIds": ["pi4"],
        "targetFormat": "OSTREE",
        "docker_compose_apps": {"shop": {"uri": "hub/shop@sha256:ab"}},
    }


def test_target_without_hardware_is_published_with_a_warning_beside_the_json(owner: Owner) -> None:
    without, with_it = add(owner, "lmp-7"), add(owner, "lmp-8", "--hardware-id", "pi4")
    assert (without.json["name"], with_it.json["name"]) == ("lmp-7", "lmp-8")
    assert "Warning: No device is ever offered lmp-7: it is without --hardware-id." in without.err
    assert with_it.err == ""


def test_targets_are_listed_shown_and_taken_back(owner: Owner, admin: TufAdmin) -> None:
    for number in (1, 2, 10):
        assert add(owner, f"lmp-{number}").code == 0

    assert list(targets(owner, "list").json["targets"]) == ["lmp-1", "lmp-10", "lmp-2"]
    assert [line.split()[0] for line in owner.run("targets", "list").out.splitlines()] == ["lmp-1", "lmp-2", "lmp-10"]
    assert targets(owner, "show", "lmp-2").json["lmp-2"]["hashes"]["sha256"] == SHA
    assert targets(owner, "prune", "--keep", "1", "--yes").json["pruned"] == ["lmp-1", "lmp-2"]
    assert list(targets(owner, "list").json["targets"]) == ["lmp-10"]
    assert targets(owner, "prune", "lmp-10", "--yes").code == 0
    assert owner.run("targets", "list").out == "The tag main has no targets.\n"
    assert admin.fresh_device().targets is not None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["add", "lmp-1", "--sha256", SHA, "--length", "0"], "tuf-target-exists"),
        (["add", "lmp-2", "--sha256", SHA.upper(), "--length", "0"], "tuf-target-invalid"),
        (["add", "lmp 2", "--sha256", SHA, "--length", "0"], "tuf-target-invalid"),
        (["add", "lmp-2", "--sha256", SHA, "--length", "0", "--custom", '{"note": "a & b"}'], "tuf-target-invalid"),
        (["add", "lmp-2", "--sha256", SHA, "--length", "0", "--custom", '{"note": "é"}'], "tuf-target-invalid"),
        (["add", "lmp-2", "--sha256", SHA, "--length", "0", "--custom", '{"part": 0.5}'], "tuf-target-invalid"),
        (["add", "lmp-2", "--sha256", SHA, "--length", "0", "--custom", "[1]"], "target-custom-invalid"),
        (["show", "lmp-9"], "tuf-target-unknown"),
        (["prune", "lmp-9", "--yes"], "tuf-target-unknown"),
        (["prune", "lmp-1"], "cannot-ask"),
        (["list", "--tag", "nobody"], "tuf-tag-unknown"),
        (["list", "--prod"], "tuf-tag-unknown"),
    ],
)
def test_refused_by_name_and_nothing_changes(owner: Owner, words: list[str], code: str) -> None:
    assert add(owner, "lmp-1").code == 0

    assert targets(owner, *words).error["code"] == code
    assert list(targets(owner, "list").json["targets"]) == ["lmp-1"]


@pytest.mark.parametrize(
    "words", [["add", "x-1"], ["add", "x-1", "--sha256", SHA], ["prune"], ["add", "x-1", "--prod"]]
)
def test_half_a_command_line_is_a_usage_error(owner: Owner, words: list[str]) -> None:
    assert owner.run("targets", *words).code == 2


def test_tested_target_is_published_to_production_devices_and_taken_back(
    root_taken: Owner, admin: TufAdmin, release: Path
) -> None:
    assert add(root_taken, "lmp-7").code == 0
    assert add(root_taken, "lmp-8").code == 0
    trust = DeviceTrust(admin.document("1.root.json"))

    made = targets(root_taken, "add", "lmp-7", "--prod", "-k", release, "--yes").json

    assert production_device(admin, trust) == {"lmp-7": made["target"]}
    assert targets(root_taken, "add", "lmp-8", "--prod", "-k", release, "--yes").json["version"] == made["version"] + 1
    assert sorted(production_device(admin, trust)) == ["lmp-7", "lmp-8"]
    assert targets(root_taken, "list", "--prod").json["version"] == made["version"] + 1
    assert targets(root_taken, "prune", "lmp-7", "--prod", "-k", release, "--yes").code == 0
    assert sorted(production_device(admin, trust)) == ["lmp-8"]
    again = targets(root_taken, "add", "lmp-8", "--prod", "-k", release, "--yes")
    assert again.error["code"] == "tuf-target-exists"
    unknown = targets(root_taken, "add", "lmp-9", "--prod", "-k", release, "--yes")
    assert unknown.error["code"] == "tuf-target-unknown"


def test_a_production_device_is_moved_between_tags_and_back_after_each_publication(
    root_taken: Owner, admin: TufAdmin, release: Path
) -> None:
    """It keeps one version for all tags, so those of a tag that nobody touched must rise with the others."""
    trust, prod = DeviceTrust(admin.document("1.root.json")), ("--prod", "-k", release, "--yes")
    assert add(root_taken, "lmp-7", *prod).code == 0
    assert sorted(production_device(admin, trust)) == ["lmp-7"]
    for number in (8, 9):
        assert add(root_taken, f"lmp-{number}", "--tag", "devel", *prod).code == 0
        for tag in ("devel", "main", "devel"):
            production_device(admin, trust, tag)
    assert sorted(production_device(admin, trust, "main")) == ["lmp-7"]
    assert sorted(production_device(admin, trust, "devel")) == ["lmp-8", "lmp-9"]
    pruned = root_taken.run("targets", "prune", "lmp-9", "--tag", "devel", *prod)
    assert "  = main: 1 target, as they are" in pruned.err


def publish_what_soon_expires(server: RunningServer, release: Path, *tags: str) -> None:
    """Publish targets that live as few seconds as this machine takes for it, and wait until they have expired."""
    held = parse_key_file(release.read_bytes())
    (signer,) = [half for key_id in held.keys if isinstance(half := held.private_half(key_id), TufSigner)]
    for seconds in (2, 4, 8, 16, 32):
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
        body = new_targets(5, expires, {"lmp-7": {"length": 0, "hashes": {"sha256": SHA}}})
        sent = production_document(dict.fromkeys(tags, signed_document(body, signer)))
        answer = server.call("POST", f"/ota/factories/{server.factory}/prod-targets/", document=sent)
        if answer.status_code == 201:
            break
        assert list(answer.json()["errors"]) == ["expiry-out-of-range"], answer.text
    while datetime.now(UTC) <= expires:
        time.sleep(0.1)


def test_targets_that_expired_are_signed_anew_and_keep_nobody_from_publishing(
    root_taken: Owner, server: RunningServer, admin: TufAdmin, release: Path
) -> None:
    trust, prod = DeviceTrust(admin.document("1.root.json")), ("--prod", "-k", release, "--yes")
    publish_what_soon_expires(server, release, "main", "devel")
    assert targets(root_taken, "list", "--prod").error["code"] == "tuf-expired"
    with pytest.raises(RefusedError, match="expired"):
        production_device(admin, trust, "devel")

    done = root_taken.run("targets", "add", "lmp-8", "--sha256", SHA, "--length", "0", *prod)

    assert done.code == 0, done.err
    for tag in ("main", "devel"):
        assert f"  ! {tag}: expired on 20" in done.err
    assert sorted(production_device(admin, trust, "main")) == ["lmp-7", "lmp-8"]
    assert sorted(production_device(admin, trust, "devel")) == ["lmp-7"]
    assert " ! " not in root_taken.run("targets", "prune", "lmp-8", *prod).err


def test_expired_targets_that_were_altered_are_not_signed_anew(
    root_taken: Owner, server: RunningServer, release: Path, relay: Relay
) -> None:
    publish_what_soon_expires(server, release, "main")

    def alter(request: Recorded) -> Instead | None:
        if "/targets.json" not in request.path:
            return None
        with httpx2.Client(trust_env=False) as client:
            answer = client.get(server.api_url + request.path, headers={"OSF-TOKEN": server.owner_token}).json()
        answer["signed"]["targets"]["lmp-7"]["length"] = 1
        return Instead(200, encode(answer))

    relay.spoil = alter
    assert add(root_taken, "lmp-8", "--prod", "-k", release, "--yes").error["code"] == "tuf-mix-and-match"
    assert not [asked for asked in relay.requests if asked.method == "POST" and "prod-targets" in asked.path]


def recorded(server: RunningServer, tag: str) -> dict[str, Instead]:
    """What the server answers now when it is asked for the documents of a tag, by path."""
    answers = {}
    for name in ("timestamp.json", "snapshot.json", "targets.json"):
        path = f"/ota/repo/{server.factory}/api/v1/user_repo/{name}?tag={tag}&production=1"
        with httpx2.Client(trust_env=False) as client:
            got = client.get(server.api_url + path, headers={"OSF-TOKEN": server.owner_token})
        assert got.status_code == 200, got.text
        answers[path] = Instead(200, got.content)
    return answers


def uploads(relay: Relay) -> int:
    return len([asked for asked in relay.requests if asked.method == "POST" and "prod-targets" in asked.path])


def test_withdrawn_targets_of_another_tag_are_not_signed_anew_for_who_replays_them(
    root_taken: Owner, server: RunningServer, admin: TufAdmin, release: Path, relay: Relay
) -> None:
    trust, prod = DeviceTrust(admin.document("1.root.json")), ("--prod", "-k", release, "--yes")
    publish_what_soon_expires(server, release, "main", "devel")
    old = recorded(server, "devel")
    assert add(root_taken, "lmp-8", "--tag", "devel", *prod).code == 0
    assert targets(root_taken, "prune", "lmp-7", "--tag", "devel", *prod).code == 0
    sent = uploads(relay)

    replayed = []
    relay.spoil = lambda asked: replayed.append(asked) or old[asked.path] if asked.path in old else None
    refused = add(root_taken, "lmp-9", *prod).error

    assert (refused["code"], len(replayed)) == ("tuf-rollback", 3)
    assert "of devel have version 5, others have 7" in refused["message"]
    assert uploads(relay) == sent
    relay.spoil = lambda asked: None
    assert sorted(production_device(admin, trust, "devel")) == ["lmp-8"]
    assert add(root_taken, "lmp-9", *prod).code == 0
    assert sorted(production_device(admin, trust, "devel")) == ["lmp-8"]


def test_targets_older_than_the_key_file_has_seen_are_not_signed_anew(
    root_taken: Owner, server: RunningServer, admin: TufAdmin, release: Path, relay: Relay, tmp_path: Path
) -> None:
    trust, prod = DeviceTrust(admin.document("1.root.json")), ("--prod", "-k", release, "--yes")
    first = add(root_taken, "lmp-7", *prod).json["version"]
    old = recorded(server, "main")
    assert add(root_taken, "lmp-8", *prod).code == 0
    assert targets(root_taken, "prune", "lmp-7", *prod).code == 0
    sent = uploads(relay)

    relay.spoil = lambda asked: old.get(asked.path)
    refused = add(root_taken, "lmp-9", *prod).error
    relay.spoil = lambda asked: Instead(404, b'{"code": "tuf-document-unknown"}') if asked.path in old else None
    hidden = add(root_taken, "lmp-9", *prod).error

    assert refused["code"] == hidden["code"] == "tuf-rollback"
    assert f"main in version {first}; with this key file version {first + 2} was seen" in refused["message"]
    assert uploads(relay) == sent
    relay.spoil = lambda asked: None
    fresh = tmp_path / "fresh.tgz"  # what docs/cli/targets.md names after a restore
    assert root_taken.run("keys", "tuf", "copy-targets", release, fresh).code == 0
    assert parse_key_file(fresh.read_bytes()).known_targets_version == 0
    assert add(root_taken, "lmp-9", "--prod", "-k", fresh, "--yes").code == 0
    assert sorted(production_device(admin, trust)) == ["lmp-8", "lmp-9"]


def test_version_that_was_seen_is_remembered_although_nothing_is_published(
    root_taken: Owner, server: RunningServer, release: Path
) -> None:
    publish_what_soon_expires(server, release, "main")

    assert add(root_taken, "lmp-7", "--prod", "-k", release, "--yes").error["code"] == "tuf-target-exists"

    assert parse_key_file(release.read_bytes()).known_targets_version == 5


def test_key_file_that_cannot_be_written_is_told_and_keeps_nobody_from_publishing(
    root_taken: Owner, admin: TufAdmin, release: Path
) -> None:
    trust, before = DeviceTrust(admin.document("1.root.json")), release.read_bytes()
    lock = release.with_name(f".{release.name}.lock")
    lock.unlink()
    lock.mkdir()

    done = root_taken.run("targets", "add", "lmp-7", "--sha256", SHA, "--length", "0", "--prod", "-k", release, "--yes")

    assert done.code == 0, done.err
    assert "Warning: " in done.err
    assert "does not know that targets version" in done.err
    assert release.read_bytes() == before
    assert sorted(production_device(admin, trust)) == ["lmp-7"]
    lock.rmdir()
    again = root_taken.run("targets", "prune", "lmp-7", "--prod", "-k", release, "--yes")
    assert "Warning" not in again.err
    assert parse_key_file(release.read_bytes()).known_targets_version > 0


def test_rotated_targets_key_signs_what_production_devices_have(
    root_taken: Owner, admin: TufAdmin, tuf_keys: Path, release: Path
) -> None:
    trust = DeviceTrust(admin.document("1.root.json"))
    assert add(root_taken, "lmp-7", "--prod", "-k", release, "--yes").code == 0
    before = production_device(admin, trust)

    words = ("rotate-offline-key", "-r", "targets", "-k", tuf_keys, "-K", release, "--yes")
    assert root_taken.run("keys", "tuf", *words).code == 0

    assert production_device(admin, trust) == before
    assert (
        targets(root_taken, "add", "lmp-8", "--sha256", SHA, "--length", "1", "--prod", "-k", release, "--yes").code
        == 0
    )
    assert sorted(production_device(admin, trust)) == ["lmp-7", "lmp-8"]


def test_second_signature_is_added_for_a_higher_threshold(
    root_taken: Owner, admin: TufAdmin, tuf_keys: Path, release: Path, tmp_path: Path
) -> None:
    trust, second = DeviceTrust(admin.document("1.root.json")), tmp_path / "second.tgz"
    assert add(root_taken, "lmp-7", "--prod", "-k", release, "--yes").code == 0

    def update(*words: str | Path) -> Ran:
        return root_taken.run("keys", "tuf", "updates", *words, "--json")

    assert update("init", "-m", "Three must sign").code == 0
    assert update("add-offline-key", "-r", "targets", "-k", second).code == 0
    assert update("set-threshold", "3", "-r", "targets", "--sign", "-k", tuf_keys, "--yes").json["missing"] != []
    assert update("apply").error["code"] == "tuf-root-invalid"
    assert update("sign-prod-targets", "-k", second, "--yes").json["missing"] == []
    assert update("apply").code == 0

    assert sorted(production_device(admin, trust)) == ["lmp-7"]
    alone = add(root_taken, "lmp-8", "--prod", "-k", second, "--yes")
    assert alone.error["fields"].keys() == {"targets-signatures-missing"}


def test_production_targets_need_an_active_targets_key(root_taken: Owner, tuf_keys: Path, admin: TufAdmin) -> None:
    refused = add(root_taken, "lmp-7", "--prod", "-k", tuf_keys, "--yes")

    assert refused.error["code"] == "tuf-key-not-in-file"
    assert admin.call("GET", "/targets.json?production=1&tag=main").status_code == 404


def test_targets_altered_on_the_way_are_not_listed(owner: Owner, relay: Relay, server: RunningServer) -> None:
    assert add(owner, "lmp-1").code == 0

    def alter(request: Recorded) -> Instead | None:
        if "/targets.json" not in request.path:
            return None
        with httpx2.Client(trust_env=False) as client:
            answer = client.get(server.api_url + request.path, headers={"OSF-TOKEN": server.owner_token}).json()
        answer["signed"]["targets"]["lmp-1"]["length"] = 1
        return Instead(200, encode(answer))

    relay.spoil = alter
    assert targets(owner, "list").error["code"] == "tuf-mix-and-match"
    relay.spoil = lambda request: Instead(404, b'{"code": "x"}') if "/snapshot.json" in request.path else None
    assert targets(owner, "list").error["code"] in ("tuf-tag-incomplete", "x")


def test_lost_targets_key_is_replaced_without_it(
    root_taken: Owner, admin: TufAdmin, tuf_keys: Path, release: Path, tmp_path: Path
) -> None:
    """The steps of docs/tuf.md."""
    trust, new = DeviceTrust(admin.document("1.root.json")), tmp_path / "new.tgz"
    assert add(root_taken, "lmp-7", "--prod", "-k", release, "--yes").code == 0
    before = production_device(admin, trust)
    shown = root_taken.run("keys", "show", "--json").json["tuf"]["keys"]
    (lost,) = [key["key-id"] for key in shown if key["role"] == "targets" and not key["online"]]
    release.unlink()
    steps: list[tuple[str | Path, ...]] = [
        ("init", "-m", "A lost key"),
        ("delete-offline-key", "-r", "targets", "-i", lost),
        ("add-offline-key", "-r", "targets", "-k", new),
        ("sign-prod-targets", "-k", new, "--yes"),
        ("sign", "-k", tuf_keys, "--yes"),
        ("apply",),
    ]

    for step in steps:
        done = root_taken.run("keys", "tuf", "updates", *step)
        assert done.code == 0, done.err

    assert production_device(admin, trust) == before
