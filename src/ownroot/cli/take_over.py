"""Taking over a factory: `keys ca create` without its terminal.

The order keeps every failure harmless. First everything that could refuse is asked, then the owner is; then the backend
makes its keys and its CSRs are verified; only then a root key is made, once. What was made is on disk before it is
sent, and a later run in the same directory goes on from there (protocol: api.md §3.2, §3.3, §3.6).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from ownroot.cli.owner_pki import LocalCaWish, OwnerPki, OwnerPkiMaker
from ownroot.cli.pki_directory import LOCAL_CA_FILE, ROOT_FILE, PkiDirectory
from ownroot.cli.signing import read_backend_csr
from ownroot.client.api import Api
from ownroot.client.device_query import DeviceQuery
from ownroot.errors import ConflictError, InvalidInputError, RefusedError
from ownroot.pki.encoding import certificate_pem, parse_certificate
from ownroot.pki.requests import VerifiedCsr
from ownroot.wire.accounts import UserDetails
from ownroot.wire.certs import CertsUpload, CsrRequest

_SMALLEST_PAGE = 10
# How a server answers an upload whose keys it does not know (any more): the request arrived and was judged.
_JUDGED = frozenset((400, 409, 422))


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOverWish:
    """What the owner wants in their PKI. `local_ca_file` None: no local device CA."""

    factory: str
    online_ca: bool
    local_ca_file: str | None


@dataclass(frozen=True, slots=True)
class Survey:
    """What a take-over will cost, known before anything is made. `devices` None: this token may not count them."""

    factory: str
    user: UserDetails
    devices: int | None


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A finished take-over. `resumed`: with a root from an earlier run; `was_done`: that run had finished already."""

    root: x509.Certificate
    devices: int | None
    resumed: bool
    was_done: bool


class TakeOver:
    """One run of a take-over.

    Args:
        say: tells the owner what is going on, one line at a time.
    """

    def __init__(
        self, api: Api, directory: PkiDirectory, wish: TakeOverWish, *, now: datetime, say: Callable[[str], None]
    ) -> None:
        self._api = api
        self._directory = directory
        self._wish = wish
        self._say = say
        self._maker = OwnerPkiMaker(directory, wish.factory, now=now)

    def run(self, confirm: Callable[[Survey], None]) -> TakenOver:
        """Take the factory over, or finish what an earlier run began.

        Args:
            confirm: shown the cost; raises to stop before anything is made.
        Raises:
            ConflictError: `already-taken-over` (by another root), `pki-directory-mixed` and its like.
            OwnrootError: whatever the server, the directory or `confirm` says.
        """
        if done := self._done_before():
            return done
        survey = self._survey()
        self._found()  # a directory that cannot be used is refused before anyone is asked
        confirm(survey)
        with self._directory.held():
            found = self._found()
            if found.root is not None:
                self._say(f"Going on with the root in {self._directory.path}; no second one is made.")
            sent = self._is_complete(found) and self._accepts(found)
            root = found.root if sent and found.root is not None else self._make_and_upload(survey)
        return TakenOver(root, survey.devices, resumed=found.root is not None, was_done=False)

    def _done_before(self) -> TakenOver | None:
        answer = self._api.certs()
        if not answer.is_taken_over:
            return None
        ours = self._directory.find_certificate(ROOT_FILE)
        if ours is not None and answer.certs.root_crt and parse_certificate(answer.certs.root_crt) == ours:
            return TakenOver(ours, devices=None, resumed=True, was_done=True)
        raise ConflictError(
            "already-taken-over",
            f"Factory {self._wish.factory} has a root already, and it is not the one in {self._directory.path}.",
        )

    def _survey(self) -> Survey:
        user = self._api.self_user()
        try:
            devices = self._api.devices(DeviceQuery(limit=_SMALLEST_PAGE)).total
        except RefusedError:
            devices = None
        return Survey(self._wish.factory, user, devices)

    def _found(self) -> OwnerPki:
        return self._maker.read(self._wish.local_ca_file or LOCAL_CA_FILE)

    def _is_complete(self, found: OwnerPki) -> bool:
        online = found.online_ca is not None or not self._wish.online_ca
        local = found.local_ca is not None or self._wish.local_ca_file is None
        return found.root is not None and found.tls is not None and online and local

    def _accepts(self, found: OwnerPki) -> bool:
        """Send what an earlier run made. False: the backend has dropped the keys it made then."""
        try:
            self._upload(found)
        except (InvalidInputError, ConflictError) as refusal:
            if refusal.context.get("status") not in _JUDGED or refusal.code == "root-already-set":
                raise
            self._say(f"The server does not take the certificates made earlier ({refusal.detail.rstrip('.')}).")
            self._say("Asking it for new keys and signing them with the same root.")
            return False
        return True

    def _make_and_upload(self, survey: Survey) -> x509.Certificate:
        self._say("Asking the server for its keys.")
        tls_csr, online_csr = self._request_csrs()
        root = self._maker.ensure_root()
        file = self._wish.local_ca_file
        local = LocalCaWish(file=file, polis_id=survey.user.polis_id) if file else None
        made = OwnerPki(
            root=root.certificate,
            tls=self._maker.sign_tls(root, tls_csr),
            online_ca=self._maker.sign_online_ca(root, online_csr) if online_csr else None,
            local_ca=self._maker.ensure_local_ca(root, local) if local else None,
        )
        self._say(f"The certificates are in {self._directory.path}. Sending them; no private key leaves this machine.")
        self._upload(made)
        return root.certificate

    def _request_csrs(self) -> tuple[VerifiedCsr, VerifiedCsr | None]:
        request = CsrRequest(first_time_init=True, ca_csr=self._wish.online_ca, est_tls_csr=False, tls_csr=True)
        reply = self._api.request_csrs(request)
        tls = read_backend_csr("tls-csr", reply.tls_csr, self._wish.factory)
        if not self._wish.online_ca:
            return tls, None
        online = read_backend_csr("ca-csr", reply.ca_csr, self._wish.factory)
        if online.spki_sha256 == tls.spki_sha256:
            raise InvalidInputError("csr-same-key", "The server wants one key to be both gateway and CA.")
        return tls, online

    def _upload(self, pki: OwnerPki) -> None:
        wanted = (
            pki.online_ca if self._wish.online_ca else None,
            pki.local_ca if self._wish.local_ca_file is not None else None,
        )
        self._api.upload_certs(
            CertsUpload(
                root_crt=_pem(pki.root),
                ca_crt="\n".join(certificate_pem(ca) for ca in wanted if ca is not None) or None,
                tls_crt=_pem(pki.tls),
            )
        )


def _pem(certificate: x509.Certificate | None) -> str | None:
    return None if certificate is None else certificate_pem(certificate)
