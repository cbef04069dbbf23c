"""Files of a TUF ceremony: what one machine asks, what the offline machine with the keys answers, and the record of it.

Their form is that of `wire.ceremony_envelope`. An approval and a record are signed by the root keys that signed the
root.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from ownroot.errors import RefusedError
from ownroot.tuf.keys import TufKey, TufSigner
from ownroot.tuf.signatures import parse_signatures, sign, signed_by
from ownroot.wire.ceremony_envelope import VERSION, Family, Moment
from ownroot.wire.tuf import RootUpdates


class RotateKey(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", tag_field="what", tag="rotate-offline-key"):
    """A new offline key in place of ours, or of the one named by `replaces`."""

    role: str
    key_type: str
    replaces: str | None = None


class AddKey(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", tag_field="what", tag="add-offline-key"):
    """One more offline key."""

    role: str
    key_type: str


class DeleteKey(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", tag_field="what", tag="delete-offline-key"):
    """One offline key less."""

    role: str
    key_id: str


class SetThreshold(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="set-threshold"):
    """How many keys must sign."""

    role: str
    threshold: int


class ResignRoot(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="resign-root"):
    """A year more for the root."""


class SignRoot(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="sign"):
    """A signature under what is staged, as it is."""


TufOrder = RotateKey | AddKey | DeleteKey | SetThreshold | ResignRoot | SignRoot


class TufRequest(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What the connected machine asks for, with all that the offline machine must know.

    `ci_roots` and `prod_roots` are all roots from 1 on, as served; `state` is what the server says of the change;
    `production_targets` are the targets documents by tag.
    """

    factory: str
    server_url: str
    requested_at: Moment
    requested_by: str
    tool: str
    order: TufOrder
    ci_roots: tuple[str, ...]
    prod_roots: tuple[str, ...]
    state: RootUpdates
    production_targets: dict[str, dict[str, Any]]


class TufApproval(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What the offline machine answers: the upload that carries the request out, without the transaction id."""

    factory: str
    request_sha256: str
    approved_at: Moment
    operators: tuple[str, ...]
    base_ci_root: str
    upload: dict[str, Any]


class TufRecord(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What was done, to be kept. `amendments` is what the people there were shown."""

    request: TufRequest
    request_sha256: str
    approval_sha256: str
    approved_at: Moment
    operators: tuple[str, ...]
    versions: Mapping[str, str]
    amendments: tuple[str, ...]
    upload: dict[str, Any]


class TufRequestFile(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ownroot-tuf-request"):
    """A request with its digest."""

    version: int
    body: TufRequest
    sha256: str


class TufApprovalFile(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ownroot-tuf-approval"):
    """An approval with its digest and signatures by root keys, in the form of TUF."""

    version: int
    body: TufApproval
    sha256: str
    signatures: list[dict[str, Any]]


class TufRecordFile(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ownroot-tuf-record"):
    """A record with its digest and signatures by root keys."""

    version: int
    body: TufRecord
    sha256: str
    signatures: list[dict[str, Any]]


TufFile = TufRequestFile | TufApprovalFile | TufRecordFile
SignedTufFile = TufApprovalFile | TufRecordFile
TUF_CEREMONY: Final = Family(
    "TUF ceremony file",
    TufFile,
    {
        TufRequest: "ownroot-tuf-request",
        TufApproval: "ownroot-tuf-approval",
        TufRecord: "ownroot-tuf-record",
    },
    {
        TufRequestFile: "a request (made by `keys tuf request`)",
        TufApprovalFile: "an approval (made by `keys tuf approve`)",
        TufRecordFile: "a ceremony record (made by `keys tuf approve`)",
    },
)


def tuf_request_file(body: TufRequest) -> TufRequestFile:
    """Put a request into its envelope."""
    return TufRequestFile(version=VERSION, body=body, sha256=TUF_CEREMONY.digest(body))


def sign_tuf_approval(body: TufApproval, signers: Iterable[TufSigner]) -> TufApprovalFile:
    """Sign an approval with root keys."""
    return TufApprovalFile(
        version=VERSION, body=body, sha256=TUF_CEREMONY.digest(body), signatures=_signatures(body, signers)
    )


def sign_tuf_record(body: TufRecord, signers: Iterable[TufSigner]) -> TufRecordFile:
    """Sign a record with root keys."""
    return TufRecordFile(
        version=VERSION, body=body, sha256=TUF_CEREMONY.digest(body), signatures=_signatures(body, signers)
    )


def verify_tuf_file(file: SignedTufFile, keys: Mapping[str, TufKey]) -> frozenset[str]:
    """Check that root keys have signed a file; returns their ids.

    Args:
        keys: root keys, by their true id.
    Raises:
        RefusedError: `ceremony-signature`: none of them has. InvalidInputError: `tuf-signature-invalid` and its like.
    """
    signers = signed_by(TUF_CEREMONY.signed_octets(file.body), parse_signatures(file.signatures), keys, keys)
    if not signers:
        raise RefusedError("ceremony-signature", "The file is not signed by a root key of this factory.")
    return signers


def _signatures(body: TufApproval | TufRecord, signers: Iterable[TufSigner]) -> list[dict[str, Any]]:
    return [dict(sign(TUF_CEREMONY.signed_octets(body), signer).document()) for signer in signers]
