"""How a factory's device CAs and devices stand, for the customer's own API; signed with the gateway's TLS key.

A caller begins with a snapshot, page by page: known devices first, then denied uuids. Pages may be of different
generations, so the snapshot counts as being of the first one's, and what came since then follows as changes. From then
on only changes are sent, as long as the change feed remembers them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import ConflictError, InvalidInputError, KeyStoreError
from ownroot.pki.encoding import spki_sha256
from ownroot.pki.names import DeviceUuid
from ownroot.pki.signer import signing_hash
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import DevicePin, Factory, SealedKey
from ownroot.trust.state import FactoryPki

PAGE_DEVICES: Final = 5_000
# More changes than this cost more than a snapshot's pages, each of which is small.
MAX_CHANGES: Final = 10_000
_KNOWN, _DENIED = "known/", "denied/"


class DeviceState(StrEnum):
    """What the store says about a uuid."""

    KNOWN = "known"
    DENIED = "denied"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One uuid; `pin` for known ones alone."""

    uuid: DeviceUuid
    state: DeviceState
    pin: DevicePin | None = None


@dataclass(frozen=True, slots=True)
class CaStatus:
    """One device CA, and since when it is revoked."""

    certificate: x509.Certificate
    standing: Literal["enabled", "disabled", "revoked"]
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Signer:
    """The gateway's TLS certificate and its sealed key."""

    certificate: x509.Certificate
    key: SealedKey


@dataclass(frozen=True, slots=True)
class StatusPage:
    """One answer. `since` None: a page of a snapshot; `next` None: the last one."""

    device_cas: tuple[CaStatus, ...]
    signer: Signer
    generation: int
    devices: Sequence[DeviceStatus]
    since: int | None = None
    next: str | None = None


def read_status(uow: UnitOfWork, factory: Factory, *, since: int | None, after: str | None) -> StatusPage:
    """Read what came since a generation, or a page of the snapshot.

    Args:
        since: a generation that was answered; where its changes are forgotten the snapshot begins.
        after: `next` of the page before; not together with `since`.
    Raises:
        ConflictError: `pki-not-set-up`: the shared PKI has no root that an owner could pin.
        InvalidInputError: `status-cursor`.
        KeyStoreError: `key-missing`.
    """
    if since is not None and after is not None:
        raise _bad_cursor()
    pki = uow.pki.load(factory.id)
    cas, signer, generation = _cas(pki), _signer(uow, pki), uow.changes.generation()
    changed = None if since is None else _changed(uow, factory, since)
    if changed is not None:
        return StatusPage(cas, signer, generation, changed, since=since)
    devices, following = _page(uow, factory, after or _KNOWN)
    return StatusPage(cas, signer, generation, devices, next=following)


def sign_status(signer: Signer, octets: bytes, keyring: Keyring) -> bytes:
    """Sign with the gateway's key (docs/adr/0011); `octets` begin with the feed's own context.

    Raises:
        KeyStoreError: the key cannot be opened.
    """
    key = keyring.open(signer.key)
    return key.sign(octets, ec.ECDSA(signing_hash(key.public_key())))


def _cas(pki: FactoryPki) -> tuple[CaStatus, ...]:
    trusted = [CaStatus(ca.certificate, ca.standing.value) for ca in pki.device_cas]
    gone = [CaStatus(ca.certificate, "revoked", ca.revoked_at) for ca in pki.revoked_cas if ca.certificate is not None]
    return (*trusted, *gone)


def _signer(uow: UnitOfWork, pki: FactoryPki) -> Signer:
    if pki.gateway_tls is None:
        raise ConflictError(
            "pki-not-set-up",
            "The factory runs on the shared PKI; there is no root of its owner to verify a status feed by. "
            "Take it over first: ownroot keys ca create DIR",
        )
    key = uow.keys.find(spki_sha256(pki.gateway_tls.public_key()))
    if key is None:
        raise KeyStoreError("key-missing", "The private key of the gateway's TLS certificate is not stored.")
    return Signer(pki.gateway_tls, key)


def _changed(uow: UnitOfWork, factory: Factory, since: int) -> list[DeviceStatus] | None:
    """Return the devices that changed as they are now; None if that is not known any more."""
    changes = uow.changes.since(since)
    if changes is None:
        return None
    uuids = dict.fromkeys(c.uuid for c in changes if c.factory_id == factory.id and c.uuid is not None)
    return None if len(uuids) > MAX_CHANGES else [_status(uow, factory, uuid) for uuid in uuids]


def _status(uow: UnitOfWork, factory: Factory, uuid: DeviceUuid) -> DeviceStatus:
    if uow.devices.find_denied(factory.id, uuid) is not None:
        return DeviceStatus(uuid, DeviceState.DENIED)
    device = uow.devices.find(factory.id, uuid)
    if device is None:
        return DeviceStatus(uuid, DeviceState.GONE)
    is_quarantined = device.quarantined_at is not None
    return _known(DevicePin(uuid, device.spki_sha256, device.next_spki_sha256, is_quarantined))


def _known(pin: DevicePin) -> DeviceStatus:
    """A device in quarantine is welcome nowhere; the feed has no other word for that than denied."""
    return (
        DeviceStatus(pin.uuid, DeviceState.DENIED)
        if pin.is_quarantined
        else DeviceStatus(pin.uuid, DeviceState.KNOWN, pin)
    )


def _page(uow: UnitOfWork, factory: Factory, cursor: str) -> tuple[list[DeviceStatus], str | None]:
    """Return one page and where the next begins."""
    if cursor.startswith(_KNOWN):
        pins = uow.devices.pins(factory.id, after=cursor.removeprefix(_KNOWN), limit=PAGE_DEVICES)
        following = _KNOWN + pins[-1].uuid if len(pins) == PAGE_DEVICES else _DENIED
        return [_known(pin) for pin in pins], following
    if not cursor.startswith(_DENIED):
        raise _bad_cursor()
    uuids = uow.devices.denied_uuids(factory.id, after=cursor.removeprefix(_DENIED), limit=PAGE_DEVICES)
    denied = [DeviceStatus(uuid, DeviceState.DENIED) for uuid in uuids]
    return denied, _DENIED + uuids[-1] if len(uuids) == PAGE_DEVICES else None


def _bad_cursor() -> InvalidInputError:
    return InvalidInputError(
        "status-cursor", "Ask with `since` (a generation) or with `after` (the `next` of the page before), not both."
    )
