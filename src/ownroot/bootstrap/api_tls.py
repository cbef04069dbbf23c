"""A server's own certificate: usable or the server does not start, and its names are names of ours."""

import re
import ssl

from ownroot.config import TlsFiles
from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import parse_certificate
from ownroot.pki.traits import Traits

# The first certificate is the server's; whatever else the file holds is for OpenSSL to read.
_LEAF = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def names_of(files: TlsFiles, *, part: str = "API") -> frozenset[str]:
    """Return the DNS names in the certificate, lower-case; `part` says whose it is.

    Raises:
        InvalidInputError: `api-tls-unusable`: the files are not a chain and its key, readable and in clear.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key, password=_no_password)
        leaf = _LEAF.search(files.certificate.read_text(encoding="latin-1"))
        certificate = parse_certificate("" if leaf is None else leaf[0])
    except (OSError, ValueError, InvalidInputError) as exc:
        reason = exc.detail if isinstance(exc, InvalidInputError) else exc
        raise InvalidInputError(
            "api-tls-unusable",
            f"The {part}'s certificate {files.certificate} and key {files.key} cannot be used: {reason} "
            "Both are PEM files, they belong together, and the key is not encrypted.",
        ) from exc
    return frozenset(name.lower() for name in Traits.of(certificate).dns_names)


def _no_password() -> str:
    raise ValueError("The key is encrypted.")
