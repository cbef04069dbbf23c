"""Who asks for a certificate, once everything about form and possession is verified.

Source: registration.md §4, §5.3.
"""

from dataclasses import dataclass
from datetime import datetime

from ownroot.errors import InvalidInputError
from ownroot.pki.names import parse_resource_name
from ownroot.pki.requests import DeviceCsr, KeyPolicy, read_device_csr
from ownroot.wire.registration import RegistrationRequest


@dataclass(frozen=True, slots=True)
class Sender:
    """Who handed the request in: a station that named itself, or nobody we know.

    `name` is that of its token or client certificate; empty if it brought neither. `address` may be empty.
    """

    name: str = ""
    address: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the sender proved who it is."""
        return bool(self.name)


@dataclass(frozen=True, slots=True)
class Applicant:
    """A device that proved possession of its key and asks in good form; whether it may is not said yet.

    `name` is a display name, the uuid by default. `group` is what the request asks for. `request_sha256` covers the
    whole request as it came in. `at` is aware UTC in whole seconds.
    """

    csr: DeviceCsr
    name: str
    hardware_id: str
    group: str | None
    sender: Sender
    request_sha256: bytes
    at: datetime

    @property
    def uuid(self) -> str:
        """The device's uuid, as it stands in the CSR."""
        return self.csr.uuid

    @property
    def spki_sha256(self) -> bytes:
        """The hash of the device's public key."""
        return self.csr.verified.spki_sha256


@dataclass(frozen=True, slots=True)
class Arrived:
    """One request as it came in: its members, the hash of its bytes, from whom and when."""

    request: RegistrationRequest
    sha256: bytes
    sender: Sender
    at: datetime


def read_applicant(arrived: Arrived, factory: str, keys: KeyPolicy) -> Applicant:
    """Verify a request's CSR and names.

    Raises:
        InvalidInputError: the CSR (codes of `pki.requests`), `wrong-factory`, `uuid-mismatch`, `name-invalid`,
            `group-not-yours`.
    """
    request = arrived.request
    csr = read_device_csr(request.csr, policy=keys)
    if csr.factory != factory:
        raise InvalidInputError(
            "wrong-factory",
            f"This server registers devices of factory {factory}; the OU of the CSR says {csr.factory}.",
            fields={"csr": "OU is another factory's"},
        )
    if request.uuid is not None and request.uuid != csr.uuid:
        raise InvalidInputError(
            "uuid-mismatch", "The uuid of the request is not the CN of its CSR.", fields={"uuid": "not the CSR's CN"}
        )
    return Applicant(
        csr=csr,
        name=_named("name", request.name or csr.uuid),
        hardware_id=request.hardware_id,
        group=_group(request.group, arrived.sender),
        sender=arrived.sender,
        request_sha256=arrived.sha256,
        at=arrived.at,
    )


def _group(group: str | None, sender: Sender) -> str | None:
    if group is not None and not sender.is_known:
        raise InvalidInputError(
            "group-not-yours",
            "A device that nobody vouches for does not choose its group: leave 'group' out. The station sets one for "
            "all devices, or sends a token.",
            fields={"group": "not the device's to choose"},
        )
    return None if group is None else _named("group", group)


def _named(member: str, text: str) -> str:
    try:
        return parse_resource_name(text)
    except InvalidInputError as exc:
        raise InvalidInputError(exc.code, exc.detail, fields={member: exc.detail}) from exc
