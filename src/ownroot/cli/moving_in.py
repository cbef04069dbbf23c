"""A fleet that has its PKI already moves to this server: its root takes the factory over and its device CAs come along.

The keys of the old server stay there, so the new one makes its own and the root certifies them. A device CA whose key
the old server held comes in disabled: the devices it signed go on, and whoever has that key makes no new ones. All of
that is one upload (protocol: api.md §3.4; docs/wire for device CAs of another server).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from cryptography import x509

from ownroot.cli.change_run import Say, upload_change
from ownroot.cli.owner_pki import device_cas_of
from ownroot.cli.pki_changes import (
    CreatePki,
    SignedChange,
    csr_request,
    device_ca_list,
    read_csrs,
    require_active_root,
    sign_change,
    trusted_device_cas,
)
from ownroot.cli.pki_directory import ONLINE_CA_FILE, ROOT_FILE, TLS_FILE, PkiDirectory
from ownroot.cli.signing import factory_of
from ownroot.client.api import Api
from ownroot.errors import ConflictError
from ownroot.pki.encoding import crl_pem, parse_certificate
from ownroot.pki.issuance import Issuer
from ownroot.pki.names import local_ca_user
from ownroot.pki.revocation import CERTIFICATE_HOLD, CrlEntry, make_crl
from ownroot.pki.serials import Serial
from ownroot.wire.certs import CertsUpload, FactoryCerts

_CREATE = CreatePki(online_ca=True, local_ca=None)


@dataclass(frozen=True, slots=True)
class MovingPlan:
    """What moves, as far as it is not here yet.

    Attributes:
        takes_over: the factory has no root of its own yet and gets this one.
        local: device CAs of the owner's; new devices are admitted under them.
        foreign: device CAs whose key the old server held; they come in disabled.
        expired: device CAs that have ended and stay behind.
    """

    root: x509.Certificate
    takes_over: bool
    local: tuple[x509.Certificate, ...]
    foreign: tuple[x509.Certificate, ...]
    expired: tuple[x509.Certificate, ...]

    @property
    def is_done(self) -> bool:
        return not (self.takes_over or self.local or self.foreign)


class MovingIn:
    """One run; a run that was cut is finished by the next one.

    Args:
        open_root: opens the root for signing; called only when something is to be signed.
        say: tells the owner what is going on, one line at a time.
    """

    def __init__(
        self, api: Api, directory: PkiDirectory, *, open_root: Callable[[], Issuer], now: datetime, say: Say
    ) -> None:
        self._api = api
        self._directory = directory
        self._open_root = open_root
        self._now = now
        self._say = say
        self._state = FactoryCerts()

    def plan(self, factory: str) -> MovingPlan:
        """Look what is here and what would move; nothing is made.

        Raises:
            ConflictError: `pki-directory-other-factory`, `already-taken-over` (by another root).
            NotFoundError: `pki-directory-incomplete`.
            OwnrootError: a certificate file cannot be read, or the server cannot be asked.
        """
        root = self._directory.certificate(ROOT_FILE)
        if factory_of(root) != factory:
            raise ConflictError(
                "pki-directory-other-factory",
                f"The root in {self._directory.path} is one of factory {factory_of(root)}, not of {factory}. "
                "The factory here must have the same name: it stands in every device's certificate.",
            )
        answer = self._api.certs()
        self._state = answer.certs
        if answer.is_taken_over:
            self._require_own_root(root)
        trusted = trusted_device_cas(self._state)
        brought = [ca for ca in device_cas_of(self._directory) if ca not in trusted]
        usable = [ca for ca in brought if ca.not_valid_after_utc > self._now]
        foreign = tuple(ca for ca in usable if local_ca_user(ca.subject) is None)
        return MovingPlan(
            root=root,
            takes_over=not answer.is_taken_over,
            local=tuple(ca for ca in usable if ca not in foreign),
            foreign=foreign,
            expired=tuple(ca for ca in brought if ca not in usable),
        )

    def carry_out(self, plan: MovingPlan) -> None:
        """Make what is planned so, or finish an earlier run.

        Raises:
            OwnrootError: the server refused, or the root key cannot be used; what was trusted before still is.
        """
        with self._directory.held():
            self._tidy()
            if plan.is_done:
                return
            root = self._open_root() if plan.takes_over or plan.foreign else None
            made = SignedChange(CertsUpload())
            if plan.takes_over and root is not None:
                made = self._certify_backend(root)
            self._say("Sending the certificates; no private key leaves this machine.")
            upload_change(self._api, self._upload(plan, made, root), self._say)
            for file in made.files:
                self._directory.promote(file.name)

    def _certify_backend(self, root: Issuer) -> SignedChange:
        self._say("Asking the server for its keys.")
        request = csr_request(_CREATE)
        if request is None:
            raise AssertionError("a take-over asks for keys")
        offered = read_csrs(_CREATE, self._api.request_csrs(request), factory_of(root.certificate))
        signed = sign_change(_CREATE, offered, root, self._state, now=self._now)
        for file in signed.files:
            self._directory.stage(file.name, file.certificate)
        return signed

    def _upload(self, plan: MovingPlan, made: SignedChange, root: Issuer | None) -> CertsUpload:
        # What the server trusts now, or what it would with the keys just certified; then what moves.
        present = made.upload if plan.takes_over else self._state
        device_cas = device_ca_list(FactoryCerts(ca_crt=present.ca_crt), [*plan.local, *plan.foreign])
        crl = None if root is None else _disabling(root, plan.foreign, self._now)
        return msgspec.structs.replace(made.upload, ca_crt=device_cas, ca_revoke_crl=crl)

    def _tidy(self) -> None:
        """Put in place what an earlier run staged and the server took; drop what it never took."""
        in_service = [*trusted_device_cas(self._state)]
        in_service += [parse_certificate(self._state.tls_crt)] if self._state.tls_crt else []
        for name in (TLS_FILE, ONLINE_CA_FILE):
            staged = self._directory.find_staged(name)
            if staged is None:
                continue
            if staged in in_service:
                self._directory.promote(name)
            else:
                self._directory.unstage(name)

    def _require_own_root(self, root: x509.Certificate) -> None:
        try:
            require_active_root(root, self._state)
        except ConflictError as exc:
            raise ConflictError(
                "already-taken-over",
                f"The factory has a root already, and it is not the one in {self._directory.path}.",
            ) from exc


def _disabling(root: Issuer, cas: Sequence[x509.Certificate], now: datetime) -> str | None:
    if not cas:
        return None
    entries = [CrlEntry(Serial(ca.serial_number), CERTIFICATE_HOLD) for ca in cas]
    return crl_pem(make_crl(root, entries, now=now))
