"""The trust state of one factory, as a value.

A state is only ever replaced by the outcome of `rules.decide`, so whatever it holds was signed by its root. The shared
PKI of the operator has the same shape; it is made, not decided.

Sets compare by certificate bytes, never by subject: several device CAs of one user share a subject, and serials reach
2^160, so they stay Python integers everywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509

from ownroot.pki.names import FactoryName


class Standing(StrEnum):
    """What a trusted device CA may do; a revoked one is not in the state any more.

    DISABLED admits no *new* device; the devices known under it go on (protocol: gateway.md §3.3).
    """

    ENABLED = "enabled"
    DISABLED = "disabled"


class Holder(StrEnum):
    """Where the private key of a device CA lives: in the backend or with the owner."""

    ONLINE = "online"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class DeviceCa:
    """A trusted issuer of device certificates.

    Attributes:
        owner_id: the factory member a local CA names in its CN (`fio-<polis-id>`); None if it names no member.
        uploaded_by: polis-id of the user who sent the certificate.
        signs: the backend holds this CA's private key and issues with it. At most one CA of a factory signs; an
            online CA that was replaced stays trusted, and signs nothing.
        commanded_at: thisUpdate of the last signed command on it; an older command counts for nothing.
    """

    certificate: x509.Certificate
    holder: Holder
    standing: Standing
    owner_id: str | None
    uploaded_by: str
    signs: bool
    commanded_at: datetime | None = None

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    @property
    def owner_of_new_devices(self) -> str:
        """Who owns a device that is first seen under this CA (protocol: api.md §3.4 step 6)."""
        return self.owner_id or self.uploaded_by


@dataclass(frozen=True, slots=True)
class RevokedCa:
    """A device CA that is trusted no more. Neither it nor its key comes back without the owner's signed word.

    Attributes:
        certificate: None if it was revoked before servers kept certificates of revoked CAs.
        commanded_at: thisUpdate of the command that revoked it.
    """

    serial: int
    certificate: x509.Certificate | None
    holder: Holder
    revoked_at: datetime
    commanded_at: datetime


@dataclass(frozen=True, slots=True)
class AppliedCommand:
    """A CRL that was acted upon; remembered for as long as it could be sent again."""

    signed_part_sha256: bytes
    usable_until: datetime


@dataclass(frozen=True, slots=True)
class FactoryPki:
    """Everything a factory trusts. Without a root the factory still lives on the shared PKI.

    Attributes:
        device_cas: enabled and disabled ones, in the order they were added.
        revoked_cas: those that must not come back by a mere upload.
        commands: what must not be acted upon a second time.
    """

    factory: FactoryName
    root: x509.Certificate | None = None
    gateway_tls: x509.Certificate | None = None
    est_tls: x509.Certificate | None = None
    device_cas: tuple[DeviceCa, ...] = ()
    revoked_cas: tuple[RevokedCa, ...] = ()
    commands: tuple[AppliedCommand, ...] = ()

    @property
    def is_taken_over(self) -> bool:
        return self.root is not None

    @property
    def disabled_serials(self) -> tuple[int, ...]:
        return tuple(ca.serial for ca in self.device_cas if ca.standing is Standing.DISABLED)

    @property
    def revoked_serials(self) -> frozenset[int]:
        return frozenset(ca.serial for ca in self.revoked_cas)

    @property
    def signing_ca(self) -> DeviceCa | None:
        """The online CA whose key the backend issues with, whatever its standing."""
        return next((ca for ca in self.device_cas if ca.signs), None)

    def find_ca(self, serial: int) -> DeviceCa | None:
        """The trusted device CA with this serial."""
        return next((ca for ca in self.device_cas if ca.serial == serial), None)

    def find_revoked(self, serial: int) -> RevokedCa | None:
        return next((ca for ca in self.revoked_cas if ca.serial == serial), None)

    def trusts(self, certificate: x509.Certificate) -> bool:
        """Is this very certificate (same bytes) one of the device CAs?"""
        return any(ca.certificate == certificate for ca in self.device_cas)

    def uses_serial(self, serial: int) -> bool:
        """Does a certificate in service carry this serial? Commands name device CAs by it, so it must stay unique."""
        return any(certificate.serial_number == serial for certificate in self.certificates())

    def certificates(self) -> Iterator[x509.Certificate]:
        """Every certificate in service, the root first."""
        yield from (c for c in (self.root, self.gateway_tls, self.est_tls) if c is not None)
        yield from (ca.certificate for ca in self.device_cas)
