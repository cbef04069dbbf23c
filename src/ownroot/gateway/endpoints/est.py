"""Certificate renewal as devices ask for it: EST over the connection whose certificate it renews (gateway.md §7.1).

Both operations have the same rule here: a device gets a certificate for the name it has and no other. The worker reads
the body and keeps the pace; everything else is decided by the issuing desk.
"""

from typing import Final

from cryptography import x509

from ownroot.gateway.application import Peer
from ownroot.gateway.device_pace import DevicePace, too_often
from ownroot.gateway.endpoints.call import DeviceCall
from ownroot.gateway.http_parser import Request
from ownroot.gateway.issuing_desk import IssuingDesk
from ownroot.gateway.responses import Response
from ownroot.pki.encoding import load_certificate_der, spki_sha256
from ownroot.services.read_gateway_trust import FactoryTrust
from ownroot.wire.est import (
    BASE_PATH,
    CERTIFICATES_TYPE,
    ISSUER_HEADER,
    certificates_body,
    issuer_header,
    parse_enrolment,
)

ENROLMENT_PATHS: Final = (BASE_PATH + "/simpleenroll", BASE_PATH + "/simplereenroll")


class Renewals:
    """Answers enrolments.

    Attributes:
        renewed, recovered: certificates handed out by this worker; the latter to devices whose own had expired.
    """

    def __init__(self, desk: IssuingDesk, pace: DevicePace) -> None:
        self._desk = desk
        self._pace = pace
        self.renewed = 0
        self.recovered = 0

    @property
    def fault(self) -> str:
        """Why certificates cannot be renewed, as far as somebody tried; empty if they can."""
        return self._desk.fault

    async def enrol(self, call: DeviceCall) -> Response:
        """POST simpleenroll and simplereenroll of a known device.

        Raises:
            InvalidInputError: as `wire.est.parse_enrolment`.
            OwnrootError: as `IssuingDesk.renew`.
        """
        answer = await self._renew(call.request, call.factory.id, call.peer, call.device.spki_sha256)
        self.renewed += answer.status == 200
        return answer

    async def recover(self, request: Request, trust: FactoryTrust, peer: Peer) -> Response:
        """The same for a device whose certificate has expired, if the owner's policy and its pinned key allow it.

        Raises:
            InvalidInputError, OwnrootError: as `enrol`.
        """
        key = load_certificate_der(_shown(peer)).public_key()
        answer = await self._renew(request, trust.factory.id, peer, spki_sha256(key))
        self.recovered += answer.status == 200
        return answer

    async def _renew(self, request: Request, factory_id: int, peer: Peer, key_sha256: bytes) -> Response:
        content_type = request.headers.get(b"content-type", b"").decode("latin-1")
        csr_der = parse_enrolment(content_type, request.body)
        wait = self._pace.wait_seconds(factory_id, key_sha256)
        if wait:
            return too_often("renewals-too-often", wait)
        issued = await self._desk.renew(factory_id, _shown(peer), csr_der, peer=peer.address)
        certificate = x509.load_der_x509_certificate(issued.certificate_der)  # ours; the desk has linted it
        # In a header, since the body holds one certificate alone.
        issuer = (ISSUER_HEADER.encode("ascii"), issuer_header(issued.issuer_der).encode("ascii"))
        headers = ((b"Content-Transfer-Encoding", b"base64"), issuer)
        return Response(200, certificates_body([certificate]), CERTIFICATES_TYPE.encode("ascii"), headers)


def _shown(peer: Peer) -> bytes:
    if peer.certificate_der is None:
        raise AssertionError("who asks here has shown a certificate")
    return peer.certificate_der
