"""Files of a TUF ceremony: what one machine asks, what the offline machine with the keys answers, and the record of it.

Their form is that of `wire.ceremony`: an envelope of `kind`, `version`, `body` and the SHA-256 of the body, written in
exactly one way, so that a single altered, added or lost byte is refused. An approval and a record are signed by the
root keys that signed the root.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from ownroot.errors import InvalidInputError, RefusedError
from ownroot.pki.encoding import sha256
from ownroot.tuf.keys import TufKey, TufSigner
from ownroot.tuf.signatures import parse_signatures, sign, signed_by
from ownroot.wire.ceremony import MAX_FILE_BYTES, VERSION, Moment
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
TufBody = TufRequest | TufApproval | TufRecord
File = TypeVar("File", TufRequestFile, TufApprovalFile, TufRecordFile)

_KINDS: Final[Mapping[type[TufBody], str]] = {
    TufRequest: "ownroot-tuf-request",
    TufApproval: "ownroot-tuf-approval",
    TufRecord: "ownroot-tuf-record",
}
_NAMES: Final[Mapping[type[TufFile], str]] = {
    TufRequestFile: "a request (made by `keys tuf request`)",
    TufApprovalFile: "an approval (made by `keys tuf approve`)",
    TufRecordFile: "a ceremony record (made by `keys tuf approve`)",
}


def tuf_request_file(body: TufRequest) -> TufRequestFile:
    """Put a request into its envelope."""
    return TufRequestFile(version=VERSION, body=body, sha256=tuf_body_sha256(body))


def sign_tuf_approval(body: TufApproval, signers: Iterable[TufSigner]) -> TufApprovalFile:
    """Sign an approval with root keys."""
    return TufApprovalFile(
        version=VERSION, body=body, sha256=tuf_body_sha256(body), signatures=_signatures(body, signers)
    )


def sign_tuf_record(body: TufRecord, signers: Iterable[TufSigner]) -> TufRecordFile:
    """Sign a record with root keys."""
    return TufRecordFile(
        version=VERSION, body=body, sha256=tuf_body_sha256(body), signatures=_signatures(body, signers)
    )


def verify_tuf_file(file: SignedTufFile, keys: Mapping[str, TufKey]) -> frozenset[str]:
    """Check that root keys have signed a file; returns their ids.

    Args:
        keys: root keys, by their true id.
    Raises:
        RefusedError: `ceremony-signature`: none of them has. InvalidInputError: `tuf-signature-invalid` and its like.
    """
    signers = signed_by(signed_octets(file.body), parse_signatures(file.signatures), keys, keys)
    if not signers:
        raise RefusedError("ceremony-signature", "The file is not signed by a root key of this factory.")
    return signers


def tuf_body_sha256(body: TufBody) -> str:
    """Return the digest of a body, in hex: what people compare, and what files name each other by."""
    return sha256(signed_octets(body)).hex()


def signed_octets(body: TufBody) -> bytes:
    """Return what is hashed and signed: the kind, a newline, and the body as JSON without blanks, members sorted.

    It begins with a letter, so a signature over it can never pass for one over TUF metadata, which begins with `{`.
    """
    return _KINDS[type(body)].encode() + b"\n" + msgspec.json.encode(body, order="sorted")


def write_tuf_file(file: TufFile) -> bytes:
    """Return the content of a file."""
    return msgspec.json.format(msgspec.json.encode(file, order="sorted"), indent=2) + b"\n"


def parse_tuf_file(content: bytes, wanted: type[File]) -> File:
    """Read a file; whether a root key signed it is `verify_tuf_file`'s.

    Raises:
        InvalidInputError: codes of `wire.ceremony.parse_file`.
    """
    if len(content) > MAX_FILE_BYTES:
        raise InvalidInputError("ceremony-file-too-large", "The file is far larger than any ceremony file.")
    try:
        file: TufFile = msgspec.json.decode(content, type=TufFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidInputError(
            "ceremony-file-unreadable", f"The file is no TUF ceremony file, or only a part of one: {exc}."
        ) from exc
    if not isinstance(file, wanted):
        raise InvalidInputError("ceremony-file-kind", f"This is {_NAMES[type(file)]}, not {_NAMES[wanted]}.")
    if file.version != VERSION:
        raise InvalidInputError("ceremony-file-version", f"The file has version {file.version}, known is {VERSION}.")
    if write_tuf_file(file) != content or tuf_body_sha256(file.body) != file.sha256:
        raise InvalidInputError("ceremony-file-altered", "The file is not as it was written: its content was altered.")
    return file


def _signatures(body: TufBody, signers: Iterable[TufSigner]) -> list[dict[str, Any]]:
    return [dict(sign(signed_octets(body), signer).document()) for signer in signers]
