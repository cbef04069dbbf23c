"""Revoke, disable, renew: reading and making CRLs as the signed commands they are here.

A CRL of this protocol lists only the device CAs to act on now (api.md §3.5). It is never cumulative, its number is
always 1, and absence from it means nothing. Whether the serials are known and whether a command was seen before is
decided in `trust`. We encode the signed part ourselves: half of all device CAs have serials of 160 bits, which the
builder of `cryptography` refuses.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import CRLEntryExtensionOID

from ownroot.errors import InvalidInputError, RefusedError
from ownroot.pki import der, encoding, lint, profiles
from ownroot.pki.conformance import CLOCK_SKEW
from ownroot.pki.issuance import Issuer, IssuerTerms, signature_algorithm
from ownroot.pki.requests import STRONG_HASHES
from ownroot.pki.serials import Serial
from ownroot.pki.signer import signing_hash

# RFC 5280 §5.3.1; the numbers are what goes over the wire.
CERTIFICATE_HOLD: Final = 6
REMOVE_FROM_CRL: Final = 8
PRIVILEGE_WITHDRAWN: Final = 9

_KNOWN_REASONS: Final = frozenset((0, 1, 2, 3, 4, 5, CERTIFICATE_HOLD, REMOVE_FROM_CRL, PRIVILEGE_WITHDRAWN, 10))

CRL_LIFETIME: Final = timedelta(minutes=15)

_VERSION_2: Final = der.integer(1)
_REASON_CODE: Final = bytes.fromhex("0603551d15")
_ENUMERATED: Final = 0x0A


class Verdict(enum.Enum):
    """What a CRL entry does to a device CA."""

    REVOKE = "revoke"
    DISABLE = "disable"
    RENEW = "renew"


_VERDICTS: Final = {CERTIFICATE_HOLD: Verdict.DISABLE, REMOVE_FROM_CRL: Verdict.RENEW}


@dataclass(frozen=True, slots=True)
class CrlEntry:
    """One device CA and what to do with it; `reason` is the number of RFC 5280 §5.3.1, None if the entry has none."""

    serial: Serial
    reason: int | None

    @property
    def verdict(self) -> Verdict:
        """What the reason means here: 6 disables, 8 renews, any other or none revokes (api.md §3.5)."""
        return Verdict.REVOKE if self.reason is None else _VERDICTS.get(self.reason, Verdict.REVOKE)


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


def make_crl(
    issuer: Issuer, entries: Sequence[CrlEntry], *, now: datetime, lifetime: timedelta = CRL_LIFETIME
) -> x509.CertificateRevocationList:
    """Lint a command on device CAs, then sign it with the factory root.

    Args:
        entries: at least one, each serial once, in any order. Whether the factory knows them is not checked.
        now: aware UTC, whole seconds.
        lifetime: how long the command can be used: 15 minutes by the protocol, longer where it has to travel.

    Raises:
        InvalidInputError: `crl-empty`, `crl-serial-repeated`, `serial-out-of-range`, `crl-reason-unknown`.
        RefusedError: `issuer-expired`; `lint-failed`, before the key was used.
        KeyStoreError: the key store would not sign.
    Source: api.md §4 (CRL); RFC 5280 §5.
    """
    terms = issuer.terms
    signed_part = encode_signed_part(terms, entries, now=now, lifetime=lifetime)
    algorithm = signature_algorithm(terms.public_key)
    intent = lint.CrlIntent(
        signer=terms.public_key,
        issuer_der=terms.name_der,
        this_update=now,
        next_update=now + lifetime,
        entries=tuple((entry.serial, entry.reason) for entry in entries),
        authority_key_identifier=terms.authority_key_identifier,
    )
    lint.lint_crl(signed_part, algorithm, intent)
    signature = issuer.key.sign(signed_part, ec.ECDSA(signing_hash(terms.public_key)))
    return encoding.load_crl_der(der.sequence(signed_part, algorithm, der.bit_string(signature)))


def encode_signed_part(
    terms: IssuerTerms, entries: Sequence[CrlEntry], *, now: datetime, lifetime: timedelta = CRL_LIFETIME
) -> bytes:
    """Check a command and write its TBSCertList (RFC 5280 §5.1); no private key is needed. Raises as `make_crl`."""
    _check_entries(entries)
    if terms.not_after is not None and terms.not_after <= now:
        raise RefusedError("issuer-expired", "The factory root has expired; it can sign nothing any more.")
    number = profiles.encode_extension(x509.CRLNumber(1), critical=False)
    return der.sequence(
        _VERSION_2,
        signature_algorithm(terms.public_key),
        terms.name_der,
        der.time(now),
        der.time(now + lifetime),
        der.sequence(*(_encode_entry(entry, now) for entry in entries)),
        der.explicit(0, der.sequence(terms.authority_key_identifier, number)),
    )


def _check_entries(entries: Sequence[CrlEntry]) -> None:
    if not entries:
        raise InvalidInputError("crl-empty", "The CRL names no certificate.")
    if len({entry.serial for entry in entries}) < len(entries):
        raise InvalidInputError("crl-serial-repeated", "The CRL names a serial more than once.")
    # 20 octets hold 160 bits; the widest serial the reference client draws needs all of them.
    if not all(0 < entry.serial < 1 << 160 for entry in entries):
        raise InvalidInputError("serial-out-of-range", "A serial number is positive and has at most 160 bits.")
    if not all(entry.reason is None or entry.reason in _KNOWN_REASONS for entry in entries):
        raise InvalidInputError("crl-reason-unknown", "The reason of a CRL entry is a number of RFC 5280 §5.3.1.")


def _encode_entry(entry: CrlEntry, now: datetime) -> bytes:
    extensions = b""
    if entry.reason is not None:
        reason = der.encode(_ENUMERATED, bytes((entry.reason,)))
        extensions = der.sequence(der.extension(_REASON_CODE, reason, critical=False))
    return der.sequence(der.integer(entry.serial), der.time(now), extensions)


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
        entries[serial] = CrlEntry(serial, _reason(revoked))
    if not entries:
        raise InvalidInputError("crl-empty", "The CRL names no certificate.")
    return tuple(entries.values())


def _reason(revoked: x509.RevokedCertificate) -> int | None:
    reason: int | None = None
    for extension in revoked.extensions:
        if extension.oid == CRLEntryExtensionOID.CRL_REASON:
            reason = extension.value.public_bytes()[-1]  # an ENUMERATED of one octet
        elif extension.critical:
            raise InvalidInputError("crl-critical-extension", "A CRL entry has a critical extension we do not know.")
    return reason
