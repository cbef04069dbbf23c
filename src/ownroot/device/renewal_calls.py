"""What a device says to its gateway and to the EST server while it renews (protocol: gateway.md §6.2, §6.6, §7.1)."""

import base64
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ownroot.client.gateway import GatewayClient
from ownroot.client.refusals import error_of
from ownroot.client.transport import Answer
from ownroot.clock import utc_now
from ownroot.device.check_in import open_gateway
from ownroot.device.identity import DeviceIdentity
from ownroot.errors import InvalidInputError, OwnrootError
from ownroot.pki.encoding import parse_certificates, spki_der, spki_pem
from ownroot.pki.renewed import KnownIssuers, verify_renewed
from ownroot.pki.requests import make_csr
from ownroot.pki.signer import PrivateKey, PublicKey
from ownroot.wire.est import CERTIFICATES_TYPE, CSR_TYPE, ISSUER_HEADER, parse_certificates_body, parse_issuer_header

_JSON = {"Content-Type": "application/json"}
_MEDIA_TYPE = CERTIFICATES_TYPE.partition(";")[0]
_TOLD = range(200, 205)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A new certificate that is verified, and the device CA that signed it."""

    certificate: x509.Certificate
    issuer: x509.Certificate


class RenewalCalls:
    """The calls of one renewal to the gateway.

    Args:
        id: groups the events.
        say: is told of events that the gateway did not take; they stop nothing.
    """

    def __init__(self, id: str, say: Callable[[str], None]) -> None:  # noqa: A002 - the wire's word
        self._id = id
        self._say = say

    def tell(self, identity: DeviceIdentity, name: str, *, fault: str | None = None) -> None:
        """Post an event; never raises an error of ours. `fault`: why the step failed, None if it did not."""
        event = {
            "id": str(uuid.uuid4()),
            "deviceTime": utc_now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventType": {"id": name, "version": 0},
            "event": {"correlationId": self._id, "success": fault is None, "details": fault or ""},
        }
        try:
            with open_gateway(identity) as gateway:
                answer = gateway.request("POST", "/events", body=json.dumps([event]).encode(), headers=_JSON)
                if answer.status not in _TOLD:
                    raise error_of(answer)
        except OwnrootError as error:
            self._say(f"The gateway did not take the event {name!r}: {error.detail}")

    def announce(self, identity: DeviceIdentity, key: PublicKey) -> None:
        """Say which key comes next.

        Raises:
            OwnrootError: as `GatewayClient.request` and `error_of`.
        """
        body = json.dumps({"next_pubkey": spki_pem(spki_der(key))}).encode()
        with open_gateway(identity) as gateway:
            answer = gateway.request("PATCH", "/device", body=body, headers=_JSON)
        if answer.status != 200:
            raise error_of(answer)


def enrol(
    identity: DeviceIdentity,
    est: str,
    present: x509.Certificate,
    key: PrivateKey,
    *,
    known_cas: Sequence[x509.Certificate],
) -> Enrolled:
    """Ask the EST server for a certificate in place of the present one; believe what keeps every rule.

    Args:
        est: base URL, `/.well-known/est` included.
        known_cas: device CAs that may have signed it, besides what the server says.
    Raises:
        InvalidInputError: `est-answer`, and as `verify_renewed`.
        OwnrootError: as `GatewayClient.request` and `error_of`.
    """
    csr = make_csr(key, present.subject)
    body = base64.b64encode(csr.public_bytes(Encoding.DER))
    with open_gateway(identity, server=est) as server:
        answer = server.request("POST", "/simplereenroll", body=body, headers={"Content-Type": CSR_TYPE})
        certificate = _certificate_in(answer)
        cas = [*known_cas, *_cas_told(answer, server)]
    roots = parse_certificates(identity.root_file.read_text(encoding="ascii"))
    issuer = verify_renewed(certificate, present, key.public_key(), KnownIssuers(cas, roots), now=utc_now())
    return Enrolled(certificate, issuer)


def _certificate_in(answer: Answer) -> x509.Certificate:
    if answer.status not in (200, 201):
        raise error_of(answer)
    is_answer = answer.headers.get("content-type", "").startswith(_MEDIA_TYPE)
    found = parse_certificates_body(answer.body) if is_answer else ()
    if len(found) != 1:
        raise InvalidInputError("est-answer", f"{answer.url} did not answer with one certificate. Nothing was changed.")
    return found[0]


def _cas_told(answer: Answer, server: GatewayClient) -> Sequence[x509.Certificate]:
    """Return CAs the server names: ours in a header, others beside their root (RFC 7030 §4.1.3)."""
    issuer = parse_issuer_header(answer.headers.get(ISSUER_HEADER.lower(), ""))
    if issuer is not None:
        return (issuer,)
    told = server.request("GET", "/cacerts")
    return parse_certificates_body(told.body) if told.status == 200 else ()
