"""CSRs as the programs of the field make them, and with one thing wrong (registration.md §5.1)."""

from base64 import encodebytes

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

UUID = "11111111-2222-4333-8444-555555555555"
FACTORY = "acme"


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a device key."""
    return ec.generate_private_key(ec.SECP256R1())


def device_csr(
    uuid: str = UUID,
    *,
    factory: str = FACTORY,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    production: bool = False,
) -> str:
    """Return PEM as the device's registration tool of the field sends it: CN, OU, UTF8String, two extensions."""
    names = [
        x509.NameAttribute(NameOID.COMMON_NAME, uuid),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, factory),
    ]
    if production:
        names.append(x509.NameAttribute(NameOID.BUSINESS_CATEGORY, "production"))
    return csr_of(names, key=key, extensions=True)


def plain_csr(uuid: str = UUID, *, factory: str = FACTORY, production: bool = False) -> str:
    """Return PEM of the other kind met in the field: OU first, PrintableString, no extensions at all."""
    names = [
        _printable(NameOID.ORGANIZATIONAL_UNIT_NAME, factory),
        _printable(NameOID.COMMON_NAME, uuid),
    ]
    if production:
        names.append(_printable(NameOID.BUSINESS_CATEGORY, "production"))
    return csr_of(names)


def csr_of(
    names: list[x509.NameAttribute[str]],
    *,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    extensions: bool = False,
    ca: bool = False,
) -> str:
    """Return PEM of a CSR with exactly this subject."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    if extensions:
        builder = builder.add_extension(_digital_signature(), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key or new_key(), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def broken_csr(uuid: str = UUID, *, factory: str = FACTORY) -> str:
    """Return PEM whose signature does not verify: the last octet is another one."""
    csr = x509.load_pem_x509_csr(device_csr(uuid, factory=factory).encode()).public_bytes(Encoding.DER)
    return _pem(csr[:-1] + bytes((csr[-1] ^ 1,)))


def _pem(der: bytes) -> str:
    body = encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


def _printable(oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(oid, value, _ASN1Type.PrintableString)


def _digital_signature() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
