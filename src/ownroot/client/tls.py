"""Which servers our clients believe. Verification is never off; there is no switch for it."""

import ssl
from pathlib import Path

from ownroot.errors import InvalidInputError, KeyStoreError


def api_trust(cacert: Path | None) -> ssl.SSLContext:
    """Trust for the backend API: the system's roots, and those of `cacert` (PEM) besides.

    Raises:
        InvalidInputError: `bad-cacert`.
    """
    context = ssl.create_default_context()
    if cacert is not None:
        _load_roots(context, cacert)
    return context


def gateway_trust(ca_file: Path, cert_file: Path, key_file: Path) -> ssl.SSLContext:
    """Trust and identity of a device: only the pinned roots count, and our certificate is shown.

    The pinned certificate is the anchor even when a higher CA has signed it. Strict RFC 5280 checks stay off: factory
    roots made by scripts lack a critical basicConstraints and are to be accepted (api.md §3.4 step 3).

    Raises:
        InvalidInputError: `bad-cacert`.
        KeyStoreError: `device-key-unusable`, certificate or key are missing or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    _load_roots(context, ca_file)
    try:
        context.load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as exc:
        raise KeyStoreError(
            "device-key-unusable",
            f"The certificate {cert_file} and the key {key_file} cannot be used together: {_why(exc)}.",
        ) from exc
    return context


def _load_roots(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as exc:
        raise InvalidInputError(
            "bad-cacert", f"The trusted certificates in {path} cannot be read: {_why(exc)}."
        ) from exc


def _why(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or str(exc)).lower().replace("_", " ")
    return exc.strerror or str(exc)
