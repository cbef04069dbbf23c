"""Files of a key ceremony: what one machine asks, what the offline machine with the root answers, and the record of it.

A file is an envelope of `kind`, `version`, `body`, the SHA-256 of the body and, unless it is a request, a signature by
the factory root. There is exactly one way to write a file: members sorted, indented by two, one newline at the end.
What is read must be those very bytes, so a single altered, added or lost byte is refused, and nothing is understood
in part.
The digest guards against accidents; only the signature, or people who compare digests, guard against intent.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import InvalidInputError, RefusedError
from ownroot.pki.encoding import certificate_sha256, parse_certificate, parse_certificates, sha256
from ownroot.pki.signer import PrivateKey, signing_hash
from ownroot.wire.certs import CertsUpload, CsrReply, FactoryCerts

VERSION: Final = 1
# A factory with thousands of device CAs fits; what is larger is not one of our files.
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
# How long a server of ours keeps a key it made for a CSR; its answer does not say (api.md §3.2).
PENDING_KEY_LIFETIME: Final = timedelta(hours=24)

# A time with its zone; others could not be compared with a clock.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class LocalCaOrder(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A device CA whose key is made where the root is."""

    file: str
    polis_id: str


class CreateOrder(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", tag_field="what", tag="create"):
    """Take the factory over with a new root."""

    online_ca: bool
    local_ca: LocalCaOrder | None = None


class AddDeviceCaOrder(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", tag_field="what", tag="add-device-ca"
):
    """Trust one or two more device CAs."""

    online_ca: bool
    local_ca: LocalCaOrder | None = None


class RotateTlsOrder(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="rotate-tls"):
    """Give the gateway a new TLS certificate."""


class AuthorizeEstOrder(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="est-authorize"):
    """Give the EST server a TLS certificate."""


class JudgeOrder(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="judge-device-cas"):
    """Revoke, disable or enable device CAs. `returning`: PEM of revoked ones that come back. Serials are decimal."""

    verdict: Literal["revoke", "disable", "enable"]
    serials: tuple[str, ...]
    returning: tuple[str, ...] = ()


ChangeOrder = CreateOrder | AddDeviceCaOrder | RotateTlsOrder | AuthorizeEstOrder | JudgeOrder


class Devices(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """How many devices a change concerns, as the server told; `names` are the first of them.

    `ca_serial` None: all of the factory. `count` None: the token used may not list devices.
    """

    ca_serial: str | None
    count: int | None
    names: tuple[str, ...] = ()


class CeremonyRequest(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What the connected machine asks for, with all that the offline machine must know.

    `state` is what the factory trusted then; `expires_at` is when the server forgets the keys of `csrs`.
    """

    factory: str
    server_url: str
    requested_at: Moment
    requested_by: str
    tool: str
    change: ChangeOrder
    csrs: CsrReply
    state: FactoryCerts
    state_sha256: str
    devices: tuple[Devices, ...] = ()
    expires_at: Moment | None = None


class MadeCertificate(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A certificate made in the ceremony; `file` is its name in the PKI directory, None if it is not kept there."""

    file: str | None
    subject: str
    serial: str
    sha256: str
    not_after: Moment
    pem: str


class CeremonyApproval(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What the offline machine answers: the request as it was, and the one upload that carries it out."""

    request: CeremonyRequest
    request_sha256: str
    approved_at: Moment
    operators: tuple[str, ...]
    root_sha256: str
    upload: CertsUpload
    usable_until: Moment | None


class CeremonyRecord(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What was done in a ceremony, to be kept. `versions` are those of the programs on the offline machine."""

    request: CeremonyRequest
    request_sha256: str
    approval_sha256: str
    approved_at: Moment
    operators: tuple[str, ...]
    versions: Mapping[str, str]
    root_key: str
    root: MadeCertificate
    certificates: tuple[MadeCertificate, ...]
    crl: str | None


class RequestFile(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ownroot-ceremony-request"):
    """A request with its digest."""

    version: int
    body: CeremonyRequest
    sha256: str


class ApprovalFile(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ownroot-ceremony-approval"):
    """An approval with its digest and the root's signature (ECDSA, DER, base64)."""

    version: int
    body: CeremonyApproval
    sha256: str
    signature: str


class RecordFile(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ownroot-ceremony-record"):
    """A record with its digest and the root's signature (ECDSA, DER, base64)."""

    version: int
    body: CeremonyRecord
    sha256: str
    signature: str


CeremonyFile = RequestFile | ApprovalFile | RecordFile
SignedFile = ApprovalFile | RecordFile
Body = CeremonyRequest | CeremonyApproval | CeremonyRecord
File = TypeVar("File", RequestFile, ApprovalFile, RecordFile)

_KINDS: Final[Mapping[type[Body], str]] = {
    CeremonyRequest: "ownroot-ceremony-request",
    CeremonyApproval: "ownroot-ceremony-approval",
    CeremonyRecord: "ownroot-ceremony-record",
}
_NAMES: Final[Mapping[type[CeremonyFile], str]] = {
    RequestFile: "a request (made by `keys ca request`)",
    ApprovalFile: "an approval (made by `keys ca approve`)",
    RecordFile: "a ceremony record (made by `keys ca approve`)",
}


def request_file(body: CeremonyRequest) -> RequestFile:
    """Put a request into its envelope."""
    return RequestFile(version=VERSION, body=body, sha256=body_sha256(body))


def sign_approval(body: CeremonyApproval, root_key: PrivateKey) -> ApprovalFile:
    """Sign an approval with the factory root. Raises KeyStoreError if the key store would not sign."""
    return ApprovalFile(version=VERSION, body=body, sha256=body_sha256(body), signature=_sign(body, root_key))


def sign_record(body: CeremonyRecord, root_key: PrivateKey) -> RecordFile:
    """Sign a record with the factory root. Raises KeyStoreError if the key store would not sign."""
    return RecordFile(version=VERSION, body=body, sha256=body_sha256(body), signature=_sign(body, root_key))


def verify_signature(file: SignedFile, root: x509.Certificate) -> None:
    """Check the root's signature over a file from `parse_file`.

    Raises:
        RefusedError: `ceremony-signature`.
    """
    key = root.public_key()
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise InvalidSignature
        signature = base64.b64decode(file.signature, validate=True)
        key.verify(signature, signed_octets(file.body), ec.ECDSA(signing_hash(key)))
    except (InvalidSignature, binascii.Error) as exc:
        raise RefusedError("ceremony-signature", "The file is not signed by this factory's root.") from exc


def body_sha256(body: Body) -> str:
    """Return the digest of a body, in hex: what people compare, and what files name each other by."""
    return sha256(signed_octets(body)).hex()


def signed_octets(body: Body) -> bytes:
    """Return what is hashed and signed: the kind, a newline, and the body as JSON without blanks, members sorted.

    It begins with a letter, so a signature over it can never pass for one over a certificate or CRL, which begin with
    the octet 0x30.
    """
    return _KINDS[type(body)].encode() + b"\n" + msgspec.json.encode(body, order="sorted")


def write_file(file: CeremonyFile) -> bytes:
    """Return the content of a file."""
    return msgspec.json.format(msgspec.json.encode(file, order="sorted"), indent=2) + b"\n"


def parse_file(content: bytes, wanted: type[File]) -> File:
    """Read a file; whether its signature is the root's is `verify_signature`'s.

    Raises:
        InvalidInputError: `ceremony-file-too-large`, `ceremony-file-unreadable` (truncated, not ours),
            `ceremony-file-kind`, `ceremony-file-version`, `ceremony-file-altered`.
    """
    file = _decode(content)
    if not isinstance(file, wanted):
        raise InvalidInputError("ceremony-file-kind", f"This is {_NAMES[type(file)]}, not {_NAMES[wanted]}.")
    if file.version != VERSION:
        raise InvalidInputError("ceremony-file-version", f"The file has version {file.version}, known is {VERSION}.")
    if write_file(file) != content or body_sha256(file.body) != file.sha256:
        raise InvalidInputError("ceremony-file-altered", "The file is not as it was written: its content was altered.")
    return file


def state_sha256(state: FactoryCerts) -> str:
    """Return a digest of what a factory trusts, and of when that was last changed.

    The order of device CAs, and how their PEM is laid out, do not count.

    Raises:
        InvalidInputError: a certificate cannot be read.
    """
    single = {"root": state.root_crt, "tls": state.tls_crt, "est-tls": state.est_tls_crt}
    digests: dict[str, object] = {
        name: certificate_sha256(parse_certificate(pem)).hex() if pem else None for name, pem in single.items()
    }
    digests["device-cas"] = sorted(
        certificate_sha256(ca).hex() for ca in (parse_certificates(state.ca_crt) if state.ca_crt else ())
    )
    digests["disabled"] = sorted(state.disabled_ca_serials)
    digests["changed"] = state.change_meta
    return sha256(msgspec.json.encode(digests, order="sorted")).hex()


def _decode(content: bytes) -> CeremonyFile:
    if len(content) > MAX_FILE_BYTES:
        raise InvalidInputError("ceremony-file-too-large", "The file is far larger than any ceremony file.")
    try:
        file: CeremonyFile = msgspec.json.decode(content, type=CeremonyFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidInputError(
            "ceremony-file-unreadable", f"The file is no ceremony file, or only a part of one: {exc}."
        ) from exc
    return file


def _sign(body: CeremonyApproval | CeremonyRecord, key: PrivateKey) -> str:
    signature = key.sign(signed_octets(body), ec.ECDSA(signing_hash(key.public_key())))
    return base64.b64encode(signature).decode()
