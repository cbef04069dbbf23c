"""A backend without its network edge: a real database, a real shared PKI, one factory and its owner."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509

from ownroot.audit.events import AuditEvent, EventKind
from ownroot.errors import OwnrootError
from ownroot.keystore.sealing import Sealer
from ownroot.pki.issuance import plan_device_ca, plan_factory_root, sign_plan
from ownroot.pki.names import backend_key_subject
from ownroot.pki.serials import new_serial
from ownroot.pki.signer import PrivateKey, generate_key
from ownroot.services.authority import Principal
from ownroot.services.backend_keys import Keyring
from ownroot.services.create_factory import FactoryOrder, create_factory
from ownroot.services.device_reservations import Registered
from ownroot.services.issuers import OnlineIssuers
from ownroot.services.manage_devices import DeviceRef, delete_device
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.records import ChangeKind, Device, Factory, Issuance, SealedKey, SealedKeyPurpose
from ownroot.services.recover_issuances import recover_issuances
from ownroot.services.register_device import Issuing, Registration, RegistrationPolicy, register_device
from ownroot.services.scopes import Role, Scope
from ownroot.services.shared_pki import ensure_shared_pki
from ownroot.services.steps import Steps, run_blocking
from ownroot.storage import open_database
from ownroot.trust.state import DeviceCa, FactoryPki, Holder, Standing
from tests.support.device_csrs import FACTORY, UUID, device_csr
from tests.support.stepping import Stepper

T = TypeVar("T")

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def new_keyring() -> Keyring:
    """Return a keyring for all purposes under throw-away sealing keys."""
    return Keyring({purpose: Sealer(hashlib.sha256(purpose.value.encode()).digest()) for purpose in SealedKeyPurpose})


@dataclass(frozen=True, slots=True)
class RegistrationWorld:
    """What a registration needs, wired as the server wires it."""

    database: Database
    keyring: Keyring
    issuing: Issuing
    owner: Principal

    @property
    def factory(self) -> Factory:
        return self.owner.factory

    def steps(
        self,
        csr: str | None = None,
        *,
        uuid: str | None = None,
        name: str | None = None,
        group: str | None = None,
        now: datetime = NOW,
        policy: RegistrationPolicy | None = None,
    ) -> Steps[Registered]:
        """Return a registration that has not begun; equal arguments are equal requests."""
        text = csr or device_csr()
        digest = hashlib.sha256(repr((text, uuid, name, group)).encode()).digest()
        registration = Registration(csr=text, uuid=uuid, name=name, group=group, request_sha256=digest)
        issuing = self.issuing if policy is None else replace(self.issuing, policy=policy)
        return register_device(registration, by=self.owner, issuing=issuing, now=now)

    def register(self, csr: str | None = None, *, name: str | None = None, now: datetime = NOW) -> Registered:
        """Register a device to the end."""
        return run_blocking(self.steps(csr, name=name, now=now), self.database)

    def begin(self, csr: str | None = None, *, now: datetime = NOW) -> Stepper[Registered]:
        """Register a device by hand: first commit = reservation, second = certificate."""
        return Stepper(self.steps(csr, now=now), self.database)

    def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Read from the database."""
        return self.database.read(work)

    def write(self, work: Callable[[UnitOfWork], T]) -> T:
        """Commit one work."""
        return self.database.write(work).result()

    def refusal(self, csr: str | None = None, **request: Any) -> OwnrootError:
        """Register a device to its refusal."""
        with pytest.raises(OwnrootError) as caught:
            run_blocking(self.steps(csr, **request), self.database)
        return caught.value

    def device(self, uuid: str = UUID) -> Device | None:
        """Return the row of a device."""
        return self.read(lambda uow: uow.devices.find(self.factory.id, uuid))

    def history(self, device: Device) -> list[Issuance]:
        """Return what was issued to a device's key, or is being issued."""
        return list(self.read(lambda uow: uow.issuances.history(device.factory_id, device.uuid, device.spki_sha256)))

    def open_intents(self) -> list[Issuance]:
        """Return the intents that are neither certificate nor void."""
        return list(self.read(lambda uow: uow.issuances.open_intents()))

    def events(self, kind: EventKind) -> list[AuditEvent]:
        """Return the factory's audit events of one kind."""
        return [event for event in self.read(lambda uow: uow.audit.list(self.factory.id)) if event.kind is kind]

    def delete(self, uuid: str = UUID) -> None:
        """Delete a device as its owner does."""
        ref = DeviceRef(uuid, is_uuid=True)
        self.write(lambda uow: delete_device(uow, ref, by=self.owner, now=NOW))

    def recover(self, *, alone: bool = True) -> None:
        """Do what a server does at its start, and from time to time, with the intents that requests left open."""
        self.write(lambda uow: recover_issuances(uow, alone=alone, now=NOW))

    def take_over(self, made: tuple[PrivateKey, SealedKey] | None = None) -> x509.Certificate:
        """Give the factory a root and an online CA of its own; returns the online CA's certificate.

        Args:
            made: the online CA's key; None makes one that is sealed.
        """
        root_key = generate_key()
        root_plan = plan_factory_root(self.factory.name, root_key.public_key(), now=NOW, serial=new_serial())
        root = sign_plan(root_plan, root_key)
        ca_key, sealed = made or self.keyring.make(SealedKeyPurpose.CA)
        subject = backend_key_subject(self.factory.name, self.factory.gateway_name)
        plan = plan_device_ca(subject, ca_key.public_key(), root, now=NOW, serial=new_serial())
        ca = sign_plan(plan, root_key)
        online = DeviceCa(ca, Holder.ONLINE, Standing.ENABLED, None, self.owner.user.polis_id, signs=True)

        def store(uow: UnitOfWork) -> None:
            uow.keys.add_active(self.factory.id, sealed)
            self._save(uow, FactoryPki(self.factory.name, root=root, device_cas=(online,)))

        self.write(store)
        return ca

    def set_standing(self, standing: Standing) -> None:
        """Disable or enable the factory's own device CAs."""

        def store(uow: UnitOfWork) -> None:
            pki = uow.pki.load(self.factory.id)
            cas = tuple(replace(ca, standing=standing) for ca in pki.device_cas)
            self._save(uow, replace(pki, device_cas=cas))

        self.write(store)

    def _save(self, uow: UnitOfWork, pki: FactoryPki) -> None:
        uow.pki.save(self.factory.id, pki, by=self.owner.user.polis_id, now=NOW)
        uow.changes.announce(ChangeKind.TRUST, self.factory.id)


@contextmanager
def registration_world(folder: Path, *, keyring: Keyring | None = None) -> Iterator[RegistrationWorld]:
    """Open a fresh database in `folder` with the shared PKI, the factory `acme` and its owner."""
    keys = keyring or new_keyring()
    database = open_database(folder / "ownroot.sqlite")
    try:
        run_blocking(ensure_shared_pki(keys, now=NOW), database)
        created = run_blocking(create_factory(FactoryOrder(FACTORY), keys, now=NOW), database)
        owner = Principal(created.owner, created.factory, Role.OWNER, frozenset(Scope), token_id=1)
        yield RegistrationWorld(database, keys, Issuing(OnlineIssuers(keys)), owner)
    finally:
        database.close()
