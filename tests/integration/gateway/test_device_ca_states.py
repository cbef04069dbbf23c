"""What each state of a device CA means for its devices: the table of gateway.md §3.3, over real sockets.

The owner changes the state over the real API; both workers must act on it without a restart.
"""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import pytest
from cryptography import x509

from ownroot.clock import utc_now
from ownroot.pki.names import DeviceUuid
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind
from ownroot.storage import open_database
from tests.support.api_owner import DISABLE, RENEW, REVOKE, ApiOwner, accept, code_of
from tests.support.certificates import Pair, device_certificate
from tests.support.tls_device import Device, Reply, ask, is_closed_by_peer
from tests.support.world import running_server

WITHIN_SECONDS = 5.0
OK: Final = "200"


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiOwner]:
    with running_server(tmp_path_factory.mktemp("server"), workers=2) as server:
        owner = ApiOwner(server)
        owner.take_over()
        yield owner


@dataclass
class Site:
    """One device CA with a device it made that the gateway knows, and one that it does not know yet."""

    owner: ApiOwner
    ca: Pair
    known: Pair
    unknown: Pair

    def visit(self, identity: Pair) -> str:
        try:
            return verdict(device(self.owner, identity).get(self.owner.server.gateway_address))
        except (ConnectionError, ssl.SSLError):
            return "cut"  # the change came in the middle of the visit


def device(owner: ApiOwner, identity: Pair) -> Device:
    return Device(identity=identity, root=owner.root, server_name=owner.gateway_name)


def verdict(reply: Reply) -> str:
    """`200`, or the code of the refusal."""
    return OK if reply.status == 200 else reply.text.partition(":")[0] if reply.status == 403 else str(reply.status)


def eventually(expected: object, ask: Callable[[], object]) -> None:
    """Each worker learns of a change within a moment; wait until so many visits in a row say that both have."""
    deadline = time.monotonic() + WITHIN_SECONDS
    seen: list[object] = []
    while time.monotonic() < deadline and seen[-8:] != [expected] * 8:
        seen.append(ask())
    assert seen[-8:] == [expected] * 8


def a_site(owner: ApiOwner) -> Site:
    """Two device CAs can have one subject here, so only signatures tell them apart."""
    ca = owner.add_local_ca()
    name = f"site-{ca.certificate.serial_number:x}"[:40]
    known, unknown = (
        device_certificate(ca, f"{name}-{kind}", owner.server.factory, now=utc_now()) for kind in ("known", "new")
    )
    site = Site(owner, ca, known, unknown)
    eventually(OK, lambda: site.visit(known))
    return site


def ended_site(owner: ApiOwner) -> Site:
    """The API allows for clocks that differ, so a CA that ended a minute ago can still be added."""
    site = a_site(owner)
    now = utc_now()
    ended = owner.add_local_ca(not_before=now - timedelta(days=2), not_after=now - timedelta(minutes=1))
    again = [
        device_certificate(ended, uuid, owner.server.factory, now=now - timedelta(days=1), key=pair.key)
        for uuid, pair in ((common_name(site.known), site.known), (common_name(site.unknown), site.unknown))
    ]
    return Site(owner, ended, *again)


def earlier_online_site(owner: ApiOwner) -> Site:
    """Certificates the online CA signed before it was replaced; one of their devices is unknown by now."""
    number = utc_now().timestamp()
    known, unknown = (owner.register_pair(f"online-{number:.0f}-{kind}") for kind in ("known", "new"))
    forget(owner, common_name(unknown))
    owner.replace_online_ca()
    return Site(owner, owner.root, known, unknown)


def common_name(pair: Pair) -> str:
    return pair.certificate.subject.rfc4514_string().rpartition("CN=")[2].partition(",")[0]


def forget(owner: ApiOwner, uuid: str) -> None:
    """As if the device had been registered and its row lost; a deleted one would be denied."""

    def work(uow: UnitOfWork) -> None:
        factory = uow.factories.find(owner.server.factory)
        assert factory is not None
        uow.devices.delete(factory.id, uuid)
        uow.changes.announce(ChangeKind.DEVICE, factory.id, DeviceUuid(uuid))

    database = open_database(owner.server.data_dir / "ownroot.db")
    try:
        database.write(work).result(10)
    finally:
        database.close()


def commanded(*reasons: object) -> Callable[[ApiOwner], Site]:
    """A site whose CA is commanded about after its first device is known."""

    def make(owner: ApiOwner) -> Site:
        site = a_site(owner)
        for reason in reasons:
            accept(owner.order(site.ca, reason=reason))  # type: ignore[arg-type]  # reasons are ReasonFlags
        return site

    return make


#    state              how it comes about                 new uuid               known device
STATES = [
    pytest.param(commanded(), OK, OK, id="enabled"),
    pytest.param(commanded(DISABLE), "device-ca-disabled", OK, id="disabled"),
    pytest.param(commanded(DISABLE, DISABLE), "device-ca-disabled", OK, id="disabled twice"),
    pytest.param(commanded(REVOKE), "device-ca-revoked", "device-ca-revoked", id="revoked"),
    pytest.param(commanded(None), "device-ca-revoked", "device-ca-revoked", id="revoked without reason"),
    pytest.param(commanded(DISABLE, REVOKE), "device-ca-revoked", "device-ca-revoked", id="disabled, then revoked"),
    pytest.param(ended_site, "device-ca-out-of-date", "device-ca-out-of-date", id="past its own end"),
    pytest.param(commanded(DISABLE, RENEW), OK, OK, id="enabled again"),
    pytest.param(earlier_online_site, OK, OK, id="earlier online CA"),
]


@pytest.mark.parametrize(("state", "new", "known"), STATES)
def test_state_of_a_device_ca_decides_for_its_devices(
    owner: ApiOwner, state: Callable[[ApiOwner], Site], new: str, known: str
) -> None:
    site = state(owner)
    eventually(known, lambda: site.visit(site.known))
    eventually(new, lambda: site.visit(site.unknown))


def test_revocation_cuts_open_connections_of_both_workers_and_no_others(owner: ApiOwner) -> None:
    site, neighbour = a_site(owner), a_site(owner)
    with ExitStack() as stack:
        held, others = (
            [stack.enter_context(device(owner, s.known).connect(owner.server.gateway_address)) for _ in range(12)]
            for s in (site, neighbour)
        )
        assert [ask(c, Host=owner.gateway_name).status for c in (*held, *others)] == [200] * 24
        accept(owner.order(site.ca, reason=REVOKE))
        since = time.monotonic()
        assert all(is_closed_by_peer(connection) for connection in held)
        assert time.monotonic() - since < 1.0
        assert [ask(c, Host=owner.gateway_name).status for c in others] == [200] * 12


def test_disabling_leaves_open_connections_alone(owner: ApiOwner) -> None:
    site = a_site(owner)
    with device(owner, site.known).connect(owner.server.gateway_address) as held:
        assert ask(held, Host=owner.gateway_name).status == 200
        accept(owner.order(site.ca, reason=DISABLE))
        eventually("device-ca-disabled", lambda: site.visit(site.unknown))
        assert ask(held, Host=owner.gateway_name).status == 200


def test_a_device_that_never_asked_is_cut_too(owner: ApiOwner) -> None:
    site = a_site(owner)
    with device(owner, site.known).connect(owner.server.gateway_address) as silent:
        accept(owner.order(site.ca, reason=REVOKE))
        assert is_closed_by_peer(silent)


def test_a_revoked_ca_that_is_brought_back_serves_its_devices_again(owner: ApiOwner) -> None:
    site = a_site(owner)
    accept(owner.order(site.ca, reason=REVOKE))
    eventually("device-ca-revoked", lambda: site.visit(site.known))

    whole_list = owner.get()["ca-crt"] + site.ca.pem
    assert code_of(owner.patch(ca_crt=whole_list)) == (400, "device-ca-revoked")
    accept(owner.patch(ca_crt=whole_list, ca_revoke_crl=owner.command({site.ca.certificate.serial_number: RENEW})))
    eventually(OK, lambda: site.visit(site.known))
    eventually(OK, lambda: site.visit(site.unknown))


def test_a_disabled_online_ca_registers_nothing_until_it_is_enabled(owner: ApiOwner) -> None:
    online = online_ca(owner)
    accept(owner.order(online, reason=DISABLE))
    answer = owner.register("kept-out")
    assert code_of(answer) == (403, "online-ca-disabled")
    assert "ownroot keys ca" in answer.json()["message"]
    accept(owner.order(online, reason=RENEW))
    accept(owner.register("let-in"))


def test_a_revoked_online_ca_registers_nothing_until_there_is_another(owner: ApiOwner) -> None:
    accept(owner.order(online_ca(owner), reason=REVOKE))
    answer = owner.register("too-late")
    assert code_of(answer) == (403, "no-online-ca")
    assert "ownroot keys ca add-device-ca --online-ca" in answer.json()["message"]
    owner.replace_online_ca()
    accept(owner.register("in-time"))


def online_ca(owner: ApiOwner) -> Pair:
    """The online CA in use: the newest in the list that is not local."""
    listed = x509.load_pem_x509_certificates(owner.get()["ca-crt"].encode())
    online = [c for c in listed if not common_name(Pair(c, owner.root.key)).startswith("fio-")]
    return Pair(online[-1], owner.root.key)
