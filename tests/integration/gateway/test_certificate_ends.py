"""The end of the certificate that a device came with is stored, for certificates nobody told the server of before."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ownroot.clock import utc_now
from tests.support.api_owner import ApiOwner
from tests.support.certificates import device_ca
from tests.support.enrolling import Enrolling, eventually, registered
from tests.support.gateway_world import GatewayWorld, gateway_world
from tests.support.tls_device import Device
from tests.support.world import running_server


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    folder: Path = tmp_path_factory.mktemp("ends")
    with gateway_world(folder) as world:
        yield world


def test_first_contact_of_a_local_cas_device_stores_when_its_certificate_ends(world: GatewayWorld) -> None:
    device = world.device("local", not_after=utc_now() + timedelta(days=90))
    assert Device(identity=device).get(world.address).status == 200
    stored = world.stored("local")
    assert stored is not None
    assert stored.not_after == device.certificate.not_valid_after_utc


def test_the_next_certificate_for_the_same_key_replaces_the_end(world: GatewayWorld) -> None:
    device = world.device("same-key", not_after=utc_now() + timedelta(days=90))
    later = world.device("same-key", key=device.key, not_after=utc_now() + timedelta(days=400))
    assert Device(identity=device).get(world.address).status == 200
    assert Device(identity=later).get(world.address).status == 200
    world.await_(lambda: end_of(world, "same-key") == later.certificate.not_valid_after_utc)


def test_a_certificate_that_is_refused_tells_nothing(world: GatewayWorld) -> None:
    device = world.device("honest", not_after=utc_now() + timedelta(days=90))
    forged = world.device("honest", ca=device_ca(world.acme.root), not_after=utc_now() + timedelta(days=400))
    assert Device(identity=device).get(world.address).status == 200
    assert Device(identity=forged).get(world.address).status == 403
    # A visit after it is stored; so would be what the refused one had told.
    assert Device(identity=device).get(world.address, x_ats_tags="after").status == 200
    world.await_(lambda: tags_of(world, "honest") == "after")
    assert end_of(world, "honest") == device.certificate.not_valid_after_utc


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[ApiOwner]:
    with running_server(tmp_path, workers=1) as server:
        yield ApiOwner(server)


def test_a_renewed_certificate_counts_once_it_is_shown_and_one_for_a_key_to_come_not_before(owner: ApiOwner) -> None:
    old = registered(owner, "renews")
    assert weeks(owner) == []
    renewed = Enrolling(old.address, old.identity, key=old.identity.key).renewed()
    # Visits are stored in batches: what the request for it had shown may be stored after it, until the next visit.
    assert renewed.get().status == 200
    ends = [week_of(renewed.identity.certificate)]
    eventually(lambda: weeks(owner) == ends, 30)

    other = registered(owner, "replaces")
    new = other.renewed()
    assert weeks(owner) == ends
    assert other.announce().status == 200
    assert new.get().status == 200
    eventually(lambda: sum(devices for _, devices in weeks(owner)) == 2, 30)


def weeks(owner: ApiOwner) -> list[tuple[str, int]]:
    """What ends within ten years: renewed certificates do, first ones do not."""
    answer = owner.server.call("GET", f"/ota/factories/{owner.server.factory}/forecast/?weeks=520").json()
    return [(week["begins"], week["devices"]) for ca in answer["device-cas"] for week in ca["weeks"]]


def week_of(certificate: x509.Certificate) -> tuple[str, int]:
    end = certificate.not_valid_after_utc.date()
    return (end - timedelta(days=end.weekday())).isoformat(), 1


def end_of(world: GatewayWorld, uuid: str) -> object:
    stored = world.stored(uuid)
    return stored and stored.not_after


def tags_of(world: GatewayWorld, uuid: str) -> object:
    stored = world.stored(uuid)
    return stored and stored.tags
