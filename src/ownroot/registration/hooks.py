"""Where a customer's own code joins in: the extension points of the registration server. **A stable interface.**

A module of yours (`--hooks my_line.hooks`, or an entry point in the group `ownroot.registration`) defines one or both:

    def before_signing(applicant: Applicant) -> Verdict: ...   # allow, refuse with a reason, or enrich
    def after_signing(registered: DeviceRegistered) -> None: ...   # tell somebody

`before_signing` runs before anything is recorded or signed. It may be called for several devices at once, each in a
thread of its own, and has a time limit; if it raises or takes too long nothing is signed and the device is told to try
again. A device that repeats a request it already has a certificate for is not asked about again.

`after_signing` runs later, one device after the other, in the order they were registered. It is called until it returns
without raising, so it may see a device twice (`event_id` tells); while it fails nothing is lost and nobody waits.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

__all__ = ["AfterSigning", "Allow", "Applicant", "BeforeSigning", "DeviceRegistered", "Enrich", "Refuse", "Verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """A device that proved possession of its key and passed the site's policy.

    `operator` is the name of the station's token or client certificate, empty without one. `key_sha256` is the hash of
    the public key (SubjectPublicKeyInfo) in hex.
    """

    uuid: str
    name: str
    hardware_id: str
    factory: str
    group: str | None
    is_production: bool
    key_sha256: str
    operator: str
    client_address: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRegistered:
    """A device that has its certificate. `event_id` is the same at every attempt; `certificate_pem` is one block."""

    event_id: str
    uuid: str
    name: str
    hardware_id: str
    factory: str
    group: str | None
    is_production: bool
    serial: str
    certificate_pem: str
    operator: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Allow:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Sign nothing; the device shows the reason."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrich:
    """Go on, and let the device go by this name, belong to this group, follow these tags; None changes nothing."""

    name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] | None = None


Verdict: TypeAlias = Allow | Refuse | Enrich


class BeforeSigning(Protocol):
    """Decides about a device before it gets a certificate."""

    def __call__(self, applicant: Applicant, /) -> Verdict:
        """Return a verdict; raising refuses the device for now."""
        ...


class AfterSigning(Protocol):
    """Is told of a device that has its certificate."""

    def __call__(self, registered: DeviceRegistered, /) -> None:
        """Return when it is done with; raising asks to be told again."""
        ...
