"""What each kind of certificate we issue contains (api.md §4, registration.md §5.2).

A profile is a value: the parts that are the same in every certificate of its kind, the fixed extensions already
encoded. `issuance` adds names, keys, times and identifiers. What others issued is judged in `conformance`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ownroot.pki import der

_EXTENSION_ARC: Final = "2.5.29."


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a certificate lives, in calendar years or in days."""

    years: int = 0
    days: int = 0

    def end(self, start: datetime) -> datetime:
        """Return the last moment; 29 February plus years that have none ends on 1 March."""
        try:
            shifted = start.replace(year=start.year + self.years)
        except ValueError:
            shifted = start.replace(year=start.year + self.years, month=3, day=1)
        return shifted + timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of certificate: its lifetime unless told otherwise, and what is fixed in it.

    `fixed_extensions` is their DER, back to back, in the order they appear; identifiers and names come after them.
    """

    name: str
    lifetime: Lifetime
    is_ca: bool
    fixed_extensions: bytes
    has_subject_key_identifier: bool
    has_authority_key_identifier: bool


def encode_extension(value: x509.ExtensionType, *, critical: bool) -> bytes:
    """Encode one extension under `2.5.29`, the arc of RFC 5280 where all of ours live."""
    number = int(value.oid.dotted_string.removeprefix(_EXTENSION_ARC))
    oid = der.encode(der.OBJECT_IDENTIFIER, bytes((0x55, 0x1D, number)))
    return der.extension(oid, value.public_bytes(), critical=critical)


def key_usage(*, digital_signature: bool = False, cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    """Return a keyUsage of the three bits our profiles know."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


FACTORY_ROOT: Final = Profile(
    name="factory-root",
    lifetime=Lifetime(years=20),
    is_ca=True,
    fixed_extensions=encode_extension(key_usage(cert_sign=True, crl_sign=True), critical=True)
    + encode_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
    )
    + encode_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True),
    has_subject_key_identifier=True,
    has_authority_key_identifier=False,
)

DEVICE_CA: Final = Profile(
    name="device-ca",
    lifetime=Lifetime(years=10),
    is_ca=True,
    fixed_extensions=encode_extension(key_usage(cert_sign=True), critical=True)
    + encode_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True),
    has_subject_key_identifier=True,
    has_authority_key_identifier=True,
)

# Also the EST server's: the two differ in their names only.
GATEWAY_TLS: Final = Profile(
    name="gateway-tls",
    lifetime=Lifetime(years=10),
    is_ca=False,
    fixed_extensions=encode_extension(key_usage(digital_signature=True), critical=True)
    + encode_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False),
    has_subject_key_identifier=False,
    has_authority_key_identifier=True,
)

DEVICE: Final = Profile(
    name="device",
    lifetime=Lifetime(days=7300),
    is_ca=False,
    fixed_extensions=encode_extension(key_usage(digital_signature=True), critical=True)
    + encode_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
    + encode_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True),
    has_subject_key_identifier=True,
    has_authority_key_identifier=True,
)
