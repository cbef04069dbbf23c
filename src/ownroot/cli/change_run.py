"""Making a change of a factory's PKI in one go, on a machine that has both the root and the server.

What the server must accept first stands as `NAME.new` in the directory until it has, so a run that was cut anywhere is
finished by the next one: the state of the server tells what became of it, and no answer is taken for granted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from ownroot.cli.pki_changes import (
    AddDeviceCas,
    AuthorizeEst,
    Change,
    LocalCa,
    Offered,
    RotateTls,
    SignedChange,
    csr_request,
    device_ca_list,
    is_in_effect,
    read_csrs,
    require_active_root,
    sign_change,
    trusted_device_cas,
)
from ownroot.cli.pki_directory import ONLINE_CA_FILE, ROOT_FILE, TLS_FILE, PkiDirectory
from ownroot.cli.signing import factory_of
from ownroot.client.api import Api
from ownroot.errors import ConflictError, InvalidInputError, OwnrootError, UnavailableError
from ownroot.pki.chains import is_signed_by
from ownroot.pki.encoding import certificate_pem
from ownroot.pki.issuance import Issuer
from ownroot.wire.certs import CertsUpload, FactoryCerts

Say = Callable[[str], None]
# How a server answers an upload whose keys it does not know (any more): the request arrived and was judged.
JUDGED = frozenset((400, 409, 422))
# Answers that leave open whether the server acted.
_UNKNOWN_OUTCOME = frozenset(("no-answer", "connection-lost"))


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate the server has accepted. `resumed`: an earlier run had made it."""

    name: str
    certificate: x509.Certificate
    resumed: bool


class ChangeRun:
    """One run that changes the PKI of one factory.

    Args:
        open_root: opens the root for signing; called only when something is to be signed.
        say: tells the owner what is going on, one line at a time.
    Raises:
        OwnrootError: from every method, whatever server, directory or root key say. What was in service before still
            is then, or the next run finds out that it is not and finishes.
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

    def rotate_tls(self) -> Made:
        """Give the gateway a new key and certificate; `tls-crt` changes once the server has accepted."""
        self._read_state()
        with self._directory.held():
            return self._finish(TLS_FILE) or self._carry_out(RotateTls())[0]

    def authorize_est(self) -> x509.Certificate:
        """Give the EST server its TLS certificate; it is returned and not kept in the directory."""
        self._read_state()
        return self._sign_and_upload(AuthorizeEst()).certificates[0]

    def add_device_cas(self, *, online_ca: bool, local_ca_file: str | None) -> tuple[Made, ...]:
        """Trust a new online CA, a new local CA, or both.

        Raises:
            ConflictError: `pki-file-exists`, the local CA's file is there already.
            KeyStoreError: `key-exists`, a key on the token has the local CA's label already.
        """
        self._read_state()
        wanted = [name for name in (ONLINE_CA_FILE if online_ca else None, local_ca_file) if name is not None]
        with self._directory.held():
            self._refuse_existing(local_ca_file)
            made = self._finish_device_cas(wanted)
            left = [name for name in wanted if name not in {each.name for each in made}]
            if left:
                made += self._carry_out(self._addition(left))
        return tuple(made)

    def _read_state(self) -> None:
        """Ask what the factory trusts, and refuse a directory of another root before anything is made."""
        root = self._directory.certificate(ROOT_FILE)
        self._state = self._api.certs().certs
        require_active_root(root, self._state)

    def _refuse_existing(self, file: str | None) -> None:
        certificate = self._directory.find_certificate(file) if file is not None else None
        if certificate is None:
            if file is not None and self._directory.find_staged(file) is None:
                self._directory.refuse_local_ca_key_of_another(file)
            return
        trusted = certificate in trusted_device_cas(self._state)
        standing = "a trusted device CA" if trusted else "one that the server does not trust"
        path = self._directory.path / str(file)
        raise ConflictError("pki-file-exists", f"There is a file {path} already: {standing}.")

    def _finish_device_cas(self, names: Sequence[str]) -> list[Made]:
        made = []
        for name in names:
            if (finished := self._finish(name)) is not None:
                made.append(finished)
                self._read_state()  # the list has grown, and the next upload must hold all of it
        return made

    def _finish(self, name: str) -> Made | None:
        """Finish with a certificate an earlier run made and staged; None if there is none that the server takes."""
        certificate = self._directory.find_staged(name)
        if certificate is None:
            return None
        if not is_signed_by(certificate, self._directory.certificate(ROOT_FILE)):
            raise ConflictError(
                "pki-directory-mixed", f"In {self._directory.path}, {name}.new is not signed by {ROOT_FILE}."
            )
        self._say(f"Going on with {name} of an earlier run that was cut.")
        if not self._accepts(self._upload_of(name, certificate)):
            self._directory.unstage(name)
            return None
        self._directory.promote(name)
        return Made(name, certificate, resumed=True)

    def _upload_of(self, name: str, certificate: x509.Certificate) -> CertsUpload:
        if name == TLS_FILE:
            return CertsUpload(tls_crt=certificate_pem(certificate))
        return CertsUpload(ca_crt=device_ca_list(self._state, [certificate]))

    def _accepts(self, upload: CertsUpload) -> bool:
        if is_in_effect(upload, self._state):
            return True
        try:
            upload_change(self._api, upload, self._say)
        except (InvalidInputError, ConflictError) as refusal:
            if refusal.context.get("status") not in JUDGED:
                raise
            self._say(f"The server does not take it ({refusal.detail.rstrip('.')}). Making a new one.")
            return False
        return True

    def _addition(self, files: Sequence[str]) -> AddDeviceCas:
        local_file = next((file for file in files if file != ONLINE_CA_FILE), None)
        local = LocalCa(file=local_file, polis_id=self._api.self_user().polis_id) if local_file else None
        return AddDeviceCas(online_ca=ONLINE_CA_FILE in files, local_ca=local)

    def _carry_out(self, change: AddDeviceCas | RotateTls) -> tuple[Made, ...]:
        signed = self._sign_and_upload(change)
        for file in signed.files:
            self._directory.promote(file.name)
        return tuple(Made(file.name, file.certificate, resumed=False) for file in signed.files)

    def _sign_and_upload(self, change: Change) -> SignedChange:
        root = self._open_root()  # before the server is asked: a key that cannot be used costs nobody anything
        signed = sign_change(change, self._ask(change), root, self._state, now=self._now)
        for file in signed.files:
            self._directory.stage(file.name, file.certificate)
        upload_change(self._api, signed.upload, self._say)
        return signed

    def _ask(self, change: Change) -> Offered:
        """Let the server make its keys; only then is one of ours made, if this change has one."""
        request = csr_request(change)
        factory = factory_of(self._directory.certificate(ROOT_FILE))
        offered = Offered()
        if request is not None:
            self._say("Asking the server for a new key.")
            offered = read_csrs(change, self._api.request_csrs(request), factory)
        if isinstance(change, AddDeviceCas) and change.local_ca is not None:
            file = change.local_ca.file
            key = self._directory.find_local_ca_key(file) or self._directory.create_local_ca_key(file)
            offered = replace(offered, local_ca_key=key.public_key())
        return offered


def upload_change(api: Api, upload: CertsUpload, say: Say) -> None:
    """Send an upload; if its answer is lost, look whether the server has acted on it.

    Raises:
        OwnrootError: the server refused, or nobody knows.
    """
    try:
        api.upload_certs(upload)
    except UnavailableError as lost:
        if lost.code not in _UNKNOWN_OUTCOME or not _can_be_seen(api, upload):
            raise
        say("The server's answer was lost, and the server shows that it has made the change.")


def _can_be_seen(api: Api, upload: CertsUpload) -> bool:
    try:
        return is_in_effect(upload, api.certs().certs)
    except OwnrootError:  # then the first error is the one to tell
        return False
