"""What the gateway tells anybody, certificate or not: its clock, the root of the factory, what a CSR may hold.

Nothing here touches the database, and nothing depends on who asks. A device whose clock is wrong can verify nobody, so
the time is told without any trust: it is a hint for setting a clock, never evidence.
"""

from datetime import datetime

import msgspec

from ownroot.gateway.http_parser import Request
from ownroot.gateway.responses import Response
from ownroot.services.read_gateway_trust import FactoryTrust
from ownroot.wire.est import ATTRIBUTES_TYPE, BASE_PATH, CERTIFICATES_TYPE, attributes_body, certificates_body

OPEN_PREFIX = "/.well-known/"
_TIME = OPEN_PREFIX + "time"
_CA_CERTIFICATES = BASE_PATH + "/cacerts"
_ATTRIBUTES = BASE_PATH + "/csrattrs"
_BASE64 = ((b"Content-Transfer-Encoding", b"base64"),)
_NO_STORE = ((b"Cache-Control", b"no-store"),)


class _Time(msgspec.Struct, frozen=True):
    """The present, as Unix seconds and in RFC 3339."""

    unix: int
    rfc3339: str


def answer_open(request: Request, trust: FactoryTrust, now: datetime) -> Response | None:
    """Answer a request that needs no certificate; None if it is none of these."""
    if request.path not in (_TIME, _CA_CERTIFICATES, _ATTRIBUTES):
        return None
    if request.method not in ("GET", "HEAD"):
        return Response(405, b"this path knows other methods\n", headers=((b"Allow", b"GET, HEAD"),))
    if request.path == _TIME:
        time = _Time(int(now.timestamp()), now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        return Response(200, msgspec.json.encode(time) + b"\n", b"application/json", _NO_STORE)
    if request.path == _ATTRIBUTES:
        return Response(200, attributes_body(), ATTRIBUTES_TYPE.encode("ascii"), _BASE64)
    if trust.root is None:
        return Response(404, b"this factory has no root yet\n")
    return Response(200, certificates_body([trust.root]), CERTIFICATES_TYPE.encode("ascii"), _BASE64)
