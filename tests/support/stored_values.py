"""Values to store, right by default; a test changes one thing."""

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

from ownroot.audit.events import AuditEvent, EventKind
from ownroot.pki.names import DeviceUuid, FactoryName
from ownroot.services.ports import Database
from ownroot.services.records import (
    CheckIn,
    DeniedDevice,
    Device,
    DeviceGroup,
    Factory,
    HeldDevice,
    IssuanceIntent,
    Refusal,
    SealedKey,
    SealedKeyPurpose,
    User,
)

NOW: Final = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
OWNER: Final = User("0123456789abcdef01234567", "ada")


def sha256(text: str) -> bytes:
    """A digest that stands for whatever the text names."""
    return hashlib.sha256(text.encode()).digest()


def make_factory(database: Database, name: str = "acme", *, is_default: bool = False) -> Factory:
    """Store a factory with the gateway name `<name>.gateway.test`."""
    return database.write(
        lambda uow: uow.factories.add(
            FactoryName(name), gateway_name=f"{name}.gateway.test", is_default=is_default, now=NOW
        )
    ).result()


def make_group(database: Database, factory: Factory, name: str = "edge") -> DeviceGroup:
    """Store a device group."""
    return database.write(
        lambda uow: uow.groups.add(factory.id, name, description="", by=OWNER.polis_id, now=NOW)
    ).result()


def a_device(factory: Factory, uuid: str = "dev-1", **changes: Any) -> Device:
    """A registered device, named like its uuid, with a key of its own."""
    values: dict[str, Any] = {
        "factory_id": factory.id,
        "uuid": DeviceUuid(uuid),
        "name": uuid,
        "owner": OWNER.polis_id,
        "spki_der": b"key of " + uuid.encode(),
        "spki_sha256": sha256(uuid),
        "production": False,
        "issuer_sha256": sha256("issuer"),
        "issuer_serial": 2**160 - 1,
        "created_at": NOW,
    }
    return Device(**(values | changes))


def a_denial(factory: Factory, uuid: str = "dev-1", **changes: Any) -> DeniedDevice:
    """An entry of the deny list."""
    values: dict[str, Any] = {
        "factory_id": factory.id,
        "uuid": DeviceUuid(uuid),
        "name": uuid,
        "owner": OWNER.polis_id,
        "spki_sha256": sha256(uuid),
        "denied_at": NOW,
        "denied_by": OWNER.polis_id,
    }
    return DeniedDevice(**(values | changes))


def a_held_device(factory: Factory, uuid: str = "dev-1", **changes: Any) -> HeldDevice:
    """A device that waits for review, with a key of its own."""
    values: dict[str, Any] = {
        "factory_id": factory.id,
        "uuid": DeviceUuid(uuid),
        "spki_sha256": sha256(uuid),
        "certificate_der": b"certificate of " + uuid.encode(),
        "issuer_serial": 2**160 - 1,
        "owner": OWNER.polis_id,
        "first_at": NOW,
        "last_at": NOW,
    }
    return HeldDevice(**(values | changes))


def a_visit(factory: Factory, uuid: str = "dev-1", **changes: Any) -> CheckIn:
    """A check-in without any header."""
    values: dict[str, Any] = {"factory_id": factory.id, "uuid": DeviceUuid(uuid), "seen_at": NOW}
    return CheckIn(**(values | changes))


def an_intent(factory: Factory | None, uuid: str = "dev-1", **changes: Any) -> IssuanceIntent:
    """The intent to sign a device certificate; its serial follows from the uuid."""
    values: dict[str, Any] = {
        "factory_id": None if factory is None else factory.id,
        "issuer_sha256": sha256("issuer"),
        "serial": int.from_bytes(sha256(uuid)[:20], "big"),
        "profile": "device",
        "subject_key": uuid,
        "spki_sha256": sha256(uuid),
        "request_sha256": sha256("request"),
        "actor": OWNER.polis_id,
        "recorded_at": NOW,
    }
    return IssuanceIntent(**(values | changes))


def a_refusal(factory: Factory, **changes: Any) -> Refusal:
    """A stranger at the gateway, once."""
    values: dict[str, Any] = {
        "factory_id": factory.id,
        "code": "issuer-unknown",
        "detail": "No device CA of this factory signed the certificate.",
        "subject": "dev-1",
        "certificate_sha256": sha256("certificate"),
        "peer": "192.0.2.1",
        "count": 1,
        "first_at": NOW,
        "last_at": NOW,
    }
    return Refusal(**(values | changes))


def a_sealed_key(name: str = "key", purpose: SealedKeyPurpose = SealedKeyPurpose.CA) -> SealedKey:
    """A sealed key; nothing opens it."""
    return SealedKey(sha256(name), purpose, b"sealed " + name.encode())


def an_event(factory: Factory | None, subject: str = "dev-1") -> AuditEvent:
    """An event of a factory, or of the server."""
    factory_id = None if factory is None else factory.id
    return AuditEvent(factory_id, NOW, OWNER.polis_id, EventKind.DEVICE_DELETED, subject, {"name": subject})
