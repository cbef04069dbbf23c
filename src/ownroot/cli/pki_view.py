"""A factory's PKI as the owner sees it: certificates parsed, with their standing and the holder of each key."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from cryptography import x509

from ownroot.client.api import CertsAnswer
from ownroot.pki.encoding import certificate_pem, certificate_sha256, parse_certificate, parse_certificates
from ownroot.pki.last_safe_day import DEVICE_CA_MARGIN, ROOT_MARGIN, SERVER_MARGIN, last_safe_day
from ownroot.pki.names import local_ca_user, read_subject
from ownroot.pki.serials import serial_text
from ownroot.pki.traits import Traits


class Kind(StrEnum):
    """What a certificate is for."""

    ROOT = "root"
    GATEWAY_TLS = "tls"
    EST_TLS = "est-tls"
    ONLINE_CA = "online-ca"
    LOCAL_CA = "local-ca"
    FOREIGN_CA = "foreign-ca"


TITLES: Mapping[Kind, str] = {
    Kind.ROOT: "factory root",
    Kind.GATEWAY_TLS: "gateway TLS certificate",
    Kind.EST_TLS: "EST TLS certificate",
    Kind.ONLINE_CA: "online device CA",
    Kind.LOCAL_CA: "local device CA",
    Kind.FOREIGN_CA: "device CA of another server",
}
DEVICE_CA_KINDS: frozenset[Kind] = frozenset((Kind.ONLINE_CA, Kind.LOCAL_CA, Kind.FOREIGN_CA))


def called(kind: Kind) -> str:
    """Return the title at the beginning of a sentence or a line."""
    return TITLES[kind][0].upper() + TITLES[kind][1:]


class Standing(StrEnum):
    """Whether it counts. A disabled device CA admits no new devices; an expired certificate admits nobody."""

    VALID = "valid"
    DISABLED = "disabled"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"


_HOLDERS = {
    Kind.ROOT: "the owner",
    Kind.GATEWAY_TLS: "the server",
    Kind.EST_TLS: "the server",
    Kind.ONLINE_CA: "the server",
    Kind.FOREIGN_CA: "another server, or whoever ran it",
}
_MARGINS: Mapping[Kind, timedelta] = {
    Kind.ROOT: ROOT_MARGIN,
    Kind.GATEWAY_TLS: SERVER_MARGIN,
    Kind.EST_TLS: SERVER_MARGIN,
    Kind.ONLINE_CA: DEVICE_CA_MARGIN,
    Kind.LOCAL_CA: DEVICE_CA_MARGIN,
    Kind.FOREIGN_CA: DEVICE_CA_MARGIN,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate with what people want to know about it.

    `own_holder`: where its key is, as the owner's own directory tells; None if it does not.
    """

    kind: Kind
    certificate: x509.Certificate
    standing: Standing
    own_holder: str | None = None

    @property
    def serial(self) -> str:
        """Decimal, as every command takes it."""
        return serial_text(self.certificate.serial_number)

    @property
    def holder(self) -> str:
        """Who holds the private key, as far as the directory or else the certificate tells."""
        return (
            self.own_holder
            or _HOLDERS.get(self.kind)
            or f"user {local_ca_user(self.certificate.subject)}, or a site of theirs"
        )

    @property
    def common_name(self) -> str:
        """The subject's CN, for people."""
        return ", ".join(read_subject(self.certificate.subject).common_names) or "(no name)"

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The hosts a server certificate is for."""
        return Traits.of(self.certificate).dns_names

    @property
    def last_safe_day(self) -> date:
        """The last UTC day on which it can be replaced without hurry."""
        return last_safe_day(self.certificate, _MARGINS[self.kind])

    def document(self) -> dict[str, object]:
        """Return it for JSON."""
        document: dict[str, object] = {
            "kind": self.kind,
            "subject": self.certificate.subject.rfc4514_string(),
            "serial": self.serial,
            "sha256": certificate_sha256(self.certificate).hex(),
            "not-before": self.certificate.not_valid_before_utc.isoformat(),
            "not-after": self.certificate.not_valid_after_utc.isoformat(),
            "last-safe-day": self.last_safe_day.isoformat(),
            "standing": self.standing,
            "holder": self.holder,
            "pem": certificate_pem(self.certificate),
        }
        return document | ({"dns-names": self.dns_names} if self.dns_names else {})


@dataclass(frozen=True, slots=True)
class PkiView:
    """Everything a factory trusts."""

    root: Entry | None
    tls: Entry | None
    est_tls: Entry | None
    device_cas: tuple[Entry, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What there is, the root first and the device CAs last."""
        return tuple(entry for entry in (self.root, self.tls, self.est_tls, *self.device_cas) if entry is not None)


def view_pki(answer: CertsAnswer, now: datetime, holders: Mapping[bytes, str] | None = None) -> PkiView:
    """Parse the server's answer.

    Args:
        holders: where the owner's keys are, by SHA-256 of the certificate (`key_holders`).
    Raises:
        InvalidInputError: a certificate in it cannot be read.
    """
    certs = answer.certs
    disabled = frozenset(certs.disabled_ca_serials)

    def one(kind: Kind, pem: str | None) -> Entry | None:
        return entry(kind, parse_certificate(pem)) if pem else None

    def entry(kind: Kind, certificate: x509.Certificate) -> Entry:
        holder = (holders or {}).get(certificate_sha256(certificate))
        return Entry(kind, certificate, _standing(certificate, disabled, now), holder)

    cas = parse_certificates(certs.ca_crt) if certs.ca_crt else ()
    return PkiView(
        root=one(Kind.ROOT, certs.root_crt),
        tls=one(Kind.GATEWAY_TLS, certs.tls_crt),
        est_tls=one(Kind.EST_TLS, certs.est_tls_crt),
        device_cas=tuple(entry(_device_ca_kind(ca, certs.online_ca_serials), ca) for ca in cas),
    )


def _device_ca_kind(certificate: x509.Certificate, online: Collection[str] | None) -> Kind:
    """A server of another make does not say which keys it has; then the name tells what it was made for."""
    if online is not None and serial_text(certificate.serial_number) in online:
        return Kind.ONLINE_CA
    if local_ca_user(certificate.subject) is not None:
        return Kind.LOCAL_CA
    return Kind.ONLINE_CA if online is None else Kind.FOREIGN_CA


def _standing(certificate: x509.Certificate, disabled: frozenset[str], now: datetime) -> Standing:
    if now > certificate.not_valid_after_utc:
        return Standing.EXPIRED
    if now < certificate.not_valid_before_utc:
        return Standing.NOT_YET_VALID
    return Standing.DISABLED if serial_text(certificate.serial_number) in disabled else Standing.VALID
