"""Does a certificate made elsewhere meet what we ask of its kind?

The structural checks of api.md §3.4 (steps 3, 5, 6) for uploaded certificates and of gateway.md §2.2 T11 for devices.
Other tools' habits are accepted where those pages say so: missing path lengths, extensions that are not critical,
P-384 and P-521, long serials. Which key belongs to whom and what is already trusted is decided in `trust`.

Every certificate here was loaded by `encoding`, so reading it cannot raise.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ownroot.errors import InvalidInputError
from ownroot.pki import chains, encoding, names
from ownroot.pki.requests import KeyPolicy
from ownroot.pki.traits import Traits

# The reference client writes notBefore as its own current second, without back-dating (api.md §3.4).
CLOCK_SKEW: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a certificate does not do: a stable code and a sentence for a person."""

    code: str
    detail: str


def check_factory_root(certificate: x509.Certificate, factory: str, now: datetime) -> None:
    """Check an uploaded factory root (api.md §3.4 step 3); that its owner holds the key is not shown by this.

    Raises:
        InvalidInputError: `root-key`, `root-critical-extension`, `root-not-ca`, `root-key-usage`, `root-path-length`,
            `root-extended-key-usage`, `root-factory`, `root-not-yet-valid`, `root-expired`, `root-self-signature`.
    """
    traits = Traits.of(certificate)
    _check_ca("root", certificate, traits, factory, now)
    if traits.path_length == 0:
        _refuse(
            "root-path-length", "The factory root must be allowed to certify CAs (path length absent or at least 1)."
        )
    if not traits.allows_usage(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH):
        _refuse(
            "root-extended-key-usage", "The factory root's extended key usage must allow serverAuth and clientAuth."
        )
    is_self_issued = encoding.issuer_der(certificate) == encoding.subject_der(certificate)
    if is_self_issued and not chains.is_signed_by(certificate, certificate):
        _refuse("root-self-signature", "The factory root names itself as issuer but its own key did not sign it.")


def check_device_ca(certificate: x509.Certificate, root: x509.Certificate, factory: str, now: datetime) -> None:
    """Check a new device CA (api.md §3.4 step 6). Any path length is accepted and treated as 0.

    Raises:
        InvalidInputError: `ca-key`, `ca-critical-extension`, `ca-not-ca`, `ca-key-usage`, `ca-extended-key-usage`,
            `ca-factory`, `ca-not-yet-valid`, `ca-expired`, `ca-root-key`, `ca-not-signed-by-root`.
    """
    traits = Traits.of(certificate)
    _check_ca("ca", certificate, traits, factory, now)
    if not traits.allows_usage(ExtendedKeyUsageOID.CLIENT_AUTH):
        _refuse("ca-extended-key-usage", "The extended key usage of a device CA must allow clientAuth.")
    if certificate.public_key() == root.public_key():
        _refuse("ca-root-key", "A device CA must not use the key of the factory root.")
    if not chains.is_signed_by(certificate, root):
        _refuse("ca-not-signed-by-root", "The device CA is not signed by the factory root.")


def check_tls(
    certificate: x509.Certificate, root: x509.Certificate, csr_dns_names: Iterable[str], now: datetime
) -> None:
    """Check an uploaded gateway or EST certificate (api.md §3.4 step 5); `csr_dns_names` are those we asked for.

    Raises:
        InvalidInputError: `tls-critical-extension`, `tls-is-ca`, `tls-key-usage`, `tls-extended-key-usage`,
            `tls-dns-names`, `tls-not-yet-valid`, `tls-expired`, `tls-not-signed-by-root`.
    """
    traits = Traits.of(certificate)
    _check_critical("tls", traits)
    if traits.is_ca:
        _refuse("tls-is-ca", "The TLS certificate is a CA certificate.")
    if traits.key_usage is None or not traits.key_usage.digital_signature:
        _refuse("tls-key-usage", "The key usage of the TLS certificate must contain digitalSignature.")
    if traits.extended_key_usages is None or not traits.allows_usage(ExtendedKeyUsageOID.SERVER_AUTH):
        _refuse("tls-extended-key-usage", "The extended key usage of the TLS certificate must contain serverAuth.")
    wanted, found = _folded(csr_dns_names), _folded(traits.dns_names)
    if wanted != found:
        difference = ", ".join(sorted(wanted ^ found))
        _refuse(
            "tls-dns-names", f"The TLS certificate's DNS names are not those of the CSR; they differ in: {difference}."
        )
    _check_dates("tls", certificate, now)
    if not chains.is_signed_by(certificate, root):
        _refuse("tls-not-signed-by-root", "The TLS certificate is not signed by the factory root.")


def check_device_certificate(
    certificate: x509.Certificate, now: datetime, *, allow_rsa: bool = False, allow_ca_profile: bool = False
) -> None:
    """Demand that `device_certificate_fault` finds none.

    Raises:
        InvalidInputError: the codes of `device_certificate_fault`.
    """
    fault = device_certificate_fault(certificate, now, allow_rsa=allow_rsa, allow_ca_profile=allow_ca_profile)
    if fault is not None:
        raise InvalidInputError(fault.code, fault.detail)


def device_certificate_fault(
    certificate: x509.Certificate, now: datetime, *, allow_rsa: bool = False, allow_ca_profile: bool = False
) -> Fault | None:
    """Say why this certificate cannot be a device's, or None (gateway.md §2.2 T11).

    Issuer, names and standing are judged elsewhere. `notBefore` has five minutes' grace for clocks, the end has none.

    Args:
        allow_rsa: accept RSA keys from 2048 bits.
        allow_ca_profile: accept CA:TRUE and keyCertSign, which sample scripts of other servers give to devices. Never
            on by itself: with it, only the comparison with the trusted CAs keeps a device CA from being a device.
    """
    if now < certificate.not_valid_before_utc - CLOCK_SKEW:
        return _NOT_YET_VALID
    if now > certificate.not_valid_after_utc:
        return _EXPIRED
    if not KeyPolicy(allow_rsa=allow_rsa).accepts(certificate.public_key()):
        return _WEAK_KEY
    traits = Traits.of(certificate)
    if traits.unknown_critical:
        return _CRITICAL_EXTENSION
    if traits.is_ca and not allow_ca_profile:
        return _IS_CA
    usage = traits.key_usage
    if usage is not None and not (usage.digital_signature or (allow_ca_profile and usage.key_cert_sign)):
        return _KEY_USAGE
    if not traits.allows_usage(ExtendedKeyUsageOID.CLIENT_AUTH):
        return _EXTENDED_KEY_USAGE
    return None


_NOT_YET_VALID: Final = Fault("device-not-yet-valid", "The device certificate is not valid yet; check the clocks.")
_EXPIRED: Final = Fault("device-expired", "The device certificate has expired; register the device again.")
_WEAK_KEY: Final = Fault("device-key", "The device's key is not accepted; EC P-256, P-384 and P-521 are.")
_CRITICAL_EXTENSION: Final = Fault(
    "device-critical-extension", "The device certificate has a critical extension we do not know."
)
_IS_CA: Final = Fault("device-is-ca", "A CA certificate cannot be a device's.")
_KEY_USAGE: Final = Fault("device-key-usage", "The key usage of the device certificate lacks digitalSignature.")
_EXTENDED_KEY_USAGE: Final = Fault(
    "device-extended-key-usage", "The extended key usage of the device certificate lacks clientAuth."
)


def _check_ca(prefix: str, certificate: x509.Certificate, traits: Traits, factory: str, now: datetime) -> None:
    """Check what a factory root and a device CA have in common; criticality is not asked for."""
    if not KeyPolicy().accepts(certificate.public_key()):
        _refuse(f"{prefix}-key", "The key of the CA is not accepted; use EC P-256, P-384 or P-521.")
    _check_critical(prefix, traits)
    if not traits.is_ca:
        _refuse(f"{prefix}-not-ca", "The certificate is not a CA certificate (basicConstraints CA:TRUE).")
    if traits.key_usage is None or not traits.key_usage.key_cert_sign:
        _refuse(f"{prefix}-key-usage", "The key usage of the CA must contain keyCertSign.")
    if names.read_subject(certificate.subject).organizational_units != (factory,):
        _refuse(f"{prefix}-factory", f"The subject of the CA must have exactly one OU, the factory '{factory}'.")
    _check_dates(prefix, certificate, now)


def _check_critical(prefix: str, traits: Traits) -> None:
    if traits.unknown_critical:
        listed = ", ".join(traits.unknown_critical)
        _refuse(f"{prefix}-critical-extension", f"The certificate has critical extensions we do not know: {listed}.")


def _check_dates(prefix: str, certificate: x509.Certificate, now: datetime) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now + CLOCK_SKEW < start:
        _refuse(f"{prefix}-not-yet-valid", f"The certificate is not valid before {start:%Y-%m-%d %H:%M:%S} UTC.")
    if now - CLOCK_SKEW > end:
        _refuse(f"{prefix}-expired", f"The certificate has expired on {end:%Y-%m-%d %H:%M:%S} UTC.")


def _folded(dns_names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in dns_names)


def _refuse(code: str, detail: str) -> None:
    raise InvalidInputError(code, detail)
