"""Verify the status feed by the pinned root alone; whoever carries it, the operator's proxies included, proves nothing.

The chain: pinned root -> the gateway's TLS certificate, for exactly the gateway's names -> the feed. Other servers with
a certificate of the same root (the customer's own API among them) must not speak for the fleet, hence the names.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import RefusedError
from ownroot.pki.chains import is_signed_by
from ownroot.pki.conformance import CLOCK_SKEW, check_tls
from ownroot.pki.encoding import parse_certificate
from ownroot.pki.names import ostree_name, parse_factory_ou
from ownroot.pki.signer import signing_hash
from ownroot.trust.device_identity import GatewayTrust
from ownroot.trust.state import DeviceCa, Holder, RevokedCa, Standing
from ownroot.wire.status_feed import FeedCa, SignedFeed, StatusFeed, decode_base64, parse_feed, signed_octets

_REVOKED: Final = "revoked"
_LONGEST_LIFE_SECONDS: Final = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class FeedPin:
    """What the customer knows from the factory's owner, and never from a server.

    Attributes:
        gateway_name: the DNS name at which devices find their gateway; it never changes.
        allow_rsa, allow_ca_profile: as the operator allows them at the gateway.
    """

    root: x509.Certificate
    factory: str
    gateway_name: str
    allow_rsa: bool = False
    allow_ca_profile: bool = False


def verify_feed(signed: SignedFeed, pin: FeedPin, now: datetime) -> StatusFeed:
    """Return the feed if the pinned factory's gateway key signed it and it holds now.

    Raises:
        InvalidInputError: the certificate is not the gateway's under the pinned root (`pki.conformance.check_tls`), or
            a member cannot be read.
        RefusedError: `status-feed-signature`, `status-feed-factory`, `status-feed-future`, `status-feed-lifetime`,
            `status-feed-expired`.
    """
    certificate = parse_certificate(signed.certificate)
    check_tls(certificate, pin.root, (pin.gateway_name, ostree_name(pin.gateway_name)), now)
    payload = decode_base64(signed.payload)
    _verify_signature(certificate, decode_base64(signed.signature), signed_octets(payload))
    feed = parse_feed(payload)
    if feed.factory != pin.factory:
        raise RefusedError("status-feed-factory", f"The status feed is factory {feed.factory}'s, not {pin.factory}'s.")
    seconds = now.timestamp()
    if feed.issued_at > seconds + CLOCK_SKEW.total_seconds():
        raise RefusedError("status-feed-future", "The status feed was issued in the future. Set this machine's clock.")
    if not 0 < feed.expires_at - feed.issued_at <= _LONGEST_LIFE_SECONDS:
        raise RefusedError("status-feed-lifetime", "The status feed says that it holds for longer than any does.")
    if feed.expires_at < seconds:
        raise RefusedError("status-feed-expired", "The status feed has expired already; an old one was sent again?")
    return feed


def read_trust(feed: StatusFeed, pin: FeedPin) -> GatewayTrust:
    """Return the device CAs of a verified feed as the gateway's own rules take them.

    Raises:
        RefusedError: `device-ca-not-of-root`: the key of the gateway certifies no device CA.
    """
    cas = [(ca, _certificate_of(ca, pin)) for ca in feed.device_cas]
    return GatewayTrust(
        parse_factory_ou(feed.factory),
        tuple(_trusted(ca, certificate) for ca, certificate in cas if ca.standing != _REVOKED),
        allow_rsa=pin.allow_rsa,
        allow_ca_profile=pin.allow_ca_profile,
        revoked_cas=tuple(_revoked(ca, certificate) for ca, certificate in cas if ca.standing == _REVOKED),
    )


def _verify_signature(certificate: x509.Certificate, signature: bytes, octets: bytes) -> None:
    key = certificate.public_key()
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise InvalidSignature
        key.verify(signature, octets, ec.ECDSA(signing_hash(key)))
    except InvalidSignature as exc:
        raise RefusedError("status-feed-signature", "The status feed was not signed by the gateway's key.") from exc


def _certificate_of(ca: FeedCa, pin: FeedPin) -> x509.Certificate:
    certificate = parse_certificate(ca.certificate)
    if not is_signed_by(certificate, pin.root):
        raise RefusedError("device-ca-not-of-root", "The status feed names a device CA that the root did not sign.")
    return certificate


def _trusted(ca: FeedCa, certificate: x509.Certificate) -> DeviceCa:
    # Who holds a key, and who owns new devices, is the backend's business.
    return DeviceCa(certificate, Holder.LOCAL, Standing(ca.standing), owner_id=None, uploaded_by="", signs=False)


def _revoked(ca: FeedCa, certificate: x509.Certificate) -> RevokedCa:
    at = datetime.fromtimestamp(ca.changed_at, UTC)
    return RevokedCa(certificate.serial_number, certificate, Holder.LOCAL, revoked_at=at, commanded_at=at)
