"""Every change one can ask of a factory's PKI, as frozen values.

The wire knows one request, an upload of up to five parts that stand or fall together. Values arrive here parsed, which
promises nothing about trust: no signature, name or date has been looked at.
"""

from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509


class Field(StrEnum):
    """The part of an upload a refusal is about, spelled as the sender wrote it (protocol: api.md §3.3)."""

    ROOT = "root-crt"
    DEVICE_CAS = "ca-crt"
    EST_TLS = "est-tls-crt"
    GATEWAY_TLS = "tls-crt"
    CRL = "ca-revoke-crl"


@dataclass(frozen=True, slots=True)
class UploadPki:
    """Certificates and commands of one request, decided as one transaction. None = not sent.

    Attributes:
        root: becomes the factory root if none is set; identical to the stored one it changes nothing.
        device_cas: the whole list the sender wants trusted: adds members, never removes one.
        gateway_tls: replaces the certificate of the device gateway.
        est_tls: replaces the certificate of the EST listener.
        crl: a signed command on device CAs.
    """

    root: x509.Certificate | None = None
    device_cas: tuple[x509.Certificate, ...] | None = None
    gateway_tls: x509.Certificate | None = None
    est_tls: x509.Certificate | None = None
    crl: x509.CertificateRevocationList | None = None

    @property
    def is_empty(self) -> bool:
        parts = (self.root, self.device_cas, self.gateway_tls, self.est_tls, self.crl)
        return all(part is None for part in parts)
