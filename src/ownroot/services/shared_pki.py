"""The operator's shared PKI: what a factory lives on until its owner takes over.

A root and one online device CA, made at the first start, keys sealed; and for each factory a TLS certificate for the
gateway name it keeps for ever. Take-over replaces the keys, never the name.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ownroot.audit.events import SERVER, AuditEvent, EventKind
from ownroot.errors import KeyStoreError
from ownroot.pki.encoding import certificate_der, spki_sha256
from ownroot.pki.issuance import IssuerTerms, plan_device_ca, plan_factory_root, plan_gateway_tls
from ownroot.pki.names import FactoryName, backend_key_subject, ostree_name
from ownroot.pki.requests import VerifiedCsr, make_csr, verify_csr
from ownroot.pki.serials import new_serial, serial_text
from ownroot.pki.signer import PrivateKey
from ownroot.services.backend_keys import Keyring
from ownroot.services.issue_own import Errand, sign_recorded
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import ChangeKind, Factory, SealedKey, SealedKeyPurpose
from ownroot.services.steps import Steps
from ownroot.trust.state import DeviceCa, FactoryPki, Holder, Standing

# No factory is ever called this: names of ours have neither blanks nor capitals.
SHARED_PKI_NAME = FactoryName("Ownroot shared PKI")
_SHARED_CA_NAME = "shared-online-ca"


@dataclass(frozen=True, slots=True)
class _SharedRoot:
    certificate: x509.Certificate
    sealed: SealedKey


def ensure_shared_pki(keyring: Keyring, *, now: datetime, backdate: timedelta = timedelta()) -> Steps[None]:
    """Make the shared root and its online CA if there are none; does nothing otherwise, also in a race.

    Args:
        backdate: how long before `now` both begin, for devices whose clock is behind.
    """
    present = yield lambda uow: uow.pki.load(None)
    if present.is_taken_over:
        return
    root_key, sealed_root = keyring.make(SealedKeyPurpose.CA)
    plan = plan_factory_root(SHARED_PKI_NAME, root_key.public_key(), now=now, serial=new_serial(), backdate=backdate)
    root_id, root = yield from sign_recorded(
        plan,
        root_key,
        Errand(factory_id=None, issuer=None, subject_key=SHARED_PKI_NAME, request=plan.signed_part, now=now),
    )
    ca_key, sealed_ca = keyring.make(SealedKeyPurpose.CA)
    subject = backend_key_subject(SHARED_PKI_NAME, _SHARED_CA_NAME)
    ca_plan = plan_device_ca(subject, ca_key.public_key(), root, now=now, serial=new_serial(), backdate=backdate)
    ca_id, ca = yield from sign_recorded(
        ca_plan,
        root_key,
        Errand(factory_id=None, issuer=root, subject_key=_SHARED_CA_NAME, request=ca_plan.signed_part, now=now),
    )
    online = DeviceCa(ca, Holder.ONLINE, Standing.ENABLED, owner_id=None, uploaded_by=SERVER, signs=True)

    def store(uow: UnitOfWork) -> None:
        if uow.pki.load(None).is_taken_over:
            uow.issuances.void(root_id)
            uow.issuances.void(ca_id)
            return
        uow.issuances.record_certificate(root_id, certificate_der(root))
        uow.issuances.record_certificate(ca_id, certificate_der(ca))
        uow.keys.add_active(None, sealed_root)
        uow.keys.add_active(None, sealed_ca)
        pki = FactoryPki(SHARED_PKI_NAME, root=root, device_cas=(online,))
        uow.pki.save(None, pki, by=SERVER, now=now)
        uow.audit.append(AuditEvent(None, now, SERVER, EventKind.SHARED_PKI_CREATED, serial_text(root.serial_number)))
        for certificate in (root, ca):
            uow.audit.append(_issued(None, certificate, now))

    yield store


def factories_without_tls(uow: UnitOfWork) -> tuple[Factory, ...]:
    """Return the factories that `ensure_shared_tls` has something to do for."""
    return tuple(factory for factory in uow.factories.list() if _lacks_tls(uow, factory))


def ensure_shared_tls(
    factory: Factory, keyring: Keyring, *, now: datetime, backdate: timedelta = timedelta()
) -> Steps[None]:
    """Give a factory its TLS certificate of the shared PKI, unless it has one or was taken over; `backdate` as above.

    Raises:
        KeyStoreError: `shared-pki-missing`: the server was never started on this database.
    """
    root: _SharedRoot | None = yield lambda uow: _root_for(uow, factory)
    if root is None:
        return
    key, sealed = keyring.make(SealedKeyPurpose.GATEWAY_TLS)
    csr = gateway_csr(key, factory)
    terms = IssuerTerms.of(root.certificate)
    plan = plan_gateway_tls(csr, terms, now=now, serial=new_serial(), backdate=backdate)
    intent_id, certificate = yield from sign_recorded(
        plan,
        keyring.open(root.sealed),
        Errand(
            factory_id=factory.id,
            issuer=root.certificate,
            subject_key=factory.gateway_name,
            request=csr.csr.public_bytes(Encoding.DER),
            now=now,
        ),
    )

    def store(uow: UnitOfWork) -> None:
        if _root_for(uow, factory) is None:
            uow.issuances.void(intent_id)
            return
        uow.issuances.record_certificate(intent_id, certificate_der(certificate))
        uow.keys.add_active(factory.id, sealed)
        uow.pki.set_shared_tls(factory.id, certificate_der(certificate))
        uow.audit.append(_issued(factory.id, certificate, now))
        uow.changes.announce(ChangeKind.TRUST, factory.id)

    yield store


def gateway_csr(key: PrivateKey, factory: Factory, *, with_ostree: bool = True) -> VerifiedCsr:
    """Return a CSR for the factory's gateway name, first, and its OSTree host's, second (api.md §3.2 rule 6)."""
    names = (factory.gateway_name, ostree_name(factory.gateway_name))
    subject = backend_key_subject(factory.name, factory.gateway_name)
    return verify_csr(make_csr(key, subject, names if with_ostree else names[:1]))


def _root_for(uow: UnitOfWork, factory: Factory) -> _SharedRoot | None:
    """The shared root that must sign for this factory, or None if nothing has to be signed."""
    if not _lacks_tls(uow, factory):
        return None
    root = uow.pki.load(None).root
    sealed = None if root is None else uow.keys.find(spki_sha256(root.public_key()))
    if root is None or sealed is None:
        raise KeyStoreError(
            "shared-pki-missing", "This server has no shared PKI yet; start it once with `ownroot serve`."
        )
    return _SharedRoot(root, sealed)


def _lacks_tls(uow: UnitOfWork, factory: Factory) -> bool:
    return uow.pki.shared_tls(factory.id) is None and not uow.pki.load(factory.id).is_taken_over


def _issued(factory_id: int | None, certificate: x509.Certificate, now: datetime) -> AuditEvent:
    details = {"subject": certificate.subject.rfc4514_string()}
    serial = serial_text(certificate.serial_number)
    return AuditEvent(factory_id, now, SERVER, EventKind.CERTIFICATE_ISSUED, serial, details)
