"""Certificate renewal over real handshakes, signed by a real server (protocol: gateway.md §7.1)."""

from collections.abc import Iterator

import pytest

from tests.support.api_owner import ApiOwner
from tests.support.enrolling import Enrolling, code_of
from tests.support.world import running_server


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiOwner]:
    with running_server(tmp_path_factory.mktemp("est"), workers=1) as server:
        yield ApiOwner(server)


def device(owner: ApiOwner, uuid: str) -> Enrolling:
    return Enrolling(owner.server.gateway_address, owner.register_pair(uuid))


def test_a_device_renews_and_is_promoted_when_it_comes_with_the_new_key(owner: ApiOwner) -> None:
    old = device(owner, "life")
    new = old.renewed()
    assert code_of(new.get()) == (403, "device-key-mismatch")
    assert old.announce().status == 200
    assert old.get().status == 200
    assert new.get().status == 200
    assert code_of(old.get()) == (403, "device-key-replaced")
