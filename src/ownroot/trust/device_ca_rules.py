"""Steps 6 and 7: which device CAs may join, and why none may be left out.

A device CA that is already trusted passes unchecked: clients always re-send the whole list, and a CA that has expired
since must not stand in the way of a new one. A revoked one comes back only where the owner's signed command beside the
list says so.
"""

import dataclasses
from collections.abc import Iterable
from datetime import datetime

from cryptography import x509

from ownroot.pki.conformance import check_device_ca
from ownroot.pki.encoding import spki_sha256
from ownroot.pki.names import LOCAL_CA_PREFIX, local_ca_user
from ownroot.pki.revocation import Verdict
from ownroot.trust.changes import Field
from ownroot.trust.commands import Orders
from ownroot.trust.possession import Evidence, KeyKind, PendingKey
from ownroot.trust.root_rules import root_in_force
from ownroot.trust.state import DeviceCa, FactoryPki, Holder, Standing
from ownroot.trust.verdicts import Accepted, RuleBrokenError, TrustEvent, TrustEventKind, checking, conflict, invalid


def admit_device_cas(
    draft: Accepted, sent: Iterable[x509.Certificate], orders: Orders, evidence: Evidence, now: datetime
) -> Accepted:
    """Step 6: add every member of the list that is not trusted yet.

    Args:
        orders: of the same upload; those they renew may come back although they were revoked, and those they disable
            may be anybody's.
    Raises:
        RuleBrokenError: with a code of this module or of `pki.conformance.check_device_ca`.
    """
    before = draft.new_pki
    for certificate in sent:
        if draft.new_pki.trusts(certificate):
            continue
        _require_not_revoked(draft.new_pki, certificate, orders.serials(Verdict.RENEW))
        _require_admissible(draft.new_pki, certificate, evidence, now)
        key_id = spki_sha256(certificate.public_key())
        pending = _live_pending_key(certificate, key_id, evidence, now)
        if pending is not None or _is_online_key(draft.new_pki, key_id):
            draft = _add_online(draft, certificate, pending, evidence)
        else:
            draft = _add_local(draft, certificate, orders, evidence)
    _require_one_signer(before, draft)
    return draft


def require_whole_list(pki: FactoryPki, sent: tuple[x509.Certificate, ...] | None, orders: Orders) -> None:
    """Step 7: the list adds and never removes, which also catches two owners who change it at the same time.

    It may leave out exactly what the command beside it revokes.

    Raises:
        RuleBrokenError: `device-ca-missing`, naming the serials.
    """
    if sent is None:
        return
    revoked = orders.serials(Verdict.REVOKE)
    missing = [str(ca.serial) for ca in pki.device_cas if ca.certificate not in sent and ca.serial not in revoked]
    if missing:
        raise conflict(
            "device-ca-missing",
            f"The list leaves out device CAs this factory trusts, serials: {', '.join(missing)}. A list only adds; to "
            "remove a device CA, revoke it. Fetch the present list (`ownroot keys ca show --just-device-cas`), add "
            "to it and send the whole.",
            Field.DEVICE_CAS,
        )


def _require_admissible(pki: FactoryPki, certificate: x509.Certificate, evidence: Evidence, now: datetime) -> None:
    """What holds for online and local device CAs alike: profile, serial, key."""
    root = root_in_force(pki, now, Field.DEVICE_CAS)
    with checking(_name(certificate), Field.DEVICE_CAS):
        check_device_ca(certificate, root, pki.factory, now)
    if pki.uses_serial(certificate.serial_number):
        raise _refused(
            certificate,
            "serial-repeated",
            "carries a serial that another certificate of this factory has. Sign it again with a new random serial.",
        )
    _require_key_of_its_own(pki, certificate, evidence)


def _require_not_revoked(pki: FactoryPki, certificate: x509.Certificate, returning: frozenset[int]) -> None:
    """Its root signature is an old one: a copy of the certificate and API access would undo a revocation."""
    revoked = pki.find_revoked(certificate.serial_number)
    if revoked is not None and (revoked.serial not in returning or revoked.certificate not in (None, certificate)):
        raise _refused(
            certificate,
            "device-ca-revoked",
            "was revoked. Make a new device CA, or send with this very certificate a revocation list that names its "
            "serial for reason 8 (removeFromCRL).",
        )
    key_id = spki_sha256(certificate.public_key())
    for other in pki.revoked_cas:
        if other.serial in returning or other.certificate is None:
            continue
        if spki_sha256(other.certificate.public_key()) == key_id:
            raise _refused(
                certificate,
                "device-ca-key-revoked",
                f"is over the key of a revoked device CA, serial {other.serial}. Make a new key: whoever has the old "
                "one could go on making devices.",
            )


def _require_key_of_its_own(pki: FactoryPki, certificate: x509.Certificate, evidence: Evidence) -> None:
    """A device CA's key serves nothing else (the root's own is `ca-root-key`), and a disabled one stays disabled."""
    key_id = spki_sha256(certificate.public_key())
    servers = {spki_sha256(c.public_key()) for c in (pki.gateway_tls, pki.est_tls) if c is not None}
    servers |= {key.spki_sha256 for key in evidence.pending if key.kind is not KeyKind.ONLINE_CA}
    if key_id in servers:
        raise _refused(
            certificate,
            "device-ca-key-is-server-key",
            "is over a key the gateway holds for TLS, so whoever breaks into the gateway could make devices. "
            "Sign the CSR that was handed out for the online CA.",
        )
    if any(ca.standing is Standing.DISABLED and key_id == _key_id(ca) for ca in pki.device_cas):
        raise _refused(
            certificate,
            "device-ca-key-disabled",
            "is over the key of a disabled device CA. Enable that one again first, or use a new key.",
        )


def _live_pending_key(
    certificate: x509.Certificate, key_id: bytes, evidence: Evidence, now: datetime
) -> PendingKey | None:
    pending = evidence.find_pending(KeyKind.ONLINE_CA, key_id)
    if pending is not None and not pending.is_live(now):
        raise _refused(
            certificate,
            "pending-key-expired",
            f"comes too late: its CSR counted until {pending.expires_at:%Y-%m-%d %H:%M:%S} UTC. "
            "Run `ownroot keys ca add-device-ca --online-ca` for a new CSR.",
        )
    return pending


def _is_online_key(pki: FactoryPki, key_id: bytes) -> bool:
    """Did the backend make this key, for a CA that is trusted or was? The key itself may be long destroyed."""
    online = [ca.certificate for ca in pki.device_cas if ca.holder is Holder.ONLINE]
    online += [ca.certificate for ca in pki.revoked_cas if ca.holder is Holder.ONLINE and ca.certificate is not None]
    return any(spki_sha256(certificate.public_key()) == key_id for certificate in online)


def _add_online(
    draft: Accepted, certificate: x509.Certificate, pending: PendingKey | None, evidence: Evidence
) -> Accepted:
    """Add a CA over a key of the backend's; over a pending key, or the one in use, it becomes the one that signs."""
    pki, signing = draft.new_pki, draft.new_pki.signing_ca
    added = TrustEvent(TrustEventKind.ONLINE_CA_ADDED, certificate)
    keeps_key = signing is not None and _key_id(signing) == spki_sha256(certificate.public_key())
    if pending is None and not keeps_key:
        # An earlier key of ours, long destroyed: trusted for what it signed, and it signs nothing more.
        return draft.then(_with_ca(pki, _online_ca(certificate, evidence, signs=False)), added)
    pki = _with_ca(_without_signer(pki), _online_ca(certificate, evidence, signs=True))
    draft = draft.then(pki, added, used_keys=() if pending is None else (pending.spki_sha256,))
    if signing is None or keeps_key:
        return draft
    retired = TrustEvent(TrustEventKind.ONLINE_CA_RETIRED, signing.certificate)
    return draft.then(pki, retired, dropped_online_keys=(_key_id(signing),))


def _online_ca(certificate: x509.Certificate, evidence: Evidence, *, signs: bool) -> DeviceCa:
    uploader = evidence.actor.polis_id
    return DeviceCa(certificate, Holder.ONLINE, Standing.ENABLED, owner_id=None, uploaded_by=uploader, signs=signs)


def _require_one_signer(before: FactoryPki, outcome: Accepted) -> None:
    """Of several new online CAs only one could sign, and the order of a list must not decide which."""
    usable = {*outcome.used_keys} | ({_key_id(before.signing_ca)} if before.signing_ca else set())
    added = [e.certificate for e in outcome.events if e.kind is TrustEventKind.ONLINE_CA_ADDED]
    signers = [certificate for certificate in added if spki_sha256(certificate.public_key()) in usable]
    if len(signers) > 1:
        serials = ", ".join(str(certificate.serial_number) for certificate in signers)
        raise invalid(
            "several-online-cas",
            f"The upload brings more than one new online CA, serials: {serials}. Only one can sign; send one of them.",
            Field.DEVICE_CAS,
        )


def _add_local(draft: Accepted, certificate: x509.Certificate, orders: Orders, evidence: Evidence) -> Accepted:
    user = local_ca_user(certificate.subject)
    if user is None and certificate.serial_number not in orders.serials(Verdict.DISABLE):
        raise _refused(
            certificate,
            "local-ca-name",
            "is over no key this server made for an online CA, so it counts as a local CA, and the CN of a local CA is "
            f"`{LOCAL_CA_PREFIX}` and its owner's user id. Make one with `ownroot keys ca add-device-ca --local-ca` "
            "or sign a fresh CSR for an online CA. One of another server, whose known devices move here, is taken in "
            "when a revocation list of the same upload disables it.",
        )
    ca = DeviceCa(
        certificate,
        Holder.LOCAL,
        Standing.ENABLED,
        owner_id=user if user in evidence.member_ids else None,
        uploaded_by=evidence.actor.polis_id,
        signs=False,
    )
    return draft.then(_with_ca(draft.new_pki, ca), TrustEvent(TrustEventKind.LOCAL_CA_ADDED, certificate))


def _with_ca(pki: FactoryPki, ca: DeviceCa) -> FactoryPki:
    return dataclasses.replace(pki, device_cas=(*pki.device_cas, ca))


def _without_signer(pki: FactoryPki) -> FactoryPki:
    return dataclasses.replace(pki, device_cas=tuple(dataclasses.replace(ca, signs=False) for ca in pki.device_cas))


def _key_id(ca: DeviceCa) -> bytes:
    return spki_sha256(ca.certificate.public_key())


def _name(certificate: x509.Certificate) -> str:
    return f"The device CA with serial {certificate.serial_number}"


def _refused(certificate: x509.Certificate, code: str, fault: str) -> RuleBrokenError:
    return invalid(code, f"{_name(certificate)} {fault}", Field.DEVICE_CAS)
