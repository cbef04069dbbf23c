"""What each program needs to trust a fleet, as files: name and content. Pure; nothing here decides whom to trust.

A front proves that the device holds its key; whether the device is welcome is decided behind it, by
`ownroot.customer`, because a front knows neither deleted devices nor pinned keys.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.pki.anchors import synthetic_anchors
from ownroot.pki.encoding import certificate_der, certificate_pem, spki_sha256
from ownroot.pki.serials import serial_text

BUNDLE: Final = "device-cas.pem"
CERTIFICATE_HEADER: Final = "X-Device-Certificate"
# RFC 7518 §6.2.1.1; the size is that of a coordinate in octets.
_JWK_CURVES: Final = {"secp256r1": ("P-256", 32), "secp384r1": ("P-384", 48), "secp521r1": ("P-521", 66)}


class Format(StrEnum):
    """For whom the files are."""

    PEM = "pem"
    JWKS = "jwks"
    NGINX = "nginx"
    ENVOY = "envoy"
    HAPROXY = "haproxy"


@dataclass(frozen=True, slots=True)
class TrustedCa:
    """A device CA that the pinned root has signed; `disabled`: it admits no new devices, its known ones go on."""

    certificate: x509.Certificate
    disabled: bool

    @property
    def serial(self) -> str:
        return serial_text(self.certificate.serial_number)


def trust_files(cas: Sequence[TrustedCa], form: Format) -> dict[str, bytes]:
    """Return the files of one format by name; the same CAs always give the same octets.

    Args:
        cas: enabled and disabled ones, at least one; a revoked CA is not among them.
    """
    return {name: text.encode() for name, text in _WRITERS[form](cas).items()}


def _pem(cas: Sequence[TrustedCa]) -> dict[str, str]:
    return {BUNDLE: "".join(_titled(ca) + certificate_pem(ca.certificate) for ca in cas)}


def _anchors(cas: Sequence[TrustedCa]) -> str:
    """Write the CAs as anchors at which stock OpenSSL stops (`pki.anchors`).

    The CAs themselves are not among them: OpenSSL might pick one of these, and then miss the root.
    """
    return "".join(
        _titled(ca).replace("# ", "# anchor of ", 1) + certificate_pem(anchor)
        for ca in cas
        for anchor in synthetic_anchors(ca.certificate)
    )


def _titled(ca: TrustedCa) -> str:
    return f"# device CA, serial {ca.serial}, {'disabled' if ca.disabled else 'enabled'}\n"


def _jwks(cas: Sequence[TrustedCa]) -> dict[str, str]:
    return {"device-cas.jwks.json": json.dumps({"keys": [_jwk(ca.certificate) for ca in cas]}, indent=2) + "\n"}


def _jwk(certificate: x509.Certificate) -> dict[str, object]:
    """Write one EC key (RFC 7517 §4, RFC 7518 §6.2); `kid` is the SHA-256 of its SubjectPublicKeyInfo."""
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101  (`is_signed_by` accepts no other device CA)
    curve, size = _JWK_CURVES[key.curve.name]
    numbers = key.public_numbers()
    return {
        "kty": "EC",
        "use": "sig",
        "kid": spki_sha256(key).hex(),
        "crv": curve,
        "x": _base64url(numbers.x.to_bytes(size, "big")),
        "y": _base64url(numbers.y.to_bytes(size, "big")),
        "x5c": [base64.b64encode(certificate_der(certificate)).decode("ascii")],
    }


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _nginx(cas: Sequence[TrustedCa]) -> dict[str, str]:
    return _pem(cas) | {"ownroot-device-trust.conf": _NGINX}


def _haproxy(cas: Sequence[TrustedCa]) -> dict[str, str]:
    return {BUNDLE: _anchors(cas), "ownroot-device-trust.cfg": _HAPROXY}


def _envoy(cas: Sequence[TrustedCa]) -> dict[str, str]:
    secret = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "ownroot-device-cas",
        "validation_context": {"trusted_ca": {"inline_string": _anchors(cas)}},
    }
    return {"device-cas.sds.json": json.dumps({"resources": [secret]}, indent=2) + "\n"}


_WRITERS: Final[Mapping[Format, Callable[[Sequence[TrustedCa]], dict[str, str]]]] = {
    Format.PEM: _pem,
    Format.JWKS: _jwks,
    Format.NGINX: _nginx,
    Format.ENVOY: _envoy,
    Format.HAPROXY: _haproxy,
}

_NGINX: Final = f"""\
# Made by `ownroot trust export`; include it in the server block that devices reach.
# nginx asks for a certificate and lets the device prove its key. It does not judge the issuer: nginx cannot stop at an
# intermediate CA, and with the factory root as its anchor a device of a revoked CA would still pass. The application
# decides by this header (ownroot.customer); without the middleware behind it, nothing is decided at all.
ssl_verify_client optional_no_ca;
ssl_verify_depth 1;
# A resumed session shows a certificate whose key nobody proved today.
ssl_session_tickets off;
ssl_session_cache off;
# Replaces what a client sent under this name; spellings with `_` are dropped.
underscores_in_headers off;
proxy_set_header {CERTIFICATE_HEADER} $ssl_client_escaped_cert;
"""

_HAPROXY: Final = f"""\
# Made by `ownroot trust export`; paste it where it belongs and put {BUNDLE} beside your own certificate.
# HAProxy checks the issuer against {BUNDLE}. Which devices are welcome the application decides (ownroot.customer).
#
#   bind :443 ssl crt /etc/haproxy/api.pem ca-file /etc/haproxy/{BUNDLE} verify optional no-tls-tickets
#   http-request del-header x[-_]device[-_]certificate -m reg
#   http-request set-header {CERTIFICATE_HEADER} ":%[ssl_c_der,base64]:" if {{ ssl_c_used }}
"""
