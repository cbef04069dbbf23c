"""Change what a factory trusts: one upload, one decision, one transaction.

`trust.rules` decides; this module reads the evidence in the transaction that stores the outcome, and does with keys
what the decision says. A refusal is written to the audit log before anyone hears of it.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from ownroot.audit.events import EventKind
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError
from ownroot.pki.encoding import load_certificate_der, spki_sha256
from ownroot.pki.serials import serial_text
from ownroot.services.authority import Principal
from ownroot.services.ports import UnitOfWork
from ownroot.services.read_upload import UploadText, read_upload
from ownroot.services.records import ChangeKind
from ownroot.services.steps import Steps, Work
from ownroot.services.view_pki import PkiView, view_pki
from ownroot.trust.changes import UploadPki
from ownroot.trust.possession import Actor, Evidence
from ownroot.trust.rules import Accepted, Refused, decide
from ownroot.trust.verdicts import RefusalKind, TrustEventKind

_EVENTS: Mapping[TrustEventKind, EventKind] = {
    TrustEventKind.ROOT_SET: EventKind.PKI_ROOT_SET,
    TrustEventKind.GATEWAY_TLS_SET: EventKind.PKI_GATEWAY_TLS_SET,
    TrustEventKind.EST_TLS_SET: EventKind.PKI_EST_TLS_SET,
    TrustEventKind.ONLINE_CA_ADDED: EventKind.PKI_ONLINE_CA_ADDED,
    TrustEventKind.LOCAL_CA_ADDED: EventKind.PKI_LOCAL_CA_ADDED,
    TrustEventKind.ONLINE_CA_RETIRED: EventKind.PKI_ONLINE_CA_RETIRED,
    TrustEventKind.DEVICE_CA_DISABLED: EventKind.PKI_DEVICE_CA_DISABLED,
    TrustEventKind.DEVICE_CA_ENABLED: EventKind.PKI_DEVICE_CA_ENABLED,
    TrustEventKind.DEVICE_CA_REVOKED: EventKind.PKI_DEVICE_CA_REVOKED,
}


def change_pki(text: UploadText, principal: Principal, *, now: datetime) -> Steps[PkiView]:
    """Take an upload into use as a whole, or refuse it as a whole.

    Args:
        text: as sent.
        principal: may manage the PKI; checked by the caller.
    Returns: the PKI that resulted.
    Raises:
        InvalidInputError, ConflictError: with the code of the rule that refused, and the field at fault.
    """
    try:
        upload = read_upload(text)
    except InvalidInputError as fault:
        field = next(iter(fault.fields), "")
        yield partial(_record_refusal, principal=principal, code=fault.code, field=field, now=now)
        raise
    outcome = yield lambda uow: _decide_and_store(uow, upload, principal, now)
    if isinstance(outcome, Refused):
        raise _refusal(outcome)
    view: PkiView = outcome
    return view


def refused_access(principal: Principal, code: str, request: str, *, now: datetime) -> Work:
    """Return the work that records that somebody without the right to it asked for a change."""
    event = principal.event(EventKind.PKI_CHANGE_REFUSED, code, {"request": request}, at=now)
    return lambda uow: uow.audit.append(event)


def _decide_and_store(uow: UnitOfWork, upload: UploadPki, principal: Principal, now: datetime) -> PkiView | Refused:
    factory = principal.factory
    before = uow.pki.load(factory.id)
    evidence = Evidence(
        pending=tuple(uow.keys.pending(factory.id, now=now)),
        actor=Actor(principal.user.polis_id),
        member_ids=frozenset(member.user.polis_id for member in uow.accounts.members(factory.id)),
    )
    verdict = decide(before, upload, evidence, now)
    if isinstance(verdict, Refused):
        _record_refusal(uow, principal, verdict.code, verdict.field or "", now)
        return verdict
    if verdict.new_pki is not before:
        _store(uow, verdict, principal, now)
        if not before.is_taken_over:
            _retire_shared_tls(uow, principal, now)
    return view_pki(uow, factory)


def _record_refusal(uow: UnitOfWork, principal: Principal, code: str, field: str, now: datetime) -> None:
    details = {"field": field, "request": "upload"}
    uow.audit.append(principal.event(EventKind.PKI_CHANGE_REFUSED, code, details, at=now))


def _store(uow: UnitOfWork, verdict: Accepted, principal: Principal, now: datetime) -> None:
    factory = principal.factory
    uow.pki.save(factory.id, verdict.new_pki, by=principal.user.polis_id, now=now)
    for key in verdict.used_keys:
        uow.keys.activate(factory.id, key)
    # Gateways read the certificate and its key in one transaction, so the old TLS key may go at once.
    for key in (*verdict.dropped_online_keys, *verdict.replaced_tls_keys):
        _destroy(uow, key, principal, now)
    for event in verdict.events:
        details = {"subject": event.certificate.subject.rfc4514_string()}
        kind, subject = _EVENTS[event.kind], serial_text(event.serial)
        uow.audit.append(principal.event(kind, subject, details, at=now))
    uow.changes.announce(ChangeKind.TRUST, factory.id)


def _retire_shared_tls(uow: UnitOfWork, principal: Principal, now: datetime) -> None:
    """From take-over on the backend holds no key for this name but those the owner's root certified."""
    shared = uow.pki.shared_tls(principal.factory.id)
    if shared is not None:
        _destroy(uow, spki_sha256(load_certificate_der(shared).public_key()), principal, now)


def _destroy(uow: UnitOfWork, key: bytes, principal: Principal, now: datetime) -> None:
    uow.keys.destroy(key)
    uow.audit.append(principal.event(EventKind.PKI_KEY_DESTROYED, key.hex(), {}, at=now))


def _refusal(refused: Refused) -> OwnrootError:
    fields = None if refused.field is None else {refused.field.value: refused.detail}
    if refused.kind is RefusalKind.CONFLICT:
        return ConflictError(refused.code, refused.detail, fields=fields)
    return InvalidInputError(refused.code, refused.detail, fields=fields)
