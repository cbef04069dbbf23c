"""A factory nobody takes over lives on: its server signs the next root in time, and an owner can take over then."""

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.metadata import Role
from tests.support.moved_time import MovedTime
from tests.support.tuf_program import TufAdmin
from tests.support.tuf_world import ed25519_signer
from tests.support.world import START_SECONDS, running_server


@pytest.mark.parametrize(("days", "version"), [(200, 2), (250, 3)])
def test_root_is_renewed_a_third_of_a_year_before_its_end_and_can_be_taken_over(
    tmp_path: Path, days: int, version: int
) -> None:
    moved_time = MovedTime(tmp_path)
    environment = dict(moved_time.environment)
    with running_server(tmp_path, part="api", environment=environment) as server:
        owner = TufAdmin(server)
        device, old = owner.fresh_device(), owner.fresh_device()
    moved_time.move_to(timedelta(days=days))
    with running_server(tmp_path, part="api", environment=environment, factory=None) as again:
        owner.server = replace(again, factory=server.factory, owner_token=server.owner_token, owner_id=server.owner_id)
        assert root_version(owner, device, at_least=version) == version
        assert owner.fresh_device(production=True).root.version == version

        new = ed25519_signer(77)
        applied = owner.rotate_root(new)
        assert applied.status_code == 200, applied.text
        for trust in (owner.walk(device), owner.walk(old), owner.fresh_device(), owner.fresh_device(production=True)):
            assert (trust.root.version, trust.root.roles[Role.ROOT].key_ids) == (version + 1, (new.key.key_id,))


def root_version(owner: TufAdmin, device: DeviceTrust, *, at_least: int) -> int:
    """Let a device walk until it sees this root: the server looks for what ends once it is up."""
    end = time.monotonic() + START_SECONDS
    while (found := owner.walk(device).root.version) < at_least:
        assert time.monotonic() < end, owner.server.log
        time.sleep(0.05)
    return found
