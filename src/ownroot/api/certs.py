"""The PKI of a factory over HTTP: `/ota/factories/{factory}/certs/` (protocol: api.md §3)."""

from ownroot.api.backend import Backend
from ownroot.api.ca_token_care import CaTokenCare
from ownroot.pki.encoding import certificate_pem
from ownroot.pki.serials import serial_text
from ownroot.services.authority import Principal
from ownroot.services.change_pki import change_pki
from ownroot.services.read_upload import UploadText
from ownroot.services.request_csrs import CsrOrder, request_csrs
from ownroot.services.scopes import Role, Scope
from ownroot.services.view_pki import PkiView, view_pki
from ownroot.web.endpoint import Access, Call, Endpoint, JsonBody, Reply
from ownroot.wire.certs import (
    CertsUpload,
    ChangeMeta,
    CsrReply,
    CsrRequest,
    FactoryCerts,
    parse_certs_upload,
    parse_csr_request,
)

_PATH = "/ota/factories/{factory}/certs/"
_MANAGERS = (Role.OWNER, Role.ADMIN)
_READ = Access(scopes=(Scope.CERTS_READ,), or_roles=_MANAGERS)
_MANAGE = Access(scopes=(Scope.CERTS_MANAGE,), roles=_MANAGERS, audited=True)


class CertsPage:
    """Handlers for the factory PKI."""

    def __init__(self, backend: Backend, ca_token: CaTokenCare) -> None:
        self._backend = backend
        self._ca_token = ca_token

    async def show(self, call: Call[Principal]) -> Reply:
        """200, or 206 with empty fields while the factory lives on the shared PKI."""
        factory = call.caller.factory
        view = await self._backend.read(lambda uow: view_pki(uow, factory))
        return Reply(200 if view.pki.is_taken_over else 206, _certs(view))

    async def make_keys(self, call: Call[Principal]) -> Reply:
        """New keys, their CSRs."""
        asked: CsrRequest = call.body
        order = CsrOrder(asked.tls_csr, asked.est_tls_csr, asked.ca_csr, asked.first_time_init)
        csrs = await self._backend.run(request_csrs(order, call.caller, self._backend.keyring, now=call.now))
        await self._ca_token.sweep()  # the oldest of the pending keys may have gone
        return Reply(201, CsrReply(ca_csr=csrs.online_ca, est_tls_csr=csrs.est, tls_csr=csrs.tls))

    async def upload(self, call: Call[Principal]) -> Reply:
        """One transaction; answers what GET would. A key that went with it is off the token by then, if that serves."""
        sent: CertsUpload = call.body
        text = UploadText(sent.root_crt, sent.ca_crt, sent.tls_crt, sent.est_tls_crt, sent.ca_revoke_crl)
        view = await self._backend.run(change_pki(text, call.caller, now=call.now))
        await self._ca_token.sweep()
        return Reply(200, _certs(view))


def endpoints(backend: Backend, ca_token: CaTokenCare) -> tuple[Endpoint[Principal], ...]:
    """Declare them."""
    page = CertsPage(backend, ca_token)
    return (
        Endpoint(
            method="GET",
            path=_PATH,
            handler=page.show,
            access=_READ,
            summary="Show what the factory trusts. 206: it has no PKI of its own yet.",
            replies={200: FactoryCerts, 206: FactoryCerts},
        ),
        Endpoint(
            method="POST",
            path=_PATH,
            handler=page.make_keys,
            access=_MANAGE,
            summary="Make backend keys and return their CSRs. No body: TLS and online CA.",
            body=JsonBody(parse_csr_request, CsrRequest, required=False),
            replies={201: CsrReply},
        ),
        Endpoint(
            method="PATCH",
            path=_PATH,
            handler=page.upload,
            access=_MANAGE,
            summary="Take certificates into use; all of them or none.",
            body=JsonBody(parse_certs_upload, CertsUpload),
            replies={200: FactoryCerts},
        ),
    )


def _certs(view: PkiView) -> FactoryCerts:
    pki = view.pki
    meta = ChangeMeta(
        created_by=view.created_by,
        created_at=view.created_at,
        updated_by=view.updated_by,
        updated_at=view.updated_at,
    )
    return FactoryCerts(
        root_crt=None if pki.root is None else certificate_pem(pki.root),
        tls_crt=None if pki.gateway_tls is None else certificate_pem(pki.gateway_tls),
        ca_crt="".join(certificate_pem(ca.certificate) for ca in pki.device_cas) or None,
        est_tls_crt=None if pki.est_tls is None else certificate_pem(pki.est_tls),
        disabled_ca_serials=tuple(serial_text(serial) for serial in pki.disabled_serials),
        online_ca_serials=tuple(serial_text(serial) for serial in view.online_ca_serials),
        change_meta=meta,
    )
