"""A server without memory of some certificates: they are signed past its issuance log, as if undone by a restore."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ownroot.pki.encoding import certificate_der, load_certificate_der, spki_sha256
from ownroot.pki.issuance import plan_device, sign_plan
from ownroot.pki.requests import KeyPolicy, read_device_csr
from ownroot.pki.serials import new_serial
from ownroot.pki.signer import PrivateKey
from ownroot.services.authorize_device import (
    Admitted,
    Caller,
    Denied,
    NeedsWrite,
    find_standing,
    identify_caller,
    settle_standing,
)
from ownroot.services.read_gateway_trust import DeviceCertificatePolicy, read_trust
from ownroot.services.records import HeldDevice
from ownroot.services.review_held_devices import HeldKey, Reviewed, accept_held, refuse_held
from ownroot.trust.restores import RestoreWindow
from tests.support.device_csrs import UUID, device_csr, new_key
from tests.support.registering import NOW, RegistrationWorld

WINDOW = RestoreWindow(NOW - timedelta(days=2), NOW - timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Visitor:
    """A device with a certificate, as the gateway's services meet it."""

    world: RegistrationWorld
    uuid: str
    der: bytes
    spki_sha256: bytes

    @property
    def key(self) -> HeldKey:
        return HeldKey(self.uuid, self.spki_sha256)

    def caller(self, now: datetime = NOW) -> Caller:
        """Return who it is by the trust of this moment."""
        picture = self.world.read(lambda uow: read_trust(uow, DeviceCertificatePolicy()))
        found = identify_caller(self.der, picture.factories[self.world.factory.id], now=now)
        assert isinstance(found, Caller), found
        return found

    def looked_up(self, now: datetime = NOW) -> Admitted | Denied | NeedsWrite:
        """Return what reading alone says."""
        caller = self.caller(now)
        return self.world.read(lambda uow: find_standing(uow, caller, now=now))

    def visit(self, now: datetime = NOW) -> str:
        """Call at the gateway; returns `ok` or the code of the refusal."""
        answer = self.looked_up(now)
        if isinstance(answer, NeedsWrite):
            caller = self.caller(now)
            answer = self.world.write(lambda uow: settle_standing(uow, caller, now=now))
        return answer.code if isinstance(answer, Denied) else "ok"

    def entries(self) -> list[HeldDevice]:
        """Return what is stored of its uuid."""
        return list(self.world.read(lambda uow: uow.held_devices.of_uuid(self.world.factory.id, self.uuid)))


def forgotten(world: RegistrationWorld, uuid: str = UUID, key: PrivateKey | None = None, **csr: Any) -> Visitor:
    """Make a device whose certificate the online CA signed and the log does not hold."""
    text = device_csr(uuid, key=key or new_key(), **csr)
    issuer = world.read(lambda uow: world.issuing.issuers.current(uow, world.factory)).issuer
    request = read_device_csr(text, policy=KeyPolicy())
    plan = plan_device(request, issuer.terms, now=NOW, serial=new_serial(), validity=timedelta(days=99))
    return visitor(world, certificate_der(sign_plan(plan, issuer.key)), uuid)


def visitor(world: RegistrationWorld, der: bytes, uuid: str = UUID) -> Visitor:
    """Make a visitor of a certificate."""
    return Visitor(world, uuid, der, spki_sha256(load_certificate_der(der).public_key()))


def note_restore(world: RegistrationWorld) -> None:
    """Put a restore on record."""
    world.write(lambda uow: uow.restores.add(WINDOW))


def accept(world: RegistrationWorld, *keys: HeldKey) -> list[str]:
    """Accept as the owner; returns `ok` or a code per key."""
    return _codes(world.write(lambda uow: accept_held(uow, keys, by=world.owner, now=NOW)))


def refuse(world: RegistrationWorld, *keys: HeldKey) -> list[str]:
    """Refuse as the owner; returns `ok` or a code per key."""
    return _codes(world.write(lambda uow: refuse_held(uow, keys, by=world.owner, now=NOW)))


def _codes(reviewed: Any) -> list[str]:
    outcomes: list[Reviewed] = list(reviewed)
    return ["ok" if one.hindrance is None else one.hindrance.code for one in outcomes]
