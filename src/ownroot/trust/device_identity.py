"""Who is calling the gateway? A client certificate read against a factory's trust.

TLS has proven the key and nothing else: it accepts any certificate, so every check of one is here or in
`pki.conformance` (protocol: gateway.md §3.1 steps 1-4, T4, T11). The answer holds for one certificate under one trust
until `decision_expires_at` and may be cached that long; whether the device is *welcome* is `admission.admit`, asked on
every request.

Rules kept here:

* The issuer is the device CA whose key verifies the signature. Several CAs share a subject, key identifiers disagree
  between tools, and what else a client sends along proves nothing; none of these decides.
* The factory root is no issuer of devices, and a device CA is no device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from ownroot.errors import InvalidInputError
from ownroot.pki.chains import is_signed_by
from ownroot.pki.conformance import CLOCK_SKEW, device_certificate_fault
from ownroot.pki.encoding import issuer_der, load_certificate_der, sha256, spki_der, subject_der
from ownroot.pki.names import DeviceUuid, FactoryName, Subject, parse_device_uuid, read_subject
from ownroot.trust.state import DeviceCa, RevokedCa, Standing


@dataclass(frozen=True, slots=True)
class GatewayTrust:
    """What a gateway process needs of one factory's trust, indexed once per trust generation.

    Attributes:
        device_cas: enabled and disabled ones. Before take-over these are the shared PKI's.
        allow_rsa: accept devices with RSA keys of at least 2048 bits.
        allow_ca_profile: accept device certificates that some sample scripts mark CA:TRUE.
        revoked_cas: vouch for nobody; known so that their devices hear what happened.
    """

    factory: FactoryName
    device_cas: tuple[DeviceCa, ...]
    allow_rsa: bool = False
    allow_ca_profile: bool = False
    revoked_cas: tuple[RevokedCa, ...] = ()
    _by_subject: Mapping[bytes, Sequence[DeviceCa]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[bytes, list[DeviceCa]] = {}
        for ca in self.device_cas:
            index.setdefault(subject_der(ca.certificate), []).append(ca)
        object.__setattr__(self, "_by_subject", index)

    def named(self, subject: bytes) -> Sequence[DeviceCa]:
        """The device CAs with this DER subject; it may be several, and that one is among them proves nothing."""
        return self._by_subject.get(subject, ())


@dataclass(frozen=True, slots=True)
class Identified:
    """A client certificate that one of the factory's device CAs signed, fit for a device.

    Attributes:
        decision_expires_at: last second at which this answer holds: the earlier end of certificate and CA.
    """

    uuid: DeviceUuid
    factory: FactoryName
    spki_sha256: bytes
    spki_der: bytes
    production: bool
    issuer: DeviceCa
    certificate: x509.Certificate
    decision_expires_at: datetime


@dataclass(frozen=True, slots=True)
class NotTrusted:
    """A client we do not take for a device of this factory; `detail` is written for the device's own log."""

    code: str
    detail: str


_NO_TIME: Final = timedelta()


def identify(
    certificate_der: bytes | None, trust: GatewayTrust, now: datetime, *, expired_for: timedelta = _NO_TIME
) -> Identified | NotTrusted:
    """Decide whose device a client certificate belongs to; one signature verification in the usual case.

    Args:
        certificate_der: the leaf TLS proved the key of, alone; None if the client sent none.
        trust: of the factory the connection chose by SNI; no other factory's trust can help a certificate here.
        now: aware UTC, whole seconds.
        expired_for: how long ago the device's own certificate may have ended; never that of its CA. Whoever passes
            more than none lets the device do nothing but renew it.
    Returns: never raises for anything a client can send. What is *not* looked at: the device's own standing, see
        `admission.admit`, and whether the issuer is disabled, which concerns new devices alone.
    Source: protocol gateway.md §3.1 steps 1-4, §2.2 T4 and T11.
    """
    # Step 1. A certificate at all, and one that can be read.
    if certificate_der is None:
        return NotTrusted("client-certificate-missing", "No client certificate was presented; devices need theirs.")
    try:
        certificate = load_certificate_der(certificate_der)
    except InvalidInputError as unreadable:
        return NotTrusted(unreadable.code, unreadable.detail)
    # Step 2. The issuing CA, and whether it may still vouch for anyone.
    issuer = _find_issuer(certificate, trust, now)
    if isinstance(issuer, NotTrusted):
        return issuer
    # T11. What TLS would have checked, had we not told it to accept everything.
    lasts_until = certificate.not_valid_after_utc + expired_for
    seen_at = now if now > lasts_until else min(now, certificate.not_valid_after_utc)
    fault = device_certificate_fault(
        certificate, seen_at, allow_rsa=trust.allow_rsa, allow_ca_profile=trust.allow_ca_profile
    )
    if fault is not None:
        return NotTrusted(fault.code, fault.detail + _clock_hint(certificate, now))
    # Steps 3 and 4. Factory and uuid.
    subject = read_subject(certificate.subject)
    uuid = _read_uuid(subject, trust.factory)
    if isinstance(uuid, NotTrusted):
        return uuid
    key = spki_der(certificate.public_key())
    return Identified(
        uuid=uuid,
        factory=trust.factory,
        spki_sha256=sha256(key),
        spki_der=key,
        production=subject.is_production,
        issuer=issuer,
        certificate=certificate,
        decision_expires_at=min(lasts_until, issuer.certificate.not_valid_after_utc),
    )


def _find_issuer(certificate: x509.Certificate, trust: GatewayTrust, now: datetime) -> DeviceCa | NotTrusted:
    """Find the device CA by signature among those with the right subject, and check that its own time is now."""
    if any(ca.certificate == certificate for ca in trust.device_cas):
        return NotTrusted("client-is-device-ca", "This is the certificate of a device CA; a device has one of its own.")
    named = trust.named(issuer_der(certificate))
    signer = next((ca for ca in named if is_signed_by(certificate, ca.certificate)), None)
    if signer is None:
        revoked = _find_revoked(certificate, trust)
        if revoked is not None:
            return _revoked(revoked, trust.factory)
        fault = "names, but was not signed by, one" if named else "was issued by none"
        return NotTrusted(
            "device-ca-unknown",
            f"The certificate {fault} of the device CAs that factory {trust.factory} trusts. "
            "If the factory's keys changed or that CA was revoked, register the device again.",
        )
    # A CA that was certified again has two certificates over one key.
    same_key = [ca for ca in named if ca.certificate.public_key() == signer.certificate.public_key()]
    issuer = min(same_key, key=lambda ca: _preference(ca, now))
    if _is_in_force(issuer.certificate, now):
        return issuer
    return NotTrusted(
        "device-ca-out-of-date",
        "The CA that signed the device certificate is not valid now." + _clock_hint(issuer.certificate, now),
    )


def _find_revoked(certificate: x509.Certificate, trust: GatewayTrust) -> RevokedCa | None:
    """The revoked CA that signed a certificate no trusted CA has signed; for the wording alone."""
    issuer = issuer_der(certificate)
    return next(
        (
            revoked
            for revoked in trust.revoked_cas
            if revoked.certificate is not None
            and subject_der(revoked.certificate) == issuer
            and is_signed_by(certificate, revoked.certificate)
        ),
        None,
    )


def _revoked(revoked: RevokedCa, factory: FactoryName) -> NotTrusted:
    return NotTrusted(
        "device-ca-revoked",
        f"The owner of factory {factory} revoked the CA that signed this certificate (serial {revoked.serial}) on "
        f"{revoked.revoked_at:%Y-%m-%d %H:%M:%S} UTC. Register the device again.",
    )


def _preference(ca: DeviceCa, now: datetime) -> tuple[bool, bool, int]:
    """Order the certificates of one CA key: in force first, then disabled, then by serial.

    A disable names one certificate; were the other preferred, its devices would go on as if nothing had been said.
    """
    return (not _is_in_force(ca.certificate, now), ca.standing is not Standing.DISABLED, ca.serial)


def _is_in_force(certificate: x509.Certificate, now: datetime) -> bool:
    """The start has some grace, since owners sign without back-dating (api.md §3.4); the end has none."""
    return certificate.not_valid_before_utc - CLOCK_SKEW <= now <= certificate.not_valid_after_utc


def _clock_hint(certificate: x509.Certificate, now: datetime) -> str:
    """Name both clocks where a date is the matter, and how far they are apart, so that a wrong one is found."""
    if _is_in_force(certificate, now):
        return ""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    away = f"begins in {_span(start - now)}" if now < start else f"ended {_span(now - end)} ago"
    return (
        f" It is valid from {start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC and the gateway's clock says "
        f"{now:%Y-%m-%d %H:%M:%S} UTC, so it {away}; if that is wrong, set the gateway's clock. A device compares its "
        "own with GET /.well-known/time."
    )


def _span(time: timedelta) -> str:
    """Write a span for people: its two largest units."""
    minutes, seconds = divmod(int(time.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _read_uuid(subject: Subject, factory: FactoryName) -> DeviceUuid | NotTrusted:
    if subject.organizational_units != (factory,):
        return NotTrusted(
            "device-factory",
            f"The certificate's subject must have exactly one OU, '{factory}', the factory of this gateway. "
            "Check the server name the device was given, or register it in this factory.",
        )
    if len(subject.common_names) != 1:
        return NotTrusted(
            "device-uuid-missing", "The certificate's subject must have exactly one CN, the uuid of the device."
        )
    try:
        return parse_device_uuid(subject.common_names[0])
    except InvalidInputError as unsafe:
        return NotTrusted(unsafe.code, unsafe.detail)
