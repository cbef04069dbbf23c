"""Whether a certificate that a device got for the one it has is what it asked for (protocol: gateway.md §7.1).

A device that takes another certificate than its own over its own key locks itself out, so it believes no answer: what
does not keep every rule is not used. The other side of this, what a device may ask for, is in `reenrolment`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NoReturn

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ownroot.errors import InvalidInputError
from ownroot.pki import profiles
from ownroot.pki.chains import find_issuer
from ownroot.pki.encoding import spki_der, subject_der
from ownroot.pki.signer import PublicKey
from ownroot.pki.traits import Traits

_KEY_USAGE: Final = profiles.key_usage(digital_signature=True)
_CLIENT_AUTH: Final = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH})
# A device's clock drifts; what starts a little in its future is no other certificate for that.
_CLOCK_DRIFT: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class KnownIssuers:
    """Whom a device may believe.

    Attributes:
        cas: device CAs somebody told us of; none is believed unless a root signed it.
        roots: what the device pins.
    """

    cas: Sequence[x509.Certificate]
    roots: Sequence[x509.Certificate]


def verify_renewed(
    new: x509.Certificate,
    old: x509.Certificate,
    key: PublicKey,
    issuers: KnownIssuers,
    *,
    now: datetime,
) -> x509.Certificate:
    """Demand that `new` renews `old` over `key`; return the CA that signed it.

    Args:
        now: the device's own clock.
    Raises:
        InvalidInputError: `renewed-subject`, `renewed-key`, `renewed-key-usage`, `renewed-extended-key-usage`,
            `renewed-extension`, `renewed-dates`, `renewed-issuer`: no CA we know that leads to a root has signed it.
    """
    if subject_der(new) != subject_der(old):
        _refuse("subject", "does not name this device exactly as its present one does")
    if spki_der(new.public_key()) != spki_der(key):
        _refuse("key", "is for another key than the one it was asked for")
    traits = Traits.of(new)
    if traits.key_usage != _KEY_USAGE:
        _refuse("key-usage", "has another key usage than digitalSignature alone")
    if traits.extended_key_usages != _CLIENT_AUTH:
        _refuse("extended-key-usage", "has another extended key usage than clientAuth alone")
    if traits.is_ca or traits.dns_names or traits.unknown_critical:
        _refuse("extension", "has an extension that a device's certificate has not")
    if not new.not_valid_before_utc - _CLOCK_DRIFT <= now <= new.not_valid_after_utc:
        _refuse("dates", "is not valid now, by the clock of this device")
    return _issuer(new, issuers, now)


def _issuer(new: x509.Certificate, issuers: KnownIssuers, now: datetime) -> x509.Certificate:
    issuer = find_issuer(new, issuers.cas)
    if issuer is None or not Traits.of(issuer).is_ca or find_issuer(issuer, issuers.roots) is None:
        _refuse("issuer", "does not lead to root.crt over a device CA that we know")
    if now > issuer.not_valid_after_utc:
        _refuse("issuer", "is signed by a device CA that has ended")
    return issuer


def _refuse(rule: str, fault: str) -> NoReturn:
    raise InvalidInputError(f"renewed-{rule}", f"The new certificate {fault}. It is not used; the present one stays.")
