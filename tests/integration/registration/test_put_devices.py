"""`PUT /ota/devices/`: a device that a local CA registered is announced (registration.md §9), over a real socket."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import httpx2
import pytest

from ownroot.clock import utc_now
from ownroot.services.scopes import Scope
from tests.support.api_owner import DISABLE, RENEW, REVOKE, ApiOwner, accept
from tests.support.certificates import CLIENT_AUTH, SERVER_AUTH, Pair, device_certificate, factory_root, make_key
from tests.support.device_csrs import device_csr
from tests.support.world import RunningServer, running_server

PATH = "/ota/devices/"


@dataclass(slots=True)
class Floor:
    """A factory floor with a local CA of a taken-over factory."""

    owner: ApiOwner
    ca: Pair
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def uuid(self) -> str:
        return f"board-{next(self.numbers)}"

    def sign(self, uuid: str, **odd: Any) -> Pair:
        """Sign a device's certificate."""
        ca, factory = odd.pop("ca", self.ca), odd.pop("factory", self.owner.server.factory)
        return device_certificate(ca, uuid, factory, now=utc_now(), **odd)

    def announce(self, certificate: Pair | str, *, token: str = "", **more: Any) -> httpx2.Response:
        pem = certificate if isinstance(certificate, str) else certificate.pem
        return self.owner.server.call("PUT", PATH, document={"client.pem": pem, **more}, token=token)

    def devices(self) -> list[Any]:
        return list(self.owner.server.call("GET", f"{PATH}?limit=1000").json()["devices"])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("announcing"), part="api", factory="acme") as running:
        yield running


@pytest.fixture(scope="module")
def floor(base: RunningServer) -> Floor:
    owner = ApiOwner(base)
    owner.take_over()
    return Floor(owner, owner.add_local_ca())


def test_announced_device_is_known_with_name_group_owner_and_mark(floor: Floor) -> None:
    server = floor.owner.server
    made = server.call("POST", "/ota/factories/acme/device-groups/", document={"name": "edge"})
    assert made.status_code == 201
    uuid = floor.uuid()
    answer = floor.announce(floor.sign(uuid, production=True), name="first", group="edge")
    assert answer.status_code == 201
    device = answer.json()
    wanted = {"uuid": uuid, "name": "first", "device-group": "edge", "is-prod": True, "owner": server.owner_id}
    assert {member: device[member] for member in wanted} == wanted


def test_repeated_announcement_changes_nothing_and_says_so(floor: Floor) -> None:
    certificate = floor.sign(floor.uuid())
    first, again = floor.announce(certificate, name="its-name"), floor.announce(certificate, name="another-name")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


def test_same_key_under_another_ca_is_the_same_device(floor: Floor) -> None:
    uuid, key, other = floor.uuid(), make_key(), floor.owner.add_local_ca()
    assert floor.announce(floor.sign(uuid, key=key)).status_code == 201
    assert floor.announce(floor.sign(uuid, key=key, ca=other)).status_code == 200
    serial = other.certificate.serial_number
    listed = floor.owner.server.call("GET", f"{PATH}?ca_serial={serial}").json()
    assert [device["uuid"] for device in listed["devices"]] == [uuid]


def _broken(floor: Floor) -> dict[str, tuple[Any, int, str]]:
    sign, day = floor.sign, timedelta(days=1)
    foreign = ApiOwner.__new__(ApiOwner)
    foreign.server, foreign.root = floor.owner.server, factory_root("acme", now=utc_now())
    return {
        "another CA of the same subject": (sign(floor.uuid(), ca=foreign.make_local_ca()), 400, "device-ca-unknown"),
        "another factory": (sign(floor.uuid(), factory="other"), 403, "wrong-factory"),
        "no clientAuth": (sign(floor.uuid(), extended_key_usages=(SERVER_AUTH,)), 400, ""),
        "marked as a CA": (sign(floor.uuid(), is_ca=True, key_usage=("key_cert_sign",)), 400, ""),
        "expired": (sign(floor.uuid(), not_before=utc_now() - 9 * day, not_after=utc_now() - day), 400, ""),
        "from the future": (sign(floor.uuid(), not_before=utc_now() + day), 400, ""),
        "a uuid with a slash": (sign("../etc/passwd"), 400, ""),
        "the CA itself": (floor.ca, 400, "client-is-device-ca"),
        "two certificates": (sign(floor.uuid()).pem + floor.ca.pem, 400, "pem-too-many"),
        "no certificate": ("nothing", 400, "pem-missing"),
        "cut in half": (sign(floor.uuid()).pem[:200], 400, ""),
    }


def test_what_is_not_a_devices_certificate_is_refused_by_rule_and_leaves_nothing(floor: Floor) -> None:
    before = floor.devices()
    for what, (certificate, status, code) in _broken(floor).items():
        answer = floor.announce(certificate)
        assert answer.status_code == status, (what, answer.text)
        assert answer.json()["message"], what
        assert not code or answer.json()["code"] == code, (what, answer.text)
    assert floor.announce(floor.sign(floor.uuid(), extended_key_usages=(CLIENT_AUTH,))).status_code == 201
    assert len(floor.devices()) == len(before) + 1


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"group": "nobody-made-it"}, 400, "group-unknown"),
        ({"name": "a/b"}, 400, "name-invalid"),
        ({"name": 7}, 400, "bad-field"),
        ({"client.pem": None}, 400, "bad-field"),
        ({"name": "", "group": ""}, 201, ""),
    ],
)
def test_odd_members_are_named(floor: Floor, more: dict[str, Any], status: int, code: str) -> None:
    answer = floor.announce(floor.sign(floor.uuid()), **more)
    assert (answer.status_code, answer.json().get("code", "")) == (status, code)


def test_other_key_other_case_and_names_in_use_are_conflicts(floor: Floor) -> None:
    uuid = floor.uuid()
    assert floor.announce(floor.sign(uuid), name=f"name-of-{uuid}").status_code == 201
    key = make_key()
    other = floor.uuid()
    assert floor.announce(floor.sign(other, key=key)).status_code == 201
    refused = {
        "device-uuid-taken": floor.announce(floor.sign(uuid)),
        "device-uuid-case-twin": floor.announce(floor.sign(uuid.upper())),
        "device-name-taken": floor.announce(floor.sign(floor.uuid()), name=f"name-of-{uuid}"),
        "device-key-taken": floor.announce(floor.sign(floor.uuid(), key=key)),
    }
    assert {code: answer.status_code for code, answer in refused.items()} == dict.fromkeys(refused, 409)
    assert {code: answer.json()["code"] for code, answer in refused.items()} == {code: code for code in refused}
    named_like_a_uuid = floor.announce(floor.sign(floor.uuid()), name=other)
    assert (named_like_a_uuid.status_code, named_like_a_uuid.json()["code"]) == (409, "device-name-taken")
    uuid_like_a_name = floor.announce(floor.sign(f"name-of-{uuid}"), name=floor.uuid())
    assert (uuid_like_a_name.status_code, uuid_like_a_name.json()["code"]) == (409, "device-uuid-is-name")


def test_deleted_device_stays_away_until_it_registers_through_the_api(floor: Floor) -> None:
    uuid, key, server = floor.uuid(), make_key(), floor.owner.server
    certificate = floor.sign(uuid, key=key)
    assert floor.announce(certificate).status_code == 201
    assert server.call("DELETE", f"{PATH}{uuid}/?factory=acme&by-uuid=1").status_code == 204
    refused = floor.announce(certificate)
    assert (refused.status_code, refused.json()["code"]) == (409, "device-denied")
    assert server.call("DELETE", f"/ota/factories/acme/denied-devices/{uuid}/").status_code == 204
    assert floor.announce(certificate).status_code == 201


def test_disabled_ca_admits_nobody_new_and_a_revoked_one_nobody(floor: Floor) -> None:
    owner, ca = floor.owner, floor.owner.add_local_ca()
    known = floor.sign(floor.uuid(), ca=ca)
    assert floor.announce(known).status_code == 201
    accept(owner.order(ca, reason=DISABLE))
    refused = floor.announce(floor.sign(floor.uuid(), ca=ca))
    assert (refused.status_code, refused.json()["code"]) == (403, "device-ca-disabled")
    assert floor.announce(known).status_code == 200
    accept(owner.order(ca, reason=RENEW))
    assert floor.announce(floor.sign(floor.uuid(), ca=ca)).status_code == 201
    accept(owner.order(ca, reason=REVOKE))
    refused = floor.announce(floor.sign(floor.uuid(), ca=ca))
    assert (refused.status_code, refused.json()["code"]) == (400, "device-ca-revoked")


def test_announcing_needs_the_right_to_create_devices(floor: Floor) -> None:
    certificate, server = floor.sign(floor.uuid()), floor.owner.server
    reader = server.create_token(Scope.DEVICES_READ_UPDATE.value, user="reader")
    assert floor.announce(certificate, token=reader).status_code == 403
    station = server.create_token(Scope.DEVICES_CREATE.value, user="station")
    assert floor.announce(certificate, token=station).status_code == 201


def test_device_known_from_before_the_take_over_belongs_to_whom_the_owners_ca_vouches_for(base: RunningServer) -> None:
    server = base.for_factory("moving")
    uuid = "from-before"
    for name, called in ((uuid, uuid), ("neighbour", "next-door")):
        csr = device_csr(name, factory="moving")
        registered = server.call("POST", PATH, document={"csr": csr, "hardware-id": "h", "name": called})
        assert registered.status_code == 201
    owner = ApiOwner(server)
    owner.take_over()
    moved = Floor(owner, owner.add_local_ca())
    before = server.call("GET", f"{PATH}{uuid}/?factory=moving").json()
    refused = moved.announce(moved.sign(uuid), name="neighbour")
    assert (refused.status_code, refused.json()["code"]) == (409, "device-name-taken")
    assert server.call("GET", f"{PATH}{uuid}/?factory=moving").json() == before
    answer = moved.announce(moved.sign(uuid), name="renamed")
    assert (answer.status_code, answer.json()["name"]) == (201, "renamed")
    devices = server.call("GET", f"{PATH}?factory=moving").json()["devices"]
    assert {device["uuid"]: device["name"] for device in devices} == {uuid: "renamed", "neighbour": "next-door"}
