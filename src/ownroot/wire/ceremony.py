"""Files of a key ceremony: what one machine asks, what the offline machine with the root answers, and the record of it.

Their form is that of `wire.ceremony_envelope`. An approval and a record are signed by the factory root.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import RefusedError
from ownroot.pki.encoding import certificate_sha256, parse_certificate, parse_certificates, sha256
from ownroot.pki.signer import PrivateKey, signing_hash
from ownroot.wire.ceremony_envelope import VERSION, Family, Moment
from ownroot.wire.certs import CertsUpload, CsrReply, FactoryCerts

# How long a server of ours keeps a key it made for a CSR; its answer does not say (api.md §3.2).
PENDING_KEY_LIFETIME: Final = timedelta(hours=24)


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
CEREMONY: Final = Family(
    "ceremony file",
    CeremonyFile,
    {
        CeremonyRequest: "ownroot-ceremony-request",
        CeremonyApproval: "ownroot-ceremony-approval",
        CeremonyRecord: "ownroot-ceremony-record",
    },
    {
        RequestFile: "a request (made by `keys ca request`)",
        ApprovalFile: "an approval (made by `keys ca approve`)",
        RecordFile: "a ceremony record (made by `keys ca approve`)",
    },
)


def request_file(body: CeremonyRequest) -> RequestFile:
    """Put a request into its envelope."""
    return RequestFile(version=VERSION, body=body, sha256=CEREMONY.digest(body))


def sign_approval(body: CeremonyApproval, root_key: PrivateKey) -> ApprovalFile:
    """Sign an approval with the factory root. Raises KeyStoreError if the key store would not sign."""
    return ApprovalFile(version=VERSION, body=body, sha256=CEREMONY.digest(body), signature=_sign(body, root_key))


def sign_record(body: CeremonyRecord, root_key: PrivateKey) -> RecordFile:
    """Sign a record with the factory root. Raises KeyStoreError if the key store would not sign."""
    return RecordFile(version=VERSION, body=body, sha256=CEREMONY.digest(body), signature=_sign(body, root_key))


def verify_signature(file: SignedFile, root: x509.Certificate) -> None:
    """Check the root's signature over a file from `CEREMONY.parse`.

    Raises:
        RefusedError: `ceremony-signature`.
    """
    key = root.public_key()
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise InvalidSignature
        signature = base64.b64decode(file.signature, validate=True)
        key.verify(signature, CEREMONY.signed_octets(file.body), ec.ECDSA(signing_hash(key)))
    except (InvalidSignature, binascii.Error) as exc:
        raise RefusedError("ceremony-signature", "The file is not signed by this factory's root.") from exc


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


def _sign(body: CeremonyApproval | CeremonyRecord, key: PrivateKey) -> str:
    signature = key.sign(CEREMONY.signed_octets(body), ec.ECDSA(signing_hash(key.public_key())))
    return base64.b64encode(signature).decode()
