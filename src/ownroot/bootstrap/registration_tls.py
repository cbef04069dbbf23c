"""TLS of a registration server, and which stations it asks for a certificate."""

import ssl
from pathlib import Path

from ownroot.bootstrap.api_tls import names_of
from ownroot.config import TlsFiles
from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import parse_certificates
from ownroot.registration.site import Site


def tls_context(files: TlsFiles, client_ca: Path | None, site: Site) -> ssl.SSLContext:
    """Return the context of the listener.

    A client certificate is asked for and not demanded: whoever comes without hears why in words, and a ping works.

    Raises:
        InvalidInputError: `api-tls-unusable`, `client-ca-unusable`, `client-ca-is-the-factorys`.
    """
    names_of(files, part="server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    # Without resumption a station is who it shows itself to be on this very connection.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    if client_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=_client_cas(client_ca, site))
    return context


def _client_cas(path: Path, site: Site) -> str:
    try:
        text = path.read_text(encoding="ascii")
        certificates = parse_certificates(text)
    except (OSError, UnicodeDecodeError, InvalidInputError) as exc:
        raise InvalidInputError("client-ca-unusable", f"The CA of the stations {path} cannot be read: {exc}.") from exc
    if site.root in certificates or site.issuer.certificate in certificates:
        raise InvalidInputError(
            "client-ca-is-the-factorys",
            f"{path} holds a CA of the factory. Every device has a certificate under it and could register others: "
            "give stations a CA of their own.",
        )
    return text
