"""Who stands at the other end of a TLS connection, as the TLS layer verified it, on its way from socket to endpoint."""

import asyncio
from collections.abc import Mapping
from typing import Any

_EXTENSION = "ownroot.client_certificate_name"


def verified_common_name(transport: asyncio.BaseTransport) -> str:
    """Return the CN of the peer's certificate; empty if it showed none, or one without exactly one CN.

    A context that verifies nothing gives no certificate here, so nothing unverified comes through.
    """
    certificate = transport.get_extra_info("peercert") or {}
    names = [value for rdn in certificate.get("subject", ()) for kind, value in rdn if kind == "commonName"]
    return names[0] if len(names) == 1 else ""


def note_client_certificate(scope: Any, common_name: str) -> None:
    """Write the name into a request's scope."""
    if common_name:
        scope.setdefault("extensions", {})[_EXTENSION] = common_name


def client_certificate_name(scope: Mapping[str, Any]) -> str:
    """Read what `note_client_certificate` wrote."""
    return str(scope.get("extensions", {}).get(_EXTENSION, ""))
