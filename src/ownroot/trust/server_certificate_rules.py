"""Step 5: may this certificate become the face of the gateway, or of the EST listener?

The backend made the key and handed out the CSR, the owner's root signed it. A certificate over an *earlier* key of ours
would be a rollback, and one over a key of another kind would let a CA key answer handshakes; both are refused.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from ownroot.pki.conformance import check_tls
from ownroot.pki.encoding import spki_sha256
from ownroot.trust.changes import Field
from ownroot.trust.possession import Evidence, KeyKind, PendingKey
from ownroot.trust.root_rules import root_in_force
from ownroot.trust.state import FactoryPki
from ownroot.trust.verdicts import Accepted, TrustEvent, TrustEventKind, checking, invalid


@dataclass(frozen=True, slots=True)
class _Place:
    """How we speak of a server certificate."""

    field: Field
    name: str
    event: TrustEventKind
    next_step: str


_PLACES: Final[Mapping[KeyKind, _Place]] = {
    KeyKind.TLS: _Place(
        Field.GATEWAY_TLS,
        "The gateway TLS certificate",
        TrustEventKind.GATEWAY_TLS_SET,
        "Run `ownroot keys ca rotate-tls` (before take-over `ownroot keys ca create`) for a new CSR and sign that one.",
    ),
    KeyKind.EST: _Place(
        Field.EST_TLS,
        "The EST certificate",
        TrustEventKind.EST_TLS_SET,
        "Run `ownroot keys est authorize` for a new CSR and sign that one.",
    ),
}


def accept_server_certificate(
    draft: Accepted, kind: KeyKind, sent: x509.Certificate | None, evidence: Evidence, now: datetime
) -> Accepted:
    """Put a new server certificate into service, or leave the draft as it is when none or the present one was sent.

    Raises:
        RuleBrokenError: with the code of the pending-key rules below or of `pki.conformance.check_tls`.
    """
    pki, place = draft.new_pki, _PLACES[kind]
    present = pki.gateway_tls if kind is KeyKind.TLS else pki.est_tls
    if sent is None or sent == present:
        return draft
    root = root_in_force(pki, now, place.field)
    pending = _require_pending_key(sent, kind, evidence, now)
    with checking(place.name, place.field):
        check_tls(sent, root, pending.dns_names, now)
    if pki.uses_serial(sent.serial_number) or sent.serial_number in pki.revoked_serials:
        raise invalid(
            "serial-repeated",
            f"{place.name} carries the serial {sent.serial_number}, which another certificate of this factory has or "
            "had. Sign the CSR again with a new random serial.",
            place.field,
        )
    return draft.then(
        _with_server_certificate(pki, kind, sent),
        TrustEvent(place.event, sent),
        used_keys=(pending.spki_sha256,),
        replaced_tls_keys=() if present is None else (spki_sha256(present.public_key()),),
    )


def _with_server_certificate(pki: FactoryPki, kind: KeyKind, certificate: x509.Certificate) -> FactoryPki:
    if kind is KeyKind.TLS:
        return dataclasses.replace(pki, gateway_tls=certificate)
    return dataclasses.replace(pki, est_tls=certificate)


def _require_pending_key(sent: x509.Certificate, kind: KeyKind, evidence: Evidence, now: datetime) -> PendingKey:
    place = _PLACES[kind]
    key_id = spki_sha256(sent.public_key())
    pending = evidence.find_pending(kind, key_id)
    if pending is None:
        raise invalid(
            "key-not-pending",
            f"{place.name} is not over a key that waits for one: it was made from an old CSR, or from one for "
            f"another purpose. {place.next_step}",
            place.field,
        )
    if not pending.is_live(now):
        raise invalid(
            "pending-key-expired",
            f"{place.name} comes too late: its CSR counted until {pending.expires_at:%Y-%m-%d %H:%M:%S} UTC. "
            f"{place.next_step}",
            place.field,
        )
    return pending
