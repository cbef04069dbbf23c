"""Pin devices that a fleet brings along, so that it moves here and no device is touched.

There is no proof of possession in a list: the owner's word stands for it, once, and the gateway then lets in whoever
has the pinned key and a certificate of a trusted device CA. A device that is known already is left as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError
from ownroot.pki.encoding import (
    certificate_der,
    parse_certificate,
    parse_ec_public_key,
    spki_der,
)
from ownroot.pki.names import parse_device_uuid
from ownroot.pki.requests import KeyPolicy
from ownroot.services.authority import Principal
from ownroot.services.device_conflicts import uuid_taken
from ownroot.services.device_rows import Credential, add_row, make_described_row, require_free
from ownroot.services.effective_pki import effective_pki
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind
from ownroot.trust.device_identity import GatewayTrust, Identified, NotTrusted, identify


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDevice:
    """One device of the list, unverified: its certificate as PEM, or its public key.

    `name` None means: the uuid. `production` counts where there is no certificate to say it.
    """

    uuid: str
    certificate: str | None = None
    public_key: str | None = None
    name: str | None = None
    group: str | None = None
    production: bool = False


class ImportOutcome(StrEnum):
    """PINNED: known from now on. KNOWN: it was, with this very key. REFUSED: nothing was stored."""

    PINNED = "pinned"
    KNOWN = "known"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ImportedDevice:
    """What became of one device; `error` of a refused one."""

    uuid: str
    outcome: ImportOutcome
    error: OwnrootError | None = None


def import_devices(
    uow: UnitOfWork, listed: Sequence[ListedDevice], *, by: Principal, now: datetime
) -> list[ImportedDevice]:
    """Pin every device of the list that can be; run it in a write transaction.

    Returns: one result for each, in their order. A refusal is one of these errors and concerns its device alone:
        InvalidInputError: `device-uuid-invalid`, `import-no-key`, `import-weak-key`, `uuid-mismatch`, the PEM codes,
            the codes of `trust.device_identity` for a certificate, `name-invalid`, `group-unknown`.
        ConflictError: `device-uuid-taken`, `device-uuid-case-twin`, `device-name-taken`, `device-key-taken`,
            `device-denied`.
    """
    pki, _ = effective_pki(uow, by.factory)
    trust = GatewayTrust(by.factory.name, pki.device_cas, revoked_cas=pki.revoked_cas)
    return [_import(uow, device, trust, by=by, now=now) for device in listed]


def _import(
    uow: UnitOfWork, listed: ListedDevice, trust: GatewayTrust, *, by: Principal, now: datetime
) -> ImportedDevice:
    try:
        credential = _credential(listed, trust, now)
        wanted = make_described_row(uow, credential, name=listed.name, group=listed.group, by=by, now=now)
        known = uow.devices.find(by.factory.id, wanted.uuid)
        if known is not None and known.spki_sha256 == wanted.spki_sha256:
            return ImportedDevice(listed.uuid, ImportOutcome.KNOWN)
        if known is not None:
            raise uuid_taken(known, uow.accounts.find_user(known.owner))
        require_free(uow, wanted)
        add_row(uow, wanted)
    except (InvalidInputError, ConflictError) as error:
        return ImportedDevice(listed.uuid, ImportOutcome.REFUSED, error)
    uow.held_devices.release(wanted.factory_id, wanted.uuid)  # the owner's list says more than a review would
    details = {"name": wanted.name, "key-sha256": wanted.spki_sha256.hex()}
    uow.audit.append(by.event(EventKind.DEVICE_IMPORTED, wanted.uuid, details, at=now))
    uow.changes.announce(ChangeKind.DEVICE, wanted.factory_id, wanted.uuid)
    return ImportedDevice(listed.uuid, ImportOutcome.PINNED)


def _credential(listed: ListedDevice, trust: GatewayTrust, now: datetime) -> Credential:
    uuid = parse_device_uuid(listed.uuid)
    if listed.certificate is not None:
        identified = _identify(listed.certificate, trust, now)
        if identified.uuid != uuid:
            raise InvalidInputError("uuid-mismatch", f"The certificate is that of device {identified.uuid}.")
        return Credential.of(identified)
    if listed.public_key is None:
        raise InvalidInputError("import-no-key", "A device needs a certificate or a public key.")
    return Credential(uuid=uuid, spki_der=_parse_key(listed.public_key), production=listed.production)


def _identify(pem: str, trust: GatewayTrust, now: datetime) -> Identified:
    identified = identify(certificate_der(parse_certificate(pem)), trust, now)
    if isinstance(identified, NotTrusted):
        raise InvalidInputError(identified.code, identified.detail)
    return identified


def _parse_key(pem: str) -> bytes:
    key = parse_ec_public_key(pem)
    if not KeyPolicy().accepts(key):
        raise InvalidInputError("import-weak-key", "The public key is not accepted; use EC P-256, P-384 or P-521.")
    return spki_der(key)
