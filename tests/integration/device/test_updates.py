"""`ownroot-device check-update` against a real server and gateway, while its owner takes the TUF keys over."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest

from ownroot.device.files import METADATA_DIRECTORY
from ownroot.tuf.metadata import Role
from tests.support.device_program import DeviceProgram
from tests.support.tuf_program import TufAdmin
from tests.support.tuf_world import ed25519_signer, with_role
from tests.support.world import RunningServer

MINE, SPARE, RELEASE = ed25519_signer(11), ed25519_signer(12), ed25519_signer(13)
_TRIES = 50  # a gateway answers what it read a second ago, and a start of the program takes half of one


def target(version: int, *, hardware: str = "rpi4") -> dict[str, Any]:
    custom = {"version": str(version), "tags": ["main"], "hardwareIds": [hardware], "targetFormat": "OSTREE"}
    return {"name": f"{hardware}-{version}", "tag": "main", "target": _entry(custom)}


def _entry(custom: dict[str, Any]) -> dict[str, Any]:
    return {"length": 0, "hashes": {"sha256": "ab" * 32}, "custom": custom}


@dataclass(frozen=True)
class Follower:
    """One registered device, seen as a device of any age."""

    program: DeviceProgram
    made_with: Path

    def check(self, *more: str) -> Any:
        """Run it to its end; returns the report."""
        done = self.program.run("check-update", "--json", "--initial-roots", str(self.made_with), *more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def check_until(self, root: int, target: str | None) -> None:
        """Check until this is what is offered."""
        seen = None
        for _ in range(_TRIES):
            report = self.check()
            seen = report["root"]["version"], (report["target"] or {}).get("name")
            if seen == (root, target):
                return
        raise AssertionError(f"{seen} is not {(root, target)}")

    def fresh(self, place: Path, *, made_with: Path | None = None) -> "Follower":
        """The same device as it came from its maker."""
        rmtree(place, ignore_errors=True)
        copytree(self.program.directory, place)
        rmtree(place / METADATA_DIRECTORY, ignore_errors=True)
        return Follower(replace(self.program, directory=place), made_with or self.made_with)


@pytest.fixture
def owner(server: RunningServer, request: pytest.FixtureRequest) -> TufAdmin:
    return TufAdmin(server.for_factory(request.node.name.replace("_", "-")[-40:].strip("-")))


@pytest.fixture
def device(owner: TufAdmin, tmp_path: Path) -> Follower:
    server = owner.server
    program = DeviceProgram(
        tmp_path / "sota", f"{server.api_url}/ota/devices/", server.factory, server.create_token("devices:create")
    )
    program.registered("--hardware-id", "rpi4")
    return Follower(program, tmp_path / "nothing")


def publish(owner: TufAdmin, document: dict[str, Any]) -> None:
    path = f"/ota/factories/{owner.server.factory}/ci-targets/"
    assert owner.server.call("POST", path, document=document).status_code == 201


def rotate_targets(owner: TufAdmin) -> None:
    owner.begin()
    root = owner.staged()
    online = root.keys[owner.state()["current"]["online-keys"]["targets"]]
    staged = with_role(root, Role.TARGETS, online, RELEASE.key, owner=owner.polis_id)
    assert owner.stage(staged, MINE).status_code == 200
    assert owner.apply().status_code == 200


def rotate_online_keys(owner: TufAdmin) -> None:
    owner.begin()
    order = {"txid": "", "key-type": "ED25519", "targets": True, "snapshot": True, "timestamp": True}
    assert owner.generate(order).status_code == 200
    assert owner.stage(owner.staged()).status_code == 200
    assert owner.sign_staged(MINE).status_code == 200
    assert owner.apply().status_code == 200


def test_devices_of_every_age_follow_every_step_of_a_take_over(
    owner: TufAdmin, device: Follower, tmp_path: Path
) -> None:
    maker = tmp_path / "maker" / "ci"
    maker.mkdir(parents=True)
    (maker / "1.root.json").write_bytes(owner.document("1.root.json"))
    steps = [
        lambda: None,
        lambda: publish(owner, target(7)),
        lambda: owner.rotate_root(MINE),
        lambda: rotate_targets(owner),
        lambda: rotate_online_keys(owner),
        lambda: publish(owner, target(8)),
        lambda: owner.rotate_root(SPARE, old=MINE),
    ]
    expected = [(2, None), (2, "rpi4-7"), (3, "rpi4-7"), (4, "rpi4-7"), (5, "rpi4-7"), (5, "rpi4-8"), (6, "rpi4-8")]

    for step, (root, name) in zip(steps, expected, strict=True):
        step()
        device.check_until(root, name)
        trusting, made = device.fresh(tmp_path / "new"), device.fresh(tmp_path / "made", made_with=maker.parent)
        trusting.check_until(root, name)
        made.check_until(root, name)
        assert json.loads(owner.document("root.json"))["signed"]["version"] == root


def test_offer_is_for_this_hardware_and_says_whether_it_runs_already(owner: TufAdmin, device: Follower) -> None:
    publish(owner, target(7))
    publish(owner, target(9, hardware="rpi5"))
    device.check_until(2, "rpi4-7")

    report = device.check("--installed", "rpi4-7")
    assert (report["status"], report["target"]["version"]) == ("up-to-date", 7)
    assert device.check("--installed", "rpi4-6")["status"] == "update-available"
    path = f"/ota/factories/{owner.server.factory}/ci-targets/main/rpi4-7/"
    assert owner.server.call("DELETE", path).status_code == 204
    device.check_until(2, None)
    assert device.check("--installed", "rpi4-7")["status"] == "no-target"


def test_production_device_follows_its_roots_and_has_no_targets_yet(owner: TufAdmin, tmp_path: Path) -> None:
    server = owner.server
    program = DeviceProgram(
        tmp_path / "sota", f"{server.api_url}/ota/devices/", server.factory, server.create_token("devices:create")
    )
    program.registered("--production")
    assert owner.rotate_root(MINE).status_code == 200
    kept = tmp_path / "sota" / METADATA_DIRECTORY / "root.json"
    for _ in range(_TRIES):
        done = program.run("check-update", "--initial-roots", str(tmp_path))
        assert (done.returncode, "update-tags-unknown" in done.stderr) == (6, True), done.stderr
        if kept.read_bytes() == owner.document("root.json", production=True):
            return
    raise AssertionError("the production root did not arrive")


def test_unregistered_device_is_told_to_register(tmp_path: Path) -> None:
    done = DeviceProgram(tmp_path, "http://127.0.0.1:1", "acme").run("check-update")
    assert (done.returncode, "device-not-registered" in done.stderr) == (6, True)
