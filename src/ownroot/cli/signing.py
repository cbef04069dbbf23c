"""What an owner signs with the root: pure, from verified requests to checked certificates.

Every certificate is judged by the rules the server will judge it by before anyone sees it.
"""

from collections.abc import Callable
from datetime import datetime

from cryptography import x509

from ownroot.errors import InvalidInputError
from ownroot.pki import names
from ownroot.pki.conformance import check_device_ca, check_tls
from ownroot.pki.encoding import parse_csr
from ownroot.pki.issuance import Issuer, plan_device_ca, plan_gateway_tls, sign_plan
from ownroot.pki.requests import VerifiedCsr, verify_csr
from ownroot.pki.serials import Serial, new_serial
from ownroot.pki.signer import PublicKey

NextSerial = Callable[[], Serial]


def factory_of(root: x509.Certificate) -> str:
    """Return the factory a root is for: its only OU.

    Raises:
        InvalidInputError: `root-factory`.
    """
    units = names.read_subject(root.subject).organizational_units
    if len(units) != 1:
        raise InvalidInputError("root-factory", "The root does not name one factory in its subject (OU).")
    return units[0]


def sign_tls(
    root: Issuer, csr: VerifiedCsr, *, now: datetime, next_serial: NextSerial = new_serial
) -> x509.Certificate:
    """Sign the certificate of a gateway or EST server for the DNS names of its CSR.

    Raises:
        InvalidInputError, RefusedError: as `plan_gateway_tls`, `check_tls`.
        KeyStoreError: the root key would not sign.
    """
    plan = plan_gateway_tls(csr, root.certificate, now=now, serial=next_serial(), backdate=root.backdate)
    certificate = sign_plan(plan, root.key)
    check_tls(certificate, root.certificate, csr.dns_names, now)
    return certificate


def sign_online_ca(
    root: Issuer, csr: VerifiedCsr, *, now: datetime, next_serial: NextSerial = new_serial
) -> x509.Certificate:
    """Sign a device CA whose key the backend holds. Raises as `plan_device_ca`, `check_device_ca`."""
    subject = names.reencode_subject(csr.subject)
    plan = plan_device_ca(
        subject, csr.public_key, root.certificate, now=now, serial=next_serial(), backdate=root.backdate
    )
    certificate = sign_plan(plan, root.key)
    check_device_ca(certificate, root.certificate, factory_of(root.certificate), now)
    return certificate


def sign_local_ca(
    root: Issuer, key: PublicKey, polis_id: str, *, now: datetime, next_serial: NextSerial = new_serial
) -> x509.Certificate:
    """Sign a device CA of a user's own. Raises as `names.local_ca_subject`, `plan_device_ca`, `check_device_ca`."""
    factory = factory_of(root.certificate)
    subject = names.local_ca_subject(factory, polis_id)
    plan = plan_device_ca(subject, key, root.certificate, now=now, serial=next_serial(), backdate=root.backdate)
    certificate = sign_plan(plan, root.key)
    check_device_ca(certificate, root.certificate, factory, now)
    return certificate


def read_backend_csr(name: str, pem: str | None, factory: str) -> VerifiedCsr:
    """Read a CSR the backend sent, before any key of ours is touched.

    Raises:
        InvalidInputError: `csr-missing`, `csr-other-factory`, `csr-local-ca-name`, or why it does not verify; the
            detail names it.
    """
    if not pem:
        raise InvalidInputError("csr-missing", f"The server did not send the {name} it was asked for.")
    try:
        csr = verify_csr(parse_csr(pem))
    except InvalidInputError as exc:
        raise InvalidInputError(exc.code, f"The server's {name} is not usable: {exc.detail}") from exc
    if names.read_subject(csr.subject).organizational_units != (factory,):
        raise InvalidInputError("csr-other-factory", f"The server's {name} is not for factory {factory}.")
    # By this name the server would take the certificate for a local CA's, whoever holds its key.
    if names.local_ca_user(names.reencode_subject(csr.subject)) is not None:
        raise InvalidInputError("csr-local-ca-name", f"The server's {name} has the name of a local device CA.")
    return csr
