"""Revoke, disable, renew: reading CRLs as the signed commands they are here.

A CRL of this protocol lists only the device CAs to act on now (api.md §3.5). It is never cumulative, its number is
always 1, and absence from it means nothing. Whether the serials are known and whether a command was seen before is
decided in `trust`.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID

from ownroot.errors import InvalidInputError
from ownroot.pki import encoding
from ownroot.pki.conformance import CLOCK_SKEW
from ownroot.pki.requests import STRONG_HASHES
from ownroot.pki.serials import Serial


class Verdict(enum.Enum):
    """What a CRL entry does to a device CA."""

    REVOKE = "revoke"
    DISABLE = "disable"
    RENEW = "renew"


@dataclass(frozen=True, slots=True)
class CrlEntry:
    """One device CA and what to do with it."""

    serial: Serial
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class CrlCommand:
    """A verified CRL: signed by the factory root, current, one verdict per serial.

    `signed_part_sha256` identifies the command: the signature is left out, since ECDSA signatures can be altered
    and stay valid.
    """

    entries: tuple[CrlEntry, ...]
    this_update: datetime
    next_update: datetime
    signed_part_sha256: bytes


_VERDICTS: Final = {
    x509.ReasonFlags.certificate_hold: Verdict.DISABLE,
    x509.ReasonFlags.remove_from_crl: Verdict.RENEW,
}


def read_crl_command(crl: x509.CertificateRevocationList, root: x509.Certificate, now: datetime) -> CrlCommand:
    """Verify a CRL from `encoding.parse_crl` against the factory root and read its entries in their order.

    Raises:
        InvalidInputError: `crl-not-signed-by-root`, `crl-critical-extension`, `crl-not-yet-valid`, `crl-expired`,
            `crl-empty`, `crl-serial-repeated`.
    Source: api.md §3.5; RFC 5280 §5.
    """
    _verify_signature(crl, root)
    this_update, next_update = _verify_dates(crl, now)
    entries = _read_entries(crl)
    return CrlCommand(entries, this_update, next_update, encoding.sha256(crl.tbs_certlist_bytes))


def _verify_signature(crl: x509.CertificateRevocationList, root: x509.Certificate) -> None:
    with encoding.refusing("crl-not-signed-by-root", "The CRL is not signed by the factory root."):
        is_valid = (
            isinstance(crl.signature_hash_algorithm, STRONG_HASHES)
            and crl.issuer.public_bytes() == encoding.subject_der(root)
            and crl.is_signature_valid(root.public_key())  # type: ignore[arg-type]  # other keys raise TypeError
        )
    if not is_valid:
        raise InvalidInputError("crl-not-signed-by-root", "The CRL is not signed by the factory root.")
    # A delta CRL, an indirect CRL or one for a partition would mean something else than we would do.
    if any(extension.critical for extension in crl.extensions):
        raise InvalidInputError("crl-critical-extension", "The CRL has a critical extension we do not know.")


def _verify_dates(crl: x509.CertificateRevocationList, now: datetime) -> tuple[datetime, datetime]:
    this_update, next_update = crl.last_update_utc, crl.next_update_utc
    if now + CLOCK_SKEW < this_update:
        raise InvalidInputError(
            "crl-not-yet-valid", f"The CRL is not valid before {this_update:%Y-%m-%d %H:%M:%S} UTC."
        )
    if next_update is None or now - CLOCK_SKEW > next_update:
        raise InvalidInputError("crl-expired", "The CRL has expired, or does not say when it does; sign a new one.")
    return this_update, next_update


def _read_entries(crl: x509.CertificateRevocationList) -> tuple[CrlEntry, ...]:
    entries: dict[int, CrlEntry] = {}
    for revoked in crl:
        serial = Serial(revoked.serial_number)
        if serial in entries:
            raise InvalidInputError("crl-serial-repeated", f"The CRL names serial {serial} more than once.")
        entries[serial] = CrlEntry(serial, _verdict(revoked))
    if not entries:
        raise InvalidInputError("crl-empty", "The CRL names no certificate.")
    return tuple(entries.values())


def _verdict(revoked: x509.RevokedCertificate) -> Verdict:
    reason: x509.ReasonFlags | None = None
    for extension in revoked.extensions:
        if extension.oid == CRLEntryExtensionOID.CRL_REASON:
            reason = extension.value.reason
        elif extension.critical:
            raise InvalidInputError("crl-critical-extension", "A CRL entry has a critical extension we do not know.")
    # No reason, or any but these two, means revoke (api.md §3.5).
    return Verdict.REVOKE if reason is None else _VERDICTS.get(reason, Verdict.REVOKE)
