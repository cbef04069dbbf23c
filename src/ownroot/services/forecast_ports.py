"""When device certificates end, as a transaction can be asked and told. The rules are those of `ports`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EndsQuestion:
    """Whose ends: devices whose certificate accepted last the device CA with this serial signed.

    Attributes:
        issuer_ends_at: nothing the CA signed counts beyond it.
        weeks: from Monday to Sunday in UTC, this one being the first.
    """

    factory_id: int
    issuer_serial: int
    issuer_ends_at: datetime
    now: datetime
    weeks: int


@dataclass(frozen=True, slots=True)
class EndingDevices:
    """Devices whose certificates end in one span of time (`fleet.forecast` defines the words).

    Attributes:
        never_seen, rarely_seen, overdue: parts of `devices` that do not overlap; overdue: seen more often, but its last
            safe day is over.
        last_safe_day: the earliest of those that are seen more often; None without any.
    """

    devices: int = 0
    never_seen: int = 0
    rarely_seen: int = 0
    overdue: int = 0
    last_safe_day: date | None = None


@dataclass(frozen=True, slots=True)
class CertificateEnds:
    """All devices of one CA.

    Attributes:
        unknown: devices not seen since the server notes the ends of certificates.
        expired: their certificates, or the CA, have ended.
        beyond_issuer: among all, those whose certificate would outlast the CA.
        weeks: what ends, by the Monday its week begins with; weeks without any are left out.
        later: what ends after the last week asked for, from the Monday `later_from` on.
    """

    unknown: int
    expired: int
    beyond_issuer: int
    weeks: Sequence[tuple[date, EndingDevices]]
    later: EndingDevices
    later_from: date


class DeviceEnds(Protocol):
    """Ends of the certificates that devices showed last, or were issued for the key they have."""

    def note_issued(self, factory_id: int, uuid: str, spki_sha256: bytes, *, not_after: datetime) -> None:
        """Store the end of a new certificate; one for another key than the pinned one changes nothing yet."""
        ...

    def by_week(self, question: EndsQuestion) -> CertificateEnds:
        """Count, in the database: the rows of a large fleet stay there."""
        ...
