"""Every change of a factory's PKI as a value: what to ask the server, what to sign with the root, what to upload.

Nothing here reads a file or talks to a server, so a change can be prepared on one machine and signed on another. The
steps are the same wherever they run: `csr_request` and `read_csrs` where the server can be reached, `sign_change` where
the root is, the upload and `is_in_effect` where the server can be reached again (protocol: api.md §3.2, §3.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar, assert_never

from cryptography import x509

from ownroot.cli.pki_directory import ONLINE_CA_FILE, TLS_FILE
from ownroot.cli.signing import NextSerial, read_backend_csr, sign_local_ca, sign_online_ca, sign_tls
from ownroot.errors import ConflictError, InvalidInputError, NotFoundError
from ownroot.pki import revocation
from ownroot.pki.chains import is_signed_by
from ownroot.pki.encoding import certificate_pem, crl_pem, parse_certificate, parse_certificates, parse_crl
from ownroot.pki.issuance import Issuer
from ownroot.pki.requests import VerifiedCsr
from ownroot.pki.revocation import CrlEntry, Verdict
from ownroot.pki.serials import Serial, new_serial, serial_text
from ownroot.pki.signer import PublicKey
from ownroot.wire.certs import CertsUpload, CsrReply, CsrRequest, FactoryCerts

Value = TypeVar("Value")

# What the reference client sends for the first two, and what it leaves to others for the third (api.md §3.5).
_REASONS: Final = {
    Verdict.REVOKE: revocation.PRIVILEGE_WITHDRAWN,
    Verdict.DISABLE: revocation.CERTIFICATE_HOLD,
    Verdict.RENEW: revocation.REMOVE_FROM_CRL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCa:
    """A device CA of the owner's own: its certificate's file, and the user its subject names."""

    file: str
    polis_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePki:
    """Take the factory over with a new root; the signing root is that root."""

    online_ca: bool
    local_ca: LocalCa | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDeviceCas:
    """Trust one or two more device CAs. A new online CA takes over from the present one, which stays trusted."""

    online_ca: bool
    local_ca: LocalCa | None


@dataclass(frozen=True, slots=True)
class RotateTls:
    """Give the gateway a new TLS key and certificate."""


@dataclass(frozen=True, slots=True)
class AuthorizeEst:
    """Give the EST server a TLS certificate, its first or a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeDeviceCas:
    """Revoke, disable or enable device CAs by a CRL.

    `returning` holds certificates of revoked CAs that come back: only with `Verdict.RENEW`, each named in `serials`.
    """

    verdict: Verdict
    serials: tuple[Serial, ...]
    returning: tuple[x509.Certificate, ...] = ()


Change = CreatePki | AddDeviceCas | RotateTls | AuthorizeEst | JudgeDeviceCas


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What others contribute to a change: the backend's CSRs, verified, and the key of a local device CA."""

    tls: VerifiedCsr | None = None
    est_tls: VerifiedCsr | None = None
    online_ca: VerifiedCsr | None = None
    local_ca_key: PublicKey | None = None


@dataclass(frozen=True, slots=True)
class FileToKeep:
    """A certificate that belongs in the PKI directory once the server has accepted it."""

    name: str
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class SignedChange:
    """A change with all its signatures. `upload` is one PATCH; `certificates` are those made now."""

    upload: CertsUpload
    certificates: tuple[x509.Certificate, ...] = ()
    files: tuple[FileToKeep, ...] = ()


def csr_request(change: Change) -> CsrRequest | None:
    """Return what to POST; None if the change needs no key of the backend's."""
    match change:
        case CreatePki(online_ca=online):
            return CsrRequest(first_time_init=True, ca_csr=online, est_tls_csr=False, tls_csr=True)
        case AddDeviceCas(online_ca=online):
            return CsrRequest(first_time_init=False, ca_csr=True) if online else None
        case RotateTls():
            return CsrRequest(first_time_init=False, tls_csr=True)
        case AuthorizeEst():
            return CsrRequest(first_time_init=False, est_tls_csr=True)
        case JudgeDeviceCas():
            return None
        case _:
            assert_never(change)


def read_csrs(change: Change, reply: CsrReply, factory: str, *, local_ca_key: PublicKey | None = None) -> Offered:
    """Verify the CSRs that came for `csr_request`; others are left unread.

    Raises:
        InvalidInputError: `csr-missing`, `csr-other-factory`, `csr-same-key`, `csr-est-names`, or why one is unusable.
    """
    asked = csr_request(change) or CsrRequest()
    offered = Offered(
        tls=read_backend_csr("tls-csr", reply.tls_csr, factory) if asked.tls_csr else None,
        est_tls=read_backend_csr("est-tls-csr", reply.est_tls_csr, factory) if asked.est_tls_csr else None,
        online_ca=read_backend_csr("ca-csr", reply.ca_csr, factory) if asked.ca_csr else None,
        local_ca_key=local_ca_key,
    )
    keys = [csr.spki_sha256 for csr in (offered.tls, offered.est_tls, offered.online_ca) if csr is not None]
    if len(set(keys)) != len(keys):
        raise InvalidInputError("csr-same-key", "The server wants one key to be both gateway and CA.")
    if offered.est_tls is not None and len(offered.est_tls.dns_names) != 1:
        raise InvalidInputError("csr-est-names", "The server's est-tls-csr does not name exactly one host.")
    return offered


def sign_change(
    change: Change,
    offered: Offered,
    root: Issuer,
    state: FactoryCerts,
    *,
    now: datetime,
    crl_lifetime: timedelta = revocation.CRL_LIFETIME,
    next_serial: NextSerial = new_serial,
) -> SignedChange:
    """Sign everything a change needs.

    Args:
        offered: from `read_csrs` for the same change.
        root: the factory's root; for `CreatePki` the new one.
        state: what the factory trusts now, as the server told it.
        crl_lifetime: how long a verdict can be carried out.
    Raises:
        NotFoundError: `pki-not-set-up`, `no-such-device-ca`.
        ConflictError: `root-already-set`, `other-root`.
        InvalidInputError, RefusedError: why a certificate cannot be signed.
        KeyStoreError: the root key would not sign.
    """
    if not isinstance(change, CreatePki):
        require_active_root(root.certificate, state)
    elif state.root_crt is not None and parse_certificate(state.root_crt) != root.certificate:
        raise ConflictError("root-already-set", "The factory has another root already.")
    match change:
        case CreatePki() | AddDeviceCas():
            return _sign_cas(change, offered, root, state, now=now, next_serial=next_serial)
        case RotateTls():
            tls = sign_tls(root, _present(offered.tls, "tls-csr"), now=now, next_serial=next_serial)
            return SignedChange(CertsUpload(tls_crt=certificate_pem(tls)), (tls,), (FileToKeep(TLS_FILE, tls),))
        case AuthorizeEst():
            est = sign_tls(root, _present(offered.est_tls, "est-tls-csr"), now=now, next_serial=next_serial)
            return SignedChange(CertsUpload(est_tls_crt=certificate_pem(est)), (est,))
        case JudgeDeviceCas():
            return _sign_verdict(change, root, state, now=now, crl_lifetime=crl_lifetime)
        case _:
            assert_never(change)


def is_in_effect(upload: CertsUpload, state: FactoryCerts) -> bool:
    """Say whether the factory already trusts what this upload would make it trust.

    For an upload whose answer was lost. A CRL in it counts as carried out when its outcome is there.
    """
    wanted = (
        (upload.root_crt, state.root_crt),
        (upload.tls_crt, state.tls_crt),
        (upload.est_tls_crt, state.est_tls_crt),
        (upload.ca_crt, state.ca_crt),
    )
    return all(_holds(state_pem, pem) for pem, state_pem in wanted) and _is_judged(upload.ca_revoke_crl, state)


def trusted_device_cas(state: FactoryCerts) -> tuple[x509.Certificate, ...]:
    """Return the device CAs a factory trusts, disabled ones included. Raises InvalidInputError if unreadable."""
    return parse_certificates(state.ca_crt) if state.ca_crt else ()


def require_active_root(root: x509.Certificate, state: FactoryCerts) -> None:
    """Check that this is the root the factory trusts: what any other signs would be refused.

    Raises:
        NotFoundError: `pki-not-set-up`.
        ConflictError: `other-root`.
    """
    active = parse_certificate(state.root_crt) if state.root_crt else None
    if active is None:
        raise NotFoundError("pki-not-set-up", "The factory has no root of its own yet, so there is nothing to change.")
    if active != root:
        raise ConflictError(
            "other-root",
            f"The factory's root has serial {serial_text(active.serial_number)}, the one here "
            f"{serial_text(root.serial_number)}.",
        )


def require_known(change: JudgeDeviceCas, state: FactoryCerts) -> None:
    """Check that every device CA named is trusted, disabled ones included, or comes back with its certificate.

    Raises:
        NotFoundError: `no-such-device-ca`.
    """
    known = {ca.serial_number for ca in (*trusted_device_cas(state), *change.returning)}
    for serial in change.serials:
        if serial not in known:
            raise NotFoundError("no-such-device-ca", f"There is no active device CA with serial {serial_text(serial)}.")


def _sign_cas(
    change: CreatePki | AddDeviceCas,
    offered: Offered,
    root: Issuer,
    state: FactoryCerts,
    *,
    now: datetime,
    next_serial: NextSerial,
) -> SignedChange:
    made: list[FileToKeep] = []
    tls = None
    if isinstance(change, CreatePki):
        tls = sign_tls(root, _present(offered.tls, "tls-csr"), now=now, next_serial=next_serial)
    if change.online_ca:
        csr = _present(offered.online_ca, "ca-csr")
        made.append(FileToKeep(ONLINE_CA_FILE, sign_online_ca(root, csr, now=now, next_serial=next_serial)))
    if change.local_ca is not None:
        key = _present(offered.local_ca_key, "key of the local device CA")
        local = sign_local_ca(root, key, change.local_ca.polis_id, now=now, next_serial=next_serial)
        made.append(FileToKeep(change.local_ca.file, local))
    upload = CertsUpload(
        root_crt=None if tls is None else certificate_pem(root.certificate),
        tls_crt=None if tls is None else certificate_pem(tls),
        ca_crt=device_ca_list(state, [file.certificate for file in made]),
    )
    files = (*made, *(() if tls is None else (FileToKeep(TLS_FILE, tls),)))
    return SignedChange(upload, tuple(file.certificate for file in files), files)


def device_ca_list(state: FactoryCerts, new: Sequence[x509.Certificate]) -> str | None:
    """Return the whole list to upload: what is trusted now as the server wrote it, then the new ones."""
    return "\n".join([*([state.ca_crt] if state.ca_crt else []), *map(certificate_pem, new)]) or None


def _sign_verdict(
    change: JudgeDeviceCas, root: Issuer, state: FactoryCerts, *, now: datetime, crl_lifetime: timedelta
) -> SignedChange:
    trusted = {ca.serial_number for ca in trusted_device_cas(state)}
    for ca in change.returning:
        if not is_signed_by(ca, root.certificate):
            raise InvalidInputError("ca-not-signed-by-root", "The device CA is not signed by the factory root.")
    back = [ca for ca in change.returning if ca.serial_number not in trusted]
    require_known(change, state)
    entries = [CrlEntry(serial, _REASONS[change.verdict]) for serial in change.serials]
    crl = revocation.make_crl(root, entries, now=now, lifetime=crl_lifetime)
    return SignedChange(
        CertsUpload(ca_crt=device_ca_list(state, back) if back else None, ca_revoke_crl=crl_pem(crl)),
    )


def _holds(state_pem: str | None, pem: str | None) -> bool:
    if pem is None:
        return True
    return state_pem is not None and set(parse_certificates(pem)) <= set(parse_certificates(state_pem))


def _is_judged(crl_text: str | None, state: FactoryCerts) -> bool:
    if crl_text is None:
        return True
    if state.root_crt is None:
        return False
    crl = parse_crl(crl_text)
    command = revocation.read_crl_command(crl, parse_certificate(state.root_crt), crl.last_update_utc)
    trusted = {Serial(ca.serial_number) for ca in trusted_device_cas(state)}
    return all(_is_carried_out(entry, trusted, state) for entry in command.entries)


def _is_carried_out(entry: CrlEntry, trusted: set[Serial], state: FactoryCerts) -> bool:
    is_disabled = serial_text(entry.serial) in state.disabled_ca_serials
    match entry.verdict:
        case Verdict.REVOKE:
            return entry.serial not in trusted
        case Verdict.DISABLE:
            return entry.serial in trusted and is_disabled
        case Verdict.RENEW:
            return entry.serial in trusted and not is_disabled
        case _:
            assert_never(entry.verdict)


def _present(value: Value | None, name: str) -> Value:
    if value is None:
        raise InvalidInputError("csr-missing", f"The {name} this change needs is not there.")
    return value
