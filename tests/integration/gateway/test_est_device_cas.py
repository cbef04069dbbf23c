"""Who renews under which device CA (protocol: gateway.md §3.3, last column; §7.1, issuer)."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography import x509

from ownroot.clock import utc_now
from ownroot.pki.encoding import issuer_der, subject_der
from tests.support.api_owner import DISABLE, RENEW, REVOKE, ApiOwner, accept
from tests.support.certificates import Pair, device_ca, device_certificate, factory_root
from tests.support.enrolling import Enrolling, certificate_of, code_of, eventually, registered
from tests.support.world import RunningServer, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("est"), workers=1, factory=None) as running:
        yield running


@pytest.fixture
def owner(server: RunningServer, request: pytest.FixtureRequest) -> ApiOwner:
    """A factory of its own that has been taken over."""
    name = request.node.name.replace("test_", "").replace("_", "-")[:50].strip("-")
    made = ApiOwner(server.for_factory(name))
    made.take_over()
    return made


def visitor(owner: ApiOwner, ca: Pair, uuid: str = "visitor", **odd: object) -> Enrolling:
    """A device that a CA of the owner's signed."""
    identity = device_certificate(ca, uuid, owner.server.factory, now=utc_now(), **odd)  # type: ignore[arg-type]
    return at_gateway(owner, Enrolling(owner.server.gateway_address, identity))


def at_gateway(owner: ApiOwner, device: Enrolling) -> Enrolling:
    """The same device, calling the name of this factory."""
    device.server_name = owner.gateway_name
    return device


def known_device(owner: ApiOwner, uuid: str) -> Enrolling:
    """A device of the online CA, once the gateway knows that CA."""
    device = at_gateway(owner, registered(owner, uuid))
    eventually(lambda: device.get().status == 200)
    return device


def online_ca(owner: ApiOwner) -> x509.Certificate:
    return x509.load_pem_x509_certificate(owner.get()["ca-crt"].encode())


def authority(certificate: x509.Certificate) -> bytes | None:
    return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier


def test_a_device_of_a_local_ca_gets_its_next_certificate_from_the_online_ca(owner: ApiOwner) -> None:
    local = owner.add_local_ca()
    device = visitor(owner, local)
    eventually(lambda: device.get().status == 200)
    new = certificate_of(device.enrol())
    assert issuer_der(new) != subject_der(local.certificate)
    assert device.announce().status == 200
    assert at_gateway(owner, Enrolling(device.address, Pair(new, device.key))).get().status == 200


def test_first_contact_may_be_the_renewal_itself(owner: ApiOwner) -> None:
    device = visitor(owner, owner.add_local_ca())
    eventually(lambda: device.enrol().status == 200)
    assert device.get().status == 200


def test_a_known_device_of_a_disabled_ca_renews_and_a_new_one_does_not(owner: ApiOwner) -> None:
    local = owner.add_local_ca()
    known, new = visitor(owner, local), visitor(owner, local, "newcomer")
    eventually(lambda: known.get().status == 200)
    accept(owner.order(local, reason=DISABLE))
    eventually(lambda: code_of(new.enrol()) == (403, "device-ca-disabled"))
    assert known.enrol().status == 200
    accept(owner.order(local, reason=RENEW))
    eventually(lambda: new.enrol().status == 200)


def test_a_device_of_a_revoked_ca_does_not_renew(owner: ApiOwner) -> None:
    local = owner.add_local_ca()
    known = visitor(owner, local)
    eventually(lambda: known.get().status == 200)
    accept(owner.order(local, reason=REVOKE))
    # The desk may know of it before the gateway, which cuts the connection of a renewal when it hears.
    eventually(lambda: code_of(known.enrol()) == (403, "device-ca-revoked"))


def test_an_earlier_online_ca_vouches_and_the_new_one_signs(owner: ApiOwner) -> None:
    device = known_device(owner, "long-known")
    owner.replace_online_ca()
    new = certificate_of(device.enrol())
    assert device.identity is not None
    assert authority(new) != authority(device.identity.certificate)
    moved = at_gateway(owner, Enrolling(device.address, Pair(new, device.key)))
    assert device.announce().status == 200
    eventually(lambda: moved.get().status == 200)


def test_a_certificate_of_a_ca_that_was_disabled_since_is_not_repeated(owner: ApiOwner) -> None:
    """The answer to a repeated request comes from an enabled CA; that is how a fleet moves."""
    device = known_device(owner, "moves")
    first = certificate_of(device.enrol())
    assert certificate_of(device.enrol()) == first
    online = online_ca(owner)
    owner.replace_online_ca()
    accept(owner.order(online, reason=DISABLE))
    assert certificate_of(device.enrol()).serial_number != first.serial_number


def test_without_an_enabled_online_ca_a_device_is_told_to_come_again(owner: ApiOwner) -> None:
    device = known_device(owner, "waits")
    assert device.enrol().status == 200
    online = online_ca(owner)
    accept(owner.order(online, reason=DISABLE))
    reply = device.enrol()
    assert code_of(reply) == (503, "renewals-no-issuer")
    assert int(reply.headers["retry-after"]) > 0
    accept(owner.order(online, reason=RENEW))
    eventually(lambda: device.enrol().status == 200)


def test_strangers_do_not_renew(owner: ApiOwner) -> None:
    foreign = device_ca(factory_root(owner.server.factory), factory=owner.server.factory, now=utc_now())
    known_device(owner, "citizen")
    assert code_of(visitor(owner, foreign).enrol()) == (403, "device-ca-unknown")


def test_an_expired_certificate_does_not_renew_as_long_as_the_owner_allows_none(owner: ApiOwner) -> None:
    local = owner.add_local_ca(not_before=utc_now() - timedelta(days=90))
    dates = {"not_before": utc_now() - timedelta(days=60), "not_after": utc_now() - timedelta(days=2)}
    device = visitor(owner, local, **dates)
    eventually(lambda: code_of(device.get()) == (403, "device-expired"))
    assert code_of(device.enrol()) == (403, "recovery-not-allowed")
