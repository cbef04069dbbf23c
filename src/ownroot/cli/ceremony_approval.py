"""The offline machine's part of a ceremony: check a request, sign what it asks, and write down what was done.

No server is asked and no clock but the caller's. Everything that can be refused is, before the owner is asked; new
certificates stand in the directory under their names only when the approval is safely written.
"""

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import cryptography
from cryptography import x509

from ownroot import __version__
from ownroot.cli.ceremony_orders import change_of
from ownroot.cli.owner_pki import OwnerPkiMaker
from ownroot.cli.pki_changes import (
    AddDeviceCas,
    Change,
    CreatePki,
    JudgeDeviceCas,
    Offered,
    SignedChange,
    read_csrs,
    require_active_root,
    require_known,
    sign_change,
    trusted_device_cas,
)
from ownroot.cli.pki_directory import LOCAL_CA_FILE, ROOT_FILE, PkiDirectory
from ownroot.cli.root_key import open_root
from ownroot.cli.signing import factory_of
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError
from ownroot.pki.chains import is_signed_by
from ownroot.pki.conformance import CLOCK_SKEW
from ownroot.pki.encoding import certificate_pem, certificate_sha256, parse_crl
from ownroot.pki.issuance import Issuer
from ownroot.pki.serials import serial_text
from ownroot.wire.ceremony import (
    ApprovalFile,
    CeremonyApproval,
    CeremonyRecord,
    MadeCertificate,
    RecordFile,
    RequestFile,
    sign_approval,
    sign_record,
    state_sha256,
)


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that can be carried out. `root` None: a take-over whose root is yet to be made."""

    file: RequestFile
    change: Change
    offered: Offered
    root: x509.Certificate | None


@dataclass(frozen=True, slots=True)
class Approved:
    """What to write; `signed` holds the certificates for the directory."""

    approval: ApprovalFile
    record: RecordFile
    signed: SignedChange


def check_request(file: RequestFile, directory: PkiDirectory, *, now: datetime) -> Checked:
    """Check a request against the directory; nothing is made.

    Raises:
        ConflictError: `ceremony-expired`, `ceremony-other-factory`, `other-root`, `root-already-set`,
            `pki-file-exists`, `pki-directory-mixed` and its like.
        InvalidInputError: `clock-behind`, `ceremony-state`, `ceremony-order`, or why a CSR is not usable.
        NotFoundError: `pki-directory-incomplete`, `pki-not-set-up`, `no-such-device-ca`.
    """
    body = file.body
    _check_times(file, now)
    if state_sha256(body.state) != body.state_sha256:
        raise InvalidInputError("ceremony-state", "The digest of the factory's state is not that of the state shown.")
    change = change_of(body.change)
    if isinstance(change, CreatePki):
        root = _check_take_over(file, change, directory, now)
    else:
        root = _check_root(file, directory)
    if isinstance(change, JudgeDeviceCas):
        require_known(change, body.state)
    if isinstance(change, AddDeviceCas) and change.local_ca is not None:
        _require_free(directory, change.local_ca.file)
    return Checked(file, change, read_csrs(change, body.csrs, body.factory), root)


def approve(
    checked: Checked,
    directory: PkiDirectory,
    *,
    operators: Sequence[str],
    crl_lifetime: timedelta,
    now: datetime,
    write: Callable[[Approved], None],
) -> Approved:
    """Sign a checked request, let `write` bring approval and record to safety, then put the files in their places.

    Raises:
        OwnrootError: as `sign_change`, `PkiDirectory`, `write`; no certificate of this ceremony is in its place then.
    """
    body = checked.file.body
    with directory.held():
        if isinstance(checked.change, CreatePki):
            root = OwnerPkiMaker(directory, body.factory, now=now).ensure_root()
        else:
            root = open_root(directory)
        offered = _with_local_key(checked, directory)
        signed = sign_change(checked.change, offered, root, body.state, now=now, crl_lifetime=crl_lifetime)
        approved = _sign_files(checked, directory, root, signed, operators=tuple(operators), now=now)
        _keep(directory, approved, write)
    return approved


def _check_times(file: RequestFile, now: datetime) -> None:
    body = file.body
    if now < body.requested_at - CLOCK_SKEW:
        raise InvalidInputError(
            "clock-behind",
            f"The request is of {body.requested_at:%Y-%m-%d %H:%M} UTC, and the clock of this machine shows "
            f"{now:%Y-%m-%d %H:%M} UTC.",
        )
    if body.expires_at is not None and now >= body.expires_at:
        raise ConflictError(
            "ceremony-expired",
            f"The keys the server made for this request have expired at {body.expires_at:%Y-%m-%d %H:%M} UTC.",
        )


def _check_take_over(
    file: RequestFile, change: CreatePki, directory: PkiDirectory, now: datetime
) -> x509.Certificate | None:
    if file.body.state.root_crt is not None:
        raise ConflictError("root-already-set", f"Factory {file.body.factory} has a root already.")
    local_file = change.local_ca.file if change.local_ca is not None else LOCAL_CA_FILE
    return OwnerPkiMaker(directory, file.body.factory, now=now).read(local_file).root


def _check_root(file: RequestFile, directory: PkiDirectory) -> x509.Certificate:
    body, root = file.body, directory.certificate(ROOT_FILE)
    if factory_of(root) != body.factory:
        raise ConflictError(
            "ceremony-other-factory",
            f"The request is for factory {body.factory}; the root in {directory.path} is one of {factory_of(root)}.",
        )
    require_active_root(root, body.state)
    for ca in trusted_device_cas(body.state):
        if not is_signed_by(ca, root):
            raise InvalidInputError(
                "ceremony-state",
                f"The state names a device CA (serial {serial_text(ca.serial_number)}) of another root.",
            )
    return root


def _require_free(directory: PkiDirectory, file: str) -> None:
    if directory.find_certificate(file) is not None:
        raise ConflictError("pki-file-exists", f"There is a file {directory.path / file} already.")
    directory.refuse_local_ca_key_of_another(file)


def _with_local_key(checked: Checked, directory: PkiDirectory) -> Offered:
    change = checked.change
    if not isinstance(change, CreatePki | AddDeviceCas) or change.local_ca is None:
        return checked.offered
    file = change.local_ca.file
    key = directory.find_local_ca_key(file) or directory.create_local_ca_key(file)
    return replace(checked.offered, local_ca_key=key.public_key())


def _sign_files(
    checked: Checked,
    directory: PkiDirectory,
    root: Issuer,
    signed: SignedChange,
    *,
    operators: tuple[str, ...],
    now: datetime,
) -> Approved:
    request = checked.file
    approval = sign_approval(
        CeremonyApproval(
            request=request.body,
            request_sha256=request.sha256,
            approved_at=now,
            operators=operators,
            root_sha256=certificate_sha256(root.certificate).hex(),
            upload=signed.upload,
            usable_until=_usable_until(request, signed),
        ),
        root.key,
    )
    record = sign_record(
        CeremonyRecord(
            request=request.body,
            request_sha256=request.sha256,
            approval_sha256=approval.sha256,
            approved_at=now,
            operators=operators,
            versions={
                "ownroot": __version__,
                "python": platform.python_version(),
                "cryptography": cryptography.__version__,
            },
            root_key=directory.root_key_name,
            root=_made(root.certificate, ROOT_FILE),
            certificates=tuple(_all_made(signed)),
            crl=signed.upload.ca_revoke_crl,
        ),
        root.key,
    )
    return Approved(approval, record, signed)


def _usable_until(request: RequestFile, signed: SignedChange) -> datetime | None:
    crl = signed.upload.ca_revoke_crl
    ends = (request.body.expires_at, parse_crl(crl).next_update_utc if crl is not None else None)
    return min((end for end in ends if end is not None), default=None)


def _all_made(signed: SignedChange) -> Iterator[MadeCertificate]:
    files = {certificate_sha256(file.certificate): file.name for file in signed.files}
    for certificate in signed.certificates:
        yield _made(certificate, files.get(certificate_sha256(certificate)))


def _made(certificate: x509.Certificate, file: str | None) -> MadeCertificate:
    return MadeCertificate(
        file=file,
        subject=certificate.subject.rfc4514_string(),
        serial=serial_text(certificate.serial_number),
        sha256=certificate_sha256(certificate).hex(),
        not_after=certificate.not_valid_after_utc,
        pem=certificate_pem(certificate),
    )


def _keep(directory: PkiDirectory, approved: Approved, write: Callable[[Approved], None]) -> None:
    files = approved.signed.files
    try:
        for file in files:
            directory.stage(file.name, file.certificate)
        write(approved)
    except OwnrootError:
        for file in files:
            directory.unstage(file.name)
        raise
    for file in files:
        directory.promote(file.name)
