"""What is said about a registered device, and under which id: equal at every attempt, so that a receiver can tell.

Source: docs/registration-server.md (webhook).
"""

import msgspec
from cryptography import x509

from ownroot.pki.encoding import certificate_pem, certificate_sha256, spki_sha256
from ownroot.pki.names import read_subject
from ownroot.registration.hooks import DeviceRegistered
from ownroot.registration.outbox import Due
from ownroot.registration.times import parse_time, time_text

DEVICE_REGISTERED = "device.registered"


class AnnouncedDevice(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The device. `group` is null when it has none; `key_sha256` is over the SubjectPublicKeyInfo, in hex."""

    uuid: str
    name: str
    group: str | None
    hardware_id: str
    production: bool
    key_sha256: str


class AnnouncedCertificate(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Its certificate. `serial` is decimal, `sha256` the fingerprint in hex, times are UTC."""

    serial: str
    not_before: str
    not_after: str
    sha256: str
    pem: str


class WebhookDocument(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The body of the webhook."""

    id: str
    type: str
    at: str
    factory: str
    operator: str
    device: AnnouncedDevice
    certificate: AnnouncedCertificate


def event_id(serial: str) -> str:
    """Return the id of the event that a certificate was issued."""
    return f"registered-{serial}"


def webhook_document(due: Due, certificate: x509.Certificate, factory: str) -> WebhookDocument:
    """Put the body together."""
    return WebhookDocument(
        id=event_id(due.serial),
        type=DEVICE_REGISTERED,
        at=due.registered_at,
        factory=factory,
        operator=due.operator,
        device=AnnouncedDevice(
            uuid=due.uuid,
            name=due.name,
            group=due.group,
            hardware_id=due.hardware_id,
            production=read_subject(certificate.subject).is_production,
            key_sha256=spki_sha256(certificate.public_key()).hex(),
        ),
        certificate=AnnouncedCertificate(
            serial=due.serial,
            not_before=time_text(certificate.not_valid_before_utc),
            not_after=time_text(certificate.not_valid_after_utc),
            sha256=certificate_sha256(certificate).hex(),
            pem=certificate_pem(certificate),
        ),
    )


def device_registered(due: Due, certificate: x509.Certificate) -> DeviceRegistered:
    """Say the same to a hook."""
    subject = read_subject(certificate.subject)
    return DeviceRegistered(
        event_id=event_id(due.serial),
        uuid=due.uuid,
        name=due.name,
        hardware_id=due.hardware_id,
        factory=subject.organizational_units[0],
        group=due.group,
        is_production=subject.is_production,
        serial=due.serial,
        certificate_pem=certificate_pem(certificate),
        operator=due.operator,
        at=parse_time(due.registered_at),
    )
